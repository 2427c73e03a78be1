//! Links and lanes as state: what was sent, what was taken, what may still be sent.

mod reopening;

pub(crate) use reopening::resume;
pub use reopening::{Former, RESUMED_PER_BLOCK, check_reopening, reopen};

use crate::{
    parameters::Parameters,
    state::{Cell, State, Table},
};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::{
    digest,
    log::{Log, Nodes, append_tiles, root_at, root_of},
};
use tombolo_types::{
    Epoch, Hash, Height, LaneNumber, MessageNumber, Refusal, UnixMillis, Weight, ensure,
    id::{BlockId, ChainId, LinkId},
    lane::{CONTROL_LANE, DATA_LANE, Direction, LaneLeaf, MESSAGE_BYTES_MAX, Message},
    message::Body,
    record::Record,
    refuse,
    store::View,
    verifier::VerifiedHead,
};

/// Where a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum LinkStatus {
    /// Registered; takes nothing but Hello.
    Proposed,
    /// Takes and sends everything.
    Open,
    /// Takes no new request from the other chain and sends none of its own; decisions pass.
    Paused {
        /// Block time at which the pause ends by itself.
        until: UnixMillis,
    },
    /// A contradiction was proved; takes nothing.
    Frozen,
    /// Ended.
    Closed,
}

/// The relation to one other ledger.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// The other ledger.
    pub chain: ChainId,
    /// The deployment mode, 1 to 3.
    pub mode: u8,
    /// Where it stands.
    pub status: LinkStatus,
    /// Which verifier believes the other ledger's heads.
    pub verifier: String,
    /// That verifier's client of the other ledger.
    pub client: Vec<u8>,
    /// Newest accepted header of the other ledger: its height.
    pub peer_height: Height,
    /// Newest accepted header of the other ledger: its block.
    pub peer_id: BlockId,
    /// Newest accepted header of the other ledger: its time.
    pub peer_time: UnixMillis,
    /// The trust epoch that this ledger commits to; raised by its own council.
    pub trust_epoch: u32,
    /// The other ledger's trust epoch that this ledger has approved.
    pub peer_trust_epoch: u32,
    /// The heaviest message that the other side takes.
    pub peer_weight_max: Weight,
    /// The other side's Hello has been taken.
    pub greeted: bool,
    /// Hash of the policy that both sides signed; zero where there is none.
    pub policy_hash: Hash,
    /// The other ledger is believed by one trusted node's word alone.
    pub unbounded: bool,
}

impl Link {
    /// Names the link in a record, with what is agreed over it and how far it is believed.
    pub fn name_in(&self, record: &mut Record) {
        record.link = self.id;
        record.mode = self.mode;
        record.link_policy = self.policy_hash;
        record.unbounded = self.unbounded;
    }

    /// Whether anything is taken from the other side, be it only Hello.
    #[must_use]
    pub fn takes(&self) -> bool {
        !matches!(self.status, LinkStatus::Frozen | LinkStatus::Closed)
    }
}

/// One lane of a link: both directions of one lane number, as one ledger sees them.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Lane {
    /// The epoch of what this ledger sends.
    pub epoch: Epoch,
    /// The log of what this ledger sent in the epoch.
    pub sent: Log,
    /// How many of those the other side has taken.
    pub taken: u64,
    /// How many of those oblige nothing any more: the other side's answers have come too.
    pub freed: u64,
    /// Once the other side's log up to `size` has come, `received` of ours oblige nothing more.
    pub mark: Option<Mark>,
    /// Bytes of the bodies that are kept.
    pub bytes: u64,
    /// The other side's epoch.
    pub peer_epoch: Epoch,
    /// The log of what was taken from the other side in that epoch.
    pub received: Log,
    /// Height of the header that last proved something of this lane.
    pub proved_height: Height,
    /// The other side's size there.
    pub proved_size: u64,
    /// The other side's `received` there.
    pub proved_received: u64,
    /// Time of the newest header of the other side under which all of this lane has been taken.
    pub current_at: UnixMillis,
    /// The position of this lane's leaf among all leaves.
    pub position: u64,
    /// The epoch that ended before this one; `None` in the first.
    pub former: Option<Former>,
}

