//! Copies of open items, out and in. Spec: Y.4560 cl. 6.3

use crate::{
    call::ShareOrder,
    entry::{self, Claim},
    gateway,
    item::{self, Item, ItemCopy, Provenance, Standing},
};
use tombolo_ledger::{
    Arrival, Context, Unheld,
    block::global_id,
    lanes::{self, Room},
};
use tombolo_types::{
    Class, Refusal, ensure,
    envelope::Envelope,
    id::DataId,
    lane::DATA_LANE,
    message::{Body, DataClass, Share},
    refuse,
};

/// Shares an item that is here, by its owner.
///
/// # Errors
/// `E_NOTFOUND`; `E_CLOSED_COPY`, grant or not; `E_DENIED` for anybody but the owner, and for what
/// is a copy here; as [`order`].
pub(crate) fn share(
    cx: &mut Context<'_, '_>,
    id: DataId,
    order_given: &ShareOrder,
) -> Result<(), Refusal> {
    cx.record.operation = "share".into();
    cx.record.data_id = id;
    let Some(item) = item::item(cx.state, id) else {
        ensure!(
            item::copy(cx.state, id).is_none(),
            Denied,
            "item {id} is a copy here; share it from where it lives"
        );
        refuse!(NotFound, "item {id} is not on this ledger");
    };
    cx.record.data_class = item.class.number();
    cx.record.fingerprint = item.fingerprint;
    entry::ensure_open(id, item.class)?;
    ensure!(
        cx.signer_id() == item.owner,
        Denied,
        "item {id} belongs to {}, not to {}",
        item.owner,
        cx.signer_id()
    );
    item.ensure_live()?;
    let terms = Envelope::parse(&item.envelope)?.envelope().terms.clone();
    order(cx, &item, &terms, order_given)
}

/// Sends a copy on its way.
///
/// # Errors
/// `E_FORMAT` where the destination is this chain; `E_LIMIT` for a body or a lane that is too
/// large; `E_IDENT` where the view of identities is too old; `E_CLOSED_COPY`; `E_STATE` where the
/// link is not open.
pub(crate) fn order(
    cx: &mut Context<'_, '_>,
    item: &Item,
    terms: &str,
    order: &ShareOrder,
) -> Result<(), Refusal> {
    let chain = cx.block.chain_id;
    cx.record.destination_chain = order.destination;
    ensure!(order.destination != chain, Format, "chain {chain} is this one; the item is here");
    let bytes = u64::try_from(item.envelope.len()).unwrap_or(u64::MAX);
    ensure!(
        bytes <= cx.parameters.open_body_bytes_max,
        Limit,
        "an open body of {bytes} bytes is above the {} that a share carries",
        cx.parameters.open_body_bytes_max
    );
    gateway::ensure_fresh_view(cx)?;
    entry::ensure_open(item.id, item.class)?;
    let (_, link) = gateway::own(cx.state)?;
    gateway::ensure_open(&link, cx.block.time)?;
    let body = Body::Share(Share {
        global_id: global_id(cx.tx_id),
        source_chain: chain,
        source_height: cx.block.height,
        destination_chain: order.destination,
        data_id: item.id,
        item_version: item.version,
        class: item.class.number(),
        schema: item.schema,
        fingerprint: item.fingerprint,
        owner: item.owner,
        terms: terms.to_owned(),
        envelope: item.envelope.clone(),
        device: item.device,
        signature: item.signature,
    });
    let direction = gateway::DIRECTION;
    let (salt, not_after) = (cx.salt, order.not_after);
    let number =
        lanes::append(cx.state, direction, link.id, DATA_LANE, &body, not_after, salt, Room::Ask)?;
    cx.record.link = link.id;
    cx.record.mode = link.mode;
    cx.record.lane = DATA_LANE;
    cx.record.number = number;
    cx.record.source_chain = chain;
    cx.record.source_height = cx.block.height;
    cx.record.protocol = "lane".into();
    Ok(())
}

