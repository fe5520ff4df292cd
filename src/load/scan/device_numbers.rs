//! Numbers of devices that last longer than a mount (docs/design.md, Identity of the source).

use std::collections::{BTreeSet, HashMap};

use crate::entry::{Entry, EntryId, NewEntry};
use crate::source::{CallKind, OpenError, SourceTree};
use crate::state::{Reader, StateError};

/// Recorded names that are compared to find the device that has a number.
const COMPARED_NAMES: u32 = 64;

/// Replaces the device numbers of this mount, in new entries, by those that the state holds.
pub(super) struct DeviceNumbers<'a> {
    source: &'a SourceTree,
    file_systems: HashMap<EntryId, Numbers>,
}

/// The devices of one file system of the source.
#[derive(Default)]
struct Numbers {
    /// By `st_dev`.
    of_devices: HashMap<u64, u64>,
    /// Numbers that belong to a device, which may be unknown in this mount.
    used: BTreeSet<u64>,
}

impl Numbers {
    /// Returns the number of a device; a new one if the device has none.
    fn of(&mut self, device: u64) -> u64 {
        let Numbers { of_devices, used } = self;
        *of_devices.entry(device).or_insert_with(|| {
            let mut free = (1..).filter(|number| !used.contains(number));
            // Fewer numbers are used than there are.
            let number = free.next().unwrap_or(u64::MAX);
            used.insert(number);
            number
        })
    }
}

impl<'a> DeviceNumbers<'a> {
    pub(super) fn new(source: &'a SourceTree) -> Self {
        DeviceNumbers {
            source,
            file_systems: HashMap::new(),
        }
    }

    /// Gives the link of `entry` the number of its device.
    pub(super) fn replace(
        &mut self,
        entry: &mut NewEntry,
        reader: &Reader,
    ) -> Result<(), StateError> {
        // 0 is the device of the directories.
        let Some(link) = entry.link.as_mut().filter(|link| link.device != 0) else {
            return Ok(());
        };
        let numbers = match self.file_systems.entry(link.file_system) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                unknown.insert(recorded(self.source, link.file_system, reader)?)
            }
        };
        link.device = numbers.of(link.device);
        Ok(())
    }
}

/// Finds the devices that have the recorded numbers in this mount.
fn recorded(
    source: &SourceTree,
    file_system: EntryId,
    reader: &Reader,
) -> Result<Numbers, StateError> {
    let mut numbers = Numbers::default();
    for number in reader.link_devices(file_system)? {
        numbers.used.insert(number);
        for name in reader.names_on_device(file_system, number, COMPARED_NAMES)? {
            match device_of(source, &name) {
                Ok(Some(device)) => {
                    numbers.of_devices.entry(device).or_insert(number);
                    break;
                }
                // A name that was removed or belongs to another file proves nothing.
                Ok(None) | Err(OpenError::Problem(_)) => {}
                Err(OpenError::State(error)) => return Err(error),
            }
        }
    }
    Ok(numbers)
}

/// Returns the device of a recorded name in this mount, if the name still has the recorded file.
fn device_of(source: &SourceTree, name: &Entry) -> Result<Option<u64>, OpenError> {
    let _call = source.begin_call(CallKind::Scan, name.id);
    let directory = source.directory(name.parent)?;
    let seen = directory.examine(&name.name)?;
    let known = &name.attributes;
    let is_same = seen.attributes.file_type == known.file_type
        && seen.attributes.inode == known.inode
        && known.agrees(&seen.attributes);
    Ok((is_same && seen.device != directory.device()).then_some(seen.device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_numbers_that_no_other_device_has() {
        let mut numbers = Numbers::default();
        numbers.used.extend([1, 3]);
        numbers.of_devices.insert(70, 3);
        // Number 1 belongs to a device that was not found.
        assert_eq!(
            [50, 60, 50, 70].map(|device| numbers.of(device)),
            [2, 4, 2, 3]
        );
    }
}
