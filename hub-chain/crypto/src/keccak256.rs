//! Keccak-256 as Ethereum has it (not SHA3-256), and SHA-256 for hash-timelocks.

use sha3::Digest as _;
use tombolo_types::Hash;

/// Keccak-256 of `bytes`.
#[must_use]
pub fn keccak256(bytes: &[u8]) -> Hash {
    Hash(sha3::Keccak256::digest(bytes).into())
}

/// Keccak-256 of the parts, one after the other.
#[must_use]
pub fn keccak256_concat<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Hash {
    let mut hasher = sha3::Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    Hash(sha2::Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Keccak team's own answer for the empty message, as used by Ethereum.
    #[test]
    fn keccak256_of_nothing() {
        assert_eq!(
            keccak256(b"").to_string(),
            "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
        );
        assert_eq!(keccak256_concat([b"ab".as_slice(), b"c"]), keccak256(b"abc"));
    }

    /// FIPS 180-4, the example of one block.
    #[test]
    fn sha256_of_abc() {
        assert_eq!(
            sha256(b"abc").to_string(),
            "0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
