//! A network of three geths that seal Clique.

use crate::{
    Kind, Rpc, Sender, bytes,
    geth::websocket,
    process::{Process, free_port, run, wait_until},
    quantity,
};
use alloy_rlp::Encodable as _;
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command, time::Duration};
use tempfile::TempDir;
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_types::Address;

/// The EIP-155 id of a network that is not given another.
const CHAIN_ID: u64 = 771_177;
/// How many sign at the start.
const SIGNERS: u8 = 3;
const PASSWORD: &str = "test";

/// A signer and its node.
#[derive(Debug)]
pub struct Signer {
    /// Whom it signs as.
    pub address: Address,
    /// The interface of its node.
    pub rpc: Rpc,
    _process: Process,
}

impl Signer {
    /// How many nodes it has agreed with that they have one chain.
    fn peers(&self) -> usize {
        let peers = self.rpc.call("admin_peers", json!([]));
        let peers = peers.as_array().into_iter().flatten();
        // Until then it is a word, not an object.
        peers.filter(|peer| peer["protocols"]["eth"].is_object()).count()
    }
}

/// A running network.
#[derive(Debug)]
pub struct Clique {
    /// The signers, by number of their key.
    pub signers: Vec<Signer>,
    /// Seconds between two blocks.
    pub period: u64,
    /// Blocks between two checkpoints.
    pub epoch: u64,
    chain_id: u64,
    _folder: TempDir,
}

impl Clique {
    /// Starts a network; `None`, said loudly, where there is no geth that seals Clique.
    #[must_use]
    pub fn start(period: u64, epoch: u64) -> Option<Self> {
        Self::start_as(CHAIN_ID, period, epoch)
    }

    /// The same with this EIP-155 id: networks with other ids can run beside it.
    #[must_use]
    pub fn start_as(chain_id: u64, period: u64, epoch: u64) -> Option<Self> {
        let geth = Kind::GethClique.find()?;
        let folder = TempDir::new().expect("a temporary folder");
        let keys: Vec<_> = (1..=SIGNERS).map(key).collect();
        let genesis = folder.path().join("genesis.json");
        fs::write(&genesis, self::genesis(chain_id, &keys, period, epoch).to_string())
            .expect("a file");
        fs::write(folder.path().join("password"), PASSWORD).expect("a file");
        let signers: Vec<_> = (1..)
            .zip(&keys)
            .map(|(n, key)| start(&geth, folder.path(), &genesis, chain_id, n, key))
            .collect();
        let network = Self { signers, period, epoch, chain_id, _folder: folder };
        network.connect();
        network.seal();
        Some(network)
    }

    /// Makes every node a peer of the first.
    fn connect(&self) {
        let [first, others @ ..] = self.signers.as_slice() else { return };
        let enode = first.rpc.call("admin_nodeInfo", json!([]))["enode"].clone();
        for other in others {
            let _ = other.rpc.call("admin_addPeer", json!([enode]));
        }
        wait_until("peers", Duration::from_secs(30), || {
            let all = first.peers() == others.len() && others.iter().all(|it| it.peers() == 1);
            all.then_some(())
        });
    }

    /// Has all seal, and waits for a block that takes two of them.
    ///
    /// Not before they are connected: of what is sealed before nobody is told, and where each has
    /// sealed a first block of its own, none of them may seal the second.
    fn seal(&self) {
        for signer in &self.signers {
            let _ = signer.rpc.call("miner_start", json!([]));
        }
        let _ = self.header(2);
    }

    /// The interface of the first node.
    #[must_use]
    pub fn rpc(&self) -> &Rpc {
        &self.signers[0].rpc
    }

    /// The EIP-155 id of the network.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// An account with funds; no signer's, nor that of key 0x11, which is left for a relayer.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::new(self.rpc(), key(0x12))
    }

    /// Waits until the first node has this block, and gives its header in RLP.
    #[must_use]
    pub fn header(&self, number: u64) -> Vec<u8> {
        let block = json!([format!("{number:#x}"), false]);
        let header = wait_until("block", Duration::from_secs(60), || {
            let header = self.rpc().call("eth_getBlockByNumber", block.clone());
            (!header.is_null()).then_some(header)
        });
        header_rlp(&header)
    }

    /// Lets the first `voters` signers vote on a candidate, in each block that they seal.
    pub fn propose(&self, voters: usize, candidate: Address, authorize: bool) {
        for signer in self.signers.iter().take(voters) {
            let _ = signer.rpc.call("clique_propose", json!([candidate.to_string(), authorize]));
        }
    }

    /// Lets nobody vote on a candidate any more.
    pub fn discard(&self, candidate: Address) {
        for signer in &self.signers {
            let _ = signer.rpc.call("clique_discard", json!([candidate.to_string()]));
        }
    }
}

