//! Vectors of a recovery council: the subjects of its acts, and what its members sign.

use crate::inputs::{chain, first_set, hex, key, word};
use serde_json::{Value, json};
use tombolo_crypto::{digest, keccak256::keccak256};
use tombolo_types::{
    Epoch, Height, LaneNumber, UnixMillis,
    council::{ActKind, Release, Reopening},
    header::Anchor,
};

/// One act with everything that follows from its subject.
fn act(kind: ActKind, trust_epoch: u32, bytes: &[u8], fields: Value) -> Value {
    let subject = keccak256(bytes);
    let digest = digest::council_act(chain(), kind.number(), trust_epoch, subject);
    json!({
        "act": kind.number(),
        "name": kind.name(),
        "trust_epoch": trust_epoch,
        "fields": fields,
        "bytes": hex(bytes),
        "subject": hex(subject),
        "digest": hex(digest),
        "signature_of_key_7": hex(key(7).sign(digest).0),
    })
}

pub(crate) fn council() -> Value {
    let anchor = Anchor {
        chain_id: word("hub").into(),
        height: Height(9),
        block_id: word("block").into(),
        time: UnixMillis(1_760_000_000_000),
        validators: first_set(),
    };
    let reopening = Reopening {
        link: word("link").into(),
        lane: LaneNumber(1),
        epoch: Epoch(2),
        peer_epoch: Epoch(2),
        received: 57,
    };
    let release = Release { link: word("link").into(), xid: word("xid").into() };
    assert_eq!(Reopening::decode(&reopening.encode()).as_ref(), Ok(&reopening));
    assert_eq!(Release::decode(&release.encode()).as_ref(), Ok(&release));
    let anchor_fields = json!({
        "chain_id": hex(anchor.chain_id),
        "height": anchor.height.0,
        "block_id": hex(anchor.block_id),
        "time": anchor.time.0,
    });
    let reopening_fields = json!({
        "link": hex(reopening.link),
        "lane": reopening.lane.0,
        "epoch": reopening.epoch.0,
        "peer_epoch": reopening.peer_epoch.0,
        "received": reopening.received,
    });
    let release_fields = json!({ "link": hex(release.link), "xid": hex(release.xid) });
    json!({
        "what": "Acts of a recovery council: subject = keccak256(bytes), and what members sign.",
        "chain": hex(chain()),
        "cases": [
            act(ActKind::NewTrustedHeader, 1, &anchor.encode(), anchor_fields),
            act(ActKind::ReopenLane, 2, &reopening.encode(), reopening_fields),
            act(ActKind::ReleaseLock, 3, &release.encode(), release_fields),
        ],
    })
}
