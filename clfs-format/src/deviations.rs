//! Broken rules that do not keep an object from being read: a strict decoder refuses the object at
//! the first of them, an inspection lists them.

use crate::error::FormatError;
use crate::limits::DEVIATIONS;

/// Of one rule in one structure no more are listed, so that an entry's fault repeated ten thousand
/// times does not crowd out what is wrong elsewhere.
const MOST_OF_ONE_RULE: usize = 4;

/// What becomes of such a rule when a decoder meets it.
#[derive(Debug)]
pub(crate) enum Deviations {
    /// It is the decoder's error.
    Refused,
    /// It is put here, and the decoder goes on.
    Listed(Vec<FormatError>),
}

impl Deviations {
    pub(crate) fn listed() -> Self {
        Self::Listed(Vec::new())
    }

    pub(crate) fn are_listed(&self) -> bool {
        matches!(self, Self::Listed(_))
    }

    /// A rule that a strict decoder insists on.
    pub(crate) fn broken(&mut self, rule: FormatError) -> Result<(), FormatError> {
        if !self.are_listed() {
            return Err(rule);
        }
        self.tolerated(rule);
        Ok(())
    }

    /// A rule that even a strict decoder lets pass.
    pub(crate) fn tolerated(&mut self, rule: FormatError) {
        if let Self::Listed(list) = self
            && list.len() < DEVIATIONS
            && list.iter().filter(|other| other.same_rule(&rule)).count() < MOST_OF_ONE_RULE
        {
            list.push(rule);
        }
    }

    /// The value of a check that can be done without; none when it failed and that was listed.
    pub(crate) fn allow<T>(
        &mut self,
        checked: Result<T, FormatError>,
    ) -> Result<Option<T>, FormatError> {
        match checked {
            Ok(value) => Ok(Some(value)),
            Err(rule) => self.broken(rule).map(|()| None),
        }
    }

    /// The list, in order of place.
    pub(crate) fn into_list(self) -> Vec<FormatError> {
        match self {
            Self::Refused => Vec::new(),
            Self::Listed(mut list) => {
                list.sort_by_key(|rule| rule.place().offset);
                list
            }
        }
    }
}