/// See [`Lane::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Mark {
    /// The other side's size when it had taken `received`.
    pub size: u64,
    /// What it had taken then.
    pub received: u64,
}

const LINKS: Table<LinkId, Link> = Table::new(*b"kK");
const LANES: Table<(LinkId, LaneNumber), Lane> = Table::new(*b"kN");
const BODIES: Table<(LinkId, LaneNumber, u32, u64), Vec<u8>> = Table::new(*b"kB");
const TILES: Table<(LinkId, LaneNumber, u32, u32, u64), Vec<Hash>> = Table::new(*b"kM");
/// The lane at each position of the lanes tree, in order of opening, with its leaf's hash.
const LEAVES: Table<u64, (LinkId, LaneNumber, Hash)> = Table::new(*b"kF");
const LANES_ROOT: Cell<(u64, Hash)> = Cell::new(*b"kO");
/// Lanes whose leaf changed in this block.
const CHANGED: Table<(LinkId, LaneNumber), ()> = Table::new(*b"kC");
/// The most lanes of all links together; bounds the work at the end of each block.
pub const LANES_MAX: u64 = 4_096;

/// A link.
pub fn link(view: &dyn View, id: LinkId) -> Option<Link> {
    LINKS.get(view, &id)
}

/// All links, ascending by id.
pub fn links(view: &dyn View) -> Vec<Link> {
    LINKS.all(view, usize::MAX).into_iter().map(|(_, link)| link).collect()
}

/// Keeps a link; the leaves of its lanes change with it.
pub fn put_link(state: &mut State<'_>, link: &Link) {
    LINKS.put(state, &link.id, link);
    for (key, _) in LANES.under(state, &link.id, usize::MAX) {
        CHANGED.put(state, &key, &());
    }
}

/// Keeps a link whose client was recovered at `anchor`; one that was frozen becomes `thawed`.
///
/// A thawed link forgets under which heights its lanes were proved: a false head may have been
/// among them, and the anchor may stand below it, so that the first true head would contradict it
/// and freeze the link again. What was taken and acknowledged stays, and every head must still
/// suit that.
pub fn recover_link(
    state: &mut State<'_>,
    link: &mut Link,
    anchor: VerifiedHead,
    thawed: LinkStatus,
) {
    link.client = anchor.client;
    link.peer_height = anchor.height;
    link.peer_id = anchor.block_id;
    link.peer_time = anchor.time;
    if link.status == LinkStatus::Frozen {
        link.status = thawed;
        for (number, mut lane) in lanes(state, link.id) {
            lane.proved_height = Height::ZERO;
            lane.proved_size = 0;
            lane.proved_received = 0;
            put_lane(state, link.id, number, &lane);
        }
    }
    put_link(state, link);
}

/// A lane.
pub fn lane(view: &dyn View, link: LinkId, number: LaneNumber) -> Option<Lane> {
    LANES.get(view, &(link, number))
}

/// All lanes of a link.
pub fn lanes(view: &dyn View, link: LinkId) -> Vec<(LaneNumber, Lane)> {
    LANES
        .under(view, &link, usize::MAX)
        .into_iter()
        .map(|((_, number), lane)| (number, lane))
        .collect()
}

pub(crate) fn put_lane(state: &mut State<'_>, link: LinkId, number: LaneNumber, lane: &Lane) {
    LANES.put(state, &(link, number), lane);
    CHANGED.put(state, &(link, number), &());
}

