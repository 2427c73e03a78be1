//! A simulated chain. **It is a fake**: one process plays all its validators, time is a counter,
//! and nothing is kept on any disk.
//!
//! What it is not is a reimplementation. Blocks are executed by `tombolo-ledger`, headers are
//! certified and lanes proved by the rules of `tombolo-crypto`, and its adapter passes the suite
//! that every other adapter passes. The real light client accepts what it honestly says and
//! refuses its lies. So a relayer cannot tell it from the real thing, except by its kind, `sim`.
//!
//! Adjustable are finality, forks below it ([`SimChain::reorganise`]), the pace of blocks, silence
//! and delay ([`Network`]), and lies, named for what they do ([`Lie`]). One seed repeats it all:
//! the same seed and the same calls in the same order give the same block ids.
//!
//! Deliberately absent: rounds of voting, a network between validators (the engine's own tests
//! have these), and a chain that breaks its rules of execution.
//!
//! Req: PRJ-14-2

mod adapter;
mod chain;
mod fork;
mod lie;
mod pair;
mod plain;
mod prove;
mod random;

pub use adapter::{Network, SimAdapter};
pub use chain::{CHECKPOINT_EVERY, Pace, Settings, SimChain};
pub use fork::Dropped;
pub use lie::{Equivocation, Lie};
pub use pair::{Pair, open_pair};
pub use plain::{Plain, PlainCall, PlainChain, PlainHub, genesis};
