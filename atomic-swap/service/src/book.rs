//! The hub's orders, as a party reads them and reports to them.

use async_trait::async_trait;
use std::fmt;
use tombolo_adapter::AdapterError;
use tombolo_swap::htlc::{Input, Margins, Opening, Profile, Role, Swap, Terms};
use tombolo_types::{
    Refusal, UnixMillis,
    id::{IdentityId, OrderId, TxId},
    swap::{Order, Secret},
};

/// What a party says became of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is locked.
    Locked,
    /// Its recipient has it.
    Claimed,
    /// Its locker has it again.
    Refunded,
    /// It was never locked, and cannot be any more.
    Never,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Locked => "locked",
            Self::Claimed => "claimed",
            Self::Refunded => "refunded",
            Self::Never => "never locked",
        })
    }
}

/// An order as the hub keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: OrderId,
    /// What is agreed.
    pub order: Order,
    /// `offered`, `accepted` and so on.
    pub status: String,
    /// All parties have accepted it, now or before it was closed.
    pub accepted: bool,
    /// It is closed: nothing is expected any more.
    pub closed: bool,
    /// What the chain of each leg declares.
    pub profiles: Vec<Profile>,
    /// What lies between them.
    pub margins: Margins,
    /// The secret, once anybody has shown it to the hub.
    pub secret: Option<Secret>,
    /// What was reported: by whom, of which leg, what.
    pub reports: Vec<(IdentityId, u32, Said)>,
}

impl Entry {
    /// The machine of somebody with this role, at its beginning.
    ///
    /// # Errors
    /// As [`Terms::read`] and [`Swap::open`]; `E_NOTFOUND` where a leg's chain declares nothing any
    /// more.
    pub fn open(&self, role: Role, secret: Option<Secret>) -> Result<Swap, Refusal> {
        let terms = Terms::read(self.order.clone())?;
        let (profiles, margins) = (self.profiles.clone(), self.margins);
        let swap = Swap::open(Opening { terms, role, secret, profiles, margins })?;
        Ok(if self.accepted { swap.step(UnixMillis::ZERO, Input::Accepted).state } else { swap })
    }
}

/// The hub, for swaps. What it says is checked where it matters, and nothing waits for it once an
/// order is accepted.
#[async_trait]
pub trait OrderBook: Send + Sync {
    /// An order; `None` where the hub knows none, or has forgotten it.
    ///
    /// # Errors
    /// As the hub gives them.
    async fn order(&self, id: OrderId) -> Result<Option<Entry>, AdapterError>;

    /// Orders that are accepted and not closed.
    ///
    /// # Errors
    /// As the hub gives them.
    async fn accepted(&self) -> Result<Vec<Entry>, AdapterError>;

    /// Reports what became of a leg.
    ///
    /// # Errors
    /// As the hub gives them; `E_REPLAY` where the same was said.
    async fn report(
        &self,
        order: OrderId,
        leg: u32,
        said: Said,
        secret: Option<Secret>,
        transaction: TxId,
    ) -> Result<(), AdapterError>;
}
