//! The simulated chain beside the real light client, and under the suite of all adapters.

mod conformance;
mod lies;
mod network;
mod repeat;

use std::num::NonZeroU64;
use tombolo_adapter::{Finality, ProvedLeaf, Source};
use tombolo_crypto::{client::LightClient, digest};
use tombolo_ledger::Machine;
use tombolo_sim::{Settings, SimChain};
use tombolo_types::{
    UnixMillis,
    id::LinkId,
    lane::DATA_LANE,
    verifier::{HeadError, VerifiedHead, Verifier as _},
};

const TRUSTING_PERIOD_MS: u64 = 1_000_000_000;

fn depth(seed: u64, blocks: u64) -> Settings {
    let finality = Finality::Depth(NonZeroU64::new(blocks).unwrap());
    Settings { finality, ..Settings::instant(seed) }
}

/// A light client of `chain` that has seen its genesis and nothing else.
fn light_client<M: Machine>(chain: &SimChain<M>) -> Vec<u8> {
    let anchor = chain.anchor();
    LightClient.start(&anchor.encode(), TRUSTING_PERIOD_MS, anchor.time).unwrap()
}

async fn data_leaf(source: &impl Source, link: LinkId) -> ProvedLeaf {
    let head = source.head(link).await.unwrap();
    head.lanes.into_iter().find(|proved| proved.leaf.lane == DATA_LANE).unwrap()
}

fn believe(client: &[u8], now: UnixMillis, proved: &ProvedLeaf) -> Result<VerifiedHead, HeadError> {
    LightClient.head(client, now, &proved.head_proof, digest::lane_leaf(&proved.leaf))
}
