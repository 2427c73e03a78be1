//! Who asked what of the audit log. Req: PRJ-4-5
//!
//! The interface knows no accounts, so all that is known of who asks is a network address, and all
//! who ask are strangers to the journal: it writes so many lines in a second and counts the rest.

use crate::{
    journal::{Asked, Writer},
    metrics::Metrics,
    scribe::Scribe,
};
use serde_json::{Value, json};
use std::{io, net::SocketAddr, path::Path, sync::Arc, thread::JoinHandle};
use tombolo_proto::status_to_refusal;
use tombolo_types::{
    Class,
    message::DataClass,
    record::{End, RecordFilter},
};
use tonic::Status;

/// Writes queries of the audit log down.
#[derive(Clone)]
pub struct QueryJournal {
    journal: Scribe<Asked>,
    metrics: Arc<Metrics>,
}

impl QueryJournal {
    /// Keeps its journal at `path`. The thread ends with the last copy.
    ///
    /// # Errors
    /// Where the journal cannot be opened.
    pub fn open(
        path: &Path,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, JoinHandle<io::Result<()>>)> {
        let (journal, thread) = Scribe::open(path, |journal, line| {
            journal.write(line.at, &line.caller, Writer::Stranger, &line.what)
        })?;
        Ok((Self { journal, metrics }, thread))
    }

    /// Writes down that `caller` asked for `filter` and was given so many records, or was refused.
    pub fn note(&self, caller: Option<SocketAddr>, filter: Value, given: Result<usize, &Status>) {
        let asked = match given {
            Ok(count) => {
                let records = u64::try_from(count).unwrap_or(u64::MAX);
                Asked { filter, records, class: None }
            }
            Err(status) => {
                let refusal = status_to_refusal(status);
                let class = refusal.map_or(Class::State, |refusal| refusal.class);
                Asked { filter, records: 0, class: Some(class.to_string()) }
            }
        };
        if !self.journal.write(address(caller), asked) {
            self.metrics.journal_dropped();
        }
    }
}

/// A caller as journals name it.
pub(crate) fn address(caller: Option<SocketAddr>) -> String {
    caller.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

/// A filter as it is written down: what was asked for and nothing else.
#[must_use]
pub fn filter_json(filter: &RecordFilter) -> Value {
    let RecordFilter { global_id, tx_id, chain, party, data_id, data_class, .. } = filter;
    let RecordFilter { link, mode, operation, end, since, until, .. } = filter;
    let text = |value: &dyn std::fmt::Display| Value::from(value.to_string());
    let end = end.map(|end| match end {
        End::Done => "done",
        End::Refused => "refused",
        End::RefusedAs(class) => class.code(),
    });
    let all = [
        ("global_id", global_id.map(|id| text(&id))),
        ("tx_id", tx_id.map(|id| text(&id))),
        ("chain", chain.map(|id| text(&id))),
        ("party", party.map(|id| text(&id))),
        ("data_id", data_id.map(|id| text(&id))),
        ("data_class", data_class.map(|class| DataClass::name(class).into())),
        ("link", link.map(|id| text(&id))),
        ("mode", mode.map(Into::into)),
        ("operation", operation.clone().map(Into::into)),
        ("end", end.map(Into::into)),
        ("since_ms", since.map(|at| at.0.into())),
        ("until_ms", until.map(|at| at.0.into())),
    ];
    let given = all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    json!(given.collect::<serde_json::Map<_, _>>())
}
