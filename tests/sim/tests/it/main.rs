//! A seeded, deterministic simulation of the whole network in one process: the real machines of
//! hub and islet, real certificates and proofs, the real relayer plan; no thread and no clock.
//!
//! A failure prints its seed and the last events; `TOMBOLO_SEED=n cargo test -p
//! tombolo-simulation` replays it, `TOMBOLO_SEEDS=10000` runs a campaign.

mod campaign;
mod checker;
mod clients;
mod commits;
mod deeds;
mod node;
mod random;
mod relay;
mod run;
mod shares;
mod stage;
mod world;
