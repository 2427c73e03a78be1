//! From what is known to a sentence: the step, its place, the reason, and the remedy. No network.

use super::facts::{CommitFacts, Facts, RecordFacts, RelayerFacts, Way};
use crate::audit::moment::{lasting, rfc3339};
use serde_json::{Value, json};
use std::cmp::Ordering;
use tombolo_proto::view::LinkStatus;
use tombolo_relayer::LinkReport;
use tombolo_types::{Hash, Refusal, UnixMillis, refuse, verifier::ClientStatus};

/// What is to be said of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Story {
    /// The kind of operation.
    pub(super) what: String,
    pub(super) state: State,
    /// How far it is.
    pub(super) step: String,
    pub(super) place: String,
    pub(super) why: String,
    pub(super) since: Option<UnixMillis>,
    pub(super) remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Ended as it was meant to.
    Done,
    /// Ended with a no, and nothing else changed.
    Refused,
    /// On its way, or will be once a process runs again.
    Waiting,
    /// Somebody must decide first.
    Blocked,
}

impl Story {
    pub(super) fn to_json(&self, id: Hash) -> Value {
        let state = match self.state {
            State::Done => "done",
            State::Refused => "refused",
            State::Waiting => "waiting",
            State::Blocked => "blocked",
        };
        json!({
            "schema": 1,
            "id": id.to_string(),
            "what": self.what,
            "state": state,
            "step": self.step,
            "where": self.place,
            "why": self.why,
            "since_ms": self.since.map(|since| since.0),
            "do": self.remedy,
        })
    }
}

/// Tells where the operation stands.
///
/// # Errors
/// `E_NOTFOUND` where nobody who was asked knows it.
pub(super) fn tell(facts: &Facts) -> Result<Story, Refusal> {
    if let Some(commit) = &facts.commit {
        return Ok(tell_commit(facts, commit));
    }
    if let Some(last) = facts.on_hub.last() {
        let is_open_share = last.operation == "share" && last.remark == "accepted";
        return Ok(if is_open_share {
            tell_second_hop(facts, last)
        } else {
            ended(last, "the hub")
        });
    }
    for islet in &facts.on_islets {
        if let Some(last) = islet.records.last() {
            let left = last.number.is_some() && last.destination_chain.is_some() && last.is_done();
            return Ok(if left && last.operation == "share" {
                tell_first_hop(facts, last)
            } else {
                ended(last, &islet.name)
            });
        }
    }
    if let Some((name, receipt)) = &facts.receipt {
        return Ok(Story {
            what: "transaction".into(),
            state: if receipt.refusal.is_some() { State::Refused } else { State::Done },
            step: if receipt.refusal.is_some() { "refused" } else { "done" }.into(),
            place: format!("{name}, height {}", receipt.height),
            why: receipt.refusal.as_ref().map_or("it is final".into(), ToString::to_string),
            since: Some(receipt.time),
            remedy: nothing(receipt.refusal.is_none()),
        });
    }
    refuse!(
        NotFound,
        "no ledger that was asked knows {}; name the others with --islet, and submit it again \
         where a door refused it",
        facts.id
    )
}

fn nothing(is_done: bool) -> String {
    match is_done {
        true => "nothing".into(),
        false => "mend what the reason names and submit it anew; nothing else was changed".into(),
    }
}

/// An operation that ends where it began, or has ended.
fn ended(last: &RecordFacts, ledger: &str) -> Story {
    let is_done = last.is_done();
    let reason = match (is_done, last.remark.is_empty()) {
        (true, true) => "it is final".into(),
        (true, false) => last.remark.clone(),
        (false, _) => format!("{} ({})", last.remark, last.outcome),
    };
    Story {
        what: last.operation.clone(),
        state: if is_done { State::Done } else { State::Refused },
        step: if is_done { "done" } else { "refused" }.into(),
        place: format!("{ledger}, height {}", last.height),
        why: reason,
        since: Some(last.time()),
        remedy: nothing(is_done),
    }
}

/// Which way a message waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Toward {
    Hub,
    Chain,
}

/// A share that left its source and is not on the hub's record.
fn tell_first_hop(facts: &Facts, left: &RecordFacts) -> Story {
    let link = left.link.as_deref().unwrap_or_default();
    let (state, why, remedy) = hold(facts, link, Toward::Hub);
    Story {
        what: "share".into(),
        state,
        step: "waits for the hub to take it".into(),
        place: format!(
            "{}, message {} of its data lane",
            way_name(facts, link),
            left.number.unwrap_or_default()
        ),
        why,
        since: Some(left.time()),
        remedy,
    }
}

