//! A proof-of-stake network of one geth and one Lodestar, with the minimal preset and Capella.

use crate::{
    Kind, Rpc, Sender,
    geth::websocket,
    hash, number,
    process::{Process, free_port, run, wait_until},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_types::Hash;

/// The EIP-155 id of the network.
const CHAIN_ID: u64 = 31_337;
/// So many that committees of different periods differ.
const VALIDATORS: u64 = 64;
/// So many of them do their duty; the others' seats in a committee stay empty.
const ACTIVE: u64 = 58;
/// Seconds of a slot. A stall of eight slots stops Lodestar for good.
const SECONDS_PER_SLOT: u64 = 2;
/// Seconds until the chain begins: a node that is not there by then is started again, for a later
/// beginning.
const GENESIS_AFTER: [u64; 3] = [10, 45, 150];

/// A running network.
#[derive(Debug)]
pub struct Beacon {
    /// The execution node.
    pub execution: Rpc,
    /// The consensus node.
    pub consensus: Rpc,
    /// The hash of block 0.
    pub genesis: Hash,
    _processes: [Process; 2],
    _folder: TempDir,
}

impl Beacon {
    /// Starts a network; `None`, said loudly, where a node is missing.
    #[must_use]
    pub fn start() -> Option<Self> {
        let (geth, lodestar) = (Kind::Geth.find(), Kind::Lodestar.find());
        let (geth, lodestar) = (geth?, lodestar?);
        let folder = TempDir::new().expect("a temporary folder");
        let home = folder.path();
        fs::write(home.join("genesis.json"), genesis().to_string()).expect("a file");
        fs::write(home.join("jwt"), hex::encode([7; 32])).expect("a file");
        let config = "[Node.P2P]\nListenAddr = \"\"\nNoDiscovery = true\nMaxPeers = 0\n";
        fs::write(home.join("geth.toml"), config).expect("a file");
        let data = ["--state.scheme", "hash", "--datadir"];
        run(Command::new(&geth)
            .arg("init")
            .args(data)
            .arg(home.join("geth"))
            .arg(home.join("genesis.json")));
        let (port, engine) = (free_port(), free_port());
        let mut command = Command::new(geth);
        command
            .arg("--config")
            .arg(home.join("geth.toml"))
            .args(data)
            .arg(home.join("geth"))
            .args(["--networkid", &CHAIN_ID.to_string(), "--http", "--http.addr", "127.0.0.1"])
            .args(["--http.port", &port.to_string(), "--http.api", "eth,net,web3,debug"])
            .args(websocket(&port.to_string(), "eth,net,web3,debug"))
            .args(["--authrpc.addr", "127.0.0.1", "--authrpc.port", &engine.to_string()])
            .arg("--authrpc.jwtsecret")
            .arg(home.join("jwt"))
            .args(["--nodiscover", "--maxpeers", "0", "--nat", "none", "--ipcdisable"])
            .args(["--syncmode", "full", "--gcmode", "archive", "--cache", "64"]);
        let execution = Rpc::new(port);
        let mut geth = Process::start("geth", home, command);
        geth.wait_until(|| execution.try_call("eth_blockNumber", json!([])).is_ok());
        let block = execution.call("eth_getBlockByNumber", json!(["0x0", false]));
        let genesis = hash(&block["hash"]);

        let started = GENESIS_AFTER.iter().find_map(|after| {
            let (mut process, consensus) = consensus(&lodestar, home, genesis, engine, *after);
            let before_stall = Duration::from_secs(after + 4 * SECONDS_PER_SLOT);
            let ready = process
                .is_ready_within(before_stall, || consensus.get("/eth/v1/beacon/genesis").is_ok());
            ready.then_some((process, consensus))
        });
        let (lodestar, consensus) = started.expect("lodestar starts before its chain does");
        let _processes = [geth, lodestar];
        Some(Self { execution, consensus, genesis, _processes, _folder: folder })
    }

    /// An account with funds; that of key 0x11 has some, too, and is left for a relayer.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::new(&self.execution, key(0x12))
    }

    /// The EIP-155 id of the network.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        CHAIN_ID
    }

    /// Seconds of a slot.
    #[must_use]
    pub fn seconds_per_slot(&self) -> u64 {
        SECONDS_PER_SLOT
    }

    /// What the consensus node answers under `/eth/v1/beacon/light_client/`, once it does.
    #[must_use]
    pub fn light_client(&self, path: &str) -> Value {
        wait_until(path, Duration::from_secs(180), || {
            self.consensus.get(&format!("/eth/v1/beacon/light_client/{path}")).ok()
        })
    }

    /// Waits until a finality update finalises a slot of at least `slot`, and gives the update.
    #[must_use]
    pub fn finality_update(&self, slot: u64) -> Value {
        let within = Duration::from_secs((slot + 64) * SECONDS_PER_SLOT);
        wait_until("finality update", within, || {
            let path = "/eth/v1/beacon/light_client/finality_update";
            let update = self.consensus.get(path).ok()?["data"].take();
            let finalized = &update["finalized_header"]["beacon"]["slot"];
            (finalized.is_string() && number(finalized) >= slot).then_some(update)
        })
    }
}

