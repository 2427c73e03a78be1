//! Vectors of formats: inputs, bytes, hashes.

use crate::inputs::{
    bytes_of, certificate_of, chain, first_set, genesis_document, hash_of, header_at, header_json,
    hex, key, set, set_json, word,
};
use serde_json::{Value, json};
use tombolo_crypto::{
    certificate, digest,
    digest::VoteKind,
    keccak256::{keccak256, sha256},
    log,
    secp256k1::{self, SignatureError},
};
use tombolo_types::{
    Amount, Epoch, Hash, Height, LaneNumber, MessageNumber, Round, UnixMillis, Weight,
    action::{Action, Branch, MoveIn, MoveOut, Pay, Terms},
    bundle::{BUNDLE_VERSION, Bundle, ValidatorChange},
    header::{Certificate, Genesis, Header, Signature, ValidatorSet},
    id::IdentityId,
    lane::{Direction, LaneLeaf, Message, RangeProof},
    record::{RECORD_FIELDS, Record, SaltedRecord},
};

pub(crate) fn genesis() -> Value {
    let document = genesis_document();
    let bytes = document.encode();
    assert_eq!(Genesis::decode(&bytes).as_ref(), Ok(&document));
    json!({
        "what": "A genesis document, ABI-encoded, and its Keccak-256: the chain id.",
        "cases": [{
            "kind": document.kind,
            "name": document.name,
            "time": document.time.0,
            "validators": set_json(&document.validators),
            "bytes": hex(bytes),
            "chain_id": hex(digest::chain_id(&document)),
        }],
    })
}

pub(crate) fn validators() -> Value {
    let sets =
        [first_set(), set(1, &[(1, 1)]), set(2, &[(1, 1)]), set(1000, &[(3, 7), (9, 1 << 39)])];
    let cases: Vec<Value> = sets
        .iter()
        .map(|set| {
            let bytes = set.encode();
            assert_eq!(ValidatorSet::decode(&bytes).as_ref(), Ok(set));
            json!({
                "set": set_json(set),
                "bytes": hex(bytes),
                "root": hex(digest::validators_root(set)),
            })
        })
        .collect();
    json!({
        "what": "Validator sets and their roots: tag, first height, then address and power of each.",
        "tag": hex(keccak256(b"tombolo/1/validators")),
        "cases": cases,
    })
}

pub(crate) fn header() -> Value {
    let (now, next) = (first_set(), set(8, &[(1, 10), (5, 10)]));
    let largest = Header { log_size: u64::MAX, ..header_at(u64::MAX >> 12, &now, &now) };
    let cases: Vec<Value> = [header_at(7, &now, &now), header_at(7, &now, &next), largest]
        .iter()
        .map(|header| {
            let bytes = header.encode();
            assert_eq!(Header::decode(&bytes).as_ref(), Ok(header));
            json!({
                "header": header_json(header),
                "bytes": hex(bytes),
                "block_id": hex(digest::block_id(header)),
            })
        })
        .collect();
    json!({
        "what": "Headers: fifteen words of 32 bytes, and their Keccak-256, the block id.",
        "cases": cases,
    })
}

