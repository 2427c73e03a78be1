//! Numbers with a meaning. Two `u64` in one signature are one too many.

use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

macro_rules! number {
    ($($(#[$doc:meta])* $name:ident($inner:ty)),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            BorshSerialize, BorshDeserialize,
        )]
        pub struct $name(pub $inner);

        impl $name {
            /// Nothing, or the first.
            pub const ZERO: Self = Self(0);
            /// The largest that can be written.
            pub const MAX: Self = Self(<$inner>::MAX);

            /// The sum, or `None` where it does not fit.
            #[must_use]
            pub fn checked_add(self, more: $inner) -> Option<Self> {
                self.0.checked_add(more).map(Self)
            }

            /// The difference, or `None` where it would be negative.
            #[must_use]
            pub fn checked_sub(self, less: $inner) -> Option<Self> {
                self.0.checked_sub(less).map(Self)
            }

            /// The sum, held at the maximum where it does not fit.
            #[must_use]
            pub fn saturating_add(self, more: $inner) -> Self {
                Self(self.0.saturating_add(more))
            }

            /// The difference, held at zero where it would be negative.
            #[must_use]
            pub fn saturating_sub(self, less: $inner) -> Self {
                Self(self.0.saturating_sub(less))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

number!(
    /// The position of a block in its chain; the first block has height 1, genesis has 0.
    Height(u64),
    /// A voting attempt within one height, from 0.
    Round(u32),
    /// Milliseconds since 1970-01-01T00:00:00Z. In replicated code always a block's time.
    UnixMillis(u64),
    /// How much of an asset, in its smallest unit.
    Amount(u128),
    /// A validator's share of the vote.
    Power(u64),
    /// Which of a link's lanes; lane 0 carries control messages.
    LaneNumber(u32),
    /// The incarnation of a lane, from 1; a recovery council may raise it.
    Epoch(u32),
    /// The position of a message in its lane and epoch, from 0.
    MessageNumber(u64),
    /// Work to be done for a message or transaction; 1 is about one signature check.
    Weight(u64),
);

impl UnixMillis {
    /// The milliseconds from `earlier` to here, or 0 where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Height {
    /// The height after this one; stays at the maximum.
    #[must_use]
    pub fn next(self) -> Self {
        self.saturating_add(1)
    }
}
