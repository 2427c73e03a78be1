use super::*;
use crate::{
    fixture::{certificate, certified, chain, header, set},
    keccak256::keccak256,
};
use proptest::prelude::*;
use tombolo_types::{
    Address, Epoch, LaneNumber, Round,
    id::{BlockId, ChainId, LinkId},
};

mod expiry;
mod forks;

const PERIOD: u64 = 90_000;
/// The genesis time of the chain in these tests.
const GENESIS: u64 = 1_000_000;
const CLIENT: LightClient = LightClient;

fn old_set() -> ValidatorSet {
    set(1, &[(1, 1), (2, 1), (3, 1), (4, 1)])
}

fn new_set(first_height: u64) -> ValidatorSet {
    set(first_height, &[(4, 1), (5, 1), (6, 1), (7, 1)])
}

fn anchor() -> Anchor {
    Anchor {
        chain_id: chain(),
        height: Height::ZERO,
        block_id: Hash::from(chain()).into(),
        time: UnixMillis(GENESIS),
        validators: old_set(),
    }
}

fn started() -> Vec<u8> {
    CLIENT.start(&anchor().encode(), &terms(PERIOD), UnixMillis(GENESIS)).unwrap()
}

fn terms(trusting_period_ms: u64) -> LinkTerms {
    LinkTerms { link: LinkId([9; 32]), gateway: Address([7; 20]), mode: 1, trusting_period_ms }
}

fn status(client: &[u8], now: UnixMillis) -> ClientStatus {
    CLIENT.view(client, now).unwrap().status
}

fn position(client: &[u8]) -> (ChainId, Height, BlockId) {
    let view = CLIENT.view(client, UnixMillis(GENESIS)).unwrap();
    (view.chain, view.height, view.block_id)
}

fn leaf(lane: u32) -> LaneLeaf {
    LaneLeaf {
        link: LinkId([9; 32]),
        direction: 1,
        lane: LaneNumber(lane),
        epoch: Epoch(1),
        size: 3,
        root: keccak256(b"sent"),
        peer_epoch: Epoch(1),
        received: 2,
        received_root: keccak256(b"taken"),
        peer_height: Height(5),
        peer_id: keccak256(b"block").into(),
        trust_epoch: 0,
    }
}

fn lanes() -> Vec<Hash> {
    (0..5).map(|lane| digest::lane_leaf(&leaf(lane))).collect()
}

/// A header at `height` whose time is a second per height, over the lanes of these tests.
fn header_at(height: u64, set: &ValidatorSet, next: &ValidatorSet) -> Header {
    let mut header = header(height, GENESIS + 1000 * height, set, next);
    header.lanes_root = tree::lanes_root(&lanes());
    header
}

fn now(height: u64) -> UnixMillis {
    UnixMillis(GENESIS + 1000 * height + 300)
}

fn head_proof(header: &Header, certificate: Certificate) -> Vec<u8> {
    HeadProof {
        header: header.clone(),
        certificate,
        index: 2,
        count: 5,
        path: tree::lane_path(&lanes(), 2),
    }
    .encode()
}

fn update(header: &Header, certificate: Certificate, next: &ValidatorSet) -> Vec<u8> {
    ClientUpdate { header: header.clone(), certificate, next_validators: next.clone() }.encode()
}

/// Proves lane 2 under a header of the first set, signed by three of its four.
fn prove(client: &[u8], height: u64) -> Result<VerifiedHead, HeadError> {
    let header = header_at(height, &old_set(), &old_set());
    let proof = head_proof(&header, certified(&header, &[1, 2, 3]));
    CLIENT.head(client, now(height), &proof, &leaf(2))
}

fn misbehaviour(a: &Header, by_a: Certificate, b: &Header, by_b: Certificate) -> Vec<u8> {
    Misbehaviour {
        header_a: a.clone(),
        certificate_a: by_a,
        validators_a: old_set(),
        header_b: b.clone(),
        certificate_b: by_b,
        validators_b: old_set(),
    }
    .encode()
}

/// A client that has accepted height 20 under the first set.
fn at_20() -> Vec<u8> {
    prove(&started(), 20).unwrap().client
}

/// A client that left the first set at height 30.
fn after_change() -> Vec<u8> {
    let header = header_at(30, &old_set(), &new_set(31));
    let update = update(&header, certified(&header, &[1, 2, 3]), &new_set(31));
    CLIENT.update(&at_20(), now(30), &update).unwrap().client
}

