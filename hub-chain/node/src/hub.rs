//! The hub as a node: its daemon, and its state as JSON.

mod swaps;

use crate::{
    config::Config,
    query::{Queries, cursor_of, found, id_of, paged, two_of},
    run::{self, Exit, Kind},
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tombolo_crypto::{
    attested::{self, Attested, AttestedState},
    client::LightClient,
};
use tombolo_evm_core::{beacon::Beacon, clique::Clique, follow::EvmVerifier};
use tombolo_hub::{
    Hub,
    data::CopyStatus,
    query::{self, CommitView, IdentityView, ItemView, LinkView, ProposalView, Release},
};
use tombolo_ledger::lanes::Lane;
use tombolo_swap::two_phase::{Answer, Counted, Outcome, Phase, Progress, Seat};
use tombolo_types::{
    Address, LaneNumber, Refusal,
    attested::SharedNode,
    council::ActKind,
    id::SchemaId,
    message::Role,
    refuse,
    schema::{Field, Schema},
    store::View,
    verifier::Verifier,
};

/// Runs a hub's node until `cancel`.
///
/// # Errors
/// [`Exit`].
pub async fn run(config: Config, cancel: CancellationToken) -> Result<(), Exit> {
    run::run(kind(), config, cancel).await
}

/// The hub's ledger with what it shows.
#[must_use]
pub fn kind() -> Kind<Hub> {
    Kind { machine: Hub::with_verifiers(verifiers()), queries: Arc::new(HubQueries) }
}

/// How a ledger's own consensus is followed: ledgers of this engine, Clique, Ethereum.
fn by_consensus() -> Vec<Box<dyn Verifier>> {
    vec![
        Box::new(LightClient),
        Box::new(EvmVerifier::<Clique>::new()),
        Box::new(EvmVerifier::<Beacon>::new()),
    ]
}

/// All that a link may name. Part of the protocol: every node of a hub must have the same.
fn verifiers() -> Vec<Box<dyn Verifier>> {
    let mut all = by_consensus();
    // What nodes attest may be bound to what the ledger's own consensus proves.
    all.push(Box::new(Attested::bounded_by(by_consensus())));
    all
}

/// `identity/<id>`, `identities`, `devices/<owner>`, `history/<identity>`, `links`, `link/<id>`,
/// `schemas`, `policies`, `items`, `item/<id>`, `grants/<item>`, `commits`, `commit/<xid>`,
/// `releases`, `releases/<xid>`, `proposals`, `proposal/<id>`, `swaps`, `swap/<order>`,
/// `swap-of/<hash>`, `swap-chains`, `swap-protocol/<chain>-<chain>`, and what every ledger has.
#[derive(Clone, Copy, Debug, Default)]
pub struct HubQueries;

impl Queries for HubQueries {
    fn query(
        &self,
        view: &dyn View,
        path: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Value, Refusal> {
        let more = limit.saturating_add(1);
        let (name, id) = path.split_once('/').unwrap_or((path, ""));
        Ok(match (name, id.is_empty()) {
            ("identities", true) => {
                let all = query::identities(view, cursor_of(from)?, more);
                paged(&all, limit, |it| it.standing.identity.to_string(), identity)
            }
            ("identity", false) => {
                let wanted = id_of(id)?;
                identity(&found(query::identity(view, wanted), "identity", id)?)
            }
            ("devices", false) => {
                let all = query::devices(view, id_of(id)?, cursor_of(from)?, more);
                paged(&all, limit, ToString::to_string, |device| {
                    query::identity(view, *device).as_ref().map_or(Value::Null, identity)
                })
            }
            ("history", false) => history(view, id, from, limit)?,
            ("links", true) => {
                json!({ "entries": query::links(view).iter().map(link).collect::<Vec<_>>() })
            }
            ("link", false) => link(&found(query::link(view, id_of(id)?), "link", id)?),
            ("schemas", true) => {
                let all = query::schemas(view, cursor_of(from)?, more);
                paged(&all, limit, |(id, _)| id.to_string(), |(id, it)| schema(*id, it))
            }
            ("policies", true) => policies(view, from, limit),
            ("items", true) => {
                let all = query::items(view, cursor_of(from)?, more);
                paged(&all, limit, |it| it.item.id.to_string(), item)
            }
            ("item", false) => item(&found(query::item(view, id_of(id)?), "item", id)?),
            ("grants", false) => grants(view, id, limit)?,
            ("commits", true) => {
                let all = query::commits(view, cursor_of(from)?, more);
                paged(&all, limit, |it| it.xid.to_string(), commit)
            }
            ("commit", false) => commit(&found(query::commit(view, id_of(id)?), "commit", id)?),
            ("releases", true) => {
                let (link, subject) = two_of(from)?;
                let all = query::releases(view, (link, subject), more);
                paged(&all, limit, |it| format!("{}-{}", it.link, it.act.subject), release)
            }
            ("releases", false) => {
                let all = query::releases_of(view, id_of(id)?);
                json!({ "entries": all.iter().map(release).collect::<Vec<_>>() })
            }
            ("proposals", true) => {
                let all = query::proposals(view, cursor_of(from)?, more);
                paged(&all, limit, |it| it.id.to_string(), proposal)
            }
            ("proposal", false) => proposal(&query::proposal(view, id_of(id)?)?),
            ("swaps", true) => swaps::orders(view, from, limit)?,
            ("swap", false) => swaps::one(view, id)?,
            ("swap-of", false) => swaps::of_hash(view, id)?,
            ("swap-chains", true) => swaps::chains(view, from, limit)?,
            ("swap-protocol", false) => swaps::protocol(view, id)?,
            _ => refuse!(Unsupported, "a hub has no query `{path}`"),
        })
    }
}

/// The names of a set of roles.
#[must_use]
pub fn role_names(roles: u16) -> Vec<&'static str> {
    Role::ALL.into_iter().filter(|role| role.is_in(roles)).map(Role::name).collect()
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn identity(it: &IdentityView) -> Value {
    let accounts = it.accounts.iter().map(
        |(chain, account)| json!({ "chain": chain.to_string(), "account": account.to_string() }),
    );
    let mut value = json!({
        "identity": it.standing.identity.to_string(),
        "name": it.name,
        "status": it.standing.status.name(),
        "roles": role_names(it.standing.roles),
        "keys": texts(&it.standing.keys),
        "accounts": accounts.collect::<Vec<_>>(),
        "changes": it.changes,
        "bindings": it.bindings,
    });
    if !it.standing.owner.is_zero() {
        value["owner"] = it.standing.owner.to_string().into();
    }
    value
}

fn history(view: &dyn View, id: &str, from: Option<&str>, limit: usize) -> Result<Value, Refusal> {
    let Ok(first) = from.unwrap_or("0").parse::<u32>() else {
        refuse!(Format, "`{}` is no number of a change", from.unwrap_or_default());
    };
    let more = limit.saturating_add(1);
    let all = query::identity_history(view, id_of(id)?, first, more);
    let entries = all.iter().take(limit).map(|entry| {
        let mut value = json!({
            "what": format!("{:?}", entry.what),
            "since": entry.since.0,
            "time_ms": entry.time.0,
            "tx_id": entry.tx_id.to_string(),
            "approvers": texts(&entry.approvers),
            "status": entry.standing.status.name(),
            "roles": role_names(entry.standing.roles),
            "keys": texts(&entry.standing.keys),
        });
        if let Some((chain, account)) = entry.account {
            value["chain"] = chain.to_string().into();
            value["account"] = account.to_string().into();
        }
        value
    });
    let mut page = json!({ "entries": entries.collect::<Vec<_>>() });
    if all.len() > limit {
        let next = u64::from(first).saturating_add(limit as u64);
        page["next"] = next.to_string().into();
    }
    Ok(page)
}

/// One lane of a link.
#[must_use]
pub fn lane_json(number: LaneNumber, lane: &Lane) -> Value {
    json!({
        "lane": number.0,
        "epoch": lane.epoch.0,
        "size": lane.sent.size(),
        "taken": lane.taken,
        "freed": lane.freed,
        "bytes": lane.bytes,
        "peer_epoch": lane.peer_epoch.0,
        "received": lane.received.size(),
        "to_send_again": lane.resuming().map_or(0, |it| it.sent.size().saturating_sub(it.next)),
    })
}

fn link(it: &LinkView) -> Value {
    let attested = (it.link.verifier == attested::KIND)
        .then(|| AttestedState::decode(&it.link.client).ok())
        .flatten();
    let suspended = attested.map(|state| state.suspended).unwrap_or_default();
    let lanes = it.lanes.iter().map(|(number, lane)| lane_json(*number, lane));
    let announced = it.registration.announced.iter().map(|act| {
        json!({
            "act": act.act,
            "name": ActKind::from_number(act.act).map_or("unknown", ActKind::name),
            "subject": act.subject.to_string(),
            "trust_epoch": act.trust_epoch,
            "holds_from_ms": act.holds_from,
        })
    });
    json!({
        "link": it.link.id.to_string(),
        "chain": it.link.chain.to_string(),
        "mode": it.link.mode,
        "status": it.status,
        "verifier": it.link.verifier,
        "unbounded": it.link.unbounded,
        "link_policy": it.link.policy_hash.to_string(),
        "gateway": it.registration.gateway.to_string(),
        "code_hash": it.registration.code_hash.to_string(),
        "nodes": it.registration.nodes.iter().map(|it| node(it, &suspended)).collect::<Vec<_>>(),
        "identification_method": it.registration.identification_method,
        "greeted": it.link.greeted,
        "opened": it.registration.opened,
        "registered_at": it.registration.height.0,
        "approvers": texts(&it.registration.approvers),
        "client_height": it.link.peer_height.0,
        "client_time_ms": it.link.peer_time.0,
        "trust_epoch": it.link.trust_epoch,
        "peer_trust_epoch": it.link.peer_trust_epoch,
        "announced": announced.collect::<Vec<_>>(),
        "lanes": lanes.collect::<Vec<_>>(),
    })
}

/// A node of a link in mode 2 or 3, with whether its word about the chain counts no more.
fn node(it: &SharedNode, suspended: &[Address]) -> Value {
    json!({
        "suspended": suspended.contains(&it.hub_key),
        "hub_key": it.hub_key.to_string(),
        "chain_key": it.chain_key.to_string(),
        "capabilities": it.capabilities,
    })
}

/// A schema with its fields.
#[must_use]
pub fn schema(id: SchemaId, it: &Schema) -> Value {
    let field = |field: &Field| {
        json!({
            "name": field.name,
            "kind": format!("{:?}", field.kind).to_lowercase(),
            "unit": field.unit,
            "required": field.required,
        })
    };
    json!({
        "schema": id.to_string(),
        "name": it.name,
        "version": it.version,
        "fields": it.fields.iter().map(field).collect::<Vec<_>>(),
    })
}

fn policies(view: &dyn View, from: Option<&str>, limit: usize) -> Value {
    let (hash, all) = query::policies(view);
    let rest: Vec<_> =
        all.into_iter().filter(|(id, _)| id.as_str() >= from.unwrap_or_default()).collect();
    let mut page = paged(
        &rest,
        limit,
        |(id, _)| id.clone(),
        |(id, text)| json!({ "policy": id, "text": text }),
    );
    page["hash"] = hash.to_string().into();
    page
}

fn item(it: &ItemView) -> Value {
    let copies = it.copies.iter().map(|(chain, copy)| {
        let status = match copy.status {
            CopyStatus::Accepted => "accepted",
            CopyStatus::Completed => "completed",
            CopyStatus::Refused => "refused",
        };
        json!({
            "chain": chain.to_string(),
            "version": copy.version,
            "global_id": copy.global_id.to_string(),
            "status": status,
            "time_ms": copy.time.0,
        })
    });
    let mut value = json!({
        "item": it.item.id.to_string(),
        "home": it.item.home.to_string(),
        "location": it.item.location.to_string(),
        "owner": it.item.owner.to_string(),
        "class": it.item.class.name(),
        "schema": it.item.schema.to_string(),
        "version": it.item.version,
        "fingerprint": it.item.fingerprint.to_string(),
        "terms": it.item.terms,
        "height": it.item.height.0,
        "copies": copies.collect::<Vec<_>>(),
    });
    if let Some(xid) = it.locked_by {
        value["locked_by"] = xid.to_string().into();
    }
    value
}

fn grants(view: &dyn View, item: &str, limit: usize) -> Result<Value, Refusal> {
    let entries = query::grants(view, id_of(item)?, limit).into_iter().map(|given| {
        let key = given.grant.key;
        json!({
            "item": key.item.to_string(),
            "grantee": key.grantee.to_string(),
            "purpose": format!("{:?}", key.purpose).to_lowercase(),
            "giver": given.giver.to_string(),
            "expires_ms": given.grant.expires.0,
            "height": given.height.0,
        })
    });
    Ok(json!({ "entries": entries.collect::<Vec<_>>() }))
}

fn commit(it: &CommitView) -> Value {
    let (status, finished) = match it.phase {
        Phase::Preparing => ("preparing", false),
        Phase::Decided(verdict) => (outcome(verdict.outcome()), false),
        Phase::Finished(verdict) => (outcome(verdict.outcome()), true),
    };
    let mut value = json!({
        "xid": it.xid.to_string(),
        "status": status,
        "finished": finished,
        "deadline_ms": it.deadline.0,
        "since_ms": it.since.0,
        "awaited": texts(&it.awaited),
        "parties": texts(&it.parties),
        "seats": it.seats.iter().map(seat).collect::<Vec<_>>(),
        "releases": it.releases.iter().map(release).collect::<Vec<_>>(),
    });
    if let Phase::Decided(verdict) | Phase::Finished(verdict) = it.phase
        && verdict.outcome() == Outcome::Abort
    {
        value["cause"] = format!("{verdict:?}").into();
    }
    value
}

/// A release that a council has announced: what its chain holds is disputed should the commit stand.
fn release(it: &Release) -> Value {
    json!({
        "link": it.link.to_string(),
        "subject": it.act.subject.to_string(),
        "trust_epoch": it.act.trust_epoch,
        "holds_from_ms": it.act.holds_from,
        "signers": texts(&it.act.signers),
        "approved": it.is_approved,
    })
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Commit => "committed",
        Outcome::Abort => "aborted",
    }
}

fn seat(it: &Seat) -> Value {
    let progress = match it.progress {
        Progress::PrepareSent => "prepare sent",
        Progress::DecisionSent => "decision sent",
        Progress::Done => "done",
    };
    let mut value = json!({ "link": it.link.to_string(), "progress": progress });
    if let Some(ballot) = &it.ballot {
        value["vote"] = match ballot.answer {
            Answer::Yes => "yes".into(),
            Answer::No(class) => class.code().into(),
        };
        value["counted"] = (ballot.counted == Counted::InTime).into();
        value["voted_ms"] = ballot.at.0.into();
    }
    value
}

fn proposal(it: &ProposalView) -> Value {
    json!({
        "proposal": it.id.to_string(),
        "act": it.proposal.act.name(),
        "proposer": it.proposal.proposer.to_string(),
        "approvals": texts(&it.proposal.approvals),
        "quorum": it.quorum,
        "proposed_ms": it.proposal.proposed.0,
        "expires_ms": it.proposal.expires.0,
        "height": it.proposal.height.0,
    })
}

#[cfg(test)]
mod tests {
    /// The kinds of docs/protocol.md section 6.
    #[test]
    fn a_link_may_name_these_verifiers() {
        let verifiers = super::verifiers();
        let kinds: Vec<_> = verifiers.iter().map(|verifier| verifier.kind()).collect();
        assert_eq!(kinds, ["tombolo", "clique", "ethereum", "attested"]);
    }
}
