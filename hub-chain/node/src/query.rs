//! State as JSON, for people and applications.
//!
//! Paths that every ledger has are answered here; the others by the ledger's own [`Queries`].

use crate::chain::Chain;
use serde_json::{Value, json};
use std::{fmt::Display, str::FromStr};
use tombolo_ledger::{Machine, Parameters, records};
use tombolo_proto::limits::{PAGE_BYTES_MAX, QUERY_TEXT_BYTES_MAX};
use tombolo_types::{
    Refusal, ensure,
    id::{GlobalId, ParseIdError},
    record::{Record, SaltedRecord},
    refuse,
    store::{StoreError, View},
};

/// What one kind of ledger shows of its own.
pub trait Queries: Send + Sync + 'static {
    /// Answers `path`. A page begins at `from`, holds at most `limit` entries and is an object with
    /// `entries` and, where more follow, `next`, which is `from` of the next page.
    ///
    /// # Errors
    /// `E_NOTFOUND` for what is not there, `E_UNSUPPORTED` for a path that is not known, `E_FORMAT`
    /// for an id or a cursor that is none.
    fn query(
        &self,
        view: &dyn View,
        path: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Value, Refusal>;
}

/// Shows nothing beside what every ledger shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoQueries;

impl Queries for NoQueries {
    fn query(&self, _: &dyn View, path: &str, _: Option<&str>, _: usize) -> Result<Value, Refusal> {
        refuse!(Unsupported, "there is no query `{path}` on this ledger");
    }
}

/// What a query gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// JSON text.
    pub json: String,
    /// How many entries it has; what is no page is one.
    pub entries: usize,
}

/// Whether a path asks for audit records.
#[must_use]
pub fn is_of_records(path: &str) -> bool {
    matches!(path.split_once('/'), Some(("record" | "operation", _)))
}

/// Answers a query within its limits. Also answers, on every ledger:
/// `parameters`; `record/<position>`; `operation/<global id>`, the records of one operation.
///
/// # Errors
/// As [`Queries::query`]; `E_LIMIT` for a text that is too long, or an answer that is.
pub fn answer<M: Machine>(
    chain: &Chain<M>,
    own: &dyn Queries,
    path: &str,
    from: Option<&str>,
    limit: usize,
) -> Result<Answer, Refusal> {
    for (what, text) in [("path", path), ("from", from.unwrap_or_default())] {
        ensure!(
            text.len() <= QUERY_TEXT_BYTES_MAX,
            Limit,
            "the {what} of {} bytes is above {QUERY_TEXT_BYTES_MAX}",
            text.len()
        );
    }
    let value = match path.split_once('/').unwrap_or((path, "")) {
        ("parameters", "") => parameters(chain.view()),
        ("record", position) => record(chain.view(), position)?,
        ("operation", id) => operation(chain, id, from, limit)?,
        _ => own.query(chain.view(), path, from, limit)?,
    };
    let json = value.to_string();
    ensure!(
        json.len() <= PAGE_BYTES_MAX,
        Limit,
        "the answer of {} bytes is above {PAGE_BYTES_MAX}; ask for fewer than {limit} entries",
        json.len()
    );
    let entries = value["entries"].as_array().map_or(1, Vec::len);
    Ok(Answer { json, entries })
}

fn parameters(view: &dyn View) -> Value {
    let entries = Parameters::of(view).list().into_iter().map(|(name, value, least, greatest)| {
        json!({ "name": name, "value": value, "least": least, "greatest": greatest })
    });
    json!({ "entries": entries.collect::<Vec<_>>() })
}

/// A cursor of two parts, `first-second`; the second may be left out.
///
/// # Errors
/// `E_FORMAT` where either is none.
pub fn two_of<A, B>(from: Option<&str>) -> Result<(A, B), Refusal>
where
    A: FromStr<Err = ParseIdError> + Default,
    B: FromStr<Err = ParseIdError> + Default,
{
    let Some((first, second)) = from.map(|from| from.split_once('-').unwrap_or((from, ""))) else {
        return Ok(Default::default());
    };
    let second = if second.is_empty() { B::default() } else { id_of(second)? };
    Ok((id_of(first)?, second))
}

/// Reads an id or address of a path or cursor.
///
/// # Errors
/// `E_FORMAT` where it is none.
pub fn id_of<T: FromStr<Err = ParseIdError>>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error: ParseIdError| {
        Refusal::new(tombolo_types::Class::Format, error.to_string())
    })
}

/// Reads a cursor, or begins where `T` does.
///
/// # Errors
/// `E_FORMAT` where it is none.
pub fn cursor_of<T: FromStr<Err = ParseIdError> + Default>(
    from: Option<&str>,
) -> Result<T, Refusal> {
    from.map_or_else(|| Ok(T::default()), id_of)
}

