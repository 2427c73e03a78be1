//! Messages that cannot be applied never block their lane.

use crate::{
    delivering::changed,
    toy::{ANSWERS, REFUSE, REFUSE_AT_LENGTH, TAKE, TAKEN, request},
    world::World,
};
use tombolo_types::{
    Class, Hash, UnixMillis, Weight,
    lane::{ANSWER_BIT, DATA_LANE, MESSAGE_BYTES_MAX, Message},
    message::{Body, Decision, Prepare, Refused},
};

fn message() -> Message {
    Message::new(&request(TAKE, 4), UnixMillis::ZERO, Hash([7; 32]))
}

fn answer() -> Message {
    let refused = Refused { of: Default::default(), class: 2, message: String::new() };
    Message::new(&Body::Refused(refused), UnixMillis::ZERO, Hash([7; 32]))
}

/// Sends one message from the hub and then a good one; gives the classes of the record and of the
/// answer that comes back.
fn sent(bytes: Vec<u8>) -> (u8, Option<u8>) {
    let mut world = World::new();
    world.hub.append_raw(world.link, bytes);
    world.hub.append(world.link, TAKE, 1);
    world.bring_to_chain().unwrap();
    let lane = world.chain.lane(world.link);
    assert_eq!(lane.received.size(), 2, "the lane goes on");
    assert_eq!(TAKEN.get(&world.chain.state, &(world.link, DATA_LANE, 1)), Some(1));
    let records = world.chain.records();
    let record = &records[records.len() - 2];
    assert_eq!(record.number.0, 0);
    let answered = (lane.sent.size() == 1).then(|| {
        world.bring_to_hub().unwrap();
        let (of, class) = ANSWERS.get(&world.hub.state, &(world.link, DATA_LANE, 0)).unwrap();
        assert_eq!(of, 0);
        class
    });
    assert!(lane.sent.size() <= 1);
    // Whatever it was, nothing answers an answer.
    let sent = world.hub.lane(world.link).sent.size();
    assert_eq!(sent, 2);
    (record.outcome, answered)
}

#[test]
fn a21_a_poisoned_message_is_answered_and_passed_over() {
    let both = |class: Class| (class as u8, Some(class as u8));
    let unanswered = |class: Class| (class as u8, None);
    let large = |message: Message| Message { body: vec![0; MESSAGE_BYTES_MAX], ..message }.encode();
    let malformed = |message: Message| Message { body: vec![1; 5], ..message }.encode();
    let heavy = |message: Message| Message { weight: Weight(u64::MAX), ..message }.encode();
    let unknown = |kind| Message { kind, ..message() }.encode();
    let table = [
        ("unknown kind", unknown(0x77), both(Class::Version)),
        ("unknown kind, heavy", heavy(Message { kind: 0x77, ..message() }), both(Class::Version)),
        ("malformed body", malformed(message()), both(Class::Format)),
        ("too heavy", heavy(message()), both(Class::Limit)),
        ("too large", large(message()), both(Class::Limit)),
        ("no message at all", vec![0xff; 40], unanswered(Class::Format)),
        ("an empty message", Vec::new(), unanswered(Class::Format)),
        ("unknown answer", unknown(ANSWER_BIT | 0x77), unanswered(Class::Version)),
        ("malformed answer", malformed(answer()), unanswered(Class::Format)),
        ("too heavy an answer", heavy(answer()), unanswered(Class::Limit)),
        ("too large an answer", large(answer()), unanswered(Class::Limit)),
    ];
    for (what, bytes, expected) in table {
        assert_eq!(sent(bytes), expected, "{what}");
    }
}

/// A refused request leaves its record and its answer, and nothing of what the machine did before
/// it refused.
#[test]
fn a_refused_request_is_taken_back() {
    let mut world = World::new();
    world.hub.append(world.link, REFUSE, 1);
    let before = world.chain.clone();
    world.bring_to_chain().unwrap();
    assert_eq!(world.chain.lane(world.link).sent.size(), 1, "the answer alone");
    assert_eq!(world.chain.records().len(), before.records().len() + 1, "one record");
    let changes = changed(&before.state, &world.chain.state);
    assert!(!changes.iter().any(|key| key == "stG" || key == "stT"), "{changes:?}");
    assert_eq!(world.chain.last_record().outcome, Class::Denied as u8);
}

/// However much a machine says, its refusal fits into an answer, which the other side can read.
#[test]
fn a_long_refusal_is_shortened() {
    let mut world = World::new();
    world.send(REFUSE_AT_LENGTH, 1);
    assert_eq!(world.chain.last_record().remark.len(), 1_024);
    world.bring_to_hub().unwrap();
    let answer = ANSWERS.get(&world.hub.state, &(world.link, DATA_LANE, 0));
    assert_eq!(answer, Some((0, Class::Denied as u8)));
}

/// A decision is taken whatever its `not_after` says, and on a paused link, too.
#[test]
fn commits_are_not_refused() {
    let mut world = World::new();
    let commit = Body::Commit(Decision { xid: Default::default() });
    let late = Message::new(&commit, UnixMillis(1), Hash::ZERO).encode();
    world.hub.append_raw(world.link, late);
    world.bring_to_chain().unwrap();
    assert_eq!(TAKEN.get(&world.chain.state, &(world.link, DATA_LANE, 0)), Some(1));
    assert_eq!(world.chain.lane(world.link).sent.size(), 0);
}

/// An answer that was asked for is sent besides, and refused requests do not disturb it.
#[test]
fn a_vote_is_an_answer() {
    let mut world = World::new();
    let prepare =
        Prepare { terms: Vec::new(), index: 0, branch: Vec::new(), authorisations: Vec::new() };
    let prepare = Message::new(&Body::Prepare(prepare), UnixMillis::ZERO, Hash::ZERO).encode();
    world.hub.append_raw(world.link, prepare);
    world.hub.append(world.link, REFUSE, 1);
    world.bring_to_chain().unwrap();
    world.bring_to_hub().unwrap();
    let answer = |number| ANSWERS.get(&world.hub.state, &(world.link, DATA_LANE, number));
    assert_eq!(answer(0), Some((0, 0)));
    assert_eq!(answer(1), Some((1, Class::Denied as u8)));
}
