//! Hash-timelock swaps: for chains that cannot lock provably, and parties who want no coordinator.
//!
//! ```text
//!     first party                                         second party
//! locks leg 0 on chain 0 ──────── final there ────────▶  locks leg 1 on chain 1
//!        ◀──────────────── final there ───────────────
//! shows the secret: claims leg 1 ──── anybody reads it ─▶ claims leg 0 with it
//!        each takes its own leg back from its deadline on, whoever else is gone
//! ```
//!
//! **Weaker than two-phase commit**: nobody who follows the protocol, and looks at the chains once
//! within the margin, is worse off; but a party who stays away may lose, so it is not all or
//! nothing.
//!
//! [`Swap::step`] is level-triggered: its event is what all chains say now, and its state holds only
//! what no chain can say. Nothing here knows a kind of chain; what differs stands in a [`Profile`].

mod act;
mod machine;
mod margin;
mod rules;
mod sight;
mod terms;

pub use machine::{
    Alarm, Attempt, Effect, End, Input, Opening, Outcome, Progress, Role, Step, Swap,
};
pub use margin::{
    Clock, Expiry, Margins, Profile, Spending, check_deadlines, check_gaps, earliest, gap_needs_ms,
    latest, lock_needs_ms, reached, reveal_needs_ms, settled_after,
};
pub use rules::{Deed, Next};
pub use sight::{Found, Look, Settled, Sight, Standing};
pub use terms::{LEGS, Lock, Terms};
