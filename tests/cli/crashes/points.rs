//! A crash at every crash point, on its first and on later visits, once and repeatedly.

use std::sync::atomic::{AtomicUsize, Ordering};

use clfsload::crash_point::CrashPoint;

use super::transfer::Undisturbed;

/// Returns later visits of the crash point that an undisturbed load of the tree is certain to make.
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

/// One crash, then a resume to completion.
#[test]
fn a_load_resumes_from_every_crash_point_with_the_same_container() {
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
            // There is nothing to resume, so `finish` uses --new, which is required here.
            assert!(!transfer.state().join("state.db").exists());
        } else {
            assert!(transfer.state().join("state.db").exists(), "{place}");
        }
        transfer.finish();
        // Another run finds nothing to do.
        assert!(transfer.run().expect(0).stdout.contains("already finished"));
        transfer.assert_undisturbed();
    });
    println!(
        "{} crashes at {} points",
        cases.len(),
        CrashPoint::ALL.len()
    );
}

/// The same crash repeatedly, until the point is not reached any more, then a resume to completion.
#[test]
fn a_load_resumes_after_repeated_crashes_with_the_same_container() {
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

/// Runs the cases in many threads, since the loads spend more time on fsync than on computation.
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
