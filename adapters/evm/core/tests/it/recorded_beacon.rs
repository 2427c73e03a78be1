//! Proof of stake, as a real consensus node served it.

use crate::{
    chain::terms,
    vectors::{LANE, address, read, seconds, unlist},
    world::leaf,
};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use tombolo_crypto::keccak256::keccak256;
use tombolo_evm_core::{
    beacon::{
        AbsentKey, Beacon, BeaconAdvance, BeaconAnchor, SyncUpdate,
        serve::Committee,
        served::{BeaconGenesis, LightClientBootstrap, LightClientUpdate, Schedule},
        validators_root,
    },
    follow::{EvmVerifier, chain_id},
    proof::{EvmHeadProof, EvmMisbehaviour, EvmUpdate},
};
use tombolo_test_nodes::{Writer, hash};
use tombolo_types::{
    Class, Hash, Height, Refusal, UnixMillis,
    verifier::{ClientStatus, HeadError, LinkTerms, VerifiedHead, Verifier as _},
};

pub(crate) const BEACON: EvmVerifier<Beacon> = EvmVerifier::new();
/// Slots of a period of the minimal preset.
const PERIOD: u64 = 64;

/// What a consensus node served.
fn read_as<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// What a node served, as a client takes it.
pub(crate) struct Served {
    pub(crate) anchor: BeaconAnchor,
    pub(crate) terms: LinkTerms,
    /// One for each of the first two periods, each with the next committee.
    pub(crate) committee_updates: Vec<SyncUpdate>,
    pub(crate) finality_updates: Vec<SyncUpdate>,
    /// By period.
    pub(crate) committees: BTreeMap<u64, Committee>,
    pub(crate) genesis_time: u64,
    lane: Value,
}

impl Served {
    pub(crate) fn of(vectors: &Value) -> Self {
        let spec = &vectors["spec"];
        let schedule = Schedule::read(|name| spec[name].as_str()).unwrap();
        let begun: BeaconGenesis = read_as(&vectors["genesis"]);
        let bootstrap: LightClientBootstrap = read_as(&vectors["bootstrap"]["data"]);
        let updates: Vec<LightClientUpdate> = vectors["updates"]
            .as_array()
            .unwrap()
            .iter()
            .map(|served| read_as(&served[0]["data"]))
            .collect();
        let first = schedule.period_of(bootstrap.header.beacon.slot);
        let current = bootstrap.current_sync_committee.clone();
        let mut committees = BTreeMap::from([(first, current)]);
        for update in &updates {
            let period = schedule.period_of(update.attested_header.beacon.slot);
            committees.insert(period + 1, update.next_sync_committee.clone().unwrap());
        }
        let of = |update: &LightClientUpdate| {
            let slot = update.signature_slot;
            update.signed_by(&committees[&schedule.period_of(slot)], schedule.version_at(slot))
        };
        let chain = (vectors["evm_chain_id"].as_u64().unwrap(), hash(&vectors["genesis_block"]));
        let anchor = bootstrap.anchor(hash(&vectors["bootstrap_root"]), chain, &begun, &schedule);
        assert_eq!(anchor.seconds_per_slot, vectors["seconds_per_slot"].as_u64().unwrap());
        let finality = vectors["finality_updates"].as_array().unwrap();
        Self {
            genesis_time: begun.genesis_time,
            terms: LinkTerms { gateway: address(&vectors["lane"]["gateway"]), ..terms() },
            committee_updates: updates.iter().map(of).collect(),
            finality_updates: finality.iter().map(|update| of(&read_as(update))).collect(),
            lane: vectors["lane"].clone(),
            anchor,
            committees,
        }
    }

    /// The time at which the newest update was signed.
    pub(crate) fn now(&self) -> UnixMillis {
        let slot = self.finality_updates.last().unwrap().signature_slot;
        seconds(self.genesis_time + slot * self.anchor.seconds_per_slot)
    }

    pub(crate) fn client(&self) -> Vec<u8> {
        BEACON.start(&self.anchor.encode(), &self.terms, self.now()).unwrap()
    }

    /// The last update that is final in this period.
    fn last_of(&self, period: u64) -> &SyncUpdate {
        let mut updates = self.finality_updates.iter();
        updates.rfind(|update| update.finalized.slot / PERIOD == period).unwrap()
    }

