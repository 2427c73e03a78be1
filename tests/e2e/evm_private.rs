//! A chain of members, and what others learn of the transactions that its members keep to themselves.

use crate::{
    evm::{FINAL_TWICE, GETH_KEY, Integration, hex},
    network::Devnet,
    party::{Party, govern, open_envelope, until_within},
    run::{good, run},
};
use serde_json::{Value as Json, json};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};
use tombolo_crypto::{digest, keccak256::keccak256};
use tombolo_hub::govern::Act;
use tombolo_islet::signer::now;
use tombolo_test_nodes::{Clique, FalseFront, Sender, alone, bytes, hash};
use tombolo_types::{
    Hash,
    envelope::{Envelope, Reading, Value},
    id::{ChainId, DataId, SchemaId},
    schema::{Field, FieldKind, Schema},
};

/// What two members agree on, and nobody else shall know.
const AGREED: &[u8] = b"14 tonnes of cement at 92.50 each, invoice 7731";
/// The structure of what others learn of it.
const KIND: &str = "private-transaction";
const FIELD: &str = "transaction";
const LOCAL_ID: &str = "invoice/7731";
/// Enough for some transactions, in wei.
const FUNDS: u64 = 1_000_000_000_000_000_000;

/// Whether the relayer's node has told it what the members agreed on.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Passes everything on, and listens.
fn listen(_: &Json, answer: &mut Json) {
    if answer.to_string().contains(&hex(AGREED)) {
        TOLD.store(true, Ordering::Relaxed);
    }
}

/// Registers the structure, and lets open items of it be shared.
async fn register(devnet: &Devnet) -> SchemaId {
    let field = Field {
        name: FIELD.into(),
        kind: FieldKind::Text,
        unit: String::new(),
        minimum: None,
        maximum: None,
        length_max: 66,
        required: true,
        decimals: None,
    };
    let schema = Schema { name: KIND.into(), version: 1, fields: vec![field] };
    let definition = schema.encode().unwrap();
    let id = digest::schema_id(&definition);
    let text = format!(
        r#"permit(principal, action == Action::"share", resource in Type::"{KIND}") when {{ resource.class == "open" }};"#
    );
    let hub = devnet.ledger("hub").await;
    let (city, observatory) = (devnet.party("city"), devnet.party("observatory"));
    for act in [Act::SetSchema { definition }, Act::SetPolicy { id: KIND.into(), text }] {
        govern(&hub, &city, &observatory, act).await;
    }
    id
}

/// Has a member share with `destination` that there is a private transaction, and which.
fn share(
    linked: &Integration,
    member: &Sender,
    (owner, device): (&Party, &Party),
    (schema, transaction): (SchemaId, Hash),
    destination: ChainId,
) -> DataId {
    let value = Value::Text(transaction.to_string());
    let readings = vec![Reading { name: FIELD.into(), at: now(), value }];
    let (owner, local_id) = (owner.identity(), LOCAL_ID.to_owned());
    let whose = (linked.chain(), owner, local_id.clone());
    let signed = open_envelope(whose, schema, device, readings);
    linked.order_share(member, (owner, local_id), device, schema, signed, destination)
}

/// The names of the files below a folder that hold one of these texts.
fn holding(folder: &Path, texts: &[&[u8]]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, texts));
            continue;
        }
        // What a running node has just deleted holds nothing.
        let held = fs::read(&path).unwrap_or_default();
        if texts.iter().any(|text| held.windows(text.len()).any(|part| part == *text)) {
            found.push(path.to_str().unwrap().to_owned());
        }
    }
    found
}

