use super::*;
use crate::{
    client::LightClient,
    fixture::{certified, chain, header, key, set},
    tree,
};
use proptest::prelude::*;
use tombolo_types::{
    Epoch, LaneNumber,
    header::{Anchor, Header},
    id::{BlockId, ChainId, LinkId},
    transaction::HeadProof,
};

const PERIOD: u64 = 90_000;
const START: u64 = 1_000_000;
const LINK: LinkId = LinkId([9; 32]);

fn verifier() -> Attested {
    Attested::bounded_by(vec![Box::new(LightClient)])
}

fn terms(mode: u8) -> LinkTerms {
    LinkTerms { link: LINK, gateway: Address([7; 20]), mode, trusting_period_ms: PERIOD }
}

fn keys(numbers: &[u8]) -> Vec<Address> {
    let mut keys: Vec<Address> = numbers.iter().map(|number| key(*number).address()).collect();
    keys.sort();
    keys
}

fn block(height: u64) -> BlockId {
    keccak256_of(&format!("block {height}"))
}

fn keccak256_of(text: &str) -> BlockId {
    crate::keccak256::keccak256(text.as_bytes()).into()
}

fn time(height: u64) -> UnixMillis {
    UnixMillis(START + 1_000 * height)
}

fn anchor(numbers: &[u8], threshold: u32) -> AttestedAnchor {
    AttestedAnchor {
        chain: chain(),
        height: Height(1),
        block_id: block(1),
        time: time(1),
        keys: keys(numbers),
        threshold,
        bound_kind: String::new(),
        bound_anchor: Vec::new(),
    }
}

/// Mode 3: three shared nodes, two must agree.
fn shared() -> Vec<u8> {
    verifier().start(&anchor(&[1, 2, 3], 2).encode(), &terms(3), time(1)).unwrap()
}

/// Mode 2: one trusted node that nothing bounds.
fn trusted() -> Vec<u8> {
    verifier().start(&anchor(&[1], 1).encode(), &terms(2), time(1)).unwrap()
}

fn leaf(size: u64) -> LaneLeaf {
    LaneLeaf {
        link: LINK,
        direction: 1,
        lane: LaneNumber(1),
        epoch: Epoch(1),
        size,
        root: crate::keccak256::keccak256(&size.to_be_bytes()),
        peer_epoch: Epoch(1),
        received: 2,
        received_root: crate::keccak256::keccak256(b"taken"),
        peer_height: Height(5),
        peer_id: block(5),
        trust_epoch: 0,
    }
}

fn attest(leaf: &LaneLeaf, at: Block, key_epoch: u32, numbers: &[u8]) -> AttestedProof {
    let Block { height, block_id, time } = at;
    let digest = digest::attested_head(key_epoch, digest::lane_leaf(leaf), height, block_id, time);
    let mut signed: Vec<(Address, Signature)> =
        numbers.iter().map(|number| (key(*number).address(), key(*number).sign(digest))).collect();
    signed.sort_by_key(|(signer, _)| *signer);
    let signatures = signed.iter().flat_map(|(_, signature)| signature.0).collect();
    AttestedProof { height, block_id, time, key_epoch, signatures, bound: Vec::new() }
}

fn at(height: u64) -> Block {
    Block { height: Height(height), block_id: block(height), time: time(height) }
}

fn head(client: &[u8], leaf: &LaneLeaf, proof: &AttestedProof) -> Result<VerifiedHead, HeadError> {
    let now = UnixMillis(proof.time.0 + 300);
    verifier().head(client, now, &proof.encode(), leaf)
}

fn class(result: Result<VerifiedHead, HeadError>) -> Class {
    match result {
        Err(HeadError::Refused(refusal)) => refusal.class,
        other => panic!("{other:?}"),
    }
}

fn frozen(result: Result<VerifiedHead, HeadError>) -> Vec<u8> {
    match result {
        Err(HeadError::Contradiction { client, .. }) => client,
        other => panic!("{other:?}"),
    }
}

