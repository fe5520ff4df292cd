//! The two hashes in object names (format.md §4).

const FNV_PRIME: u32 = 0x0100_0193;
const MURMUR_SEED: u32 = 0x8c67_49ad;
const MURMUR_M: u32 = 0x5bd1_e995;
const MURMUR_R: u32 = 24;

/// Returns the 32-bit FNV-1 hash with the initial value 0 instead of the usual offset basis
/// (format.md §4).
pub fn fnv1(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |hash: u32, byte| {
        hash.wrapping_mul(FNV_PRIME) ^ u32::from(*byte)
    })
}

/// Returns the 32-bit MurmurHash2 over little-endian words, with the seed of format.md §4.
pub fn murmur2(bytes: &[u8]) -> u32 {
    // The reference implementation mixes in the length as a 32-bit number.
    let mut hash = MURMUR_SEED ^ (bytes.len() as u32);
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MURMUR_M);
        k ^= k >> MURMUR_R;
        hash = hash.wrapping_mul(MURMUR_M) ^ k.wrapping_mul(MURMUR_M);
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(MURMUR_M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MURMUR_M);
    hash ^ (hash >> 15)
}

/// Returns `fnv1 << 32 | murmur2`, the hash at the start of a V2 object name (format.md §4).
pub fn hash64(bytes: &[u8]) -> u64 {
    u64::from(fnv1(bytes)) << 32 | u64::from(murmur2(bytes))
}
