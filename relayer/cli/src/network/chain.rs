//! One chain of a network while it is made: its validators' folders, and the genesis that they
//! share.

use super::{BALANCE, PASSPHRASE, Part, STAKEHOLDERS, coin};
use anyhow::Context as _;
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_islet::signer::now;
use tombolo_node::{
    config::{RawConfig, RawKey, RawPeer},
    keys::{Cost, Keystore, Passphrase, PassphraseSource},
};
use tombolo_types::{
    Address, Amount, Height, Power,
    header::{
        Anchor, Genesis, GenesisBalance, GenesisIdentity, GenesisParameter, HEADER_VERSION,
        Validator, ValidatorSet,
    },
    message::Role,
};

/// A chain whose validators have folders and keys, and no genesis yet.
pub(super) struct NewChain {
    name: String,
    nodes: Vec<NewNode>,
}

struct NewNode {
    name: String,
    folder: PathBuf,
    validator: Address,
    grpc: SocketAddr,
    p2p: SocketAddr,
    metrics: SocketAddr,
}

impl NewChain {
    /// Ports that each validator takes.
    pub(super) const PORTS: usize = 3;

    /// Makes the validators' folders and keys. The first bears the chain's name.
    pub(super) fn make(
        home: &Path,
        name: &str,
        validators: usize,
        ports: &mut impl Iterator<Item = SocketAddr>,
        passphrase: &Passphrase,
    ) -> anyhow::Result<Self> {
        let mut nodes = Vec::new();
        for number in 1..=validators {
            let node = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            let folder = home.join(&node);
            let keys = Keystore::new(folder.join("keys"));
            let key = keys.create("validator", passphrase, Cost::DEVNET)?;
            let mut port = || ports.next().context("too few free ports");
            nodes.push(NewNode {
                name: node,
                folder,
                validator: key.address(),
                grpc: port()?,
                p2p: port()?,
                metrics: port()?,
            });
        }
        Ok(Self { name: name.to_owned(), nodes })
    }

    /// The document from which the chain starts: a hub's, or that of an islet that trusts the hub
    /// from `anchor` on.
    pub(super) fn genesis(
        &self,
        keys: &BTreeMap<&str, SecretKey>,
        anchor: Option<&Anchor>,
    ) -> Genesis {
        let identity = |name: &str, role: Role| GenesisIdentity {
            key: keys[name].address(),
            roles: role.bit(),
            name: name.into(),
        };
        let mut identities =
            vec![identity("operator", Role::Operator), identity("relayer", Role::Relayer)];
        let (mut balances, mut council) = (Vec::new(), Vec::new());
        if anchor.is_none() {
            identities.extend(STAKEHOLDERS.map(|name| identity(name, Role::Stakeholder)));
        } else {
            balances.extend(STAKEHOLDERS.map(|name| GenesisBalance {
                account: keys[name].address(),
                asset: coin(),
                amount: Amount(BALANCE),
            }));
            council
                .extend(["council-1", "council-2", "council-3"].map(|name| keys[name].address()));
            council.sort();
        }
        balances.sort_by_key(|balance| balance.account);
        let mut validators: Vec<Validator> = (self.nodes.iter())
            .map(|node| Validator { address: node.validator, power: Power(1) })
            .collect();
        validators.sort_by_key(|validator| validator.address);
        Genesis {
            version: HEADER_VERSION,
            kind: if anchor.is_none() { "hub" } else { "islet" }.into(),
            name: self.name.clone(),
            time: now(),
            validators: ValidatorSet { first_height: Height(1), validators },
            identities,
            balances,
            quorum: if anchor.is_none() { 2 } else { 0 },
            council_threshold: if anchor.is_none() { 0 } else { 2 },
            council,
            hub_anchor: anchor.map(Anchor::encode).unwrap_or_default(),
            parameters: vec![
                // One device speaks for a whole station here; a benchmark must not meet its quota.
                GenesisParameter { name: "rate_burst".into(), value: 10_000_000 },
                GenesisParameter { name: "rate_per_second".into(), value: 1_000_000 },
            ],
        }
    }

    /// Writes genesis and configuration into each validator's folder, and says what parts of a
    /// network they are.
    pub(super) fn write(&self, genesis: &Genesis) -> anyhow::Result<Vec<Part>> {
        let chain = digest::chain_id(genesis).to_string();
        let mut parts = Vec::new();
        for node in &self.nodes {
            fs::write(node.folder.join("genesis.abi"), genesis.encode())?;
            let config = RawConfig {
                home: node.folder.clone(),
                genesis: "genesis.abi".into(),
                key: RawKey {
                    keystore: "validator".into(),
                    passphrase: Some(PassphraseSource::File(format!("../{PASSPHRASE}").into())),
                },
                moniker: node.name.clone(),
                grpc_listen: node.grpc.to_string(),
                p2p_listen: node.p2p.to_string(),
                metrics_listen: Some(node.metrics.to_string()),
                peers: self.peers_of(node)?,
                ..RawConfig::default()
            };
            let path = node.folder.join("config.toml");
            fs::write(&path, config.to_toml()?)
                .with_context(|| format!("writing {}", path.display()))?;
            parts.push(Part {
                name: node.name.clone(),
                kind: genesis.kind.clone(),
                chain: Some(chain.clone()),
                serves: node.grpc,
                metrics: Some(node.metrics),
                process: None,
            });
        }
        Ok(parts)
    }

    fn peers_of(&self, own: &NewNode) -> anyhow::Result<Vec<RawPeer>> {
        let others = self.nodes.iter().filter(|node| node.name != own.name);
        let peer = |node: &NewNode| {
            Ok(RawPeer {
                p2p: node.p2p.to_string(),
                peer_id: tombolo_node::peer_id(&node.folder)?.to_string(),
                grpc: Some(format!("http://{}", node.grpc)),
            })
        };
        others.map(peer).collect()
    }
}
