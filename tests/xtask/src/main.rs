//! Chores of the repository: which requirements and attacks have tests, and whether pure crates
//! are pure.

mod coverage;
mod purity;
mod tree;

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// Chores of the Tombolo repository.
#[derive(Parser)]
#[command(name = "xtask", after_help = "Example: cargo xtask coverage --theme 4")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Prints which requirement rows and which attacks are shown by tests.
    Coverage {
        /// Only this theme of the requirements.
        #[arg(long)]
        theme: Option<u32>,
        /// Only rows without a test.
        #[arg(long)]
        open: bool,
    },
    /// Fails when a pure crate names a runtime, a wire, a store, a clock or a random source.
    Purity,
}

fn main() -> ExitCode {
    // The package stands at tests/xtask of the repository.
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let done = match Arguments::parse().chore {
        Chore::Coverage { theme, open } => coverage::print(&root, theme, open),
        Chore::Purity => purity::check(&root),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
