//! Blob names (format.md §4).

/// FNV-1 with offset basis 0.
pub(crate) fn fnv1(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0u32, |h, byte| {
        h.wrapping_mul(0x0100_0193) ^ u32::from(*byte)
    })
}

/// MurmurHash2, 32 bit.
pub(crate) fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x8c67_49ad ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().unwrap()).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        for (at, byte) in tail.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * at);
        }
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

/// Returns the hash in object names and owners.
pub fn hash64(bytes: &[u8]) -> u64 {
    u64::from(fnv1(bytes)) << 32 | u64::from(murmur2(bytes))
}

/// The fields of a name. Only their syntax is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The leading hash: 32 bits in V1 names, 64 in V2.
    pub hash: u64,
    /// The object id.
    pub id: Vec<u8>,
    /// Object type and owner hash; none in V1 names.
    pub v2: Option<(u16, u64)>,
    /// Version of the object.
    pub version: u64,
    /// Snapshot, `FFFFFFFF` for none.
    pub snapshot: u32,
}

impl Name {
    /// Parses a name. The error describes the syntax error.
    pub fn parse(text: &str) -> Result<Name, String> {
        let fields: Vec<&str> = text.split('.').collect();
        let (head, rest) = fields.split_first().ok_or("no fields")?;
        let (hash, id) = head.split_once('_').ok_or("no '_' after the hash")?;
        let id = upper_hex(id, id.len())?;
        match rest {
            [version, snapshot, "0001"] => Ok(Name {
                hash: number(hash, 8)?,
                id,
                v2: None,
                version: decimal(version, 11)?,
                snapshot: number(snapshot, 8)? as u32,
            }),
            [btype, owner, version, snapshot, "0002"] => Ok(Name {
                hash: number(hash, 16)?,
                id,
                v2: Some((decimal(btype, 4)? as u16, number(owner, 16)?)),
                version: decimal(version, 11)?,
                snapshot: number(snapshot, 8)? as u32,
            }),
            _ => Err("fields are neither those of a V1 nor of a V2 name".into()),
        }
    }

    /// Returns the hash that belongs to the id.
    pub fn right_hash(&self) -> u64 {
        match self.v2 {
            None => u64::from(fnv1(&self.id)),
            Some(_) => hash64(&self.id),
        }
    }
}

fn upper_hex(text: &str, width: usize) -> Result<Vec<u8>, String> {
    let digits = text.as_bytes();
    let good = digits
        .iter()
        .all(|d| d.is_ascii_digit() || (b'A'..=b'F').contains(d));
    if !good || digits.len() != width || !width.is_multiple_of(2) {
        return Err(format!("{text:?} is not upper-case hex of {width} digits"));
    }
    Ok((0..width)
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect())
}

fn number(text: &str, width: usize) -> Result<u64, String> {
    Ok(upper_hex(text, width)?
        .iter()
        .fold(0, |n, byte| n << 8 | u64::from(*byte)))
}

fn decimal(text: &str, width: usize) -> Result<u64, String> {
    if text.len() != width || !text.bytes().all(|d| d.is_ascii_digit()) {
        return Err(format!("{text:?} is not a decimal of {width} digits"));
    }
    text.parse().map_err(|_| format!("{text:?} is too large"))
}
