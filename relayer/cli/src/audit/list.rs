//! Records as lists: by filter, or all of one operation.

use super::{Node, filter::Filter, moment::rfc3339};
use crate::output;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tombolo_node::query::record_json;
use tombolo_proto::{
    client::LedgerClient,
    limits::PAGE_ENTRIES_MAX,
    view::{FoundRecords, RecordQuery},
};
use tombolo_types::{
    Class, Refusal, UnixMillis,
    id::GlobalId,
    record::{Record, RecordFilter, SaltedRecord},
};

/// The most characters of a remark in a table.
const REMARK_CHARS_MAX: usize = 72;

#[derive(clap::Args)]
pub(crate) struct Query {
    #[command(flatten)]
    node: Node,
    #[command(flatten)]
    filter: Filter,
    /// How many records at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Go on after the record at this position; the page before names it.
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
    /// Print one JSON object per record, and `{"next_after": …}` where more follow.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Show {
    /// The operation's global id.
    global_id: GlobalId,
    #[command(flatten)]
    node: Node,
    /// Print one JSON object per record.
    #[arg(long)]
    json: bool,
}

/// A page of records.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    records: Vec<(u64, SaltedRecord)>,
    /// Where the next page goes on, where there is one.
    next_after: Option<u64>,
}

pub(crate) async fn query(query: Query) -> anyhow::Result<()> {
    let client = query.node.client()?;
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let filter = query.filter.try_into()?;
    let page = fetch_page(&client, &filter, query.after, limit).await?;
    if query.json {
        page.records.iter().for_each(|(at, salted)| output::json(&record_json(*at, salted)));
        if let Some(after) = page.next_after {
            output::json(&json!({ "next_after": after }));
        }
        return Ok(());
    }
    if page.records.is_empty() {
        println!("no record fits");
        return Ok(());
    }
    println!(
        "{:>9}  {:24}  {:20}  {:13}  {:66}  remark",
        "position", "block time", "operation", "end", "global id"
    );
    page.records.iter().for_each(|(at, salted)| println!("{}", row(*at, &salted.record)));
    if let Some(after) = page.next_after {
        println!("more follow: --after {after}");
    }
    Ok(())
}

pub(crate) async fn show(show: Show) -> anyhow::Result<()> {
    let client = show.node.client()?;
    let records = fetch_operation(&client, show.global_id).await?;
    if records.is_empty() {
        return Err(Refusal::new(
            Class::NotFound,
            format!(
                "{} has no record of operation {}; it may have ended at another ledger's door, or \
                 wait in a lane: `tombolo explain {}` says where",
                client.address(),
                show.global_id,
                show.global_id
            ),
        )
        .into());
    }
    for (number, record) in records.iter().enumerate() {
        if show.json {
            output::json(record);
            continue;
        }
        if number > 0 {
            println!();
        }
        for (name, value) in record.as_object().into_iter().flatten() {
            println!("{name:<18} {}", field(name, value));
        }
    }
    Ok(())
}

/// All records of one operation on one ledger, by its own index, as JSON.
pub(crate) async fn fetch_operation(
    client: &LedgerClient,
    id: GlobalId,
) -> anyhow::Result<Vec<Value>> {
    let mut records = Vec::new();
    let mut from: Option<String> = None;
    loop {
        let page = match client.query(&format!("operation/{id}"), from.as_deref(), 0).await {
            Ok(page) => page,
            Err(error) if error.class() == Class::NotFound => return Ok(records),
            Err(error) => return Err(error).context(format!("asking for operation {id}")),
        };
        let page: Value = serde_json::from_str(&page.json).context("reading a page of records")?;
        let entries = page["entries"].as_array().context("a page of records has no entries")?;
        records.extend(entries.iter().cloned());
        match page["next"].as_str() {
            Some(next) if !entries.is_empty() => from = Some(next.to_owned()),
            _ => return Ok(records),
        }
    }
}

/// Asks on until the page is full or the search at its end. The node searches; that what it gives
/// was asked for is checked here, that it left nothing out is not: a bundle proves that.
async fn fetch_page(
    client: &LedgerClient,
    filter: &RecordFilter,
    after: Option<u64>,
    limit: usize,
) -> anyhow::Result<Page> {
    let mut from = after.map_or(0, |after| after.saturating_add(1));
    let mut records: Vec<(u64, SaltedRecord)> = Vec::new();
    loop {
        let wanted = limit.saturating_sub(records.len()).min(PAGE_ENTRIES_MAX);
        let limit_now = u32::try_from(wanted).unwrap_or(u32::MAX);
        let query = RecordQuery { filter: filter.clone(), from, limit: limit_now };
        let page = client.find_records(query).await.context("searching the log")?;
        check_found(client, filter, from, &page)?;
        records.extend(page.records);
        let Some(next) = page.next else { return Ok(Page { records, next_after: None }) };
        // The index may lie behind the log; what it has not is not there to be searched.
        let no_further = next == from;
        if records.len() == limit || no_further && !records.is_empty() {
            return Ok(Page { records, next_after: next.checked_sub(1) });
        }
        if no_further {
            let message = format!(
                "the index of {} has come to record {next} and not to the end of the log; ask \
                 again, or another node",
                client.address()
            );
            return Err(Refusal::new(Class::State, message).into());
        }
        from = next;
    }
}

fn check_found(
    client: &LedgerClient,
    filter: &RecordFilter,
    from: u64,
    page: &FoundRecords,
) -> anyhow::Result<()> {
    let mut least = from;
    for (position, salted) in &page.records {
        let is_asked_for = *position >= least && filter.accepts(&salted.record);
        ensure!(is_asked_for, "{} gave what was not asked for; ask another node", client.address());
        least = position.saturating_add(1);
    }
    let goes_on = page.next.is_none_or(|next| next >= least);
    ensure!(goes_on, "{} leads back; ask another node", client.address());
    Ok(())
}

/// Records from a position on; at least one, and without a gap.
pub(super) async fn fetch_chunk(
    client: &LedgerClient,
    from: u64,
) -> anyhow::Result<Vec<(u64, SaltedRecord)>> {
    let limit = u32::try_from(PAGE_ENTRIES_MAX).unwrap_or(u32::MAX);
    let page = client.records(from, limit).await.context("reading the log")?;
    let is_contiguous =
        page.records.iter().zip(from..).all(|((found, _), wanted)| *found == wanted);
    ensure!(
        !page.records.is_empty() && is_contiguous,
        "{} left out records from {from} on, of {}; ask another node",
        client.address(),
        page.log_size
    );
    Ok(page.records)
}

pub(super) fn row(position: u64, record: &Record) -> String {
    let end = super::filter::end_of(record).map_or("done", Class::code);
    let remark: String = record.remark.chars().take(REMARK_CHARS_MAX).collect();
    format!(
        "{position:>9}  {:24}  {:20}  {end:13}  {}  {remark}",
        rfc3339(record.time),
        record.operation,
        record.global_id
    )
}

/// A field of a record for people: times as text, lists side by side.
fn field(name: &str, value: &Value) -> String {
    match value {
        Value::Number(ms) if name.ends_with("_ms") => {
            rfc3339(UnixMillis(ms.as_u64().unwrap_or_default()))
        }
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
