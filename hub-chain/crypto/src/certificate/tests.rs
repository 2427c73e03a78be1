use super::*;
use crate::fixture::{certificate, certified, chain, header, key, set};
use crate::keccak256::keccak256;
use proptest::prelude::*;
use tombolo_types::{
    Round,
    header::{CommitSignature, Signature, TOTAL_POWER_MAX, VALIDATORS_MAX},
};

const FOUR: [(u8, u64); 4] = [(1, 1), (2, 1), (3, 1), (4, 1)];

fn block() -> BlockId {
    keccak256(b"a block").into()
}

fn signed_by(signers: &[u8]) -> Certificate {
    certificate(chain(), Height(9), Round(2), block(), signers)
}

#[test]
fn more_than_two_thirds_certify() {
    let set = set(1, &FOUR);
    assert_eq!(verify(&signed_by(&[1, 2, 3, 4]), chain(), &set), Ok(()));
    assert_eq!(verify(&signed_by(&[1, 2, 4]), chain(), &set), Ok(()));
    assert_eq!(
        verify(&signed_by(&[1, 2]), chain(), &set),
        Err(CertificateError::Power { signed: Power(2), total: Power(4) })
    );
}

#[test]
fn exactly_two_thirds_are_not_enough() {
    let three = set(1, &[(1, 10), (2, 10), (3, 10)]);
    assert_eq!(
        verify(&signed_by(&[1, 2]), chain(), &three),
        Err(CertificateError::Power { signed: Power(20), total: Power(30) })
    );
    let three = set(1, &[(1, 10), (2, 11), (3, 10)]);
    assert_eq!(verify(&signed_by(&[1, 2]), chain(), &three), Ok(()));
}

#[test]
fn a01_no_signature_and_no_block_certify_nothing() {
    let set = set(1, &FOUR);
    assert_eq!(
        verify(&signed_by(&[]), chain(), &set),
        Err(CertificateError::Power { signed: Power(0), total: Power(4) })
    );
    let none = ValidatorSet { first_height: Height(1), validators: vec![] };
    assert_eq!(
        verify(&signed_by(&[]), chain(), &none),
        Err(CertificateError::Set(ValidatorSetError::Count { count: 0 }))
    );
    // A precommit for no block is signed over the zero word; two thirds of them decide nothing.
    let nil = certificate(chain(), Height(9), Round(2), BlockId::ZERO, &[1, 2, 3, 4]);
    assert_eq!(verify(&nil, chain(), &set), Err(CertificateError::NoBlock { height: Height(9) }));
}

#[test]
fn a09_one_signer_three_times_counts_for_nothing() {
    let set = set(1, &FOUR);
    let one = signed_by(&[1]).signatures[0].clone();
    let mut padded = signed_by(&[1]);
    padded.signatures = vec![one.clone(), one.clone(), one.clone()];
    assert_eq!(verify(&padded, chain(), &set), Err(CertificateError::Order { signer: one.signer }));
}

#[test]
fn a09_a_stranger_among_the_signers_voids_the_certificate() {
    let set = set(1, &FOUR);
    for signers in [&[1, 2, 9][..], &[1, 2, 3, 9]] {
        assert_eq!(
            verify(&signed_by(signers), chain(), &set),
            Err(CertificateError::Stranger { signer: key(9).address(), first_height: Height(1) })
        );
    }
}

#[test]
fn a09_one_bad_signature_among_good_ones_voids_the_certificate() {
    let set = set(1, &FOUR);
    for bad in 0..4 {
        let mut certificate = signed_by(&[1, 2, 3, 4]);
        let signer = certificate.signatures[bad].signer;
        let other = keccak256(b"another digest");
        let number = (1..=4).find(|number| key(*number).address() == signer).unwrap();
        certificate.signatures[bad].signature = key(number).sign(other);
        let Err(CertificateError::Signature { signer: found, error }) =
            verify(&certificate, chain(), &set)
        else {
            panic!("a bad signature at {bad} was accepted");
        };
        assert_eq!(found, signer);
        assert!(
            matches!(error, SignatureError::Signer { .. } | SignatureError::Unrecoverable),
            "{error}"
        );
    }
}

