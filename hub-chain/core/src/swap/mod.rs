//! Orders of hash-timelock swaps: what parties agreed on, and what they say became of it.
//! Spec: design, section 7; ADR 0012
//!
//! The hub never holds the funds and decides nothing once an order is accepted: each party ends its
//! swap with the hub gone. It refuses orders whose deadlines could not protect both parties, binds
//! them to one text, and mirrors their reports for audit. A report is what a party says, and each
//! record says so; only a secret that hashes to the order's hash proves itself.
//!
//! Weaker than [`commit`](crate::commit): nobody who follows the protocol is worse off, but one side
//! may be applied and the other not.

mod declare;
mod order;
mod report;

pub use declare::{ChainDeclaration, Declared};
pub(crate) use declare::{check_form, declare};
pub(crate) use order::{accept, begin_block, offer, withdraw};
pub(crate) use report::report;
pub use report::{Happened, Reported, SwapReport};

use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::digest;
use tombolo_ledger::{Context, Parameters, Table};
use tombolo_swap::{
    htlc::{Clock, Margins},
    protocol::{self, Protocol},
};
use tombolo_types::{
    Hash, Height, Refusal, UnixMillis,
    id::{ChainId, IdentityId, OrderId, SecretHash},
    record::Record,
    refuse,
    store::View,
    swap::{Order, Secret},
};

/// What a transaction may ask about swaps.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SwapCall {
    /// Offers an order; by its first party.
    Offer(Order),
    /// Accepts one; by each of the others.
    Accept {
        /// Which: the id covers every word of it.
        order: OrderId,
    },
    /// Takes an offer back; by its first party, until all have accepted.
    Withdraw {
        /// Which.
        order: OrderId,
    },
    /// Says what became of a leg; by a party, or by anybody who brings the secret.
    Report(SwapReport),
}

impl SwapCall {
    /// The operation as records name it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Offer(_) => "swap offer",
            Self::Accept { .. } => "swap accept",
            Self::Withdraw { .. } => "swap withdraw",
            Self::Report(_) => "swap report",
        }
    }

    /// What the call costs besides its envelope; what happens to an order by itself is paid for by
    /// its offer.
    #[must_use]
    pub fn weight(&self) -> u64 {
        match self {
            Self::Offer(_) => 4,
            Self::Accept { .. } | Self::Withdraw { .. } | Self::Report(_) => 1,
        }
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum OrderStatus {
    /// Not all have accepted.
    Offered,
    /// All have; the legs may be locked.
    Accepted,
    /// Taken back by its first party.
    Withdrawn,
    /// Not accepted by all within the window.
    Expired,
    /// The parties say the same of how every leg ended.
    Settled,
    /// Every deadline is over and the parties have not said the same.
    Lapsed,
}

impl OrderStatus {
    /// As people see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Settled => "settled",
            Self::Lapsed => "lapsed",
        }
    }

    /// Whether it counts against what its parties may have open.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Offered | Self::Accepted)
    }
}

/// An order as the hub keeps it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeptOrder {
    /// Its id.
    pub id: OrderId,
    /// What is agreed.
    pub order: Order,
    /// Where it stands.
    pub status: OrderStatus,
    /// Who has accepted, in order; the first party has by offering.
    pub accepted_by: Vec<IdentityId>,
    /// When it was offered.
    pub height: Height,
    /// Block time then.
    pub time: UnixMillis,
    /// When every deadline is over, and news of it has come, at the latest.
    pub lapses_at: UnixMillis,
    /// What parties said, in order of coming; the newest of each party and leg.
    pub reports: Vec<Reported>,
    /// The secret, once anybody has shown it here.
    pub secret: Option<Secret>,
    /// Salts records that no transaction causes.
    salt: Hash,
}

