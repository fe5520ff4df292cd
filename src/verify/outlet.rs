//! Where findings leave: with their paths, counted.

use super::finding::{Finding, Found};
use super::scratch::{Scratch, ScratchError};
use super::summary::Summary;

/// Takes findings as they come.
pub type FindingSink = Box<dyn FnMut(&Finding) + Send>;

/// The sink, and the count of what went into it.
pub(super) struct Outlet {
    sink: FindingSink,
    pub(super) summary: Summary,
}

impl Outlet {
    pub(super) fn new(sink: FindingSink) -> Self {
        Self {
            sink,
            summary: Summary::default(),
        }
    }

    /// Gives a finding away.
    ///
    /// # Errors
    /// When its path cannot be looked up.
    pub(super) fn give(&mut self, scratch: &Scratch, found: Found) -> Result<(), ScratchError> {
        let finding = scratch.located(found)?;
        self.summary.count(&finding);
        (self.sink)(&finding);
        Ok(())
    }
}
