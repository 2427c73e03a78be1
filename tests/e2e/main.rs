//! End to end: the real command, real processes on loopback, nothing simulated.

mod audit;
mod commands;
mod demo;
mod devnet;
mod run;
