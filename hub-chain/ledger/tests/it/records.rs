//! One record for every message and every other transaction, refusals included, each provable.

use crate::{
    toy::{REENTER, REFUSE, TAKE, ToyCall},
    world::{Chain, World, call_of, delivery, relayer},
};
use tombolo_crypto::{
    digest,
    log::{inclusion_proof, verify_inclusion},
};
use tombolo_ledger::{
    Call,
    records::{self, RecordNodes},
};
use tombolo_types::{Class, lane::Message, record::SaltedRecord};

/// Every record is proved against the newest header, and another one in its place is not.
fn all_provable<const HUB: bool>(chain: &Chain<HUB>) {
    let header = &chain.newest.as_ref().unwrap().0;
    let all = records::range(&chain.state, 0, usize::MAX);
    assert_eq!(all.len() as u64, header.log_size);
    for (position, salted) in &all {
        let leaf = |salted| digest::record_leaf(*position, digest::record_root(salted));
        let path = inclusion_proof(&RecordNodes(&chain.state), *position, header.log_size).unwrap();
        let proved = |leaf| {
            verify_inclusion(leaf, *position, header.log_size, &path, header.log_root).is_ok()
        };
        assert!(proved(leaf(salted)), "record {position}");
        let mut changed = salted.record.clone();
        changed.outcome ^= 1;
        let changed = SaltedRecord { salt: salted.salt, record: changed };
        assert!(!proved(leaf(&changed)), "record {position}");
    }
}

/// Counts operations against records, refusals included.
///
/// Req: Y4560-7.2.3-2
/// Req: PRJ-4-1
/// Req: PRJ-4-2
#[test]
fn every_message_and_transaction_leaves_one_record() {
    let mut world = World::new();
    let begin = (world.hub.records().len(), world.chain.records().len());
    // Seven appends are seven transactions.
    world.hub.append(world.link, TAKE, 3);
    world.hub.append(world.link, REFUSE, 2);
    world.hub.append(world.link, REENTER, 2);
    // One failure is one record.
    let fail = ToyCall::Fail { class: Class::Denied as u8 };
    world.hub.call(fail).unwrap_err();
    assert_eq!(world.hub.records().len() - begin.0, 8);
    // Seven messages are seven records; their delivery has none of its own.
    world.bring_to_chain().unwrap();
    assert_eq!(world.chain.records().len() - begin.1, 7);
    // A refused delivery is one.
    let mut forged = delivery(&world.hub, world.link, 0, 7);
    forged.messages.pop();
    world.chain.run(&relayer(), call_of(forged)).unwrap_err();
    assert_eq!(world.chain.records().len() - begin.1, 8);
    // Two answers and two echoes.
    world.bring_to_hub().unwrap();
    assert_eq!(world.hub.records().len() - begin.0, 12);
    world.hub.block(Vec::new());
    world.chain.block(Vec::new());
    all_provable(&world.hub);
    all_provable(&world.chain);
}

/// A record of a message says what came, from where, over which link and how it ended, and is
/// salted from the message and not by who brought it.
///
/// Req: PRJ-4-3
/// Req: D35-8.1-1
#[test]
fn a_record_names_cause_way_and_end() {
    let mut world = World::new();
    world.hub.append(world.link, REFUSE, 1);
    let brought = delivery(&world.hub, world.link, 0, 1);
    let message = Message::decode(&brought.messages[0]).unwrap();
    let height = world.hub.newest.as_ref().unwrap().0.height;
    world.chain.run(&relayer(), call_of(brought)).unwrap();
    let (_, salted) = records::range(&world.chain.state, 0, usize::MAX).pop().unwrap();
    let record = salted.record;
    let newest = &world.chain.newest.as_ref().unwrap().0;
    assert_eq!(salted.salt, message.salt);
    assert_eq!((record.operation.as_str(), record.protocol.as_str()), ("schema-update", "lane"));
    assert_eq!((record.outcome, record.remark.as_str()), (Class::Denied as u8, "asked to refuse"));
    assert_eq!((record.link, record.mode, record.number.0), (world.link, 1, 0));
    assert_eq!((record.source_chain, record.source_height), (world.hub.id, height));
    assert_eq!(record.destination_chain, world.chain.id);
    assert_eq!((record.height, record.time), (newest.height, newest.time));
    assert_eq!(record.relayer, crate::world::identity(&relayer()));
}

/// A transaction's record names its signer and its id, and outcomes point to it.
#[test]
fn a_refusal_is_found_where_its_outcome_says() {
    for class in Class::ALL {
        let mut world = World::new();
        let call = Call::Own(ToyCall::Fail { class: *class as u8 });
        let transaction = world.hub.transaction(&relayer(), &call);
        let outcome = world.hub.block(vec![transaction]).remove(0);
        let (position, salted) = records::range(&world.hub.state, outcome.record, 1).remove(0);
        assert_eq!(position, outcome.record);
        assert_eq!(salted.record.outcome, *class as u8);
        assert_eq!(salted.record.remark, outcome.refusal.unwrap().message);
        assert_eq!(salted.record.tx_id, outcome.id);
        assert_eq!(salted.record.parties, [outcome.signer]);
    }
}
