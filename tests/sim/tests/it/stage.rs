//! Histories that a test writes out step by step. Every block is checked.

use crate::{
    checker::Checker,
    deeds::{self, data_id, pay, reading},
    node::{CrashAt, Made},
    relay::{Look, look},
    world::{BEGIN, Place, RELAYERS, World, account, device_of, hub_call},
};
use tombolo_hub::{govern::Act, query};
use tombolo_islet_core::{self as islet, Standing};
use tombolo_relayer_core::{Ages, End, Step};
use tombolo_swap::two_phase::{Cause, Phase, Verdict};
use tombolo_types::{
    Class, Hash, Refusal, UnixMillis,
    action::Action,
    id::{DataId, Xid},
    message::DataClass,
};

/// What the sale costs.
pub(crate) const PRICE: u128 = 300;

/// In which block of the history a process dies, and at which step of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crash {
    /// So many blocks of the history went before.
    pub(crate) after: u64,
    pub(crate) at: CrashAt,
}

/// A world, step by step.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) checker: Checker,
    pub(crate) now: UnixMillis,
    /// Blocks so far.
    pub(crate) blocks: u64,
    pub(crate) crash: Option<Crash>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let world = World::founded();
        let now = Place::ALL.map(|place| world.at(place).tip().time).into_iter().max();
        let now = now.unwrap_or(BEGIN);
        Self { checker: Checker::new(&world), world, now, blocks: 0, crash: None }
    }

    /// The next block of a ledger, 100 ms later; where it dies, it is started again.
    pub(crate) fn block(&mut self, place: Place) -> Option<Made> {
        self.now = self.now.saturating_add(100);
        self.block_now(place)
    }

    /// The next block of a ledger at this time.
    pub(crate) fn block_at(&mut self, place: Place, time: UnixMillis) -> Option<Made> {
        self.now = time;
        self.block_now(place)
    }

    fn block_now(&mut self, place: Place) -> Option<Made> {
        let crash = self.crash.filter(|crash| crash.after == self.blocks).map(|crash| crash.at);
        self.blocks += 1;
        let made = self.world.at_mut(place).produce(self.now, crash);
        if let Some(made) = &made {
            self.check(place, made);
        }
        if crash.is_none() {
            return made;
        }
        let back = self.world.at_mut(place).restart();
        if let Some(back) = &back {
            self.check(place, back);
        }
        made.or(back)
    }

    fn check(&mut self, place: Place, made: &Made) {
        if let Err(broken) = self.checker.after_block(&self.world, place, made) {
            panic!("after block {} of {place:?}: {broken}", made.height);
        }
    }

    /// One call in a block of its own, asked again until it is in one: a door may have died.
    pub(crate) fn ask(&mut self, place: Place, signer: u8, call: Vec<u8>) -> Result<(), Refusal> {
        for _ in 0..3 {
            self.world.submit(place, signer, call.clone())?;
            let made = self.block(place);
            if let Some(outcome) = made.as_ref().and_then(|made| made.outcomes.last()) {
                return outcome.refusal.clone().map_or(Ok(()), Err);
            }
        }
        panic!("{place:?} takes nothing of {signer}");
    }

    /// Has a quorum carry out an act.
    pub(crate) fn enact(&mut self, act: Act) -> Result<(), Refusal> {
        let propose = tombolo_hub::HubCall::Propose(Box::new(act));
        self.ask(Place::Hub, 1, hub_call(propose))?;
        let hub = self.world.at(Place::Hub).disk();
        let (id, _) = tombolo_hub::govern::proposals(hub, Hash::ZERO, 100).pop().unwrap();
        self.ask(Place::Hub, 2, hub_call(tombolo_hub::HubCall::Approve { proposal: id }))
    }

    pub(crate) fn look(&self, islet: Place) -> Look {
        look(&self.world, islet).unwrap()
    }

    /// What is to be brought over a link to one of its ends, fetched and not yet submitted.
    pub(crate) fn carry(&self, islet: Place, to: End) -> Vec<Vec<u8>> {
        let look = self.look(islet);
        let steps = look.plan(&mut Ages::new());
        let is_there = |step: &&Step| match step {
            Step::Deliver { to: end, .. } | Step::UpdateClient { at: end, .. } => *end == to,
            Step::Blocked { .. } => false,
        };
        let fetch = |step| look.fetch(&self.world, step).map(|(_, call)| call);
        steps.iter().filter(is_there).filter_map(fetch).collect()
    }

    /// Brings everything over a link to one of its ends, in one block.
    pub(crate) fn relay(&mut self, islet: Place, to: End) {
        let place = if to == End::Hub { Place::Hub } else { islet };
        for call in self.carry(islet, to) {
            // Another relayer may have been faster.
            let _ = self.world.submit(place, RELAYERS[0], call);
        }
        self.block(place);
    }

    /// Relays until nothing waits; gives how many rounds it took.
    pub(crate) fn settle(&mut self) -> u64 {
        for round in 0..60 {
            for islet in Place::ISLETS {
                self.relay(islet, End::Hub);
            }
            for islet in Place::ISLETS {
                self.relay(islet, End::Chain);
            }
            // Acknowledgements alone may still be due; they are the end's business.
            let is_quiet = Place::ISLETS.iter().all(|islet| {
                let sight = self.look(*islet).sight;
                sight.backlog(End::Hub) == 0 && sight.backlog(End::Chain) == 0
            });
            if is_quiet {
                return round;
            }
        }
        panic!("the stage does not settle");
    }

    /// Acknowledges everything and checks what must be so at the end.
    pub(crate) fn finish(&mut self) {
        let mut ages = [Ages::new(), Ages::new()];
        for _ in 0..30 {
            self.now = self.now.saturating_add(2_000);
            for islet in Place::ISLETS {
                let look = self.look(islet);
                for step in look.plan(&mut ages[islet as usize - 1]) {
                    if let Some((to, call)) = look.fetch(&self.world, &step) {
                        let _ = self.world.submit(to, RELAYERS[0], call);
                    }
                }
            }
            for place in Place::ALL {
                self.block(place);
            }
            if self.checker.at_the_end(&self.world).is_ok() {
                self.checker.check_shares(&self.world).unwrap();
                return;
            }
        }
        panic!("{}", self.checker.at_the_end(&self.world).unwrap_err());
    }

    /// A closed item of stakeholder 1 on ledger A.
    pub(crate) fn enter_deed(&mut self) -> DataId {
        let envelope = reading(self.world.chain(Place::A), 1, "deed", 1, DataClass::Closed);
        self.ask(Place::A, device_of(1), deeds::submit(&envelope, 1, None)).unwrap();
        data_id(&envelope)
    }

    /// Begins the sale of an item on A to stakeholder 2, who pays on B.
    pub(crate) fn begin_sale(&mut self, item: DataId, within_ms: u64) -> Xid {
        let grant = deeds::grant(&self.world, item, 2);
        self.ask(Place::Hub, 1, grant).unwrap();
        let present = islet::item(self.world.at(Place::A).disk(), item).unwrap();
        let (out, into) = deeds::moves(&self.world, &present, Place::A, 2);
        let branches = [(Place::A, vec![out]), (Place::B, vec![into, pay(2, 1, PRICE)])];
        self.begin(1, within_ms, &branches)
    }

    pub(crate) fn begin(
        &mut self,
        beginner: u8,
        within_ms: u64,
        branches: &[(Place, Vec<Action>)],
    ) -> Xid {
        let deadline = self.now.saturating_add(within_ms);
        let salt = [u8::try_from(self.blocks % 251).unwrap(); 32];
        let (xid, call) = deeds::begin(&self.world, beginner, salt, deadline, branches);
        self.ask(Place::Hub, beginner, call).unwrap();
        xid
    }

    pub(crate) fn phase(&self, xid: Xid) -> Phase {
        query::commit(self.world.at(Place::Hub).disk(), xid).unwrap().phase
    }

    pub(crate) fn verdict(&self, xid: Xid) -> Option<Verdict> {
        self.checker.decision(xid)
    }

    pub(crate) fn standing(&self, place: Place, item: DataId) -> Option<Standing> {
        islet::item(self.world.at(place).disk(), item).map(|item| item.standing)
    }

    pub(crate) fn balance(&self, place: Place, owner: u8) -> u128 {
        islet::balance(self.world.at(place).disk(), account(owner), crate::world::ASSET).0
    }

    /// How many commits hold something on an islet.
    pub(crate) fn locks(&self, place: Place) -> usize {
        islet::locks(self.world.at(place).disk(), Xid::ZERO, 100).len()
    }

    /// Asserts that the sale took place, on both ledgers.
    pub(crate) fn assert_sold(&self, item: DataId, xid: Xid) {
        assert_eq!(self.verdict(xid), Some(Verdict::Committed));
        let to = self.world.chain(Place::B);
        assert_eq!(self.standing(Place::A, item), Some(Standing::Moved { to, xid }));
        assert_eq!(self.standing(Place::B, item), Some(Standing::Live));
        assert_eq!((self.balance(Place::B, 1), self.balance(Place::B, 2)), (1_300, 700));
    }

    /// Asserts that nothing of the sale is left.
    pub(crate) fn assert_not_sold(&self, item: DataId, xid: Xid, cause: Cause) {
        assert_eq!(self.verdict(xid), Some(Verdict::Aborted(cause)));
        assert_eq!(self.standing(Place::A, item), Some(Standing::Live));
        assert_eq!(self.standing(Place::B, item), None);
        assert_eq!((self.balance(Place::B, 1), self.balance(Place::B, 2)), (1_000, 1_000));
    }
}

/// The class of a refusal.
pub(crate) fn class(result: Result<(), Refusal>) -> Option<Class> {
    result.err().map(|refusal| refusal.class)
}
