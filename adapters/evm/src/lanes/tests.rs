use super::*;
use alloy::primitives::Log as Event;

const LINK: LinkId = LinkId::ZERO;
const LANE: LaneNumber = LaneNumber(1);
const EPOCH: Epoch = Epoch(1);

fn sent(number: u64) -> EventLog {
    let message = vec![number as u8; 100].into();
    let event = IGateway::Sent { lane: LANE.0, number, epoch: EPOCH.0, previousBlock: 0, message };
    let inner = Event { address: Address::ZERO, data: event.encode_log_data() };
    EventLog { inner, ..EventLog::default() }
}

/// So many messages of one lane, of which so many were taken before they were read.
fn read(count: u64, taken: u64) -> SentLanes {
    let mut lanes = SentLanes::new(Address::ZERO, LINK, 0);
    let taken = Taken::from([(LANE, (EPOCH, taken))]);
    (0..count).for_each(|number| lanes.append(&sent(number), &taken).unwrap());
    lanes
}

/// However much a link has carried, what a start keeps of it in memory is leaves; and what is still
/// to be carried is proved as by one who has kept everything.
#[test]
fn bodies_of_what_was_taken_are_not_kept() {
    let (count, taken) = (300, 290);
    let (all, rest) = (read(count, 0), read(count, taken));
    let kept = |lanes: &SentLanes| lanes.lanes[&(LANE, EPOCH)].messages.len() as u64;
    assert_eq!((kept(&all), kept(&rest)), (count, count - taken));
    let asked = |lanes: &SentLanes, from| lanes.messages(LANE, EPOCH, from, (150, 9_999), count);
    let found = asked(&rest, taken);
    assert_eq!(found.as_ref().map(|(messages, _)| messages.len() as u64), Some(count - taken));
    assert_eq!(found, asked(&all, taken));
    assert_eq!(asked(&rest, taken - 1), None);
}

/// No head has leaves of a former epoch, so none of its messages can be asked for.
#[test]
fn no_body_of_a_former_epoch_is_kept() {
    let taken = Taken::from([(LANE, (Epoch(2), 3))]);
    assert_eq!(needed_from(&taken, LANE, Epoch(1)), u64::MAX);
    assert_eq!(needed_from(&taken, LANE, Epoch(2)), 3);
    assert_eq!(needed_from(&taken, LaneNumber(0), Epoch(1)), 0);
}
