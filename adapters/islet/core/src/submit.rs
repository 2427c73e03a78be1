//! Entering data items.

use crate::{
    call::ShareOrder,
    entry::{self, Asked},
    item, share,
};
use tombolo_ledger::Context;
use tombolo_types::{Refusal, ensure, header::Signature};

/// Enters an item or a new version of one, and shares it where an order says so.
///
/// The transaction is the device's own or its owner's: whoever else got hold of a signed envelope
/// must not decide where it goes, and the device's transaction alone is enough for both steps.
///
/// # Errors
/// As [`entry::check`]; `E_DENIED` for another signer; as [`share::order`].
pub(crate) fn submit(
    cx: &mut Context<'_, '_>,
    envelope: &[u8],
    signature: &Signature,
    order: Option<&ShareOrder>,
) -> Result<(), Refusal> {
    cx.record.operation = if order.is_some() { "share" } else { "submit" }.into();
    let entry = entry::check(cx, envelope, signature, &Asked { shared: order.is_some() })?;
    let signer = cx.signer_id();
    let (device, owner) = (entry.item().device, entry.item().owner);
    ensure!(
        signer == device || signer == owner,
        Denied,
        "identity {signer} is neither device {device} nor owner {owner} of item {}",
        entry.item().id
    );
    cx.record.parties = [signer, device, owner].into_iter().fold(Vec::new(), |mut all, party| {
        if !all.contains(&party) {
            all.push(party);
        }
        all
    });
    if let Some(order) = order {
        share::order(cx, entry.item(), entry.terms(), order)?;
    }
    cx.record.remark = format!("version {}", entry.item().version);
    item::put_version(cx, entry.into_item());
    Ok(())
}
