//! The islet as a node: its daemon, and its state as JSON.
//!
//! What a closed item holds is shown to nobody here, for the interface does not know who asks
//! (attack A46); its fingerprint is.

use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tombolo_islet_core::{
    self as islet, Account, HashLock, HashLockStanding, Held, Hold, Holding, Islet, Item, ItemCopy,
    Lock, Parcel, Released, Standing,
};
use tombolo_ledger::{Principal, block, lanes};
use tombolo_node::{
    Config, Exit, Kind, Queries,
    hub::{lane_json, role_names, schema},
    query::{cursor_of, found, id_of, paged, two_of},
};
use tombolo_types::{
    Address, Refusal, UnixMillis,
    envelope::{Envelope, Value as Measured},
    id::{SecretHash, Xid},
    message::DataClass,
    refuse,
    schema::Schema,
    store::View,
};

/// Runs an islet's node until `cancel`.
///
/// # Errors
/// [`Exit`].
pub async fn run(config: Config, cancel: CancellationToken) -> Result<(), Exit> {
    tombolo_node::run(kind(), config, cancel).await
}

/// The islet's ledger with what it shows.
#[must_use]
pub fn kind() -> Kind<Islet> {
    Kind { machine: Islet, queries: Arc::new(IsletQueries) }
}

/// `items`, `item/<id>`, `versions/<item>`, `copies`, `copy/<id>`, `accounts`,
/// `accounts/<address>`, `locks`, `releases`, `hash-locks`, `hash-locks/<hash>`,
/// `hash-lock/<hash>-<locker>`, `view`, `council`, `schemas`, and what every ledger has.
#[derive(Clone, Copy, Debug, Default)]
pub struct IsletQueries;

impl Queries for IsletQueries {
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
            ("items", true) => {
                let all = islet::items(view, cursor_of(from)?, more);
                paged(&all, limit, |it| it.id.to_string(), item)
            }
            ("item", false) => item(&found(islet::item(view, id_of(id)?), "item", id)?),
            ("versions", false) => versions(view, id, from, limit)?,
            ("copies", true) => {
                let all = islet::copies(view, cursor_of(from)?, more);
                paged(&all, limit, |it| it.id.to_string(), copy)
            }
            ("copy", false) => copy(&found(islet::copy(view, id_of(id)?), "copy of item", id)?),
            ("accounts", true) => {
                let all = islet::holdings(view, two_of(from)?, more);
                paged(&all, limit, |it| format!("{}-{}", it.account, it.asset), holding)
            }
            ("accounts", false) => account(&islet::account(view, id_of(id)?)),
            ("locks", true) => {
                let all = islet::locks(view, cursor_of(from)?, more);
                paged(&all, limit, |it| it.xid.to_string(), lock)
            }
            ("releases", true) => {
                let all = islet::released(view, cursor_of(from)?, more);
                paged(&all, limit, |(xid, _)| xid.to_string(), released)
            }
            ("hash-locks", true) => {
                let (hash, locker) = two_of::<SecretHash, Address>(from)?;
                let all = islet::hash_locks(view, (hash, locker), more);
                paged(&all, limit, |it| format!("{}-{}", it.hash, it.locker), hash_lock)
            }
            ("hash-lock", false) => {
                let (hash, locker) = two_of(Some(id))?;
                hash_lock(&found(islet::hash_lock(view, hash, locker), "hash lock", id)?)
            }
            ("hash-locks", false) => {
                let all = islet::hash_locks_under(view, id_of(id)?, limit);
                json!({ "entries": all.iter().map(hash_lock).collect::<Vec<_>>() })
            }
            ("schemas", true) => {
                let all = islet::schemas(view, cursor_of(from)?, more);
                let entry = |(id, definition): &(_, Vec<u8>)| {
                    Schema::parse(definition).map_or(Value::Null, |it| schema(*id, &it))
                };
                paged(&all, limit, |(id, _)| id.to_string(), entry)
            }
            ("view", true) => gateway(view),
            ("identities", true) => {
                let all = Principal::list(view, cursor_of(from)?, more);
                paged(&all, limit, |it| it.identity.to_string(), principal)
            }
            ("identity", false) => {
                principal(&found(Principal::of(view, id_of(id)?), "identity", id)?)
            }
            ("council", true) => council(view),
            _ => refuse!(Unsupported, "an islet has no query `{path}`"),
        })
    }
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn item(it: &Item) -> Value {
    let mut value = json!({
        "item": it.id.to_string(),
        "version": it.version,
        "class": it.class.name(),
        "home": it.home.to_string(),
        "owner": it.owner.to_string(),
        "holder": it.holder.to_string(),
        "schema": it.schema.to_string(),
        "fingerprint": it.fingerprint.to_string(),
        "device": it.device.to_string(),
        "since": it.since.0,
    });
    value["standing"] = match it.standing {
        Standing::Live => "live".into(),
        Standing::Locked(xid) => {
            value["xid"] = xid.to_string().into();
            "locked".into()
        }
        Standing::Moved { to, xid } => {
            value["xid"] = xid.to_string().into();
            value["moved_to"] = to.to_string().into();
            "moved".into()
        }
        Standing::Superseded => "superseded".into(),
        Standing::Disputed(xid) => {
            value["xid"] = xid.to_string().into();
            "disputed".into()
        }
    };
    if it.class == DataClass::Open {
        add_envelope(&mut value, &it.envelope);
    }
    value
}

