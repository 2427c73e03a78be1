//! The nodes of a link in mode 2 or 3: relayers with a key on either side.

use super::{RawEvm, known::Known};
use crate::{
    network::{Network, RELAYER},
    party::Ledger,
    process::free_ports,
    setup::Parties,
};
use alloy_primitives::U256;
use anyhow::Context as _;
use std::net::SocketAddr;
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_evm::deploy::Deployer;
use tombolo_hub::govern::{Act, NewIdentity};
use tombolo_node::keys::generate;
use tombolo_relayer::attest::prove;
use tombolo_types::{
    Address,
    attested::SharedNode,
    id::{ChainId, IdentityId, LinkId},
    message::Role,
};

/// Which part of what the deployer's account holds each new node gets.
const GIVEN_PART: u64 = 16;

/// One node.
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
        Ok(Self { all: vec![node], threshold: 1 })
    }

    /// The network's relayer and `count - 1` more, each with keys that a quorum registers and with
    /// coins from the deployer's account. What is there of an attempt that broke off is used.
    pub(super) async fn several(
        network: &mut Network,
        known: &Known,
        (hub, parties, deployer): (&Ledger, &Parties, &Deployer),
        (count, threshold): (u8, u32),
    ) -> anyhow::Result<Self> {
        let Self { mut all, .. } = Self::one(network, known)?;
        for number in 2..=count {
            let part = format!("{}-node-{number}", known.evm.name);
            if network.part(&part).is_err() {
                network.add_relayer(&part)?;
            }
            let account = match network.key_of(&part, &known.evm.account) {
                Ok(account) => account,
                Err(_) => {
                    let account = generate()?;
                    network.keep_key(&part, &known.evm.account, &account)?;
                    account
                }
            };
            let key = network.key_of(&part, RELAYER)?;
            let identity = NewIdentity {
                key: key.address(),
                roles: Role::Relayer.bit(),
                name: part.clone(),
                owner: IdentityId::ZERO,
            };
            let path = format!("identity/{}", digest::identity_id(key.address()));
            if hub.query(&path).await?.is_none() {
                parties.govern(hub, Act::RegisterIdentity(identity)).await?;
            }
            let paid = account.address().0.into();
            if deployer.balance_of(paid).await?.is_zero() {
                let given = deployer.balance().await? / U256::from(GIVEN_PART);
                deployer.pay(paid, given).await?;
            }
            all.push(LinkNode { part, key, account, listen: None });
        }
        for (node, listen) in all.iter_mut().zip(free_ports(count.into())?) {
            node.listen = Some(listen);
        }
        Ok(Self { all, threshold })
    }

    /// Their keys on the chain, ascending.
    pub(super) fn accounts(&self) -> Vec<Address> {
        let mut keys: Vec<Address> = self.all.iter().map(|node| node.account.address()).collect();
        keys.sort_unstable();
        keys
    }

    /// Their keys on the hub, ascending.
    pub(super) fn keys(&self) -> Vec<Address> {
        let mut keys: Vec<Address> = self.all.iter().map(|node| node.key.address()).collect();
        keys.sort_unstable();
        keys
    }

    /// Each one's proof that it holds both its keys.
    pub(super) fn proofs(&self, hub: ChainId, link: LinkId) -> Vec<SharedNode> {
        self.all.iter().map(|node| prove(hub, link, &node.key, &node.account)).collect()
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
                chain.nodes = urls.collect();
            }
            network.have_served(&node.part, chain)?;
        }
        Ok(self.all.iter().map(|node| node.part.clone()).collect())
    }
}
