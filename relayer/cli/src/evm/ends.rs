//! Both ends of a link to an EVM chain, as the mode of its gateway asks.

use super::EvmEnd;
use crate::process::bind;
use anyhow::Context as _;
use serde::Deserialize;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_evm::{EvmAdapter, Proof, account as account_of};
use tombolo_node::listener::Bounds;
use tombolo_proto::client::LedgerClient;
use tombolo_relayer::{
    Chain, End, Endpoint,
    attest::{self, Accuser, Attest, Attested, Node, OwnProof, RemoteNode, Witness},
};
use tombolo_types::{Address, id::LinkId};

/// Connections of the other nodes of a link, each of which keeps one or two and opens them anew.
const NODES: Bounds = Bounds {
    connections_max: 64,
    greeting_time: Duration::from_secs(5),
    time_max: Some(Duration::from_secs(60)),
};

/// Both ends of one link.
pub(crate) struct Ends {
    pub(crate) hub: Endpoint,
    pub(crate) chain: Endpoint,
}

impl Ends {
    /// Connects to the chain. In modes 2 and 3 this relayer is one of the link's nodes: it attests
    /// the chain with its own key, and the hub with that of its account.
    pub(crate) async fn connect(
        end: &EvmEnd,
        link: LinkId,
        (hub, client): (Endpoint, &LedgerClient),
        (key, account): (&SecretKey, &SecretKey),
        cancel: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let adapter = EvmAdapter::connect(end.adapter.clone(), account_of(account)?).await?;
        anyhow::ensure!(
            adapter.link() == link,
            "the gateway {} serves link {}, the hub has registered {link}; correct `gateway`",
            end.adapter.gateway,
            adapter.link()
        );
        let (mode, threshold) = (adapter.mode(), adapter.threshold());
        let chain: Arc<dyn Chain> = Arc::new(adapter);
        if mode == 1 {
            return Ok(Self { hub, chain: Endpoint { name: end.name.clone(), chain } });
        }
        let ends = attest::Ends { hub: Arc::clone(&hub.chain), chain: Arc::clone(&chain) };
        let (witness, accuser) = witness(client, link).await?;
        let node = Node::new(&end.name, link, key.clone(), account.clone(), ends.clone());
        let own = Arc::new(node.witnessed_by(witness.clone()));
        let mut nodes: Vec<Arc<dyn Attest>> = vec![own.clone()];
        for url in &end.nodes {
            let node = RemoteNode::new(url);
            nodes.push(Arc::new(node.with_context(|| format!("node {url} of {}", end.name))?));
        }
        if let Some(listen) = end.node_listen {
            let listener = bind("a node of the link", listen, NODES).await?;
            // Nothing fails from here on: what is started is started once.
            let cancel = cancel.child_token();
            tokio::spawn(async move {
                if let Err(error) = attest::serve_node(listener, own, cancel).await {
                    tracing::error!(%error, "the other nodes of the link cannot ask this one");
                }
            });
        }
        tokio::spawn(accuser.run(witness.clone(), link, ends, cancel.child_token()));
        let own_proof = match (mode, &end.adapter.proof) {
            (2, Proof::Clique | Proof::Beacon { .. }) => OwnProof::Included,
            _ => OwnProof::LeftOut,
        };
        let attested = |inner, of, proof| -> Arc<dyn Chain> {
            let end = Attested::new(inner, of, nodes.clone(), threshold, proof);
            Arc::new(end.witnessed_by(witness.clone()))
        };
        Ok(Self {
            hub: Endpoint {
                name: hub.name,
                chain: attested(hub.chain, End::Hub, OwnProof::LeftOut),
            },
            chain: Endpoint {
                name: end.name.clone(),
                chain: attested(chain, End::Chain, own_proof),
            },
        })
    }
}

/// What the hub says of a link's nodes, as far as it is used here.
#[derive(Deserialize)]
struct Registered {
    nodes: Vec<RegisteredNode>,
}

#[derive(Deserialize)]
struct RegisteredNode {
    hub_key: String,
    chain_key: String,
    suspended: bool,
}

/// A witness among the nodes that the hub has registered.
async fn witness(hub: &LedgerClient, link: LinkId) -> anyhow::Result<(Arc<Witness>, Accuser)> {
    let page = hub.query(&format!("link/{link}"), None, 0).await?;
    let Registered { nodes } = serde_json::from_str(&page.json).context("reading the link")?;
    let (mut keys, mut suspended) = (BTreeSet::<(End, Address)>::new(), BTreeSet::new());
    for node in &nodes {
        let key = node.hub_key.parse()?;
        // Each side believes what is said of the other by the key that it knows itself.
        keys.extend([(End::Chain, key), (End::Hub, node.chain_key.parse()?)]);
        if node.suspended {
            suspended.insert((End::Chain, key));
        }
    }
    let (witness, accuser) = Witness::new(keys, suspended);
    Ok((Arc::new(witness), accuser))
}
