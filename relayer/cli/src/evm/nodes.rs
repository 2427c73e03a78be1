//! The nodes of a link in mode 2 or 3: relayers with a key on either side.

use super::{RawEvm, known::Known, prove::ProvedNode};
use crate::{
    network::{Network, RELAYER},
    party::Ledger,
    process::free_ports,
    setup::Parties,
};
use alloy_primitives::U256;
use anyhow::{Context as _, ensure};
use std::{net::SocketAddr, path::PathBuf};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_evm::deploy::Deployer;
use tombolo_hub::govern::{Act, NewIdentity};
use tombolo_relayer::attest::prove;
use tombolo_types::{
    Address,
    attested::SharedNode,
    id::{ChainId, IdentityId, LinkId},
    message::Role,
};

/// Which part of what the deployer's account holds each new node gets.
const GIVEN_PART: u64 = 16;

/// Who shall attest for a link.
pub(super) struct Wanted {
    /// How many nodes; none in mode 1.
    pub(super) count: u8,
    /// How many of them must attest.
    pub(super) threshold: u32,
    /// Where not all are of this network.
    pub(super) others: Option<Others>,
}

/// Nodes of other owners.
pub(super) struct Others {
    /// Where they ask this network's relayer.
    pub(super) listen: SocketAddr,
    /// By which each owner proves its own.
    pub(super) files: Vec<PathBuf>,
}

impl Wanted {
    pub(super) fn none() -> Self {
        Self { count: 0, threshold: 0, others: None }
    }

    pub(super) fn one() -> Self {
        Self { count: 1, threshold: 1, others: None }
    }

    /// Mode 3: so many of this network, or its relayer and those of other owners.
    pub(super) fn several(
        count: u8,
        threshold: Option<u8>,
        others: Option<Others>,
    ) -> anyhow::Result<Self> {
        let count = match &others {
            None => count,
            Some(others) => u8::try_from(others.files.len() + 1).context("too many nodes")?,
        };
        let threshold = threshold.unwrap_or(count / 2 + 1);
        // Before the others have proved theirs nobody knows how many they are.
        let is_open = others.as_ref().is_some_and(|others| others.files.is_empty());
        ensure!(
            is_open || (2 * threshold > count && threshold <= count),
            "{threshold} of {count} nodes is not more than half"
        );
        Ok(Self { count, threshold: threshold.into(), others })
    }

    /// Whether the nodes of other owners are there.
    pub(super) fn ensure_enough(&self) -> anyhow::Result<()> {
        ensure!(
            self.others.is_none() || self.count >= 2,
            "mode 3 takes two nodes at the least; have other owners prove theirs by `tombolo link \
             prove`, and name each file with --node"
        );
        Ok(())
    }
}

/// One node of this network.
struct LinkNode {
    /// The relayer that is the node.
    part: String,
    key: SecretKey,
    account: SecretKey,
    /// Where the others ask it; nobody asks the only one.
    listen: Option<SocketAddr>,
}

/// All nodes of a link, and how many of them must attest.
pub(super) struct LinkNodes {
    all: Vec<LinkNode>,
    theirs: Vec<ProvedNode>,
    pub(super) threshold: u32,
}

impl LinkNodes {
    /// The network's relayer alone.
    pub(super) fn one(network: &Network, known: &Known) -> anyhow::Result<Self> {
        let node = LinkNode {
            part: RELAYER.into(),
            key: network.key_of(RELAYER, RELAYER)?,
            account: network.key_of(RELAYER, &known.evm.account)?,
            listen: None,
        };
        Ok(Self { all: vec![node], theirs: Vec::new(), threshold: 1 })
    }

