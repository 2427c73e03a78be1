//! The daemon's parts against simulated chains.

mod attest;
mod trust;
