//! S11 over random histories at full scale: blocks from 25 ms to an hour, clocks off by up to two
//! hours, deadlines by height and by time, a median that lags, scripts that end no claim. The
//! deadlines are the nearest that are allowed, so that every millisecond of the margin is used.

mod chain;
mod party;

use super::fixture::order_with;
use chain::{Chain, Pace};
use party::{Crash, Deviation, Party};
use proptest::prelude::*;
use tombolo_swap::htlc::{
    Clock, Expiry, Margins, Outcome, Profile, Spending, Standing, Terms, earliest, gap_needs_ms,
    latest, lock_needs_ms,
};
use tombolo_types::{Height, UnixMillis, swap::Deadline};

/// When every history begins.
const BEGIN: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;

/// What a history is made of.
#[derive(Clone, Debug)]
struct Setting {
    profiles: [Profile; 2],
    margins: Margins,
    by_height: [bool; 2],
    paces: [Pace; 2],
    /// How far each clock is off, in parts of what the profile allows, −100 to 100.
    off: [i64; 2],
    /// What is left of the median's lag, in hundredths.
    lag: [u64; 2],
    /// By how much each host's clock is off, in milliseconds.
    hosts: [i64; 2],
    deviations: [Deviation; 2],
    crashes: [Option<Crash>; 2],
    /// What is left beyond what every lock and the claim need.
    slack_ms: u64,
    seed: u64,
}

/// A cheap, good enough source of chance: splitmix64.
#[derive(Clone, Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn up_to(&mut self, most: u64) -> u64 {
        self.next() % (most + 1)
    }
}

struct History {
    now: u64,
    chains: [Chain; 2],
    parties: [Party; 2],
    terms: Terms,
    chance: Chance,
}

impl History {
    fn new(setting: &Setting) -> Self {
        let chains = [0, 1].map(|leg| Chain::new(setting, leg, BEGIN));
        let terms = nearest_terms(setting, [chains[0].clock(), chains[1].clock()]);
        let parties = [0, 1].map(|number| Party::new(setting, number, &terms, BEGIN));
        Self { now: BEGIN, chains, parties, terms, chance: Chance(setting.seed) }
    }

    /// Runs until everything that may happen has.
    fn run(mut self) -> Self {
        let last = self.terms.locks().iter().zip(&self.chains).map(|(lock, chain)| {
            let over = latest(lock.deadline, Some(chain.clock()), &chain.profile).unwrap();
            over.0 + chain.profile.skew_ms
        });
        let settles = self.chains.iter().map(|chain| {
            chain.profile.inclusion_ms + chain.profile.finality_ms + chain.profile.block_ms_slowest
        });
        let party = &self.parties[0];
        let end = last.max().unwrap()
            + 4 * settles.max().unwrap()
            + 2 * (party.margins.relay_ms + party.margins.outage_ms)
            + 4 * HOUR_MS;
        while self.now < end && !self.is_over() {
            let blocks = self.chains.iter().map(|chain| chain.next_block);
            let looks = self.parties.iter().filter_map(|party| party.next_look);
            self.now = blocks.chain(looks).min().unwrap();
            for leg in 0..2 {
                if self.chains[leg].next_block == self.now {
                    self.hostile_deeds(leg);
                    self.chains[leg].make_block(self.now, &self.terms, leg, &mut self.chance);
                }
            }
            for number in 0..2 {
                if self.parties[number].next_look == Some(self.now) {
                    let party = &mut self.parties[number];
                    party.look(self.now, &mut self.chains, &self.terms, &mut self.chance);
                }
            }
        }
        self
    }

    fn is_over(&self) -> bool {
        let over = |party: &Party| party.deviation.is_some() || party.swap.outcome().is_some();
        let ended = |chain: &Chain| chain.standing() != Some(Standing::Funded);
        self.parties.iter().all(over) && self.chains.iter().all(ended)
    }

    /// What who deviates does on a chain, before the block that it knows is coming.
    fn hostile_deeds(&mut self, leg: usize) {
        for number in 0..2 {
            let Some(deviation) = self.parties[number].deviation else { continue };
            let knows = number == 0 || self.chains.iter().any(|chain| chain.ever_shown);
            let first_is_there = number == 0 || self.chains[0].standing().is_some();
            let chain = &mut self.chains[leg];
            if leg == number {
                chain.hostile_lock(deviation, self.now, &self.terms, leg, first_is_there);
            } else if knows {
                chain.hostile_claim(deviation, self.now, &self.terms, leg);
            }
        }
    }

