//! Whether an envelope is what a message says of it, and whether who signed it may.
//!
//! Shares, moves and writes bring the same claim, and one order of checks (rule G1) judges it.

use super::{ITEMS, Item, LOCKS};
use crate::{
    Hub, link,
    policy::{self, Operation, Question, Ruling, Subject},
    schema,
};
use tombolo_crypto::{digest, secp256k1};
use tombolo_ledger::{Context, Principal};
use tombolo_types::{
    Refusal, ensure,
    envelope::Envelope,
    header::Signature,
    id::{ChainId, DataId, Fingerprint, IdentityId, SchemaId},
    link_policy::PolicyBit,
    message::DataClass,
    refuse,
};

/// What a message says of the envelope that it carries.
pub(crate) struct Claim<'m> {
    /// The item.
    pub(crate) item: DataId,
    /// Its version.
    pub(crate) version: u32,
    /// Its schema.
    pub(crate) schema: SchemaId,
    /// Its fingerprint.
    pub(crate) fingerprint: Fingerprint,
    /// The canonical envelope.
    pub(crate) envelope: &'m [u8],
    /// Who signed it.
    pub(crate) device: IdentityId,
    /// The signature.
    pub(crate) signature: &'m Signature,
    /// Whose it is afterwards; but for a move that is whose it is now.
    pub(crate) owner: IdentityId,
    /// Class and terms, where the message repeats them.
    pub(crate) stated: Option<(u8, &'m str)>,
    /// The chain that must hold it.
    pub(crate) source: ChainId,
    /// Where it goes.
    pub(crate) destination: ChainId,
    /// Who asks for it.
    pub(crate) principal: IdentityId,
    /// What is asked.
    pub(crate) operation: Operation,
}

/// A claim that was found true.
pub(crate) struct Provenance {
    /// The item as it would stand on the source; not yet kept.
    pub(crate) item: Item,
    /// What was known before.
    pub(crate) known: Option<Item>,
    /// What the policies said.
    pub(crate) ruling: Ruling,
}

/// Judges whether a claim is allowed, in the order of rule G1, and names the item in the record.
///
/// `E_FORMAT` (fields that differ from the envelope, or an envelope that its schema does not
/// allow), `E_LIMIT`, `E_AUTH`, `E_IDENT`, `E_CLOSED_COPY`, `E_DENIED`, `E_POLICY`; `E_NOTFOUND`
/// for a schema comes early, for without one the form cannot be judged. `granted` is asked after
/// the closed copy and before the policies, with the item's owner.
pub(crate) fn check_allowed(
    hub: &Hub,
    cx: &mut Context<'_, '_>,
    claim: &Claim<'_>,
    granted: impl Fn(&Context<'_, '_>, IdentityId) -> Result<(), Refusal>,
) -> Result<Provenance, Refusal> {
    cx.record.data_id = claim.item;
    cx.record.fingerprint = claim.fingerprint;
    let canonical = Envelope::parse(claim.envelope)?;
    let envelope = canonical.envelope();
    cx.record.data_class = envelope.class.number();
    check_fields(claim, envelope)?;
    let known = ITEMS.get(cx.state, &claim.item);
    ensure!(
        claim.operation == Operation::Move || known.is_some() || claim.owner == envelope.owner,
        Format,
        "the envelope names the owner {}, the message {}",
        envelope.owner,
        claim.owner
    );
    let Some(schema) = schema::get(cx.state, claim.schema) else {
        refuse!(NotFound, "schema {} is not registered; propose it first", claim.schema);
    };
    schema.validate(envelope)?;

    let owner = known.as_ref().map_or(envelope.owner, |known| known.owner);
    let is_the_known_one = known.as_ref().is_some_and(|known| {
        known.version == claim.version && known.fingerprint == claim.fingerprint
    });
    // A version that the hub has judged before may have changed hands since; who signed it then
    // need not speak for its owner now.
    let speaker = if is_the_known_one { None } else { Some(owner) };
    if claim.operation == Operation::Share || !is_the_known_one {
        check_signer(cx, claim, speaker)?;
    }
    check_parties(cx, claim, owner)?;
    check_class(claim, envelope, known.as_ref(), owner)?;
    ensure!(
        claim.operation == Operation::Move || claim.owner == owner,
        Denied,
        "item {} is owned by {owner}, not by {}",
        claim.item,
        claim.owner
    );
    granted(cx, owner)?;
    let bit = match claim.operation {
        Operation::Share => PolicyBit::Share,
        Operation::Write => PolicyBit::Write,
        Operation::Move | Operation::Disclose | Operation::Call | Operation::Transfer => {
            PolicyBit::Move
        }
    };
    link::ensure_listed(cx.state, [claim.source, claim.destination], &schema.name, bit)?;
    let subject = Subject::Item {
        id: claim.item,
        class: envelope.class,
        home: envelope.home,
        owner,
        schema: schema.name,
        version: claim.version,
        terms: envelope.terms.clone(),
    };
    let question = Question::of(
        (cx.state, cx.block.time),
        claim.principal,
        claim.operation,
        subject,
        (claim.source, claim.destination),
    );
    let ruling = policy::ask(hub, cx, &question)?;
    let item = Item {
        id: claim.item,
        home: envelope.home,
        location: claim.source,
        owner,
        class: envelope.class,
        schema: claim.schema,
        version: claim.version,
        fingerprint: claim.fingerprint,
        terms: envelope.terms.clone(),
        height: cx.block.height,
    };
    Ok(Provenance { item, known, ruling })
}