/// Starts a consensus node whose chain begins in so many seconds.
fn consensus(
    lodestar: &Path,
    home: &Path,
    genesis: Hash,
    engine: u16,
    after: u64,
) -> (Process, Rpc) {
    let rest = free_port();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    let preload = lodestar.with_file_name("promises.cjs");
    let url = format!("http://127.0.0.1:{rest}");
    let mut command = Command::new("node");
    command
        .env("LODESTAR_PRESET", "minimal")
        .env("LODESTAR_NETWORK", "dev")
        .arg("--require")
        .arg(preload)
        .arg(lodestar)
        .args(["dev", "--dataDir"])
        .arg(home.join(format!("lodestar-{after}")))
        .args(["--genesisTime", &(now.as_secs() + after).to_string()])
        .args(["--genesisValidators", &VALIDATORS.to_string()])
        .args(["--startValidators", &format!("0..{}", ACTIVE - 1)])
        .args(["--genesisEth1Hash", &genesis.to_string()])
        .args(["--params.SECONDS_PER_SLOT", &SECONDS_PER_SLOT.to_string()])
        .args(["--params.ALTAIR_FORK_EPOCH", "0", "--params.BELLATRIX_FORK_EPOCH", "0"])
        .args(["--params.CAPELLA_FORK_EPOCH", "0", "--params.TERMINAL_TOTAL_DIFFICULTY", "0"])
        .args(["--eth1", "false", "--execution.urls", &format!("http://127.0.0.1:{engine}")])
        .arg("--jwt-secret")
        .arg(home.join("jwt"))
        .args(["--rest", "--rest.address", "127.0.0.1", "--rest.port", &rest.to_string()])
        .args(["--rest.namespace", "*", "--server", &url, "--discv5", "false"])
        .args(["--mdns", "false", "--listenAddress", "127.0.0.1"])
        .args(["--port", &free_port().to_string()])
        .args(["--suggestedFeeRecipient", &format!("0x{}", "fe".repeat(20))]);
    (Process::start("lodestar", home, command), Rpc::new(rest))
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).expect("a byte from 1 to 254 repeated is a key")
}

fn genesis() -> Value {
    let mut config: serde_json::Map<_, _> = [
        "homestead",
        "eip150",
        "eip155",
        "eip158",
        "byzantium",
        "constantinople",
        "petersburg",
        "istanbul",
        "muirGlacier",
        "berlin",
        "london",
        "arrowGlacier",
        "grayGlacier",
        "mergeNetsplit",
    ]
    .iter()
    .map(|fork| (format!("{fork}Block"), json!(0)))
    .collect();
    config.insert("chainId".into(), json!(CHAIN_ID));
    config.insert("terminalTotalDifficulty".into(), json!(0));
    config.insert("shanghaiTime".into(), json!(0));
    json!({
        "config": config,
        "difficulty": "0x0",
        "gasLimit": "0x1c9c380",
        "baseFeePerGas": "0x3b9aca00",
        "alloc": {
            key(0x11).address().to_string(): { "balance": "0x21e19e0c9bab2400000" },
            key(0x12).address().to_string(): { "balance": "0x21e19e0c9bab2400000" },
        },
    })
}