    /// A client that stands at the end of the first period, of the second, of the third.
    fn clients(&self) -> [Vec<u8>; 3] {
        let first = [self.committee_updates[0].clone(), self.last_of(0).clone()];
        let second = [self.committee_updates[1].clone(), self.last_of(1).clone()];
        let mut clients = vec![self.client()];
        for updates in [&first[..], &second, &[self.last_of(2).clone()]] {
            let client = clients.last().unwrap();
            clients.push(update(client, self.now(), updates).unwrap().client);
        }
        [clients[1].clone(), clients[2].clone(), clients[3].clone()]
    }
}

pub(crate) fn advance(updates: &[SyncUpdate]) -> Vec<u8> {
    BeaconAdvance { updates: updates.to_vec() }.encode()
}

/// The number of the execution block that an update makes final.
pub(crate) fn height_of(update: &SyncUpdate) -> Height {
    Height(u64::from_le_bytes(update.execution[6].0[..8].try_into().unwrap()))
}

/// Updates a client; the last block is final afterwards.
pub(crate) fn update(
    client: &[u8],
    now: UnixMillis,
    updates: &[SyncUpdate],
) -> Result<VerifiedHead, HeadError> {
    let height = updates.last().map_or(Height(1), height_of);
    BEACON.update(client, now, &EvmUpdate { height, advance: advance(updates) }.encode())
}

fn evidence(a: &[SyncUpdate], b: &[SyncUpdate]) -> Vec<u8> {
    EvmMisbehaviour { advance_a: advance(a), advance_b: advance(b) }.encode()
}

pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, HeadError>, class: Class, words: &str) {
    match result {
        Err(HeadError::Refused(refusal)) => {
            assert_eq!(refusal.class, class, "{refusal}");
            assert!(refusal.message.contains(words), "{refusal}");
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// A client follows what was served over the periods, and proves the lane.
pub(crate) fn check(vectors: &Value) {
    let served = Served::of(vectors);
    let now = served.now();
    let (begun, anchor) = (served.client(), &served.anchor);
    let view = BEACON.view(&begun, now).unwrap();
    assert_eq!(view.chain, chain_id(anchor.evm_chain_id, anchor.genesis));
    assert_eq!(view.set_since, Height(anchor.header.slot / PERIOD * PERIOD));
    let root_of = |period: u64| validators_root(period, served.committees[&period].root());
    assert_eq!(view.validators_root, root_of(0));
    assert_ne!(served.committees[&1].root(), served.committees[&2].root());

    // What is final in the first periods needs no committee but the anchor's.
    let mut client = begun.clone();
    for one in served.finality_updates.iter().filter(|one| one.signature_slot < PERIOD) {
        let head = update(&client, now, std::slice::from_ref(one)).unwrap();
        assert_eq!(Hash::from(head.block_id), one.execution[12]);
        assert_eq!(head.height, height_of(one));
        client = head.client;
    }
    // A committee that was never named signs nothing.
    let unnamed = served.last_of(2);
    refused(
        update(&client, now, std::slice::from_ref(unnamed)),
        Class::Proof,
        "bring the update of period 0",
    );
    for (period, client) in (0..).zip(served.clients()) {
        let view = BEACON.view(&client, now).unwrap();
        assert_eq!(view.validators_root, root_of(period));
        assert_eq!(view.set_since, Height(period * PERIOD));
        assert_eq!(view.height, height_of(served.last_of(period)));
        assert_eq!(view.status, ClientStatus::Active);
    }
    // All at once comes to the same.
    let all: Vec<_> = [
        &[served.committee_updates[0].clone(), served.last_of(0).clone()][..],
        &[served.committee_updates[1].clone(), served.last_of(1).clone()],
        std::slice::from_ref(unnamed),
    ]
    .concat();
    assert_eq!(update(&begun, now, &all).unwrap().client, served.clients()[2]);
    prove_lane(&served);
}

fn prove_lane(served: &Served) {
    let (now, lane) = (served.now(), &served.lane);
    let height = Height(lane["height"].as_u64().unwrap());
    let proving = served.finality_updates.iter().position(|one| height_of(one) == height).unwrap();
    let proof = |advance| EvmHeadProof { height, advance, nodes: unlist(&lane["nodes"]) }.encode();
    let claimed = leaf(LANE, 25, 3);
    let mut updates = served.committee_updates.clone();
    updates.retain(|one| {
        one.attested.slot / PERIOD < served.finality_updates[proving].signature_slot / PERIOD
    });
    updates.push(served.finality_updates[proving].clone());
    let head = BEACON.head(&served.client(), now, &proof(advance(&updates)), &claimed).unwrap();
    assert_eq!(head.code_hash, Some(keccak256(Writer::code())));
    let known = BEACON.head(&head.client, now, &proof(vec![]), &claimed).unwrap();
    assert_eq!(known, head);
    // Rule G1: what is not final is named so.
    let early = BEACON.head(&served.client(), now, &proof(vec![]), &claimed);
    refused(early, Class::Finality, "is not final");
    refused(
        BEACON.head(&head.client, now, &proof(vec![]), &leaf(LANE, 26, 3)),
        Class::Proof,
        "the leaf says size 26",
    );
}

#[test]
fn what_was_served_is_followed() {
    check(&read("beacon.json"));
}

fn served() -> Served {
    Served::of(&read("beacon.json"))
}

/// Attack A09: fewer than two thirds, a member twice, one that signed left out, one that did not
/// counted in.
#[test]
fn a09_a_committee_that_must_be_refused() {
    let served = served();
    let (client, now) = (served.client(), served.now());
    let good = served.finality_updates[0].clone();
    assert_eq!(good.absent.len(), 5);
    let with =
        |absent: Vec<AbsentKey>| update(&client, now, &[SyncUpdate { absent, ..good.clone() }]);
    assert!(with(good.absent.clone()).is_ok());
    for leave_out in 0..5 {
        let mut absent = good.absent.clone();
        absent.remove(leave_out);
        refused(with(absent), Class::Proof, "it is not of these members");
    }
    let all = served.committees[&0].absent(&[0; 4]);
    let more = |count: usize| {
        let mut absent = good.absent.clone();
        let others = all.iter().filter(|one| !good.absent.contains(one));
        absent.extend(others.take(count).cloned());
        absent.sort_by_key(|one| one.seat);
        absent
    };
    refused(with(more(1)), Class::Proof, "it is not of these members");
    // 22 of 32 are more than two thirds, 21 are not.
    refused(with(more(5)), Class::Proof, "it is not of these members");
    refused(with(more(6)), Class::Proof, "21 of 32 members signed");
    refused(with(all.clone()), Class::Proof, "0 of 32 members signed");
    let mut twice = good.absent.clone();
    twice.insert(0, twice[0].clone());
    refused(with(twice), Class::Format, "not in ascending order");
    let mut reversed = good.absent.clone();
    reversed.reverse();
    refused(with(reversed), Class::Format, "not in ascending order");
    // Attack A04: a seat at or above the size, and a key at another seat.
    let mut beyond = good.absent.clone();
    beyond[4].seat = 32;
    refused(with(beyond), Class::Format, "seats below 32");
    let mut moved = good.absent.clone();
    let free = (moved[3].seat + 1..32).find(|seat| *seat != moved[4].seat);
    moved[4].seat = free.unwrap();
    refused(with(moved), Class::Proof, "is not that of the sync committee");
    // Another committee's signature.
    let other = &served.committees[&2];
    let foreign = SyncUpdate {
        keys_root: other.keys_root(),
        aggregate_key: other.aggregate_key.to_vec(),
        absent: vec![],
        ..good.clone()
    };
    refused(update(&client, now, &[foreign]), Class::Proof, "is signed by the sync committee");
    // A sum of the relayer's own choice.
    let chosen = SyncUpdate { aggregate_key: good.absent[0].key.clone(), ..good.clone() };
    refused(update(&client, now, &[chosen]), Class::Proof, "is signed by the sync committee");
}

#[test]
fn a_field_that_was_changed_is_refused() {
    type Change = fn(&mut SyncUpdate);
    let signature = "the signature over slot";
    let not_final = "is not final in the state";
    let body = "is not in the body with root";
    let rows: [(Class, &str, Change); 24] = [
        (Class::Version, "is signed under fork 0x03000002", |it| it.fork_version += 1),
        (Class::Format, "a signature has 96 bytes", |it| it.signature.push(0)),
        (Class::Format, "a sum of keys has 48 bytes", |it| it.aggregate_key.clear()),
        (Class::Format, "a key has 48 bytes", |it| it.absent[0].key.push(0)),
        (Class::Format, "the branch of seat", |it| it.absent[0].branch.truncate(4)),
        (Class::Format, "the finality branch has 5", |it| it.finality_branch.truncate(5)),
        (Class::Format, "the finality branch has 7", |it| it.finality_branch.push(Hash::ZERO)),
        (Class::Format, "it must have 0", |it| it.next_committee_branch.push(Hash::ZERO)),
        (Class::Format, "it must have 5", |it| it.next_committee = Hash([1; 32])),
        (Class::Format, "has 16 fields", |it| it.execution.push(Hash::ZERO)),
        (Class::Format, "and a branch of 3", |it| it.execution_branch.truncate(3)),
        (Class::Proof, body, |it| it.execution[2] = Hash([1; 32])),
        (Class::Proof, body, |it| it.execution[6].0[0] ^= 1),
        (Class::Proof, body, |it| it.execution.swap(3, 4)),
        (Class::Proof, body, |it| it.execution_branch.swap(0, 1)),
        (Class::Proof, body, |it| it.finalized.body_root = Hash([1; 32])),
        (Class::Proof, not_final, |it| it.finalized.proposer_index ^= 1),
        (Class::Proof, not_final, |it| it.finalized.state_root = Hash([1; 32])),
        (Class::Proof, not_final, |it| it.finality_branch.swap(1, 2)),
        (Class::Proof, not_final, |it| it.attested.state_root = Hash([1; 32])),
        (Class::Proof, "do not fall", |it| it.signature_slot = it.attested.slot),
        (Class::Proof, signature, |it| it.attested.proposer_index ^= 1),
        (Class::Proof, signature, |it| it.signature[95] ^= 1),
        (Class::Proof, "is not that of the sync committee", |it| {
            it.absent[2].key = it.absent[1].key.clone();
        }),
    ];
    let served = served();
    for (class, words, change) in rows {
        let mut changed = served.finality_updates[0].clone();
        change(&mut changed);
        refused(update(&served.client(), served.now(), &[changed]), class, words);
    }
}

#[test]
fn a_next_committee_is_taken_under_a_proof_alone() {
    let served = served();
    let (client, now) = (served.client(), served.now());
    let good = served.committee_updates[0].clone();
    assert!(update(&client, now, std::slice::from_ref(&good)).is_ok());
    let words = "is not the next one in the state";
    let other = SyncUpdate { next_committee: Hash([1; 32]), ..good.clone() };
    refused(update(&client, now, &[other]), Class::Proof, words);
    let mut branch = good.next_committee_branch.clone();
    branch.swap(0, 1);
    let other = SyncUpdate { next_committee_branch: branch, ..good.clone() };
    refused(update(&client, now, &[other]), Class::Proof, words);
    // The present committee stands beside the next one in the state; it is not the next.
    let present = served.committees[&0].root();
    assert_eq!(present, good.next_committee, "periods 0 and 1 share one");
    let of_two = served.committee_updates[1].clone();
    assert_ne!(present, of_two.next_committee);
    let swapped = SyncUpdate { next_committee: present, ..of_two };
    let [first, ..] = served.clients();
    refused(update(&first, now, &[swapped]), Class::Proof, words);
}

/// A client that left a committee believes nothing more that only this committee says, and takes
/// what it knows already from whoever comes late.
#[test]
fn a_committee_that_was_left_proves_nothing_new() {
    let served = served();
    let now = served.now();
    let [_, second, third] = served.clients();
    let known = served.last_of(1).clone();
    // Its finality shows the same block, signed in the period before: late, and true.
    let late = update(&third, now, std::slice::from_ref(&known)).unwrap();
    assert_eq!((late.client, late.height), (third.clone(), height_of(&known)));
    let earlier = served.finality_updates.iter().find(|one| {
        one.signature_slot / PERIOD == 1
            && one.finalized.slot != known.finalized.slot
            && one.finalized.slot / PERIOD == 1
            && one.finalized.slot != served.committee_updates[1].finalized.slot
    });
    let earlier = earlier.unwrap().clone();
    refused(
        update(&third, now, std::slice::from_ref(&earlier)),
        Class::Proof,
        "which the client has left",
    );
    // The same by the committee held now serves its proof, and does not move the client.
    let lower = update(&second, now, std::slice::from_ref(&earlier)).unwrap();
    assert_eq!((lower.client, lower.height), (second, height_of(&earlier)));
    // Two periods back nothing is known of who signs.
    let first = served.finality_updates[0].clone();
    refused(update(&third, now, &[first]), Class::Proof, "knows no committee for it");
}

#[test]
fn a29_a_client_expires_and_is_recovered() {
    let served = served();
    let [first, ..] = served.clients();
    let newest = BEACON.view(&first, served.now()).unwrap().newest_time.0;
    let late = UnixMillis(newest + served.terms.trusting_period_ms);
    assert_eq!(BEACON.view(&first, late).unwrap().status, ClientStatus::Expired);
    let result = update(&first, late, std::slice::from_ref(served.last_of(0)));
    refused(result, Class::Proof, "has expired");
    let recovered = BEACON.recover(&first, &served.anchor.encode(), served.now());
    let refusal = recovered.unwrap_err();
    assert_eq!(refusal.class, Class::Proof);
    assert!(refusal.message.contains("is below"), "{refusal}");
    let head = BEACON.recover(&served.client(), &served.anchor.encode(), served.now()).unwrap();
    assert_eq!(head.client, served.client());
    let other = BeaconAnchor { evm_chain_id: 1, ..served.anchor.clone() };
    let refusal = BEACON.recover(&served.client(), &other.encode(), served.now()).unwrap_err();
    assert!(refusal.message.contains("the anchor is of chain"), "{refusal}");
}

#[test]
fn an_anchor_that_is_none_is_refused() {
    let served = served();
    let good = &served.anchor;
    let start = |anchor: &BeaconAnchor| -> Result<Vec<u8>, Refusal> {
        BEACON.start(&anchor.encode(), &served.terms, served.now())
    };
    assert!(start(good).is_ok());
    type Change = fn(&mut BeaconAnchor);
    let rows: [(Class, Change); 15] = [
        (Class::Version, |it| it.preset = 3),
        (Class::Version, |it| it.forks[0].layout = 9),
        // Before Capella there is no execution header to prove anything by.
        (Class::Version, |it| it.forks[0].layout = 1),
        (Class::Format, |it| it.forks.clear()),
        (Class::Format, |it| it.genesis = Hash::ZERO),
        (Class::Format, |it| it.seconds_per_slot = 0),
        (Class::Format, |it| it.execution.truncate(14)),
        // Under another layout the same bytes have another form.
        (Class::Format, |it| it.forks[0].layout = 3),
        (Class::Proof, |it| it.root = Hash([1; 32])),
        (Class::Proof, |it| it.root = Hash::ZERO),
        (Class::Proof, |it| it.header.slot += 1),
        (Class::Proof, |it| it.execution[2] = Hash([1; 32])),
        (Class::Proof, |it| it.committee = Hash([1; 32])),
        (Class::Proof, |it| it.committee = Hash::ZERO),
        (Class::Proof, |it| it.committee_branch.truncate(4)),
    ];
    for (class, change) in rows {
        let mut anchor = good.clone();
        change(&mut anchor);
        let refusal = start(&anchor).unwrap_err();
        assert_eq!(refusal.class, class, "{refusal}");
    }
    assert_eq!(BEACON.kind(), "ethereum");
}

/// Attack A17: the same keys on another network sign for that network.
#[test]
fn a17_a_signature_for_another_network_or_fork_is_refused() {
    let served = served();
    let good = served.finality_updates[0].clone();
    let with = |anchor: BeaconAnchor, update: SyncUpdate| {
        let client = BEACON.start(&anchor.encode(), &served.terms, served.now()).unwrap();
        self::update(&client, served.now(), &[update])
    };
    let network = BeaconAnchor { genesis_validators_root: Hash([1; 32]), ..served.anchor.clone() };
    refused(with(network, good.clone()), Class::Proof, "the signature over slot");
    let mut fork = served.anchor.clone();
    fork.forks[0].version = 7;
    let named = SyncUpdate { fork_version: 7, ..good.clone() };
    refused(with(fork.clone(), named), Class::Proof, "the signature over slot");
    refused(with(fork, good), Class::Version, "is signed under fork 0x03000001");
}

#[test]
fn a_signature_from_the_future_is_refused() {
    let served = served();
    let one = &served.finality_updates[0];
    let signed = (served.genesis_time + one.signature_slot * 2) * 1000;
    let at = |now: u64| update(&served.client(), UnixMillis(now), std::slice::from_ref(one));
    assert!(at(signed - 600_000).is_ok());
    refused(at(signed - 600_001), Class::Proof, "ms ahead of this ledger's");
}

#[test]
fn a01_empty_and_zero_bytes_prove_nothing() {
    let served = served();
    let (client, now) = (served.client(), served.now());
    for bytes in [vec![], vec![0; 32], vec![0; 1024]] {
        let head = BEACON.head(&client, now, &bytes, &leaf(LANE, 1, 0));
        refused(head, Class::Format, "EvmHeadProof");
        refused(BEACON.update(&client, now, &bytes), Class::Format, "EvmUpdate");
        assert_eq!(BEACON.misbehaviour(&client, now, &bytes).unwrap_err().class, Class::Format);
        assert_eq!(BEACON.start(&bytes, &served.terms, now).unwrap_err().class, Class::Format);
        assert_eq!(BEACON.weight(&bytes), 1);
        refused(
            BEACON.update(&bytes, now, &EvmUpdate { height: Height(1), advance: vec![] }.encode()),
            Class::Format,
            "not a client of kind `ethereum`",
        );
    }
    let many = vec![served.finality_updates[0].clone(); 33];
    refused(update(&client, now, &many), Class::Limit, "33 updates in one advance");
}

/// What is no contradiction convicts nobody. (What is one, is made in `beacon.rs`: no real
/// committee signs it.)
#[test]
fn a28_true_updates_convict_nobody() {
    let served = served();
    let (client, now) = (served.client(), served.now());
    let updates = &served.finality_updates;
    let rows = [
        evidence(&updates[..1], &updates[1..2]),
        evidence(&updates[1..2], &updates[..1]),
        evidence(&updates[..1], &updates[..1]),
        evidence(&[], &[]),
    ];
    for bytes in rows {
        let refusal = BEACON.misbehaviour(&client, now, &bytes).unwrap_err();
        assert!(refusal.message.contains("shows no contradiction"), "{refusal}");
        assert_eq!(refusal.class, Class::Proof);
    }
}

#[test]
fn weight_follows_from_updates_and_absent_members() {
    let served = served();
    let updates = &served.finality_updates[..2];
    let bytes = |advance| EvmUpdate { height: Height(1), advance }.encode();
    let expected = |count: u64, advances: &[Vec<u8>], whole: &[u8]| {
        let members: u64 = advances.iter().map(|advance| advance.len() as u64 / 2048).sum();
        48 * count + members + whole.len() as u64 / 4096 + 1
    };
    for count in [1, 2] {
        let advance = advance(&updates[..count]);
        let whole = bytes(advance.clone());
        assert_eq!(BEACON.weight(&whole), expected(count as u64, &[advance], &whole));
    }
    let (a, b) = (advance(&updates[..1]), advance(&updates[1..]));
    let whole = EvmMisbehaviour { advance_a: a.clone(), advance_b: b.clone() }.encode();
    assert_eq!(BEACON.weight(&whole), expected(2, &[a, b], &whole));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Attack A02: no byte of an update may change.
    #[test]
    fn a02_a_changed_byte_of_an_update_is_refused(at in any::<prop::sample::Index>(), mask in 1u8..) {
        let served = served();
        let updates = [served.committee_updates[0].clone()];
        let height = height_of(&updates[0]);
        let mut bytes = EvmUpdate { height, advance: advance(&updates) }.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        let result = BEACON.update(&served.client(), served.now(), &bytes);
        prop_assert!(matches!(result, Err(HeadError::Refused(_))), "byte {at}: {result:?}");
    }
}
