//! This ledger as it offers itself to be locked: what each action takes, and how it ends.

use super::{BEGUN, Held, Hold, LOCKS, count_open, discount_open};
use crate::{
    account,
    entry::{self, Asked, Claim},
    gateway, identity,
    item::{self, Item, Standing},
    token,
};
use tombolo_ledger::{Context, Principal};
use tombolo_swap::two_phase::{Authority, Locks};
use tombolo_types::{
    Address, Height, Refusal,
    action::{Action, MoveIn, MoveOut, Pay, Write},
    ensure,
    id::{DataId, Xid},
    message::DataClass,
    refuse,
};

/// This ledger as it offers itself to be locked.
pub(super) struct Ledger<'a, 's, 'v> {
    pub(super) cx: &'a mut Context<'s, 'v>,
}

impl Authority for Ledger<'_, '_, '_> {
    fn signs_for(&self, account: Address, signer: Address) -> bool {
        identity::keys_of_account(self.cx.state, account).contains(&signer)
    }
}

impl Locks for Ledger<'_, '_, '_> {
    fn lock(&mut self, xid: Xid, action: &Action) -> Result<(), Refusal> {
        let mut held = LOCKS.get(self.cx.state, &xid).unwrap_or_else(|| Held {
            since: self.cx.block.time,
            height: self.cx.block.height,
            ..Held::default()
        });
        if let Some(account) = action.takes_from()
            && !held.accounts.contains(&account)
        {
            count_open(self.cx, account)?;
            held.accounts.push(account);
        }
        // Counted before the action is tried: a release gives back what stands here.
        LOCKS.put(self.cx.state, &xid, &held);
        let hold = match action {
            Action::MoveOut(action) => self.lock_leaving(xid, action)?,
            Action::MoveIn(action) => self.reserve_coming(xid, action)?,
            Action::Write(action) => self.reserve_writing(xid, action)?,
            Action::Pay(action) => self.take_into_escrow(action)?,
            Action::TokenOut(action) => Hold::Departs(token::export(self.cx, action)?),
            Action::TokenIn(action) => Hold::Arrives(token::import(self.cx, action)?),
            Action::Call(action) => refuse!(
                Unsupported,
                "this ledger has no contracts, and so no contract {}",
                action.contract
            ),
        };
        held.holds.push(hold);
        LOCKS.put(self.cx.state, &xid, &held);
        Ok(())
    }

    fn apply(&mut self, xid: Xid) {
        for hold in self.take_locks(xid) {
            match hold {
                Hold::Leaves { item, to } => {
                    if let Some(mut item) = item::item(self.cx.state, item) {
                        item.standing = Standing::Moved { to, xid };
                        // A closed item is its record; what has gone is not readable here.
                        item.envelope = Vec::new();
                        item::put(self.cx, &item);
                    }
                }
                Hold::Appears(item) => {
                    item::free(self.cx, item.id);
                    item::put_version(self.cx, *item);
                }
                Hold::Pays { to, asset, amount, .. } => {
                    account::credit(self.cx, to, asset, amount);
                }
                Hold::Departs(parcel) => parcel.retire(self.cx),
                Hold::Arrives(parcel) => parcel.credit(self.cx),
            }
        }
    }

    fn release(&mut self, xid: Xid) {
        for hold in self.take_locks(xid) {
            match hold {
                Hold::Leaves { item, .. } => self.unlock(xid, item),
                Hold::Appears(item) => {
                    item::free(self.cx, item.id);
                    self.unlock(xid, item.id);
                }
                Hold::Pays { from, asset, amount, .. } => {
                    account::credit(self.cx, from, asset, amount);
                }
                Hold::Departs(parcel) => parcel.credit(self.cx),
                Hold::Arrives(parcel) => parcel.retire(self.cx),
            }
        }
    }
}

