//! The simulated chain beside the real light client, and under the suite of all adapters.

mod conformance;
mod lies;
mod network;
mod repeat;

use std::num::NonZeroU64;
use tombolo_adapter::{Finality, ProvedLeaf, Source as _};
use tombolo_crypto::client::LightClient;
use tombolo_ledger::Machine;
use tombolo_sim::{Settings, SimAdapter, SimChain};
use tombolo_types::{
    Address, UnixMillis,
    id::LinkId,
    lane::DATA_LANE,
    verifier::{ClientView, HeadError, LinkTerms, VerifiedHead, Verifier as _},
};

const TRUSTING_PERIOD_MS: u64 = 1_000_000_000;

fn depth(seed: u64, blocks: u64) -> Settings {
    let finality = Finality::Depth(NonZeroU64::new(blocks).unwrap());
    Settings { finality, ..Settings::instant(seed) }
}

/// A light client of `chain` that has seen its genesis and nothing else.
fn light_client<M: Machine>(chain: &SimChain<M>) -> Vec<u8> {
    let anchor = chain.anchor();
    let terms = LinkTerms {
        link: LinkId::ZERO,
        gateway: Address::ZERO,
        mode: 1,
        trusting_period_ms: TRUSTING_PERIOD_MS,
    };
    LightClient.start(&anchor.encode(), &terms, anchor.time).unwrap()
}

/// What the other ledger shows of that client.
fn follower<M: Machine>(chain: &SimChain<M>) -> ClientView {
    LightClient.view(&light_client(chain), chain.anchor().time).unwrap()
}

async fn data_leaf<M: Machine>(source: &SimAdapter<M>, link: LinkId) -> ProvedLeaf {
    let head = source.head(link, &follower(source.chain())).await.unwrap();
    head.lanes.into_iter().find(|proved| proved.leaf.lane == DATA_LANE).unwrap()
}

fn believe(client: &[u8], now: UnixMillis, proved: &ProvedLeaf) -> Result<VerifiedHead, HeadError> {
    LightClient.head(client, now, &proved.head_proof, &proved.leaf)
}
