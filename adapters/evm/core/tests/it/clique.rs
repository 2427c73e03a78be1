//! Clique, on chains made here.

use crate::{
    chain::{
        Ballot, CLIQUE, Chain, Fields, GENESIS_TIME, PERIOD, address, advance, evidence, key,
        start, terms, update,
    },
    world::{GATEWAY, LINK, leaf, slots, world},
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tombolo_evm_core::{
    clique::{
        Clique, CliqueAnchor, CliqueRecent, CliqueVote, HEADERS_MAX, SIGNERS_MAX, VOTES_MAX,
        validators_root,
    },
    follow::{Client, REMEMBERED_MAX, chain_id},
    proof::EvmHeadProof,
    storage::pick_nodes,
};
use tombolo_types::{
    Address, Class, Hash, Height, LaneNumber, Refusal, UnixMillis,
    verifier::{ClientStatus, Conviction, HeadError, VerifiedHead, Verifier as _},
};

const LANE: LaneNumber = LaneNumber(1);
const EPOCH: u64 = 30_000;

/// A chain of the signers 1, 2 and 3, of this many blocks.
fn chain_of(blocks: u64) -> Chain {
    let mut chain = Chain::new(&[1, 2, 3], EPOCH);
    grow(&mut chain, blocks);
    chain
}

/// Adds blocks, signed in turn by 1, 2 and 3.
fn grow(chain: &mut Chain, blocks: u64) {
    for _ in 0..blocks {
        let signer = 1 + (chain.height() % 3) as u8;
        chain.add(signer, None);
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, HeadError>, class: Class, words: &str) {
    match result {
        Err(HeadError::Refused(refusal)) => {
            assert_eq!(refusal.class, class, "{refusal}");
            assert!(refusal.message.contains(words), "{refusal}");
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// The client froze, and takes nothing any more.
fn froze(result: Result<VerifiedHead, HeadError>, words: &str) {
    match result {
        Err(HeadError::Contradiction { client, refusal }) => {
            assert_eq!(refusal.class, Class::Proof);
            assert!(refusal.message.contains(words), "{refusal}");
            let now = UnixMillis(GENESIS_TIME * 1000);
            assert_eq!(CLIQUE.view(&client, now).unwrap().status, ClientStatus::Frozen);
            refused(update(&client, now, 0, vec![]), Class::Proof, "is frozen");
        }
        other => panic!("not frozen: {other:?}"),
    }
}

fn state(client: &[u8]) -> Client<Clique> {
    Client::decode(client).unwrap()
}

fn height_of(client: &[u8]) -> u64 {
    CLIQUE.view(client, UnixMillis(0)).unwrap().height.0
}

#[test]
fn a_client_starts_at_its_anchor() {
    let chain = chain_of(0);
    let view = CLIQUE.view(&chain.client(), chain.now()).unwrap();
    assert_eq!(view.chain, chain_id(771_177, chain.id(0)));
    assert_eq!((view.height, view.set_since), (Height(0), Height(1)));
    assert_eq!(view.block_id, chain.id(0).into());
    assert_eq!(view.newest_time, UnixMillis(GENESIS_TIME * 1000));
    assert_eq!(view.validators_root, validators_root(Height(0), &chain.signers));
    assert_eq!(view.status, ClientStatus::Active);
    assert_eq!(CLIQUE.kind(), "clique");
}

/// Attack A27: a block counts once more than half of the signers have sealed on top of it, no sooner.
/// Req: PRJ-4-4
#[test]
fn a27_a_block_is_final_under_more_than_half_of_the_signers() {
    for (signers, on_top) in [(1u8, 1u64), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)] {
        let all: Vec<u8> = (1..=signers).collect();
        let mut chain = Chain::new(&all, EPOCH);
        let client = chain.client();
        for number in 0..20u64 {
            chain.add(1 + (number % u64::from(signers)) as u8, None);
        }
        let good = update(&client, chain.now(), 20 - on_top, chain.after(0)).unwrap();
        assert_eq!(good.height, Height(20 - on_top));
        assert_eq!(good.block_id, chain.id(20 - on_top).into());
        assert_eq!(height_of(&good.client), 20 - on_top);
        let result = update(&client, chain.now(), 21 - on_top, chain.after(0));
        refused(result, Class::Finality, "is not final");
        // Exactly so many on top of one block, then one fewer.
        let upto = advance(&chain.headers[1..=1 + on_top as usize]);
        assert_eq!(update(&client, chain.now(), 1, upto).unwrap().height, Height(1));
        let upto = advance(&chain.headers[1..=on_top as usize]);
        refused(update(&client, chain.now(), 1, upto), Class::Finality, "is not final");
    }
}

/// A signer counts once, however often it seals; here two of five take turns as the rest sleeps.
#[test]
fn a27_a_signer_on_top_counts_once() {
    let mut chain = Chain::new(&[1, 2, 3, 4, 5], EPOCH);
    chain.grow(&[1, 2, 3, 1, 2]);
    let client = chain.client();
    assert_eq!(height_of(&update(&client, chain.now(), 2, chain.after(0)).unwrap().client), 2);
}

#[test]
fn a_head_is_proved_under_a_final_block() {
    let (state_root, all) = world(&[(GATEWAY, &slots(LANE, 6, 3))]);
    let mut chain = chain_of(4);
    let mut fields = chain.next(2, None);
    fields.state_root = state_root;
    chain.push(&fields, 2);
    chain.grow(&[3, 1]);
    let nodes = pick_nodes(all, state_root, GATEWAY, LANE).unwrap();
    let proof = |height, advance, nodes: &[Vec<u8>]| {
        EvmHeadProof { height: Height(height), advance, nodes: nodes.to_vec() }.encode()
    };
    let (client, now, claimed) = (chain.client(), chain.now(), leaf(LANE, 6, 3));
    let good = proof(5, chain.after(0), &nodes);
    let head = CLIQUE.head(&client, now, &good, &claimed).unwrap();
    assert_eq!((head.height, head.block_id), (Height(5), chain.id(5).into()));
    assert_eq!(head.time, UnixMillis((GENESIS_TIME + 5 * PERIOD) * 1000));
    assert_eq!(head.code_hash, Some(crate::world::code_hash(GATEWAY)));
    // Afterwards the same head needs no headers, and those that it knows do no harm.
    for advance in [vec![], chain.after(0), chain.after(3)] {
        let again = CLIQUE.head(&head.client, now, &proof(5, advance, &nodes), &claimed).unwrap();
        assert_eq!(again, head);
    }
    // Attack A06: another block, another leaf, another lane.
    let result = CLIQUE.head(&client, now, &proof(4, chain.after(0), &nodes), &claimed);
    refused(result, Class::Proof, "the walk needs");
    let result = CLIQUE.head(&client, now, &good, &leaf(LANE, 7, 3));
    refused(result, Class::Proof, "the leaf says size 7");
    let result = CLIQUE.head(&client, now, &good, &leaf(LaneNumber(2), 6, 3));
    refused(result, Class::Proof, "the walk needs");
    // Rule G1: a block that is not final is named as such, whatever its nodes.
    let result = CLIQUE.head(&client, now, &proof(6, chain.after(0), &[]), &claimed);
    refused(result, Class::Finality, "block 6 of chain");
    // The gateway and link of the terms are what is proved, and no other.
    let other = Client { gateway: crate::world::STRANGER, ..state(&client) };
    let result = CLIQUE.head(&borsh::to_vec(&other).unwrap(), now, &good, &claimed);
    refused(result, Class::Proof, "trie node");
    let other = Client { link: tombolo_types::id::LinkId([1; 32]), ..state(&client) };
    let result = CLIQUE.head(&borsh::to_vec(&other).unwrap(), now, &good, &claimed);
    refused(result, Class::Proof, "the leaf says link");
    assert_eq!(state(&client).link, LINK);
}

#[test]
fn a01_empty_and_zero_bytes_prove_nothing() {
    let chain = chain_of(3);
    let (client, now) = (chain.client(), chain.now());
    for bytes in [vec![], vec![0; 32], vec![0; 1024]] {
        let head = CLIQUE.head(&client, now, &bytes, &leaf(LANE, 1, 0));
        refused(head, Class::Format, "EvmHeadProof");
        refused(CLIQUE.update(&client, now, &bytes), Class::Format, "EvmUpdate");
        assert_eq!(CLIQUE.misbehaviour(&client, now, &bytes).unwrap_err().class, Class::Format);
        assert_eq!(CLIQUE.start(&bytes, &terms(), now).unwrap_err().class, Class::Format);
        assert_eq!(CLIQUE.weight(&bytes), 1);
    }
    for client in [vec![], vec![0; 7], vec![0; 400]] {
        let result = update(&client, now, 1, chain.after(0));
        assert_eq!(result.unwrap_err().class(), Class::Format);
    }
    // No advance at all, and one without headers.
    refused(update(&client, now, 1, vec![]), Class::Finality, "block 1");
    refused(update(&client, now, 1, advance(&[])), Class::Finality, "block 1");
}

/// One field at a time, what geth's Clique refuses is refused.
#[test]
fn headers_that_break_a_rule_are_refused() {
    type Change = fn(&mut Fields);
    let rows: [(&str, Class, Change); 17] = [
        ("has uncles", Class::Proof, |it| it.uncles = Hash([1; 32])),
        ("has a mix digest", Class::Proof, |it| it.mix = Hash([1; 32])),
        ("no vote", Class::Proof, |it| it.nonce = [1; 8]),
        ("Clique knows 1 and 2", Class::Proof, |it| it.difficulty = 0),
        ("Clique knows 1 and 2", Class::Proof, |it| it.difficulty = 3),
        ("left over", Class::Format, |it| it.difficulty = 256),
        ("its turn says", Class::Proof, |it| it.difficulty = 3 - it.difficulty),
        ("is no checkpoint", Class::Proof, |it| it.listed = crate::chain::addresses(&[1, 2, 3])),
        ("has parent", Class::Proof, |it| it.parent = Hash([1; 32])),
        ("has parent", Class::Proof, |it| it.number += 1),
        ("has parent", Class::Proof, |it| it.number -= 1),
        ("the period is", Class::Proof, |it| it.time -= 1),
        ("the period is", Class::Proof, |it| it.time = 0),
        ("ms ahead of", Class::Proof, |it| it.time += 601),
        ("ms ahead of", Class::Proof, |it| it.time = u64::MAX),
        ("has 16 fields since London, this one 17", Class::Version, |it| {
            it.newer = vec![Hash([1; 32])];
        }),
        ("has 16 fields since London, this one 20", Class::Version, |it| {
            it.newer = vec![Hash([1; 32]); 4];
        }),
    ];
    for (words, class, change) in rows {
        let good = chain_of(6);
        let mut chain = chain_of(5);
        let mut fields = chain.next(3, None);
        change(&mut fields);
        chain.push(&fields, 3);
        let now = UnixMillis(good.now().0);
        assert!(update(&good.client(), now, 4, good.after(0)).is_ok());
        let words = if class == Class::Format { "a Clique header is malformed" } else { words };
        refused(update(&chain.client(), now, 4, chain.after(0)), class, words);
    }
}

/// Req: D35-I.2-2
#[test]
fn seals_that_count_and_seals_that_do_not() {
    let good = chain_of(5);
    let with = |header: Vec<u8>| {
        let mut chain = chain_of(2);
        chain.push_raw(header);
        update(&chain.client(), good.now(), 0, chain.after(0))
    };
    let fields = chain_of(2).next(3, None);
    assert!(with(fields.seal(&key(3))).is_ok());
    refused(with(fields.seal(&key(9))), Class::Auth, "who is none of the 3 signers");
    refused(with(fields.with_seal(&[0; 65])), Class::Proof, "the seal of block 3 is none");
    let mut seal = [1; 65];
    seal[64] = 4;
    refused(with(fields.with_seal(&seal)), Class::Proof, "is 4, not 0 to 3");
    // A signer that must wait.
    for signer in [1, 2] {
        let mut chain = chain_of(2);
        let fields = chain.next(signer, None);
        chain.push(&fields, signer);
        let result = update(&chain.client(), good.now(), 0, chain.after(0));
        if signer == 1 {
            assert!(result.is_ok());
        } else {
            refused(result, Class::Proof, "who sealed block 2 and must wait");
        }
    }
}

/// Attack A08: a chain that takes the other twin of a seal is followed there. Both are different
/// blocks, and only one has anything on top of it.
#[test]
fn a08_either_twin_of_a_seal_counts_as_it_does_for_the_chain() {
    use k256::elliptic_curve::ops::Neg as _;
    let mut chain = chain_of(2);
    let fields = chain.next(3, None);
    let sealed = fields.seal(&key(3));
    // Behind the seal stand mix digest, nonce and base fee.
    let at = sealed.len() - 65 - 33 - 9 - 5;
    let mut seal: [u8; 65] = sealed[at..at + 65].try_into().unwrap();
    let signature = k256::ecdsa::Signature::from_slice(&seal[..64]).unwrap();
    let twin = k256::ecdsa::Signature::from_scalars(signature.r(), signature.s().neg()).unwrap();
    seal[..64].copy_from_slice(&twin.to_bytes());
    seal[64] ^= 1;
    assert_ne!(fields.with_seal(&seal), sealed);
    chain.push_raw(fields.with_seal(&seal));
    let twin = chain.id(3);
    chain.grow(&[1, 2]);
    let head = update(&chain.client(), chain.now(), 3, chain.after(0)).unwrap();
    assert_eq!(head.block_id, twin.into());
}

#[test]
fn a_checkpoint_lists_the_signers_and_votes_on_nobody() {
    let good = |epoch| {
        let mut chain = Chain::new(&[1, 2, 3], epoch);
        grow(&mut chain, 8);
        chain
    };
    let result = |change: fn(&mut Fields)| {
        let mut chain = good(4).cut(3);
        let mut fields = chain.next(1, None);
        change(&mut fields);
        chain.push(&fields, 1);
        update(&chain.client(), good(4).now(), 2, chain.after(0))
    };
    assert!(result(|_| {}).is_ok());
    let listing = "the checkpoint at block 4 lists";
    refused(result(|it| it.listed.clear()), Class::Proof, listing);
    refused(result(|it| it.listed.reverse()), Class::Proof, listing);
    refused(result(|it| it.listed.push(address(9))), Class::Proof, listing);
    refused(result(|it| it.listed[0] = address(9)), Class::Proof, listing);
    let votes = "is a checkpoint and votes on";
    refused(result(|it| it.candidate = address(9)), Class::Proof, votes);
    refused(result(|it| it.nonce = [0xff; 8]), Class::Proof, votes);
}

/// Attack A27: however deep a branch leaves the chain, it changes nothing while it is not final.
/// Req: PRJ-4-4
#[test]
fn a27_a_branch_that_is_not_final_changes_nothing() {
    let chain = chain_of(20);
    let client = update(&chain.client(), chain.now(), 18, chain.after(0)).unwrap().client;
    for depth in 1..10u64 {
        let mut branch = chain.cut(18 - depth);
        let signer = 1 + ((branch.height() + 1) % 3) as u8;
        branch.grow(&[signer, 1 + (signer % 3)]);
        let result = update(&client, chain.now(), 18, branch.after(18 - depth));
        refused(result, Class::Proof, "which is final, and none of them is final");
    }
}

/// Attack A28: two final blocks at one height, brought by whatever way, freeze the client.
#[test]
fn a28_two_final_blocks_at_one_height_freeze() {
    let chain = chain_of(20);
    let (start, now) = (chain.client(), chain.now());
    let client = update(&start, now, 18, chain.after(0)).unwrap().client;
    let mut branch = chain.cut(10);
    branch.grow(&[3, 1, 2, 3]);
    let words = "are both final at height 11";
    froze(update(&client, now, 12, branch.after(10)), words);
    froze(update(&client, now, 12, branch.after(3)), words);
    // A head proof freezes as an update does.
    let proof = EvmHeadProof { height: Height(12), advance: branch.after(10), nodes: vec![] };
    froze(CLIQUE.head(&client, now, &proof.encode(), &leaf(LANE, 1, 0)), words);
    // Evidence, for a client that has seen one of them, or neither.
    let rows = [
        (&client, evidence(branch.after(10), vec![])),
        (&start, evidence(chain.after(0), branch.after(0))),
        (&start, evidence(branch.after(0), chain.after(0))),
    ];
    for (client, bytes) in rows {
        let Ok(Conviction::Frozen { client: frozen }) = CLIQUE.misbehaviour(client, now, &bytes)
        else {
            panic!("not convicted");
        };
        assert_eq!(height_of(&frozen), height_of(client));
        assert_eq!(CLIQUE.view(&frozen, now).unwrap().status, ClientStatus::Frozen);
    }
    let innocent = [
        evidence(chain.after(0), vec![]),
        evidence(chain.after(0), chain.after(5)),
        evidence(vec![], vec![]),
    ];
    for bytes in innocent {
        let refusal = CLIQUE.misbehaviour(&start, now, &bytes).unwrap_err();
        assert_eq!(refusal.class, Class::Proof);
        assert!(refusal.message.contains("shows no contradiction"), "{refusal}");
    }
}

#[test]
fn a_client_far_behind_catches_up_step_by_step() {
    let chain = chain_of(1_000);
    let (mut client, mut at) = (chain.client(), 0);
    while at < 998 {
        let until = (at + 300).min(1_000);
        let headers = advance(&chain.headers[at as usize + 1..=until as usize]);
        assert!(headers.len() < 256 * 1024);
        let head = update(&client, chain.now(), until - 2, headers).unwrap();
        (client, at) = (head.client, head.height.0);
    }
    let at_once = update(&chain.client(), chain.now(), 510, chain_of(512).after(0)).unwrap();
    assert_eq!(at_once.height, Height(510));
    let too_many = chain_of(HEADERS_MAX as u64 + 1);
    let result = update(&too_many.client(), chain.now(), 0, too_many.after(0));
    refused(result, Class::Limit, "headers in one advance are above 512");
    // What is remembered is bounded, and no other block proves anything.
    assert!(update(&client, chain.now(), 998 - REMEMBERED_MAX as u64 + 1, vec![]).is_ok());
    let result = update(&client, chain.now(), 998 - REMEMBERED_MAX as u64, vec![]);
    refused(result, Class::Proof, "is not among the 64 newest final blocks");
    let result = update(&client, chain.now(), 998, chain.after(900));
    refused(result, Class::Proof, "which is none of the 64 final blocks");
}

/// A relayer that another has overtaken harms nobody, and is served.
#[test]
fn a22_an_advance_that_was_overtaken_is_as_good() {
    let chain = chain_of(30);
    let client = update(&chain.client(), chain.now(), 20, advance(&chain.headers[1..=22])).unwrap();
    let late = update(&client.client, chain.now(), 10, advance(&chain.headers[1..=12])).unwrap();
    assert_eq!((late.client, late.height), (client.client.clone(), Height(10)));
    let longer = update(&client.client, chain.now(), 28, chain.after(0)).unwrap();
    assert_eq!(longer.height, Height(28));
}

/// What is compared by a relayer changes with each stretch, so that it brings a client forward
/// before the client is too far away.
#[test]
fn the_root_of_the_set_changes_with_each_stretch_and_each_set() {
    let chain = chain_of(140);
    let mut client = chain.client();
    let mut seen = Vec::new();
    for height in [1, 63, 64, 127, 128] {
        let headers =
            advance(&chain.headers[height_of(&client) as usize + 1..=height as usize + 2]);
        client = update(&client, chain.now(), height, headers).unwrap().client;
        let view = CLIQUE.view(&client, chain.now()).unwrap();
        assert_eq!(view.validators_root, validators_root(Height(height), &chain.signers));
        seen.push((view.validators_root, view.set_since.0));
    }
    assert_eq!(seen.iter().map(|(_, since)| *since).collect::<Vec<_>>(), [1, 1, 64, 64, 128]);
    assert_eq!(seen[0].0, seen[1].0);
    assert_eq!(seen[2].0, seen[3].0);
    assert!(seen[1].0 != seen[2].0 && seen[3].0 != seen[4].0);
    assert_ne!(validators_root(Height(1), &chain.signers), validators_root(Height(1), &[]));
}

#[test]
fn a29_a_client_expires_and_is_recovered() {
    let chain = chain_of(40);
    let client = update(&chain.client(), chain.now(), 30, advance(&chain.headers[1..=32])).unwrap();
    let client = client.client;
    let newest = (GENESIS_TIME + 30 * PERIOD) * 1000;
    let period = terms().trusting_period_ms;
    let status = |now| CLIQUE.view(&client, UnixMillis(now)).unwrap().status;
    assert_eq!(status(newest + period * 2 / 3), ClientStatus::Active);
    assert_eq!(status(newest + period * 2 / 3 + 1), ClientStatus::Expiring);
    assert_eq!(status(newest + period - 1), ClientStatus::Expiring);
    assert_eq!(status(newest + period), ClientStatus::Expired);
    let now = UnixMillis(newest + period);
    refused(update(&client, now, 38, chain.after(30)), Class::Proof, "has expired");
    let refusal = CLIQUE.misbehaviour(&client, now, &evidence(vec![], vec![])).unwrap_err();
    assert!(refusal.message.contains("has expired"));
    // A newer block of the same chain, and no other.
    let anchor = anchor_at(&chain, 38);
    let head = CLIQUE.recover(&client, &anchor.encode(), now).unwrap();
    assert_eq!((head.height, head.block_id), (Height(38), chain.id(38).into()));
    assert_eq!(state(&head.client).gateway, GATEWAY);
    assert_eq!(CLIQUE.view(&head.client, now).unwrap().status, ClientStatus::Expiring);
    let mut branch = chain.cut(29);
    branch.grow(&[1]);
    let rows = [
        (anchor_at(&chain, 29), "is below 30"),
        (anchor_at(&branch, 30), "where"),
        (CliqueAnchor { evm_chain_id: 1, ..anchor.clone() }, "the anchor is of chain"),
        (CliqueAnchor { genesis: Hash([1; 32]), ..anchor.clone() }, "the anchor is of chain"),
    ];
    for (anchor, words) in rows {
        let refusal = CLIQUE.recover(&client, &anchor.encode(), chain.now()).unwrap_err();
        assert_eq!(refusal.class, Class::Proof);
        assert!(refusal.message.contains(words), "{refusal}");
    }
    // A frozen client may be set below what it accepted: that is what recovery is for.
    let mut frozen = state(&client);
    frozen.frozen = Some(tombolo_crypto::client::Frozen { at: now, evidence: Hash([1; 32]) });
    let frozen = borsh::to_vec(&frozen).unwrap();
    let anchor = anchor_at(&branch, 30).encode();
    assert_eq!(CLIQUE.recover(&frozen, &anchor, chain.now()).unwrap().height, Height(30));
}

/// An anchor at a block of a chain of three signers without votes.
fn anchor_at(chain: &Chain, number: u64) -> CliqueAnchor {
    let signer = |number: u64| {
        (1..=3).find(|signer| {
            let fields = chain.cut(number - 1).next(*signer, None);
            fields.seal(&key(*signer)) == chain.headers[number as usize]
        })
    };
    let recents = [number - 1, number]
        .into_iter()
        .filter_map(|number| Some(CliqueRecent { number, signer: address(signer(number)?) }))
        .collect();
    CliqueAnchor { header: chain.headers[number as usize].clone(), recents, ..chain.anchor() }
}

#[test]
fn an_anchor_that_is_none_is_refused() {
    let chain = chain_of(10);
    let good = anchor_at(&chain, 6);
    assert!(start(&good, chain.now()).is_ok());
    let vote = |signer, candidate, authorize| CliqueVote {
        signer: address(signer),
        candidate: address(candidate),
        authorize,
    };
    let rows = [
        (CliqueAnchor { epoch: 0, ..good.clone() }, Class::Format),
        (CliqueAnchor { genesis: Hash::ZERO, ..good.clone() }, Class::Format),
        (CliqueAnchor { header: vec![0xc0], ..good.clone() }, Class::Version),
        (CliqueAnchor { header: vec![], ..good.clone() }, Class::Format),
        (CliqueAnchor { signers: vec![], ..good.clone() }, Class::Format),
        (CliqueAnchor { signers: vec![address(1); 2], ..good.clone() }, Class::Format),
        (
            CliqueAnchor { signers: vec![Address([1; 20]); SIGNERS_MAX + 1], ..good.clone() },
            Class::Limit,
        ),
        (
            CliqueAnchor { votes: vec![vote(1, 9, true); VOTES_MAX + 1], ..good.clone() },
            Class::Limit,
        ),
        (CliqueAnchor { votes: vec![vote(9, 8, true)], ..good.clone() }, Class::Format),
        (CliqueAnchor { votes: vec![vote(1, 2, true)], ..good.clone() }, Class::Format),
        (CliqueAnchor { votes: vec![vote(1, 9, false)], ..good.clone() }, Class::Format),
        (CliqueAnchor { votes: vec![vote(1, 9, true); 2], ..good.clone() }, Class::Format),
        (CliqueAnchor { recents: vec![], ..good.clone() }, Class::Proof),
        (
            CliqueAnchor { recents: good.recents.iter().rev().cloned().collect(), ..good.clone() },
            Class::Format,
        ),
        (CliqueAnchor { epoch: 3, ..good.clone() }, Class::Proof),
        (CliqueAnchor { genesis: Hash([1; 32]), ..chain.anchor() }, Class::Proof),
        (
            CliqueAnchor { signers: crate::chain::addresses(&[1, 2]), ..chain.anchor() },
            Class::Proof,
        ),
    ];
    for (anchor, class) in rows {
        let refusal: Refusal = start(&anchor, chain.now()).unwrap_err();
        assert_eq!(refusal.class, class, "{refusal}");
    }
    let late = UnixMillis(chain.now().0 + terms().trusting_period_ms);
    assert_eq!(start(&good, late).unwrap_err().class, Class::Proof);
    let early = UnixMillis(chain.now().0 - 700_000);
    assert_eq!(start(&good, early).unwrap_err().class, Class::Proof);
    let mut terms = terms();
    terms.trusting_period_ms = 0;
    let refusal = CLIQUE.start(&good.encode(), &terms, chain.now()).unwrap_err();
    assert_eq!(refusal.class, Class::Format);
    let none =
        tombolo_types::verifier::LinkTerms { gateway: Address::ZERO, ..crate::chain::terms() };
    let refusal = CLIQUE.start(&good.encode(), &none, chain.now()).unwrap_err();
    assert_eq!(refusal.class, Class::Format);
}

/// One signer who votes on ever more candidates cannot fill the state of those who follow.
#[test]
fn a50_open_votes_are_bounded() {
    let mut chain = Chain::new(&[1, 2, 3], EPOCH);
    let candidate =
        |number: u64| Address([&number.to_be_bytes()[..], &[1; 12]].concat().try_into().unwrap());
    while chain.height() < VOTES_MAX as u64 + 1 {
        let number = chain.height();
        chain.add(1 + (number % 3) as u8, Some((candidate(number), true)));
    }
    let mut client = chain.client();
    loop {
        let from = height_of(&client) as usize;
        let until = (from + 400).min(VOTES_MAX);
        if until < from + 3 {
            break;
        }
        let headers = advance(&chain.headers[from + 1..=until]);
        client = update(&client, chain.now(), until as u64 - 2, headers).unwrap().client;
    }
    let from = height_of(&client);
    refused(update(&client, chain.now(), from, chain.after(from)), Class::Limit, "open votes");
}

#[test]
fn weight_is_the_number_of_headers_and_bytes() {
    let chain = chain_of(100);
    let client_update =
        |advance| tombolo_evm_core::proof::EvmUpdate { height: Height(1), advance }.encode();
    for count in [1usize, 10, 96, 100] {
        let headers = advance(&chain.headers[1..=count]);
        let bytes = client_update(headers.clone());
        let checks = count as u64 * 3 / 2;
        assert_eq!(CLIQUE.weight(&bytes), checks + bytes.len() as u64 / 4096 + 1);
        let proof = EvmHeadProof {
            height: Height(64),
            advance: headers.clone(),
            nodes: vec![vec![1; 9000]],
        };
        let bytes = proof.encode();
        assert_eq!(CLIQUE.weight(&bytes), checks + bytes.len() as u64 / 4096 + 1);
        let bytes = evidence(headers.clone(), headers);
        assert_eq!(CLIQUE.weight(&bytes), 2 * checks + bytes.len() as u64 / 4096 + 1);
    }
    assert_eq!(CLIQUE.weight(&client_update(vec![])), 1);
    // What claims more headers than its bytes can hold is charged for what they can.
    let mut lie = client_update(advance(&chain.headers[1..=1]));
    lie[4 * 32 + 24..5 * 32].fill(0xff);
    assert!(CLIQUE.weight(&lie) <= 2);
}

/// The naive machine: geth's own words (tally, votes, recents by number), on maps.
#[derive(Clone, Debug, Default)]
struct Model {
    signers: BTreeMap<Address, ()>,
    recents: BTreeMap<u64, Address>,
    votes: Vec<(Address, Address, bool)>,
    tally: BTreeMap<Address, (bool, usize)>,
}

impl Model {
    fn limit(&self) -> u64 {
        self.signers.len() as u64 / 2 + 1
    }

    fn uncast(&mut self, candidate: Address, authorize: bool) {
        if let Some((tallied, count)) = self.tally.get_mut(&candidate)
            && *tallied == authorize
        {
            *count -= 1;
            if *count == 0 {
                self.tally.remove(&candidate);
            }
        }
    }

    /// Applies a block; false where geth would not.
    fn apply(&mut self, number: u64, signer: Address, ballot: Ballot, epoch: u64) -> bool {
        if number.is_multiple_of(epoch) {
            self.votes.clear();
            self.tally.clear();
        }
        if number >= self.limit() {
            self.recents.remove(&(number - self.limit()));
        }
        if !self.signers.contains_key(&signer) || self.recents.values().any(|one| *one == signer) {
            return false;
        }
        self.recents.insert(number, signer);
        let (candidate, authorize) = ballot.unwrap_or((Address::ZERO, false));
        if let Some(at) = self.votes.iter().position(|v| (v.0, v.1) == (signer, candidate)) {
            let (_, candidate, authorize) = self.votes.remove(at);
            self.uncast(candidate, authorize);
        }
        if self.signers.contains_key(&candidate) != authorize {
            self.tally.entry(candidate).or_insert((authorize, 0)).1 += 1;
            self.votes.push((signer, candidate, authorize));
        }
        let Some((authorize, count)) = self.tally.get(&candidate).copied() else { return true };
        if count <= self.signers.len() / 2 {
            return true;
        }
        if authorize {
            self.signers.insert(candidate, ());
        } else {
            self.signers.remove(&candidate);
            if number >= self.limit() {
                self.recents.remove(&(number - self.limit()));
            }
            let (gone, stay): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.votes).into_iter().partition(|vote| vote.0 == candidate);
            self.votes = stay;
            for (_, on, authorize) in gone {
                self.uncast(on, authorize);
            }
        }
        self.votes.retain(|vote| vote.1 != candidate);
        self.tally.remove(&candidate);
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over random histories of votes, the signers are those of the naive machine after each block,
    /// and a block that it does not take is refused.
    #[test]
    fn signers_follow_from_votes_as_in_geth(
        steps in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..7, any::<bool>(), 0u8..4), 1..60),
        epoch in 5u64..40,
    ) {
        let mut chain = Chain::new(&[1, 2, 3], epoch);
        let mut model = Model {
            signers: chain.signers.iter().map(|signer| (*signer, ())).collect(),
            ..Model::default()
        };
        let client = chain.client();
        let mut history = Vec::new();
        for (pick, candidate, authorize, votes) in steps {
            let number = chain.height() + 1;
            let ballot = (votes > 0 && !number.is_multiple_of(epoch)).then(|| (address(candidate), authorize));
            let signer = 1 + pick.index(6) as u8;
            let mut next = model.clone();
            let taken = next.apply(number, address(signer), ballot, epoch);
            let mut longer = chain.clone();
            longer.add(signer, ballot);
            let result = update(&client, longer.now(), 0, longer.after(0));
            prop_assert_eq!(result.is_ok(), taken, "block {} by {}", number, signer);
            if taken {
                model = next;
                chain = longer;
                chain.signers = model.signers.keys().copied().collect();
                history.push((address(signer), ballot));
            }
        }
        // The state after the newest final block is that of the machine there.
        let head = update(&client, chain.now(), 0, chain.after(0)).unwrap();
        let final_height = height_of(&head.client);
        let signers = state(&head.client).consensus.newest_signers().unwrap();
        let mut again = Model {
            signers: Chain::new(&[1, 2, 3], epoch).signers.iter().map(|one| (*one, ())).collect(),
            ..Model::default()
        };
        prop_assert!(final_height <= chain.height());
        for number in 1..=final_height {
            let (signer, ballot) = history[number as usize - 1];
            prop_assert!(again.apply(number, signer, ballot, epoch));
        }
        prop_assert_eq!(signers.members, again.signers.into_keys().collect::<Vec<_>>());
        let recents: Vec<_> = signers.recents.iter().map(|recent| (recent.number, recent.signer)).collect();
        prop_assert_eq!(recents, again.recents.into_iter().collect::<Vec<_>>());
        let votes: Vec<_> = signers.votes.iter().map(|vote| (vote.signer, vote.candidate, vote.authorize)).collect();
        prop_assert_eq!(votes, again.votes);
    }

    /// Attack A02: no byte of a header may change, none may be missing, doubled or moved.
    #[test]
    fn a02_damaged_headers_are_refused(at in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), mask in 1u8.., kind in 0u8..5) {
        let chain = chain_of(12);
        let mut headers = chain.headers[1..].to_vec();
        let count = headers.len();
        let at = at.index(count - 2);
        match kind {
            0 => {
                let byte = byte.index(headers[at].len());
                headers[at][byte] ^= mask;
            }
            1 => { headers.remove(at); }
            2 => headers.insert(at, chain.headers[at + 1].clone()),
            3 => headers.swap(at, at + 1),
            _ => headers[at].push(mask),
        }
        let result = update(&chain.client(), chain.now(), 10, advance(&headers));
        match result {
            Err(HeadError::Refused(refusal)) => prop_assert!(
                // Another seal is another's, who is no signer.
                matches!(
                    refusal.class,
                    Class::Version | Class::Format | Class::Auth | Class::Proof | Class::Finality
                )
            ),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// Attack A02: no byte of the whole proof may change.
    #[test]
    fn a02_a_changed_byte_of_a_head_proof_is_refused(at in any::<prop::sample::Index>(), mask in 1u8..) {
        let (state_root, all) = world(&[(GATEWAY, &slots(LANE, 6, 3))]);
        let mut chain = chain_of(2);
        let mut fields = chain.next(3, None);
        fields.state_root = state_root;
        chain.push(&fields, 3);
        chain.grow(&[1, 2]);
        let nodes = pick_nodes(all, state_root, GATEWAY, LANE).unwrap();
        let mut proof = EvmHeadProof { height: Height(3), advance: chain.after(0), nodes }.encode();
        prop_assert!(CLIQUE.head(&chain.client(), chain.now(), &proof, &leaf(LANE, 6, 3)).is_ok());
        let at = at.index(proof.len());
        proof[at] ^= mask;
        let result = CLIQUE.head(&chain.client(), chain.now(), &proof, &leaf(LANE, 6, 3));
        prop_assert!(matches!(result, Err(HeadError::Refused(_))), "{:?}", result);
    }
}
