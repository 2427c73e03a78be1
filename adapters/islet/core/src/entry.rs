//! What is checked of an envelope before it enters: at home, where a device signed it just now,
//! and away, where it came over a lane.

use crate::{
    identity,
    item::{self, Item, Standing},
    schema,
};
use tombolo_crypto::{digest, secp256k1};
use tombolo_ledger::{Context, Principal};
use tombolo_types::{
    Address, Height, Refusal, ensure,
    envelope::Envelope,
    header::Signature,
    id::{DataId, Fingerprint, IdentityId},
    message::{DataClass, Role},
    refuse,
    store::View,
};

/// A version of an item that was entered on this ledger and may stand here. Only [`check`] makes
/// one.
pub(crate) struct Entry {
    item: Item,
    terms: String,
}

impl Entry {
    /// The item as it shall stand.
    pub(crate) fn item(&self) -> &Item {
        &self.item
    }

    /// Terms of use and redistribution.
    pub(crate) fn terms(&self) -> &str {
        &self.terms
    }

    /// The item alone.
    pub(crate) fn into_item(self) -> Item {
        self.item
    }
}

/// What is asked of an envelope besides that it is well-formed.
pub(crate) struct Asked {
    /// It shall be copied elsewhere in the same step.
    pub(crate) shared: bool,
}

/// Checks a new item, or a new version of one, in the order of rule G1.
///
/// # Errors
/// `E_FORMAT`, `E_VERSION` and `E_LIMIT` as [`Envelope::parse`], and `E_FORMAT` for another home;
/// `E_AUTH` for a signature that is none, or not by a present key of the device; `E_IDENT` for a
/// device or owner that is not known or not active; `E_CLOSED_COPY` for a closed item that shall
/// be shared; `E_DENIED` for anybody but a device of the owner and the owner, or an item that is a copy here;
/// `E_NOTFOUND` for an unknown schema; `E_FORMAT` where it does not hold; `E_REPLAY` for a version
/// that is there; `E_STATE` for an item that is not free, or a version left out.
///
/// Req: Y4560-7.2.1-1, Y4560-7.2.1-c, Y4560-6.3-1, Y4560-9.2-2
pub(crate) fn check(
    cx: &mut Context<'_, '_>,
    bytes: &[u8],
    signature: &Signature,
    asked: &Asked,
) -> Result<Entry, Refusal> {
    let canonical = Envelope::parse(bytes)?;
    let envelope = canonical.envelope();
    let id = digest::data_id(envelope.home, envelope.owner, &envelope.local_id);
    let fingerprint = digest::fingerprint(bytes);
    cx.record.data_id = id;
    cx.record.data_class = envelope.class.number();
    cx.record.fingerprint = fingerprint;
    let present = item::item(cx.state, id);
    ensure!(
        envelope.home == cx.block.chain_id
            || present.is_some()
            || item::copy(cx.state, id).is_some(),
        Format,
        "home: {} is not this chain, {}; submit there",
        envelope.home,
        cx.block.chain_id
    );
    let device = check_device(cx.state, envelope.device, bytes, signature)?;
    let owner = present.as_ref().map_or(envelope.owner, |present| present.owner);
    ensure_owner_active(cx.state, owner)?;
    if asked.shared {
        ensure_open(id, envelope.class)?;
    }
    ensure!(
        item::copy(cx.state, id).is_none() || present.is_some(),
        Denied,
        "item {id} is a copy here; write it where it lives, on chain {}",
        envelope.home
    );
    ensure_speaks_for(&device, owner)?;
    schema::validate(cx.state, envelope)?;
    match &present {
        Some(present) => check_next(present, envelope, fingerprint)?,
        None => {
            ensure!(
                envelope.item_version == 1,
                State,
                "item_version: {} of a new item; the first version is 1",
                envelope.item_version
            );
            item::ensure_not_reserved(cx.state, id)?;
        }
    }
    let account = Principal::of(cx.state, owner).map_or(Address::ZERO, |owner| owner.account);
    Ok(Entry {
        terms: envelope.terms.clone(),
        item: Item {
            id,
            version: envelope.item_version,
            class: envelope.class,
            home: envelope.home,
            owner,
            holder: present.map_or(account, |present| present.holder),
            schema: envelope.schema,
            fingerprint,
            envelope: canonical.into_bytes(),
            device: device.identity,
            signature: *signature,
            standing: Standing::Live,
            since: Height::ZERO,
        },
    })
}

