//! Bundles: making one of what a node says, and verifying one from a file.

use super::{
    Node,
    list::{fetch_chunk, row},
    moment::rfc3339,
};
use crate::output;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tombolo_audit::Report;
use tombolo_crypto::digest;
use tombolo_node::query::record_json;
use tombolo_proto::{client::LedgerClient, limits::LOG_PROOF_RECORDS_MAX};
use tombolo_types::{
    Class, Height, Refusal,
    bundle::{BUNDLE_VERSION, Bundle, ValidatorChange},
    ensure as require,
    id::ChainId,
    refuse,
};

/// The largest file that is written or read: it is held in memory more than once.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// An export that takes longer than this says how far it is, and again after as long.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    node: Node,
    /// The file to write; one that is there is replaced once the new one is complete and verified.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The position of the first record.
    #[arg(long, default_value_t = 0, value_name = "POSITION")]
    from: u64,
    /// The position after the last record. Default: the end of the log.
    #[arg(long, value_name = "POSITION")]
    to: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Verify {
    /// The bundle.
    file: PathBuf,
    /// The hash of the ledger's genesis document. Take it from somebody you trust, not from who
    /// gave you the file.
    #[arg(long, value_name = "HASH")]
    genesis: ChainId,
    /// List the records, too, once they are verified: a line each.
    #[arg(long)]
    list: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn export(export: Export) -> anyhow::Result<()> {
    let client = export.node.client()?;
    let bundle = fetch(&client, export.from, export.to, Progress::new()).await?;
    let chain = client.status().await.context("asking who the node is")?.chain_id;
    let out = export.out.clone();
    let (report, bytes) = tokio::task::spawn_blocking(move || {
        let bytes = bundle.encode();
        let report = tombolo_audit::verify(&bytes, chain)
            .context("what the node gave does not verify; nothing was written; ask another node")?;
        check_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
        replace(&out, &bytes)?;
        anyhow::Ok((report, bytes.len()))
    })
    .await
    .context("verifying the bundle")??;
    if export.json {
        let mut value = to_json(&report);
        value["file"] = json!(export.out);
        value["bytes"] = bytes.into();
        output::json(&value);
    } else {
        println!("written:  {} ({bytes} bytes)", export.out.display());
        print(&report);
        println!(
            "verify:   tombolo audit verify {} --genesis {}",
            export.out.display(),
            report.chain_id
        );
    }
    Ok(())
}

/// Req: Y4560-7.1.2-2
pub(crate) async fn verify(verify: Verify) -> anyhow::Result<()> {
    let Verify { file, genesis, list, json } = verify;
    let (report, bytes) = tokio::task::spawn_blocking(move || verify_file(&file, genesis))
        .await
        .context("verifying the bundle")??;
    if list {
        let records = Bundle::decode(&bytes)?.records;
        for (position, salted) in (report.first..).zip(&records) {
            match json {
                true => output::json(&record_json(position, salted)),
                false => println!("{}", row(position, &salted.record)),
            }
        }
    }
    if json {
        output::json(&to_json(&report));
    } else {
        print(&report);
    }
    Ok(())
}

fn verify_file(file: &Path, genesis: ChainId) -> anyhow::Result<(Report, Vec<u8>)> {
    let metadata =
        std::fs::metadata(file).with_context(|| format!("opening {}", file.display()))?;
    check_size(metadata.len()).with_context(|| format!("reading {}", file.display()))?;
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let report = tombolo_audit::verify(&bytes, genesis)
        .with_context(|| format!("{} is not verified", file.display()))?;
    Ok((report, bytes))
}

fn check_size(bytes: u64) -> Result<(), Refusal> {
    require!(
        bytes <= FILE_BYTES_MAX,
        Limit,
        "a bundle of {bytes} bytes is above {FILE_BYTES_MAX}; export parts with --from and --to"
    );
    Ok(())
}

/// Writes beside the file and renames, so that no half file is ever found under the name.
fn replace(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut beside = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("making a file in {}", folder.display()))?;
    beside.write_all(bytes).context("writing the bundle")?;
    beside.as_file().sync_all().context("flushing the bundle")?;
    beside.persist(file).with_context(|| format!("naming the bundle {}", file.display()))?;
    Ok(())
}

/// A bundle of the records `from .. to`, of all from `from` on for `None`; not yet verified.
///
/// # Errors
/// Where the node does not answer, has not these records, or they are too many for one bundle.
pub(crate) async fn fetch_bundle(
    client: &LedgerClient,
    from: u64,
    to: Option<u64>,
) -> anyhow::Result<Bundle> {
    fetch(client, from, to, Progress::silent()).await
}

async fn fetch(
    client: &LedgerClient,
    from: u64,
    to: Option<u64>,
    mut progress: Progress,
) -> anyhow::Result<Bundle> {
    let genesis = client.genesis().await.context("reading the genesis document")?;
    let newest = client.header(None).await.context("reading the newest header")?.header;
    // The log goes on growing. All that follows is about the size that it had here.
    let size = newest.log_size;
    let to = to.unwrap_or(size);
    check_range(from, to, size)?;
    let proof = client.log_proof(from, to, Some(size)).await.context("asking for the proof")?;
    let head = proof.header.header;
    let mut records = Vec::new();
    let mut bytes = 0u64;
    let mut next = from;
    while next < to {
        for (position, salted) in fetch_chunk(client, next).await? {
            if position == to {
                break;
            }
            bytes = bytes.saturating_add(u64::try_from(salted.encode().len()).unwrap_or(u64::MAX));
            check_size(bytes)?;
            records.push(salted);
            next = position.saturating_add(1);
        }
        progress.at(next.saturating_sub(from), to.saturating_sub(from));
    }
    Ok(Bundle {
        version: BUNDLE_VERSION,
        genesis,
        changes: fetch_changes(client, head.height).await?,
        head,
        certificate: proof.header.certificate,
        first: from,
        end: to,
        leaves: (from..)
            .zip(&records)
            .map(|(position, salted)| digest::record_leaf(position, digest::record_root(salted)))
            .collect(),
        records,
        range: proof.range,
    })
}

