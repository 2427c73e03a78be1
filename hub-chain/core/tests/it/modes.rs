//! Links of modes 2 and 3: nodes, policies, limits, and what each record says of them.

use crate::{
    harness::{Chain, Peer, key},
    world::{self, World, class, new_link, set_policy},
};
use tombolo_crypto::{attested, digest};
use tombolo_hub::{
    Hub, HubCall,
    govern::{Act, NewIdentity, NewLink},
    link::{link_policy, registration},
    policy::SHARE_OPEN_DATA,
    query,
};
use tombolo_ledger::{Call, lanes};
use tombolo_types::{
    Address, Class, Hash, LaneNumber, Refusal,
    attested::{AttestedAnchor, AttestedProof, Deviation, INTERWORKING, SharedNode},
    header::Signature,
    id::{LinkId, TxId},
    lane::{CONTROL_LANE, DATA_LANE, Delivery, LaneLeaf},
    link_policy::{LinkPolicy, PolicyBit, TypeRule},
    message::{Body, Role},
    transaction::HeadProof,
};

/// Keys of nodes on the hub, where each is an identity, and on the chain.
const NODES: [(u8, u8); 3] = [(60, 160), (61, 161), (62, 162)];
/// The chain's council.
const COUNCIL: [u8; 3] = [80, 81, 82];

struct Attested {
    hub: Chain<Hub>,
    chain: Chain<Peer>,
    /// A second chain, in mode 1, to share with.
    other: Chain<Peer>,
    mode: u8,
}

fn node(hub: &Chain<Hub>, link: LinkId, (hub_key, chain_key): (u8, u8), can: u32) -> SharedNode {
    let (on_hub, on_chain) = (key(hub_key), key(chain_key));
    let challenge = digest::shared_node(hub.id, link, on_hub.address(), on_chain.address(), can);
    SharedNode {
        hub_key: on_hub.address(),
        chain_key: on_chain.address(),
        capabilities: can,
        hub_signature: on_hub.sign(challenge),
        chain_signature: on_chain.sign(challenge),
    }
}

fn sorted(mut keys: Vec<Address>) -> Vec<Address> {
    keys.sort_unstable();
    keys
}

/// What a quorum registers for these nodes.
fn attested_link(
    hub: &Chain<Hub>,
    chain: &Chain<Peer>,
    mode: u8,
    nodes: &[(u8, u8)],
    threshold: u32,
) -> NewLink {
    let anchor = chain.anchor();
    let nodes: Vec<SharedNode> =
        nodes.iter().map(|keys| node(hub, chain.link(), *keys, INTERWORKING)).collect();
    let anchor = AttestedAnchor {
        chain: chain.id,
        height: anchor.height,
        block_id: anchor.block_id,
        time: anchor.time,
        keys: sorted(nodes.iter().map(|node| node.hub_key).collect()),
        threshold,
        bound_kind: String::new(),
        bound_anchor: Vec::new(),
    };
    NewLink {
        mode,
        verifier: attested::KIND.into(),
        anchor: anchor.encode(),
        nodes,
        ..new_link(chain)
    }
}

fn start() -> (Chain<Hub>, Chain<Peer>, Chain<Peer>) {
    let mut hub = world::hub(vec![]);
    hub.block(vec![]);
    for (hub_key, _) in NODES.into_iter().chain([(63, 163)]) {
        let new = NewIdentity {
            key: key(hub_key).address(),
            roles: Role::Relayer.bit(),
            name: format!("node {hub_key}"),
            owner: Default::default(),
        };
        hub.enact(Act::RegisterIdentity(new)).unwrap();
    }
    let anchor = hub.anchor();
    let (mut chain, mut other) = (world::peer(&anchor, 110), world::peer(&anchor, 111));
    chain.block(vec![]);
    other.block(vec![]);
    (hub, chain, other)
}

fn policy(version: u32) -> LinkPolicy {
    let operations = PolicyBit::Share as u8 | PolicyBit::Move as u8;
    LinkPolicy { version, types: vec![TypeRule { name: "air".into(), operations }] }
}