    /// Req: S11
    fn check(&self) {
        for (number, party) in self.parties.iter().enumerate() {
            if party.deviation.is_some() {
                continue;
            }
            let (own, received) = (&self.chains[number], &self.chains[1 - number]);
            let lost = own.standing() == Some(Standing::Claimed);
            let got = received.standing() == Some(Standing::Claimed);
            assert!(!lost || got, "party {number} has lost its leg for nothing");
            assert_ne!(own.standing(), Some(Standing::Funded), "party {number} is still locked");
            assert_ne!(party.swap.outcome(), Some(Outcome::Lost));
        }
    }
}

/// The nearest deadlines that the rules allow from these clocks.
fn nearest_terms(setting: &Setting, clocks: [Clock; 2]) -> Terms {
    let [first, second] = &setting.profiles;
    let margins = &setting.margins;
    let needs = lock_needs_ms(&setting.profiles, margins) + setting.slack_ms;
    let at_least = |from: u64, leg: usize| {
        let (profile, clock) = (&setting.profiles[leg], clocks[leg]);
        let deadline = if setting.by_height[leg] {
            let blocks = from.saturating_sub(clock.time.0).div_ceil(profile.block_ms_fastest);
            Deadline::Height(Height(clock.height.0 + blocks.max(1)))
        } else {
            Deadline::Time(UnixMillis(from))
        };
        assert!(earliest(deadline, Some(clock), profile).unwrap().0 >= from);
        deadline
    };
    let now = clocks.map(|clock| clock.time.0).into_iter().max().unwrap().max(BEGIN);
    let second_deadline = at_least(now + needs, 1);
    let over = latest(second_deadline, Some(clocks[1]), second).unwrap();
    let first_deadline = at_least(over.0 + gap_needs_ms(first, second, margins), 0);
    Terms::read(order_with([first_deadline, second_deadline])).unwrap()
}

prop_compose! {
    fn profiles()(
        fastest in prop_oneof![25u64..1_000, 1_000u64..600_000],
        slower in 1u64..6,
        off in prop_oneof![Just(0), Just(2 * HOUR_MS), 0u64..2 * HOUR_MS],
        lag in prop_oneof![Just(0), 0u64..2 * HOUR_MS],
        included_after in 1u64..4,
        finality in 0u64..7,
        script: bool,
    ) -> Profile {
        let slowest = fastest * slower;
        Profile {
            block_ms_fastest: fastest,
            block_ms_slowest: slowest,
            time_lag_ms: lag,
            skew_ms: off,
            inclusion_ms: slowest * included_after,
            finality_ms: slowest * finality,
            expiry: if script { Expiry::Open } else { Expiry::Enforced },
            spending: Spending::Anybody,
        }
    }
}

fn paces() -> impl Strategy<Value = Pace> {
    prop_oneof![Just(Pace::Fastest), Just(Pace::Slowest), Just(Pace::Any)]
}

fn deviations() -> impl Strategy<Value = Deviation> {
    prop_oneof![
        1 => Just(Deviation::NeverLocks),
        1 => Just(Deviation::NeverClaims),
        4 => Just(Deviation::AtTheLastMoment),
        2 => Just(Deviation::AtOnce),
        1 => Just(Deviation::WithinAFork),
    ]
}

fn crashes() -> impl Strategy<Value = Option<Crash>> {
    let part = prop_oneof![3 => Just(100), 1 => 0u64..=100];
    let crash = (0u32..4, any::<bool>(), part).prop_map(|(step, written, part)| Crash {
        step,
        written,
        part,
    });
    prop_oneof![1 => Just(None), 3 => crash.prop_map(Some)]
}