/// Req: Y4560-10.2-3.1
#[test]
fn enough_nodes_are_believed_and_the_client_moves() {
    let proof = attest(&leaf(3), at(20), 0, &[1, 3]);
    let head = head(&shared(), &leaf(3), &proof).unwrap();
    assert_eq!((head.height, head.block_id, head.time), (Height(20), block(20), time(20)));
    let view = verifier().view(&head.client, time(21)).unwrap();
    assert_eq!((view.chain, view.height, view.status), (chain(), Height(20), ClientStatus::Active));
    assert_eq!(verifier().members(&head.client).unwrap(), keys(&[1, 2, 3]));
    assert_eq!(verifier().deliverer(&head.client), Ok(None));
    // A lower head serves its proof and does not move the client.
    let lower = attest(&leaf(2), at(10), 0, &[1, 2]);
    let again = super::tests::head(&head.client, &leaf(2), &lower).unwrap();
    assert_eq!((again.height, again.client), (Height(10), head.client));
}

/// Only its own key brings anything over a link with one trusted node. Req: Y4560-10.2-2.1
#[test]
fn a_trusted_node_is_the_only_deliverer() {
    let client = trusted();
    assert_eq!(verifier().deliverer(&client), Ok(Some(key(1).address())));
    assert_eq!(verifier().is_bounded(&client), Ok(false));
    assert_eq!(verifier().is_bounded(&shared()), Ok(true));
    head(&client, &leaf(3), &attest(&leaf(3), at(2), 0, &[1])).unwrap();
}

/// Attack: A09. Req: Y4560-10.2-3.1
#[test]
fn a09_padding_strangers_and_too_few_signatures_are_refused() {
    let client = shared();
    let good = attest(&leaf(3), at(20), 0, &[1, 2]);
    let with = |signatures: Vec<u8>| AttestedProof { signatures, ..good.clone() };
    let one = attest(&leaf(3), at(20), 0, &[1]).signatures;
    let unordered: Vec<u8> = {
        let (a, b) = good.signatures.split_at(SIGNATURE_BYTES);
        [b, a].concat()
    };
    let mut broken = good.signatures.clone();
    broken[10] ^= 1;
    let mut high_v = good.signatures.clone();
    high_v[64] = 29;
    let rows = [
        ("nobody", with(Vec::new()), Class::Quorum),
        ("one of two", with(one.clone()), Class::Quorum),
        ("the same twice", with([one.clone(), one].concat()), Class::Proof),
        ("in another order", with(unordered), Class::Proof),
        ("a stranger", attest(&leaf(3), at(20), 0, &[1, 9]), Class::Proof),
        ("a byte short", with(good.signatures[..129].to_vec()), Class::Format),
        ("more than there are nodes", attest(&leaf(3), at(20), 0, &[1, 2, 3, 9]), Class::Format),
        ("a v that is none", with(high_v), Class::Auth),
        ("another key epoch", attest(&leaf(3), at(20), 1, &[1, 2]), Class::Proof),
        ("no block", AttestedProof { block_id: BlockId::ZERO, ..good.clone() }, Class::Format),
    ];
    for (sentence, proof, expected) in rows {
        assert_eq!(class(head(&client, &leaf(3), &proof)), expected, "{sentence}");
    }
    let refused = class(head(&client, &leaf(3), &with(broken)));
    assert!(matches!(refused, Class::Auth | Class::Proof), "{refused}");
    let padded = AttestedProof { bound: vec![1], ..good };
    assert_eq!(class(head(&client, &leaf(3), &padded)), Class::Format);
}

/// Attack: A17: a signature serves one link, one lane, one block and one key epoch.
#[test]
fn a17_a_statement_serves_nothing_but_what_it_says() {
    let (client, proof) = (shared(), attest(&leaf(3), at(20), 0, &[1, 2]));
    let other_link = LaneLeaf { link: LinkId([8; 32]), ..leaf(3) };
    assert_eq!(class(head(&client, &other_link, &proof)), Class::Proof);
    let lies: [fn(&mut LaneLeaf); 6] = [
        |leaf| leaf.size += 1,
        |leaf| leaf.received += 1,
        |leaf| leaf.lane.0 = 0,
        |leaf| leaf.direction = 0,
        |leaf| leaf.peer_height.0 += 1,
        |leaf| leaf.trust_epoch += 1,
    ];
    for lie in lies {
        let mut changed = leaf(3);
        lie(&mut changed);
        let refused = class(head(&client, &changed, &proof));
        assert!(matches!(refused, Class::Proof | Class::Auth), "{changed:?}: {refused}");
    }
    let moved = AttestedProof { height: Height(21), ..proof };
    assert!(matches!(class(head(&client, &leaf(3), &moved)), Class::Proof | Class::Auth));
}

