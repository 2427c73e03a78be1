//! Proposals, approvals, and that nothing else leads to an act.

use crate::{
    harness::{Memory, bodies, deliver, identity, key},
    world::{self, World, class, device},
};
use tombolo_hub::{
    HubCall,
    govern::{Act, NewDevice, NewIdentity, PROPOSAL_MS, PROPOSALS_OF_ONE_MAX},
    query,
};
use tombolo_ledger::{Ledger, Parameters};
use tombolo_types::{
    Class, Hash, Power,
    header::Validator,
    id::{IdentityId, Xid},
    lane::{CONTROL_LANE, DATA_LANE},
    message::{Body, CouncilAct, Decision, IdentityUpdate, Prepare, Role, SchemaUpdate, Status},
};

fn newcomer(number: u8) -> NewIdentity {
    NewIdentity {
        key: key(number).address(),
        roles: Role::Stakeholder.bit(),
        name: "newcomer".into(),
        owner: IdentityId::ZERO,
    }
}

/// Req: Y4560-7.1.3-1
#[test]
fn one_administrator_alone_leaves_it_pending_and_the_quorum_carries_it_out() {
    let mut hub = world::hub(vec![]);
    let proposal = hub.propose(1, Act::RegisterIdentity(newcomer(30))).unwrap();
    let pending = query::proposal(&hub.store, proposal).unwrap();
    assert_eq!((pending.proposal.approvals, pending.quorum), (vec![identity(1)], 2));
    assert_eq!(query::identity(&hub.store, identity(30)), None);
    assert_eq!(hub.last_record().remark, "identity register: pending, 1 of 2 approvals");

    assert_eq!(class(hub.run(1, HubCall::Execute { proposal })), Some(Class::Quorum));
    assert_eq!(class(hub.run(1, HubCall::Approve { proposal })), Some(Class::Replay));
    assert_eq!(class(hub.run(4, HubCall::Approve { proposal })), Some(Class::Denied));
    assert_eq!(class(hub.propose(4, Act::RegisterIdentity(newcomer(31)))), Some(Class::Denied));

    hub.run(2, HubCall::Approve { proposal }).unwrap();
    let record = hub.last_record();
    assert_eq!(record.operation, "identity register");
    assert_eq!(record.global_id.0, proposal.0);
    assert!([1, 2, 30].iter().all(|party| record.parties.contains(&identity(*party))));
    let history = query::identity_history(&hub.store, identity(30), 0, 10);
    assert_eq!(history[0].approvers, vec![identity(1), identity(2)]);
    assert_eq!(class(hub.run(3, HubCall::Approve { proposal })), Some(Class::NotFound));
}

#[test]
fn a_proposal_ends_after_its_time_and_is_forgotten() {
    let mut hub = world::hub(vec![]);
    let proposal = hub.propose(1, Act::RegisterIdentity(newcomer(30))).unwrap();
    hub.block_after(PROPOSAL_MS - 1_001, vec![]);
    assert!(query::proposal(&hub.store, proposal).is_ok());
    let transaction = hub.sign(2, tombolo_ledger::Call::Own(HubCall::Approve { proposal }));
    let outcome = hub.block_after(1_001, vec![transaction]).remove(0);
    assert_eq!(outcome.refusal.unwrap().class, Class::NotFound);
    assert_eq!(class(query::proposal(&hub.store, proposal)), Some(Class::NotFound));
}

#[test]
fn one_stakeholder_cannot_fill_the_table() {
    let mut hub = world::hub(vec![]);
    for number in 0..PROPOSALS_OF_ONE_MAX {
        hub.propose(1, Act::RemovePolicy { id: format!("p{number}") }).unwrap();
    }
    let act = Act::RemovePolicy { id: "more".into() };
    assert_eq!(class(hub.propose(1, act.clone())), Some(Class::Limit));
    assert_eq!(class(hub.propose(2, act)), None);
}

