//! The checker: the production machines under every interleaving of a hostile relayer, a hostile
//! beginner, skewed clocks and crashes, and wrong twins that it must refute.
//!
//! A relayer may withhold, delay and interleave as it likes, and repeat what it has delivered;
//! order within a lane and exactly-once are the lane's. A crash loses the block that is not
//! flushed. Each check varies some of these, so that each ends within seconds.

mod ledger;
mod properties;

use crate::fixture::{
    BUYER, COUNTER_ITEM, ITEM, OWNER, account, begin_of, checked, link, move_in, move_out, sealed,
};
use ledger::{Draft, Gateway, Hub, Item, Ledger, Sent};
use properties::{AGREEMENT, AUTHORITY, ENDS, SINGLE_COPY, STABILITY, VALIDITY};
use stateright::{Checker, Model, Property};
use tombolo_swap::two_phase::{Begin, Input, Phase};
use tombolo_types::id::DataId;

/// What a wrong implementation does otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twin {
    /// Nothing: these are the production machines.
    None,
    /// A participant frees its lock when the deadline passes on its own clock.
    ReleasesByClock,
    /// The coordinator counts a yes whenever it comes.
    CountsLateYes,
    /// Votes leave before the lock is flushed.
    VotesBeforeFlush,
    /// A participant forgets a transaction in the block that knew it.
    ForgetsAtOnce,
}

/// What may happen besides honest delivery.
#[derive(Clone, Copy)]
struct Hostility {
    crashes: bool,
    clocks: bool,
    local_use: bool,
    orders: bool,
    replays: usize,
}

const CALM: Hostility =
    Hostility { crashes: false, clocks: false, local_use: false, orders: false, replays: 0 };

struct Network {
    drafts: Vec<Draft>,
    hostility: Hostility,
    twin: Twin,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    hub: Ledger<Hub>,
    gateways: Vec<Ledger<Gateway>>,
    replays_left: usize,
}

/// One thing that happens. A block holds one piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Begin(usize),
    HubTakes(usize),
    HubTakesAgain(usize, usize),
    HubIsLate,
    HubTick(usize),
    Withdraw(usize),
    Revoke(usize),
    Freeze(usize, usize),
    HubFlushes,
    HubCrashes,
    GatewayTakes(usize),
    GatewayTakesAgain(usize, usize),
    GatewayIsLate(usize),
    GatewayReleases(usize, usize),
    LocalUse(usize),
    GatewayFlushes(usize),
    GatewayCrashes(usize),
}

impl Network {
    /// How many gateways there are; every draft has a branch on each.
    fn places(&self) -> usize {
        self.drafts[0].requests.len()
    }

    /// The lane from the hub as the relayer sees it.
    fn visible(&self, gateway: &Ledger<Gateway>) -> Vec<Sent> {
        match (&gateway.pending, self.twin) {
            (Some(pending), Twin::VotesBeforeFlush) => pending.lane.clone(),
            _ => gateway.flushed.lane.clone(),
        }
    }

    fn on_hub(&self, mut state: State, work: impl FnOnce(&mut Hub)) -> State {
        let mut block = state.hub.flushed.clone();
        work(&mut block);
        if self.hostility.crashes {
            state.hub.pending = Some(block);
        } else {
            state.hub.flushed = block;
        }
        state
    }

    fn on_gateway(&self, mut state: State, place: usize, work: impl FnOnce(&mut Gateway)) -> State {
        let ledger = &mut state.gateways[place];
        let mut block = ledger.flushed.clone();
        work(&mut block);
        if self.hostility.crashes {
            ledger.pending = Some(block);
        } else {
            ledger.flushed = block;
        }
        state
    }

    fn hub_events(&self, state: &State, events: &mut Vec<Event>) {
        if state.hub.pending.is_some() {
            events.extend([Event::HubFlushes, Event::HubCrashes]);
            return;
        }
        let hub = &state.hub.flushed;
        for draft in 0..self.drafts.len() {
            match hub.phase(draft) {
                None if !hub.late => events.push(Event::Begin(draft)),
                Some(Phase::Preparing) => {
                    if hub.late {
                        events.push(Event::HubTick(draft));
                    }
                    if self.hostility.orders {
                        events.extend([Event::Withdraw(draft), Event::Revoke(draft)]);
                        events.push(Event::Freeze(draft, 0));
                    }
                }
                _ => {}
            }
        }
        for (place, gateway) in state.gateways.iter().enumerate() {
            let lane = self.visible(gateway);
            if hub.received[place] < lane.len() {
                events.push(Event::HubTakes(place));
            }
            if state.replays_left > 0 {
                let taken = hub.received[place].min(lane.len());
                events.extend((0..taken).map(|number| Event::HubTakesAgain(place, number)));
            }
        }
        if self.hostility.clocks && !hub.late {
            events.push(Event::HubIsLate);
        }
    }

