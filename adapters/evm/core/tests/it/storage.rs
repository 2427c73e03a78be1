//! Lanes proved in a world state that the reference library hashes.

use crate::world::{GATEWAY, LINK, STRANGER, Slots, code_hash, leaf, slots, word, world};
use proptest::prelude::*;
use tombolo_crypto::keccak256::keccak256;
use tombolo_evm_core::{
    storage::{
        client_block_slot, client_slot, ensure_same, lane_slot, lane_slots, peak_slot, pick_nodes,
        prove_lane, received_slot,
    },
    trie::TrieError,
};
use tombolo_types::{
    Address, Class, Epoch, Hash, Height, LaneNumber, Refusal, id::LinkId, lane::LaneLeaf,
};

const LANE: LaneNumber = LaneNumber(1);

/// The proof of `lane` in a state where the gateway stores `slots`.
fn prove(slots: &Slots, lane: LaneNumber) -> Result<(LaneLeaf, Hash), Refusal> {
    let stranger = crate::world::slots(LANE, 9, 9);
    let (root, all) = world(&[(GATEWAY, slots), (STRANGER, &stranger)]);
    let nodes = pick_nodes(all, root, GATEWAY, lane)?;
    prove_lane(&nodes, root, GATEWAY, LINK, lane)
}

fn refused(result: Result<(LaneLeaf, Hash), Refusal>, words: &str) {
    let refusal = result.unwrap_err();
    assert_eq!(refusal.class, Class::Proof, "{refusal}");
    assert!(refusal.message.contains(words), "{refusal}");
}

/// The layout is a promise to contracts: these are the bytes of docs/adr/0008.
#[test]
fn slots_stand_where_the_protocol_says() {
    let tag = |kind: &str| keccak256(format!("tombolo/1/{kind}").as_bytes());
    let lane = keccak256(&[&tag("evm-lane").0[..], &[0; 31], &[1]].concat());
    assert_eq!(lane_slot(LANE), lane);
    assert_eq!(client_slot(), keccak256(&tag("evm-client").0));
    let after = |slot: Hash, more: u8| {
        let mut slot = slot;
        slot.0[31] = slot.0[31].checked_add(more).expect("these slots do not carry");
        slot
    };
    assert_eq!(received_slot(LANE), after(lane, 1));
    assert_eq!(peak_slot(LANE, 0), after(lane, 2));
    assert_eq!(peak_slot(LANE, 61), after(lane, 63));
    assert_eq!(client_block_slot(), after(client_slot(), 1));
}

#[test]
fn a_lane_is_rebuilt_from_its_slots() {
    for (size, received) in [(0, 0), (1, 0), (0, 3), (6, 3), (25, 1), (64, 64), (127, 1000)] {
        let (proved, code) = prove(&slots(LANE, size, received), LANE).unwrap();
        assert_eq!(proved, leaf(LANE, size, received));
        assert_eq!(code, code_hash(GATEWAY));
        assert_eq!(ensure_same(&proved, &leaf(LANE, size, received)), Ok(()));
        let proved_by = lane_slots(LANE, size, received).len();
        let peaks = size.count_ones() as usize;
        assert_eq!(proved_by, 3 + peaks + usize::from(received > 0));
    }
}

#[test]
fn a01_zero_proves_nothing() {
    refused(prove_lane(&[], Hash::ZERO, GATEWAY, LINK, LANE), "the state root is zero");
    let good = slots(LANE, 6, 3);
    // Whatever slot must be proved: without it, nothing is proved.
    for slot in lane_slots(LANE, 6, 3) {
        let mut less = good.clone();
        less.remove(&slot);
        refused(prove(&less, LANE), "is not in the trie");
    }
}

#[test]
fn a04_a_size_beyond_the_peaks_is_refused() {
    let mut slots = slots(LANE, 6, 3);
    slots.extend((0..62).map(|height| (peak_slot(LANE, height), Hash([1; 32]))));
    for size in [1u64 << 62, u64::MAX] {
        let own = [&3u32.to_be_bytes()[..], &size.to_be_bytes(), &[0; 20]].concat();
        slots.insert(lane_slot(LANE), word(&[&own]));
        refused(prove(&slots, LANE), "not below two to the power of 62");
    }
}

#[test]
fn a06_the_proof_of_another_account_lane_or_block_is_refused() {
    let good = slots(LANE, 6, 3);
    let (root, all) = world(&[(GATEWAY, &good), (STRANGER, &slots(LANE, 9, 9))]);
    let of_stranger = pick_nodes(all.clone(), root, STRANGER, LANE).unwrap();
    assert!(prove_lane(&of_stranger, root, STRANGER, LINK, LANE).is_ok());
    let refusal = prove_lane(&of_stranger, root, GATEWAY, LINK, LANE).unwrap_err();
    assert_eq!(refusal.class, Class::Proof);
    let own = pick_nodes(all.clone(), root, GATEWAY, LANE).unwrap();
    let refusal = prove_lane(&own, root, GATEWAY, LINK, LaneNumber(2)).unwrap_err();
    assert_eq!(refusal.class, Class::Proof);
    let (later, _) = world(&[(GATEWAY, &slots(LANE, 7, 3)), (STRANGER, &good)]);
    refused(prove_lane(&own, later, GATEWAY, LINK, LANE), "the walk needs");
    // An account that has no code has no storage, either.
    let refusal = pick_nodes(all, root, Address([3; 20]), LANE).unwrap_err();
    assert!(matches!(refusal, TrieError::Missing { .. } | TrieError::Absent { .. }));
}

