//! `tombolo chain declare`: has a quorum of the hub declare how a chain can lock, and how its clock
//! and blocks run at the worst. Nobody can offer a swap on a chain before.

use super::{config::RawProof, known::Known};
use crate::{
    audit::moment::lasting,
    network::{HUB, Network},
    output,
    relayer_config::time,
    setup::{ISLET, Parties},
};
use anyhow::{Context as _, ensure};
use serde_json::json;
use std::{collections::BTreeSet, path::PathBuf};
use tombolo_evm::Finality;
use tombolo_hub::{govern::Act, swap::ChainDeclaration};
use tombolo_swap::{
    htlc::{Expiry, Profile, Spending},
    protocol::Locking,
};

/// A transaction on an EVM chain is in a block after so many of the slowest: one that waits is
/// offered more after three, by what the base fee is then, and again after three more.
const INCLUSION_BLOCKS: u64 = 10;
/// So far ahead of the own clock geth takes a block, in milliseconds (`allowedFutureBlockTime`).
const SKEW_MS: u64 = 15_000;
/// A slot of proof of stake, in milliseconds.
const SLOT_MS: u64 = 12_000;
/// So many slots in a row may be empty but one.
const SLOTS_SLOWEST: u64 = 5;
/// Two epochs of 32 slots make a block final, from the end of its own; one more for a bad hour.
const FINAL_SLOTS: u64 = 4 * 32;
/// A Clique chain has lost signers where it is slower, in periods for a block.
const PERIODS_SLOWEST: u64 = 4;

#[derive(clap::Args)]
#[command(
    after_help = "Example: tombolo chain declare --home net --chain harbour --block-fastest 1s --block-slowest 5s --dry-run"
)]
pub(crate) struct Arguments {
    /// The network's folder. Its stakeholders declare the chain.
    #[arg(long, default_value = "tombolo-devnet")]
    home: PathBuf,
    /// An islet of the network, or a chain that was added.
    #[arg(long)]
    chain: String,
    #[command(flatten)]
    given: Given,
    /// Only say what would be declared.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Worst cases that are named, each in place of the default.
#[derive(Clone, Copy, Default, clap::Args)]
pub(crate) struct Given {
    /// The shortest time between two blocks, on average.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) block_fastest: Option<u64>,
    /// The longest time between two blocks.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) block_slowest: Option<u64>,
    /// How long a transaction may take into a block. Default on EVM chains: ten of the slowest.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) inclusion: Option<u64>,
    /// How long from there until the block is final. Default on EVM chains: by `--finality-depth`
    /// of `chain add`; on proof of stake 25 min.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) finality: Option<u64>,
    /// How far its clock may be off, either way. Default on EVM chains: 15 s.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) skew: Option<u64>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let network = Network::open(&arguments.home)?;
    let declaration = declaration(&network, &arguments.chain, arguments.given)?;
    if !arguments.dry_run {
        let hub = network.ledger(HUB)?;
        let act = Act::DeclareChain(Box::new(declaration.clone()));
        Parties::of(&network)?.govern(&hub, act).await?;
    }
    let ChainDeclaration { chain, locking, profile } = declaration;
    let locking: Vec<&str> = locking.iter().map(|way| name(*way)).collect();
    if arguments.json {
        output::json(&json!({
            "name": arguments.chain, "chain": chain.to_string(), "locking": locking,
            "block_ms_fastest": profile.block_ms_fastest,
            "block_ms_slowest": profile.block_ms_slowest,
            "inclusion_ms": profile.inclusion_ms, "finality_ms": profile.finality_ms,
            "skew_ms": profile.skew_ms, "declared": !arguments.dry_run,
        }));
        return Ok(());
    }
    println!("chain {} is {chain}", arguments.chain);
    println!("  can lock       {}", locking.join(", "));
    println!(
        "  a block        after {} to {}",
        lasting(profile.block_ms_fastest),
        lasting(profile.block_ms_slowest)
    );
    println!("  inclusion      within {}", lasting(profile.inclusion_ms));
    println!("  finality       {} later", lasting(profile.finality_ms));
    println!("  clock          off by {} at the most", lasting(profile.skew_ms));
    match arguments.dry_run {
        true => println!("\nnothing was declared; leave --dry-run out to have it declared"),
        false => println!("\ndeclared: proposed by the city, approved by the observatory"),
    }
    Ok(())
}

fn name(way: Locking) -> &'static str {
    match way {
        Locking::Provable => "provable",
        Locking::Hash => "hash",
    }
}

