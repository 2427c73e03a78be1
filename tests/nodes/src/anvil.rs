//! anvil, the development node of Foundry.

use crate::{
    Kind, Rpc, Sender,
    process::{Process, free_port},
};
use serde_json::json;
use std::process::Command;
use tempfile::TempDir;
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_types::Hash;

/// The third of the keys that development nodes give funds to, for the first is a relayer's in tests;
/// published, guards nothing.
const KEY: &str = "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";

/// A running anvil.
#[derive(Debug)]
pub struct Anvil {
    /// Its interface.
    pub rpc: Rpc,
    _process: Process,
    _folder: TempDir,
}

impl Anvil {
    /// Starts one with these words besides; `None`, said loudly, where there is no anvil.
    #[must_use]
    pub fn start(words: &[&str]) -> Option<Self> {
        let bin = Kind::Foundry.find()?;
        let folder = TempDir::new().expect("a temporary folder");
        let port = free_port();
        let mut command = Command::new(bin.join("anvil"));
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--silent"]).args(words);
        let rpc = Rpc::new(port);
        let mut process = Process::start("anvil", folder.path(), command);
        process.wait_until(|| rpc.try_call("eth_blockNumber", json!([])).is_ok());
        Some(Self { rpc, _process: process, _folder: folder })
    }

    /// An account with funds.
    #[must_use]
    pub fn sender(&self) -> Sender {
        let key: Hash = KEY.parse().expect("a hash");
        Sender::new(&self.rpc, SecretKey::from_bytes(key.0).expect("a key"))
    }
}
