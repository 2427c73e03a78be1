//! Who may sign transactions here: keys, roles, standing, nonces and rate.

use crate::{
    parameters::Parameters,
    state::{State, Table},
};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_types::{
    Address, UnixMillis,
    id::IdentityId,
    message::{Role, Status},
    store::View,
};

/// An identity as this ledger sees it now.
///
/// The hub's own identities; on a gateway, what genesis named and what the control lane brought.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Principal {
    /// The identity.
    pub identity: IdentityId,
    /// A set of [`Role`] bits.
    pub roles: u16,
    /// Its standing.
    pub status: Status,
    /// For a device, its owner; else zero.
    pub owner: IdentityId,
    /// The keys that sign for it now.
    pub keys: Vec<Address>,
    /// Its account on this ledger; zero where none is bound.
    pub account: Address,
}

/// The most keys that one identity has at a time.
pub const KEYS_MAX: usize = 8;

const PRINCIPALS: Table<IdentityId, Principal> = Table::new(*b"kI");
const USE: Table<IdentityId, Use> = Table::new(*b"kU");

/// What an identity has used up.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Use {
    /// The next nonce of each nonce lane that was ever used, by lane.
    pub nonces: Vec<u64>,
    /// Weight spent and not yet regained, in thousandths.
    spent_milli: u64,
    /// When that was so.
    at: UnixMillis,
}

impl Principal {
    /// The identity's standing here, where it is known.
    pub fn of(view: &dyn View, identity: IdentityId) -> Option<Self> {
        PRINCIPALS.get(view, &identity)
    }

    /// Keeps this as the identity's standing.
    pub fn put(&self, state: &mut State<'_>) {
        PRINCIPALS.put(state, &self.identity, self);
    }

    /// At most `limit` identities, from `from` on.
    pub fn list(view: &dyn View, from: IdentityId, limit: usize) -> Vec<Self> {
        PRINCIPALS.range(view, &from, limit).into_iter().map(|(_, principal)| principal).collect()
    }

    /// Whether it is active.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// Whether it has the role.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        role.is_in(self.roles)
    }
}

impl Use {
    /// What the identity has used up.
    pub fn of(view: &dyn View, identity: IdentityId) -> Self {
        USE.get(view, &identity).unwrap_or_default()
    }

    /// Keeps it.
    pub fn put(&self, state: &mut State<'_>, identity: IdentityId) {
        USE.put(state, &identity, self);
    }

    /// The next nonce of a lane.
    #[must_use]
    pub fn nonce(&self, lane: u8) -> u64 {
        self.nonces.get(usize::from(lane)).copied().unwrap_or(0)
    }

    /// Uses the nonce up.
    pub fn use_nonce(&mut self, lane: u8) {
        let position = usize::from(lane);
        if self.nonces.len() <= position {
            self.nonces.resize(position.saturating_add(1), 0);
        }
        if let Some(nonce) = self.nonces.get_mut(position) {
            *nonce = nonce.saturating_add(1);
        }
    }

    /// Spends `weight` at `now`; false, and nothing spent, where the rate does not allow it.
    ///
    /// Regained weight is rounded down to thousandths.
    pub fn spend(&mut self, weight: u64, now: UnixMillis, parameters: &Parameters) -> bool {
        let regained = now.since(self.at).saturating_mul(parameters.rate_per_second);
        let spent =
            self.spent_milli.saturating_sub(regained).saturating_add(weight.saturating_mul(1_000));
        if spent > parameters.rate_burst.saturating_mul(1_000) {
            return false;
        }
        self.spent_milli = spent;
        self.at = now;
        true
    }
}
