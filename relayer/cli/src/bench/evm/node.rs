//! Which chain is measured: that of a node that is started here, or of one that runs already. All
//! that differs between the two stands in this file.

use super::NAME;
use crate::{
    anvil,
    evm::{Known, RawProof, read_key},
    setup::Running,
};
use anyhow::{Context as _, ensure};
use std::path::PathBuf;
use tombolo_crypto::secp256k1::SecretKey;

/// Which node is to be measured.
pub(in crate::bench) enum Choice {
    /// anvil, started beside the network's parts.
    Started { program: PathBuf, gas_limit: u64 },
    /// One that runs already, and the key of an account with funds there.
    Given { known: Box<Known>, key: SecretKey, mode: u8 },
}

/// A node of a chain that the network knows now.
pub(super) struct Node {
    pub(super) known: Known,
    /// Of the account with funds: that of the relayer.
    pub(super) key: SecretKey,
    /// In which mode the chain shall be linked.
    pub(super) mode: u8,
    /// Where this process asks.
    pub(super) url: String,
    /// A file in which each request is a line; `None` where the node's log is its owner's.
    pub(super) log: Option<PathBuf>,
}

impl super::Arguments {
    /// Reads what is needed before anything is started.
    pub(in crate::bench) fn choose(&self) -> anyhow::Result<Choice> {
        let (Some(url), Some(file), Some(heads)) = (&self.evm_rpc, &self.evm_key_file, &self.heads)
        else {
            let program = anvil::find(self.anvil.as_deref())?;
            return Ok(Choice::Started { program, gas_limit: self.evm_gas_limit });
        };
        let known = heads.clone().of_chain(NAME, vec![url.clone()]);
        let proved = known.proof() != RawProof::None;
        let mode = self.evm_mode.unwrap_or(if proved { 1 } else { 2 });
        ensure!(proved || mode != 1, "mode 1 takes a chain whose heads can be proved");
        Ok(Choice::Given { known: Box::new(known), key: read_key(file)?, mode })
    }
}

impl Choice {
    /// Makes the chain known to the network.
    pub(super) async fn join(self, running: &mut Running) -> anyhow::Result<Node> {
        match self {
            Self::Started { program, gas_limit } => {
                eprintln!("starting anvil, a block a second of {gas_limit} gas");
                let known = anvil::start(running, &program, NAME, Some(gas_limit)).await?;
                let url = known.evm.rpc.first().context("the chain has no node")?;
                // It serves both on one port.
                let url = url.replacen("http", "ws", 1);
                let log = Some(anvil::log_of(&running.network.home));
                Ok(Node { known, key: anvil::key()?, mode: 2, url, log })
            }
            Self::Given { mut known, key, mode } => {
                known.identify().await?;
                known.add(&running.network, &key)?;
                let url = known.evm.rpc.first().context("the chain has no node")?.clone();
                Ok(Node { known: *known, key, mode, url, log: None })
            }
        }
    }
}
