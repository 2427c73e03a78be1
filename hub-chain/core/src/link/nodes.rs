//! The nodes of a link in modes 2 and 3: who they are, that they hold a key on either side, and how
//! their keys change. Spec: Y.4560 cl. 10.2

use super::{REGISTRATIONS, Registration, find};
use crate::{Hub, identity};
use tombolo_crypto::{attested, digest, secp256k1};
use tombolo_ledger::{
    Context, Machine as _, Principal,
    lanes::{self, LinkStatus},
};
use tombolo_types::{
    Address, Refusal,
    attested::{INTERWORKING, SharedNode},
    ensure,
    id::LinkId,
    refuse,
    store::View,
};

/// The one link of mode 1 has no nodes of its own, one of another mode has them by name.
///
/// # Errors
/// `E_FORMAT`; `E_STATE` for two nodes with one key; `E_UNSUPPORTED` for a node that does not
/// say that it runs the interworking function. Req: Y4560-10.2-3.2
pub(super) fn check_form(mode: u8, nodes: &[SharedNode]) -> Result<(), Refusal> {
    ensure!(
        (mode == 1) == nodes.is_empty(),
        Format,
        "a link of mode {mode} with {} nodes; modes 2 and 3 have them, mode 1 has none",
        nodes.len()
    );
    for (position, node) in nodes.iter().enumerate() {
        let again = nodes
            .iter()
            .take(position)
            .any(|other| other.hub_key == node.hub_key || other.chain_key == node.chain_key);
        ensure!(!again, State, "two nodes of the link have one key {}", node.hub_key);
        ensure!(
            mode != 3 || node.capabilities & INTERWORKING != 0,
            Unsupported,
            "node {} does not run the interworking function",
            node.hub_key
        );
    }
    Ok(())
}

/// Each node has signed one challenge with both its keys, and is known here by the first.
///
/// # Errors
/// `E_AUTH` for a signature by another key, `E_IDENT` for a key of nobody who is active.
/// Req: Y4560-10.2-2.1, Y4560-10.2-3.1
pub(super) fn check_proofs(
    cx: &Context<'_, '_>,
    link: LinkId,
    nodes: &[SharedNode],
) -> Result<(), Refusal> {
    for node in nodes {
        let SharedNode { hub_key, chain_key, capabilities, .. } = *node;
        let challenge =
            digest::shared_node(cx.block.chain_id, link, hub_key, chain_key, capabilities);
        for (key, signature) in [(hub_key, &node.hub_signature), (chain_key, &node.chain_signature)]
        {
            let signer = secp256k1::recover(challenge, signature)?;
            ensure!(
                signer == key,
                Auth,
                "the proof of node key {key} for link {link} is signed by {signer}"
            );
        }
        ensure!(is_known(cx.state, hub_key), Ident, "no active identity has node key {hub_key}");
    }
    Ok(())
}

fn is_known(view: &dyn View, key: Address) -> bool {
    identity::identity_of_key(view, key)
        .and_then(|id| Principal::of(view, id))
        .is_some_and(|found| found.is_active())
}

/// The nodes' keys on the hub, ascending: those that the link's verifier must go by.
pub(super) fn keys(nodes: &[SharedNode]) -> Vec<Address> {
    let mut keys: Vec<Address> = nodes.iter().map(|node| node.hub_key).collect();
    keys.sort_unstable();
    keys
}

/// Gives a link other nodes; the word of the old ones ends in this block.
pub(crate) fn rotate(
    hub: &Hub,
    cx: &mut Context<'_, '_>,
    id: LinkId,
    nodes: Vec<SharedNode>,
    threshold: u32,
) -> Result<(), Refusal> {
    let (mut link, registration) = find(cx, id)?;
    check_form(link.mode, &nodes)?;
    check_proofs(cx, id, &nodes)?;
    ensure!(
        !matches!(link.status, LinkStatus::Closed | LinkStatus::Frozen),
        State,
        "link {id} is {}; its nodes change with its recovery",
        super::status_name(link.status)
    );
    let kind = hub.verifier(&link.verifier).map(|verifier| verifier.kind());
    if kind != Some(attested::KIND) {
        refuse!(State, "link {id} is of mode {} and has no nodes", link.mode);
    }
    link.client = attested::rotate(&link.client, keys(&nodes), threshold)?;
    lanes::put_link(cx.state, &link);
    cx.record.remark = format!("{} nodes, of which {threshold} must agree", nodes.len());
    REGISTRATIONS.put(cx.state, &id, &Registration { nodes, ..registration });
    Ok(())
}
