//! Real nodes of other ledgers, for tests: found where the scripts of this folder put them, started
//! on loopback on ports that are free, stopped by their process id when they go out of scope.
//!
//! Nothing here obtains a node: that takes minutes, and is said, not done behind a test's back. A
//! test that needs one asks with [`Kind::find`]; where it is not there, that says so on the
//! terminal itself, past the test runner's capture, and the test ends.
//!
//! Errors are panics: this crate serves tests alone.

mod anvil;
mod beacon;
mod clique;
mod front;
mod geth;
mod process;
mod rpc;
mod storage;
mod transaction;

pub use anvil::Anvil;
pub use beacon::Beacon;
pub use clique::{Clique, Signer};
pub use front::{Alter, FalseFront};
pub use geth::GethDev;
pub use process::wait_until;
pub use rpc::{Rpc, bytes, hash, number, quantity, text};
pub use storage::Writer;
pub use transaction::Sender;

use std::{
    io::Write as _,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A node, or a set of tools, of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// anvil, forge and cast 1.7.1.
    Foundry,
    /// geth 1.17.5.
    Geth,
    /// geth 1.13.15, which seals Clique.
    GethClique,
    /// Lodestar 1.5.1, the consensus client.
    Lodestar,
}

impl Kind {
    /// The script that obtains it, and where in the cache it puts what.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Foundry => ("foundry.sh", "foundry-1.7.1/bin"),
            Self::Geth => ("geth.sh", "geth-1.17.5/geth"),
            Self::GethClique => ("geth-clique.sh", "geth-1.13.15/geth"),
            Self::Lodestar => ("lodestar.sh", "lodestar-1.5.1/lodestar.js"),
        }
    }

    /// Where it is, or `None`, said loudly, where it is not.
    #[must_use]
    pub fn find(self) -> Option<PathBuf> {
        let (script, place) = self.place();
        let found = cache().join(place);
        if found.exists() {
            return Some(found);
        }
        skipped(&format!("{self:?} not found; get it by tests/nodes/{script}"));
        None
    }
}

/// Says on the terminal what is not tested, and why.
pub fn skipped(why: &str) {
    // Not `eprintln!`: the runner would keep what a passing test prints.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// The folder of all nodes.
fn cache() -> PathBuf {
    match std::env::var_os("TOMBOLO_NODES") {
        Some(folder) => folder.into(),
        None => {
            PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/tombolo/nodes")
        }
    }
}

/// One network at a time: tests that start nodes share the machine.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}
