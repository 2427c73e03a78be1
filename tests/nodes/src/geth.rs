//! geth in its development mode.

use crate::{
    Kind, Rpc, Sender,
    process::{Process, free_port, wait_until},
    quantity,
};
use serde_json::json;
use std::{process::Command, time::Duration};
use tempfile::TempDir;
use tombolo_crypto::secp256k1::SecretKey;

/// A running geth with a block each second.
#[derive(Debug)]
pub struct GethDev {
    /// Its interface.
    pub rpc: Rpc,
    _process: Process,
    _folder: TempDir,
}

impl GethDev {
    /// Starts one; `None`, said loudly, where there is no geth.
    #[must_use]
    pub fn start() -> Option<Self> {
        let geth = Kind::Geth.find()?;
        let folder = TempDir::new().expect("a temporary folder");
        let port = free_port();
        let mut command = Command::new(geth);
        command
            .args(["--dev", "--dev.period", "1", "--datadir"])
            .arg(folder.path().join("data"))
            .args(["--state.scheme", "hash", "--gcmode", "archive", "--nodiscover"])
            .args(["--maxpeers", "0", "--nat", "none", "--ipcdisable", "--cache", "64"])
            .args(["--http", "--http.addr", "127.0.0.1", "--http.port", &port.to_string()])
            .args(["--http.api", "eth,net,web3,debug,dev", "--authrpc.addr", "127.0.0.1"])
            .args(["--authrpc.port", &free_port().to_string()]);
        let rpc = Rpc::new(port);
        let mut process = Process::start("geth", folder.path(), command);
        process.wait_until(|| rpc.try_call("eth_blockNumber", json!([])).is_ok());
        Some(Self { rpc, _process: process, _folder: folder })
    }

    /// An account with funds, given by the developer's. That of key 0x11 has some, too, and is left
    /// for a relayer.
    #[must_use]
    pub fn sender(&self) -> Sender {
        let [_, sender] = [0x11, 0x12].map(|number| self.funded(number));
        sender
    }

    fn funded(&self, number: u8) -> Sender {
        let sender = Sender::new(&self.rpc, SecretKey::from_bytes([number; 32]).expect("a key"));
        let developer = self.rpc.call("eth_accounts", json!([]))[0].clone();
        let to = sender.address().to_string();
        // Ten ether.
        let gift = json!([{ "from": developer, "to": to, "value": "0x8ac7230489e80000" }]);
        let _ = self.rpc.call("eth_sendTransaction", gift);
        wait_until("funds", Duration::from_secs(30), || {
            let balance = self.rpc.call("eth_getBalance", json!([to, "latest"]));
            (quantity(&balance) > 0).then_some(())
        });
        sender
    }
}

/// The words by which a geth serves these parts of its interface over a WebSocket, on the port of that
/// over HTTP.
pub(crate) fn websocket<'w>(port: &'w str, parts: &'w str) -> [&'w str; 7] {
    ["--ws", "--ws.addr", "127.0.0.1", "--ws.port", port, "--ws.api", parts]
}