/// Two blocks at one height, each with enough signatures, freeze. Attack: A28.
#[test]
fn a28_contradicting_heads_freeze() {
    let client = head(&shared(), &leaf(3), &attest(&leaf(3), at(20), 0, &[1, 2])).unwrap().client;
    let rows = [
        ("another block", Block { block_id: block(99), ..at(20) }),
        ("another time", Block { time: time(19), ..at(20) }),
        ("time falls as height rises", Block { height: Height(21), time: time(19), ..at(20) }),
        ("time rises as height falls", Block { height: Height(19), time: time(22), ..at(19) }),
    ];
    for (sentence, other) in rows {
        let proof = attest(&leaf(4), other, 0, &[2, 3]);
        let client = frozen(head(&client, &leaf(4), &proof));
        let view = verifier().view(&client, time(21)).unwrap();
        assert_eq!(view.status, ClientStatus::Frozen, "{sentence}");
        let honest = attest(&leaf(5), at(30), 0, &[1, 2]);
        assert_eq!(class(super::tests::head(&client, &leaf(5), &honest)), Class::Proof);
    }
}

/// Several blocks of a chain that counts in whole seconds may fall into one.
#[test]
fn heights_may_share_a_time() {
    let mut client = shared();
    for height in [20, 21, 22] {
        let proof = attest(&leaf(3), Block { time: time(20), ..at(height) }, 0, &[1, 2]);
        client = head(&client, &leaf(3), &proof).unwrap().client;
    }
    let below = attest(&leaf(3), Block { time: time(20), ..at(19) }, 0, &[1, 2]);
    assert_eq!(head(&client, &leaf(3), &below).unwrap().client, client);
}

fn deviation(a: (&LaneLeaf, AttestedProof), b: (&LaneLeaf, AttestedProof)) -> Vec<u8> {
    Deviation { leaf_a: a.0.clone(), proof_a: a.1, leaf_b: b.0.clone(), proof_b: b.1 }.encode()
}

fn judge(evidence: &[u8]) -> Result<Conviction, Class> {
    verifier().misbehaviour(&shared(), time(21), evidence).map_err(|refusal| refusal.class)
}

/// Who is alone with a statement counts no more; the others go on. Attack: A26.
#[test]
fn a26_who_is_alone_with_a_statement_is_suspended_and_named() {
    let (truth, lie) = (leaf(3), LaneLeaf { root: Hash([1; 32]), ..leaf(3) });
    let honest = attest(&truth, at(20), 0, &[1, 2]);
    let liar = attest(&lie, at(22), 0, &[3]);
    let Ok(Conviction::Suspended { client, signers }) =
        judge(&deviation((&truth, honest.clone()), (&lie, liar)))
    else {
        panic!("not suspended");
    };
    assert_eq!(signers, keys(&[3]));
    let with_liar = attest(&leaf(4), at(23), 0, &[1, 3]);
    assert_eq!(class(head(&client, &leaf(4), &with_liar)), Class::Proof);
    head(&client, &leaf(4), &attest(&leaf(4), at(23), 0, &[1, 2])).unwrap();

    // Who signs both contradicts itself, also where neither statement has enough.
    let twice =
        deviation((&truth, attest(&truth, at(20), 0, &[3])), (&lie, attest(&lie, at(20), 0, &[3])));
    let Ok(Conviction::Suspended { signers, .. }) = judge(&twice) else { panic!("not suspended") };
    assert_eq!(signers, keys(&[3]));

    let both = deviation((&truth, honest), (&lie, attest(&lie, at(20), 0, &[2, 3])));
    let Ok(Conviction::Frozen { client }) = judge(&both) else { panic!("not frozen") };
    assert_eq!(verifier().view(&client, time(21)).unwrap().status, ClientStatus::Frozen);
}