/// A share that the hub has accepted and of whose end it has not heard.
fn tell_second_hop(facts: &Facts, accepted: &RecordFacts) -> Story {
    let chain = accepted.destination_chain.as_deref().unwrap_or_default();
    let way = facts.ways.iter().rev().find(|way| way.hub.chain_id.to_string() == chain);
    let link = way.map_or(String::new(), |way| way.id().to_string());
    let there = facts
        .on_islets
        .iter()
        .find(|islet| islet.chain.to_string() == chain)
        .and_then(|islet| islet.records.last());
    let (step, since, toward) = match there {
        None => ("accepted; waits to be taken at its destination", accepted.time(), Toward::Chain),
        Some(record) if record.is_done() => {
            ("the copy is there; the hub has not heard of it yet", record.time(), Toward::Hub)
        }
        Some(record) => {
            ("refused at its destination; the answer is on its way", record.time(), Toward::Hub)
        }
    };
    let (state, mut why, remedy) = hold(facts, &link, toward);
    if let Some(record) = there.filter(|record| !record.is_done()) {
        why = format!("{} ({}); {why}", record.remark, record.outcome);
    }
    Story {
        what: "share".into(),
        state,
        step: step.into(),
        place: way_name(facts, &link),
        why,
        since: Some(since),
        remedy,
    }
}

fn tell_commit(facts: &Facts, commit: &CommitFacts) -> Story {
    let story = |state, step: String, place: String, why: String, remedy: String| Story {
        what: "two-phase commit".into(),
        state,
        step,
        place,
        why,
        since: Some(UnixMillis(commit.since_ms)),
        remedy,
    };
    let mut cause = commit.cause.clone().unwrap_or_else(|| "all participants voted yes".into());
    for release in &commit.releases {
        // Against it the hub's decision stands, and whoever asks must know of both.
        cause = format!(
            "{cause}; the council behind {} has announced to release what it holds there, in trust \
             epoch {}",
            way_name(facts, &release.link),
            release.trust_epoch
        );
    }
    let Some(link) = commit.awaited.first().filter(|_| !commit.finished) else {
        let is_committed = commit.status == "committed";
        return story(
            if is_committed { State::Done } else { State::Refused },
            format!("{} on all participants", commit.status),
            "the hub and every participant".into(),
            cause,
            nothing(is_committed),
        );
    };
    let names: Vec<String> = commit.awaited.iter().map(|link| way_name(facts, link)).collect();
    let is_undecided = commit.status == "preparing";
    let answered =
        has_answered(facts, link, if is_undecided { &["prepare"] } else { &["commit", "abort"] });
    let toward = if answered { Toward::Hub } else { Toward::Chain };
    let (state, reason, remedy) = hold(facts, link, toward);
    let message = match (is_undecided, answered) {
        (true, true) => "its vote is on its way to the hub",
        (true, false) => "Prepare is on its way to it",
        (false, true) => "it has applied the decision; Done is on its way to the hub",
        (false, false) => "the decision is on its way to it",
    };
    if !is_undecided {
        let step = format!(
            "{}; waits until {} of {} have applied it",
            commit.status,
            names.len(),
            commit.seats.len()
        );
        let why = format!("{cause}; {message}; {reason}");
        return story(state, step, names.join("; "), why, remedy);
    }
    let deadline = UnixMillis(commit.deadline_ms);
    let votes: Vec<String> = commit
        .seats
        .iter()
        .filter_map(|seat| {
            Some(format!("{} from {}", seat.vote.as_ref()?, way_name(facts, &seat.link)))
        })
        .collect();
    let votes = if votes.is_empty() { "no vote yet".into() } else { votes.join(", ") };
    story(
        // An undecided commit ends by itself: the hub's own clock aborts it.
        State::Waiting,
        format!("preparing; waits for {} of {} votes", names.len(), commit.seats.len()),
        names.join("; "),
        format!("{votes}; {message}; {reason}"),
        format!(
            "{remedy}; what is undecided at {}, in {}, is aborted without anybody's doing",
            rfc3339(deadline),
            lasting(deadline.since(facts.now))
        ),
    )
}

/// Whether the participant has done its part, as far as its own ledger was asked.
fn has_answered(facts: &Facts, link: &str, operations: &[&str]) -> bool {
    let way = facts.ways.iter().find(|way| way.id().to_string() == link);
    let islet =
        way.and_then(|way| facts.on_islets.iter().find(|islet| islet.chain == way.hub.chain_id));
    islet.is_some_and(|islet| {
        islet.records.iter().any(|record| operations.contains(&record.operation.as_str()))
    })
}

fn way_name(facts: &Facts, link: &str) -> String {
    let way = facts.ways.iter().find(|way| way.id().to_string() == link);
    way.map_or_else(|| format!("link {link}"), |way| format!("link {link} to {}", way.name))
}

