//! The coordinator of two-phase commits. Spec: design, section 6
//!
//! Every decision follows from `tombolo_swap`'s machine; this module asks before Begin what only
//! the hub knows (identities, policies, grants, where closed items live), writes state and
//! messages in the block that causes them, and keeps the queues by deadline, link and identity.
//! Nothing here releases a lock on a chain: only a decision on the lane does.

mod begin;
mod drive;

pub(crate) use begin::{begin, begin_from_chain};
pub(crate) use drive::{begin_block, reopened, take_done, take_refused, take_vote, withdraw};

use crate::{asset::Transfer, data::Item};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_ledger::{State, Table, lanes};
use tombolo_swap::two_phase::Coordinator;
use tombolo_types::{
    Hash, Height, MessageNumber, UnixMillis,
    id::{DataId, GlobalId, IdentityId, LinkId, Xid},
    lane::DATA_LANE,
    store::View,
};

/// A two-phase commit that the hub coordinates.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commit {
    /// Terms, votes, decision.
    pub coordinator: Coordinator,
    /// Who began it, and whose accounts it takes from; the revocation of one aborts it.
    pub parties: Vec<IdentityId>,
    /// When it began.
    pub height: Height,
    /// Block time then.
    pub time: UnixMillis,
    /// Items as they stand once it is committed.
    pub items: Vec<Item>,
    /// Items that it locks until it is decided.
    pub locked: Vec<DataId>,
    /// Amounts that it has taken from what is outstanding.
    pub transfers: Vec<Transfer>,
    /// The policies that were asked.
    pub policy_hash: Hash,
    /// Digest over what they said.
    pub evidence: Hash,
    /// Salts records and messages.
    pub salt: Hash,
}

impl Commit {
    /// What the operation is known by on every ledger: the xid, which its participants know, too.
    #[must_use]
    pub fn global_id(&self) -> GlobalId {
        GlobalId(self.coordinator.xid().0)
    }
}

const COMMITS: Table<Xid, Commit> = Table::new(*b"hX");
const DEADLINES: Table<(UnixMillis, Xid), ()> = Table::new(*b"hd");
/// Undecided ones by link.
const BY_LINK: Table<(LinkId, Xid), ()> = Table::new(*b"hx");
/// Undecided ones by party.
const BY_IDENTITY: Table<(IdentityId, Xid), ()> = Table::new(*b"hj");
/// How many unfinished ones a link has.
const UNFINISHED: Table<LinkId, u64> = Table::new(*b"hr");
/// How many undecided ones a beginner has.
const OPEN_OF: Table<IdentityId, u64> = Table::new(*b"hl");
/// Which commit a message in a data lane is about, until it is answered; by its number and epoch.
const SENT: Table<(LinkId, MessageNumber, u32), Xid> = Table::new(*b"hn");
/// Links that froze and identities that ended, whose undecided commits are being aborted.
const DOOMED_LINKS: Table<LinkId, ()> = Table::new(*b"hz");
const DOOMED_IDENTITIES: Table<IdentityId, ()> = Table::new(*b"hv");

/// A commit that is not forgotten: it is unfinished, or its deadline has not passed.
pub fn commit(view: &dyn View, xid: Xid) -> Option<Commit> {
    COMMITS.get(view, &xid)
}

/// Commits, from `from` on.
pub fn commits(view: &dyn View, from: Xid, limit: usize) -> Vec<(Xid, Commit)> {
    COMMITS.range(view, &from, limit)
}

/// Whether participants behind this link must still be told or heard.
pub(crate) fn has_unfinished(view: &dyn View, link: LinkId) -> bool {
    UNFINISHED.get(view, &link).unwrap_or(0) > 0
}

/// Has the undecided commits of a frozen link aborted, within the budget of the next blocks.
pub(crate) fn doom_link(state: &mut State<'_>, link: LinkId) {
    DOOMED_LINKS.put(state, &link, &());
}

/// Has the undecided commits of an identity that ended aborted. Attack: A48.
pub(crate) fn doom_identity(state: &mut State<'_>, id: IdentityId) {
    DOOMED_IDENTITIES.put(state, &id, &());
}

/// Notes that a message about a commit went over a link.
fn put_sent(state: &mut State<'_>, link: LinkId, number: MessageNumber, xid: Xid) {
    if let Some(lane) = lanes::lane(state, link, DATA_LANE) {
        SENT.put(state, &(link, number, lane.epoch.0), &xid);
    }
}

/// Adds to or takes from a counter that is absent at zero.
fn add<K: tombolo_ledger::Key>(state: &mut State<'_>, table: &Table<K, u64>, key: &K, change: i8) {
    let now = table.get(state, key).unwrap_or(0).saturating_add_signed(i64::from(change));
    if now == 0 {
        table.delete(state, key);
    } else {
        table.put(state, key, &now);
    }
}
