//! How often a file that changes is read again, and how it is stored in the end.

use crate::load::encode::ReadPolicy;

/// What to do with a file that changes while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenChanged {
    /// Read it once more; if it changes again, store it as [`Store`](Self::Store) does.
    #[default]
    Retry,
    /// Store it with the size and attributes that it had before the read.
    Store,
    /// Read it once more; if it changes again, it is a failed entry.
    Fail,
}

/// How often a file may be shorter at the read than at the `fstat` before, until it is a failed entry.
const SHORTER: u8 = 4;

/// The kind of an attempt at an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The entry failed in an earlier run, so its attributes are read again first.
    AfterFailure,
    /// The first attempt with these attributes.
    First,
    /// The file changed, and its row has the current attributes.
    Again,
    /// The file keeps changing. It is stored with the attributes that it had before the read.
    Changing {
        /// How often it may still be shorter than its recorded size.
        left: u8,
    },
}

impl Attempt {
    /// Returns the attempt that follows this one at a file that changed; none if the entry fails.
    pub(super) fn next(self, when_changed: WhenChanged) -> Option<Attempt> {
        let changing = Attempt::Changing { left: SHORTER };
        match (self, when_changed) {
            // The attributes were read before the content, so the file did not change during the read.
            (Attempt::AfterFailure, _) => Some(Attempt::First),
            (Attempt::First | Attempt::Again, WhenChanged::Store)
            | (Attempt::Again, WhenChanged::Retry) => Some(changing),
            (Attempt::First, WhenChanged::Retry | WhenChanged::Fail) => Some(Attempt::Again),
            (Attempt::Again, WhenChanged::Fail) => None,
            (Attempt::Changing { left }, _) => {
                let left = left.checked_sub(1)?;
                Some(Attempt::Changing { left })
            }
        }
    }

    /// Returns which reads of the file are accepted.
    pub(super) fn read_policy(self) -> ReadPolicy {
        match self {
            Attempt::AfterFailure | Attempt::First | Attempt::Again => ReadPolicy::Unchanged,
            Attempt::Changing { .. } => ReadPolicy::SameInode,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the attempts at a file that never stops changing.
    fn attempts(when_changed: WhenChanged) -> Vec<Attempt> {
        std::iter::successors(Some(Attempt::First), |at| at.next(when_changed)).collect()
    }

    #[test]
    fn the_number_of_attempts_is_limited() {
        let changing: Vec<_> = (0..=SHORTER)
            .rev()
            .map(|left| Attempt::Changing { left })
            .collect();
        let with = |first: &[Attempt], rest: &[Attempt]| [first, rest].concat();
        let (first, again) = (Attempt::First, Attempt::Again);
        assert_eq!(attempts(WhenChanged::Fail), [first, again]);
        assert_eq!(
            attempts(WhenChanged::Retry),
            with(&[first, again], &changing)
        );
        assert_eq!(attempts(WhenChanged::Store), with(&[first], &changing));
    }
}
