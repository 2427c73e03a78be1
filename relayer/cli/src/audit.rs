//! Audit records: lists, bundles, and their verification without network.

mod bundle;
mod filter;
mod list;
pub(crate) mod moment;

pub(crate) use bundle::fetch_bundle;
pub(crate) use list::fetch_operation;

use anyhow::Context as _;
use tombolo_proto::client::LedgerClient;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists records, oldest first, a page at a time.
    ///
    /// One node searches its log by its index. The order is that of the log and never changes, so
    /// `--after` goes on exactly where a page ended. The node may leave records out; a bundle from
    /// `audit export` proves that none is missing.
    #[command(
        after_help = "Example: tombolo audit query --node http://127.0.0.1:7001 --class E_DENIED --since 2026-01-01T00:00:00Z"
    )]
    Query(Box<list::Query>),
    /// Shows all records of one operation, from its acceptance to its end.
    #[command(after_help = "Example: tombolo audit show 0x4c1f… --node http://127.0.0.1:7001")]
    Show(list::Show),
    /// Writes a range of records, with all that proves it, into one file.
    ///
    /// Only a range from record 0 proves completeness; any other proves the truth of what it holds.
    #[command(
        after_help = "Example: tombolo audit export --node http://127.0.0.1:7001 --out hub.bundle"
    )]
    Export(bundle::Export),
    /// Verifies such a file without network, from the ledger's genesis hash alone.
    #[command(after_help = "Example: tombolo audit verify hub.bundle --genesis 0x9a03…")]
    Verify(bundle::Verify),
}

/// The node that is asked.
#[derive(clap::Args)]
pub(crate) struct Node {
    /// Where the node listens, e.g. `http://127.0.0.1:7001`.
    #[arg(long, value_name = "URL")]
    node: String,
}

impl Node {
    fn client(&self) -> anyhow::Result<LedgerClient> {
        LedgerClient::new(&self.node).context("reading --node")
    }
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Query(query) => list::query(*query).await,
        Command::Show(show) => list::show(show).await,
        Command::Export(export) => bundle::export(export).await,
        Command::Verify(verify) => bundle::verify(verify).await,
    }
}
