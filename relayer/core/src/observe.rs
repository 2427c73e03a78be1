//! What the two ends of a link say of themselves.

use std::collections::BTreeMap;
use tombolo_types::{
    Epoch, Hash, Height, LaneNumber, UnixMillis,
    id::{ChainId, LinkId},
    verifier::ClientStatus,
};

/// One of the two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The hub.
    Hub,
    /// The linked chain.
    Chain,
}

impl End {
    /// The end opposite.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Hub => Self::Chain,
            Self::Chain => Self::Hub,
        }
    }

    /// Its name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Chain => "chain",
        }
    }
}

/// What one end says of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneSight {
    /// The epoch in which it sends.
    pub epoch: Epoch,
    /// How many messages it has sent in it.
    pub size: u64,
    /// How many of them it knows to be taken.
    pub taken: u64,
    /// The epoch in which it receives.
    pub peer_epoch: Epoch,
    /// How many messages it has taken in that.
    pub received: u64,
    /// Time of the newest block of the other end up to which it has taken everything.
    pub current_at: UnixMillis,
}

/// What one end says of its client of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSight {
    /// The newest height it accepted.
    pub height: Height,
    /// That header's time.
    pub time: UnixMillis,
    /// Where it stands.
    pub status: ClientStatus,
    /// For how long it trusts a header, in milliseconds.
    pub trusting_period_ms: u64,
    /// The root of the validator set that it holds.
    pub validators_root: Hash,
}

/// Whether an end of a link takes what is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Takes Hello alone.
    Proposed,
    /// Takes everything.
    Open,
    /// Takes no new request; decisions and answers pass.
    Paused,
    /// Takes nothing.
    Shut,
}

/// One end of a link at one of its final blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndSight {
    /// Which ledger it is.
    pub chain: ChainId,
    /// The block at which it was seen.
    pub height: Height,
    /// That block's time.
    pub time: UnixMillis,
    /// The root of the validator set that certifies that block.
    pub validators_root: Hash,
    /// Whether it takes what is brought.
    pub standing: Standing,
    /// Its client of the other end.
    pub client: ClientSight,
    /// Its lanes.
    pub lanes: BTreeMap<LaneNumber, LaneSight>,
}

/// Both ends of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSight {
    /// The link.
    pub link: LinkId,
    /// The hub's end.
    pub hub: EndSight,
    /// The linked chain's end.
    pub chain: EndSight,
}

impl LinkSight {
    /// One of the ends.
    #[must_use]
    pub fn end(&self, end: End) -> &EndSight {
        match end {
            End::Hub => &self.hub,
            End::Chain => &self.chain,
        }
    }

    /// Messages that wait at `from` for the other end, over all lanes.
    #[must_use]
    pub fn backlog(&self, from: End) -> u64 {
        let (source, destination) = (self.end(from), self.end(from.other()));
        source.lanes.iter().fold(0u64, |sum, (number, lane)| {
            let received = destination.lanes.get(number).map_or(0, |lane| lane.received);
            sum.saturating_add(lane.size.saturating_sub(received))
        })
    }
}
