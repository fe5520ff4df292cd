//! Looking at an object without refusing it: what can be read, and every rule that is broken.

use crate::deviations::Deviations;
use crate::error::FormatError;
use crate::handle::{Handles, UnknownHandle};
use crate::name::ObjectName;
use crate::object::{Decoder, Object};

/// What looking at a payload gave.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection<'a> {
    /// The object, or why it cannot be read.
    ///
    /// It may break the rules that `deviations` names: an inode without NAME has an empty name, a
    /// directory's entries may be bad ones ([`crate::DirEntries::iter_raw`]), and so on. Whether an
    /// inode is the root's its object name says, not the block map.
    pub object: Result<Object<'a>, FormatError>,
    /// Broken rules that do not keep the object from being read, in order of place; offsets count
    /// bytes of the payload. At most [`crate::limits::DEVIATIONS`], and of one rule in one structure
    /// the first four: of bad entries too, which have [`crate::Part::Entry`].
    pub deviations: Vec<FormatError>,
    /// Handles of types that a loader never writes, in the order of the payload.
    pub unknown: Vec<UnknownHandle>,
}

impl<'a> Object<'a> {
    /// Reads what can be read of a payload; the name says what it must be. [`Object::decode`] has the
    /// same object where there are no deviations other than handles in another order
    /// ([`crate::Corrupt::HandleOrder`]) and null filehandles in entries ([`crate::Corrupt::NullId`]),
    /// and no unknown handles; otherwise it refuses.
    pub fn inspect(name: &ObjectName, payload: &'a [u8]) -> Inspection<'a> {
        let mut unknown = Vec::new();
        let mut deviations = Deviations::listed();
        let handles = Handles::read(payload, &mut unknown, &mut deviations);
        let object = handles.and_then(|handles| {
            let damage = handles.damage();
            let decoder = Decoder::of(name);
            let object = decoder.and_then(|decoder| decoder.decode(handles, &mut deviations));
            match damage {
                Some(damage) if object.as_ref().err() != Some(&damage) => {
                    deviations.broken(damage)?;
                }
                _ => {}
            }
            object
        });
        Inspection {
            object,
            deviations: deviations.into_list(),
            unknown,
        }
    }
}