    fn gateway_events(&self, state: &State, place: usize, events: &mut Vec<Event>) {
        let ledger = &state.gateways[place];
        if ledger.pending.is_some() {
            events.extend([Event::GatewayFlushes(place), Event::GatewayCrashes(place)]);
            return;
        }
        let gateway = &ledger.flushed;
        if gateway.received < state.hub.flushed.lanes[place].len() {
            events.push(Event::GatewayTakes(place));
        }
        if state.replays_left > 0 {
            events.extend((0..gateway.received).map(|n| Event::GatewayTakesAgain(place, n)));
        }
        if self.hostility.clocks && !gateway.late {
            events.push(Event::GatewayIsLate(place));
        }
        if self.hostility.local_use {
            events.push(Event::LocalUse(place));
        }
        if self.twin == Twin::ReleasesByClock && gateway.late {
            let drafts = 0..self.drafts.len();
            events.extend(drafts.map(|draft| Event::GatewayReleases(place, draft)));
        }
    }
}

/// The item that lives on each chain at first.
const AT_HOME: [(DataId, u8); 3] = [(ITEM, OWNER), (COUNTER_ITEM, BUYER), (THIRD_ITEM, THIRD)];
const THIRD_ITEM: DataId = DataId([0x19; 32]);
const THIRD: u8 = 3;