/// What keeps a message on a link, and what mends it.
fn hold(facts: &Facts, link: &str, toward: Toward) -> (State, String, String) {
    let Some(way) = facts.ways.iter().find(|way| way.id().to_string() == link) else {
        let remedy = "let a quorum of the hub register the link anew, or share to another chain";
        return (State::Blocked, "the hub has no such link".into(), remedy.into());
    };
    if let Some((why, remedy)) = shut(way, toward) {
        return (State::Blocked, why, remedy);
    }
    if let LinkStatus::Paused { until } = way.hub.status {
        return (
            State::Waiting,
            format!("the hub has paused the link until {}", rfc3339(until)),
            "wait for that, or let a quorum of the hub decide about the link".into(),
        );
    }
    let waiting = match toward {
        Toward::Chain => format!("{} messages wait for {}", way.waiting_for_chain(), way.name),
        Toward::Hub => match way.waiting_for_hub() {
            Some(count) => format!("{count} messages of {} wait for the hub", way.name),
            None => format!("what waits at {} is not known; name it with --islet", way.name),
        },
    };
    match &facts.relayer {
        RelayerFacts::NotAsked => (
            State::Waiting,
            waiting,
            "`tombolo relayer status --status HOST:PORT` says whether a relayer brings it; \
             `tombolo relayer start --config FILE` starts one"
                .into(),
        ),
        RelayerFacts::Silent(status) => (
            State::Waiting,
            format!("{waiting}, and no relayer answers at {status}"),
            "`tombolo relayer start --config FILE`".into(),
        ),
        RelayerFacts::Reports(reports) => match reports.iter().find(|it| it.link == link) {
            Some(report) => relayed(report, waiting),
            None => (
                State::Waiting,
                format!("{waiting}, and the relayer does not serve this link"),
                "add the chain to its configuration and start it again, or start another".into(),
            ),
        },
    }
}

/// What stops everything toward one end.
fn shut(way: &Way, toward: Toward) -> Option<(String, String)> {
    let quorum = "a quorum of the hub's stakeholders must decide about the link";
    let council = "the chain's recovery council must decide about the link";
    let ends = [("the hub", Some(&way.hub)), (way.name.as_str(), way.chain.as_ref())];
    for (name, end) in ends {
        let remedy = match end.map(|end| end.status) {
            Some(LinkStatus::Frozen) if name != "the hub" => council,
            Some(LinkStatus::Frozen | LinkStatus::Closed) => quorum,
            _ => continue,
        };
        let status = end.map_or("", |end| end.status.name());
        return Some((format!("the link is {status} at {name}"), remedy.into()));
    }
    if let Some(apart) = epochs_apart(way) {
        return Some(apart);
    }
    let (name, end, remedy) = match toward {
        Toward::Hub => ("the hub", Some(&way.hub), "a quorum of the hub's stakeholders"),
        Toward::Chain => (way.name.as_str(), way.chain.as_ref(), "the chain's recovery council"),
    };
    let word = match end?.client.status {
        ClientStatus::Expired => "has expired",
        ClientStatus::Frozen => "is frozen",
        ClientStatus::Active | ClientStatus::Expiring => return None,
    };
    let why = format!("the light client that {name} holds of the other ledger {word}");
    Some((why, format!("{remedy} must set a new trusted header")))
}

/// A lane of which one end has been reopened and the other has not.
fn epochs_apart(way: &Way) -> Option<(String, String)> {
    let chain = way.chain.as_ref()?;
    way.hub.lanes.iter().find_map(|hub| {
        let there = chain.lanes.iter().find(|there| there.lane == hub.lane)?;
        let (behind, who) = match hub.epoch.cmp(&there.peer_epoch) {
            Ordering::Equal => return None,
            Ordering::Greater => (way.name.as_str(), "the chain's recovery council"),
            Ordering::Less => ("the hub", "a quorum of the hub's stakeholders"),
        };
        let why = format!("lane {} has been reopened, but for its end at {behind}", hub.lane);
        Some((why, format!("{who} must reopen it there, too")))
    })
}

/// What a relayer says of the link.
fn relayed(report: &LinkReport, waiting: String) -> (State, String, String) {
    if let Some(blocked) = report.blocked.first() {
        return (
            State::Blocked,
            format!("{waiting}; the relayer is blocked: {blocked}"),
            "do what the reason names; the relayer goes on by itself".into(),
        );
    }
    match &report.failure {
        Some(failure) => (
            State::Waiting,
            format!(
                "{waiting}; the relayer fails at the {} for the {}. time: {} ({})",
                failure.end, failure.in_a_row, failure.message, failure.class
            ),
            "mend what the reason names; the relayer tries again by itself".into(),
        ),
        None => (
            State::Waiting,
            format!("{waiting}; the relayer serves the link and reports no fault"),
            "wait, and ask again".into(),
        ),
    }
}

#[cfg(test)]
mod tests;
