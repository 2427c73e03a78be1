//! A lane goes on in its next epoch, both ways, after its logs have parted.
//!
//! The epoch that ends leaves what the other side does not hold of it. Before anything else passes
//! in the new one, those messages are sent again or go back to the machine that sent them, in order
//! and within a budget for each block; until that is done the ledger commits to the epoch that
//! ended. So the first leaf of an epoch holds all that was sent again. The reasons stand in decision
//! record 0014.

use super::{BODIES, Lane, Link, LinkStatus, lane, lanes, link, push, put_lane};
use crate::{
    machine::{Context, Machine, Unheld},
    state::{State, Table},
};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::log::Log;
use tombolo_types::{
    Epoch, Height, LaneNumber, MessageNumber, Refusal, ensure, id::LinkId, lane::Message,
    message::Body, refuse, store::View,
};

/// Messages of ended epochs that are worked off in one block, over all lanes.
pub const RESUMED_PER_BLOCK: u64 = 256;

/// The epoch of a lane that ended last.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Former {
    /// The epoch of what this ledger sent.
    pub epoch: Epoch,
    /// The log of it.
    pub sent: Log,
    /// How many of those messages the other side holds, as was said when the lane was reopened.
    pub held: u64,
    /// The other side's epoch.
    pub peer_epoch: Epoch,
    /// The log of what was taken from it.
    pub received: Log,
    /// The message of `sent` that is looked at next; at its size all is done.
    pub next: u64,
    /// Whether all answers to `sent` have come: all of some head of the other side's next epoch has
    /// been taken, and the other side sends its answers again before it shows one.
    pub answered: bool,
}

/// Lanes that have not sent everything again.
const RESUMING: Table<(LinkId, LaneNumber), ()> = Table::new(*b"kQ");

impl Lane {
    /// The epoch that ended, while something of it is still to be sent again.
    #[must_use]
    pub fn resuming(&self) -> Option<&Former> {
        self.former.as_ref().filter(|former| former.next < former.sent.size())
    }

    /// Whether an answer that comes now may be to a message of an epoch that ended, whose numbers
    /// mean other messages in the present one.
    #[must_use]
    pub fn awaits_former(&self) -> bool {
        self.former.as_ref().is_some_and(|former| !former.answered)
    }

    /// Notes that all of some head of the present epoch has been taken.
    pub(crate) fn hear_all(&mut self) {
        if let Some(former) = &mut self.former {
            former.answered = true;
        }
    }
}

/// Whether a lane can be reopened, into `epoch` of what this ledger sends, where the other side
/// holds its first `received` messages.
///
/// # Errors
/// `E_NOTFOUND`; `E_STATE` unless the link is frozen, `epoch` is the next, all lanes of the link
/// have sent again what the epoch before left, and `received` lies between what is proved to be
/// taken, whose bodies are gone, and what was sent.
pub fn check_reopening(
    view: &dyn View,
    id: LinkId,
    number: LaneNumber,
    epoch: Epoch,
    received: u64,
) -> Result<(Link, Lane), Refusal> {
    let (Some(link), Some(lane)) = (link(view, id), lane(view, id, number)) else {
        refuse!(NotFound, "there is no lane {number} of link {id}");
    };
    ensure!(
        link.status == LinkStatus::Frozen,
        State,
        "link {id} is {:?}; its lanes are reopened only while it is frozen",
        link.status
    );
    if let Some((busy, _)) = lanes(view, id).into_iter().find(|(_, it)| it.resuming().is_some()) {
        refuse!(State, "lane {busy} of link {id} still sends again what its former epoch left");
    }
    ensure!(
        Some(epoch.0) == lane.epoch.0.checked_add(1),
        State,
        "lane {number} of link {id} is in epoch {}; {epoch} is not the next",
        lane.epoch
    );
    ensure!(
        (lane.taken..=lane.sent.size()).contains(&received),
        State,
        "the other side cannot hold {received} messages of lane {number}: {} are proved to be \
         taken there, {} were sent",
        lane.taken,
        lane.sent.size()
    );
    Ok((link, lane))
}