fn refused(result: Result<VerifiedHead, HeadError>, class: Class, words: &str) {
    match result {
        Err(HeadError::Refused(refusal)) => {
            assert_eq!(refusal.class, class, "{refusal}");
            assert!(refusal.message.contains(words), "{refusal}");
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// The client froze, and accepts nothing afterwards.
fn froze(result: Result<VerifiedHead, HeadError>, words: &str) -> Vec<u8> {
    match result {
        Err(HeadError::Contradiction { client, refusal }) => {
            assert_eq!(refusal.class, Class::Proof);
            assert!(refusal.message.contains(words), "{refusal}");
            assert_eq!(status(&client, now(1)), ClientStatus::Frozen);
            refused(prove(&client, 60), Class::Proof, "is frozen");
            client
        }
        other => panic!("not frozen: {other:?}"),
    }
}

#[test]
fn a_head_is_proved_and_moves_the_client() {
    let head = prove(&started(), 20).unwrap();
    assert_eq!((head.height, head.time), (Height(20), UnixMillis(GENESIS + 20_000)));
    assert_eq!(position(&head.client), (chain(), Height(20), head.block_id));
    assert_eq!(CLIENT.kind(), "tombolo");
}

#[test]
fn a_lower_head_serves_its_proof_and_does_not_move_the_client() {
    let client = at_20();
    for height in [1, 19, 20] {
        let head = prove(&client, height).unwrap();
        assert_eq!(head.client, client);
        assert_eq!(head.height, Height(height));
    }
}

#[test]
fn a06_a_head_of_another_lane_is_refused() {
    let header = header_at(20, &old_set(), &old_set());
    let proof = head_proof(&header, certified(&header, &[1, 2, 3]));
    let result = CLIENT.head(&started(), now(20), &proof, &leaf(3));
    refused(result, Class::Proof, "the proof leads to root");
}

#[test]
fn a04_a_lane_index_at_or_above_the_count_is_refused() {
    let header = header_at(20, &old_set(), &old_set());
    let good = HeadProof::decode(&head_proof(&header, certified(&header, &[1, 2, 3]))).unwrap();
    for (index, count) in [(5, 5), (2, 2), (2, 0), (u64::MAX, 5)] {
        let proof = HeadProof { index, count, ..good.clone() }.encode();
        let result = CLIENT.head(&started(), now(20), &proof, &leaf(2));
        refused(result, Class::Proof, "is not below the log's size");
    }
}

#[test]
fn a01_empty_and_zero_bytes_prove_nothing() {
    let client = started();
    for bytes in [vec![], vec![0; 32], vec![0; 1024]] {
        refused(CLIENT.head(&client, now(1), &bytes, &leaf(2)), Class::Format, "HeadProof");
        refused(CLIENT.update(&client, now(1), &bytes), Class::Format, "ClientUpdate");
        assert_eq!(CLIENT.misbehaviour(&client, now(1), &bytes).unwrap_err().class, Class::Format);
        assert_eq!(CLIENT.start(&bytes, &terms(PERIOD), now(1)).unwrap_err().class, Class::Format);
        assert_eq!(CLIENT.weight(&bytes), 1);
    }
    for client in [vec![], vec![0; 7]] {
        refused(prove(&client, 20), Class::Format, "not a client of kind `tombolo`");
    }
}

/// A client is decoded from replicated state only; no field of a proof can claim a verdict, and
/// what a proof carries besides is refused.
#[test]
fn a05_bytes_beside_the_proof_are_refused() {
    let header = header_at(20, &old_set(), &old_set());
    let mut proof = head_proof(&header, certified(&header, &[1, 2, 3]));
    proof.extend([0; 31]);
    proof.push(1);
    refused(CLIENT.head(&started(), now(20), &proof, &leaf(2)), Class::Format, "HeadProof");
}

#[test]
fn weight_is_the_number_of_signatures_and_one() {
    let header = header_at(20, &old_set(), &old_set());
    for signers in [&[1][..], &[1, 2, 3], &[1, 2, 3, 4, 5, 6, 7]] {
        let certificate = certified(&header, signers);
        let expected = signers.len() as u64 + 1;
        let proof = head_proof(&header, certificate.clone());
        assert_eq!(CLIENT.weight(&proof), expected);
        assert_eq!(CLIENT.weight(&update(&header, certificate.clone(), &old_set())), expected);
        let evidence = misbehaviour(&header, certificate, &header, certified(&header, &[1, 2]));
        assert_eq!(CLIENT.weight(&evidence), expected + 2);
        assert_eq!(CLIENT.weight(&proof[..700]), 1);
    }
}

#[test]
fn the_walk_through_a_change_of_validators() {
    let client = after_change();
    let (_, height, _) = position(&client);
    assert_eq!(height, Height(30));
    let set = new_set(31);
    let header = header_at(31, &set, &set);
    let proof = head_proof(&header, certified(&header, &[5, 6, 7]));
    let head = CLIENT.head(&client, now(31), &proof, &leaf(2)).unwrap();
    assert_eq!(head.height, Height(31));
    // The old set certifies nothing that is believed any more, not even below the change.
    refused(prove(&head.client, 25), Class::Proof, "a validator set that the client");
    // The same update once more, by a relayer that came second, is refused and harms nobody.
    let again = header_at(30, &old_set(), &set);
    let again = update(&again, certified(&again, &[1, 2, 3]), &set);
    let result = CLIENT.update(&head.client, now(31), &again);
    refused(result, Class::Proof, "has left");
}

#[test]
fn a_head_under_the_last_header_of_a_set_does_not_stop_the_update_through_it() {
    let last = header_at(30, &old_set(), &new_set(31));
    let proof = head_proof(&last, certified(&last, &[1, 2, 3]));
    let client = CLIENT.head(&at_20(), now(30), &proof, &leaf(2)).unwrap().client;
    // From here on the old set is known to end at 30.
    froze(prove(&client, 31), "named its successor at height 30");
    let update = update(&last, certified(&last, &[1, 2, 4]), &new_set(31));
    let client = CLIENT.update(&client, now(30), &update).unwrap().client;
    let set = new_set(31);
    let header = header_at(31, &set, &set);
    let proof = head_proof(&header, certified(&header, &[4, 5, 6]));
    assert!(CLIENT.head(&client, now(31), &proof, &leaf(2)).is_ok());
}

#[test]
fn an_update_without_a_change_moves_the_client_and_brings_the_same_set() {
    let header = header_at(20, &old_set(), &old_set());
    let certificate = certified(&header, &[1, 2, 3, 4]);
    let good = update(&header, certificate.clone(), &old_set());
    let head = CLIENT.update(&started(), now(20), &good).unwrap();
    assert_eq!(head.height, Height(20));
    // Lower or equal: true, and nothing moves.
    assert_eq!(CLIENT.update(&head.client, now(20), &good).unwrap().client, head.client);
    let bad = update(&header, certificate, &new_set(21));
    refused(CLIENT.update(&started(), now(20), &bad), Class::Proof, "in the update has root");
}

#[test]
fn a_next_set_must_begin_at_the_height_after() {
    for first_height in [1, 30, 32] {
        let next = new_set(first_height);
        let header = header_at(30, &old_set(), &next);
        let update = update(&header, certified(&header, &[1, 2, 3]), &next);
        let result = CLIENT.update(&at_20(), now(30), &update);
        refused(result, Class::Proof, "must begin at the height after");
    }
    let mut unordered = new_set(31);
    unordered.validators.reverse();
    let header = header_at(30, &old_set(), &unordered);
    let update = update(&header, certified(&header, &[1, 2, 3]), &unordered);
    refused(CLIENT.update(&at_20(), now(30), &update), Class::Format, "next validator set is none");
}

#[test]
fn a17_a_header_of_another_chain_is_refused() {
    let mut header = header_at(20, &old_set(), &old_set());
    header.chain_id = keccak256(b"a test network with the same keys").into();
    let proof = head_proof(&header, certified(&header, &[1, 2, 3, 4]));
    let result = CLIENT.head(&started(), now(20), &proof, &leaf(2));
    refused(result, Class::Proof, "the header is of chain");
}

#[test]
fn a17_a_certificate_of_another_height_round_or_kind_is_refused() {
    let header = header_at(20, &old_set(), &old_set());
    let good = certified(&header, &[1, 2, 3]);
    let result = |certificate: Certificate| {
        CLIENT.head(&started(), now(20), &head_proof(&header, certificate), &leaf(2))
    };
    refused(
        result(Certificate { height: Height(19), ..good.clone() }),
        Class::Proof,
        "the certificate is for height 19",
    );
    refused(
        result(Certificate { round: Round(1), ..good.clone() }),
        Class::Proof,
        "is not valid: the signature recovers to",
    );
    let other = certified(&header_at(20, &old_set(), &new_set(21)), &[1, 2, 3]);
    refused(result(other), Class::Proof, "the certificate is for block");
    let client_update = update(&header, good, &old_set());
    refused(CLIENT.head(&started(), now(20), &client_update, &leaf(2)), Class::Format, "HeadProof");
}

#[test]
fn a_header_far_ahead_of_the_own_time_is_refused() {
    let client = started();
    let mut header = header_at(20, &old_set(), &old_set());
    header.time = UnixMillis(GENESIS + AHEAD_MS_MAX);
    let proof = head_proof(&header, certified(&header, &[1, 2, 3]));
    assert!(CLIENT.head(&client, UnixMillis(GENESIS), &proof, &leaf(2)).is_ok());
    header.time = UnixMillis(GENESIS + AHEAD_MS_MAX + 1);
    let proof = head_proof(&header, certified(&header, &[1, 2, 3]));
    let result = CLIENT.head(&client, UnixMillis(GENESIS), &proof, &leaf(2));
    refused(result, Class::Proof, "ahead of this ledger's");
}

#[test]
fn an_anchor_that_is_none_is_refused() {
    let good = anchor();
    let empty = ValidatorSet { first_height: Height(1), validators: vec![] };
    let rows = [
        (Anchor { chain_id: ChainId::ZERO, ..good.clone() }, PERIOD, Class::Format),
        (Anchor { block_id: BlockId::ZERO, ..good.clone() }, PERIOD, Class::Format),
        (Anchor { block_id: keccak256(b"x").into(), ..good.clone() }, PERIOD, Class::Format),
        (Anchor { validators: empty, ..good.clone() }, PERIOD, Class::Format),
        (Anchor { validators: new_set(0), ..good.clone() }, PERIOD, Class::Format),
        (Anchor { validators: new_set(2), ..good.clone() }, PERIOD, Class::Format),
        (good.clone(), 0, Class::Format),
        (good.clone(), 20_000, Class::Proof),
        (Anchor { time: UnixMillis(GENESIS * 9), ..good }, PERIOD, Class::Proof),
    ];
    for (anchor, period, class) in rows {
        let refusal = CLIENT.start(&anchor.encode(), &terms(period), now(20)).unwrap_err();
        assert_eq!(refusal.class, class, "{refusal}");
    }
}

#[test]
fn what_a_client_remembers_is_bounded() {
    let mut client = started();
    let mut set_now = old_set();
    for step in 1..=80u64 {
        let height = step * 2;
        let next = set(height + 1, &[(1, 1), (2, 1), (3, step)]);
        let mut last = header_at(height, &set_now, &next);
        last.time = UnixMillis(GENESIS + step);
        let bytes =
            update(&last, certified(&last, &[1, 2, 3, 4][..set_now.validators.len()]), &next);
        client = CLIENT.update(&client, UnixMillis(GENESIS + step), &bytes).unwrap().client;
        set_now = next;
    }
    let state = ClientState::decode(&client).unwrap();
    assert_eq!(state.left.len(), HELD_MAX - 1);
    assert_eq!(state.recent.len(), RECENT_MAX);
    assert_eq!(state.newest.height, Height(160));
    assert_eq!(ClientState::decode(&state.encode()), Ok(state));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Attack A02: a changed byte anywhere in a proof is refused, and never freezes.
    #[test]
    fn a02_a_changed_byte_in_a_head_proof_is_refused(at in any::<prop::sample::Index>(), mask in 1u8..) {
        let header = header_at(20, &old_set(), &old_set());
        let mut proof = head_proof(&header, certified(&header, &[1, 2, 3]));
        let at = at.index(proof.len());
        proof[at] ^= mask;
        let result = CLIENT.head(&started(), now(20), &proof, &leaf(2));
        prop_assert!(matches!(result, Err(HeadError::Refused(_))), "{result:?}");
    }

    /// Whatever order the honest headers of one chain come in, none freezes the client, and it
    /// stands at the newest.
    #[test]
    fn honest_headers_in_any_order_never_freeze(heights in proptest::collection::vec(1u64..40, 1..20)) {
        let mut client = started();
        let mut newest = 0;
        for height in heights {
            newest = newest.max(height);
            let header = header_at(height, &old_set(), &old_set());
            let proof = head_proof(&header, certified(&header, &[2, 3, 4]));
            client = CLIENT.head(&client, now(40), &proof, &leaf(2)).unwrap().client;
            prop_assert_eq!(position(&client).1, Height(newest));
        }
    }
}