/// A page of what was found, of which there may be one more than `limit`; that one names the next.
#[must_use]
pub fn paged<T>(
    found: &[T],
    limit: usize,
    cursor: impl Fn(&T) -> String,
    entry: impl Fn(&T) -> Value,
) -> Value {
    let entries: Vec<_> = found.iter().take(limit).map(entry).collect();
    match found.get(limit) {
        Some(next) => json!({ "entries": entries, "next": cursor(next) }),
        None => json!({ "entries": entries }),
    }
}

/// What `found` holds, or that there is no such thing.
///
/// # Errors
/// `E_NOTFOUND`.
pub fn found<T>(found: Option<T>, what: &str, id: impl Display) -> Result<T, Refusal> {
    found.ok_or_else(|| {
        Refusal::new(tombolo_types::Class::NotFound, format!("this ledger has no {what} {id}"))
    })
}

fn number(what: &str, text: &str) -> Result<u64, Refusal> {
    let Ok(number) = text.parse() else {
        refuse!(Format, "`{text}` is no {what}; write a number");
    };
    Ok(number)
}

fn record(view: &dyn View, position: &str) -> Result<Value, Refusal> {
    let position = number("position of a record", position)?;
    match records::range(view, position, 1).into_iter().find(|(found, _)| *found == position) {
        Some((_, salted)) => Ok(record_json(position, &salted)),
        None => refuse!(
            NotFound,
            "there is no record {position}; the log has {}",
            records::log(view).size()
        ),
    }
}

fn operation<M: Machine>(
    chain: &Chain<M>,
    id: &str,
    from: Option<&str>,
    limit: usize,
) -> Result<Value, Refusal> {
    let id: GlobalId = id_of(id)?;
    let from = from.map_or(Ok(0), |from| number("position of a record", from))?;
    let more = limit.saturating_add(1);
    let positions = chain.positions(id, from, more).map_err(unreadable)?;
    ensure!(
        from > 0 || !positions.is_empty(),
        NotFound,
        "this ledger has no record of operation {id}"
    );
    let entry = |position: &u64| match records::range(chain.view(), *position, 1).pop() {
        Some((found, salted)) if found == *position => record_json(found, &salted),
        _ => Value::Null,
    };
    Ok(paged(&positions, limit, ToString::to_string, entry))
}

fn unreadable(error: StoreError) -> Refusal {
    panic!("{error}; check the disk, then start the node again")
}

/// A record as people read it: its fields under their names, empty ones left out.
#[must_use]
pub fn record_json(position: u64, salted: &SaltedRecord) -> Value {
    let SaltedRecord { record, .. } = salted;
    let Record { parties, .. } = record;
    let outcome = match tombolo_types::Class::from_number(record.outcome) {
        Some(class) => class.code(),
        None => "done",
    };
    let mut fields = json!({
        "position": position,
        "global_id": record.global_id.to_string(),
        "operation": record.operation,
        "outcome": outcome,
        "height": record.height.0,
        "time_ms": record.time.0,
        "tx_id": record.tx_id.to_string(),
        "parties": parties.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let mut add = |name: &str, present: bool, value: Value| {
        if present {
            fields[name] = value;
        }
    };
    let text = |value: &dyn std::fmt::Display| Value::from(value.to_string());
    add("remark", !record.remark.is_empty(), record.remark.clone().into());
    add("protocol", !record.protocol.is_empty(), record.protocol.clone().into());
    let on_lane = !record.link.is_zero();
    add("link", on_lane, text(&record.link));
    add("mode", record.mode != 0, record.mode.into());
    add("unbounded", record.unbounded, true.into());
    add("link_policy", !record.link_policy.is_zero(), text(&record.link_policy));
    add("lane", on_lane, record.lane.0.into());
    add("number", on_lane, record.number.0.into());
    add("source_chain", !record.source_chain.is_zero(), text(&record.source_chain));
    add("source_height", record.source_height.0 > 0, record.source_height.0.into());
    let away = !record.destination_chain.is_zero();
    add("destination_chain", away, text(&record.destination_chain));
    add("data_id", !record.data_id.is_zero(), text(&record.data_id));
    add("data_class", record.data_class != 0, record.data_class.into());
    add("fingerprint", !record.fingerprint.is_zero(), text(&record.fingerprint));
    add("policy_hash", !record.policy_hash.is_zero(), text(&record.policy_hash));
    add("relayer", !record.relayer.is_zero(), text(&record.relayer));
    add("evidence", !record.evidence.is_zero(), text(&record.evidence));
    fields
}
