//! Proof of stake, on chains made here: every fork's layout, and what no honest committee signs.

use crate::{
    chain::terms,
    maker::{Final, Keys, Maker},
    recorded_beacon::{BEACON, advance, height_of, refused, update},
    vectors::{hexadecimal, read, record},
    world::{GATEWAY, leaf, slots, world},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tombolo_evm_core::{
    beacon::{BeaconAnchor, BeaconFork, Preset, SyncUpdate, validators_root},
    follow::REMEMBERED_MAX,
    proof::{EvmHeadProof, EvmMisbehaviour, EvmUpdate},
    storage::pick_nodes,
};
use tombolo_types::{
    Class, Hash, Height, LaneNumber, UnixMillis,
    verifier::{ClientStatus, Conviction, HeadError, VerifiedHead, Verifier as _},
};

const LANE: LaneNumber = LaneNumber(1);
const MINIMAL: Preset = Preset::Minimal;
/// Epochs of a period of the minimal preset.
const PERIOD: u64 = 8;
/// A time after everything that is made here.
const LATE: UnixMillis = UnixMillis(1_700_010_000_000);

struct World {
    maker: Maker,
    /// Committees of the periods from 0 on.
    keys: Vec<Keys>,
    client: Vec<u8>,
}

/// A client at the checkpoint of epoch 1, and committees for three periods.
fn begin(maker: Maker) -> World {
    let keys: Vec<_> = (1..=3).map(|seed| Keys::new(seed, maker.size())).collect();
    let anchor = maker.anchor(&at(1), &keys[0]);
    let client = BEACON.start(&anchor.encode(), &terms(), LATE).unwrap();
    World { maker, keys, client }
}

fn at(epoch: u64) -> Final {
    Final::checkpoint(MINIMAL, epoch)
}

impl World {
    fn next(&self, period: usize) -> Option<Hash> {
        Some(self.keys[period + 1].committee.root())
    }

    /// The update that makes an epoch final, signed by the committee of that epoch's period.
    fn finalize(&self, of: &Final) -> SyncUpdate {
        let attested = of.slot + 16;
        self.maker.update(of, &self.keys[(attested / 64) as usize], &[3, 17], None)
    }

    fn take(&mut self, updates: &[SyncUpdate]) {
        self.client = update(&self.client, LATE, updates).unwrap().client;
    }

    fn root(&self) -> Hash {
        BEACON.view(&self.client, LATE).unwrap().validators_root
    }
}

fn froze(result: Result<VerifiedHead, HeadError>, words: &str) {
    match result {
        Err(HeadError::Contradiction { client, refusal }) => {
            assert_eq!(refusal.class, Class::Proof);
            assert!(refusal.message.contains(words), "{refusal}");
            assert_eq!(BEACON.view(&client, LATE).unwrap().status, ClientStatus::Frozen);
            refused(update(&client, LATE, &[]), Class::Proof, "is frozen");
        }
        other => panic!("not frozen: {other:?}"),
    }
}

fn evidence(a: &[SyncUpdate], b: &[SyncUpdate]) -> Vec<u8> {
    EvmMisbehaviour { advance_a: advance(a), advance_b: advance(b) }.encode()
}

/// Updates and anchors of each layout, as bytes that another implementation must take.
fn layouts() -> Value {
    let cases =
        [(Preset::Minimal, 2u8), (Preset::Minimal, 3), (Preset::Minimal, 4), (Preset::Mainnet, 4)];
    let cases = cases.map(|(preset, layout)| {
        let maker = Maker::of(preset, layout);
        let (first, second) = (Keys::new(1, maker.size()), Keys::new(2, maker.size()));
        let checkpoint = |epoch| Final::checkpoint(preset, epoch);
        let next = Some(second.committee.root());
        json!({
            "preset": preset as u8,
            "layout": layout,
            "anchor": hexadecimal(maker.anchor(&checkpoint(1), &first).encode()),
            "advance": hexadecimal(advance(&[maker.update(&checkpoint(2), &first, &[0, 5], next)])),
            "height": checkpoint(2).height,
        })
    });
    json!({
        "what": "anchor and advance (ABI) of a client of proof of stake, for the layouts 2 Capella, 3 \
                 Deneb and 4 Electra, and both presets; two seats absent, the next committee named",
        "origin": "made by this project's own code, adapters/evm/core/tests/it/maker.rs; no node of \
                   these forks was at hand but for Capella (beacon.json)",
        "cases": cases,
    })
}

#[test]
fn every_layout_is_followed() {
    let made = layouts();
    record("layouts.json", &made);
    assert_eq!(read("layouts.json"), made);
    for case in made["cases"].as_array().unwrap() {
        let bytes = |name: &str| tombolo_test_nodes::bytes(&case[name]);
        let client = BEACON.start(&bytes("anchor"), &terms(), LATE).unwrap();
        let height = Height(case["height"].as_u64().unwrap());
        let update = EvmUpdate { height, advance: bytes("advance") }.encode();
        assert_eq!(BEACON.update(&client, LATE, &update).unwrap().height, height);
    }
}

/// Bytes of one layout are of no other: the depth of each way and the number of fields say so.
#[test]
fn a03_a_layout_is_not_taken_for_another() {
    for (made, told) in [(2u8, 3u8), (2, 4), (3, 2), (3, 4), (4, 2), (4, 3)] {
        let maker = Maker::of(MINIMAL, made);
        let keys = Keys::new(1, maker.size());
        let mut anchor = maker.anchor(&at(1), &keys);
        anchor.forks[0].layout = told;
        let refusal = BEACON.start(&anchor.encode(), &terms(), LATE).unwrap_err();
        assert!(matches!(refusal.class, Class::Format | Class::Proof), "{refusal}");
        let world = begin(Maker::of(MINIMAL, told));
        let foreign = maker.update(&at(2), &world.keys[0], &[], None);
        refused(update(&world.client, LATE, &[foreign]), Class::Format, "fork 0x0a000001");
    }
}

/// Over a fork the attested state may have the new layout while the final block has the old one, and
/// the domain is that of the slot that is attested.
#[test]
fn a_fork_is_crossed() {
    let fork = |epoch, version, layout| BeaconFork { epoch, version, layout };
    let forks = vec![fork(0, 1, 2), fork(4, 2, 3), fork(6, 3, 4), fork(7, 4, 4)];
    let mut world = begin(Maker { preset: MINIMAL, forks });
    for epoch in 2..=5 {
        world.take(&[world.finalize(&at(epoch))]);
    }
    // The first block of a fork is signed for in its own domain, though attested is the one before.
    let of = at(6);
    let first = world.maker.update_at(&of, 55, &world.keys[0], &[], None);
    assert_eq!((first.signature_slot, first.fork_version), (56, 3));
    world.take(&[first]);
    let other = SyncUpdate {
        fork_version: 4,
        ..world.maker.update_at(&at(6), 55, &world.keys[0], &[], None)
    };
    refused(
        update(&world.client, LATE, &[other]),
        Class::Version,
        "is signed under fork 0x00000004",
    );
    // A fork that the schedule does not have.
    let mut ahead = world.maker.clone();
    ahead.forks.push(fork(7, 5, 4));
    let unknown = ahead.update(&at(5), &world.keys[0], &[], None);
    assert_eq!(unknown.fork_version, 5);
    refused(
        update(&world.client, LATE, &[unknown]),
        Class::Version,
        "recover it with a newer schedule",
    );
}

#[test]
fn a_head_is_proved_under_a_final_block() {
    let (state_root, all) = world(&[(GATEWAY, &slots(LANE, 6, 3))]);
    let nodes = pick_nodes(all, state_root, GATEWAY, LANE).unwrap();
    for layout in 2..=4 {
        let world = begin(Maker::of(MINIMAL, layout));
        let of = Final { state_root, ..at(3) };
        let proof = EvmHeadProof {
            height: Height(of.height),
            advance: advance(&[world.finalize(&of)]),
            nodes: nodes.clone(),
        };
        let head = BEACON.head(&world.client, LATE, &proof.encode(), &leaf(LANE, 6, 3)).unwrap();
        assert_eq!(head.height, Height(24));
        assert_eq!(head.time, world.maker.time(24));
        let other = BEACON.head(&world.client, LATE, &proof.encode(), &leaf(LANE, 7, 3));
        refused(other, Class::Proof, "the leaf says size 7");
    }
}

/// The way through periods: a committee is left only for the one that it named.
#[test]
fn committees_follow_each_other_as_they_were_named() {
    let mut world = begin(Maker::of(MINIMAL, 4));
    let root_of = |world: &World, period: u64| {
        validators_root(period, world.keys[period as usize].committee.root())
    };
    assert_eq!(world.root(), root_of(&world, 0));
    // The last checkpoints of a period are signed for in the next, by a committee that must be known.
    let lagging = world.finalize(&at(PERIOD - 1));
    refused(
        update(&world.client, LATE, std::slice::from_ref(&lagging)),
        Class::Proof,
        "bring the update of period 0 first",
    );
    // A committee that is named where nothing of the period is final yet.
    let early = world.maker.update_at(&at(PERIOD - 1), 64, &world.keys[0], &[], world.next(0));
    let early = SyncUpdate { signature_slot: 63, ..early };
    refused(update(&world.client, LATE, &[early]), Class::Proof, "of which nothing is final yet");
    let names = world.maker.update(&at(2), &world.keys[0], &[], world.next(0));
    world.take(&[names, lagging]);
    assert_eq!(world.root(), root_of(&world, 0));
    // Only now, with a final block in it, the next period begins.
    world.take(&[world.finalize(&at(PERIOD))]);
    assert_eq!(world.root(), root_of(&world, 1));
    assert_eq!(BEACON.view(&world.client, LATE).unwrap().set_since, Height(64));
    // The one before signs no more for this client.
    let old = world.maker.update_at(&at(PERIOD - 2), 63 - 8, &world.keys[0], &[], None);
    refused(update(&world.client, LATE, &[old]), Class::Proof, "which the client has left");
    // A period cannot be left out.
    let far = world.maker.update_at(&at(2 * PERIOD), 150, &world.keys[2], &[], None);
    refused(
        update(&world.client, LATE, &[far]),
        Class::Proof,
        "bring the update of period 1 first",
    );
    // An update that names the next committee and makes nothing new final moves the client, too.
    let again = world.maker.update(&at(PERIOD), &world.keys[1], &[], world.next(1));
    world.take(&[again]);
    world.take(&[world.maker.update_at(&at(2 * PERIOD), 150, &world.keys[2], &[], None)]);
    assert_eq!(world.root(), root_of(&world, 2));
}

/// Attack A28: two final headers that cannot both be true.
#[test]
fn a28_final_headers_that_contradict_freeze() {
    let mut world = begin(Maker::of(MINIMAL, 4));
    let begun = world.client.clone();
    let good = [world.finalize(&at(3)), world.finalize(&at(5))];
    world.take(&good);
    let five = at(5);
    let rows = [
        // Another block in the checkpoint's slot; in an earlier one for the same checkpoint.
        Final { branch: 1, ..five },
        Final { branch: 1, slot: 39, height: 39, ..five },
        // The same slot for another checkpoint.
        Final { branch: 1, epoch: 6, ..five },
        // A later block that does not rise, in number or in checkpoint.
        Final { branch: 1, height: 40, ..at(6) },
        Final { branch: 1, height: 30, ..at(6) },
        Final { branch: 1, epoch: 4, slot: 44, height: 44, ..five },
        // An earlier block that is not below.
        Final { branch: 1, height: 41, ..at(4) },
        Final { branch: 1, height: 24, ..at(4) },
    ];
    for of in rows {
        let bad = world.maker.update_at(&of, 62, &world.keys[0], &[], None);
        let words = "are both final";
        froze(update(&world.client, LATE, std::slice::from_ref(&bad)), words);
        let proof = EvmHeadProof {
            height: Height(of.height),
            advance: advance(std::slice::from_ref(&bad)),
            nodes: vec![],
        };
        froze(BEACON.head(&world.client, LATE, &proof.encode(), &leaf(LANE, 1, 0)), words);
        let bad = std::slice::from_ref(&bad);
        for (client, bytes) in [
            (&world.client, evidence(bad, &[])),
            (&begun, evidence(&good, bad)),
            (&begun, evidence(bad, &good)),
        ] {
            let convicted = BEACON.misbehaviour(client, LATE, &bytes);
            let Ok(Conviction::Frozen { client: frozen }) = convicted else {
                panic!("{of:?}: {convicted:?}");
            };
            let view = BEACON.view(&frozen, LATE).unwrap();
            assert_eq!(view.status, ClientStatus::Frozen);
            assert_eq!(view.height, BEACON.view(client, LATE).unwrap().height);
        }
    }
}

/// Attack A28: one period with two committees, whoever names the second, freezes; evidence counts
/// from the period before, too.
#[test]
fn a28_two_committees_for_one_period_freeze() {
    let mut world = begin(Maker::of(MINIMAL, 4));
    let names = |epoch: u64, committee: usize| {
        let next = Some(world.keys[committee].committee.root());
        world.maker.update(&at(epoch), &world.keys[0], &[], next)
    };
    let (one, other) = (names(2, 1), names(3, 2));
    froze(
        update(&world.client, LATE, &[one.clone(), other.clone()]),
        "period 1 has the sync committees",
    );
    world.take(&[one, world.finalize(&at(PERIOD))]);
    froze(update(&world.client, LATE, &[other]), "period 1 has the sync committees");
    let bad = world.maker.update(&Final { branch: 1, ..at(PERIOD - 3) }, &world.keys[0], &[], None);
    refused(update(&world.client, LATE, &[bad]), Class::Proof, "which the client has left");
    let bad = Final { branch: 1, height: 999, ..at(PERIOD - 3) };
    let bad = world.maker.update(&bad, &world.keys[0], &[], None);
    froze(update(&world.client, LATE, &[bad]), "are both final");
}

/// An anchor's checkpoint is not known: a block inside an epoch contradicts no checkpoint.
#[test]
fn an_anchor_between_checkpoints_contradicts_none() {
    let maker = Maker::of(MINIMAL, 4);
    let keys = Keys::new(1, maker.size());
    let inside = Final { slot: 12, height: 12, ..at(1) };
    let client = BEACON.start(&maker.anchor(&inside, &keys).encode(), &terms(), LATE).unwrap();
    let next = maker.update(&at(2), &keys, &[], None);
    assert_eq!(update(&client, LATE, &[next]).unwrap().height, Height(16));
    // An empty epoch: one block is the checkpoint of two.
    let empty = [at(4), Final { epoch: 5, ..at(4) }, at(6)];
    let updates: Vec<_> =
        empty.iter().map(|of| maker.update_at(of, 62, &keys, &[], None)).collect();
    assert_eq!(update(&client, LATE, &updates).unwrap().height, Height(48));
}

#[test]
fn numbers_beyond_64_bits_are_refused() {
    for field in [6, 9] {
        let world = begin(Maker::of(MINIMAL, 4));
        let good = world.maker.anchor(&at(2), &world.keys[0]);
        let mut execution = good.execution.clone();
        execution[field].0[8] = 1;
        let anchor = BeaconAnchor { execution, ..good };
        // It is not in the body; were it there, no field of 64 bits would hold it.
        let refusal = BEACON.start(&anchor.encode(), &terms(), LATE).unwrap_err();
        assert_eq!(refusal.class, Class::Proof);
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut world = begin(Maker::of(MINIMAL, 3));
    // A final block in every slot, over two periods.
    for slot in 9..125 {
        let of = Final { epoch: slot, slot, height: slot, ..at(1) };
        let (attested, signed) = ((slot + 1) / 64, (slot + 2) / 64);
        let next =
            (slot / 64 == attested).then(|| world.keys[attested as usize + 1].committee.root());
        let keys = &world.keys[signed as usize];
        world.take(&[world.maker.update_at(&of, slot + 1, keys, &[], next)]);
    }
    assert!(world.client.len() < 64 * 140 + 500, "{} bytes", world.client.len());
    let prove = |height: u64| {
        let nothing = EvmUpdate { height: Height(height), advance: vec![] };
        BEACON.update(&world.client, LATE, &nothing.encode())
    };
    assert!(prove(124 - REMEMBERED_MAX as u64 + 1).is_ok());
    let result = prove(124 - REMEMBERED_MAX as u64);
    refused(result, Class::Proof, "is not among the 64 newest final blocks");
    refused(prove(125), Class::Finality, "is not final");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever order the honest updates of a chain come in, none freezes the client, and it stands
    /// at the newest.
    #[test]
    fn honest_updates_in_any_order_never_freeze(epochs in proptest::collection::vec(2u64..6, 1..6)) {
        let world = begin(Maker::of(MINIMAL, 4));
        let mut client = world.client.clone();
        let mut newest = 8;
        for epoch in epochs {
            let one = world.finalize(&at(epoch));
            let head = update(&client, LATE, std::slice::from_ref(&one)).unwrap();
            prop_assert_eq!(head.height, height_of(&one));
            newest = newest.max(epoch * 8);
            client = head.client;
            prop_assert_eq!(BEACON.view(&client, LATE).unwrap().height, Height(newest));
        }
    }

    /// Attack A09: the verdict is that of a naive count of seats.
    #[test]
    fn a09_more_than_two_thirds_of_the_seats(absent in proptest::sample::subsequence((0usize..32).collect::<Vec<_>>(), 0..31)) {
        let world = begin(Maker::of(MINIMAL, 4));
        let one = world.maker.update(&at(2), &world.keys[0], &absent, None);
        let result = update(&world.client, LATE, &[one]);
        if (32 - absent.len()) * 3 > 64 {
            prop_assert!(result.is_ok());
        } else {
            refused(result, Class::Proof, "of 32 members signed");
        }
    }
}
