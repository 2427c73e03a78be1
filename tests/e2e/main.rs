//! End to end: the real command, real processes on loopback, nothing simulated.

mod audit;
mod bench;
mod collector;
mod commands;
mod conformance;
mod demo;
mod devnet;
mod evm;
mod evm_nodes;
mod evm_pair;
mod evm_private;
mod evm_resume;
mod evm_trusted;
mod evm_tutorial;
mod hostile;
mod network;
mod node;
mod party;
mod relayers;
mod run;
mod sockets;
mod strangers;
mod swaps;
mod swaps_evm;
mod traces;
mod validators;
