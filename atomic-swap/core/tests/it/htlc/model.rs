//! The checker: the production machine under every interleaving of a hostile counterparty, crashes
//! between any two lines, delayed and evicted transactions, vanishing locks, stalled chains and
//! clocks that are off; and wrong twins that it must refute.
//!
//! Time goes in ticks. What the profile promises holds, as late as it may: a transaction that stays
//! in the pool is in a block a tick later, a party that is up sees what is new a tick later, and
//! it is down for a tick altogether; where the pool loses a transaction, the margin holds two
//! more. There is no hub and no relayer: after acceptance nobody needs them.

mod world;

use super::fixture::order_with;
use stateright::{Checker, Model, Property};
use tombolo_swap::htlc::{
    Expiry, Input, Margins, Opening, Profile, Role, Spending, Swap, Terms, gap_needs_ms,
    lock_needs_ms,
};
use tombolo_types::{UnixMillis, swap::Deadline};
use world::{Disk, Party, State, Tx};

/// What a wrong implementation does otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twin {
    /// Nothing: this is the production machine.
    None,
    /// Both legs end at one time.
    EqualDeadlines,
    /// The first party claims as long as the chain would take it.
    ClaimsWithoutMargin,
    /// What is shown is written down afterwards.
    ShowsBeforeItIsWritten,
    /// The second party locks under a first lock that is not final.
    LocksBeforeFinal,
}

/// What may happen besides.
#[derive(Clone, Copy, Default)]
struct Hostility {
    /// An honest party breaks down, before or after what it decided is written.
    crashes: bool,
    /// One honest transaction is thrown out of the pool.
    evictions: bool,
    /// A hostile lock that is not final vanishes.
    forks: bool,
    /// A chain stands still for a tick.
    stalls: bool,
    /// How far each chain's clock is off, in ticks.
    offsets: [i8; 2],
    /// Locks are taken back without the claim being ended.
    scripts: bool,
}

struct Network {
    honest: [bool; 2],
    hostility: Hostility,
    twin: Twin,
    terms: Terms,
    end: u8,
}

/// How often any chain stands still.
const STALLS: u8 = 2;
/// For how many ticks a party is down.
const OUTAGE: u8 = 1;
/// For how many ticks it does not see what is new.
const RELAY: u8 = 1;
/// The first tick, by every clock that is not off.
const BEGIN: u8 = 4;

impl Network {
    fn new(honest: [bool; 2], hostility: Hostility, twin: Twin) -> Self {
        let (profile, margins) = (hostility.profile(), hostility.margins());
        // A clock that is ahead leaves less.
        let begin = u64::from(BEGIN) + profile.skew_ms;
        let second = begin + lock_needs_ms(&[profile; 2], &margins);
        let first = match twin {
            Twin::EqualDeadlines => second,
            _ => second + profile.block_ms_slowest + gap_needs_ms(&profile, &profile, &margins),
        };
        let deadlines = [first, second].map(|time| Deadline::Time(UnixMillis(time)));
        let terms = Terms::read(order_with(deadlines)).unwrap();
        // After the last deadline: news, a crash, an eviction and a block, each as slow as may be.
        let end = u8::try_from(first).unwrap() + 10;
        Self { honest, hostility, twin, terms, end }
    }

    /// What the machine of this twin takes for granted.
    fn believed(&self) -> (Profile, Margins) {
        let careless = Profile {
            block_ms_slowest: 0,
            skew_ms: 0,
            inclusion_ms: 0,
            finality_ms: 0,
            ..self.hostility.profile()
        };
        match self.twin {
            Twin::EqualDeadlines | Twin::ClaimsWithoutMargin => {
                (careless, Margins { relay_ms: 0, outage_ms: 0 })
            }
            Twin::None | Twin::ShowsBeforeItIsWritten | Twin::LocksBeforeFinal => {
                (self.hostility.profile(), self.hostility.margins())
            }
        }
    }

    fn party(&self, number: usize) -> Option<Party> {
        if !self.honest[number] {
            return None;
        }
        let (profile, margins) = self.believed();
        let role = Role::Party(u32::try_from(number).unwrap());
        let opening = Opening {
            terms: self.terms.clone(),
            role,
            secret: (number == 0).then_some(super::fixture::SECRET),
            profiles: vec![profile; 2],
            margins,
        };
        let swap = Swap::open(opening).unwrap();
        Some(Party::new(&swap.step(UnixMillis::ZERO, Input::Accepted).state))
    }
}