fn council_signs(link: LinkId, policy: &LinkPolicy, members: &[u8]) -> Vec<Signature> {
    let hash = digest::link_policy(link, policy);
    members.iter().map(|member| key(*member).sign(hash)).collect()
}

impl Attested {
    /// Registered and greeted; mode 3 with two of three nodes, mode 2 with the first.
    fn greeted(mode: u8) -> Self {
        let (mut hub, chain, other) = start();
        let (nodes, threshold) = if mode == 3 { (&NODES[..], 2) } else { (&NODES[..1], 1) };
        let new = attested_link(&hub, &chain, mode, nodes, threshold);
        hub.enact(Act::RegisterLink(Box::new(new))).unwrap();
        let mut world = Self { hub, chain, other, mode };
        let mut hello = world.chain.hello(&world.hub.anchor());
        hello.mode = mode;
        hello.council = sorted(COUNCIL.map(|member| key(member).address()).to_vec());
        hello.council_threshold = 2;
        if mode == 3 {
            hello.policy_hash = digest::link_policy(world.link(), &policy(1));
        }
        world.chain.send(CONTROL_LANE, &Body::Hello(hello));
        world.deliver(CONTROL_LANE).unwrap();
        world
    }

    /// Open, with a second chain linked, open data allowed, and the device known.
    fn open(mode: u8) -> Self {
        let mut world = Self::greeted(mode);
        let link = world.link();
        if mode == 3 {
            let signatures = council_signs(link, &policy(1), &[80, 82]);
            world.hub.enact(Act::SetLinkPolicy { link, policy: policy(1), signatures }).unwrap();
        }
        world.hub.enact(Act::OpenLink { link }).unwrap();
        let anchor = world.hub.anchor();
        world::link(&mut world.hub, &mut world.other, &anchor);
        world.hub.enact(Act::RegisterIdentity(world::device(world::DEVICE, 1))).unwrap();
        for name in ["air", "water"] {
            world.hub.enact(Act::SetSchema { definition: world::schema(name) }).unwrap();
        }
        world.hub.enact(set_policy("open", SHARE_OPEN_DATA)).unwrap();
        world
    }

    fn link(&self) -> LinkId {
        self.chain.link()
    }

    /// What is new on a lane, attested by these nodes.
    fn attested(&self, lane: LaneNumber, nodes: &[u8]) -> Delivery {
        let received = lanes::lane(&self.hub.store, self.link(), lane).unwrap().received.size();
        let mut delivery = self.chain.delivery(self.link(), lane, received);
        delivery.head_proof = self.attest(&delivery, &delivery.leaf, nodes).encode();
        delivery
    }

    fn attest(&self, delivery: &Delivery, leaf: &LaneLeaf, nodes: &[u8]) -> AttestedProof {
        let header = HeadProof::decode(&delivery.head_proof).unwrap().header;
        let (height, time) = (header.height, header.time);
        let block_id = digest::block_id(&header);
        let hash = digest::attested_head(0, digest::lane_leaf(leaf), height, block_id, time);
        let mut signed: Vec<_> =
            nodes.iter().map(|node| (key(*node).address(), key(*node).sign(hash))).collect();
        signed.sort_by_key(|(signer, _)| *signer);
        AttestedProof {
            height,
            block_id,
            time,
            key_epoch: 0,
            signatures: signed.into_iter().flat_map(|(_, signature)| signature.0).collect(),
            bound: Vec::new(),
        }
    }

    /// Brings a lane as the relayer of the mode does: in mode 2 the trusted node itself.
    fn deliver(&mut self, lane: LaneNumber) -> Result<TxId, Refusal> {
        let (by, nodes) = if self.mode == 2 { (60, &[60][..]) } else { (5, &[60, 62][..]) };
        let delivery = self.attested(lane, nodes);
        self.bring(by, delivery)
    }

