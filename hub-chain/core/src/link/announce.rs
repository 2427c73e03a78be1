//! What every linked chain is told: schemas and the standing of identities, on the control lane.
//!
//! What a link is owed is kept as a set, not as messages: changes that come faster than a chain
//! takes them fold into the newest standing, and a chain that is away costs one entry for each
//! identity, however often that changes. A budget for each block bounds the work; a newly opened
//! link is brought up to date over as many blocks as it takes.

use crate::{identity, schema};
use tombolo_ledger::{
    Context, Principal, State, Table,
    lanes::{self, Link, LinkStatus, Room},
};
use tombolo_types::{
    Address, Hash, Height, UnixMillis,
    header::Signature,
    id::{IdentityId, LinkId, SchemaId},
    lane::CONTROL_LANE,
    message::{Body, IdentityUpdate, SchemaUpdate},
};

/// Updates sent in one block, over all links.
pub const UPDATES_PER_BLOCK: usize = 256;
/// Identities of a newly opened link that are queued in one block.
const SYNCED_PER_BLOCK: usize = 128;
/// Unacknowledged updates in one lane; above it the rest waits here, where it folds.
const UNTAKEN_MAX: u64 = 1_024;

const OWED_SCHEMAS: Table<(LinkId, SchemaId), ()> = Table::new(*b"hs");
const OWED_IDENTITIES: Table<(LinkId, IdentityId), ()> = Table::new(*b"hi");
/// How far a newly opened link has been brought up to date.
const SYNC: Table<LinkId, IdentityId> = Table::new(*b"hy");

/// Whether the link's chain follows identities: paused and frozen ones too, for they come back.
fn follows(link: &Link) -> bool {
    match link.status {
        LinkStatus::Open | LinkStatus::Paused { .. } | LinkStatus::Frozen => link.greeted,
        LinkStatus::Proposed | LinkStatus::Closed => false,
    }
}

/// Owes every linked chain the newest standing of an identity.
pub(crate) fn owe_identity(state: &mut State<'_>, identity: IdentityId) {
    for link in lanes::links(state).iter().filter(|link| follows(link)) {
        OWED_IDENTITIES.put(state, &(link.id, identity), &());
    }
}

/// Owes every linked chain a schema.
pub(crate) fn owe_schema(state: &mut State<'_>, schema: SchemaId) {
    for link in lanes::links(state).iter().filter(|link| follows(link)) {
        OWED_SCHEMAS.put(state, &(link.id, schema), &());
    }
}

/// Owes one link the newest standing of an identity once more.
pub(super) fn owe_again(state: &mut State<'_>, link: LinkId, identity: IdentityId) {
    OWED_IDENTITIES.put(state, &(link, identity), &());
}

/// Owes one link a schema once more.
pub(super) fn owe_schema_again(state: &mut State<'_>, link: LinkId, schema: SchemaId) {
    OWED_SCHEMAS.put(state, &(link, schema), &());
}

/// Owes a newly opened link everything: schemas at once, identities over the next blocks.
pub(super) fn owe_everything(state: &mut State<'_>, link: LinkId) {
    for id in schema::all_ids(state) {
        OWED_SCHEMAS.put(state, &(link, id), &());
    }
    SYNC.put(state, &link, &IdentityId::ZERO);
}

/// Sends what is owed, within the budget. A chain that takes nothing holds up no other.
pub(crate) fn begin_block(cx: &mut Context<'_, '_>) {
    sync(cx.state);
    if OWED_SCHEMAS.all(cx.state, 1).is_empty() && OWED_IDENTITIES.all(cx.state, 1).is_empty() {
        return;
    }
    let mut budget = UPDATES_PER_BLOCK;
    for link in lanes::links(cx.state) {
        let mut room = budget.min(room(cx, link.id));
        budget = budget.saturating_sub(room);
        for ((_, id), ()) in OWED_SCHEMAS.under(cx.state, &link.id, room) {
            OWED_SCHEMAS.delete(cx.state, &(link.id, id));
            room = room.saturating_sub(1);
            if let Some(definition) = schema::definition(cx.state, id) {
                tell(cx, link.id, &Body::SchemaUpdate(SchemaUpdate { schema: id, definition }));
            }
        }
        for ((_, id), ()) in OWED_IDENTITIES.under(cx.state, &link.id, room) {
            OWED_IDENTITIES.delete(cx.state, &(link.id, id));
            room = room.saturating_sub(1);
            if let Some(update) = update_of(cx, &link, id) {
                tell(cx, link.id, &Body::IdentityUpdate(update));
            }
        }
        budget = budget.saturating_add(room);
    }
}

fn sync(state: &mut State<'_>) {
    for (link, from) in SYNC.all(state, 1) {
        let found = Principal::list(state, from, SYNCED_PER_BLOCK);
        for principal in &found {
            OWED_IDENTITIES.put(state, &(link, principal.identity), &());
        }
        match found.last() {
            // The last one is queued again next time, which folds.
            Some(last) if found.len() == SYNCED_PER_BLOCK && last.identity != from => {
                SYNC.put(state, &link, &last.identity);
            }
            _ => SYNC.delete(state, &link),
        }
    }
}

/// How many more updates the link's lane holds.
fn room(cx: &Context<'_, '_>, link: LinkId) -> usize {
    let untaken = lanes::lane(cx.state, link, CONTROL_LANE)
        .map_or(UNTAKEN_MAX, |lane| lane.sent.size().saturating_sub(lane.taken));
    usize::try_from(UNTAKEN_MAX.saturating_sub(untaken)).unwrap_or(usize::MAX)
}

/// The lane exists and the room is there: an announcement cannot be refused.
fn tell(cx: &mut Context<'_, '_>, link: LinkId, body: &Body) {
    let salt = Hash::ZERO;
    let _ = super::send(cx, (link, CONTROL_LANE), body, UnixMillis::ZERO, salt, Room::Reserved);
}

fn update_of(cx: &Context<'_, '_>, link: &Link, id: IdentityId) -> Option<IdentityUpdate> {
    let standing = Principal::of(cx.state, id)?;
    let since =
        identity::resolve(cx.state, id, cx.block.height).map_or(Height::ZERO, |entry| entry.since);
    let (account, binding_nonce, account_signature) = identity::bound_on(cx.state, id, link.chain)
        .map_or((Address::ZERO, 0, Signature::NONE), |bound| {
            (bound.account, bound.nonce, bound.account_signature)
        });
    Some(IdentityUpdate {
        identity: id,
        roles: standing.roles,
        status: standing.status.number(),
        owner: standing.owner,
        keys: standing.keys,
        account,
        binding_nonce,
        account_signature,
        since,
    })
}
