//! How many signatures a proof brings, read without decoding it.
//!
//! A false number helps nobody: the full decoder refuses any bytes but the canonical ones before
//! the first signature is checked, and in canonical bytes the number read here is the true one.

use tombolo_types::header::VALIDATORS_MAX;

/// Words before the tail of a [`Misbehaviour`](tombolo_types::transaction::Misbehaviour): two
/// headers of fifteen words, and four offsets. A proof of one header has its certificate elsewhere.
const MISBEHAVIOUR_HEAD_BYTES: u64 = 34 * 32;
/// The word with the offset of the (first) certificate follows the first header.
const CERTIFICATE_AT: u64 = 15 * 32;
/// The word with the offset of the second certificate, where there is one.
const SECOND_CERTIFICATE_AT: u64 = 32 * 32;
/// The word in a certificate with the offset of its signatures.
const SIGNATURES_AT: u64 = 3 * 32;

/// The number of signatures in a head proof, client update or evidence; 0 for other bytes.
pub(super) fn signatures(proof: &[u8]) -> u64 {
    let most = u64::try_from(VALIDATORS_MAX).unwrap_or(u64::MAX);
    let one = |at| certificate_signatures(proof, at).unwrap_or(0).min(most);
    match number_at(proof, CERTIFICATE_AT) {
        Some(MISBEHAVIOUR_HEAD_BYTES) => {
            one(CERTIFICATE_AT).saturating_add(one(SECOND_CERTIFICATE_AT))
        }
        _ => one(CERTIFICATE_AT),
    }
}

fn certificate_signatures(proof: &[u8], offset_at: u64) -> Option<u64> {
    let certificate = number_at(proof, offset_at)?;
    let signatures = number_at(proof, certificate.checked_add(SIGNATURES_AT)?)?;
    number_at(proof, certificate.checked_add(signatures)?)
}

/// The number in the word at `at`, where it fits 64 bits.
fn number_at(bytes: &[u8], at: u64) -> Option<u64> {
    let from = usize::try_from(at).ok()?;
    let word = bytes.get(from..from.checked_add(32)?)?;
    let (high, low) = word.split_at(24);
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    Some(u64::from_be_bytes(low.try_into().ok()?))
}