/// Req: Y4560-9.2-1, Y4560-7.1.3-1
#[test]
fn one_bad_device_does_not_sink_the_batch() {
    let mut hub = world::hub(vec![]);
    let device = |number: u8, owner: u8| NewDevice {
        key: key(number).address(),
        name: "meter".into(),
        owner: identity(owner),
    };
    let batch = vec![device(40, 1), device(41, 77), device(40, 1), device(42, 1)];
    hub.enact(Act::RegisterDevices(batch)).unwrap();
    assert_eq!(hub.last_record().remark, "2 devices registered, 2 refused");
    let refused: Vec<u8> =
        hub.records_of("identity register").iter().map(|record| record.outcome).collect();
    assert_eq!(refused, vec![Class::Ident as u8, Class::State as u8]);
    let mut owned = vec![identity(40), identity(42)];
    owned.sort();
    assert_eq!(query::devices(&hub.store, identity(1), IdentityId::ZERO, 10), owned);
    let too_many = vec![device(43, 1); 65];
    assert_eq!(class(hub.propose(1, Act::RegisterDevices(too_many))), Some(Class::Limit));
}

/// What governance could have changed: everything but lanes, log, nonces and time.
fn governed(store: &Memory) -> Vec<(Vec<u8>, Vec<u8>)> {
    let kinds: [&[u8]; 5] = [b"skI", b"skP", b"skV", b"skW", b"sh"];
    let is_governed = |key: &[u8]| kinds.iter().any(|kind| key.starts_with(kind));
    let entries = store.0.iter().filter(|(key, _)| is_governed(key));
    entries.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Every kind that only the hub may send, on both lanes: refused, and no state of governance,
/// identity, schema or commits changes.
#[test]
fn a12_no_lane_message_reaches_governance() {
    let mut world = World::new();
    let update = IdentityUpdate {
        identity: identity(5),
        roles: Role::Stakeholder.bit(),
        status: Status::Active.number(),
        owner: IdentityId::ZERO,
        keys: vec![key(66).address()],
        account: key(66).address(),
        binding_nonce: 0,
        account_signature: key(66).sign(Hash::ZERO),
        since: tombolo_types::Height(1),
    };
    let definition = world::schema("evil");
    let schema = tombolo_crypto::digest::schema_id(&definition);
    let acts = [
        Act::SetStatus { identity: identity(1), status: Status::Revoked },
        Act::SetValidators { validators: vec![] },
        Act::RemovePolicy { id: "open".into() },
    ];
    let mut messages = vec![
        Body::IdentityUpdate(update),
        Body::SchemaUpdate(SchemaUpdate { schema, definition }),
        Body::Commit(Decision { xid: Xid([1; 32]) }),
        Body::Abort(Decision { xid: Xid([1; 32]) }),
    ];
    for act in acts {
        let call = HubCall::Propose(Box::new(act));
        let terms = borsh::to_vec(&call).unwrap();
        messages.push(Body::Prepare(Prepare {
            terms: terms.clone(),
            index: 0,
            branch: terms,
            authorisations: vec![],
        }));
    }
    let before = governed(&world.hub.store);
    let link = world.a.link();
    for lane in [CONTROL_LANE, DATA_LANE] {
        for body in &messages {
            world.a.send(lane, body);
            deliver(&mut world.a, &mut world.hub, link, lane).unwrap();
            let record = world.hub.records_of(body.name()).pop().unwrap();
            assert_eq!(record.outcome, Class::Unsupported as u8, "{} on {lane}", body.name());
        }
    }
    assert!(governed(&world.hub.store) == before, "a lane message changed what only a quorum may");
    let answers = bodies(&world.hub, link, DATA_LANE, 0);
    assert!(answers.iter().all(|answer| matches!(answer, Body::Refused(_))));
    assert_eq!(answers.len(), messages.len());
    // A council act is kept for a quorum to see, and changes nothing by itself.
    let act =
        CouncilAct { act: 1, trust_epoch: 9, holds_from: 0, subject: Hash::ZERO, signers: vec![] };
    world.a.send(CONTROL_LANE, &Body::CouncilAct(act.clone()));
    world.a_to_hub(CONTROL_LANE);
    let found = query::link(&world.hub.store, link).unwrap();
    assert_eq!(found.registration.announced, vec![act]);
    assert_eq!(found.link.peer_trust_epoch, 0);
}

/// Every parameter, with values at and beyond its ends: refused, or the chain lives on.
#[test]
fn a62_hostile_parameters_are_refused_or_harmless() {
    for (name, _, least, greatest) in Parameters::default().list() {
        for value in
            [0, 1, least.saturating_sub(1), least, greatest, greatest.saturating_add(1), u64::MAX]
        {
            let mut hub = world::hub(vec![]);
            let allowed = (least..=greatest).contains(&value);
            let result = hub.enact(Act::SetParameter { name: name.into(), value });
            let expected = (!allowed).then_some(Class::Format);
            assert_eq!(class(result), expected, "{name} = {value}");
            if allowed {
                for _ in 0..3 {
                    hub.block(vec![]);
                }
                // A quorum can still take it back.
                let default = Parameters::default().list();
                let (_, default, ..) = default.into_iter().find(|found| found.0 == name).unwrap();
                let back = hub.enact(Act::SetParameter { name: name.into(), value: default });
                assert_eq!(class(back), None, "{name} = {value} cannot be taken back");
            }
        }
    }
    let mut hub = world::hub(vec![]);
    let unknown = Act::SetParameter { name: "gravity".into(), value: 10 };
    assert_eq!(class(hub.enact(unknown)), Some(Class::NotFound));
}

#[test]
fn a62_hostile_validator_sets_are_refused_and_good_ones_certify_two_heights_on() {
    let validator =
        |number: u8, power: u64| Validator { address: key(number).address(), power: Power(power) };
    let mut two = vec![validator(101, 1), validator(102, 1)];
    two.sort_by_key(|validator| validator.address);
    let mut unsorted = two.clone();
    unsorted.reverse();
    let mut hub = world::hub(vec![]);
    for (what, validators) in [
        ("none", vec![]),
        ("no power", vec![validator(101, 0)]),
        ("too much power", vec![validator(101, u64::MAX)]),
        ("not sorted", unsorted),
        ("twice", vec![two[0].clone(), two[0].clone()]),
    ] {
        let result = hub.enact(Act::SetValidators { validators });
        assert_eq!(class(result), Some(Class::Format), "{what}");
    }
    hub.enact(Act::SetValidators { validators: two.clone() }).unwrap();
    let decided = hub.height();
    let at = |height| tombolo_ledger::validators::at(&hub.store, height).unwrap().validators;
    assert_eq!(at(decided.next()).len(), 1);
    assert_eq!(at(decided.next().next()), two);
}

/// Nobody can be left who could ever approve anything again.
#[test]
fn a62_the_last_quorum_of_stakeholders_cannot_be_suspended() {
    let mut hub = world::hub(vec![]);
    let suspend =
        |number: u8| Act::SetStatus { identity: identity(number), status: Status::Suspended };
    hub.enact(suspend(3)).unwrap();
    hub.block(vec![]);
    assert_eq!(class(hub.enact(suspend(2))), Some(Class::State));
}

/// An approval of somebody who was suspended since does not count.
#[test]
fn only_active_stakeholders_count() {
    let mut hub = world::hub(vec![]);
    let proposal = hub.propose(3, Act::RegisterIdentity(device(30, 1))).unwrap();
    hub.enact(Act::SetStatus { identity: identity(3), status: Status::Suspended }).unwrap();
    hub.block(vec![]);
    hub.run(1, HubCall::Approve { proposal }).unwrap();
    assert_eq!(query::identity(&hub.store, identity(30)), None);
    hub.run(2, HubCall::Approve { proposal }).unwrap();
    assert!(query::identity(&hub.store, identity(30)).is_some());
}

#[test]
fn a_genesis_that_could_never_approve_is_refused() {
    let ledger = Ledger::new(tombolo_hub::Hub::new());
    let stakeholder = [(1, Role::Stakeholder.bit())];
    for (quorum, expected) in [(0, Some(Class::Format)), (1, None), (2, Some(Class::Format))] {
        let mut genesis = crate::harness::genesis_document("hub", 100, &stakeholder);
        genesis.quorum = quorum;
        assert_eq!(class(ledger.genesis(&genesis)), expected, "quorum {quorum}");
    }
}