impl Ledger<'_, '_, '_> {
    /// Takes the locks out of the state before anything happens with them: whatever an effect
    /// leads to finds no lock to use a second time (attack A16).
    fn take_locks(&mut self, xid: Xid) -> Vec<Hold> {
        let Some(held) = LOCKS.get(self.cx.state, &xid) else { return Vec::new() };
        LOCKS.delete(self.cx.state, &xid);
        if let Some((epoch, number)) = held.begun {
            BEGUN.delete(self.cx.state, &(epoch.0, number));
        }
        for account in &held.accounts {
            discount_open(self.cx, *account);
        }
        held.holds
    }

    fn unlock(&mut self, xid: Xid, id: DataId) {
        if let Some(mut item) = item::item(self.cx.state, id)
            && item.standing == Standing::Locked(xid)
        {
            item.standing = Standing::Live;
            item::put(self.cx, &item);
        }
    }

    /// Req: Y4560-6.3-2
    fn lock_leaving(&mut self, xid: Xid, action: &MoveOut) -> Result<Hold, Refusal> {
        let MoveOut { item: id, from, to_chain } = *action;
        ensure!(
            to_chain != self.cx.block.chain_id,
            Format,
            "item {id} would move to chain {to_chain}, on which it is"
        );
        gateway::ensure_fresh_view(self.cx)?;
        let Some(mut item) = item::item(self.cx.state, id) else {
            refuse!(NotFound, "item {id} is not on this ledger");
        };
        let holder = self.holder(&item);
        ensure!(
            holder == from && !from.is_zero(),
            Denied,
            "item {id} is held by account {holder}, not by {from}"
        );
        item.ensure_live()?;
        ensure!(
            item.class == DataClass::Closed,
            State,
            "item {id} is open; an open item is copied, it does not move"
        );
        item.standing = Standing::Locked(xid);
        item::put(self.cx, &item);
        Ok(Hold::Leaves { item: id, to: to_chain })
    }

    /// The account that may give an item away: its owner's, or else the one that came with it.
    fn holder(&self, item: &Item) -> Address {
        match Principal::of(self.cx.state, item.owner) {
            Some(owner) if !owner.account.is_zero() => owner.account,
            _ => item.holder,
        }
    }

    fn reserve_coming(&mut self, xid: Xid, action: &MoveIn) -> Result<Hold, Refusal> {
        let id = action.item;
        ensure!(
            action.from_chain != self.cx.block.chain_id,
            Format,
            "item {id} would move from chain {}, which is this one",
            action.from_chain
        );
        ensure!(
            !action.holder.is_zero(),
            Format,
            "item {id} would be held by the zero address; name a holder"
        );
        if let Some(bound) = identity::of_account(self.cx.state, action.holder) {
            ensure!(
                bound == action.owner,
                Denied,
                "account {} is bound to {bound}, and item {id} would belong to {}",
                action.holder,
                action.owner
            );
        }
        let claim = Claim {
            id,
            version: action.item_version,
            class: DataClass::Closed,
            schema: action.schema,
            fingerprint: action.fingerprint,
            device: action.device,
            signature: action.signature,
        };
        let envelope = entry::check_foreign(self.cx.state, &action.envelope, &claim)?;
        // A disputed one stands for nothing: whatever the hub says is the good copy takes its place.
        let before = item::item(self.cx.state, id)
            .filter(|before| !matches!(before.standing, Standing::Disputed(_)));
        if let Some(before) = before {
            ensure!(
                matches!(before.standing, Standing::Moved { .. }),
                State,
                "item {id} is on this ledger; it cannot come from elsewhere"
            );
            let same = before.fingerprint == action.fingerprint;
            ensure!(
                action.item_version > before.version
                    || (action.item_version == before.version && same),
                Replay,
                "item {id} left in version {}; it cannot come back in version {} with this content",
                before.version,
                action.item_version
            );
        }
        item::ensure_not_reserved(self.cx.state, id)?;
        item::reserve(self.cx, id, xid);
        Ok(Hold::Appears(Box::new(Item {
            id,
            version: action.item_version,
            class: DataClass::Closed,
            home: envelope.home,
            owner: action.owner,
            holder: action.holder,
            schema: action.schema,
            fingerprint: action.fingerprint,
            envelope: action.envelope.clone(),
            device: action.device,
            signature: action.signature,
            standing: Standing::Live,
            since: Height::ZERO,
        })))
    }

    fn reserve_writing(&mut self, xid: Xid, action: &Write) -> Result<Hold, Refusal> {
        let id = action.item;
        let asked = Asked { shared: false };
        let entry = entry::check(self.cx, &action.envelope, &action.signature, &asked)?;
        let entered = entry.item();
        let holder = self.holder(entered);
        ensure!(
            holder == action.holder,
            Denied,
            "item {id} is held by account {holder}, not by {}",
            action.holder
        );
        let says = (entered.id, entered.version, entered.schema, entered.fingerprint);
        ensure!(
            says == (id, action.item_version, action.schema, action.fingerprint)
                && (entered.owner, entered.device) == (action.owner, action.device),
            Tamper,
            "the envelope is of item {} version {}, the action names {id} version {}, or their \
             schema, fingerprint, owner or device differ",
            entered.id,
            entered.version,
            action.item_version
        );
        match item::item(self.cx.state, id) {
            Some(mut present) => {
                present.standing = Standing::Locked(xid);
                item::put(self.cx, &present);
            }
            None => item::reserve(self.cx, id, xid),
        }
        Ok(Hold::Appears(Box::new(entry.into_item())))
    }

    fn take_into_escrow(&mut self, action: &Pay) -> Result<Hold, Refusal> {
        let Pay { from, to, asset, amount } = *action;
        account::check_payment(to, amount)?;
        account::debit(self.cx, from, asset, amount)?;
        Ok(Hold::Pays { from, to, asset, amount })
    }
}