fn check_range(from: u64, to: u64, size: u64) -> Result<(), Refusal> {
    require!(size > 0, NotFound, "the log holds no record yet; ask again after the first block");
    if from >= to || to > size {
        refuse!(Format, "records {from} to {to} are no range of the {size} records of the log");
    }
    require!(
        to - from <= LOG_PROOF_RECORDS_MAX,
        Limit,
        "{} records are above the {LOG_PROOF_RECORDS_MAX} of one bundle; export parts with --from \
         and --to",
        to - from
    );
    Ok(())
}

/// Every change of the validator set that was named below the head; one that the head itself
/// names is not needed to believe it.
async fn fetch_changes(
    client: &LedgerClient,
    head: Height,
) -> anyhow::Result<Vec<ValidatorChange>> {
    let mut changes: Vec<ValidatorChange> = Vec::new();
    let mut from = Height(1);
    loop {
        let page = client.validator_changes(from).await.context("reading validator changes")?;
        let Some(last) = page.changes.last().map(|change| change.header.height) else {
            return Ok(changes);
        };
        ensure!(last >= from, "{} repeats changes of its validators", client.address());
        let is_done = !page.more || last >= head;
        let below = page.changes.into_iter().filter(|change| change.header.height < head);
        changes.extend(below.map(|change| ValidatorChange {
            header: change.header,
            certificate: change.certificate,
            next: change.next_validators,
        }));
        if is_done {
            return Ok(changes);
        }
        from = last.next();
    }
}

/// Says on stderr how far a long export is.
struct Progress {
    said: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self { said: Some(Instant::now()) }
    }

    fn silent() -> Self {
        Self { said: None }
    }

    fn at(&mut self, done: u64, of: u64) {
        if let Some(said) = self.said.filter(|said| said.elapsed() >= PROGRESS_EVERY) {
            eprintln!("{done} of {of} records read");
            self.said = Some(said + PROGRESS_EVERY);
        }
    }
}

fn name_of(end: Option<Class>) -> &'static str {
    end.map_or("done", Class::code)
}

fn to_json(report: &Report) -> Value {
    let outcomes: serde_json::Map<String, Value> = report
        .outcomes
        .iter()
        .map(|(end, count)| (name_of(*end).to_owned(), (*count).into()))
        .collect();
    json!({
        "chain_id": report.chain_id.to_string(),
        "name": report.name,
        "records": report.count,
        "first": report.first,
        "log_size": report.log_size,
        "complete": report.is_complete(),
        "height": report.height.0,
        "time_ms": report.time.0,
        "time": rfc3339(report.time),
        "block_id": report.block_id.to_string(),
        "validator_changes": report.validator_changes,
        "outcomes": outcomes,
    })
}

fn print(report: &Report) {
    let end = report.first.saturating_add(report.count);
    println!("ledger:   {}, genesis {}", report.name, report.chain_id);
    if report.is_complete() {
        println!("records:  {}, all that were recorded up to the height proved", report.count);
    } else {
        println!(
            "records:  {}, a part: {} to {} of {}; nothing is said of the others",
            report.count,
            report.first,
            end.saturating_sub(1),
            report.log_size
        );
    }
    println!(
        "proved:   height {}, time {}, block {}",
        report.height,
        rfc3339(report.time),
        report.block_id
    );
    println!("changes:  {} of the validator set on the way", report.validator_changes);
    let outcomes: Vec<String> =
        report.outcomes.iter().map(|(end, count)| format!("{} {count}", name_of(*end))).collect();
    println!("ends:     {}", outcomes.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_judged_before_anything_is_fetched() {
        for (from, to, size, class) in [
            (0, 0, 0, Some(Class::NotFound)),
            (3, 3, 9, Some(Class::Format)),
            (4, 3, 9, Some(Class::Format)),
            (0, 10, 9, Some(Class::Format)),
            (0, 1_000_001, 2_000_000, Some(Class::Limit)),
            (0, 9, 9, None),
            (1_000_000, 2_000_000, 2_000_000, None),
        ] {
            let refused = check_range(from, to, size).err().map(|refusal| refusal.class);
            assert_eq!(refused, class, "{from} .. {to} of {size}");
        }
    }

    #[test]
    fn a_file_that_is_no_bundle_leaves_a_fault_in_the_chain() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bundle");
        replace(&file, b"something else").unwrap();
        let error = verify_file(&file, ChainId::ZERO).unwrap_err();
        let fault = error.chain().find_map(|cause| cause.downcast_ref::<tombolo_audit::Fault>());
        assert!(matches!(fault, Some(tombolo_audit::Fault::Format { .. })), "{error:#}");
    }

    #[test]
    fn a_new_bundle_takes_the_place_of_an_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bundle");
        for content in [&b"old and longer"[..], b"new"] {
            replace(&file, content).unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
