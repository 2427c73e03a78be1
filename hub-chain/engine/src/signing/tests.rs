//! Tests of signing.

use super::*;
use crate::context::{Level, Value, Voter};

const CHAIN: ChainId = ChainId([9; 32]);

fn keys(n: u8) -> (tempfile::TempDir, Keys) {
    let folder = tempfile::tempdir().unwrap();
    let guard = Guard::open(&folder.path().join("guard")).unwrap();
    let key = SecretKey::from_bytes([n; 32]).unwrap();
    (folder, Keys { chain: CHAIN, key, guard: Arc::new(Mutex::new(guard)), shared: Arc::default() })
}

fn vote(keys: &Keys, kind: VoteType, value: NilOrVal<BlockId>) -> Vote {
    let voter = Voter(keys.address());
    Vote { kind, height: Level(4), round: Round::new(1), value, voter }
}

fn proposal(keys: &Keys, pol_round: Round) -> Proposal {
    let proposer = Voter(keys.address());
    let value = Value(BlockId([2; 32]));
    Proposal { height: Level(4), round: Round::new(3), value, pol_round, proposer }
}

#[tokio::test]
async fn a_precommit_is_what_a_contract_recovers() {
    let (_folder, keys) = keys(1);
    let block = BlockId([2; 32]);
    let signed =
        keys.sign_vote(vote(&keys, VoteType::Precommit, NilOrVal::Val(block))).await.unwrap();
    let round = tombolo_types::Round(1);
    let digest = digest::vote(VoteKind::Precommit, CHAIN, Height(4), round, Some(block));
    assert_eq!(secp256k1::recover(digest, &signed.signature), Ok(keys.address()));
}

#[tokio::test]
async fn a_vote_holds_for_its_words_alone() {
    let (_folder, keys) = keys(1);
    let checker = Checker { chain: CHAIN };
    let block = NilOrVal::Val(BlockId([2; 32]));
    let signed = keys.sign_vote(vote(&keys, VoteType::Prevote, block)).await.unwrap();
    let holds = async |checker: Checker, vote: Vote, signature: Signature, address: Address| {
        checker.verify_signed_vote(&vote, &signature, &address).await.unwrap().is_valid()
    };
    let (good, signature, address) = (signed.message.clone(), signed.signature, keys.address());
    assert!(holds(checker, good.clone(), signature, address).await);
    for (what, other) in [
        ("kind", Vote { kind: VoteType::Precommit, ..good.clone() }),
        ("height", Vote { height: Level(5), ..good.clone() }),
        ("round", Vote { round: Round::new(2), ..good.clone() }),
        ("no round", Vote { round: Round::Nil, ..good.clone() }),
        ("no block", Vote { value: NilOrVal::Nil, ..good.clone() }),
    ] {
        assert!(!holds(checker, other, signature, address).await, "{what}");
    }
    assert!(!holds(Checker { chain: ChainId([8; 32]) }, good.clone(), signature, address).await);
    assert!(!holds(checker, good.clone(), signature, Address([1; 20])).await);
    // The twin that would pass in the network and fail in a contract.
    for v in [0, 1, 26, 29] {
        let mut bytes = signature.0;
        bytes[64] = v;
        assert!(!holds(checker, good.clone(), Signature(bytes), address).await, "v {v}");
    }
}

/// Whoever relays a proposal cannot change the round of prevotes it names.
#[tokio::test]
async fn a13_a_proposal_is_signed_with_its_polka_round() {
    let (_folder, keys) = keys(1);
    let checker = Checker { chain: CHAIN };
    let signed = keys.sign_proposal(proposal(&keys, Round::new(0))).await.unwrap();
    for (pol_round, holds) in [(Round::new(0), true), (Round::Nil, false), (Round::new(1), false)] {
        let other = proposal(&keys, pol_round);
        let address = keys.address();
        let result = checker.verify_signed_proposal(&other, &signed.signature, &address).await;
        assert_eq!(result.unwrap().is_valid(), holds, "{pol_round}");
    }
    let second = keys.sign_proposal(proposal(&keys, Round::Nil)).await.unwrap();
    assert_eq!(second.signature, WITHHELD);
}

/// Where the guard refuses, the node abstains: what leaves is a vote that holds for nobody.
#[tokio::test]
async fn a13_a_withheld_signature_holds_for_nobody() {
    let (_folder, keys) = keys(1);
    let checker = Checker { chain: CHAIN };
    let address = keys.address();
    let vote_for = |n| vote(&keys, VoteType::Prevote, NilOrVal::Val(BlockId([n; 32])));
    let first = keys.sign_vote(vote_for(2)).await.unwrap();
    let second = keys.sign_vote(vote_for(3)).await.unwrap();
    for (signed, holds) in [(first, true), (second, false)] {
        let result = checker.verify_signed_vote(&signed.message, &signed.signature, &address).await;
        assert_eq!(result.unwrap().is_valid(), holds);
    }
    assert_eq!(keys.shared.snapshot(0).signatures_withheld_total, 1);
    keys.retire();
    assert!(keys.sign_vote(vote_for(2)).await.is_err(), "not even again, once the engine ends");
}

#[tokio::test]
async fn a13_a_changed_mind_repeats_the_vote_for_no_block() {
    let (_folder, keys) = keys(1);
    let first = keys.sign_vote(vote(&keys, VoteType::Precommit, NilOrVal::Nil)).await.unwrap();
    let block = NilOrVal::Val(BlockId([2; 32]));
    let second = keys.sign_vote(vote(&keys, VoteType::Precommit, block)).await.unwrap();
    assert_eq!(second, first);
}

#[tokio::test]
async fn a_connection_is_proved_for_one_peer_and_one_chain() {
    let (_folder, keys) = keys(1);
    let address = keys.address().0.to_vec();
    let proof = keys.sign_validator_proof(address.clone(), vec![1, 2]).await.unwrap();
    let holds = async |chain, proof: &ValidatorProof<Context>| {
        Checker { chain }.verify_validator_proof(proof).await.unwrap().is_valid()
    };
    assert!(holds(CHAIN, &proof).await);
    assert!(!holds(ChainId([8; 32]), &proof).await);
    let stolen = ValidatorProof::new(address, vec![3], proof.signature);
    assert!(!holds(CHAIN, &stolen).await);
    assert!(!holds(CHAIN, &ValidatorProof::new(vec![1], vec![1, 2], proof.signature)).await);
}