/// The message's own fields are those of the envelope.
fn check_fields(claim: &Claim<'_>, envelope: &Envelope) -> Result<(), Refusal> {
    let id = digest::data_id(envelope.home, envelope.owner, &envelope.local_id);
    ensure!(
        id == claim.item,
        Format,
        "home, owner and local id of the envelope make item {id}, the message names {}",
        claim.item
    );
    ensure!(
        envelope.item_version == claim.version,
        Format,
        "the envelope is version {}, the message says {}",
        envelope.item_version,
        claim.version
    );
    ensure!(
        envelope.schema == claim.schema && envelope.device == claim.device,
        Format,
        "schema {} and device {} of the envelope are not those of the message, {} and {}",
        envelope.schema,
        envelope.device,
        claim.schema,
        claim.device
    );
    if let Some((class, terms)) = claim.stated {
        ensure!(
            envelope.class.number() == class && envelope.terms == terms,
            Format,
            "class and terms of the message are not those of the envelope"
        );
    }
    Ok(())
}

/// A present key of an active identity has signed, which speaks for `speaker` where one is given.
/// Req: Y4560-9.2-2
fn check_signer(
    cx: &Context<'_, '_>,
    claim: &Claim<'_>,
    speaker: Option<IdentityId>,
) -> Result<(), Refusal> {
    let key = secp256k1::recover(digest::envelope(claim.envelope), claim.signature)?;
    let device = claim.device;
    let Some(standing) = Principal::of(cx.state, device) else {
        refuse!(Ident, "the signing identity {device} is not known; register it first");
    };
    ensure!(
        standing.keys.contains(&key),
        Auth,
        "the envelope is signed by {key}, which is none of the present keys of {device}"
    );
    ensure!(standing.is_active(), Ident, "identity {device} is {}", standing.status.name());
    let speaks_for = if standing.owner.is_zero() { device } else { standing.owner };
    if let Some(owner) = speaker {
        ensure!(
            speaks_for == owner,
            Ident,
            "{device} speaks for {speaks_for}, the item is owned by {owner}"
        );
    }
    Ok(())
}

/// The item's owner is active, and so is who becomes it.
fn check_parties(
    cx: &Context<'_, '_>,
    claim: &Claim<'_>,
    owner: IdentityId,
) -> Result<(), Refusal> {
    for party in [owner, claim.owner] {
        match Principal::of(cx.state, party) {
            Some(standing) if standing.is_active() => {}
            Some(standing) => refuse!(Ident, "the owner {party} is {}", standing.status.name()),
            None => refuse!(Ident, "the owner {party} is not known; register it first"),
        }
    }
    Ok(())
}

/// Classes change between versions only, and from closed to open only under the owner's own
/// signature. Req: Y4560-6.3-1, Y4560-6.3-2. Attack: A46.
fn check_class(
    claim: &Claim<'_>,
    envelope: &Envelope,
    known: Option<&Item>,
    owner: IdentityId,
) -> Result<(), Refusal> {
    let is_copy = claim.operation == Operation::Share;
    ensure!(
        !is_copy || envelope.class == DataClass::Open,
        ClosedCopy,
        "item {} is closed; it is never copied, grant or not",
        claim.item
    );
    let Some(known) = known.filter(|known| known.class == DataClass::Closed) else {
        return Ok(());
    };
    ensure!(
        !is_copy || claim.version > known.version,
        ClosedCopy,
        "item {} is closed in version {}, which is the newest; it is never copied",
        claim.item,
        known.version
    );
    ensure!(
        claim.operation != Operation::Write || claim.source == known.location,
        ClosedCopy,
        "closed item {} lives on chain {}; it cannot be written on chain {} besides",
        claim.item,
        known.location,
        claim.source
    );
    ensure!(
        envelope.class == DataClass::Closed || claim.device == owner,
        Denied,
        "closed item {} becomes open only by the signature of its owner {owner}",
        claim.item
    );
    Ok(())
}

/// Judges an allowed claim against the state, and last its fingerprint: `E_REPLAY`, `E_STATE`,
/// `E_TAMPER`.
pub(crate) fn check_possible(
    cx: &Context<'_, '_>,
    claim: &Claim<'_>,
    found: &Provenance,
) -> Result<(), Refusal> {
    if let Some(known) = &found.known {
        ensure!(
            known.version != claim.version || known.fingerprint == claim.fingerprint,
            Replay,
            "item {} has other content in version {}; declare it as a new version",
            claim.item,
            claim.version
        );
        ensure!(
            known.version <= claim.version,
            State,
            "item {} is in version {}, {} is older",
            claim.item,
            known.version,
            claim.version
        );
    }
    let location = found.known.as_ref().map_or(found.item.home, |known| known.location);
    ensure!(
        location == claim.source,
        State,
        "item {} lives on chain {location}, not on {}",
        claim.item,
        claim.source
    );
    if let Some(xid) = LOCKS.get(cx.state, &claim.item) {
        refuse!(State, "item {} is locked by the two-phase commit {xid}", claim.item);
    }
    let computed = digest::fingerprint(claim.envelope);
    ensure!(
        computed == claim.fingerprint,
        Tamper,
        "the envelope has fingerprint {computed}, {} was announced",
        claim.fingerprint
    );
    Ok(())
}