impl Network {
    fn may_crash(&self, state: &State) -> bool {
        self.hostility.crashes && !state.crashed
    }
}

impl Hostility {
    /// What is allowed for: an eviction costs as much as two more ticks of outage, one for the block
    /// that was waited for in vain and one until that is seen.
    fn margins(self) -> Margins {
        let outage = OUTAGE + 2 * u8::from(self.evictions);
        Margins { relay_ms: RELAY.into(), outage_ms: outage.into() }
    }

    /// What holds, and is promised: a tick is a millisecond.
    fn profile(self) -> Profile {
        let skew = self.offsets.map(i8::unsigned_abs).into_iter().max().unwrap();
        let still = u64::from(self.stalls);
        Profile {
            block_ms_fastest: 1,
            block_ms_slowest: 1 + still,
            time_lag_ms: 0,
            skew_ms: u64::from(skew),
            inclusion_ms: 1 + still,
            finality_ms: 1,
            expiry: if self.scripts { Expiry::Open } else { Expiry::Enforced },
            spending: Spending::Anybody,
        }
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// Time goes on; this chain, if any, stands still.
    Tick(Option<usize>),
    /// A party looks at both chains and decides.
    Look(usize),
    /// It writes that down, and then does it.
    CarryOut(usize),
    /// It breaks down before it has written anything.
    CrashBefore(usize),
    /// It breaks down when it has written and done nothing.
    CrashBetween(usize),
    /// It comes back.
    Restart(usize),
    /// A chain takes the transaction at this place in its pool.
    Include(usize, usize),
    /// The pool loses it.
    Evict(usize, usize),
    /// The hostile party does this to this leg, at once.
    Hostile(usize, Tx),
    /// A fork takes the hostile lock of this leg away.
    Vanish(usize),
}

impl Model for Network {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        vec![State::new([self.party(0), self.party(1)], self.hostility.offsets, BEGIN)]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        // What a party has decided is written and done, or lost, before anything else happens: what
        // the world does meanwhile it may as well do to the transactions in the pool.
        for (number, party) in state.parties.iter().enumerate() {
            let Some(party) = party else { continue };
            if party.decided.is_some() {
                events.push(Event::CarryOut(number));
                if self.may_crash(state) {
                    events.extend([Event::CrashBefore(number), Event::CrashBetween(number)]);
                }
                return;
            }
        }
        for (number, party) in state.parties.iter().enumerate() {
            match party {
                None => self.hostile_events(state, number, events),
                Some(party) if party.down => events.push(Event::Restart(number)),
                Some(_) => {
                    // To be down while there is nothing to see is the same as to be up.
                    if self.decides(state, number) {
                        events.push(Event::Look(number));
                        if self.may_crash(state) {
                            events.push(Event::CrashBefore(number));
                        }
                    }
                }
            }
        }
        for (leg, chain) in state.chains.iter().enumerate() {
            for place in 0..chain.pool.len() {
                if !chain.still {
                    events.push(Event::Include(leg, place));
                }
                if self.hostility.evictions && !state.evicted {
                    events.push(Event::Evict(leg, place));
                }
            }
        }
        if state.now < self.end && self.may_tick(state) {
            events.push(Event::Tick(None));
            if self.hostility.stalls && state.stalls < STALLS {
                let moving = (0..2).filter(|leg| !state.chains[*leg].still);
                events.extend(moving.map(|leg| Event::Tick(Some(leg))));
            }
        }
    }