/// Registers a link with its control and data lanes.
///
/// # Errors
/// `E_STATE` where the link exists, `E_LIMIT` where there are too many lanes.
pub fn open_link(state: &mut State<'_>, link: &Link) -> Result<(), Refusal> {
    ensure!(LINKS.get(state, &link.id).is_none(), State, "link {} exists", link.id);
    LINKS.put(state, &link.id, link);
    for number in [CONTROL_LANE, DATA_LANE] {
        let (position, _) = LANES_ROOT.get(state).unwrap_or_default();
        ensure!(position < LANES_MAX, Limit, "this ledger holds its {LANES_MAX} lanes");
        let lane = Lane {
            epoch: Epoch(1),
            sent: Log::default(),
            taken: 0,
            freed: 0,
            mark: None,
            bytes: 0,
            peer_epoch: Epoch(1),
            received: Log::default(),
            proved_height: Height::ZERO,
            proved_size: 0,
            proved_received: 0,
            current_at: UnixMillis::ZERO,
            position,
            former: None,
        };
        LEAVES.put(state, &position, &(link.id, number, Hash::ZERO));
        LANES_ROOT.put(state, &(position.saturating_add(1), Hash::ZERO));
        put_lane(state, link.id, number, &lane);
    }
    Ok(())
}

/// What this ledger commits to for a lane: the epoch that ended, until everything is sent again.
#[must_use]
pub fn leaf(link: &Link, number: LaneNumber, lane: &Lane, direction: Direction) -> LaneLeaf {
    let (epoch, sent, peer_epoch, received) = match lane.resuming() {
        Some(former) => (former.epoch, &former.sent, former.peer_epoch, &former.received),
        None => (lane.epoch, &lane.sent, lane.peer_epoch, &lane.received),
    };
    LaneLeaf {
        link: link.id,
        direction: direction as u8,
        lane: number,
        epoch,
        size: sent.size(),
        root: sent.root(),
        peer_epoch,
        received: received.size(),
        received_root: received.root(),
        peer_height: link.peer_height,
        peer_id: link.peer_id,
        trust_epoch: link.trust_epoch,
    }
}

/// Whether a message may be refused for want of room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// A new request: refused where the lane is full.
    Ask,
    /// An answer or a decision: its room was reserved by the request that led to it.
    Reserved,
}

/// Appends a message to a lane and gives its number.
///
/// # Errors
/// `E_NOTFOUND` where there is no such lane. For [`Room::Ask`] only: `E_LIMIT` where the lane is
/// full, the message too large, or heavier than the other side takes; `E_STATE` while the lane
/// sends again what its former epoch left.
#[allow(clippy::too_many_arguments)]
pub fn append(
    state: &mut State<'_>,
    direction: Direction,
    id: LinkId,
    number: LaneNumber,
    body: &Body,
    not_after: UnixMillis,
    salt: Hash,
    room: Room,
) -> Result<MessageNumber, Refusal> {
    let (Some(link), Some(lane)) = (link(state, id), lane(state, id, number)) else {
        refuse!(NotFound, "there is no lane {number} of link {id}");
    };
    let encoded = Message::new(body, not_after, salt).encode();
    if room == Room::Ask {
        let parameters = Parameters::of(state);
        ensure!(
            encoded.len() <= MESSAGE_BYTES_MAX,
            Limit,
            "a {} of {} bytes is above the {MESSAGE_BYTES_MAX} bytes of a lane message",
            body.name(),
            encoded.len()
        );
        ensure!(
            body.weight() <= link.peer_weight_max,
            Limit,
            "a {} weighs {}, link {id} takes {}",
            body.name(),
            body.weight(),
            link.peer_weight_max
        );
        ensure!(
            lane.sent.size().saturating_sub(lane.freed) < parameters.lane_backlog_max
                && lane.bytes < parameters.lane_backlog_bytes_max,
            Limit,
            "lane {number} of link {id} holds {} unfinished messages of {} bytes; wait until the other side has taken some",
            lane.sent.size().saturating_sub(lane.freed),
            lane.bytes
        );
        ensure!(
            lane.resuming().is_none(),
            State,
            "lane {number} of link {id} sends again what its former epoch left; ask a little later"
        );
    }
    Ok(push(state, direction, id, number, lane, &encoded))
}

