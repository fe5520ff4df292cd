//! A sorted run of names in memory.

/// Bytes of bookkeeping a name: its start and length.
const PER_NAME: usize = 8;

/// Names in one buffer, with the start and length of each.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) bytes: Vec<u8>,
    pub(super) places: Vec<(u32, u16)>,
    /// The number of names that were returned.
    taken: usize,
}

impl Run {
    /// Adds a name with its NUL. All names of a run include it.
    pub(super) fn push(&mut self, name: &[u8]) {
        // RUN_BYTES and NAME_MAX bound both numbers far below their types.
        self.places
            .push((self.bytes.len() as u32, name.len() as u16));
        self.bytes.extend_from_slice(name);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() + self.places.len() * PER_NAME
    }

    pub(super) fn left(&self) -> usize {
        self.places.len() - self.taken
    }

    pub(super) fn name(&self, (start, length): (u32, u16)) -> &[u8] {
        let start = start as usize;
        self.bytes
            .get(start..start + usize::from(length))
            .unwrap_or_default()
    }

    /// Sorts the names and removes duplicates: readdir(3) may return a name twice if the directory
    /// changes meanwhile.
    pub(super) fn sort(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable_by(|a, b| self.name(*a).cmp(self.name(*b)));
        places.dedup_by(|a, b| self.name(*a) == self.name(*b));
        self.places = places;
    }

    /// Frees the memory that was allocated for further names.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.places.shrink_to_fit();
    }

    pub(super) fn next<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let place = *self.places.get(self.taken)?;
        self.taken += 1;
        Some(take(self.name(place)))
    }
}
