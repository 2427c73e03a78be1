//! Two-phase commit with a replicated coordinator.
//!
//! ```text
//!        hub                                   gateway of each participant
//! Begin  → Preparing  ── Prepare ──▶  check, lock, remember  ── Vote(yes | no) ──▶
//!        → Committed | Aborted       (state before it is sent)
//!                     ── Commit | Abort ──▶  apply or release, once  ── Done ──▶
//!        → Finished → forgotten after the deadline
//! ```
//!
//! Prepare does all that can fail. A decision cannot be refused.

mod authorisation;
mod begin;
mod coordinator;
mod pairing;
mod participant;

pub use begin::{Begin, Checked, Limits, check_begin};
pub use coordinator::{
    Ballot, Cause, Coordinator, Counted, Effect, Input, Oddity, Phase, Progress, Seat, Step,
    Verdict,
};
pub use participant::{
    Answered, Applied, Authority, Locks, Own, Participant, Reply, Request, Standing, Strange,
    decide, prepare, release,
};

use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_types::{
    Class,
    message::{Vote, class_of},
};

/// What a participant answers to Prepare.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Answer {
    /// Promises that Commit and Abort will both succeed.
    Yes,
    /// Has locked nothing, for exactly one class.
    No(Class),
}

impl Answer {
    /// The answer that a vote gives.
    ///
    /// A yes that names a class contradicts itself; it counts as a no, because a wrong no costs
    /// a transaction and a wrong yes could split one.
    #[must_use]
    pub fn of(vote: &Vote) -> Self {
        match (vote.yes, vote.class) {
            (true, 0) => Self::Yes,
            (_, class) => Self::No(class_of(class)),
        }
    }
}

/// How a two-phase commit is decided; final.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Outcome {
    /// Every participant applies.
    Commit,
    /// Every participant releases.
    Abort,
}
