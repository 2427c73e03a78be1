//! Links with trusted and with shared nodes: who attests what, and what the other side believes.

use async_trait::async_trait;
use std::sync::Arc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tombolo_adapter::{AdapterError, ChainHead, ClientView, Source as _};
use tombolo_crypto::{
    attested::Attested as HeadVerifier, client::LightClient, digest, secp256k1::SecretKey,
};
use tombolo_relayer::attest::{
    Attest, AttestError, Attested, Ends, Node, OwnProof, RemoteNode, Statement, Witness, Word,
    serve_node,
};
use tombolo_relayer_core::End;
use tombolo_sim::{Lie, Pair, Settings, open_pair};
use tombolo_types::{
    Address, Class, Hash, MessageNumber,
    attested::{AttestedAnchor, AttestedProof, Deviation},
    lane::{DATA_LANE, LaneLeaf},
    verifier::{Conviction, HeadError, LinkTerms, Verifier},
};

const PERIOD_MS: u64 = 14 * 24 * 3_600_000;

fn pair() -> Pair {
    let mut pair = open_pair(7, Settings::instant(7), Settings::instant(7)).unwrap();
    let chain = pair.chain.clone();
    pair.send(&chain, 3).unwrap();
    chain.produce_until_final();
    pair
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

fn ends(pair: &Pair) -> Ends {
    Ends { hub: Arc::new(pair.hub_adapter()), chain: Arc::new(pair.chain_adapter()) }
}

fn node(pair: &Pair, number: u8) -> Node {
    let name = format!("node {number}");
    Node::new(&name, pair.link, key(number), key(number + 100), ends(pair))
}

fn verifier() -> HeadVerifier {
    HeadVerifier::bounded_by(vec![Box::new(LightClient)])
}

/// The hub's client of the chain, attested by these nodes.
fn client(pair: &Pair, mode: u8, nodes: &[u8], threshold: u32, bound: bool) -> Vec<u8> {
    let anchor = pair.chain.anchor();
    let mut keys: Vec<Address> = nodes.iter().map(|number| key(*number).address()).collect();
    keys.sort();
    let attested = AttestedAnchor {
        chain: anchor.chain_id,
        height: anchor.height,
        block_id: anchor.block_id,
        time: anchor.time,
        keys,
        threshold,
        bound_kind: if bound { "tombolo".into() } else { String::new() },
        bound_anchor: if bound { anchor.encode() } else { Vec::new() },
    };
    let terms =
        LinkTerms { link: pair.link, gateway: Address::ZERO, mode, trusting_period_ms: PERIOD_MS };
    verifier().start(&attested.encode(), &terms, anchor.time).unwrap()
}

fn view(pair: &Pair, client: &[u8]) -> ClientView {
    verifier().view(client, pair.chain.now()).unwrap()
}

/// The data lane as the attested end shows it, and what the verifier says to it.
async fn shown(
    pair: &Pair,
    client: &[u8],
    end: &Attested<impl tombolo_relayer::Chain + ?Sized>,
) -> Result<Result<(), Class>, AdapterError> {
    let head = end.head(pair.link, &view(pair, client)).await?;
    let proved = head.lanes.iter().find(|lane| lane.leaf.lane == DATA_LANE).unwrap();
    assert_eq!(proved.leaf.size, 3);
    let verdict = verifier().head(client, pair.chain.now(), &proved.head_proof, &proved.leaf);
    Ok(verdict.map(|_| ()).map_err(|error| error.class()))
}

/// Serves a node on loopback until the token is cancelled.
async fn serve(tasks: &TaskTracker, node: Node) -> (RemoteNode, CancellationToken) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let serving = serve_node(listener, Arc::new(node), cancel.clone());
    tasks.spawn(async move { serving.await.unwrap() });
    let remote = RemoteNode::new(&format!("http://{listen}")).unwrap();
    for _ in 0..500 {
        if remote.capabilities().await.is_ok() {
            return (remote, cancel);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the node does not answer");
}

/// Three nodes, each with its own view of the chain, over HTTP; one is killed.
///
/// Req: Y4560-10.2-3.1, Y4560-10.2-3.2
#[tokio::test]
async fn any_two_of_three_shared_nodes_serve() {
    let pair = pair();
    let client = client(&pair, 3, &[1, 2, 3], 2, false);
    let tasks = TaskTracker::new();
    let (mut nodes, mut stops): (Vec<Arc<dyn Attest>>, _) = (Vec::new(), Vec::new());
    for number in [1, 2, 3] {
        let (remote, stop) = serve(&tasks, node(&pair, number)).await;
        let can = remote.capabilities().await.unwrap();
        assert_eq!(can.hub_key, key(number).address().to_string());
        assert_eq!(can.capabilities, 1);
        nodes.push(Arc::new(remote));
        stops.push(stop);
    }
    let chain: Arc<dyn tombolo_relayer::link::Chain> = Arc::new(pair.chain_adapter());
    let end = Attested::new(chain, End::Chain, nodes, 2, OwnProof::LeftOut);
    assert_eq!(shown(&pair, &client, &end).await, Ok(Ok(())));
    stops[0].cancel();
    assert_eq!(shown(&pair, &client, &end).await, Ok(Ok(())), "one is gone");
    stops[1].cancel();
    tasks.close();
    let alone = shown(&pair, &client, &end).await.unwrap_err();
    assert_eq!(alone.class(), Class::Timeout);
    assert!(alone.to_string().contains("1 of 3 nodes attest, 2 must"), "{alone}");
    stops[2].cancel();
    tasks.wait().await;
}

/// Signs whatever it is told, and shows another root.
struct Liar;

#[async_trait]
impl Attest for Liar {
    fn name(&self) -> &str {
        "liar"
    }

    async fn attest(&self, statement: &Statement) -> Result<Word, AttestError> {
        let leaf = LaneLeaf { root: Hash([1; 32]), ..statement.leaf.clone() };
        Ok(sign(&leaf, statement, &key(3)))
    }
}

fn sign(leaf: &LaneLeaf, statement: &Statement, key: &SecretKey) -> Word {
    let ChainHead { height, block_id, time, .. } = statement.head;
    let leaf = digest::lane_leaf(leaf);
    let digest = digest::attested_head(statement.key_epoch, leaf, height, block_id, time);
    Word { signer: key.address(), signature: key.sign(digest) }
}

/// A false word voids nothing: it is left out, and what it says convicts who said it.
///
/// Attack: A23, A26. Req: Y4560-10.2-3.2
#[tokio::test]
async fn a26_a_lying_node_is_left_out_and_its_word_is_evidence() {
    let pair = pair();
    let client = client(&pair, 3, &[1, 2, 3], 2, false);
    let nodes: Vec<Arc<dyn Attest>> =
        vec![Arc::new(Liar), Arc::new(node(&pair, 1)), Arc::new(node(&pair, 2))];
    let chain = Arc::new(pair.chain_adapter());
    let end = Attested::new(chain, End::Chain, nodes, 2, OwnProof::LeftOut);
    assert_eq!(shown(&pair, &client, &end).await, Ok(Ok(())));

    let head = end.head(pair.link, &view(&pair, &client)).await.unwrap();
    let proved = head.lanes.iter().find(|lane| lane.leaf.lane == DATA_LANE).unwrap();
    let statement = Statement {
        link: pair.link,
        of: End::Chain,
        leaf: proved.leaf.clone(),
        head: head.head,
        key_epoch: 0,
        proof: Vec::new(),
        by: None,
    };
    let lie = LaneLeaf { root: Hash([1; 32]), ..proved.leaf.clone() };
    let word = Liar.attest(&statement).await.unwrap();
    let honest = AttestedProof::decode(&proved.head_proof).unwrap();
    let evidence = Deviation {
        leaf_a: proved.leaf.clone(),
        proof_b: AttestedProof { signatures: word.signature.0.to_vec(), ..honest.clone() },
        proof_a: honest,
        leaf_b: lie,
    };
    let found = verifier().misbehaviour(&client, pair.chain.now(), &evidence.encode()).unwrap();
    let Conviction::Suspended { signers, .. } = found else { panic!("{found:?}") };
    assert_eq!(signers, vec![key(3).address()]);
}

/// A node signs nothing that its own chain does not say. Attack: A23
#[tokio::test]
async fn a23_a_node_believes_its_own_chain_alone() {
    let pair = pair();
    let node = node(&pair, 1);
    let chain = pair.chain_adapter();
    let head = chain.head(pair.link, &own_view(&pair)).await.unwrap();
    let proved = head.lanes.iter().find(|lane| lane.leaf.lane == DATA_LANE).unwrap();
    let honest = Statement {
        link: pair.link,
        of: End::Chain,
        leaf: proved.leaf.clone(),
        head: head.head,
        key_epoch: 0,
        proof: proved.head_proof.clone(),
        by: None,
    };
    let word = node.attest(&honest).await.unwrap();
    assert_eq!(word, sign(&honest.leaf, &honest, &key(1)));
    let of_hub = node.attest(&Statement { of: End::Hub, ..honest.clone() }).await;
    assert!(of_hub.is_err(), "the hub does not say so");

    type Change = fn(&mut Statement);
    let lies: [(&str, Change); 6] = [
        ("a longer lane", |it| it.leaf.size += 1),
        ("another root", |it| it.leaf.root = Hash([1; 32])),
        ("another block", |it| it.head.block_id.0[0] ^= 1),
        ("another time", |it| it.head.time.0 += 1),
        ("a height that is not there", |it| it.head.height.0 += 1_000),
        ("another link", |it| it.link.0[0] ^= 1),
    ];
    for (sentence, change) in lies {
        let mut lie = honest.clone();
        change(&mut lie);
        assert!(node.attest(&lie).await.is_err(), "{sentence}");
    }
}

fn own_view(pair: &Pair) -> ClientView {
    let anchor = pair.chain.anchor();
    let terms = LinkTerms {
        link: pair.link,
        gateway: Address::ZERO,
        mode: 1,
        trusting_period_ms: PERIOD_MS,
    };
    let client = LightClient.start(&anchor.encode(), &terms, anchor.time).unwrap();
    LightClient.view(&client, anchor.time).unwrap()
}

/// A trusted node whose word the chain's own proof does not bear out is refused, and named.
///
/// Req: Y4560-10.2-2.1, PRJ-1-1
#[tokio::test]
async fn a_trusted_node_goes_with_the_chains_own_proof() {
    let pair = pair();
    let client = client(&pair, 2, &[1], 1, true);
    let chain = Arc::new(pair.chain_adapter());
    let node: Arc<dyn Attest> = Arc::new(node(&pair, 1));
    let end = Attested::new(chain.clone(), End::Chain, vec![node.clone()], 1, OwnProof::Included);
    assert_eq!(shown(&pair, &client, &end).await, Ok(Ok(())));
    let unbounded = Attested::new(chain, End::Chain, vec![node], 1, OwnProof::LeftOut);
    assert_eq!(shown(&pair, &client, &unbounded).await, Ok(Err(Class::Format)));

    let head = end.head(pair.link, &view(&pair, &client)).await.unwrap();
    let proved = head.lanes.iter().find(|lane| lane.leaf.lane == DATA_LANE).unwrap();
    let lie = LaneLeaf { size: proved.leaf.size + 1, ..proved.leaf.clone() };
    let statement = Statement {
        link: pair.link,
        of: End::Chain,
        leaf: lie.clone(),
        head: head.head,
        key_epoch: 0,
        proof: Vec::new(),
        by: None,
    };
    let mut forged = AttestedProof::decode(&proved.head_proof).unwrap();
    forged.signatures = sign(&lie, &statement, &key(1)).signature.0.to_vec();
    let verdict = verifier().head(&client, pair.chain.now(), &forged.encode(), &lie);
    assert!(matches!(&verdict, Err(HeadError::Refused(refusal)) if refusal.class == Class::Tamper));
    assert_eq!(MessageNumber(proved.leaf.size).0, 3);
}

/// Signs whatever it is told, with one key.
struct Blind(u8);

#[async_trait]
impl Attest for Blind {
    fn name(&self) -> &str {
        "blind"
    }

    async fn attest(&self, statement: &Statement) -> Result<Word, AttestError> {
        Ok(sign(&statement.leaf, statement, &key(self.0)))
    }
}

/// Who wants others to sign must sign first: so a lie convicts its author, and its word is left out
/// from then on. A stranger's convicts nobody.
///
/// Attack: A23, A26. Req: Y4560-10.2-3.2
#[tokio::test]
async fn a26_who_has_others_asked_to_sign_a_lie_has_signed_it() {
    let pair = pair();
    let client = client(&pair, 3, &[1, 2, 3], 2, false);
    let keys = [1, 2, 3].map(|number| (End::Chain, key(number).address()));
    let (witness, _accuser) = Witness::new(keys.into(), Default::default());
    let witness = Arc::new(witness);
    let honest: Arc<dyn Attest> = Arc::new(node(&pair, 1).witnessed_by(witness.clone()));
    let counts = |number| witness.counts(End::Chain, key(number).address(), 0);
    let lies_of = |number: u8| {
        let forger = pair.chain_adapter();
        forger.tell(Some(Lie::Forger));
        let nodes: Vec<Arc<dyn Attest>> = vec![Arc::new(Blind(number)), honest.clone()];
        Attested::new(Arc::new(forger), End::Chain, nodes, 2, OwnProof::LeftOut)
    };
    // The stranger answers first, and would void the words beside its own.
    let stranger = Arc::new(Blind(9));
    let others: [Arc<dyn Attest>; 2] = [Arc::new(node(&pair, 3)), Arc::new(node(&pair, 2))];
    let nodes = [vec![honest.clone(), stranger], others.into()].concat();
    let chain = Arc::new(pair.chain_adapter());
    let end = Attested::new(chain, End::Chain, nodes, 2, OwnProof::LeftOut);
    let end = end.witnessed_by(witness.clone());

    for liar in [9, 3] {
        let refused = lies_of(liar).head(pair.link, &view(&pair, &client)).await.unwrap_err();
        assert_eq!(refused.class(), Class::Timeout, "{refused}");
    }
    assert!(counts(3), "the honest have agreed to nothing yet");
    assert_eq!(shown(&pair, &client, &end).await, Ok(Ok(())));
    assert_eq!([1, 2, 3, 9].map(counts), [true, true, false, false]);
    assert!(!witness.counts(End::Hub, key(1).address(), 0), "a key speaks of one end");
    assert!(witness.counts(End::Chain, key(9).address(), 1), "keys were replaced since");

    let head = end.head(pair.link, &view(&pair, &client)).await.unwrap();
    let proof = AttestedProof::decode(&head.lanes[0].head_proof).unwrap();
    let signed = |number: u8| {
        let statement = Statement {
            link: pair.link,
            of: End::Chain,
            leaf: head.lanes[0].leaf.clone(),
            head: head.head,
            key_epoch: 0,
            proof: Vec::new(),
            by: None,
        };
        let signature = sign(&statement.leaf, &statement, &key(number)).signature;
        proof.signatures.chunks(65).any(|known| known == signature.0)
    };
    assert_eq!([1, 2, 3].map(signed), [true, true, false]);
}