prop_compose! {
    fn settings()(
        profiles in [profiles(), profiles()],
        relay in 100u64..60_000,
        outage in prop_oneof![Just(12 * HOUR_MS), 0u64..HOUR_MS],
        by_height: [bool; 2],
        paces in [paces(), paces()],
        off in [-100i64..=100, -100i64..=100],
        lag in [0u64..=100, 0u64..=100],
        hosts in prop_oneof![Just([0, 0]), [-86_400_000i64..=86_400_000, -86_400_000i64..=86_400_000]],
        honest in 0usize..2,
        deviation in deviations(),
        crashes in [crashes(), crashes()],
        slack_ms in prop_oneof![Just(0), 0u64..8 * HOUR_MS],
        seed: u64,
    ) -> Setting {
        let mut deviations = [Deviation::None; 2];
        deviations[1 - honest] = deviation;
        Setting {
            profiles, margins: Margins { relay_ms: relay, outage_ms: outage }, by_height, paces,
            off, lag, hosts, deviations, crashes, slack_ms, seed,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever the other side does, whatever the clocks and blocks do within their profiles.
    ///
    /// Req: PRJ-5-6, PRJ-5-7, PRJ-5-8
    #[test]
    fn a33_who_follows_the_protocol_is_never_worse_off(setting in settings()) {
        History::new(&setting).run().check();
    }

    /// Two who follow the protocol, with time to spare and clocks to rely on, complete it.
    ///
    /// Req: PRJ-5-6, PRJ-5-8
    #[test]
    fn two_who_follow_the_protocol_complete_it(mut setting in settings()) {
        setting.deviations = [Deviation::None; 2];
        setting.hosts = [0, 0];
        let skews = setting.profiles.iter().map(|profile| profile.skew_ms).sum::<u64>();
        setting.slack_ms = 2 * (skews + setting.margins.outage_ms);
        let history = History::new(&setting).run();
        history.check();
        for (number, party) in history.parties.iter().enumerate() {
            prop_assert_eq!(party.swap.outcome(), Some(Outcome::Completed), "party {}", number);
        }
    }
}

/// A process that dies at any step, before or after the step is written, comes back to the same end.
///
/// Req: PRJ-5-6, PRJ-5-7
#[test]
fn a32_a_restart_from_any_prefix_of_the_journal_gives_the_same_end() {
    let profile = super::fixture::PROFILE;
    let setting = Setting {
        profiles: [profile; 2],
        margins: Margins { relay_ms: 200, outage_ms: 5_000 },
        by_height: [false; 2],
        paces: [Pace::Any; 2],
        off: [0; 2],
        lag: [0; 2],
        hosts: [0; 2],
        deviations: [Deviation::None; 2],
        crashes: [None; 2],
        slack_ms: 30_000,
        seed: 1,
    };
    for deviation in [Deviation::None, Deviation::NeverClaims, Deviation::NeverLocks] {
        for honest in 0..2 {
            let mut setting = setting.clone();
            setting.deviations[1 - honest] = deviation;
            let end = |crash| {
                let mut setting = setting.clone();
                setting.crashes[honest] = crash;
                let history = History::new(&setting).run();
                history.check();
                let party = &history.parties[honest];
                (party.swap.outcome(), party.steps)
            };
            let (expected, steps) = end(None);
            assert!(expected.is_some() && steps > 0, "{deviation:?}");
            for step in 0..steps {
                for written in [false, true] {
                    let crash = Crash { step, written, part: 100 };
                    let found = end(Some(crash)).0;
                    assert_eq!(found, expected, "{deviation:?} against {honest}, {crash:?}");
                }
            }
        }
    }
}

/// The histories above hold swaps that end each way, so that the checks are not about nothing.
#[test]
fn histories_end_in_every_way() {
    let setting = Setting {
        profiles: [super::fixture::PROFILE; 2],
        margins: super::fixture::MARGINS,
        by_height: [true, false],
        paces: [Pace::Any; 2],
        off: [100, -100],
        lag: [0; 2],
        hosts: [0; 2],
        deviations: [Deviation::None; 2],
        crashes: [None; 2],
        slack_ms: 60_000,
        seed: 3,
    };
    let ends = |first, second| {
        let deviations = [first, second];
        let history = History::new(&Setting { deviations, ..setting.clone() }).run();
        history.check();
        [history.chains[0].standing(), history.chains[1].standing()]
    };
    use Deviation::{AtOnce, AtTheLastMoment, NeverClaims, NeverLocks, None as Honest};
    let (claimed, refunded) = (Some(Standing::Claimed), Some(Standing::Refunded));
    assert_eq!(ends(Honest, Honest), [claimed, claimed]);
    assert_eq!(ends(Honest, AtOnce), [claimed, claimed]);
    assert_eq!(ends(AtTheLastMoment, Honest), [claimed, claimed]);
    assert_eq!(ends(Honest, NeverLocks), [refunded, None]);
    assert_eq!(ends(NeverClaims, Honest), [refunded, refunded]);
    assert_eq!(ends(NeverLocks, Honest), [None, None]);
}