fn versions(view: &dyn View, id: &str, from: Option<&str>, limit: usize) -> Result<Value, Refusal> {
    let Ok(first) = from.unwrap_or("1").parse() else {
        refuse!(Format, "`{}` is no version", from.unwrap_or_default());
    };
    let all = islet::past_versions(view, id_of(id)?, first, limit.saturating_add(1));
    Ok(paged(&all, limit, |it| it.version.to_string(), item))
}

fn copy(it: &ItemCopy) -> Value {
    // Only open items are ever copied.
    let mut value = json!({
        "item": it.id.to_string(),
        "version": it.version,
        "owner": it.owner.to_string(),
        "schema": it.schema.to_string(),
        "fingerprint": it.fingerprint.to_string(),
        "device": it.device.to_string(),
        "source_chain": it.provenance.source_chain.to_string(),
        "source_height": it.provenance.source_height.0,
        "hub_height": it.provenance.hub_height.0,
        "global_id": it.provenance.global_id.to_string(),
        "terms": it.provenance.terms,
        "since": it.provenance.since.0,
    });
    add_envelope(&mut value, &it.envelope);
    value
}

/// The exact bytes, for whoever checks the fingerprint, and what they say.
fn add_envelope(value: &mut Value, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    value["envelope"] = format!("0x{}", hex::encode(bytes)).into();
    let Ok(canonical) = Envelope::parse(bytes) else { return };
    let envelope = canonical.envelope();
    value["local_id"] = envelope.local_id.clone().into();
    value["terms"] = envelope.terms.clone().into();
    value["time_ms"] = envelope.time.0.into();
    let readings = envelope.readings.iter().map(|reading| {
        let measured: Value = match &reading.value {
            // As text: a number of JSON would be rounded.
            Measured::Number(number) => number.to_string().into(),
            Measured::Text(text) => text.clone().into(),
            Measured::Flag(flag) => (*flag).into(),
            Measured::Bytes(bytes) => format!("0x{}", hex::encode(bytes)).into(),
        };
        json!({ "name": reading.name, "time_ms": reading.at.0, "value": measured })
    });
    value["readings"] = readings.collect();
}

fn holding(it: &Holding) -> Value {
    json!({
        "account": it.account.to_string(),
        "asset": it.asset.to_string(),
        "amount": it.amount.to_string(),
    })
}

fn account(it: &Account) -> Value {
    let balances = it
        .balances
        .iter()
        .map(|(asset, amount)| json!({ "asset": asset.to_string(), "amount": amount.to_string() }));
    let mut value = json!({
        "account": it.address.to_string(),
        "balances": balances.collect::<Vec<_>>(),
        "open_locks": it.open_locks,
    });
    if let Some(identity) = it.identity {
        value["identity"] = identity.to_string().into();
    }
    value
}

fn parcel(hold: &str, it: &Parcel) -> Value {
    json!({
        "hold": hold,
        "account": it.account.to_string(),
        "asset": it.asset.to_string(),
        "at_home": it.at_home,
        "amount": it.amount.to_string(),
    })
}

fn holds(held: &Held) -> Vec<Value> {
    let holds = held.holds.iter().map(|hold| match hold {
        Hold::Leaves { item, to } => {
            json!({ "hold": "leaves", "item": item.to_string(), "to": to.to_string() })
        }
        Hold::Appears(item) => json!({
            "hold": "appears",
            "item": item.id.to_string(),
            "version": item.version,
            "owner": item.owner.to_string(),
        }),
        Hold::Pays { from, to, asset, amount } => json!({
            "hold": "pays",
            "from": from.to_string(),
            "to": to.to_string(),
            "asset": asset.to_string(),
            "amount": amount.to_string(),
        }),
        Hold::Departs(parcel) => self::parcel("departs", parcel),
        Hold::Arrives(parcel) => self::parcel("arrives", parcel),
    });
    holds.collect()
}

fn lock(it: &Lock) -> Value {
    json!({
        "xid": it.xid.to_string(),
        "deadline_ms": it.deadline.0,
        "since_ms": it.held.since.0,
        "height": it.held.height.0,
        "accounts": texts(&it.held.accounts),
        "holds": holds(&it.held),
    })
}

