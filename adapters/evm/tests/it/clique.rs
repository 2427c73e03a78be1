//! Mode 1: a gateway on a Clique chain and the hub believe each other by their own consensus.

use crate::link::{Linked, run};
use tombolo_crypto::digest;
use tombolo_test_nodes::{Clique, alone};
use tombolo_types::Address;

/// Blocks on top that make one final: more than half of three signers.
const DEPTH: u64 = 2;

/// Deployed, registered by a quorum, carried by the relayer's own task: the link opens on both
/// sides.
///
/// Req: Y4560-10.2-1.1
#[test]
fn a_link_opens_between_a_hub_and_a_clique_chain() {
    let _alone = alone();
    let Some(network) = Clique::start(1, 1_000) else { return };
    run(async {
        let linked = Linked::to_clique(&network, urls(&network), DEPTH).await;
        let adapter = linked.adapter().await;
        let (chain, gateway) = (linked.config.chain(), Address(linked.config.gateway.0.0));
        assert_eq!(adapter.link(), digest::link_id(linked.hub.chain.chain_id(), chain, gateway, 1));
        linked.open(&adapter).await;
    });
}

/// Every node of a network.
pub(crate) fn urls(network: &Clique) -> Vec<String> {
    network.signers.iter().map(|signer| signer.rpc.url().to_owned()).collect()
}
