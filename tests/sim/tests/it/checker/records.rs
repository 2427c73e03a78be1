//! S12: the audit log holds one record of everything and nothing else.

use super::{Broken, Checker, hold};
use crate::{
    node::Made,
    world::{Place, World},
};
use std::collections::{BTreeMap, BTreeSet};
use tombolo_ledger::records;
use tombolo_types::{
    LaneNumber,
    id::{LinkId, TxId},
    record::Record,
};

impl Checker {
    /// S12: one record for every transaction and for every message that was taken; what else there
    /// is belongs to a commit or to the second hop of a share.
    pub(super) fn check_records(
        &mut self,
        world: &World,
        place: Place,
        made: &Made,
    ) -> Result<(), Broken> {
        let view = world.at(place).disk();
        let from = self.log_size.get(&place).copied().unwrap_or(0);
        let found = records::range(view, from, usize::MAX);
        self.log_size.insert(place, from + found.len() as u64);
        let mut by_transaction: BTreeMap<TxId, u64> = BTreeMap::new();
        let mut by_message: BTreeMap<(LinkId, LaneNumber, u64), u64> = BTreeMap::new();
        let own: BTreeSet<u64> = made.outcomes.iter().map(|outcome| outcome.record).collect();
        for (position, salted) in &found {
            let record = &salted.record;
            hold!(
                record.height == made.height && record.time == made.time,
                "S12: record {position} of {place:?} names another block"
            );
            let is_transaction = own.contains(position)
                && made
                    .outcomes
                    .iter()
                    .any(|outcome| outcome.record == *position && outcome.id == record.tx_id)
                && !is_message(world, place, record);
            if is_transaction {
                *by_transaction.entry(record.tx_id).or_default() += 1;
            } else if is_message(world, place, record) {
                let key = (record.link, record.lane, record.number.0);
                *by_message.entry(key).or_default() += 1;
                self.count(format!("{place:?} took {} {}", record.operation, record.outcome));
            } else {
                // What a deadline, a second hop, a council's delay or the end of an epoch leads to, and
                // nobody's call.
                let expected: &[&str] = match place {
                    Place::Hub => &["commit", "abort", "finish", "share"],
                    Place::A | Place::B => &["council-act", "share", "begin"],
                };
                hold!(
                    expected.contains(&record.operation.as_str()),
                    "S12: {place:?} has a stray record: {record:?}"
                );
                self.count(format!("recorded {} {}", record.operation, record.outcome));
            }
        }
        for (key, count) in &by_message {
            hold!(*count == 1, "S12: {place:?} has {count} records of message {key:?}");
        }
        for outcome in &made.outcomes {
            let count = by_transaction.get(&outcome.id).copied().unwrap_or(0);
            // A delivery that was not refused speaks through its messages.
            let most_and_least = if outcome.refusal.is_some() { 1..=1 } else { 0..=1 };
            hold!(
                most_and_least.contains(&count),
                "S12: {place:?} has {count} records of transaction {}",
                outcome.id
            );
        }
        let messages: u64 = by_message.values().sum();
        let total = self.messages_taken(place);
        let before = self.taken.insert(place, total).unwrap_or(0);
        hold!(
            total - before == messages,
            "S12: {place:?} took {} messages and has {messages} records of them",
            total - before
        );
        Ok(())
    }
}

/// Whether a record is that of a message which this ledger took.
fn is_message(world: &World, place: Place, record: &Record) -> bool {
    if record.link.is_zero() || record.source_chain.is_zero() {
        return false;
    }
    if place == Place::Hub {
        // The second record of a share names the link over which it went on.
        world.link(world.place_of(record.source_chain)) == record.link
    } else {
        record.source_chain != world.chain(place)
    }
}
