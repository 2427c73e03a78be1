//! Mode 1: a gateway on a Clique chain and the hub believe each other by their own consensus.

use crate::{
    attacks::class,
    hub::key,
    link::{Linked, run, until},
};
use alloy::{
    consensus::Header,
    primitives::{U256, keccak256},
    rlp::{Decodable as _, encode},
};
use tombolo_adapter::{Sink as _, suite::delivery_from};
use tombolo_crypto::digest;
use tombolo_evm_core::{clique::CliqueAdvance, proof::EvmHeadProof};
use tombolo_relayer::Reports;
use tombolo_test_nodes::{Clique, alone};
use tombolo_types::{
    Address, Class, Hash, MessageNumber,
    lane::{DATA_LANE, Delivery},
};

/// Blocks on top that make one final: more than half of three signers.
const DEPTH: u64 = 2;

/// Deployed, registered by a quorum, carried by the relayer's own task: the link opens on both
/// sides. Who may seal is who is a member: a block that another has sealed brings nothing to the hub,
/// however good the rest of it is.
///
/// Req: Y4560-10.2-1.1, D35-I.2-2
#[test]
fn a_link_opens_to_a_clique_chain_and_believes_its_members_alone() {
    let _alone = alone();
    let Some(network) = Clique::start(1, 1_000) else { return };
    run(async {
        let mut linked = Linked::to_clique(&network, urls(&network), DEPTH).await;
        let adapter = linked.adapter().await;
        let (chain, gateway) = (linked.config.chain(), Address(linked.config.gateway.0.0));
        assert_eq!(adapter.link(), digest::link_id(linked.hub.chain.chain_id(), chain, gateway, 1));
        linked.open(&adapter).await;

        linked.share(1);
        let (link, hub) = (linked.link, linked.hub.adapter());
        let follower = linked.follower().await;
        let mut proved = None;
        until("the share is final", &Reports::default(), async || {
            let first = MessageNumber(0);
            proved = delivery_from(&*adapter, link, DATA_LANE, first, 1, &follower).await.ok();
            proved.is_some()
        })
        .await;
        let proved = proved.unwrap();
        assert_eq!(class(hub.deliver(sealed_by_a_stranger(&proved)).await), Class::Auth);
        assert_eq!(linked.follower().await, follower);
        hub.deliver(proved).await.unwrap();
        assert_ne!(linked.follower().await, follower);
    });
}

/// The same delivery, but the newest of its blocks is sealed by one who is no signer of the network.
/// It is made by the rules of a real one.
fn sealed_by_a_stranger(delivery: &Delivery) -> Delivery {
    const SEAL_BYTES: usize = 65;
    let mut proof = EvmHeadProof::decode(&delivery.head_proof).unwrap();
    let CliqueAdvance { mut headers } = CliqueAdvance::decode(&proof.advance).unwrap();
    let newest = headers.last_mut().unwrap();
    let mut header = Header::decode(&mut newest.as_slice()).unwrap();
    // It is nobody's turn but a signer's.
    header.difficulty = U256::ONE;
    let mut extra = header.extra_data.to_vec();
    extra.truncate(extra.len() - SEAL_BYTES);
    header.extra_data = extra.clone().into();
    let sealed = Hash(keccak256(encode(&header)).0);
    let mut seal = key(9).sign(sealed).0;
    seal[SEAL_BYTES - 1] -= 27;
    header.extra_data = [extra, seal.to_vec()].concat().into();
    *newest = encode(&header);
    proof.advance = CliqueAdvance { headers }.encode();
    Delivery { head_proof: proof.encode(), ..delivery.clone() }
}

/// Every node of a network.
pub(crate) fn urls(network: &Clique) -> Vec<String> {
    network.signers.iter().map(|signer| signer.rpc.url().to_owned()).collect()
}