impl Model for Network {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let gateway = |(item, holder)| {
            let mut gateway = Gateway::default();
            gateway.chain.items.insert(item, Item::Live(account(holder)));
            Ledger::new(gateway)
        };
        vec![State {
            hub: Ledger::new(Hub::new(self.places())),
            gateways: AT_HOME.into_iter().take(self.places()).map(gateway).collect(),
            replays_left: self.hostility.replays,
        }]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        self.hub_events(state, events);
        for place in 0..self.places() {
            self.gateway_events(state, place, events);
        }
    }

    fn next_state(&self, last: &State, event: Event) -> Option<State> {
        let mut state = last.clone();
        let twin = self.twin;
        let next = match event {
            Event::Begin(draft) => self.on_hub(state, |hub| hub.begin(draft, &self.drafts[draft])),
            Event::HubTakes(place) => {
                let number = last.hub.flushed.received[place];
                let message = self.visible(&last.gateways[place])[number];
                self.on_hub(state, |hub| {
                    hub.received[place] += 1;
                    hub.take(twin, place, message);
                })
            }
            Event::HubTakesAgain(place, number) => {
                state.replays_left -= 1;
                let message = self.visible(&last.gateways[place])[number];
                self.on_hub(state, |hub| hub.take(twin, place, message))
            }
            Event::HubIsLate => self.on_hub(state, |hub| hub.late = true),
            Event::HubTick(draft) => self.on_hub(state, |hub| hub.step(twin, draft, Input::Tick)),
            Event::Withdraw(draft) => self.on_hub(state, |hub| hub.withdraw(twin, draft)),
            Event::Revoke(draft) => self.on_hub(state, |hub| hub.step(twin, draft, Input::Revoked)),
            Event::Freeze(draft, place) => {
                let link = link(u8::try_from(place).ok()?);
                self.on_hub(state, |hub| hub.step(twin, draft, Input::LinkFrozen { link }))
            }
            Event::HubFlushes => {
                state.hub.flushed = state.hub.pending.take()?;
                state
            }
            Event::HubCrashes => {
                state.hub.pending = None;
                state
            }
            Event::GatewayTakes(place) => {
                let number = last.gateways[place].flushed.received;
                let message = last.hub.flushed.lanes[place][number];
                self.on_gateway(state, place, |gateway| {
                    gateway.received += 1;
                    gateway.take(place, &self.drafts, message);
                    if twin == Twin::ForgetsAtOnce {
                        gateway.participants.retain(|_, _| false);
                    }
                })
            }
            Event::GatewayTakesAgain(place, number) => {
                state.replays_left -= 1;
                let message = last.hub.flushed.lanes[place][number];
                self.on_gateway(state, place, |gateway| {
                    gateway.take(place, &self.drafts, message);
                })
            }
            Event::GatewayIsLate(place) => self.on_gateway(state, place, |gateway| {
                gateway.late = true;
                gateway.forget();
            }),
            Event::GatewayReleases(place, draft) => {
                let xid = self.drafts[draft].xid();
                self.on_gateway(state, place, |gateway| gateway.release_by_clock(draft, xid))
            }
            Event::LocalUse(place) => {
                self.on_gateway(state, place, |gateway| gateway.use_locally(AT_HOME[place].0))
            }
            Event::GatewayFlushes(place) => {
                let ledger = &mut state.gateways[place];
                ledger.flushed = ledger.pending.take()?;
                state
            }
            Event::GatewayCrashes(place) => {
                state.gateways[place].pending = None;
                state
            }
        };
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

/// One item moves from chain 0 to chain 1.
fn one_way(holder: u8) -> Begin {
    begin_of(&[&[move_out(ITEM, OWNER, 1)], &[move_in(ITEM, 0, holder)]])
}

/// Two items change places; `salt` tells two such transactions apart.
fn exchange(salt: u8) -> Begin {
    let mut begin = begin_of(&[
        &[move_out(ITEM, OWNER, 1), move_in(COUNTER_ITEM, 1, OWNER)],
        &[move_in(ITEM, 0, BUYER), move_out(COUNTER_ITEM, BUYER, 0)],
    ]);
    begin.terms.salt.0[0] = salt;
    sealed(begin)
}

/// Three items go round, one chain further each.
fn ring() -> Begin {
    begin_of(&[
        &[move_out(ITEM, OWNER, 1), move_in(THIRD_ITEM, 2, OWNER)],
        &[move_in(ITEM, 0, BUYER), move_out(COUNTER_ITEM, BUYER, 2)],
        &[move_in(COUNTER_ITEM, 1, THIRD), move_out(THIRD_ITEM, THIRD, 0)],
    ])
}

fn honest(begins: &[Begin]) -> Vec<Draft> {
    begins.iter().map(|begin| Draft::new(checked(begin), true)).collect()
}

/// The transaction that the owner signed, and one with the same salt and another receiver, under
/// the owner's signatures for the first.
fn with_forgery() -> Vec<Draft> {
    let signed = one_way(BUYER);
    let mut forged = one_way(7);
    forged.authorisations = signed.authorisations.clone();
    vec![Draft::new(checked(&signed), true), Draft::new(checked(&forged), false)]
}

fn run(drafts: Vec<Draft>, hostility: Hostility, twin: Twin) -> impl Checker<Network> {
    let checker = Network { drafts, hostility, twin }.checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker
}

/// Req: PRJ-5-2, PRJ-5-3, Y4560-7.2.4-1
#[test]
fn a40_crashes_at_every_block_and_skewed_clocks_split_nothing() {
    let hostility = Hostility { crashes: true, clocks: true, orders: true, ..CALM };
    run(honest(&[one_way(BUYER)]), hostility, Twin::None).assert_properties();
}

/// Req: PRJ-5-1, PRJ-5-3, Y4560-7.2.4-1
#[test]
fn a39_withdrawal_revocation_freeze_deadline_and_contention_split_nothing() {
    let hostility = Hostility { clocks: true, local_use: true, orders: true, ..CALM };
    run(honest(&[exchange(1)]), hostility, Twin::None).assert_properties();
}

/// Req: PRJ-5-2
#[test]
fn a42_messages_taken_again_change_nothing() {
    let hostility = Hostility { clocks: true, replays: 2, ..CALM };
    run(honest(&[one_way(BUYER)]), hostility, Twin::None).assert_properties();
}

/// Req: PRJ-5-1
#[test]
fn a44_two_transactions_over_the_same_items_both_end() {
    let hostility = Hostility { clocks: true, ..CALM };
    run(honest(&[exchange(1), exchange(2)]), hostility, Twin::None).assert_properties();
}

/// Req: PRJ-5-2, PRJ-5-3
#[test]
fn a42_three_participants_agree_in_every_interleaving() {
    let hostility = Hostility { clocks: true, ..CALM };
    run(honest(&[ring()]), hostility, Twin::None).assert_properties();
}

#[test]
fn a45_a_branch_that_the_owner_did_not_sign_moves_nothing() {
    run(with_forgery(), CALM, Twin::None).assert_properties();
}

fn refute(drafts: Vec<Draft>, hostility: Hostility, twin: Twin, violated: &[&'static str]) {
    let checker = run(drafts, hostility, twin);
    for property in violated {
        assert!(checker.discovery(property).is_some(), "{twin:?} was not caught by {property}");
    }
}

#[test]
fn a43_a_participant_that_releases_by_its_clock_is_refuted() {
    let hostility = Hostility { clocks: true, ..CALM };
    let violated = [AGREEMENT, STABILITY, SINGLE_COPY];
    refute(honest(&[one_way(BUYER)]), hostility, Twin::ReleasesByClock, &violated);
}

#[test]
fn a42_a_coordinator_that_counts_a_late_yes_is_refuted() {
    let hostility = Hostility { clocks: true, ..CALM };
    refute(honest(&[one_way(BUYER)]), hostility, Twin::CountsLateYes, &[VALIDITY]);
}

#[test]
fn a41_a_vote_that_leaves_before_the_lock_is_flushed_is_refuted() {
    let hostility = Hostility { crashes: true, local_use: true, ..CALM };
    refute(honest(&[one_way(BUYER)]), hostility, Twin::VotesBeforeFlush, &[STABILITY, AGREEMENT]);
}

/// Where an xid does not bind the branches, the owner's signature for one transaction is one for
/// any other with the same salt: that world is the forged draft with a signature that fits.
#[test]
fn a45_an_xid_that_does_not_bind_the_branches_is_refuted() {
    let drafts =
        vec![Draft::new(checked(&one_way(BUYER)), true), Draft::new(checked(&one_way(7)), false)];
    refute(drafts, CALM, Twin::None, &[AUTHORITY]);
}

#[test]
fn a42_a_participant_that_forgets_at_once_is_refuted() {
    let hostility = Hostility { replays: 1, ..CALM };
    refute(honest(&[one_way(BUYER)]), hostility, Twin::ForgetsAtOnce, &[STABILITY, ENDS]);
}