pub(crate) fn certificate() -> Value {
    let set = first_set();
    let header = header_at(7, &set, &set);
    let good = certificate_of(&header, 2, &[2, 3, 4]);
    let mut twice = good.clone();
    twice.signatures[1] = twice.signatures[0].clone();
    let mut unordered = good.clone();
    unordered.signatures.reverse();
    let mut one_bad = certificate_of(&header, 2, &[1, 2, 3, 4]);
    one_bad.signatures[3].signature = one_bad.signatures[0].signature;
    let cases = [
        ("more than two thirds of the power", good.clone(), true),
        ("all members", certificate_of(&header, 2, &[1, 2, 3, 4]), true),
        ("60 of 100 is not more than two thirds", certificate_of(&header, 2, &[1, 2, 3]), false),
        ("one signer twice", twice, false),
        ("signers not in ascending order", unordered, false),
        ("one bad signature beside enough good ones", one_bad, false),
        ("a signer who is no member", certificate_of(&header, 2, &[2, 3, 4, 9]), false),
        ("signed for another round", Certificate { round: Round(3), ..good }, false),
        ("no signatures", certificate_of(&header, 2, &[]), false),
    ]
    .map(|(name, certificate, valid)| {
        let bytes = certificate.encode();
        assert_eq!(Certificate::decode(&bytes).as_ref(), Ok(&certificate));
        json!({ "name": name, "bytes": hex(bytes), "valid": valid })
    });
    let votes = [
        ("proposal", VoteKind::Proposal, Some(digest::block_id(&header))),
        ("prevote", VoteKind::Prevote, Some(digest::block_id(&header))),
        ("precommit", VoteKind::Precommit, Some(digest::block_id(&header))),
        ("precommit", VoteKind::Precommit, None),
    ]
    .map(|(name, kind, block)| {
        json!({
            "kind": name,
            "block_id": block.map(hex),
            "digest": hex(digest::vote(kind, chain(), Height(7), Round(2), block)),
        })
    });
    json!({
        "what": "Vote digests of height 7 and round 2, and certificates under one set.",
        "chain_id": hex(chain()),
        "validators": hex(set.encode()),
        "votes": votes,
        "cases": cases,
    })
}

pub(crate) fn verify_certificate(file: &Value) {
    let chain = hash_of(&file["chain_id"]).into();
    let set = ValidatorSet::decode(&bytes_of(&file["validators"])).unwrap();
    for case in file["cases"].as_array().unwrap() {
        let certificate = Certificate::decode(&bytes_of(&case["bytes"])).unwrap();
        let verdict = certificate::verify(&certificate, chain, &set);
        assert_eq!(Some(verdict.is_ok()), case["valid"].as_bool(), "{case}: {verdict:?}");
    }
}

pub(crate) fn lane_leaf() -> LaneLeaf {
    LaneLeaf {
        link: word("a link").into(),
        direction: Direction::ChainToHub as u8,
        lane: LaneNumber(1),
        epoch: Epoch(1),
        size: 25_000,
        root: word("root"),
        peer_epoch: Epoch(2),
        received: 20_000,
        received_root: word("received root"),
        peer_height: Height(77),
        peer_id: word("peer block").into(),
        trust_epoch: 3,
    }
}

pub(crate) fn lane() -> Value {
    let leaf = lane_leaf();
    let message = Message {
        kind: 0x0101,
        weight: Weight(5),
        not_after: UnixMillis(1_760_000_060_000),
        salt: word("salt"),
        body: b"a body".to_vec(),
    };
    let (leaf_bytes, message_bytes) = (leaf.encode(), message.encode());
    assert_eq!(LaneLeaf::decode(&leaf_bytes).as_ref(), Ok(&leaf));
    assert_eq!(Message::decode(&message_bytes).as_ref(), Ok(&message));
    let message_leaves =
        [(Direction::HubToChain, 0), (Direction::ChainToHub, 0), (Direction::ChainToHub, 24_999)]
            .map(|(direction, number)| {
                let hash = digest::message_leaf(
                    leaf.link,
                    direction,
                    leaf.lane,
                    leaf.epoch,
                    MessageNumber(number),
                    &message_bytes,
                );
                json!({
                    "link": hex(leaf.link),
                    "direction": direction as u8,
                    "lane": 1,
                    "epoch": 1,
                    "number": number,
                    "leaf": hex(hash),
                })
            });
    json!({
        "what": "A lane leaf, a message, and the leaves of that message in its lane.",
        "lane_leaf": {
            "link": hex(leaf.link),
            "direction": leaf.direction,
            "lane": leaf.lane.0,
            "epoch": leaf.epoch.0,
            "size": leaf.size,
            "root": hex(leaf.root),
            "peer_epoch": leaf.peer_epoch.0,
            "received": leaf.received,
            "received_root": hex(leaf.received_root),
            "peer_height": leaf.peer_height.0,
            "peer_id": hex(leaf.peer_id),
            "trust_epoch": leaf.trust_epoch,
            "bytes": hex(leaf_bytes),
            "hash": hex(digest::lane_leaf(&leaf)),
        },
        "message": {
            "kind": message.kind,
            "weight": message.weight.0,
            "not_after": message.not_after.0,
            "salt": hex(message.salt),
            "body": hex(&message.body),
            "bytes": hex(&message_bytes),
        },
        "message_leaves": message_leaves,
        "link_id": {
            "hub": hex(word("hub")),
            "chain": hex(word("chain")),
            "gateway": hex(key(3).address()),
            "incarnation": 2,
            "id": hex(digest::link_id(
                word("hub").into(), word("chain").into(), key(3).address(), 2,
            )),
        },
    })
}

