use super::*;
use proptest::prelude::*;

/// The group order of secp256k1 (SEC 2, section 2.4.1).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
    0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// The verdict of the other library, under the same rules.
fn k256_verdict(digest: Hash, signature: &Signature) -> Option<Address> {
    let (rs, v) = signature.0.split_at(64);
    let recovery = match v[0] {
        27 => k256::ecdsa::RecoveryId::new(false, false),
        28 => k256::ecdsa::RecoveryId::new(true, false),
        _ => return None,
    };
    let parsed = k256::ecdsa::Signature::from_slice(rs).ok()?;
    if parsed.normalize_s().is_some() {
        return None;
    }
    let key = k256::ecdsa::VerifyingKey::recover_from_prehash(&digest.0, &parsed, recovery).ok()?;
    Some(address_of_uncompressed(key.to_encoded_point(false).as_bytes()))
}

fn key(number: u8) -> SecretKey {
    let mut bytes = [0; 32];
    bytes[31] = number;
    SecretKey::from_bytes(bytes).unwrap()
}

/// `ORDER - s`, and the other recovery byte: the twin of a signature.
fn twin(signature: Signature) -> Signature {
    let mut twin = signature;
    let mut borrow = 0i16;
    for i in (0..32).rev() {
        let mut digit = i16::from(ORDER[i]) - i16::from(signature.0[32 + i]) - borrow;
        borrow = i16::from(digit < 0);
        digit += 256 * borrow;
        twin.0[32 + i] = digit as u8;
    }
    twin.0[64] = 55 - signature.0[64];
    twin
}

/// Attack A08: a ledger that takes both twins has both recovered to one signer, and nothing else.
#[test]
fn a08_either_twin_recovers_to_the_signer() {
    let digest = crate::keccak256::keccak256(b"header");
    let signature = key(1).sign(digest);
    for either in [signature, twin(signature)] {
        let mut seal = either.0;
        seal[64] -= 27;
        assert_eq!(recover_either_twin(digest, &seal), Ok(key(1).address()));
        seal[64] ^= 1;
        assert_ne!(recover_either_twin(digest, &seal), Ok(key(1).address()));
        for id in [4, 27, 28, 255] {
            seal[64] = id;
            let refused = SignatureError::RecoveryId { id };
            assert_eq!(recover_either_twin(digest, &seal), Err(refused));
        }
    }
    assert_eq!(recover_either_twin(digest, &[0; 65]), Err(SignatureError::Range));
    let mut seal = [0; 65];
    seal[..32].copy_from_slice(&ORDER);
    seal[63] = 1;
    assert_eq!(recover_either_twin(digest, &seal), Err(SignatureError::Range));
}

/// Addresses that every Ethereum tool gives for the keys 1 and 2, and for the development key of
/// Hardhat and Anvil.
#[test]
fn addresses_of_published_keys() {
    let hardhat = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    let hardhat: Hash = hardhat.parse().unwrap();
    let rows = [
        (key(1), "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"),
        (key(2), "0x2b5ad5c4795c026514f8317c7a215e218dccd6cf"),
        (SecretKey::from_bytes(hardhat.0).unwrap(), "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"),
    ];
    for (key, address) in rows {
        assert_eq!(key.address().to_string(), address);
        assert_eq!(address_of_compressed(&key.public_key_compressed()), Ok(key.address()));
    }
}

/// RFC 6979 with SHA-256 on secp256k1, key 1, as published with the Bitcoin libraries.
#[test]
fn deterministic_signature_of_a_published_example() {
    let digest = crate::keccak256::sha256(b"Satoshi Nakamoto");
    let signature = key(1).sign(digest);
    let text: String = signature.0[..64].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        text,
        "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8\
         2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
    );
}

/// Ethereum's precompile `ecrecover`: the example in the tests of go-ethereum.
#[test]
fn recovery_of_a_published_example() {
    let word = |text: &str| text.parse::<Hash>().unwrap().0;
    let mut bytes = [28; 65];
    bytes[..32]
        .copy_from_slice(&word("73b1693892219d736caba55bdb67216e485557ea6b6af75f37096c9aa6a5a75f"));
    bytes[32..64]
        .copy_from_slice(&word("eeb940b1d03b21e36b0e47e79769f095fe2ab855bd91e3a38756b7d75a9c4549"));
    let digest = Hash(word("18c547e4f7b0f325ad1e56f57e26c745b09a3e503d86e00e5255ff7f715d3d1c"));
    // The example's s is high; Homestead refuses it in transactions, and so does this code.
    assert_eq!(recover(digest, &Signature(bytes)), Err(SignatureError::HighS));
    let lower = twin(Signature(bytes));
    assert_eq!(
        recover(digest, &lower).unwrap().to_string(),
        "0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b"
    );
}

#[test]
fn keys_out_of_range_are_refused() {
    assert_eq!(SecretKey::from_bytes([0; 32]).err(), Some(KeyError));
    assert_eq!(SecretKey::from_bytes(ORDER).err(), Some(KeyError));
    let mut largest = ORDER;
    largest[31] -= 1;
    assert_eq!(SecretKey::from_bytes(largest).map(|key| key.to_bytes()), Ok(largest));
}

#[test]
fn a_secret_key_is_not_printed() {
    let text = format!("{:?} {}", key(200), key(200));
    assert!(!text.contains("c8c8") && !text.contains("00000000c8"), "{text}");
    assert!(text.contains(&key(200).address().to_string()));
}

#[test]
fn public_keys_that_are_none_are_refused() {
    let good = key(3).public_key_compressed();
    let mut not_on_curve = [0xff; 33];
    not_on_curve[0] = 2;
    let mut uncompressed_tag = good;
    uncompressed_tag[0] = 4;
    for bytes in [&good[..32], &[], &not_on_curve, &uncompressed_tag, &[0; 33], &[2; 34]] {
        let refused = SignatureError::PublicKey { len: bytes.len() };
        assert_eq!(address_of_compressed(bytes), Err(refused));
    }
}

