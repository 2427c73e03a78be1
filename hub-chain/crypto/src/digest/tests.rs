//! Each preimage written out by hand, byte for byte.

use super::*;
use std::collections::BTreeSet;
use tombolo_types::{Power, UnixMillis, header::Validator};

fn word(name: &str) -> Hash {
    keccak256(name.as_bytes())
}

fn number(value: u128) -> Hash {
    let mut word = Hash::ZERO;
    word.0[16..].copy_from_slice(&value.to_be_bytes());
    word
}

fn right_aligned(address: Address) -> Hash {
    let mut word = Hash::ZERO;
    word.0[12..].copy_from_slice(&address.0);
    word
}

fn by_hand(kind: &str, words: &[Hash]) -> Hash {
    let mut bytes = keccak256(format!("tombolo/1/{kind}").as_bytes()).0.to_vec();
    for word in words {
        bytes.extend(word.0);
    }
    keccak256(&bytes)
}

#[test]
fn every_preimage_is_its_tag_and_its_words() {
    let (a, b, c) = (word("a"), word("b"), word("c"));
    let address = Address([7; 20]);
    let set = ValidatorSet {
        first_height: Height(9),
        validators: vec![Validator { address, power: Power(5) }],
    };
    let terms = Terms {
        hub: a.into(),
        beginner: b.into(),
        salt: c,
        deadline: UnixMillis(77),
        branches: vec![word("d"), word("e")],
    };
    let field_salt = by_hand("field-salt", &[c, number(3)]);
    let account = right_aligned(address);
    let rows: Vec<(&str, Hash, Vec<Hash>)> = vec![
        ("validators", validators_root(&set), vec![number(9), account, number(5)]),
        ("transaction", tx_id(b"x").into(), vec![word("x")]),
        ("identity", identity_id(address).into(), vec![account]),
        ("link", link_id(a.into(), b.into(), address, 2).into(), vec![a, b, account, number(2)]),
        (
            "message",
            message_leaf(
                a.into(),
                Direction::ChainToHub,
                LaneNumber(1),
                Epoch(2),
                MessageNumber(3),
                b"x",
            ),
            vec![a, number(1), number(1), number(2), number(3), word("x")],
        ),
        ("xid", xid(&terms).into(), vec![a, b, c, number(77), word("d"), word("e")]),
        ("authorisation", authorisation(a.into()), vec![a]),
        (
            "binding",
            binding(a.into(), b.into(), address, c.into(), 4),
            vec![a, b, account, c, number(4)],
        ),
        ("data", data_id(a.into(), b.into(), "x").into(), vec![a, b, word("x")]),
        ("fingerprint", fingerprint(b"x").into(), vec![word("x")]),
        ("envelope", envelope(b"x"), vec![word("x")]),
        ("schema", schema_id(b"x").into(), vec![word("x")]),
        ("council", council_act(a.into(), 1, 2, b), vec![a, number(1), number(2), b]),
        ("field", record_field(c, 3, b"x"), vec![number(3), field_salt, word("x")]),
        ("record", record_leaf(6, a), vec![number(6), a]),
    ];
    for (kind, found, words) in &rows {
        assert_eq!(*found, by_hand(kind, words), "{kind}");
    }
    let kinds: BTreeSet<&str> = rows.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds.len(), rows.len());
}

/// A prevote or a proposal is no precommit, and a vote for one block is none for another.
#[test]
fn a17_votes_differ_by_kind_chain_height_round_and_block() {
    let (chain, block) = (ChainId::from(word("a")), Some(BlockId::from(word("b"))));
    let mut digests = BTreeSet::new();
    for (name, kind) in [
        ("proposal", VoteKind::Proposal),
        ("prevote", VoteKind::Prevote),
        ("precommit", VoteKind::Precommit),
    ] {
        let digest = vote(kind, chain, Height(3), Round(4), block);
        assert_eq!(digest, by_hand(name, &[word("a"), number(3), number(4), word("b")]));
        let others = [
            digest,
            vote(kind, word("c").into(), Height(3), Round(4), block),
            vote(kind, chain, Height(4), Round(3), block),
            vote(kind, chain, Height(3), Round(5), block),
            vote(kind, chain, Height(3), Round(4), Some(word("c").into())),
            vote(kind, chain, Height(3), Round(4), None),
        ];
        digests.extend(others);
    }
    assert_eq!(digests.len(), 18);
}

/// Every field of a lane leaf is covered by its hash. Attack A06.
#[test]
fn a06_every_field_of_a_lane_leaf_counts() {
    let leaf = LaneLeaf {
        link: word("link").into(),
        direction: 1,
        lane: LaneNumber(2),
        epoch: Epoch(3),
        size: 4,
        root: word("root"),
        peer_epoch: Epoch(5),
        received: 6,
        received_root: word("received"),
        peer_height: Height(7),
        peer_id: word("peer").into(),
        trust_epoch: 8,
    };
    let words = [
        word("link"),
        number(1),
        number(2),
        number(3),
        number(4),
        word("root"),
        number(5),
        number(6),
        word("received"),
        number(7),
        word("peer"),
        number(8),
    ];
    assert_eq!(lane_leaf(&leaf), by_hand("lane-leaf", &words));
    let mut encoded = Vec::new();
    for word in words {
        encoded.extend(word.0);
    }
    assert_eq!(leaf.encode(), encoded, "what is hashed is what is encoded, after the tag");
}
