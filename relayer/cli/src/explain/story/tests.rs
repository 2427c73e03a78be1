//! What is known, and what is said of it.

use super::*;
use crate::explain::facts::{IsletFacts, ReleaseFacts, SeatFacts};
use tombolo_proto::view::{LaneView, LinkView, Receipt};
use tombolo_relayer::report::FailureReport;
use tombolo_types::{
    Class, Epoch, Height,
    id::{BlockId, ChainId, LinkId},
    lane::DATA_LANE,
    verifier::ClientView,
};

const LINK: LinkId = LinkId([7; 32]);
const CHAIN: ChainId = ChainId([8; 32]);

fn link(size: u64, taken: u64, received: u64) -> LinkView {
    LinkView {
        id: LINK,
        chain_id: CHAIN,
        mode: 1,
        status: LinkStatus::Open,
        verifier: "tombolo".into(),
        client: ClientView {
            chain: CHAIN,
            height: Height(1),
            block_id: BlockId::ZERO,
            newest_time: UnixMillis(1),
            set_since: Height(1),
            validators_root: Hash::ZERO,
            key_epoch: 0,
            status: ClientStatus::Active,
            trusting_period_ms: 1_000,
        },
        greeted: true,
        trust_epoch: 0,
        peer_trust_epoch: 0,
        lanes: vec![LaneView {
            lane: DATA_LANE,
            epoch: Epoch(1),
            size,
            taken,
            freed: taken,
            peer_epoch: Epoch(1),
            received,
            bytes: 0,
            current_at: UnixMillis(1),
        }],
    }
}

/// Nobody knows anything; the hub has sent 9 messages and taken 4, the islet has taken 6 and sent 5.
fn facts() -> Facts {
    Facts {
        id: Hash([1; 32]),
        now: UnixMillis(50_000),
        commit: None,
        on_hub: Vec::new(),
        on_islets: vec![IsletFacts { name: "seattle".into(), chain: CHAIN, records: Vec::new() }],
        receipt: None,
        ways: vec![Way { name: "seattle".into(), hub: link(9, 5, 4), chain: Some(link(5, 4, 6)) }],
        relayer: RelayerFacts::NotAsked,
    }
}

fn record(operation: &str, outcome: &str, remark: &str) -> RecordFacts {
    RecordFacts {
        operation: operation.into(),
        outcome: outcome.into(),
        remark: remark.into(),
        height: 12,
        time_ms: 40_000,
        link: Some(LINK.to_string()),
        number: Some(4),
        destination_chain: Some(CHAIN.to_string()),
    }
}

fn commit(status: &str, finished: bool) -> CommitFacts {
    CommitFacts {
        status: status.into(),
        finished,
        deadline_ms: 60_000,
        since_ms: 30_000,
        awaited: if finished { vec![] } else { vec![LINK.to_string()] },
        seats: vec![SeatFacts { link: LINK.to_string(), vote: None }, SeatFacts::default()],
        cause: None,
        releases: vec![],
    }
}

fn report(blocked: Option<&str>, failing: bool) -> RelayerFacts {
    let failure =
        failing.then(|| FailureReport { class: "E_TIMEOUT".into(), ..Default::default() });
    RelayerFacts::Reports(vec![LinkReport {
        link: LINK.to_string(),
        blocked: blocked.map(str::to_owned).into_iter().collect(),
        failure,
        ..LinkReport::default()
    }])
}

/// Tells of what `change` makes known, and checks state and what is said.
fn check(state: State, said: &[&str], change: impl FnOnce(&mut Facts)) {
    let mut facts = facts();
    change(&mut facts);
    let story = tell(&facts).unwrap();
    let all = format!("{} | {} | {} | {}", story.step, story.place, story.why, story.remedy);
    assert_eq!(story.state, state, "{all}");
    for words in said {
        assert!(all.contains(words), "`{words}` is not in: {all}");
    }
}

#[test]
fn what_nobody_knows_is_not_found() {
    assert_eq!(tell(&facts()).unwrap_err().class, Class::NotFound);
}

#[test]
fn a_transaction_without_records_is_told_by_its_receipt() {
    let receipt =
        |refusal| Receipt { height: Height(3), time: UnixMillis(5), refusal, record: None };
    check(State::Done, &["seattle, height 3"], |facts| {
        facts.receipt = Some(("seattle".into(), receipt(None)));
    });
    check(State::Refused, &["E_STATE", "submit it anew"], |facts| {
        let refusal = Refusal::new(Class::State, "it is locked");
        facts.receipt = Some(("the hub".into(), receipt(Some(refusal))));
    });
}

#[test]
fn a_share_is_told_hop_by_hop() {
    check(State::Waiting, &["waits for the hub", "1 messages of seattle", "message 4"], |facts| {
        facts.on_islets[0].records = vec![record("share", "done", "version 1")];
    });
    check(State::Refused, &["E_CLOSED_COPY", "seattle, height 12"], |facts| {
        facts.on_islets[0].records = vec![record("share", "E_CLOSED_COPY", "it is closed")];
    });
    check(State::Waiting, &["waits to be taken", "3 messages wait for seattle"], |facts| {
        facts.on_hub = vec![record("share", "done", "accepted")];
    });
    check(State::Waiting, &["the copy is there"], |facts| {
        facts.on_hub = vec![record("share", "done", "accepted")];
        facts.on_islets[0].records = vec![record("share", "done", "copy of version 1")];
    });
    check(State::Waiting, &["refused at its destination", "too late (E_TIMEOUT)"], |facts| {
        facts.on_hub = vec![record("share", "done", "accepted")];
        facts.on_islets[0].records = vec![record("share", "E_TIMEOUT", "too late")];
    });
    check(State::Done, &["completed"], |facts| {
        facts.on_hub =
            vec![record("share", "done", "accepted"), record("share", "done", "completed")];
    });
    check(State::Refused, &["(E_DENIED)"], |facts| {
        facts.on_hub = vec![record("share", "E_DENIED", "a policy denies")];
    });
}

