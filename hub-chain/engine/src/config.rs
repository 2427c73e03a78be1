//! What the engine is told, and how the consensus library is told it.

use arc_malachitebft_app_channel::app::config::{
    ConsensusConfig, DiscoveryConfig, NodeConfig, P2pConfig, PubSubProtocol, ValueSyncConfig,
};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tombolo_crypto::secp256k1::SecretKey;

use crate::{identity::PeerId, mempool::Limits, run::EngineError};

/// Connections from one address: more than a network on one machine needs.
const CONNECTIONS_PER_IP: usize = 256;
/// How often peers tell each other their heights: what a joiner waits for at most.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Another node that this one connects to. Nobody else is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// `host:port`, the host a name or an address.
    pub address: String,
    /// The name of its connection key: whoever answers there with another is not it.
    pub peer_id: PeerId,
}

/// What the engine needs to know.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The folder for the consensus log, the guard of the signing key and the connection key.
    pub home: PathBuf,
    /// The consensus key. A node whose key is in no validator set follows and serves.
    pub key: SecretKey,
    /// Where peers connect to, over TCP.
    pub listen: SocketAddr,
    /// All nodes that this one talks to. Nothing is relayed, so validators list each other, all of
    /// them; a node that only follows lists one or more.
    pub peers: Vec<Peer>,
    /// A name for logs and metrics; unique within a process.
    pub moniker: String,
    /// The bounds of the mempool.
    pub mempool: Limits,
}

/// The library's view of the configuration.
pub(crate) struct Settings {
    moniker: String,
    consensus: ConsensusConfig,
    sync: ValueSyncConfig,
}

impl NodeConfig for Settings {
    fn moniker(&self) -> &str {
        &self.moniker
    }

    fn consensus(&self) -> &ConsensusConfig {
        &self.consensus
    }

    fn consensus_mut(&mut self) -> &mut ConsensusConfig {
        &mut self.consensus
    }

    fn value_sync(&self) -> &ValueSyncConfig {
        &self.sync
    }

    fn value_sync_mut(&mut self) -> &mut ValueSyncConfig {
        &mut self.sync
    }
}

/// `/ip4/…/tcp/…`, or `/dns/…` for a name.
fn multiaddr(address: &str) -> Option<String> {
    let (host, port) = address.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let kind = match host.parse() {
        Ok(IpAddr::V4(_)) => "ip4",
        Ok(IpAddr::V6(_)) => "ip6",
        Err(_) if host.is_empty() || host.contains('/') => return None,
        Err(_) => "dns",
    };
    Some(format!("/{kind}/{host}/tcp/{port}"))
}

pub(crate) fn settings(config: &EngineConfig) -> Result<Settings, EngineError> {
    let invalid = |address: &str| EngineError::Address { address: address.to_owned() };
    let mut persistent_peers = Vec::new();
    for peer in &config.peers {
        let address = multiaddr(&peer.address).ok_or_else(|| invalid(&peer.address))?;
        let pinned = format!("{address}/p2p/{}", peer.peer_id);
        persistent_peers.push(pinned.parse().map_err(|_| invalid(&peer.address))?);
    }
    let listen = config.listen.to_string();
    let listen_addr = multiaddr(&listen).and_then(|address| address.parse().ok());
    let p2p = P2pConfig {
        listen_addr: listen_addr.ok_or_else(|| invalid(&listen))?,
        persistent_peers,
        persistent_peers_only: true,
        discovery: DiscoveryConfig {
            enabled: false,
            max_connections_per_ip: CONNECTIONS_PER_IP,
            ..DiscoveryConfig::default()
        },
        // Straight to every peer, without relaying. Over gossip with explicit peers, four nodes
        // that start together on a loaded machine took at least twice as long to agree, and once
        // did not resume within minutes after a halt; why was not found out.
        protocol: PubSubProtocol::Broadcast,
        ..P2pConfig::default()
    };
    Ok(Settings {
        moniker: config.moniker.clone(),
        // The default payload, proposal and parts, is the only one that asks the ledger.
        consensus: ConsensusConfig { p2p, ..ConsensusConfig::default() },
        sync: ValueSyncConfig {
            status_update_interval: STATUS_INTERVAL,
            ..ValueSyncConfig::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_peers() {
        for (text, expected) in [
            ("127.0.0.1:26656", Some("/ip4/127.0.0.1/tcp/26656")),
            ("[::1]:7", Some("/ip6/::1/tcp/7")),
            ("hub-2.example:26656", Some("/dns/hub-2.example/tcp/26656")),
            ("127.0.0.1", None),
            (":1", None),
            ("a/b:1", None),
            ("a:65536", None),
        ] {
            assert_eq!(multiaddr(text).as_deref(), expected, "{text}");
        }
    }
}
