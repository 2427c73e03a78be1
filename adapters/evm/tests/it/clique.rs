//! Mode 1: a gateway on a Clique chain and the hub believe each other by their own consensus.

use crate::{
    attacks::class,
    faulty::{Fault, Faulty},
    hub::key,
    link::{Linked, data_leaf, run, until},
};
use alloy::{
    consensus::Header,
    primitives::{U256, keccak256},
    rlp::{Decodable as _, encode},
};
use tombolo_adapter::{Sink as _, Source as _, suite::delivery_from};
use tombolo_crypto::digest;
use tombolo_evm::{Config, Finality, Rpc};
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

        // To one who takes a block for final at once. It can be proved two blocks later, and a delivery
        // has not ended before heads show what it did: else it would be brought again.
        linked.begin(1);
        let config = Config { finality: Finality::Depth(0), ..linked.config.clone() };
        let hasty = linked.adapter_of(config).await.unwrap();
        let client = hasty.client_status(link).await.unwrap();
        let first = MessageNumber(0);
        let delivery = delivery_from(&hub, link, DATA_LANE, first, 1, &client).await.unwrap();
        let ended = hasty.deliver(delivery).await.unwrap();
        assert!(hasty.newest_head().await.unwrap().height >= ended.height);

        a23_one_node_that_shows_the_sets_of_the_hub_is_enough(&mut linked, &network).await;
    });
}

/// The hub's validators are nowhere but in an event, which one node alters, one leaves out, and one
/// gives for few blocks at once: a relayer that starts anew asks the next until it has the set that
/// the gateway's root names, and delivers with it. Attack: A23
async fn a23_one_node_that_shows_the_sets_of_the_hub_is_enough(
    linked: &mut Linked,
    network: &Clique,
) {
    let mut fronts = Vec::new();
    for url in urls(network) {
        fronts.push(Faulty::in_front_of(&url).await);
    }
    let faults = [Fault::ForgesEvents, Fault::Withholds, Fault::Bounds { blocks: 3, events: 1 }];
    assert_eq!(fronts.len(), faults.len());
    let rpc = Rpc::of(fronts.iter().map(|front| front.url.clone()).collect());
    let (config, link) = (Config { rpc, ..linked.config.clone() }, linked.link);
    let adapter = linked.adapter_of(config.clone()).await.unwrap();
    for (front, fault) in fronts.iter().zip(faults) {
        front.set(fault);
    }
    let follower = adapter.client_status(link).await.unwrap();
    assert_eq!(follower.validators_root, digest::validators_root(&linked.hub.anchor().validators));

    linked.begin(1);
    let (hub, of_chain) = (linked.hub.adapter(), linked.follower().await);
    let head = adapter.head(link, &of_chain).await.unwrap();
    let first = MessageNumber(data_leaf(&head).received);
    let delivery = delivery_from(&hub, link, DATA_LANE, first, 1, &follower).await.unwrap();
    adapter.deliver(delivery).await.unwrap();
    // What no node shows is no node's word that it is not there.
    fronts[2].set(Fault::Withholds);
    let blind = linked.adapter_of(config).await.unwrap();
    assert_eq!(class(blind.client_status(link).await), Class::Timeout);
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