/// The device, which signed with a present key and may sign. Req: Y4560-9.2-2
fn check_device(
    view: &dyn View,
    id: IdentityId,
    bytes: &[u8],
    signature: &Signature,
) -> Result<Principal, Refusal> {
    let key = secp256k1::recover(digest::envelope(bytes), signature)?;
    let Some(device) = Principal::of(view, id) else {
        refuse!(Ident, "device {id} is not known here; register it on the hub");
    };
    ensure!(
        device.keys.contains(&key),
        Auth,
        "the envelope is signed by {key}, which is none of the present keys of device {id}"
    );
    ensure!(device.is_active(), Ident, "device {id} is {}", device.status.name());
    Ok(device)
}

/// `E_DENIED` unless it is the owner's device, or the owner itself. The zero identity, which all
/// who have no owner name as theirs, owns nothing.
fn ensure_speaks_for(device: &Principal, owner: IdentityId) -> Result<(), Refusal> {
    let own_device = device.is(Role::Device) && device.owner == owner && !owner.is_zero();
    let itself = device.is(Role::Stakeholder) && device.identity == owner;
    ensure!(
        own_device || itself,
        Denied,
        "identity {} is no device of {owner}, to whom the item belongs, nor that stakeholder",
        device.identity
    );
    Ok(())
}

/// An owner that is not known here is judged by the hub alone; a known one must be active.
fn ensure_owner_active(view: &dyn View, id: IdentityId) -> Result<(), Refusal> {
    match Principal::of(view, id) {
        Some(owner) if !owner.is_active() => {
            refuse!(Ident, "owner {id} is {}", owner.status.name())
        }
        _ => Ok(()),
    }
}

/// Checks that the envelope may follow the present version.
fn check_next(present: &Item, next: &Envelope, fingerprint: Fingerprint) -> Result<(), Refusal> {
    ensure!(
        fingerprint != present.fingerprint,
        Replay,
        "item {} version {} is here with this very content",
        present.id,
        present.version
    );
    present.ensure_live()?;
    Envelope::parse(&present.envelope)?.envelope().check_successor(next)
}

/// `E_CLOSED_COPY` for a closed item, whoever asks and whatever was granted. Req: Y4560-6.3-2
pub(crate) fn ensure_open(id: DataId, class: DataClass) -> Result<(), Refusal> {
    ensure!(
        class == DataClass::Open,
        ClosedCopy,
        "item {id} is closed; a closed item may move, it is never copied"
    );
    Ok(())
}

/// What a lane message says beside the envelope it carries.
pub(crate) struct Claim {
    pub(crate) id: DataId,
    pub(crate) version: u32,
    pub(crate) class: DataClass,
    pub(crate) schema: tombolo_types::id::SchemaId,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) device: IdentityId,
    pub(crate) signature: Signature,
}

/// Checks an envelope that came over a lane: the bytes say what the message says.
///
/// Its home judged device and schema by what held there and then. Here a signature must be by a
/// key that the device has or had, and the readings must suit the schema, where device and schema
/// are known; what the hub's control lane has yet to bring does not stop the data lane.
///
/// # Errors
/// As [`Envelope::parse`]; `E_AUTH`; `E_FORMAT` where the readings do not suit the schema;
/// `E_TAMPER` where bytes and message differ.
pub(crate) fn check_foreign(
    view: &dyn View,
    bytes: &[u8],
    claim: &Claim,
) -> Result<Envelope, Refusal> {
    let canonical = Envelope::parse(bytes)?;
    let envelope = canonical.envelope();
    let key = secp256k1::recover(digest::envelope(bytes), &claim.signature)?;
    ensure!(
        identity::ever_had(view, claim.device, key) != Some(false),
        Auth,
        "the envelope of item {} is signed by {key}, which device {} never had",
        claim.id,
        claim.device
    );
    if schema::definition(view, envelope.schema).is_some() {
        schema::validate(view, envelope)?;
    }
    let found = digest::fingerprint(bytes);
    ensure!(
        found == claim.fingerprint,
        Tamper,
        "the envelope of item {} has fingerprint {found}, the message names {}",
        claim.id,
        claim.fingerprint
    );
    let id = digest::data_id(envelope.home, envelope.owner, &envelope.local_id);
    let says = (id, envelope.item_version, envelope.class, envelope.schema, envelope.device);
    ensure!(
        says == (claim.id, claim.version, claim.class, claim.schema, claim.device),
        Tamper,
        "the envelope is of item {id} version {}, the message names {} version {}, or their class, \
         schema or device differ",
        envelope.item_version,
        claim.id,
        claim.version
    );
    Ok(envelope.clone())
}