#[test]
fn a06_every_field_of_the_leaf_is_compared() {
    let proved = leaf(LANE, 6, 3);
    let other = leaf(LaneNumber(2), 7, 5);
    type Change = fn(&mut LaneLeaf, &LaneLeaf);
    let rows: [(&str, Change); 12] = [
        ("link", |leaf, _| leaf.link = LinkId([1; 32])),
        ("direction", |leaf, _| leaf.direction = 0),
        ("lane", |leaf, other| leaf.lane = other.lane),
        ("epoch", |leaf, _| leaf.epoch = Epoch(4)),
        ("size", |leaf, other| leaf.size = other.size),
        ("root", |leaf, other| leaf.root = other.root),
        ("peer epoch", |leaf, _| leaf.peer_epoch = Epoch(1)),
        ("received", |leaf, other| leaf.received = other.received),
        ("received root", |leaf, other| leaf.received_root = other.received_root),
        ("peer height", |leaf, _| leaf.peer_height = Height(6)),
        ("peer id", |leaf, _| leaf.peer_id = keccak256(b"another").into()),
        ("trust epoch", |leaf, _| leaf.trust_epoch = 5),
    ];
    for (field, change) in rows {
        let mut claimed = proved.clone();
        change(&mut claimed, &other);
        let refusal = ensure_same(&proved, &claimed).unwrap_err();
        assert_eq!(refusal.class, Class::Proof);
        assert!(refusal.message.starts_with(&format!("the leaf says {field} ")), "{refusal}");
    }
}

/// Attack A02, over a whole proof: what is not the proof is refused, whatever is done to it.
#[derive(Clone, Debug)]
enum Damage {
    Flip { node: prop::sample::Index, byte: prop::sample::Index, mask: u8 },
    Drop { node: prop::sample::Index },
    Double { node: prop::sample::Index, to: prop::sample::Index },
    Swap { one: prop::sample::Index, other: prop::sample::Index },
    Extend { node: prop::sample::Index, byte: u8 },
    Cut { node: prop::sample::Index },
    Stranger { node: prop::sample::Index },
}

fn damage() -> impl Strategy<Value = Damage> {
    use prop::sample::Index;
    prop_oneof![
        (any::<Index>(), any::<Index>(), 1u8..).prop_map(|(node, byte, mask)| Damage::Flip {
            node,
            byte,
            mask
        }),
        any::<Index>().prop_map(|node| Damage::Drop { node }),
        any::<(Index, Index)>().prop_map(|(node, to)| Damage::Double { node, to }),
        any::<(Index, Index)>().prop_map(|(one, other)| Damage::Swap { one, other }),
        any::<(Index, u8)>().prop_map(|(node, byte)| Damage::Extend { node, byte }),
        any::<Index>().prop_map(|node| Damage::Cut { node }),
        any::<Index>().prop_map(|node| Damage::Stranger { node }),
    ]
}

fn apply(damage: &Damage, nodes: &mut Vec<Vec<u8>>) {
    let count = nodes.len();
    match damage {
        Damage::Flip { node, byte, mask } => {
            let node = &mut nodes[node.index(count)];
            let at = byte.index(node.len());
            node[at] ^= mask;
        }
        Damage::Drop { node } => {
            nodes.remove(node.index(count));
        }
        Damage::Double { node, to } => {
            let node = nodes[node.index(count)].clone();
            nodes.insert(to.index(count + 1), node);
        }
        Damage::Swap { one, other } => nodes.swap(one.index(count), other.index(count)),
        Damage::Extend { node, byte } => nodes[node.index(count)].push(*byte),
        Damage::Cut { node } => {
            nodes[node.index(count)].pop();
        }
        Damage::Stranger { node } => nodes.insert(node.index(count), vec![0x80]),
    }
}

proptest! {
    /// Req: PRJ-4-1
    #[test]
    fn a02_a_damaged_proof_is_refused(damage in damage(), size in 0u64..70, received in 0u64..3) {
        let stored = slots(LANE, size, received);
        let (root, all) = world(&[(GATEWAY, &stored)]);
        let good = pick_nodes(all, root, GATEWAY, LANE).unwrap();
        let mut nodes = good.clone();
        apply(&damage, &mut nodes);
        let result = prove_lane(&nodes, root, GATEWAY, LINK, LANE);
        if nodes == good {
            prop_assert!(result.is_ok());
        } else {
            prop_assert_eq!(result.unwrap_err().class, Class::Proof);
        }
    }
}