/// Two members of a Clique chain agree on something by a transaction among themselves, and share that
/// they did with an islet: its hash goes over the hub, proved by the chain's own seals. What they
/// agreed on is with no other process of the network, on no disk of theirs, and the relayer's node
/// has not even told it to the relayer. Whom a member shows the transaction, to him hash and bundle
/// prove it, offline.
///
/// Req: D35-I.2-2, Y4560-10.2-1.1
#[test]
fn only_hash_and_proof_of_a_private_transaction_leave_a_chain_of_members() {
    let _alone = alone();
    let Some(network) = Clique::start(1, 1_000) else { return };
    let front = FalseFront::of(network.rpc(), listen);
    front.lie(true);
    let words = ["--proof", "clique", "--clique-period", "1", "--clique-epoch", "1000"];
    let words = [&words[..], &["--finality-depth", "2"]].concat();
    let linked = Integration::new(Devnet::up(), &front.rpc, GETH_KEY, &words, "1");
    let devnet = &linked.devnet;

    let (city, station) = (devnet.party("city"), devnet.party("weather-station"));
    network.sender().pay(city.address(), &[], FUNDS);
    let member = Sender::new(network.rpc(), city.key().clone());
    let agreed = member.send(Some(network.signers[0].address), AGREED);
    let transaction = hash(&agreed["transactionHash"]);

    let (data, copy, genesis) = run(async {
        let (hub, islet) = (devnet.ledger("hub").await, devnet.ledger("seattle").await);
        let schema = register(devnet).await;
        let parties = (&city, &station);
        let data = share(&linked, &member, parties, (schema, transaction), islet.chain);
        let path = format!("copy/{data}");
        let copy = until_within(FINAL_TWICE, "the copy is on the islet", || async {
            let found = islet.client.query(&path, None, 0).await.ok()?;
            Some(serde_json::from_str::<Json>(&found.json).unwrap())
        })
        .await;
        (data, copy, hub.chain)
    });
    let hub = format!("http://{}", devnet.serves("hub"));
    let bundle = devnet.home.join("hub.bundle");
    let bundle = bundle.to_str().unwrap();
    good(&["audit", "export", "--node", &hub, "--out", bundle]);

    // What others have: who, when, under which structure, and a hash; and what proves it to them.
    let envelope = bytes(&copy["envelope"]);
    let read = Envelope::parse(&envelope).unwrap();
    let said = &read.envelope().readings[0].value;
    assert_eq!(*said, Value::Text(transaction.to_string()));
    let verify = ["audit", "verify", bundle, "--genesis", &genesis.to_string()];
    let listed = good(&[&verify[..], &["--list", "--json"]].concat());
    let (data, fingerprint) = (data.to_string(), digest::fingerprint(&envelope).to_string());
    let record = listed.lines().find(|line| line.contains(&data)).unwrap();
    let record: Json = serde_json::from_str(record).unwrap();
    assert_eq!((&record["data_id"], &record["fingerprint"]), (&json!(data), &json!(fingerprint)));
    // What a member may show.
    let raw = network.rpc().call("eth_getRawTransactionByHash", json!([transaction.to_string()]));
    let mut raw = bytes(&raw);
    assert!(raw.windows(AGREED.len()).any(|part| part == AGREED));
    assert_eq!(keccak256(&raw), transaction);
    let last = raw.len() - 1;
    raw[last] ^= 1;
    assert_ne!(keccak256(&raw), transaction);

    let agreed_in_hex = hex(AGREED);
    assert_eq!(holding(&devnet.home, &[AGREED, agreed_in_hex.as_bytes()]), Vec::<String>::new());
    // And that would be found: this is.
    let shown = holding(&devnet.home, &[transaction.to_string().as_bytes()]);
    for part in ["hub", "seattle"] {
        let own = devnet.home.join(part).to_str().unwrap().to_owned() + "/";
        assert!(shown.iter().any(|path| path.starts_with(&own)), "{part}: {shown:?}");
    }
    assert!(!TOLD.load(Ordering::Relaxed));
    let _ = front.rpc.call("eth_getTransactionByHash", json!([transaction.to_string()]));
    assert!(TOLD.load(Ordering::Relaxed), "the front does not listen");
}
