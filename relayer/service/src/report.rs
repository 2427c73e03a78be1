//! How each link stands, for `tombolo relayer status`, `pending` and `explain`.

use crate::link::LinkTask;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tombolo_adapter::{AdapterError, ClientView};
use tombolo_relayer_core::{End, LinkSight, Step, Turns, plan::Blocker};
use tombolo_types::{Class, UnixMillis, id::LinkId, verifier::ClientStatus};

/// What the relayer knows of one link. A cache of what both ends say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkReport {
    /// The link's id.
    pub link: String,
    /// The linked chain's name.
    pub chain: String,
    /// When both ends were last seen, in milliseconds since 1970.
    pub seen_ms: u64,
    /// The two ends, hub first.
    pub ends: Vec<EndReport>,
    /// What keeps the link, where something does.
    pub blocked: Vec<String>,
    /// The last failure, where the last turn failed.
    pub failure: Option<FailureReport>,
}

/// One end of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndReport {
    /// `hub` or `chain`.
    pub end: String,
    /// Its newest final height.
    pub height: u64,
    /// Milliseconds between that block and now.
    pub age_ms: u64,
    /// Messages that wait to be brought here.
    pub waiting: u64,
    /// Messages that this relayer brought here since it started.
    pub brought: u64,
    /// Another relayer is at work here, and this one steps in only where it does not keep up.
    #[serde(default)]
    pub yields: bool,
    /// Where its client of the other end stands.
    pub client: String,
    /// The height of that client.
    pub client_height: u64,
}

/// Why the last turn failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// At which end.
    pub end: String,
    /// The class.
    pub class: String,
    /// The sentence.
    pub message: String,
    /// How many in a row.
    pub in_a_row: u32,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

/// The reports of all links. Cheap to clone.
#[derive(Clone, Default)]
pub struct Reports(Arc<Mutex<BTreeMap<String, LinkReport>>>);

impl Reports {
    /// All links, by the name of their chain.
    #[must_use]
    pub fn all(&self) -> Vec<LinkReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn edit(&self, task: &LinkTask, edit: impl FnOnce(&mut LinkReport)) {
        self.edit_link(task.id, task.name(), edit);
    }

    fn edit_link(&self, link: LinkId, chain: &str, edit: impl FnOnce(&mut LinkReport)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let report = all.entry(chain.to_owned()).or_insert_with(|| LinkReport {
            link: link.to_string(),
            chain: chain.to_owned(),
            ..LinkReport::default()
        });
        edit(report);
    }

    pub(crate) fn seen(&self, task: &LinkTask, sight: &LinkSight, steps: &[Step], turns: &Turns) {
        let now = crate::service::now();
        self.edit(task, |report| {
            report.seen_ms = now.0;
            report.failure = None;
            let brought: Vec<u64> = report.ends.iter().map(|end| end.brought).collect();
            report.ends = [End::Hub, End::Chain]
                .into_iter()
                .enumerate()
                .map(|(position, end)| {
                    let brought = brought.get(position).copied().unwrap_or(0);
                    EndReport { yields: turns.yields(end), ..end_report(sight, end, now, brought) }
                })
                .collect();
            report.blocked = steps.iter().filter_map(describe).collect();
        });
    }

    /// Where one end's client stands, whether or not the other end could be seen.
    pub(crate) fn client_seen(&self, task: &LinkTask, end: End, client: &ClientView) {
        self.edit(task, |report| {
            if let Some(shown) = report.ends.iter_mut().find(|shown| shown.end == end.name()) {
                shown.client = name_of(client.status);
                shown.client_height = client.height.0;
            }
        });
    }

    pub(crate) fn delivered(&self, task: &LinkTask, to: End, messages: u64) {
        self.edit(task, |report| {
            if let Some(end) = report.ends.iter_mut().find(|end| end.end == to.name()) {
                end.brought += messages;
            }
        });
    }

    pub(crate) fn failed(&self, task: &LinkTask, end: End, error: &AdapterError, in_a_row: u32) {
        self.edit(task, |report| report.fail(end, error.class(), error.to_string(), in_a_row));
    }

    /// A link to a chain could not even be taken up.
    pub fn not_served(&self, link: LinkId, chain: &str, class: Class, message: String) {
        self.edit_link(link, chain, |report| {
            let before = report.failure.as_ref().map_or(0, |failure| failure.in_a_row);
            report.fail(End::Chain, class, message, before.saturating_add(1));
        });
    }
}

impl LinkReport {
    fn fail(&mut self, end: End, class: Class, message: String, in_a_row: u32) {
        let since_ms = match &self.failure {
            Some(failure) => failure.since_ms,
            None => crate::service::now().0,
        };
        let (end, class) = (end.name().into(), class.code().into());
        self.failure = Some(FailureReport { end, class, message, in_a_row, since_ms });
    }
}

fn end_report(sight: &LinkSight, end: End, now: UnixMillis, brought: u64) -> EndReport {
    let here = sight.end(end);
    EndReport {
        end: end.name().into(),
        height: here.height.0,
        age_ms: now.since(here.time),
        waiting: sight.backlog(end.other()),
        brought,
        yields: false,
        client: name_of(here.client.status),
        client_height: here.client.height.0,
    }
}

fn name_of(status: ClientStatus) -> String {
    format!("{status:?}").to_lowercase()
}

/// What an operator reads of a blocked step: what, why, and what to do.
fn describe(step: &Step) -> Option<String> {
    let Step::Blocked { to, why } = step else { return None };
    let remedy = match why {
        Blocker::ClientExpired | Blocker::ClientFrozen => match to {
            End::Hub => "a quorum of the hub's stakeholders must set a new trusted header",
            End::Chain => "the chain's recovery council must set a new trusted header",
        },
        Blocker::LinkShut => match to {
            End::Hub => "a quorum of the hub's stakeholders must decide about the link",
            End::Chain => "the chain's recovery council must decide about the link",
        },
        Blocker::EpochDiffers => match to {
            End::Hub => "the chain's recovery council must reopen its end of the lane, too",
            End::Chain => "a quorum of the hub's stakeholders must reopen its end of the lane, too",
        },
    };
    Some(format!("{}: {}; {remedy}", to.name(), why.describe()))
}