const ORDERS: Table<OrderId, KeptOrder> = Table::new(*b"h1");
/// Which order took a hash; a hash is taken once while it is remembered.
const HASHES: Table<SecretHash, OrderId> = Table::new(*b"h2");
/// When something happens to an order by itself: it expires, lapses, or is forgotten.
const DUE: Table<(UnixMillis, OrderId), ()> = Table::new(*b"h3");
/// How many open orders a party has (attack A34).
const OPEN_OF: Table<IdentityId, u64> = Table::new(*b"h4");

/// An order that is not forgotten.
pub fn order(view: &dyn View, id: OrderId) -> Option<KeptOrder> {
    ORDERS.get(view, &id)
}

/// The order that took a hash.
pub fn order_of_hash(view: &dyn View, hash: SecretHash) -> Option<KeptOrder> {
    HASHES.get(view, &hash).and_then(|id| order(view, id))
}

/// Orders that are not forgotten, from `from` on.
pub fn orders(view: &dyn View, from: OrderId, limit: usize) -> Vec<KeptOrder> {
    ORDERS.range(view, &from, limit).into_iter().map(|(_, order)| order).collect()
}

/// How many open orders a party has.
pub fn open_of(view: &dyn View, party: IdentityId) -> u64 {
    OPEN_OF.get(view, &party).unwrap_or(0)
}

/// What a chain declares, by quorum.
pub fn declared(view: &dyn View, chain: ChainId) -> Option<Declared> {
    declare::declared(view, chain)
}

/// All chains that declare something, from `from` on.
pub fn all_declared(view: &dyn View, from: ChainId, limit: usize) -> Vec<Declared> {
    declare::all(view, from, limit)
}

/// Where a chain's clock stood in the newest header that the hub has accepted; `None` for a chain
/// that it does not follow.
pub fn clock_of(view: &dyn View, chain: ChainId) -> Option<Clock> {
    let link = crate::link::current(view, chain)?;
    Some(Clock { height: link.peer_height, time: link.peer_time })
}

/// What lies between two chains, as this hub has agreed.
#[must_use]
pub fn margins(parameters: &Parameters) -> Margins {
    Margins { relay_ms: parameters.relay_margin_ms, outage_ms: parameters.swap_outage_ms }
}

/// The strongest protocol in which all these chains can take part, by what they declare.
///
/// # Errors
/// `E_NOTFOUND` for a chain that declares nothing; `E_UNSUPPORTED` where there is no such protocol.
///
/// Req: PRJ-5-4
pub fn protocol_of(view: &dyn View, chains: &[ChainId]) -> Result<Protocol, Refusal> {
    let found = chains
        .iter()
        .map(|chain| match declare::declared(view, *chain) {
            Some(found) => Ok((*chain, found.declaration.locking)),
            None => {
                refuse!(NotFound, "chain {chain} declares nothing here; have a quorum declare it")
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    protocol::choose(found.iter().map(|(chain, can)| (*chain, can)))
}

/// Carries out a call.
pub(crate) fn call(cx: &mut Context<'_, '_>, call: SwapCall) -> Result<(), Refusal> {
    cx.record.protocol = Protocol::HashTimelock.name().into();
    match call {
        SwapCall::Offer(order) => offer(cx, order),
        SwapCall::Accept { order } => accept(cx, order),
        SwapCall::Withdraw { order } => withdraw(cx, order),
        SwapCall::Report(said) => report(cx, &said),
    }
}

/// The order that a call is about; names it in the record.
fn known(cx: &mut Context<'_, '_>, id: OrderId) -> Result<KeptOrder, Refusal> {
    let Some(found) = ORDERS.get(cx.state, &id) else {
        refuse!(NotFound, "there is no order {id}, or it is forgotten");
    };
    name(&mut cx.record, &found.order);
    Ok(found)
}

/// Names an order in a record.
fn name(record: &mut Record, order: &Order) {
    record.global_id = digest::swap(order.hash);
    for party in &order.parties {
        if !record.parties.contains(party) {
            record.parties.push(*party);
        }
    }
    if let (Some(first), Some(last)) = (order.legs.first(), order.legs.last()) {
        record.source_chain = first.chain;
        record.destination_chain = last.chain;
    }
}