/// A record of the vectors' log.
fn record_of(global_id: &str) -> Record {
    Record {
        global_id: word(global_id).into(),
        operation: "share".to_owned(),
        outcome: 0,
        remark: "accepted".to_owned(),
        height: Height(9),
        time: UnixMillis(1_760_000_002_250),
        tx_id: word("tx").into(),
        link: word("a link").into(),
        mode: 1,
        lane: LaneNumber(1),
        number: MessageNumber(4),
        source_chain: word("source").into(),
        source_height: Height(8),
        destination_chain: word("destination").into(),
        data_id: word("data").into(),
        data_class: 1,
        fingerprint: word("fingerprint").into(),
        parties: vec![word("one").into(), word("another").into()],
        policy_hash: word("policies"),
        protocol: "lane".to_owned(),
        relayer: word("relayer").into(),
        evidence: Hash::ZERO,
        link_policy: Hash::ZERO,
        unbounded: false,
    }
}

pub(crate) fn record() -> Value {
    let (record, salt) = (record_of("global id"), word("salt"));
    let fields = record.fields();
    let hashes: Vec<Hash> = (0u32..)
        .zip(&fields)
        .map(|(position, value)| digest::record_field(salt, position, value))
        .collect();
    let (position, salted) = (11, SaltedRecord { salt, record });
    let bytes = salted.encode();
    assert_eq!(SaltedRecord::decode(&bytes).as_ref(), Ok(&salted));
    let fields_json: Vec<Value> = RECORD_FIELDS
        .iter()
        .zip(&fields)
        .zip(&hashes)
        .map(
            |((name, value), hash)| json!({ "name": name, "value": hex(value), "hash": hex(hash) }),
        )
        .collect();
    json!({
        "what": "A record of the audit log: its fields, the salted hash of each, the root over them, and the leaf at its position.",
        "salt": hex(salt),
        "bytes": hex(bytes),
        "fields": fields_json,
        "fields_root": hex(log::root_of(&hashes)),
        "position": position,
        "leaf": hex(digest::record_leaf(position, digest::record_root(&salted))),
    })
}