#[test]
fn evidence_that_shows_nothing_convicts_nobody() {
    let (a, b) = (leaf(3), leaf(4));
    let one = attest(&a, at(20), 0, &[1, 2]);
    let rows = [
        ("the same twice", deviation((&a, one.clone()), (&a, one.clone()))),
        ("a lane that grew", deviation((&a, one), (&b, attest(&b, at(21), 0, &[3])))),
        (
            "two who disagree alone",
            deviation((&a, attest(&a, at(20), 0, &[1])), (&b, attest(&b, at(20), 0, &[3]))),
        ),
    ];
    for (sentence, evidence) in rows {
        assert_eq!(judge(&evidence), Err(Class::Proof), "{sentence}");
    }
    assert_eq!(judge(&[1, 2, 3]), Err(Class::Format));
}

/// A new key serves from the rotation on, an old one no more. Attack: A11.
#[test]
fn a11_an_old_key_is_dead_with_the_rotation() {
    let client = rotate(&shared(), keys(&[2, 3, 4]), 2).unwrap();
    let old = attest(&leaf(3), at(20), 0, &[2, 3]);
    assert_eq!(class(head(&client, &leaf(3), &old)), Class::Proof);
    let gone = attest(&leaf(3), at(20), 1, &[1, 2]);
    assert_eq!(class(head(&client, &leaf(3), &gone)), Class::Proof);
    head(&client, &leaf(3), &attest(&leaf(3), at(20), 1, &[2, 4])).unwrap();
    for (keys, threshold) in [(keys(&[1]), 1), (keys(&[1, 2]), 1), (keys(&[1, 2]), 3)] {
        assert_eq!(rotate(&client, keys, threshold).unwrap_err().class, Class::State);
    }
}

/// Req: Y4560-10.2-2.1, Y4560-10.2-3.1
#[test]
fn an_anchor_suits_its_mode() {
    let start = |anchor: AttestedAnchor, mode| {
        verifier()
            .start(&anchor.encode(), &terms(mode), time(1))
            .map(|_| ())
            .map_err(|refusal| refusal.class)
    };
    let unsorted =
        AttestedAnchor { keys: keys(&[1, 2]).into_iter().rev().collect(), ..anchor(&[1, 2], 2) };
    let rows = [
        (anchor(&[1], 1), 2, Ok(())),
        (anchor(&[1, 2], 2), 2, Err(Class::State)),
        (anchor(&[], 0), 2, Err(Class::State)),
        (anchor(&[1, 2], 2), 3, Ok(())),
        (anchor(&[1], 1), 3, Err(Class::State)),
        (anchor(&[1, 2], 1), 3, Err(Class::State)),
        (anchor(&[1, 2, 3, 4], 2), 3, Err(Class::State)),
        (anchor(&[1, 2], 3), 3, Err(Class::State)),
        (anchor(&[1, 2], 2), 1, Err(Class::Unsupported)),
        (unsorted, 3, Err(Class::Format)),
        (AttestedAnchor { chain: ChainId::ZERO, ..anchor(&[1], 1) }, 2, Err(Class::Format)),
        (AttestedAnchor { block_id: BlockId::ZERO, ..anchor(&[1], 1) }, 2, Err(Class::Format)),
        (AttestedAnchor { bound_kind: "none".into(), ..anchor(&[1], 1) }, 2, {
            Err(Class::Unsupported)
        }),
        (AttestedAnchor { bound_anchor: vec![1], ..anchor(&[1], 1) }, 2, Err(Class::Format)),
        (AttestedAnchor { time: time(10_000), ..anchor(&[1], 1) }, 2, Err(Class::Proof)),
    ];
    for (number, (anchor, mode, expected)) in rows.into_iter().enumerate() {
        assert_eq!(start(anchor, mode), expected, "row {number}");
    }
}

