//! A crash at every named place, the first time it is reached and later, once and repeatedly.

use std::sync::atomic::{AtomicUsize, Ordering};

use clfsload::crash_point::CrashPoint;

use super::transfer::Undisturbed;

/// A later visit of the place that an undisturbed load of the tree is sure to make.
fn later(point: CrashPoint) -> &'static [u64] {
    match point {
        CrashPoint::StateUnpublished
        | CrashPoint::StatePublished
        | CrashPoint::BucketPut
        | CrashPoint::BeforeLog
        | CrashPoint::BeforeRoot
        | CrashPoint::AfterRoot
        | CrashPoint::Finished => &[],
        CrashPoint::ScanListed | CrashPoint::RecordUncommitted | CrashPoint::ScanCommitted => &[3],
        CrashPoint::SettleUncommitted | CrashPoint::SettleCommitted => &[2, 3],
        CrashPoint::TemporaryWritten | CrashPoint::BlobRenamed => &[30],
        CrashPoint::BeforePut | CrashPoint::AfterPut => &[700, 2900],
        CrashPoint::SegmentEncoded => &[9, 17],
        CrashPoint::BeforeLargeInode | CrashPoint::AfterLargeInode => &[14],
        CrashPoint::LinkedInode => &[80],
        CrashPoint::DirectoryBegun => &[250],
        CrashPoint::DirectorySegment => &[2],
        other => panic!("{other:?} has no place in this test"),
    }
}

/// One crash, then the rest.
#[test]
fn a_crash_at_every_point_leaves_no_trace() {
    let undisturbed = Undisturbed::shared();
    let cases: Vec<(CrashPoint, u64)> = CrashPoint::ALL
        .into_iter()
        .flat_map(|point| {
            std::iter::once(1)
                .chain(later(point).iter().copied())
                .map(move |visit| (point, visit))
        })
        .collect();
    in_parallel(&cases, |(point, visit)| {
        let place = format!("{point:?}:{visit}");
        let transfer = undisturbed.transfer(&place);
        assert!(transfer.crashes_at(&place), "{place} is never reached");
        if *point == CrashPoint::StateUnpublished {
            // Nothing to resume: --new, which `finish` gives, is right, and without it is refused.
            assert!(!transfer.state().join("state.db").exists());
        } else {
            assert!(transfer.state().join("state.db").exists(), "{place}");
        }
        transfer.finish();
        // Again, it finds nothing to do.
        assert!(transfer.run().expect(0).stdout.contains("finished before"));
        transfer.assert_undisturbed();
    });
    println!(
        "{} crashes at {} points",
        cases.len(),
        CrashPoint::ALL.len()
    );
}

/// The same crash over and over, as far as the place is reached, then the rest.
#[test]
fn repeated_crashes_at_every_point_leave_no_trace() {
    let undisturbed = Undisturbed::shared();
    let crashes = AtomicUsize::new(0);
    in_parallel(&CrashPoint::ALL, |point| {
        let transfer = undisturbed.transfer(format!("repeated-{point:?}"));
        for visit in [1, 2, 1, 3] {
            if transfer.crashes_at(&format!("{point:?}:{visit}")) {
                crashes.fetch_add(1, Ordering::Relaxed);
            }
        }
        transfer.finish();
    });
    let crashes = crashes.into_inner();
    println!("{crashes} crashes");
    assert!(crashes > 50, "{crashes}: the points are hardly reached");
}

/// Runs the cases on as many threads as pay: the loads wait for fsync more than they compute.
fn in_parallel<T: Sync>(cases: &[T], case: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while let Some(one) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    case(one);
                }
            });
        }
    });
}