/// Records 1 to 3 of a log of 5, proved over one change of the validators.
pub(crate) fn bundle() -> Value {
    let (old, new) = (first_set(), set(8, &[(2, 10), (5, 10), (6, 10)]));
    let change = header_at(7, &old, &new);
    let records: Vec<SaltedRecord> = (0..5)
        .map(|n| SaltedRecord {
            salt: word(&format!("salt {n}")),
            record: record_of(&format!("global id {n}")),
        })
        .collect();
    let leaves: Vec<Hash> = (0..)
        .zip(&records)
        .map(|(position, salted)| digest::record_leaf(position, digest::record_root(salted)))
        .collect();
    let mut head = header_at(9, &new, &new);
    head.log_size = 5;
    head.log_root = log::root_of(&leaves);
    let bundle = Bundle {
        version: BUNDLE_VERSION,
        genesis: genesis_document(),
        changes: vec![ValidatorChange {
            certificate: certificate_of(&change, 0, &[2, 3, 4]),
            header: change,
            next: new,
        }],
        certificate: certificate_of(&head, 1, &[2, 5, 6]),
        head,
        first: 1,
        end: 4,
        leaves: leaves[1..4].to_vec(),
        records: records[1..4].to_vec(),
        range: RangeProof { left: vec![leaves[0]], right: vec![leaves[4]] },
    };
    log::verify_range(1, &bundle.leaves, 5, bundle.head.log_root, &bundle.range).unwrap();
    let bytes = bundle.encode();
    assert_eq!(Bundle::decode(&bytes).as_ref(), Ok(&bundle));
    json!({
        "what": "An audit bundle, ABI-encoded: records 1 to 3 of a log of 5, proved from the genesis hash over one change of the validators.",
        "genesis": hex(chain()),
        "first": bundle.first,
        "end": bundle.end,
        "log_size": bundle.head.log_size,
        "height": bundle.head.height.0,
        "bytes": hex(bytes),
    })
}

pub(crate) fn two_phase() -> Value {
    let (from, to) = (word("chain a"), word("chain b"));
    let out = Branch::new(
        word("link a").into(),
        &[Action::MoveOut(MoveOut {
            item: word("item").into(),
            from: key(1).address(),
            to_chain: to.into(),
        })],
    );
    let envelope = b"an envelope".to_vec();
    let into = Branch::new(
        word("link b").into(),
        &[
            Action::MoveIn(MoveIn {
                item: word("item").into(),
                from_chain: from.into(),
                item_version: 1,
                schema: word("schema").into(),
                fingerprint: digest::fingerprint(&envelope),
                owner: word("owner").into(),
                holder: key(2).address(),
                signature: key(3).sign(digest::envelope(&envelope)),
                device: word("device").into(),
                envelope,
            }),
            Action::Pay(Pay {
                from: key(2).address(),
                to: key(1).address(),
                asset: word("asset").into(),
                amount: Amount(u128::MAX),
            }),
        ],
    );
    let branches = [out, into];
    let terms = Terms {
        hub: chain(),
        beginner: word("beginner").into(),
        salt: word("salt"),
        deadline: UnixMillis(1_760_000_060_000),
        branches: branches.iter().map(digest::branch).collect(),
    };
    let xid = digest::xid(&terms);
    let authorisation = digest::authorisation(xid);
    let branches = branches.each_ref().map(|branch| {
        assert_eq!(Branch::decode(&branch.encode()).as_ref(), Ok(branch));
        json!({ "bytes": hex(branch.encode()), "hash": hex(digest::branch(branch)) })
    });
    json!({
        "what": "A two-phase commit of two branches, its xid, and an authorisation over it.",
        "hub": hex(terms.hub),
        "beginner": hex(terms.beginner),
        "salt": hex(terms.salt),
        "deadline": terms.deadline.0,
        "branches": branches,
        "terms": hex(terms.encode()),
        "xid": hex(xid),
        "authorisation": {
            "digest": hex(authorisation),
            "account": hex(key(1).address()),
            "signature": hex(key(1).sign(authorisation).0),
        },
    })
}