/// Ends the epoch of a lane, both ways, and begins the next. Gives what ended.
///
/// # Errors
/// As [`check_reopening`].
pub fn reopen(
    state: &mut State<'_>,
    id: LinkId,
    number: LaneNumber,
    epoch: Epoch,
    received: u64,
) -> Result<Former, Refusal> {
    let (_, ended) = check_reopening(state, id, number, epoch, received)?;
    let former = Former {
        epoch: ended.epoch,
        sent: ended.sent,
        held: received,
        peer_epoch: ended.peer_epoch,
        received: ended.received,
        // What is below is forgotten already.
        next: ended.taken,
        answered: false,
    };
    let next = Lane {
        epoch,
        sent: Log::default(),
        taken: 0,
        freed: 0,
        mark: None,
        bytes: 0,
        peer_epoch: Epoch(former.peer_epoch.0.saturating_add(1)),
        received: Log::default(),
        proved_height: Height::ZERO,
        proved_size: 0,
        proved_received: 0,
        // What was known by this lane is known still, and as old as it was.
        current_at: ended.current_at,
        position: ended.position,
        former: Some(former.clone()),
    };
    if next.resuming().is_some() {
        RESUMING.put(state, &(id, number), &());
    }
    put_lane(state, id, number, &next);
    Ok(former)
}

/// Works off what ended epochs have left, within the block's budget.
pub(crate) fn resume<M: Machine>(machine: &M, cx: &mut Context<'_, '_>) {
    let mut budget = RESUMED_PER_BLOCK;
    for ((id, number), ()) in RESUMING.all(cx.state, usize::MAX) {
        while budget > 0 && resume_one(machine, cx, id, number) {
            budget = budget.saturating_sub(1);
        }
    }
}

/// Works off the next message of a lane's former epoch; false where none is left.
fn resume_one<M: Machine>(
    machine: &M,
    cx: &mut Context<'_, '_>,
    id: LinkId,
    number: LaneNumber,
) -> bool {
    let mut found = lane(cx.state, id, number);
    let former = found.as_mut().and_then(|lane| lane.former.as_mut());
    let Some(former) = former.filter(|former| former.next < former.sent.size()) else {
        RESUMING.delete(cx.state, &(id, number));
        return false;
    };
    let position = former.next;
    former.next = position.saturating_add(1);
    let (epoch, is_held) = (former.epoch, position < former.held);
    let key = (id, number, epoch.0, position);
    let encoded = BODIES.get(cx.state, &key);
    BODIES.delete(cx.state, &key);
    let Some(lane) = found else { return false };
    put_lane(cx.state, id, number, &lane);
    let unheld = encoded.filter(|_| !is_held).and_then(|encoded| Some((read(&encoded)?, encoded)));
    let Some(((message, body), encoded)) = unheld else { return true };
    let again = goes_again(&body).then(|| push(cx.state, M::DIRECTION, id, number, lane, &encoded));
    let unheld = Unheld {
        link: id,
        lane: number,
        epoch,
        number: MessageNumber(position),
        salt: message.salt,
        again,
    };
    machine.reopened(cx, &unheld, body);
    true
}

/// A message of one's own; whatever was appended can be read.
fn read(encoded: &[u8]) -> Option<(Message, Body)> {
    let message = Message::decode(encoded).ok()?;
    let body = Body::decode(message.kind, &message.body).ok()??;
    Some((message, body))
}

/// Whether a message that the other side does not hold is sent again in the next epoch. What is not
/// goes back to its sender as refused, or is told anew by it.
fn goes_again(body: &Body) -> bool {
    match body {
        // Answers and decisions are promised.
        Body::Refused(_) | Body::Vote(_) | Body::Done(_) | Body::Commit(_) | Body::Abort(_) => true,
        // They say what stands, and ask for nothing.
        Body::Hello(_) | Body::CouncilAct(_) => true,
        Body::Share(_) | Body::Prepare(_) | Body::Begin(_) => false,
        Body::IdentityUpdate(_) | Body::SchemaUpdate(_) => false,
    }
}
