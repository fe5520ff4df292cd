//! How often a file is read that changes meanwhile, and what becomes of it then.

use crate::encode::Reading;

/// What to do with a file that changes while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenChanged {
    /// Read it once more; if it changes again, store it as [`Store`](Self::Store) does.
    #[default]
    Retry,
    /// Store it with the size and attributes that it had before the read.
    Store,
    /// Read it once more; if it changes again, it has a problem.
    Fail,
}

/// How often a file may be shorter than it just was, before it has a problem.
const SHORTER: u8 = 4;

/// Which attempt at an entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It failed in an earlier run: its attributes are read anew first.
    AfterFailure,
    /// The first one with these attributes.
    First,
    /// It changed, and has fresh attributes.
    Again,
    /// It changes again and again: it is stored with the attributes that it had before the read.
    AsItIs {
        /// How often it may still be shorter than they say.
        left: u8,
    },
}

impl Attempt {
    /// The attempt after this one, at a file that changed; none when it has a problem.
    pub(super) fn next(self, when_changed: WhenChanged) -> Option<Attempt> {
        let as_it_is = Attempt::AsItIs { left: SHORTER };
        match (self, when_changed) {
            // A fresh look at what failed before is no change during the read.
            (Attempt::AfterFailure, _) => Some(Attempt::First),
            (Attempt::First | Attempt::Again, WhenChanged::Store)
            | (Attempt::Again, WhenChanged::Retry) => Some(as_it_is),
            (Attempt::First, WhenChanged::Retry | WhenChanged::Fail) => Some(Attempt::Again),
            (Attempt::Again, WhenChanged::Fail) => None,
            (Attempt::AsItIs { left }, _) => {
                let left = left.checked_sub(1)?;
                Some(Attempt::AsItIs { left })
            }
        }
    }

    /// Which reads of the file count.
    pub(super) fn reading(self) -> Reading {
        match self {
            Attempt::AfterFailure | Attempt::First | Attempt::Again => Reading::Unchanged,
            Attempt::AsItIs { .. } => Reading::AsItIs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The attempts at a file that never stops changing.
    fn attempts(when_changed: WhenChanged) -> Vec<Attempt> {
        std::iter::successors(Some(Attempt::First), |at| at.next(when_changed)).collect()
    }

    #[test]
    fn attempts_are_bounded_and_lead_where_they_should() {
        let as_it_is: Vec<_> = (0..=SHORTER)
            .rev()
            .map(|left| Attempt::AsItIs { left })
            .collect();
        let with = |first: &[Attempt], rest: &[Attempt]| [first, rest].concat();
        let (first, again) = (Attempt::First, Attempt::Again);
        assert_eq!(attempts(WhenChanged::Fail), [first, again]);
        assert_eq!(
            attempts(WhenChanged::Retry),
            with(&[first, again], &as_it_is)
        );
        assert_eq!(attempts(WhenChanged::Store), with(&[first], &as_it_is));
    }
}
