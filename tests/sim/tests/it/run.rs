//! The event loop: virtual time, one queue, one seed.
//!
//! Everything that happens is an event at a time; ties are broken by the order of scheduling, so
//! the same seed gives the same history. Faults strike between events, at every step of a block
//! and of a relayer.

mod relayers;

use crate::{
    checker::{Checker, state_digest},
    deeds::{Deed, Mind},
    node::{CrashAt, Made},
    random::Random,
    world::{Place, RELAYERS, World, identity, key},
};
use relayers::Relayer;
use std::collections::{BTreeMap, VecDeque};
use tombolo_crypto::digest::{self, Preimage};
use tombolo_types::{Hash, UnixMillis, transaction::SignedTransaction};

/// How many of the newest events a failure shows.
const SHOWN: usize = 50;
/// Signed transactions of the past that somebody hands in again.
const OVERHEARD: usize = 64;

/// How much goes wrong. Rates are per thousand occasions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// Blocks during which a ledger's process dies.
    pub(crate) crash: u64,
    /// Steps of a relayer after which its process dies.
    pub(crate) relayer_crash: u64,
    /// Messages to a door that are lost.
    pub(crate) lost: u64,
    /// Messages to a door that come twice.
    pub(crate) doubled: u64,
    /// Old signed transactions that come again.
    pub(crate) replayed: u64,
    /// The longest that a message to a door takes, in milliseconds: they overtake one another.
    pub(crate) delay_ms: u64,
    /// Steps of a relayer after which it is cut off from one ledger.
    pub(crate) cut: u64,
    /// The longest that it stays so, in milliseconds.
    pub(crate) cut_ms: u64,
    /// Blocks that take seconds.
    pub(crate) slow: u64,
    /// How many relayers race.
    pub(crate) relayers: usize,
    /// The time between two deeds, at most.
    pub(crate) deed_ms: u64,
}

impl Faults {
    /// A perfect world with one relayer.
    pub(crate) const NONE: Self = Self {
        crash: 0,
        relayer_crash: 0,
        lost: 0,
        doubled: 0,
        replayed: 0,
        delay_ms: 50,
        cut: 0,
        cut_ms: 1,
        slow: 0,
        relayers: 1,
        deed_ms: 500,
    };

    /// As much of each as the seed says.
    pub(crate) fn drawn(random: &mut Random) -> Self {
        let mut rate = |most| if random.strikes(300) { 0 } else { random.below(most) };
        Self {
            crash: rate(150),
            relayer_crash: rate(100),
            lost: rate(200),
            doubled: rate(200),
            replayed: rate(100),
            delay_ms: 20 + rate(3_000),
            cut: rate(60),
            cut_ms: 1 + rate(15_000),
            slow: rate(60),
            relayers: 1 + usize::try_from(random.below(3)).unwrap(),
            deed_ms: 200 + random.below(1_000),
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Block(Place),
    Restart(Place),
    Relayer(usize),
    Arrive { place: Place, signer: u8, call: Vec<u8>, forbidden: bool },
    Again { place: Place, transaction: Vec<u8> },
    Deed,
}

/// One simulated history.
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) world: World,
    pub(crate) checker: Checker,
    faults: Faults,
    mind: Mind,
    random: Random,
    now: u64,
    scheduled: u64,
    queue: BTreeMap<(u64, u64), Event>,
    relayers: Vec<Relayer>,
    overheard: Vec<(Place, Vec<u8>)>,
    log: VecDeque<String>,
    log_digest: Hash,
    pub(crate) events: u64,
    /// Deeds are done no more.
    is_over: bool,
}