/// A lock that the council released, with what it held.
fn released((xid, it): &(Xid, Released)) -> Value {
    json!({
        "xid": xid.to_string(),
        "trust_epoch": it.trust_epoch,
        "time_ms": it.time.0,
        "height": it.height.0,
        "accounts": texts(&it.held.accounts),
        "holds": holds(&it.held),
    })
}

/// A hash lock. The secret of a claimed one is public; that of an open one is not here.
fn hash_lock(it: &HashLock) -> Value {
    let mut value = json!({
        "hash": it.hash.to_string(),
        "locker": it.locker.to_string(),
        "recipient": it.recipient.to_string(),
        "asset": it.asset.to_string(),
        "amount": it.amount.to_string(),
        "deadline_ms": it.deadline.0,
        "height": it.height.0,
    });
    value["standing"] = match it.standing {
        HashLockStanding::Open => "open".into(),
        HashLockStanding::Claimed { secret, height } => {
            value["secret"] = format!("0x{}", hex::encode(secret.0)).into();
            value["ended"] = height.0.into();
            "claimed".into()
        }
        HashLockStanding::Refunded { height } => {
            value["ended"] = height.0.into();
            "refunded".into()
        }
    };
    value
}

/// The gateway, its link to the hub, and how old its view of identities is.
fn gateway(view: &dyn View) -> Value {
    let Some(gateway) = islet::gateway(view) else { return Value::Null };
    let now = block::tip(view).map_or(UnixMillis::ZERO, |tip| tip.time);
    let mut value = json!({
        "gateway": gateway.address.to_string(),
        "link": gateway.link.to_string(),
        "hub": gateway.hub.to_string(),
        "identity_view_age_ms": islet::identity_view_age_ms(view, now),
    });
    if let Some(link) = islet::link_to_hub(view) {
        let lanes = lanes::lanes(view, link.id);
        let lanes = lanes.iter().map(|(number, lane)| lane_json(*number, lane));
        value["hub_height"] = link.peer_height.0.into();
        value["hub_time_ms"] = link.peer_time.0.into();
        value["greeted"] = link.greeted.into();
        value["lanes"] = lanes.collect();
    }
    value
}

fn principal(it: &Principal) -> Value {
    let mut value = json!({
        "identity": it.identity.to_string(),
        "status": it.status.name(),
        "roles": role_names(it.roles),
        "keys": texts(&it.keys),
    });
    for (name, present, text) in [
        ("owner", !it.owner.is_zero(), it.owner.to_string()),
        ("account", !it.account.is_zero(), it.account.to_string()),
    ] {
        if present {
            value[name] = text.into();
        }
    }
    value
}

fn council(view: &dyn View) -> Value {
    let mut value = json!({});
    if let Some(gateway) = islet::gateway(view) {
        value["members"] = texts(&gateway.council).into();
        value["threshold"] = gateway.council_threshold.into();
    }
    if let Some(act) = islet::pending_act(view) {
        value["pending"] = json!({
            "act": act.act.number(),
            "name": act.act.name(),
            "trust_epoch": act.trust_epoch,
            "holds_from_ms": act.holds_from.0,
            "signers": texts(&act.signers),
        });
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_types::{
        Height,
        header::Signature,
        id::{AssetId, ChainId, DataId, Fingerprint, IdentityId, SchemaId},
    };

    fn of_class(class: DataClass) -> Item {
        Item {
            id: DataId([1; 32]),
            version: 1,
            class,
            home: ChainId([2; 32]),
            owner: IdentityId([3; 32]),
            holder: Address([4; 20]),
            schema: SchemaId([5; 32]),
            fingerprint: Fingerprint([6; 32]),
            envelope: b"canary".to_vec(),
            device: IdentityId([7; 32]),
            signature: Signature([8; 65]),
            standing: Standing::Live,
            since: Height(9),
        }
    }

    #[test]
    fn a46_what_a_closed_item_holds_is_not_shown() {
        let canary = hex::encode(b"canary");
        let open = item(&of_class(DataClass::Open)).to_string();
        assert!(open.contains(&canary), "{open}");
        let closed = item(&of_class(DataClass::Closed)).to_string();
        assert!(!closed.contains(&canary) && closed.contains(&"06".repeat(32)), "{closed}");
    }

    #[test]
    fn a_cursor_of_holdings_names_account_and_asset() {
        let (account, asset) = (Address([1; 20]), AssetId([2; 32]));
        let cursor = format!("{account}-{asset}");
        assert_eq!(two_of(Some(&cursor)), Ok((account, asset)));
        let refused = two_of::<Address, AssetId>(Some("0x12-zz")).unwrap_err();
        assert_eq!(refused.class, tombolo_types::Class::Format);
    }
}