/// Appends an encoded message, whatever stands in the way of new ones, and gives its number.
fn push(
    state: &mut State<'_>,
    direction: Direction,
    id: LinkId,
    number: LaneNumber,
    mut lane: Lane,
    encoded: &[u8],
) -> MessageNumber {
    let position = lane.sent.size();
    let leaf =
        digest::message_leaf(id, direction, number, lane.epoch, MessageNumber(position), encoded);
    let nodes = LaneNodes { view: &*state, link: id, lane: number, epoch: lane.epoch };
    for (level, index, tile) in append_tiles(&nodes, position, leaf) {
        TILES.put(state, &(id, number, lane.epoch.0, level, index), &tile);
    }
    BODIES.put(state, &(id, number, lane.epoch.0, position), &encoded.to_vec());
    lane.sent.append(leaf);
    lane.bytes = lane.bytes.saturating_add(length(encoded));
    put_lane(state, id, number, &lane);
    MessageNumber(position)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Bodies that are kept of what was sent, from `from` on.
pub fn bodies(
    view: &dyn View,
    link: LinkId,
    lane: LaneNumber,
    epoch: Epoch,
    from: MessageNumber,
    limit: usize,
) -> Vec<Vec<u8>> {
    BODIES
        .under_from(view, &(link, lane), &(link, lane, epoch.0, from.0), limit)
        .into_iter()
        .filter(|((_, _, found, _), _)| *found == epoch.0)
        .map(|(_, body)| body)
        .collect()
}

/// Forgets the bodies of messages `from .. to`.
pub(crate) fn forget_bodies(
    state: &mut State<'_>,
    link: LinkId,
    number: LaneNumber,
    lane: &mut Lane,
    from: u64,
    to: u64,
) {
    for position in from..to {
        let key = (link, number, lane.epoch.0, position);
        if let Some(body) = BODIES.get(state, &key) {
            lane.bytes = lane.bytes.saturating_sub(length(&body));
            BODIES.delete(state, &key);
        }
    }
}

/// The nodes of one lane's log in one epoch, for proofs.
pub struct LaneNodes<'v> {
    /// Where they are kept.
    pub view: &'v dyn View,
    /// The link.
    pub link: LinkId,
    /// The lane.
    pub lane: LaneNumber,
    /// The epoch.
    pub epoch: Epoch,
}

impl Nodes for LaneNodes<'_> {
    fn tile(&self, level: u32, index: u64) -> Option<Vec<Hash>> {
        TILES.get(self.view, &(self.link, self.lane, self.epoch.0, level, index))
    }
}

/// The root of the first `size` messages that this ledger sent in the lane's epoch.
pub(crate) fn sent_root_at(
    view: &dyn View,
    link: LinkId,
    number: LaneNumber,
    lane: &Lane,
    size: u64,
) -> Option<Hash> {
    if size == lane.sent.size() {
        return Some(lane.sent.root());
    }
    root_at(&LaneNodes { view, link, lane: number, epoch: lane.epoch }, size)
}

/// Brings the lanes tree up to date with what changed, and gives its root.
pub(crate) fn close_block(state: &mut State<'_>, direction: Direction) -> Hash {
    let (count, root) = LANES_ROOT.get(state).unwrap_or_default();
    let changed = CHANGED.all(state, usize::MAX);
    if changed.is_empty() {
        return if count == 0 { root_of(&[]) } else { root };
    }
    for ((id, number), ()) in changed {
        CHANGED.delete(state, &(id, number));
        if let (Some(link), Some(lane)) = (link(state, id), lane(state, id, number)) {
            let hash = digest::lane_leaf(&leaf(&link, number, &lane, direction));
            LEAVES.put(state, &lane.position, &(id, number, hash));
        }
    }
    let root = root_of(&leaf_hashes(state));
    LANES_ROOT.put(state, &(count, root));
    root
}

/// The hashes of all lane leaves, in order of opening.
pub fn leaf_hashes(view: &dyn View) -> Vec<Hash> {
    LEAVES.all(view, usize::MAX).into_iter().map(|(_, (_, _, hash))| hash).collect()
}