    /// The network's relayer and `count - 1` more, each with keys that a quorum registers and with
    /// coins from the deployer's account. What is there of an attempt that broke off is used.
    pub(super) async fn several(
        network: &mut Network,
        known: &Known,
        (hub, parties, deployer): (&Ledger, &Parties, &Deployer),
        wanted: &Wanted,
    ) -> anyhow::Result<Self> {
        let Self { mut all, theirs, .. } = Self::one(network, known)?;
        for number in 2..=wanted.count {
            let part = format!("{}-node-{number}", known.evm.name);
            if network.part(&part).is_err() {
                network.add_relayer(&part)?;
            }
            let account = network.own_key(&part, &known.evm.account)?;
            let key = network.key_of(&part, RELAYER)?;
            register(hub, parties, key.address(), &part).await?;
            let paid = account.address().0.into();
            if deployer.balance_of(paid).await?.is_zero() {
                let given = deployer.balance().await? / U256::from(GIVEN_PART);
                deployer.pay(paid, given).await?;
            }
            all.push(LinkNode { part, key, account, listen: None });
        }
        for (node, listen) in all.iter_mut().zip(free_ports(wanted.count.into())?) {
            node.listen = Some(listen);
        }
        Ok(Self { all, theirs, threshold: wanted.threshold })
    }

    /// The network's relayer, and a node of each other owner, whose key a quorum registers where the
    /// hub does not know it. Their owners run them, and pay for them.
    pub(super) async fn of_owners(
        network: &Network,
        known: &Known,
        (hub, parties, link): (&Ledger, &Parties, LinkId),
        others: &Others,
        threshold: u32,
    ) -> anyhow::Result<Self> {
        let Self { mut all, .. } = Self::one(network, known)?;
        for node in &mut all {
            node.listen = Some(others.listen);
        }
        let mut theirs = Vec::new();
        for file in &others.files {
            theirs.push(ProvedNode::read(file, hub.chain, link)?);
        }
        for node in &theirs {
            register(hub, parties, node.shared.hub_key, &format!("node at {}", node.url)).await?;
        }
        Ok(Self { all, theirs, threshold })
    }

    /// Their keys on the chain, ascending.
    pub(super) fn accounts(&self) -> Vec<Address> {
        let theirs = self.theirs.iter().map(|node| node.shared.chain_key);
        let ours = self.all.iter().map(|node| node.account.address());
        let mut keys: Vec<Address> = ours.chain(theirs).collect();
        keys.sort_unstable();
        keys
    }

    /// Their keys on the hub, ascending.
    pub(super) fn keys(&self) -> Vec<Address> {
        let theirs = self.theirs.iter().map(|node| node.shared.hub_key);
        let ours = self.all.iter().map(|node| node.key.address());
        let mut keys: Vec<Address> = ours.chain(theirs).collect();
        keys.sort_unstable();
        keys
    }

    /// Each one's proof that it holds both its keys.
    pub(super) fn proofs(&self, hub: ChainId, link: LinkId) -> Vec<SharedNode> {
        let ours = self.all.iter().map(|node| prove(hub, link, &node.key, &node.account));
        ours.chain(self.theirs.iter().map(|node| node.shared.clone())).collect()
    }

    /// Has each of them serve the chain, by a node of its own where there are several. Gives the
    /// parts that are to be started anew.
    pub(super) fn serve(&self, network: &Network, chain: &RawEvm) -> anyhow::Result<Vec<String>> {
        for (position, node) in self.all.iter().enumerate() {
            let mut chain = chain.clone();
            if let Some(listen) = node.listen {
                let own = chain.rpc.iter().cycle().nth(position).cloned();
                chain.rpc = vec![own.context("the chain has no node")?];
                chain.node_listen = Some(listen.to_string());
                let others = self.all.iter().filter(|other| other.part != node.part);
                let urls = others.filter_map(|other| Some(format!("http://{}", other.listen?)));
                let theirs = self.theirs.iter().map(|node| node.url.clone());
                chain.nodes = urls.chain(theirs).collect();
            }
            network.have_served(&node.part, chain)?;
        }
        Ok(self.all.iter().map(|node| node.part.clone()).collect())
    }
}

/// Has a quorum register the key of a node as a relayer's, where the hub does not know it.
async fn register(hub: &Ledger, parties: &Parties, key: Address, name: &str) -> anyhow::Result<()> {
    let path = format!("identity/{}", digest::identity_id(key));
    if hub.query(&path).await?.is_none() {
        let roles = Role::Relayer.bit();
        let identity = NewIdentity { key, roles, name: name.to_owned(), owner: IdentityId::ZERO };
        parties.govern(hub, Act::RegisterIdentity(identity)).await?;
    }
    Ok(())
}
