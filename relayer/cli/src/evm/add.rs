//! `tombolo chain add evm`: makes an EVM chain known to a network.

use super::{RawEvm, config::RawProof, known::Known};
use crate::{network::Network, output};
use anyhow::{Context as _, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_evm::Finality;

#[derive(clap::Args)]
#[command(
    after_help = "Example: tombolo chain add evm --home net --name harbour --rpc http://127.0.0.1:8545 --key-file key.hex --finality-depth 0 --proof none"
)]
pub(crate) struct Arguments {
    /// The network's folder.
    #[arg(long, default_value = "tombolo-devnet")]
    home: PathBuf,
    /// A name for the chain: lower case letters, digits and `-`.
    #[arg(long)]
    name: String,
    /// A node of the chain; give several, and more than half must agree.
    #[arg(long, required = true, value_name = "URL")]
    rpc: Vec<String>,
    /// A file with the key of the account that pays there, in hexadecimal. It is kept encrypted.
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    #[command(flatten)]
    heads: Heads,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is said of a chain besides its nodes: when its blocks are final, how that is proved, and what
/// is paid there at the most.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Heads {
    /// Blocks on top that make a block final. Default: the chain says itself what is final.
    #[arg(long, value_name = "BLOCKS")]
    finality_depth: Option<u64>,
    /// How the chain's heads are proved to the hub: mode 1 needs a proof, mode 2 is bounded by one.
    #[arg(long, value_enum)]
    proof: RawProof,
    /// The REST interface of a consensus node.
    #[arg(long, value_name = "URL", required_if_eq("proof", "beacon"))]
    beacon: Option<String>,
    /// The period of a Clique chain, in seconds.
    #[arg(long, value_name = "SECONDS", required_if_eq("proof", "clique"))]
    clique_period: Option<u64>,
    /// Blocks between two checkpoints of a Clique chain. Default: 30000.
    #[arg(long, value_name = "BLOCKS")]
    clique_epoch: Option<u64>,
    /// The most that is ever paid for one gas, in gwei. Default: 500.
    #[arg(long, value_name = "GWEI")]
    max_fee_gwei: Option<u64>,
}

impl Heads {
    /// A chain of this name with these nodes, before they were asked which it is.
    pub(crate) fn of_chain(self, name: &str, rpc: Vec<String>) -> Known {
        Known {
            clique_period: self.clique_period,
            clique_epoch: match self.proof {
                RawProof::Clique => Some(self.clique_epoch.unwrap_or(30_000)),
                RawProof::None | RawProof::Beacon => None,
            },
            evm: RawEvm {
                name: name.into(),
                rpc,
                account: name.into(),
                finality_depth: self.finality_depth,
                proof: Some(self.proof),
                beacon: self.beacon,
                max_fee_gwei: self.max_fee_gwei,
                ..RawEvm::default()
            },
            htlc: None,
        }
    }
}

/// Asks the chain's nodes what they serve, and writes it down with the account's key.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let network = Network::open(&arguments.home)?;
    ensure!(
        !Known::exists(&network, &arguments.name)?,
        "the network knows {} already; take another name",
        arguments.name
    );
    let key = read_key(&arguments.key_file)?;
    let mut known = arguments.heads.of_chain(&arguments.name, arguments.rpc);
    known.identify().await?;
    // Every node is asked here, not only the first.
    let deployer = known.deployer(&key).await?;
    let balance = deployer.balance().await?;
    let newest = deployer.endpoints().newest().await?;
    let (chain, account) = (deployer.endpoints().chain(), key.address());
    if !arguments.dry_run {
        known.add(&network, &key)?;
    }
    if arguments.json {
        output::json(&json!({
            "name": known.evm.name, "chain": chain.to_string(),
            "evm_chain_id": known.evm.evm_chain_id, "genesis": known.evm.genesis,
            "account": account.to_string(),
            "balance_wei": balance.to_string(), "final_height": newest.number,
            "proof": known.proof(), "added": !arguments.dry_run,
        }));
        return Ok(());
    }
    println!("chain {} is {chain}", known.evm.name);
    println!("  EIP-155 id     {}", known.evm.evm_chain_id);
    println!("  genesis        {}", known.evm.genesis);
    println!(
        "  final height   {} ({})",
        newest.number,
        match known.finality() {
            Finality::Tag => "as the chain says".to_owned(),
            Finality::Depth(depth) => format!("{depth} blocks on top"),
        }
    );
    println!("  account        {account}, holds {balance} wei");
    match arguments.dry_run {
        true => println!("\nnothing was written; leave --dry-run out to add it"),
        false => println!("\nnext: tombolo link create --chain {} --mode 1|2|3", known.evm.name),
    }
    Ok(())
}

/// The key of an account, from a file that holds it in hexadecimal.
pub(crate) fn read_key(path: &Path) -> anyhow::Result<SecretKey> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the key file {} cannot be read", path.display()))?;
    let bytes: tombolo_types::Hash = text
        .trim()
        .parse()
        .with_context(|| format!("{} holds no key: 32 bytes in hexadecimal", path.display()))?;
    Ok(SecretKey::from_bytes(bytes.0)?)
}