#[test]
fn a08_the_twin_of_a_signature_is_refused() {
    for number in 1..=64 {
        let digest = keccak256(&[number]);
        let signature = key(number).sign(digest);
        assert_eq!(recover(digest, &signature), Ok(key(number).address()));
        let twin = twin(signature);
        assert_eq!(recover(digest, &twin), Err(SignatureError::HighS));
        assert_eq!(k256_verdict(digest, &twin), None);
    }
}

#[test]
fn a08_a_recovery_byte_other_than_27_or_28_is_refused() {
    let digest = keccak256(b"v");
    let mut signature = key(7).sign(digest);
    let good = signature.0[64];
    for v in (0..=255u8).filter(|v| *v != 27 && *v != 28) {
        signature.0[64] = v;
        assert_eq!(recover(digest, &signature), Err(SignatureError::RecoveryByte { v }));
    }
    signature.0[64] = 55 - good;
    let recovered = recover(digest, &signature).unwrap();
    let expected = key(7).address();
    assert_eq!(
        verify(digest, &signature, expected),
        Err(SignatureError::Signer { recovered, expected })
    );
}

#[test]
fn a08_r_or_s_out_of_range_is_refused() {
    let digest = keccak256(b"range");
    let good = key(9).sign(digest);
    for value in [[0; 32], ORDER, [0xff; 32]] {
        for from in [0, 32] {
            let mut signature = good;
            signature.0[from..from + 32].copy_from_slice(&value);
            assert_eq!(recover(digest, &signature), Err(SignatureError::Range));
            assert_eq!(k256_verdict(digest, &signature), None);
        }
    }
    let mut at_half = good;
    at_half.0[32..64].copy_from_slice(&S_MAX);
    assert_eq!(recover(digest, &at_half).ok(), k256_verdict(digest, &at_half));
    at_half.0[63] += 1;
    assert_eq!(recover(digest, &at_half), Err(SignatureError::HighS));
    assert_eq!(k256_verdict(digest, &at_half), None);
}

/// A DER signature, cut or filled up to 65 bytes, is not read as anything.
#[test]
fn a08_der_is_not_read() {
    let digest = keccak256(b"der");
    let signature = key(5).sign(digest);
    let parsed = k256::ecdsa::Signature::from_slice(&signature.0[..64]).unwrap();
    let der = parsed.to_der();
    let mut bytes = [0; 65];
    for (to, from) in bytes.iter_mut().zip(der.as_bytes()) {
        *to = *from;
    }
    let last = bytes[64];
    assert_eq!(recover(digest, &Signature(bytes)), Err(SignatureError::RecoveryByte { v: last }));
    for v in [27, 28] {
        bytes[64] = v;
        let verdict = recover(digest, &Signature(bytes));
        assert_ne!(verdict, Ok(key(5).address()));
        assert_eq!(verdict.ok(), k256_verdict(digest, &Signature(bytes)));
    }
}

#[test]
fn a08_every_flipped_bit_loses_the_signer() {
    let digest = keccak256(b"bits");
    let signature = key(11).sign(digest);
    let expected = key(11).address();
    for bit in 0..65 * 8 {
        let mut flipped = signature;
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(digest, &flipped, expected).is_err(), "bit {bit}");
        assert_eq!(recover(digest, &flipped).ok(), k256_verdict(digest, &flipped), "bit {bit}");
    }
}

#[test]
fn a01_the_zero_signature_and_the_zero_address_authorise_nothing() {
    let digest = keccak256(b"zero");
    assert_eq!(recover(digest, &Signature([0; 65])), Err(SignatureError::RecoveryByte { v: 0 }));
    let mut zero = Signature([0; 65]);
    zero.0[64] = 27;
    assert_eq!(verify(digest, &zero, Address::ZERO), Err(SignatureError::Range));
}

#[test]
fn a_refused_signature_is_a_matter_of_authentication() {
    assert_eq!(Refusal::from(SignatureError::HighS).class, Class::Auth);
}

proptest! {
    #[test]
    fn a08_both_libraries_agree_on_signatures(secret in any::<[u8; 32]>(), digest in any::<[u8; 32]>()) {
        let Ok(key) = SecretKey::from_bytes(secret) else { return Ok(()) };
        let digest = Hash(digest);
        let signature = key.sign(digest);
        prop_assert_eq!(recover(digest, &signature), Ok(key.address()));
        prop_assert_eq!(k256_verdict(digest, &signature), Some(key.address()));
        let theirs = libsecp::SecretKey::from_secret_bytes(secret).unwrap();
        let message = libsecp::Message::from_digest(digest.0);
        let (recovery, rs) =
            RecoverableSignature::sign_ecdsa_recoverable(message, &theirs).serialize_compact();
        prop_assert_eq!(&rs[..], &signature.0[..64]);
        prop_assert_eq!(recovery.to_u8() + 27, signature.0[64]);
    }

    #[test]
    fn a08_both_libraries_agree_on_noise(rs in any::<[u8; 64]>(), v in 26u8..=29, digest in any::<[u8; 32]>()) {
        let mut bytes = [v; 65];
        bytes[..64].copy_from_slice(&rs);
        // Half of all noise has a high s; clearing the top bit brings most of it below.
        for mask in [0xff, 0x7f] {
            bytes[32] &= mask;
            let signature = Signature(bytes);
            prop_assert_eq!(
                recover(Hash(digest), &signature).ok(),
                k256_verdict(Hash(digest), &signature)
            );
        }
    }
}