    fn next_state(&self, last: &State, event: Event) -> Option<State> {
        let mut state = last.clone();
        match event {
            Event::Tick(still) => {
                let unread = [0, 1].map(|number| self.has_news(last, number));
                state.tick(still, unread);
            }
            Event::Look(number) => {
                let step = self.step(last, number);
                let party = state.parties[number].as_mut()?;
                party.unread = 0;
                let done = step.effects.iter().filter_map(Tx::of).collect();
                party.decided = Some((Disk::of(&step.state), done));
            }
            Event::CarryOut(number) => state.carry_out(number, true, true),
            Event::CrashBefore(number) => {
                // The twin that shows before it writes is caught between the two.
                let done = self.twin == Twin::ShowsBeforeItIsWritten;
                state.carry_out(number, false, done);
                state.crash(number);
            }
            Event::CrashBetween(number) => {
                state.carry_out(number, true, false);
                state.crash(number);
            }
            Event::Restart(number) => {
                let party = state.parties[number].as_mut()?;
                party.down = false;
                // The first thing that it does is to look.
                party.unread = RELAY;
                party.disk = Disk::of(&party.swap().step(UnixMillis::ZERO, Input::Resumed).state);
            }
            Event::Include(leg, place) => {
                let (tx, _) = state.chains[leg].pool.remove(place);
                self.apply(&mut state, leg, tx);
            }
            Event::Evict(leg, place) => {
                state.chains[leg].pool.remove(place);
                state.evicted = true;
            }
            Event::Hostile(leg, tx) => self.apply(&mut state, leg, tx),
            Event::Vanish(leg) => {
                state.chains[leg].lock = None;
                state.forked = true;
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(S11, |network, state| network.nobody_is_worse_off(state)),
            Property::always(ENDS, |network, state| network.nothing_stays_locked(state)),
            Property::sometimes(COMPLETES, |_, state: &State| state.ended_as(Tx::Claim)),
            Property::sometimes(UNDONE, |_, state: &State| state.ended_as(Tx::Refund)),
        ]
    }
}

const S11: &str = "S11 who follows the protocol is never worse off";
const ENDS: &str = "at the end nothing of theirs is locked";
const COMPLETES: &str = "both legs are claimed";
const UNDONE: &str = "both legs are taken back";

fn run(honest: [bool; 2], hostility: Hostility, twin: Twin) -> impl Checker<Network> {
    let network = Network::new(honest, hostility, twin);
    let checker = network.checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker
}

/// Req: PRJ-5-6, PRJ-5-7
#[test]
fn a32_two_who_follow_the_protocol_complete_it_over_every_crash() {
    let hostility = Hostility { crashes: true, ..Hostility::default() };
    run([true, true], hostility, Twin::None).assert_properties();
}

/// Req: PRJ-5-6, PRJ-5-7
#[test]
fn a32_a_hostile_second_party_takes_nothing_from_the_first() {
    let hostility = Hostility { crashes: true, evictions: true, ..Hostility::default() };
    run([true, false], hostility, Twin::None).assert_properties();
}

/// Req: PRJ-5-6, PRJ-5-7
#[test]
fn a32_a_hostile_first_party_takes_nothing_from_the_second() {
    let hostility =
        Hostility { crashes: true, evictions: true, forks: true, ..Hostility::default() };
    run([false, true], hostility, Twin::None).assert_properties();
}

/// Req: PRJ-5-8
#[test]
fn a33_clocks_that_are_off_take_nothing_from_either() {
    for offsets in [[1, -1], [-1, 1]] {
        for honest in [[true, false], [false, true]] {
            let hostility = Hostility { crashes: true, offsets, ..Hostility::default() };
            run(honest, hostility, Twin::None).assert_properties();
        }
    }
}

/// Req: PRJ-5-8
#[test]
fn a33_a_stalled_chain_lets_nobody_claim_both_legs() {
    for honest in [[true, false], [false, true]] {
        let hostility = Hostility { stalls: true, ..Hostility::default() };
        run(honest, hostility, Twin::None).assert_properties();
    }
}

/// Req: PRJ-5-6
#[test]
fn a31_scripts_that_end_no_claim_take_nothing_from_either() {
    for honest in [[true, false], [false, true]] {
        let hostility =
            Hostility { scripts: true, crashes: true, offsets: [1, -1], ..Hostility::default() };
        run(honest, hostility, Twin::None).assert_properties();
    }
}

fn refute(honest: [bool; 2], hostility: Hostility, twin: Twin) {
    let checker = run(honest, hostility, twin);
    assert!(checker.discovery(S11).is_some(), "{twin:?} was not caught");
}

#[test]
fn a31_equal_deadlines_are_refuted() {
    refute([false, true], Hostility::default(), Twin::EqualDeadlines);
}

#[test]
fn a31_a_claim_without_margin_is_refuted() {
    refute([true, false], Hostility::default(), Twin::ClaimsWithoutMargin);
}

#[test]
fn a32_a_secret_that_is_shown_before_it_is_written_is_refuted() {
    let hostility = Hostility { crashes: true, evictions: true, ..Hostility::default() };
    refute([true, false], hostility, Twin::ShowsBeforeItIsWritten);
}

#[test]
fn a_lock_under_one_that_is_not_final_is_refuted() {
    let hostility = Hostility { forks: true, ..Hostility::default() };
    refute([false, true], hostility, Twin::LocksBeforeFinal);
}
