//! Broken rules that do not prevent an object from being decoded. A strict decoder rejects the
//! object at the first of them; an inspection lists them.

use crate::error::FormatError;
use crate::limits::DEVIATIONS;

/// Maximum number of deviations listed for one rule in one structure. Without it, one fault repeated
/// in ten thousand entries would displace the faults of other structures.
const MAX_OF_ONE_RULE: usize = 4;

/// The treatment of broken rules by a decoder.
#[derive(Debug)]
pub(crate) enum Deviations {
    /// The first broken rule is the decoder's error.
    Strict,
    /// Broken rules are collected here, and decoding continues.
    Collected(Vec<FormatError>),
}

impl Deviations {
    pub(crate) fn collected() -> Self {
        Self::Collected(Vec::new())
    }

    pub(crate) fn are_collected(&self) -> bool {
        matches!(self, Self::Collected(_))
    }

    /// Records a broken rule; fails in a strict decoder.
    pub(crate) fn report(&mut self, rule: FormatError) -> Result<(), FormatError> {
        if !self.are_collected() {
            return Err(rule);
        }
        self.note(rule);
        Ok(())
    }

    /// Records a broken rule that even a strict decoder accepts.
    pub(crate) fn note(&mut self, rule: FormatError) {
        if let Self::Collected(list) = self
            && list.len() < DEVIATIONS
            && list.iter().filter(|other| other.same_rule(&rule)).count() < MAX_OF_ONE_RULE
        {
            list.push(rule);
        }
    }

    /// Returns the value of an optional part; `None` if its error was recorded. Fails in a strict
    /// decoder.
    pub(crate) fn optional<T>(
        &mut self,
        checked: Result<T, FormatError>,
    ) -> Result<Option<T>, FormatError> {
        match checked {
            Ok(value) => Ok(Some(value)),
            Err(rule) => self.report(rule).map(|()| None),
        }
    }

    /// Returns the collected deviations, sorted by offset.
    pub(crate) fn into_list(self) -> Vec<FormatError> {
        match self {
            Self::Strict => Vec::new(),
            Self::Collected(mut list) => {
                list.sort_by_key(|rule| rule.place().offset);
                list
            }
        }
    }
}