impl Run {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let world = World::founded();
        let now = Place::ALL.map(|place| world.at(place).tip().time.0).into_iter().max().unwrap();
        let mut run = Self {
            seed,
            checker: Checker::new(&world),
            world,
            faults,
            mind: Mind::default(),
            random: Random::new(seed),
            now,
            scheduled: 0,
            queue: BTreeMap::new(),
            relayers: RELAYERS.iter().take(faults.relayers).map(|key| Relayer::new(*key)).collect(),
            overheard: Vec::new(),
            log: VecDeque::new(),
            log_digest: Hash::ZERO,
            events: 0,
            is_over: false,
        };
        for place in Place::ALL {
            run.schedule(100, Event::Block(place));
        }
        for relayer in 0..run.relayers.len() {
            run.schedule(50, Event::Relayer(relayer));
        }
        run.schedule(1, Event::Deed);
        run
    }

    /// A history whose faults are drawn from its seed.
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xfa17);
        Self::new(seed, Faults::drawn(&mut random))
    }

    /// Never revokes anybody.
    pub(crate) fn gently(mut self) -> Self {
        self.mind.is_gentle = true;
        self
    }

    fn schedule(&mut self, after_ms: u64, event: Event) {
        self.scheduled += 1;
        self.queue.insert((self.now + after_ms, self.scheduled), event);
    }

    pub(crate) fn note(&mut self, what: String) {
        self.events += 1;
        let line = format!("{} {what}", self.now);
        self.log_digest =
            Preimage::tagged("event").word(self.log_digest).bytes(line.as_bytes()).finish();
        if self.log.len() == SHOWN {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }

    /// Ends the test, and says how to see it again.
    pub(crate) fn fail(&self, why: &str) -> ! {
        let events: Vec<&str> = self.log.iter().map(String::as_str).collect();
        panic!(
            "{why}\nseed {seed} with {:?}\nthe last events:\n  {}\nreplay: TOMBOLO_SEED={seed} \
             cargo test -p tombolo-simulation",
            self.faults,
            events.join("\n  "),
            seed = self.seed,
        );
    }

    /// What happened and what it led to, in one digest.
    pub(crate) fn digest(&self) -> Hash {
        Preimage::tagged("run").word(self.log_digest).word(state_digest(&self.world)).finish()
    }

    /// Lets virtual time pass.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        while let Some((&(at, number), _)) = self.queue.first_key_value() {
            if at > until {
                break;
            }
            let event = self.queue.remove(&(at, number)).unwrap();
            self.now = at;
            self.take(event);
        }
        self.now = until;
    }

    /// Heals everything, lets the relayers finish, and checks what must be so at the end.
    pub(crate) fn finish(&mut self) {
        self.heal();
        let mut end = Ok(());
        // Longer than any delay, deadline and pause together.
        for _ in 0..40 {
            self.pass(5_000);
            end = self.checker.at_the_end(&self.world);
            if end.is_ok() {
                end = self.checker.check_shares(&self.world);
                break;
            }
        }
        if let Err(broken) = end {
            self.fail(&format!("at the end: {broken}"));
        }
    }

    /// From now on nothing goes wrong, and nobody asks for anything.
    pub(crate) fn heal(&mut self) {
        self.note("healed".into());
        self.is_over = true;
        self.faults = Faults { relayers: self.faults.relayers, ..Faults::NONE };
        for relayer in &mut self.relayers {
            relayer.cut_until.clear();
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Block(place) => self.block(place),
            Event::Restart(place) => self.restart(place),
            Event::Relayer(relayer) => self.relay(relayer),
            Event::Arrive { place, signer, call, forbidden } => {
                self.arrive(place, signer, call, forbidden);
            }
            Event::Again { place, transaction } => self.again(place, transaction),
            Event::Deed => self.deed(),
        }
    }

    fn block(&mut self, place: Place) {
        if !self.world.at(place).is_up() {
            return;
        }
        let crash =
            self.random.strikes(self.faults.crash).then(|| *self.random.pick(&CrashAt::ALL));
        let time = UnixMillis(self.now);
        let made = self.world.at_mut(place).produce(time, crash);
        if let Some(crash) = crash {
            self.note(format!("{place:?} dies: {crash:?}"));
            let after = self.random.between(50, 6_000);
            self.schedule(after, Event::Restart(place));
        }
        if let Some(made) = made {
            self.check(place, &made);
        }
        self.next_block(place);
    }

    fn next_block(&mut self, place: Place) {
        if !self.world.at(place).is_up() {
            return;
        }
        let wait = if self.random.strikes(self.faults.slow) {
            self.random.between(2_000, 9_000)
        } else if self.world.at(place).waiting() > 0 {
            self.random.between(50, 250)
        } else {
            self.random.between(300, 700)
        };
        self.schedule(wait, Event::Block(place));
    }

    fn check(&mut self, place: Place, made: &Made) {
        self.note(format!(
            "{place:?} block {} {} with {} transactions",
            made.height,
            made.id,
            made.transactions.len()
        ));
        for outcome in made.outcomes.iter().filter(|outcome| outcome.refusal.is_some()) {
            let refusal = outcome.refusal.as_ref().unwrap();
            self.note(format!("  {place:?} refused {}: {refusal}", outcome.id));
        }
        if let Err(broken) = self.checker.after_block(&self.world, place, made) {
            self.fail(&broken);
        }
    }

    fn restart(&mut self, place: Place) {
        let back = self.world.at_mut(place).restart();
        self.note(format!("{place:?} is back"));
        if let Some(made) = back {
            self.check(place, &made);
        }
        self.next_block(place);
    }

    /// Sends something to a door over a network that may lose, double and delay it.
    fn send(&mut self, place: Place, signer: u8, call: &[u8], forbidden: bool) {
        let copies = if self.random.strikes(self.faults.lost) {
            0
        } else if self.random.strikes(self.faults.doubled) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let delay = self.random.between(1, self.faults.delay_ms);
            let call = call.to_vec();
            self.schedule(delay, Event::Arrive { place, signer, call, forbidden });
        }
    }

    fn arrive(&mut self, place: Place, signer: u8, call: Vec<u8>, forbidden: bool) {
        if !self.world.at(place).is_up() {
            self.note(format!("{place:?} is down and hears nothing of {signer}"));
            return;
        }
        let salt = Hash(self.random.bytes());
        let node = self.world.at_mut(place);
        let transaction = node.sign(&key(signer), identity(signer), call, salt);
        if forbidden {
            let signed: SignedTransaction = borsh::from_slice(&transaction).unwrap();
            self.checker.forbid(digest::tx_id(&signed.body));
        }
        self.overheard.push((place, transaction.clone()));
        if self.overheard.len() > OVERHEARD {
            self.overheard.remove(0);
        }
        if let Err(refusal) = self.world.at_mut(place).arrive(transaction) {
            self.note(format!("{place:?} shuts the door to {signer}: {refusal}"));
        }
    }

    /// Somebody hands in again what was signed before.
    fn again(&mut self, place: Place, transaction: Vec<u8>) {
        if self.world.at(place).is_up() {
            let taken = self.world.at_mut(place).arrive(transaction).is_ok();
            self.note(format!("{place:?} hears an old transaction again, taken: {taken}"));
        }
    }

    fn deed(&mut self) {
        if self.is_over {
            return;
        }
        for Deed { what, place, signer, call, forbidden } in
            self.mind.next(&self.world, &mut self.random)
        {
            self.note(format!("{signer} asks {place:?}: {what}"));
            self.send(place, signer, &call, forbidden);
        }
        if !self.overheard.is_empty() && self.random.strikes(self.faults.replayed) {
            let (place, transaction) = self.random.pick(&self.overheard).clone();
            let delay = self.random.between(1, 5_000);
            self.schedule(delay, Event::Again { place, transaction });
        }
        let wait = self.random.between(1, self.faults.deed_ms);
        self.schedule(wait, Event::Deed);
    }
}
