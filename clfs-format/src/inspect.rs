//! Inspection of objects that may break rules: decodes as much as possible and lists the broken
//! rules (format.md §8).

use crate::deviations::Deviations;
use crate::error::FormatError;
use crate::handle::{Handles, UnknownHandle};
use crate::name::ObjectName;
use crate::object::{Decoder, Object};

/// The result of [`Object::inspect`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection<'a> {
    /// The object, or the error that prevents decoding.
    ///
    /// The object may break the rules in `deviations`: an inode without NAME has an empty name, a
    /// directory may have bad entries ([`crate::DirEntries::iter_raw`]), and so on. The object name
    /// determines whether an inode is the root's; the block map does not.
    pub object: Result<Object<'a>, FormatError>,
    /// The broken rules that do not prevent decoding, sorted by offset; offsets count bytes of the
    /// payload. At most [`crate::limits::DEVIATIONS`] entries, and at most four for each rule in each
    /// structure. All bad directory entries count as one structure ([`crate::Part::Entry`]).
    pub deviations: Vec<FormatError>,
    /// The handles of types that no loader writes, in the order of the payload.
    pub unknown: Vec<UnknownHandle>,
}

impl<'a> Object<'a> {
    /// Decodes as much as possible of a payload, as the kind of object that `name` names.
    ///
    /// [`Object::decode`] returns the same object if there are no unknown handles and the only
    /// deviations are a different order of handles ([`crate::Corrupt::HandleOrder`]) and null
    /// filehandles in entries ([`crate::Corrupt::NullId`]). Otherwise it fails.
    pub fn inspect(name: &ObjectName, payload: &'a [u8]) -> Inspection<'a> {
        let mut unknown = Vec::new();
        let mut deviations = Deviations::collected();
        let handles = Handles::read(payload, &mut unknown, &mut deviations);
        let object = handles.and_then(|handles| {
            let damage = handles.damage();
            let decoder = Decoder::for_name(name);
            let object = decoder.and_then(|decoder| decoder.decode(handles, &mut deviations));
            match damage {
                Some(damage) if object.as_ref().err() != Some(&damage) => {
                    deviations.report(damage)?;
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