pub(crate) fn data() -> Value {
    let owner: IdentityId = digest::identity_id(key(1).address());
    let local_ids = ["", "sensor-7/2026-01-01", "Tombolò"];
    let ids: Vec<Value> = local_ids
        .iter()
        .map(|local_id| {
            json!({
                "home": hex(chain()),
                "owner": hex(owner),
                "local_id": local_id,
                "data_id": hex(digest::data_id(chain(), owner, local_id)),
            })
        })
        .collect();
    let envelope = b"an envelope";
    let (hub, account) = (word("hub").into(), key(2).address());
    json!({
        "what": "Identities, data ids, and the hashes of envelopes and other byte strings.",
        "identity": { "first_key": hex(key(1).address()), "id": hex(owner) },
        "data_ids": ids,
        "envelope": {
            "bytes": hex(envelope),
            "fingerprint": hex(digest::fingerprint(envelope)),
            "signed_digest": hex(digest::envelope(envelope)),
        },
        "schema": { "bytes": hex(b"a schema"), "id": hex(digest::schema_id(b"a schema")) },
        "transaction": { "body": hex(b"a body"), "id": hex(digest::tx_id(b"a body")) },
        "binding": {
            "hub": hex(word("hub")),
            "chain": hex(chain()),
            "account": hex(account),
            "identity": hex(owner),
            "nonce": 4,
            "digest": hex(digest::binding(hub, chain(), account, owner, 4)),
        },
        "council_act": {
            "chain": hex(chain()),
            "act": 2,
            "trust_epoch": 5,
            "subject": hex(word("subject")),
            "digest": hex(digest::council_act(chain(), 2, 5, word("subject"))),
        },
    })
}

pub(crate) fn signature() -> Value {
    let cases: Vec<Value> = (1..=8u8)
        .map(|number| {
            let (key, digest) = (key(number), keccak256(&[number]));
            json!({
                "secret_key": hex(key.to_bytes()),
                "public_key": hex(key.public_key_compressed()),
                "address": hex(key.address()),
                "digest": hex(digest),
                "signature": hex(key.sign(digest).0),
            })
        })
        .collect();
    let digest = sha256(b"refused");
    let good = key(1).sign(digest);
    let changed = |change: &dyn Fn(&mut [u8; 65])| {
        let mut signature = good;
        change(&mut signature.0);
        hex(signature.0)
    };
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let order = hex::decode(order).unwrap();
    let refused = json!([
        { "why": "v is 0 or 1", "signature": changed(&|bytes| bytes[64] -= 27) },
        { "why": "v is 29 or 30", "signature": changed(&|bytes| bytes[64] += 2) },
        { "why": "r is zero", "signature": changed(&|bytes| bytes[..32].fill(0)) },
        { "why": "s is zero", "signature": changed(&|bytes| bytes[32..64].fill(0)) },
        { "why": "r is the group order",
          "signature": changed(&|bytes| bytes[..32].copy_from_slice(&order)) },
        { "why": "s is high", "signature": changed(&|bytes| {
            // The group order less s: the twin of a valid signature.
            let mut borrow = 0i16;
            for at in (0..32).rev() {
                let digit = i16::from(order[at]) - i16::from(bytes[32 + at]) - borrow;
                borrow = i16::from(digit < 0);
                bytes[32 + at] = u8::try_from(digit.rem_euclid(256)).unwrap();
            }
            bytes[64] = 55 - bytes[64];
        }) },
        { "why": "all bytes are zero", "signature": hex([0; 65]) },
    ]);
    json!({
        "what": "ECDSA over secp256k1: r, s, v of 32, 32 and 1 bytes; RFC 6979, low s, v 27 or 28.",
        "cases": cases,
        "refused_over": hex(digest),
        "refused": refused,
    })
}

pub(crate) fn verify_signature(file: &Value) {
    let read = |value: &Value| Signature(bytes_of(value).try_into().unwrap());
    for case in file["cases"].as_array().unwrap() {
        let address = case["address"].as_str().unwrap().parse().unwrap();
        let digest = hash_of(&case["digest"]);
        assert_eq!(secp256k1::verify(digest, &read(&case["signature"]), address), Ok(()));
        assert_eq!(secp256k1::address_of_compressed(&bytes_of(&case["public_key"])), Ok(address));
    }
    let digest = hash_of(&file["refused_over"]);
    for case in file["refused"].as_array().unwrap() {
        let verdict = secp256k1::recover(digest, &read(&case["signature"])).unwrap_err();
        let by_name = matches!(
            verdict,
            SignatureError::RecoveryByte { .. } | SignatureError::Range | SignatureError::HighS
        );
        assert!(by_name, "{case}: {verdict}");
    }
}
