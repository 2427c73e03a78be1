//! The suite of all adapters over the adapter of EVM chains, on real nodes.

use crate::{
    clique::urls,
    hub::wall,
    link::{Linked, data_leaf, run},
};
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;
use tombolo_adapter::{
    Query, Sink, Source,
    suite::{self, Fixture, Follower, Reorganisation, delivery_from},
};
use tombolo_crypto::attested;
use tombolo_evm::EvmAdapter;
use tombolo_evm_core::{clique, follow::EvmVerifier};
use tombolo_relayer::{End, attest::Attested};
use tombolo_test_nodes::{Anvil, Clique, alone, quantity, wait_until};
use tombolo_types::{
    Address, MessageNumber, UnixMillis,
    id::LinkId,
    lane::{DATA_LANE, Delivery},
    verifier::Verifier,
};

/// A link of either mode, of which `A` is the chain's end as the hub sees it.
struct EvmFixture<N, A> {
    node: N,
    linked: Linked,
    adapter: Arc<EvmAdapter>,
    end: Arc<A>,
    /// How many validators were voted in.
    voted: u8,
}

/// What differs between kinds of nodes.
trait Node: Send + Sync + Sized {
    type End: Source + Sink + Query;

    fn end(linked: &Linked, adapter: &Arc<EvmAdapter>) -> Arc<Self::End>;
    fn verifier() -> Box<dyn Verifier>;
    /// Votes in another validator, who never seals.
    fn change_validators(&self, voted: u8);
    fn reorganise(&self, linked: &mut Linked) -> Reorganisation;
}

impl Node for Clique {
    type End = EvmAdapter;

    fn end(_: &Linked, adapter: &Arc<EvmAdapter>) -> Arc<Self::End> {
        adapter.clone()
    }

    fn verifier() -> Box<dyn Verifier> {
        Box::new(EvmVerifier::<clique::Clique>::new())
    }

    fn change_validators(&self, voted: u8) {
        let candidate = Address([0xd0 + voted; 20]);
        let signers = || self.rpc().call("clique_getSigners", json!(["latest"]));
        let before = signers().as_array().unwrap().len();
        self.propose(self.signers.len(), candidate, true);
        wait_until("another signer", suite::LIMIT, || {
            (signers().as_array().unwrap().len() > before).then_some(())
        });
        self.discard(candidate);
    }

    /// What a dropped block held comes again in another: its nodes keep it.
    fn reorganise(&self, _: &mut Linked) -> Reorganisation {
        Reorganisation::Impossible
    }
}

impl Node for Anvil {
    type End = Attested<EvmAdapter>;

    fn end(linked: &Linked, adapter: &Arc<EvmAdapter>) -> Arc<Self::End> {
        Arc::new(linked.attested(adapter, End::Chain, adapter.clone()))
    }

    fn verifier() -> Box<dyn Verifier> {
        Box::new(attested::Attested::bounded_by(Vec::new()))
    }

    fn change_validators(&self, _: u8) {
        unreachable!("a chain whose heads are attested declares no client updates");
    }

    fn reorganise(&self, linked: &mut Linked) -> Reorganisation {
        let call = |method, params| self.rpc.call(method, params);
        let _ = call("evm_setIntervalMining", json!([0]));
        let ids = linked.broadcast_shares(2);
        let _ = call("evm_mine", json!([]));
        let receipt =
            |id: &tombolo_types::Hash| call("eth_getTransactionReceipt", json!([id.to_string()]));
        let tip = quantity(&call("eth_blockNumber", json!([])));
        assert!(ids.iter().all(|id| quantity(&receipt(id)["blockNumber"]) == tip));
        let _ = call("anvil_reorg", json!([1, []]));
        assert_eq!(quantity(&call("eth_blockNumber", json!([]))), tip);
        assert!(ids.iter().all(|id| receipt(id).is_null()), "their block is there still");
        let _ = call("evm_setIntervalMining", json!([1]));
        Reorganisation::Done
    }
}

impl<N: Node> EvmFixture<N, N::End> {
    async fn new(node: N, linked: Linked) -> Self {
        let adapter = linked.adapter().await;
        linked.open(&adapter).await;
        let end = N::end(&linked, &adapter);
        Self { node, linked, adapter, end, voted: 0 }
    }
}

#[async_trait]
impl<N: Node> Fixture for EvmFixture<N, N::End> {
    type Adapter = N::End;

    fn adapter(&self) -> &Self::Adapter {
        &self.end
    }

    async fn restart(&mut self) {
        self.adapter = self.linked.adapter().await;
        self.end = N::end(&self.linked, &self.adapter);
    }

    fn link(&self) -> LinkId {
        self.linked.link
    }

    async fn send(&mut self, count: u64) {
        self.linked.share(count);
    }

    async fn delivery(&mut self, count: u64) -> Delivery {
        self.linked.begin(count);
        let link = self.linked.link;
        let head = self.adapter.head(link, &self.linked.follower().await).await.unwrap();
        let first = MessageNumber(data_leaf(&head).received);
        let hub = self.linked.hub_end(&self.adapter);
        let follower = self.adapter.client_status(link).await.unwrap();
        delivery_from(&*hub, link, DATA_LANE, first, count, &follower).await.unwrap()
    }

    fn follower(&self) -> Follower {
        let verifier = N::verifier();
        let client = verifier.start(&self.linked.anchor, &self.linked.terms(), self.now());
        Follower { client: client.unwrap(), verifier }
    }

    async fn change_validators(&mut self) {
        self.voted += 1;
        self.node.change_validators(self.voted);
    }

    async fn reorganise(&mut self) -> Reorganisation {
        self.node.reorganise(&mut self.linked)
    }

    fn now(&self) -> UnixMillis {
        wall()
    }
}

/// Mode 1: every head is proved by the chain's own seals.
///
/// Req: PRJ-14-1, PRJ-4-1, PRJ-4-2
#[test]
fn the_adapter_passes_the_suite_on_clique() {
    let _alone = alone();
    let Some(network) = Clique::start(1, 1_000) else { return };
    run(async {
        let linked = Linked::to_clique(&network, urls(&network), 2).await;
        suite::run(EvmFixture::new(network, linked).await).await;
    });
}

/// Mode 2, on a chain that takes blocks back before they are final.
///
/// Req: PRJ-14-1, PRJ-4-4
#[test]
fn the_adapter_passes_the_suite_on_a_chain_that_reorganises() {
    let _alone = alone();
    let Some(anvil) = Anvil::start(&["--block-time", "1"]) else { return };
    run(async {
        let linked = Linked::to_anvil(&anvil, vec![anvil.rpc.url().to_owned()], 2).await;
        suite::run(EvmFixture::new(anvil, linked).await).await;
    });
}