/// Attack: A29
#[test]
fn a29_a_client_expires_and_is_recovered() {
    let client = shared();
    let late = UnixMillis(time(1).0 + PERIOD);
    let proof = attest(&leaf(3), Block { time: late, ..at(20) }, 0, &[1, 2]);
    assert_eq!(
        class(verifier().head(&client, late, &proof.encode(), &leaf(3))),
        Class::Proof,
        "expired"
    );
    let next = AttestedAnchor {
        height: Height(20),
        block_id: block(20),
        time: late,
        ..anchor(&[1, 2, 3], 2)
    };
    let recovered = verifier().recover(&client, &next.encode(), late).unwrap();
    let proof = attest(&leaf(3), Block { time: UnixMillis(late.0 + 1), ..at(21) }, 1, &[1, 2]);
    head(&recovered.client, &leaf(3), &proof).unwrap();
    let below = AttestedAnchor { height: Height(0), ..next.clone() };
    let refused = verifier().recover(&client, &below.encode(), late).unwrap_err();
    assert_eq!(refused.class, Class::Proof);
    let other = AttestedAnchor { chain: ChainId([5; 32]), ..next };
    assert_eq!(verifier().recover(&client, &other.encode(), late).unwrap_err().class, Class::Proof);
}

mod bounded {
    use super::*;

    fn own_header(height: u64) -> Header {
        let set = set(1, &[(1, 1), (2, 1), (3, 1)]);
        let mut header = header(height, time(height).0, &set, &set);
        header.lanes_root = tree::lanes_root(&[digest::lane_leaf(&leaf(3))]);
        header
    }

    fn own_proof(height: u64) -> (Header, Vec<u8>) {
        let header = own_header(height);
        let certificate = certified(&header, &[1, 2, 3]);
        let proof =
            HeadProof { header: header.clone(), certificate, index: 0, count: 1, path: vec![] };
        (header, proof.encode())
    }

    fn client() -> Vec<u8> {
        let bound = Anchor {
            chain_id: chain(),
            height: Height::ZERO,
            block_id: Hash::from(chain()).into(),
            time: UnixMillis(START),
            validators: set(1, &[(1, 1), (2, 1), (3, 1)]),
        };
        let anchor = AttestedAnchor {
            bound_kind: "tombolo".into(),
            bound_anchor: bound.encode(),
            ..anchor(&[9], 1)
        };
        verifier().start(&anchor.encode(), &terms(2), time(1)).unwrap()
    }

    fn bounded(leaf: &LaneLeaf, bound: Vec<u8>, header: &Header) -> AttestedProof {
        let block =
            Block { height: header.height, block_id: digest::block_id(header), time: header.time };
        AttestedProof { bound, ..attest(leaf, block, 0, &[9]) }
    }

    /// Req: PRJ-1-1, Y4560-10.2-2.2
    #[test]
    fn a07_a_trusted_node_is_believed_only_with_the_chains_own_proof() {
        let (header, own) = own_proof(20);
        let client = client();
        assert_eq!(verifier().is_bounded(&client), Ok(true));
        head(&client, &leaf(3), &bounded(&leaf(3), own.clone(), &header)).unwrap();

        let lie = LaneLeaf { size: 4, ..leaf(3) };
        assert_eq!(class(head(&client, &lie, &bounded(&lie, own.clone(), &header))), Class::Tamper);
        let elsewhere = bounded(&leaf(3), own.clone(), &own_header(21));
        assert_eq!(class(head(&client, &leaf(3), &elsewhere)), Class::Tamper);
        let mut broken = own;
        *broken.last_mut().unwrap() ^= 1;
        let refused = class(head(&client, &leaf(3), &bounded(&leaf(3), broken, &header)));
        assert!(matches!(refused, Class::Tamper | Class::Format), "{refused}");
        let missing = bounded(&leaf(3), Vec::new(), &header);
        assert_eq!(class(head(&client, &leaf(3), &missing)), Class::Format);
    }
}

proptest! {
    /// Attack: A53
    #[test]
    fn a53_any_bytes_are_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(verifier().head(&shared(), time(2), &bytes, &leaf(3)).is_err());
        prop_assert!(verifier().misbehaviour(&shared(), time(2), &bytes).is_err());
        prop_assert!(verifier().start(&bytes, &terms(3), time(1)).is_err());
        prop_assert!(verifier().view(&bytes, time(2)).is_err());
    }

    /// Attack: A02: one spelling; any changed byte is refused.
    #[test]
    fn a02_no_byte_of_a_proof_may_change(position: prop::sample::Index, bit in 0u8..8) {
        let mut proof = attest(&leaf(3), at(20), 0, &[1, 2]).encode();
        let position = position.index(proof.len());
        proof[position] ^= 1 << bit;
        prop_assert!(verifier().head(&shared(), time(21), &proof, &leaf(3)).is_err());
    }
}
