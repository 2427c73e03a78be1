//! What a recovery council sets: acts by their numbers, and the subjects that its members sign.
//!
//! A subject is the Keccak-256 of its ABI encoding. That of a new trusted header is an
//! [`Anchor`](crate::header::Anchor).

use crate::{
    Epoch, LaneNumber, abi_struct,
    id::{LinkId, Xid},
    message::numbered,
};

numbered!(
    /// An act of a recovery council.
    ActKind {
        /// Another point of the same hub to trust.
        NewTrustedHeader = 1, "new trusted header";
        /// Other keys of the nodes that serve a link of mode 2 or 3.
        NodeKeys = 2, "node keys";
        /// A lane goes on in its next epoch, both ways.
        ReopenLane = 3, "reopening of a lane";
        /// A lock is freed without a decision.
        ReleaseLock = 4, "release of a lock";
    }
);

abi_struct! {
    /// Subject of act 3.
    pub struct Reopening {
        /// The gateway's own link.
        pub link: LinkId,
        /// Which lane of it.
        pub lane: LaneNumber,
        /// The epoch of what the gateway sends to which the act leads: one above the present.
        pub epoch: Epoch,
        /// The same of what the hub sends.
        pub peer_epoch: Epoch,
        /// How many messages of the epoch that ends the hub holds, from the first on.
        pub received: u64,
    }
}

abi_struct! {
    /// Subject of act 4.
    pub struct Release {
        /// The gateway's own link.
        pub link: LinkId,
        /// What holds the lock.
        pub xid: Xid,
    }
}