    fn bring(&mut self, by: u8, delivery: Delivery) -> Result<TxId, Refusal> {
        self.hub.now = self.hub.now.max(self.chain.now);
        let transaction = self.hub.sign(by, Call::Deliver(Box::new(delivery)));
        self.hub.one(transaction)
    }

    /// Shares a reading of a type from the attested chain to the other, and gives how it ends.
    fn share(&mut self, local_id: &str, schema: &str) -> Option<Class> {
        let mut envelope = World::bare(vec![]).reading(local_id);
        envelope.home = self.chain.id;
        envelope.schema = digest::schema_id(&world::schema(schema));
        let share = world::share(envelope, self.chain.id, self.other.id, world::DEVICE);
        self.chain.send(DATA_LANE, &Body::Share(share));
        self.deliver(DATA_LANE).unwrap();
        Class::from_number(self.hub.records_of("share").pop().unwrap().outcome)
    }
}

/// Req: Y4560-10.2-2.1, Y4560-10.2-3.1, Y4560-10.2-3.2
#[test]
fn nodes_are_registered_with_proof_of_both_keys() {
    let (mut hub, chain, _) = start();
    let link = chain.link();
    let shared = attested_link(&hub, &chain, 3, &NODES, 2);
    let with = |change: &dyn Fn(&mut NewLink)| {
        let mut new = shared.clone();
        change(&mut new);
        Act::RegisterLink(Box::new(new))
    };
    let stranger = attested_link(&hub, &chain, 3, &[(60, 160), (90, 190)], 2);
    let two_in_mode_2 = attested_link(&hub, &chain, 2, &NODES[..2], 2);
    let one_in_mode_3 = attested_link(&hub, &chain, 3, &NODES[..1], 1);
    let half = attested_link(&hub, &chain, 3, &NODES[..2], 1);
    let incapable = node(&hub, link, NODES[0], 0);
    let rows = [
        (
            "a node without a proof",
            Class::Auth,
            with(&|new| {
                new.nodes[0].chain_signature = new.nodes[1].chain_signature;
            }),
        ),
        ("a proof for another link", Class::Auth, with(&|new| new.incarnation = 2)),
        ("a key of nobody", Class::Ident, Act::RegisterLink(Box::new(stranger))),
        (
            "other keys than the anchor's",
            Class::Format,
            with(&|new| {
                new.nodes.pop();
            }),
        ),
        (
            "a node twice",
            Class::State,
            with(&|new| {
                let again = new.nodes[0].clone();
                new.nodes.push(again);
            }),
        ),
        (
            "a node that cannot interwork",
            Class::Unsupported,
            with(&|new| {
                new.nodes[0] = incapable.clone();
            }),
        ),
        ("no node in mode 3", Class::Format, with(&|new| new.nodes.clear())),
        ("nodes in mode 1", Class::Unsupported, with(&|new| new.mode = 1)),
        ("two trusted nodes", Class::State, Act::RegisterLink(Box::new(two_in_mode_2))),
        ("one shared node", Class::State, Act::RegisterLink(Box::new(one_in_mode_3))),
        ("half of the shared nodes", Class::State, Act::RegisterLink(Box::new(half))),
        ("a consensus in mode 3", Class::Unsupported, with(&|new| new.verifier = "tombolo".into())),
    ];
    for (sentence, expected, act) in rows {
        assert_eq!(class(hub.enact(act)), Some(expected), "{sentence}");
    }
    hub.enact(with(&|_| {})).unwrap();
    assert_eq!(query::link(&hub.store, link).unwrap().link.mode, 3);
    assert_eq!(registration(&hub.store, link).unwrap().nodes.len(), 3);
}

