//! The adapter against real nodes, with a real hub's state machine on the other side. Where a node
//! is not there, the test says so on the terminal.

mod attacks;
mod begin;
mod clique;
mod consents;
mod council;
mod crashes;
mod faulty;
mod htlc;
mod hub;
mod in_a_row;
mod link;
mod members;
mod pair;
mod silence;
mod suite;
mod swaps;