#[test]
fn a_commit_is_told_phase_by_phase() {
    check(
        State::Waiting,
        &["1 of 2 votes", "Prepare is on its way", "in 10 s, is aborted"],
        |facts| {
            facts.commit = Some(commit("preparing", false));
        },
    );
    check(State::Waiting, &["its vote is on its way to the hub"], |facts| {
        facts.commit = Some(commit("preparing", false));
        facts.on_islets[0].records = vec![record("prepare", "done", "voted yes")];
    });
    check(State::Waiting, &["committed; waits", "the decision is on its way"], |facts| {
        facts.commit = Some(commit("committed", false));
    });
    check(State::Waiting, &["Done is on its way"], |facts| {
        facts.commit = Some(commit("aborted", false));
        facts.on_islets[0].records = vec![record("abort", "done", "aborted")];
    });
    check(State::Done, &["committed on all"], |facts| {
        facts.commit = Some(commit("committed", true));
    });
    check(State::Refused, &["aborted on all", "Withdrawn"], |facts| {
        facts.commit =
            Some(CommitFacts { cause: Some("Withdrawn".into()), ..commit("aborted", true) });
    });
}

/// A release stands beside the decision, whatever that is.
#[test]
fn a_release_is_told_with_the_commit() {
    let released = |status, finished| CommitFacts {
        releases: vec![ReleaseFacts { link: LINK.to_string(), trust_epoch: 3 }],
        ..commit(status, finished)
    };
    let said = "to seattle has announced to release what it holds there, in trust epoch 3";
    check(State::Done, &["committed on all", said], |facts| {
        facts.commit = Some(released("committed", true));
    });
    check(State::Waiting, &["committed; waits", said], |facts| {
        facts.commit = Some(released("committed", false));
    });
}

/// Each with the share on its second hop, where the islet must take something.
#[test]
fn what_keeps_a_message_is_named_with_its_remedy() {
    let waiting = |facts: &mut Facts| facts.on_hub = vec![record("share", "done", "accepted")];
    let frozen = "a quorum of the hub's stakeholders must decide";
    check(State::Blocked, &["frozen at the hub", frozen], |facts| {
        waiting(facts);
        facts.ways[0].hub.status = LinkStatus::Frozen;
    });
    check(State::Blocked, &["frozen at seattle", "recovery council must decide"], |facts| {
        waiting(facts);
        facts.ways[0].chain.as_mut().unwrap().status = LinkStatus::Frozen;
    });
    check(State::Blocked, &["reopened, but for its end at seattle", "council"], |facts| {
        waiting(facts);
        facts.ways[0].hub.lanes[0].epoch = Epoch(2);
    });
    check(State::Blocked, &["reopened, but for its end at the hub", "quorum"], |facts| {
        waiting(facts);
        facts.ways[0].chain.as_mut().unwrap().lanes[0].peer_epoch = Epoch(2);
    });
    check(State::Blocked, &["closed at seattle"], |facts| {
        waiting(facts);
        facts.ways[0].chain.as_mut().unwrap().status = LinkStatus::Closed;
    });
    check(State::Blocked, &["seattle holds", "has expired", "recovery council"], |facts| {
        waiting(facts);
        facts.ways[0].chain.as_mut().unwrap().client.status = ClientStatus::Expired;
    });
    // The hub's own client does not matter on the way to the islet.
    check(State::Waiting, &["relayer status"], |facts| {
        waiting(facts);
        facts.ways[0].hub.client.status = ClientStatus::Frozen;
    });
    check(State::Waiting, &["paused the link until 1970-01-01T00:01:30.000Z"], |facts| {
        waiting(facts);
        facts.ways[0].hub.status = LinkStatus::Paused { until: UnixMillis(90_000) };
    });
    check(State::Waiting, &["no relayer answers at 127.0.0.1:7400"], |facts| {
        waiting(facts);
        facts.relayer = RelayerFacts::Silent(([127, 0, 0, 1], 7400).into());
    });
    check(State::Waiting, &["does not serve this link"], |facts| {
        waiting(facts);
        facts.relayer = RelayerFacts::Reports(Vec::new());
    });
    check(State::Waiting, &["reports no fault"], |facts| {
        waiting(facts);
        facts.relayer = report(None, false);
    });
    check(State::Waiting, &["E_TIMEOUT"], |facts| {
        waiting(facts);
        facts.relayer = report(None, true);
    });
    check(State::Blocked, &["earlier epoch"], |facts| {
        waiting(facts);
        facts.relayer = report(Some("chain: the other end is in an earlier epoch"), false);
    });
    check(State::Blocked, &["no such link"], |facts| {
        waiting(facts);
        facts.ways.clear();
    });
}