/// Req: Y4560-10.2-2.1
#[test]
fn only_the_trusted_node_delivers_in_mode_2() {
    let mut world = Attested::open(2);
    let envelope = World::bare(vec![]).reading("r");
    let share = world::share(envelope, world.chain.id, world.other.id, world::DEVICE);
    world.chain.send(DATA_LANE, &Body::Share(share));
    let delivery = world.attested(DATA_LANE, &[60]);
    for stranger in [5, 61] {
        assert_eq!(class(world.bring(stranger, delivery.clone())), Some(Class::Denied));
    }
    world.bring(60, delivery).unwrap();
}

/// A node that nothing bounds is named so in every record of its link, and brings little in an
/// hour. Req: PRJ-1-1, Y4560-7.2.3-2
#[test]
fn an_unbounded_link_says_so_in_every_record() {
    let mut world = Attested::open(2);
    assert_eq!(world.share("r", "air"), None);
    let link = world.link();
    let records: Vec<_> =
        world.hub.records().into_iter().filter(|record| record.link == link).collect();
    assert_eq!(records.len(), 4, "{records:?}");
    for record in &records {
        assert!(record.unbounded && record.mode == 2, "{record:?}");
    }
    let others = world.hub.records().into_iter().filter(|record| record.link == world.other.link());
    assert!(others.into_iter().all(|record| !record.unbounded));

    let value = |value| Act::SetParameter { name: "unbounded_items_per_hour".into(), value };
    world.hub.enact(value(2)).unwrap();
    world.hub.block(vec![]);
    assert_eq!(world.share("s", "air"), None);
    assert_eq!(world.share("t", "air"), Some(Class::Limit));
}

/// Req: Y4560-10.2-3.2, Y4560-10.2-3.3
#[test]
fn shared_nodes_serve_under_a_policy_that_both_sides_signed() {
    let mut world = Attested::greeted(3);
    let link = world.link();
    assert_eq!(class(world.hub.enact(Act::OpenLink { link })), Some(Class::Policy), "none yet");
    let set = |policy: &LinkPolicy, members: &[u8]| Act::SetLinkPolicy {
        link,
        signatures: council_signs(link, policy, members),
        policy: policy.clone(),
    };
    let first = policy(1);
    for (sentence, members) in
        [("one side alone", &[][..]), ("one of the council", &[80]), ("a stranger", &[80, 90])]
    {
        let act = set(&first, members);
        assert_eq!(class(world.hub.enact(act)), Some(Class::Quorum), "{sentence}");
    }
    let alone = world.hub.propose(1, set(&first, &[80, 82])).unwrap();
    assert_eq!(class(world.hub.run(1, HubCall::Execute { proposal: alone })), Some(Class::Quorum));
    assert_eq!(link_policy(&world.hub.store, link), None);
    world.hub.run(2, HubCall::Approve { proposal: alone }).unwrap();
    assert_eq!(link_policy(&world.hub.store, link), Some(first));
    let skipped = set(&policy(3), &[80, 82]);
    assert_eq!(class(world.hub.enact(skipped)), Some(Class::State));
    world.hub.enact(Act::OpenLink { link }).unwrap();

    let mut world = Attested::open(3);
    assert_eq!(world.share("r", "air"), None);
    assert_eq!(world.share("w", "water"), Some(Class::Policy), "a type that it omits");
    let hash = digest::link_policy(world.link(), &policy(1));
    let link = world.link();
    for record in world.hub.records().iter().filter(|record| record.link == link) {
        let before = ["link register", "hello", "deliver", "update-client"];
        if !before.contains(&record.operation.as_str()) && record.operation != "approve" {
            assert_eq!(record.link_policy, hash, "{record:?}");
        }
    }
    assert!(world.hub.records_of("share").iter().all(|record| record.link_policy == hash));
}

