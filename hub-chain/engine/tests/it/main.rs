//! The engine over a toy ledger.

#![allow(unreachable_pub)]

mod consensus;
mod killed;
mod network;
mod sequencer;
mod toy;