/// What is to be declared of a chain of the network: it can lock by the contracts that it has.
pub(crate) fn declaration(
    network: &Network,
    name: &str,
    given: Given,
) -> anyhow::Result<ChainDeclaration> {
    let islet = network.parts.iter().find(|part| part.kind == "islet" && part.name == name);
    let Some(islet) = islet else {
        let known = Known::read(network, name)?;
        let gateway = (!known.evm.gateway.is_empty()).then_some(Locking::Provable);
        let htlc = known.htlc.is_some().then_some(Locking::Hash);
        let locking: BTreeSet<Locking> = gateway.into_iter().chain(htlc).collect();
        ensure!(
            !locking.is_empty(),
            "nothing can be locked on {name}; `tombolo swap deploy` or `tombolo link create` comes \
             first"
        );
        let profile = of_evm(&known, given)?;
        return Ok(ChainDeclaration { chain: known.chain()?, locking, profile });
    };
    let chain = islet.chain.as_deref().with_context(|| format!("{name} is no ledger"))?;
    Ok(ChainDeclaration {
        chain: chain.parse()?,
        locking: BTreeSet::from([Locking::Provable, Locking::Hash]),
        profile: Profile {
            block_ms_fastest: given.block_fastest.unwrap_or(ISLET.block_ms_fastest),
            block_ms_slowest: given.block_slowest.unwrap_or(ISLET.block_ms_slowest),
            inclusion_ms: given.inclusion.unwrap_or(ISLET.inclusion_ms),
            finality_ms: given.finality.unwrap_or(ISLET.finality_ms),
            skew_ms: given.skew.unwrap_or(ISLET.skew_ms),
            ..ISLET
        },
    })
}

/// Worst cases of an EVM chain, by what its heads are proved with.
fn of_evm(known: &Known, given: Given) -> anyhow::Result<Profile> {
    let period_ms = known.clique_period.map(|seconds| seconds.saturating_mul(1_000));
    let (fastest, slowest) = match (known.proof(), period_ms) {
        (RawProof::Beacon, _) => (Some(SLOT_MS), Some(SLOTS_SLOWEST * SLOT_MS)),
        (RawProof::Clique, Some(ms)) => (Some(ms), Some(ms.saturating_mul(PERIODS_SLOWEST))),
        (RawProof::Clique | RawProof::None, _) => (None, None),
    };
    let name = &known.evm.name;
    let fastest = given.block_fastest.or(fastest);
    let slowest = given.block_slowest.or(slowest);
    let (block_ms_fastest, block_ms_slowest) = fastest.zip(slowest).with_context(|| {
        format!("nothing is known of {name}'s blocks; say --block-fastest and --block-slowest")
    })?;
    let by_rule = match (known.finality(), known.proof()) {
        // The block itself, and those on top.
        (Finality::Depth(depth), _) => {
            Some(depth.saturating_add(1).saturating_mul(block_ms_slowest))
        }
        (Finality::Tag, RawProof::Beacon) => Some(FINAL_SLOTS * SLOT_MS),
        (Finality::Tag, RawProof::Clique | RawProof::None) => None,
    };
    let finality_ms = given.finality.or(by_rule);
    let finality_ms = finality_ms.with_context(|| {
        format!("nothing is known of when {name}'s blocks are final at the latest; say --finality")
    })?;
    let inclusion_ms = block_ms_slowest.saturating_mul(INCLUSION_BLOCKS);
    Ok(Profile {
        block_ms_fastest,
        block_ms_slowest,
        time_lag_ms: 0,
        skew_ms: given.skew.unwrap_or(SKEW_MS),
        inclusion_ms: given.inclusion.unwrap_or(inclusion_ms),
        finality_ms,
        expiry: Expiry::Enforced,
        spending: Spending::Anybody,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evm::RawEvm;

    fn known(proof: RawProof, finality_depth: Option<u64>, clique_period: Option<u64>) -> Known {
        let name = "harbour".into();
        let evm = RawEvm { name, proof: Some(proof), finality_depth, ..RawEvm::default() };
        Known { clique_period, clique_epoch: None, evm, htlc: None }
    }

    /// Fastest and slowest block, inclusion, finality, skew.
    fn figures(profile: Profile) -> [u64; 5] {
        let Profile { block_ms_fastest, block_ms_slowest, inclusion_ms, .. } = profile;
        [block_ms_fastest, block_ms_slowest, inclusion_ms, profile.finality_ms, profile.skew_ms]
    }

    #[test]
    fn each_kind_of_chain_has_its_worst_cases() {
        let blocks =
            Given { block_fastest: Some(1_000), block_slowest: Some(5_000), ..Given::default() };
        let own = Given { inclusion: Some(7_000), finality: Some(8_000), skew: Some(9), ..blocks };
        for (known, given, expected) in [
            (
                known(RawProof::Beacon, None, None),
                Given::default(),
                [12_000, 60_000, 600_000, 1_536_000, 15_000],
            ),
            (
                known(RawProof::Clique, Some(2), Some(5)),
                Given::default(),
                [5_000, 20_000, 200_000, 60_000, 15_000],
            ),
            (known(RawProof::None, Some(0), None), blocks, [1_000, 5_000, 50_000, 5_000, 15_000]),
            (known(RawProof::None, None, None), own, [1_000, 5_000, 7_000, 8_000, 9]),
        ] {
            assert_eq!(figures(of_evm(&known, given).unwrap()), expected);
        }
    }

    #[test]
    fn what_is_not_known_must_be_said() {
        let missing = |known: &Known, given| of_evm(known, given).unwrap_err().to_string();
        let none = known(RawProof::None, Some(0), None);
        assert!(missing(&none, Given::default()).contains("--block-fastest and --block-slowest"));
        let tag = known(RawProof::Clique, None, Some(5));
        assert!(missing(&tag, Given::default()).contains("say --finality"));
    }
}