/// One node that is killed loses nothing: the others go on. Req: Y4560-10.2-3.2
#[test]
fn any_two_of_three_nodes_serve() {
    let mut world = Attested::open(3);
    for (number, nodes) in [[60, 61], [61, 62], [60, 62]].into_iter().enumerate() {
        let mut envelope = World::bare(vec![]).reading(&format!("r{number}"));
        envelope.home = world.chain.id;
        let share = world::share(envelope, world.chain.id, world.other.id, world::DEVICE);
        world.chain.send(DATA_LANE, &Body::Share(share));
        let delivery = world.attested(DATA_LANE, &nodes);
        world.bring(5, delivery).unwrap();
    }
    let lane = lanes::lane(&world.hub.store, world.link(), DATA_LANE).unwrap();
    assert_eq!(lane.received.size(), 3);
    let alone = world.attested(DATA_LANE, &[61]);
    assert_eq!(class(world.bring(5, alone)), Some(Class::Quorum));
}

/// A node that lies alone is named, and its word counts no more. Attack: A26. Req: Y4560-10.2-3.2
#[test]
fn a26_a_lying_node_is_suspended_and_named() {
    let mut world = Attested::open(3);
    assert_eq!(world.share("r", "air"), None);
    let honest = world.chain.delivery(world.link(), DATA_LANE, 1);
    let lie = LaneLeaf { root: Hash([1; 32]), ..honest.leaf.clone() };
    let evidence = Deviation {
        proof_a: world.attest(&honest, &honest.leaf, &[60, 61]),
        leaf_a: honest.leaf.clone(),
        proof_b: world.attest(&honest, &lie, &[62]),
        leaf_b: lie,
    };
    let link = world.link();
    let report = Call::Misbehaviour { link, evidence: evidence.encode() };
    let transaction = world.hub.sign(5, report);
    world.hub.one(transaction).unwrap();
    let record = world.hub.records_of("misbehaviour").pop().unwrap();
    assert!(record.remark.contains(&key(62).address().to_string()), "{}", record.remark);
    assert_eq!(query::link(&world.hub.store, link).unwrap().status, "open");

    world.chain.block(vec![]);
    let mut envelope = World::bare(vec![]).reading("s");
    envelope.home = world.chain.id;
    let share = world::share(envelope, world.chain.id, world.other.id, world::DEVICE);
    world.chain.send(DATA_LANE, &Body::Share(share));
    let with_liar = world.attested(DATA_LANE, &[60, 62]);
    assert_eq!(class(world.bring(5, with_liar)), Some(Class::Proof));
    let without = world.attested(DATA_LANE, &[60, 61]);
    world.bring(5, without).unwrap();
}

/// The old key is dead in the block that applies the rotation. Attack: A11. Req: Y4560-10.2-2.1
#[test]
fn a11_nodes_are_replaced_by_quorum_and_on_record() {
    let mut world = Attested::open(2);
    let link = world.link();
    let next = node(&world.hub, link, (63, 163), INTERWORKING);
    let rotate = |nodes: Vec<SharedNode>, threshold| Act::RotateNodes { link, nodes, threshold };
    let alone = world.hub.propose(1, rotate(vec![next.clone()], 1)).unwrap();
    assert_eq!(class(world.hub.run(1, HubCall::Execute { proposal: alone })), Some(Class::Quorum));
    let two = vec![next.clone(), node(&world.hub, link, NODES[1], INTERWORKING)];
    assert_eq!(class(world.hub.enact(rotate(two, 2))), Some(Class::State), "a second one");
    world.hub.run(2, HubCall::Approve { proposal: alone }).unwrap();
    let done = |record: &&tombolo_types::record::Record| record.outcome == 0;
    assert_eq!(world.hub.records_of("link rotate-nodes").iter().filter(done).count(), 1);

    let mut envelope = World::bare(vec![]).reading("r");
    envelope.home = world.chain.id;
    let share = world::share(envelope, world.chain.id, world.other.id, world::DEVICE);
    world.chain.send(DATA_LANE, &Body::Share(share));
    let old = world.attested(DATA_LANE, &[60]);
    assert_eq!(class(world.bring(60, old)), Some(Class::Denied));
    let mode_1 = Act::RotateNodes { link: world.other.link(), nodes: vec![next], threshold: 1 };
    assert_eq!(class(world.hub.enact(mode_1)), Some(Class::Format));
}