/// A secret key of these tests: one byte, 32 times. It guards nothing.
fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).expect("a byte from 1 to 254 repeated is a key")
}

/// Its block 0 holds the chain's id, or two networks of the same signers would begin alike.
fn genesis(chain_id: u64, keys: &[SecretKey], period: u64, epoch: u64) -> Value {
    let mut addresses: Vec<_> = keys.iter().map(SecretKey::address).collect();
    addresses.sort();
    let listed: String = addresses.iter().map(|address| hex::encode(address.0)).collect();
    let rich = json!({ "balance": "0x21e19e0c9bab2400000" });
    let alloc: serde_json::Map<_, _> = [key(0x11).address(), key(0x12).address()]
        .iter()
        .chain(&addresses)
        .map(|address| (address.to_string(), rich.clone()))
        .collect();
    let mut config: serde_json::Map<_, _> = [
        "homestead",
        "eip150",
        "eip155",
        "eip158",
        "byzantium",
        "constantinople",
        "petersburg",
        "istanbul",
        "berlin",
        "london",
    ]
    .iter()
    .map(|fork| (format!("{fork}Block"), json!(0)))
    .collect();
    config.insert("chainId".into(), json!(chain_id));
    config.insert("clique".into(), json!({ "period": period, "epoch": epoch }));
    json!({
        "config": config,
        "difficulty": "0x1",
        "gasLimit": "0x1c9c380",
        "baseFeePerGas": "0x3b9aca00",
        "extraData": format!("0x{chain_id:064x}{listed}{}", "00".repeat(65)),
        "alloc": alloc,
    })
}

fn start(
    geth: &Path,
    folder: &Path,
    genesis: &Path,
    chain_id: u64,
    number: u8,
    key: &SecretKey,
) -> Signer {
    let home = folder.join(format!("signer{number}"));
    fs::create_dir(&home).expect("a folder");
    let secret = home.join("key");
    fs::write(&secret, hex::encode(key.to_bytes())).expect("a file");
    let password = folder.join("password");
    let address = key.address();
    run(Command::new(geth).arg("--datadir").arg(&home).arg("init").arg(genesis));
    run(Command::new(geth)
        .args(["account", "import", "--lightkdf", "--datadir"])
        .arg(&home)
        .arg("--password")
        .arg(&password)
        .arg(&secret));
    let config = home.join("geth.toml");
    let listen = free_port();
    fs::write(&config, format!("[Node.P2P]\nListenAddr = \"127.0.0.1:{listen}\"\n"))
        .expect("a file");
    let port = free_port();
    let mut command = Command::new(geth);
    command
        .arg("--config")
        .arg(&config)
        .arg("--datadir")
        .arg(&home)
        .args(["--networkid", &chain_id.to_string(), "--syncmode", "full", "--gcmode", "archive"])
        .args(["--nodiscover", "--netrestrict", "127.0.0.0/8", "--nat", "none"])
        .args(["--http", "--http.addr", "127.0.0.1", "--http.port", &port.to_string()])
        .args(["--http.api", "eth,net,web3,clique,admin,debug,miner,txpool"])
        .args(websocket(&port.to_string(), "eth,net,web3,clique,debug"))
        .args(["--authrpc.addr", "127.0.0.1", "--authrpc.port", &free_port().to_string()])
        .args(["--ipcdisable", "--cache", "64", "--maxpeers", "8"])
        .args(["--miner.etherbase", &address.to_string(), "--unlock", &address.to_string()])
        .arg("--password")
        .arg(&password)
        .args(["--allow-insecure-unlock", "--miner.gasprice", "1"]);
    let rpc = Rpc::new(port);
    let mut process = Process::start("geth", &home, command);
    // It listens a little before its key is unlocked.
    process.wait_until(|| rpc.try_call("eth_sign", json!([address.to_string(), "0x"])).is_ok());
    Signer { address, rpc, _process: process }
}

/// The RLP of a header of London, from its JSON.
fn header_rlp(header: &Value) -> Vec<u8> {
    let mut payload = Vec::new();
    for field in [
        "parentHash",
        "sha3Uncles",
        "miner",
        "stateRoot",
        "transactionsRoot",
        "receiptsRoot",
        "logsBloom",
    ] {
        bytes(&header[field]).as_slice().encode(&mut payload);
    }
    for field in ["difficulty", "number", "gasLimit", "gasUsed", "timestamp"] {
        quantity(&header[field]).encode(&mut payload);
    }
    for field in ["extraData", "mixHash", "nonce"] {
        bytes(&header[field]).as_slice().encode(&mut payload);
    }
    quantity(&header["baseFeePerGas"]).encode(&mut payload);
    let mut rlp = Vec::new();
    alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut rlp);
    rlp.extend(payload);
    rlp
}
