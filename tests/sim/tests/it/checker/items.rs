//! S5 to S7: where items live, what copies there are, and who owns how much.

use super::{Broken, Checker, hold};
use crate::world::{ASSET, FUNDS, Place, STAKEHOLDERS, World};
use std::collections::BTreeMap;
use tombolo_crypto::digest;
use tombolo_islet_core::{self as islet, Hold, Standing};
use tombolo_swap::two_phase::Verdict;
use tombolo_types::{
    Address,
    id::{AssetId, DataId, Xid},
    message::DataClass,
};

impl Checker {
    /// S5: at every cut a closed item has one holder, and at most one live copy.
    pub(super) fn check_closed_items(&mut self, world: &World) -> Result<(), Broken> {
        let mut live: BTreeMap<DataId, u64> = BTreeMap::new();
        let mut holders: BTreeMap<DataId, u64> = BTreeMap::new();
        for place in Place::ISLETS {
            let view = world.at(place).disk();
            let locks = islet::locks(view, Xid::ZERO, usize::MAX);
            let committed = |xid: &Xid| self.decisions.get(xid) == Some(&Verdict::Committed);
            for item in islet::items(view, DataId::ZERO, usize::MAX) {
                if item.class != DataClass::Closed {
                    continue;
                }
                match item.standing {
                    Standing::Live => {
                        *live.entry(item.id).or_default() += 1;
                        *holders.entry(item.id).or_default() += 1;
                    }
                    Standing::Locked(xid) => {
                        let leaves = locks.iter().any(|lock| {
                            let out = |hold: &Hold| {
                                matches!(hold, Hold::Leaves { item: id, .. } if *id == item.id)
                            };
                            lock.xid == xid && lock.held.holds.iter().any(out)
                        });
                        if !(leaves && committed(&xid)) {
                            *holders.entry(item.id).or_default() += 1;
                        }
                    }
                    Standing::Moved { .. } => {
                        hold!(item.envelope.is_empty(), "S6: {} moved and can be read", item.id);
                    }
                    Standing::Superseded => {}
                    // No council releases anything here (S4).
                    Standing::Disputed(xid) => {
                        return Err(format!("S5: {} is disputed by {xid}", item.id));
                    }
                }
            }
            for lock in locks.iter().filter(|lock| committed(&lock.xid)) {
                for hold in &lock.held.holds {
                    let Hold::Appears(item) = hold else { continue };
                    let is_here = islet::item(view, item.id)
                        .is_some_and(|here| !matches!(here.standing, Standing::Moved { .. }));
                    if item.class == DataClass::Closed && !is_here {
                        *holders.entry(item.id).or_default() += 1;
                    }
                }
            }
        }
        for (item, count) in &live {
            hold!(*count <= 1, "S5: {item} has {count} live copies");
        }
        self.born.extend(holders.keys().copied());
        for item in &self.born {
            let count = holders.get(item).copied().unwrap_or(0);
            hold!(count == 1, "S5: {item} is held {count} times");
        }
        Ok(())
    }
}

/// S7: what accounts hold and what is in escrow is what there was at genesis.
pub(super) fn check_supply(world: &World, place: Place) -> Result<(), Broken> {
    let view = world.at(place).disk();
    let free: u128 = islet::holdings(view, (Address::ZERO, AssetId::ZERO), usize::MAX)
        .into_iter()
        .filter(|holding| holding.asset == ASSET)
        .map(|holding| holding.amount.0)
        .sum();
    let escrow: u128 = islet::locks(view, Xid::ZERO, usize::MAX)
        .into_iter()
        .flat_map(|lock| lock.held.holds)
        .map(|hold| if let Hold::Pays { amount, .. } = hold { amount.0 } else { 0 })
        .sum();
    let supply = FUNDS * STAKEHOLDERS.len() as u128;
    hold!(free + escrow == supply, "S7: {place:?} holds {free} and {escrow} in escrow of {supply}");
    Ok(())
}

/// S6: a copy is of an open version that its source has or had, byte for byte.
pub(super) fn check_copies(world: &World) -> Result<(), Broken> {
    for place in Place::ISLETS {
        let (view, source) = (world.at(place).disk(), world.at(place.other()).disk());
        for copy in islet::copies(view, DataId::ZERO, usize::MAX) {
            let present = islet::item(source, copy.id);
            let past = islet::past_versions(source, copy.id, copy.version, 1);
            let is_it = |item: &islet::Item| {
                item.version == copy.version
                    && item.fingerprint == copy.fingerprint
                    && item.class == DataClass::Open
            };
            hold!(
                present.iter().chain(&past).any(is_it),
                "S6: {place:?} has a copy of {} that its source never had",
                copy.id
            );
            let found = digest::fingerprint(&copy.envelope);
            hold!(found == copy.fingerprint, "S6: the copy of {} was changed", copy.id);
        }
    }
    Ok(())
}