#[test]
fn a09_unordered_signers_and_the_zero_address_are_refused() {
    let set = set(1, &FOUR);
    let mut reversed = signed_by(&[1, 2, 3, 4]);
    reversed.signatures.reverse();
    let signer = reversed.signatures[1].signer;
    assert_eq!(verify(&reversed, chain(), &set), Err(CertificateError::Order { signer }));
    let mut zero = signed_by(&[1, 2, 3]);
    zero.signatures
        .insert(0, CommitSignature { signer: Address::ZERO, signature: Signature([0; 65]) });
    assert_eq!(
        verify(&zero, chain(), &set),
        Err(CertificateError::Order { signer: Address::ZERO })
    );
}

#[test]
fn a09_more_signatures_than_members_are_refused_before_any_is_checked() {
    let set = set(1, &FOUR);
    let mut many = signed_by(&[1, 2, 3, 4, 5]);
    for commit in &mut many.signatures {
        commit.signature = Signature([0; 65]);
    }
    assert_eq!(
        verify(&many, chain(), &set),
        Err(CertificateError::TooMany { signatures: 5, members: 4 })
    );
}

#[test]
fn a09_powers_at_the_limit_do_not_overflow() {
    let third = TOTAL_POWER_MAX / 3;
    let full = set(1, &[(1, third), (2, third), (3, TOTAL_POWER_MAX - 2 * third)]);
    assert_eq!(verify(&signed_by(&[1, 2, 3]), chain(), &full), Ok(()));
    assert!(matches!(
        verify(&signed_by(&[1, 2]), chain(), &full),
        Err(CertificateError::Power { .. })
    ));
    let above = set(1, &[(1, u64::MAX), (2, u64::MAX), (3, 2)]);
    assert!(matches!(
        verify(&signed_by(&[1, 2, 3]), chain(), &above),
        Err(CertificateError::Set(ValidatorSetError::Power { .. }))
    ));
    assert!(!more_than_two_thirds(Power::ZERO, Power::ZERO));
    assert!(more_than_two_thirds(Power::MAX, Power::MAX));
}

#[test]
fn a09_a_set_out_of_order_certifies_nothing() {
    let mut twice = set(1, &FOUR);
    twice.validators[1] = twice.validators[0].clone();
    let address = twice.validators[0].address;
    assert_eq!(
        verify(&signed_by(&[1, 2, 3, 4]), chain(), &twice),
        Err(CertificateError::Set(ValidatorSetError::Order { address }))
    );
    let members: Vec<(u8, u64)> = (1..=101).map(|number| (number, 1)).collect();
    assert_eq!(
        verify(&signed_by(&[1, 2, 3, 4]), chain(), &set(1, &members)),
        Err(CertificateError::Set(ValidatorSetError::Count { count: VALIDATORS_MAX + 1 }))
    );
}

#[test]
fn a17_a_certificate_serves_no_other_chain_height_round_block_or_kind() {
    let set = set(1, &FOUR);
    let good = signed_by(&[1, 2, 3, 4]);
    let refused = |certificate: &Certificate, chain: ChainId| {
        assert!(matches!(
            verify(certificate, chain, &set),
            Err(CertificateError::Signature { error: SignatureError::Signer { .. }, .. })
        ));
    };
    refused(&good, keccak256(b"another chain").into());
    refused(&Certificate { height: Height(10), ..good.clone() }, chain());
    refused(&Certificate { round: Round(3), ..good.clone() }, chain());
    refused(&Certificate { block_id: keccak256(b"another block").into(), ..good }, chain());
    for kind in [VoteKind::Proposal, VoteKind::Prevote] {
        let digest = digest::vote(kind, chain(), Height(9), Round(2), Some(block()));
        let mut votes = signed_by(&[1, 2, 3, 4]);
        for commit in &mut votes.signatures {
            let number = (1..=4).find(|n| key(*n).address() == commit.signer).unwrap();
            commit.signature = key(number).sign(digest);
        }
        refused(&votes, chain());
    }
}