/// Records that the hub does not hold a share, as was said when its lane was reopened. The item is as
/// it was.
pub(crate) fn take_back(cx: &mut Context<'_, '_>, unheld: &Unheld, share: &Share) {
    let mut record = cx.blank_record();
    record.global_id = share.global_id;
    record.operation = "share".into();
    record.outcome = Class::State as u8;
    record.remark = format!(
        "lane {} was reopened, and the hub does not hold message {} of the epoch that ended; share \
         again",
        unheld.lane, unheld.number
    );
    record.lane = unheld.lane;
    record.number = unheld.number;
    record.source_chain = share.source_chain;
    record.source_height = share.source_height;
    record.destination_chain = share.destination_chain;
    record.data_id = share.data_id;
    record.data_class = share.class;
    record.fingerprint = share.fingerprint;
    record.parties = vec![share.owner, share.device];
    record.protocol = "lane".into();
    if let Some(link) = lanes::link(cx.state, unheld.link) {
        link.name_in(&mut record);
    }
    cx.append_record(record, unheld.salt);
}

/// Takes a copy that the hub forwards. The same copy again is answered as the one that is here.
///
/// # Errors
/// `E_FORMAT` for another destination; as [`entry::check_foreign`]; `E_CLOSED_COPY` where message
/// or envelope say closed: both ends check; `E_REPLAY` for another content of a version that is
/// here, or an older version; `E_STATE` where the item itself is here.
///
/// Req: Y4560-6.3-3, Y4560-6.3-2
pub(crate) fn take(
    cx: &mut Context<'_, '_>,
    arrival: &Arrival,
    share: Share,
) -> Result<(), Refusal> {
    cx.record.global_id = share.global_id;
    cx.record.source_chain = share.source_chain;
    cx.record.source_height = share.source_height;
    cx.record.data_id = share.data_id;
    cx.record.data_class = share.class;
    cx.record.fingerprint = share.fingerprint;
    cx.record.parties = vec![share.owner, share.device];
    let id = share.data_id;
    ensure!(
        share.destination_chain == cx.block.chain_id,
        Format,
        "the copy is for chain {}, this is {}",
        share.destination_chain,
        cx.block.chain_id
    );
    let Some(class) = DataClass::from_number(share.class) else {
        refuse!(Format, "item {id} has class {}, which is none", share.class);
    };
    let parsed = Envelope::parse(&share.envelope)?;
    entry::ensure_open(id, class)?;
    entry::ensure_open(id, parsed.envelope().class)?;
    let claim = Claim {
        id,
        version: share.item_version,
        class,
        schema: share.schema,
        fingerprint: share.fingerprint,
        device: share.device,
        signature: share.signature,
    };
    let envelope = entry::check_foreign(cx.state, &share.envelope, &claim)?;
    ensure!(
        envelope.terms == share.terms,
        Tamper,
        "the message gives other terms for item {id} than its envelope"
    );
    if let Some(known) = item::copy(cx.state, id) {
        let same = (known.version, known.fingerprint) == (share.item_version, share.fingerprint);
        if same && known.provenance.source_chain == share.source_chain {
            cx.record.remark = format!("existing copy of version {}", known.version);
            return Ok(());
        }
        ensure!(
            share.item_version > known.version,
            Replay,
            "item {id} is here as a copy of version {}; version {} with this content is none after it",
            known.version,
            share.item_version
        );
    }
    let lives_here = item::item(cx.state, id)
        .is_some_and(|item| !matches!(item.standing, Standing::Moved { .. }));
    ensure!(!lives_here, State, "item {id} lives here and is not copied to itself");
    cx.record.remark = format!("copy of version {}", share.item_version);
    let copy = ItemCopy {
        id,
        version: share.item_version,
        owner: share.owner,
        schema: share.schema,
        fingerprint: share.fingerprint,
        envelope: share.envelope,
        device: share.device,
        signature: share.signature,
        provenance: Provenance {
            source_chain: share.source_chain,
            source_height: share.source_height,
            hub_height: arrival.source_height,
            global_id: share.global_id,
            terms: share.terms,
            since: cx.block.height,
        },
    };
    item::put_copy(cx, &copy);
    Ok(())
}