#[test]
fn a_header_is_certified_under_the_set_it_names() {
    let set_now = set(5, &FOUR);
    let good = header(9, 1000, &set_now, &set_now);
    let certificate = certified(&good, &[1, 2, 3]);
    let believed = certify(&good, &certificate, chain(), &set_now).unwrap();
    assert_eq!(believed.block_id(), digest::block_id(&good));
    assert_eq!(believed.header(), &good);

    let other_set = set(6, &FOUR);
    assert_eq!(
        certify(&good, &certificate, chain(), &other_set),
        Err(HeaderError::Validators {
            named: digest::validators_root(&set_now),
            at_hand: digest::validators_root(&other_set)
        })
    );
    let early = header(4, 1000, &set_now, &set_now);
    assert_eq!(
        certify(&early, &certified(&early, &[1, 2, 3]), chain(), &set_now),
        Err(HeaderError::BeforeSet { height: Height(4), first_height: Height(5) })
    );
}

#[test]
fn a06_a_certificate_of_another_header_is_refused() {
    let set = set(1, &FOUR);
    let good = header(9, 1000, &set, &set);
    let certificate = certified(&good, &[1, 2, 3]);
    let mut other = good.clone();
    other.lanes_root = keccak256(b"other lanes");
    assert_eq!(
        certify(&other, &certificate, chain(), &set),
        Err(HeaderError::Block {
            certified: digest::block_id(&good),
            block_id: digest::block_id(&other)
        })
    );
    other.height = Height(10);
    assert_eq!(
        certify(&other, &certificate, chain(), &set),
        Err(HeaderError::Height { certified: Height(9), height: Height(10) })
    );
}

#[test]
fn words_that_this_version_fixes_are_checked_in_every_header() {
    let set = set(1, &FOUR);
    let good = header(9, 1000, &set, &set);
    let word = keccak256(b"something");
    let zero = |word| HeaderError::Word { word, rule: "be zero" };
    let not_zero = |word| HeaderError::Word { word, rule: "not be zero" };
    let rows = [
        (Header { version: 2, ..good.clone() }, HeaderError::Version { version: 2 }),
        (Header { version: 0, ..good.clone() }, HeaderError::Version { version: 0 }),
        (Header { state_root: word, ..good.clone() }, zero("state root")),
        (Header { extensions_root: word, ..good.clone() }, zero("extensions root")),
        (Header { reserved: word, ..good.clone() }, zero("reserved word")),
        (Header { lanes_root: Hash::ZERO, ..good.clone() }, not_zero("lanes root")),
        (Header { validators_root: Hash::ZERO, ..good.clone() }, not_zero("validators root")),
        (
            Header { next_validators_root: Hash::ZERO, ..good.clone() },
            not_zero("next validators root"),
        ),
        (
            Header { chain_id: word.into(), ..good.clone() },
            HeaderError::Chain { found: word.into(), expected: chain() },
        ),
    ];
    for (header, expected) in rows {
        let certificate = certified(&header, &[1, 2, 3, 4]);
        assert_eq!(certify(&header, &certificate, chain(), &set), Err(expected));
        let class = match expected {
            HeaderError::Version { .. } => Class::Version,
            HeaderError::Word { .. } => Class::Format,
            _ => Class::Proof,
        };
        assert_eq!(Refusal::from(expected).class, class);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Beside a naive count: who signed, each once, and more than two thirds.
    #[test]
    fn a09_the_verdict_is_that_of_a_naive_count(
        powers in proptest::collection::vec(1u64..50, 1..8),
        signers in proptest::collection::btree_set(1u8..9, 0..8),
        spoiled in proptest::option::of(0usize..8),
    ) {
        let members: Vec<(u8, u64)> = (1u8..).zip(powers.iter().copied()).collect();
        let set = set(1, &members);
        let signers: Vec<u8> = signers.into_iter().collect();
        let mut certificate = signed_by(&signers);
        let spoiled = spoiled.filter(|position| *position < signers.len());
        if let Some(position) = spoiled {
            certificate.signatures[position].signature.0[40] ^= 1;
        }
        let strangers = signers.iter().any(|number| usize::from(*number) > powers.len());
        let signed: u64 = signers
            .iter()
            .filter_map(|number| powers.get(usize::from(*number) - 1))
            .sum();
        let expected =
            !strangers && spoiled.is_none() && signed * 3 > powers.iter().sum::<u64>() * 2;
        prop_assert_eq!(verify(&certificate, chain(), &set).is_ok(), expected);
    }
}
