//! Swaps from acceptance to end: with everybody there, with somebody gone, with nobody but a watcher.

use crate::world::{FUNDS, GIVEN, NOW, SECRET, WATCHER, World, opened_by};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tombolo_islet_core::HashLockStanding;
use tombolo_swap::htlc::{Outcome, Role};
use tombolo_swap_service::{Ended, Home, JournalError, Said, SwapTask};

/// A party's folder and its running task.
struct Party {
    number: u8,
    home: Home,
    cancel: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Party {
    /// Party 1 or 2 of the order, or a watcher.
    fn new(world: &World, number: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path()).unwrap();
        let role = match number {
            WATCHER => Role::Watcher,
            party => Role::Party(u32::from(party) - 1),
        };
        home.create(world.order, &opened_by(role, &world.terms), NOW).unwrap();
        Self { number, home, cancel: CancellationToken::new(), _folder: folder }
    }

    fn task(&self, world: &World) -> impl Future<Output = Result<Ended, JournalError>> + use<> {
        let opened = self.home.open(world.order).unwrap();
        let doors = world.doors(self.number);
        let task = SwapTask::new(world.order, opened, doors, world.around(self.number));
        task.run(self.cancel.clone())
    }
}

/// Waits for something of the world, for at most two minutes of its time.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not so");
}

const GAVE: i128 = -(GIVEN as i128);
const GOT: i128 = GIVEN as i128;

/// Req: PRJ-5-5, PRJ-5-6, PRJ-5-9
#[tokio::test(start_paused = true)]
async fn two_parties_swap_and_tell_the_hub() {
    let world = World::new();
    let parties = [Party::new(&world, 1), Party::new(&world, 2)];
    let (first, second) = tokio::join!(parties[0].task(&world), parties[1].task(&world));
    assert_eq!(first.unwrap(), Ended::Over(Outcome::Completed));
    assert_eq!(second.unwrap(), Ended::Over(Outcome::Completed));
    assert_eq!(world.won(1), [GAVE, GOT]);
    assert_eq!(world.won(2), [GOT, GAVE]);
    world.check_supply();
    let told = world.book.told();
    for party in [1, 2] {
        let by = crate::world::identity(party);
        let said = told.iter().filter(|(who, leg, said)| {
            *who == by && *said == Said::Claimed && u32::from(party - 1) != *leg
        });
        assert_eq!(said.count(), 1, "party {party} tells of what it received: {told:?}");
    }
    let page = world.metrics.page();
    assert!(page.contains(r#"swap_outcomes_total{kind="completed"} 2"#), "{page}");
    assert!(page.contains("swap_unfinished 0"), "{page}");
}

/// Nothing is locked before the order is accepted, and after that nobody needs the hub.
///
/// Req: PRJ-5-7
#[tokio::test(start_paused = true)]
async fn a_hub_that_is_gone_stops_nothing_that_is_accepted() {
    let world = World::new();
    world.book.set_accepted(false);
    let parties = [Party::new(&world, 1), Party::new(&world, 2)];
    let mut tasks = JoinSet::new();
    for party in &parties {
        tasks.spawn(party.task(&world));
    }
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(world.won(1), [0, 0], "something was locked under an order that nobody accepted");
    world.book.set_accepted(true);
    until("the first leg is locked", || world.won(1)[0] < 0).await;
    world.book.silent.store(true, Ordering::SeqCst);
    while let Some(ended) = tasks.join_next().await {
        assert_eq!(ended.unwrap().unwrap(), Ended::Over(Outcome::Completed));
    }
    world.check_supply();
}

/// The second party never comes: the first has its own again, by itself, at its deadline.
///
/// Req: PRJ-5-7, PRJ-5-9
#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_has_its_own_again() {
    let world = World::new();
    let first = Party::new(&world, 1);
    assert_eq!(first.task(&world).await.unwrap(), Ended::Over(Outcome::Undone));
    assert_eq!(world.won(1), [0, 0]);
    assert!(world.now() >= deadline(&world, 0), "not before the deadline");
    world.check_supply();
}

/// The first party locks and never shows the secret: the second is back at its own deadline, before
/// the first is.
///
/// Req: PRJ-5-7
#[tokio::test(start_paused = true)]
async fn a34_who_never_claims_binds_the_other_no_longer_than_its_deadline() {
    let world = World::new();
    let [first, second] = [Party::new(&world, 1), Party::new(&world, 2)];
    let running = tokio::spawn(first.task(&world));
    until("the first leg is locked", || world.won(1)[0] < 0).await;
    first.cancel.cancel();
    assert_eq!(running.await.unwrap().unwrap(), Ended::Cancelled);
    assert_eq!(second.task(&world).await.unwrap(), Ended::Over(Outcome::Undone));
    assert_eq!(world.won(2), [0, 0]);
    let (own, others) = (deadline(&world, 1), deadline(&world, 0));
    assert!(world.now() >= own && world.now() < others);
    // The first comes back and takes its own back, too.
    let again = Party { cancel: CancellationToken::new(), ..first };
    assert_eq!(again.task(&world).await.unwrap(), Ended::Over(Outcome::Undone));
    assert_eq!(world.won(1), [0, 0]);
    world.check_supply();
}

/// The second party is gone for good once it has locked. A watcher that has no part in the swap
/// claims for it as soon as the secret is out.
///
/// Req: PRJ-5-6, PRJ-5-9
#[tokio::test(start_paused = true)]
async fn a32_a_watcher_claims_for_who_is_gone() {
    let world = World::new();
    let [first, second] = [Party::new(&world, 1), Party::new(&world, 2)];
    let watcher = Party::new(&world, WATCHER);
    let running = tokio::spawn(first.task(&world));
    let gone = tokio::spawn(second.task(&world));
    until("the second leg is locked", || world.won(2)[1] < 0).await;
    gone.abort();
    let watching = tokio::spawn(watcher.task(&world));
    assert_eq!(running.await.unwrap().unwrap(), Ended::Over(Outcome::Completed));
    assert_eq!(watching.await.unwrap().unwrap(), Ended::Over(Outcome::Watched));
    assert_eq!(world.won(1), [GAVE, GOT]);
    assert_eq!(world.won(2), [GOT, GAVE]);
    assert_eq!(world.won(WATCHER), [0, 0], "a watcher gains nothing");
    assert!(world.now() < deadline(&world, 1), "at once, not at a deadline");
    world.check_supply();
}

/// Both parties are gone: the watcher gives each its own back.
///
/// Req: PRJ-5-7, PRJ-5-9
#[tokio::test(start_paused = true)]
async fn a_watcher_gives_back_for_who_is_gone() {
    let world = World::new();
    for (number, leg) in [(1, 0), (2, 1)] {
        let running = tokio::spawn(Party::new(&world, number).task(&world));
        until("a leg is locked", || world.won(number)[leg] < 0).await;
        // It dies before it can see what the other does.
        running.abort();
    }
    let watcher = Party::new(&world, WATCHER);
    assert_eq!(watcher.task(&world).await.unwrap(), Ended::Over(Outcome::Watched));
    assert_eq!(world.won(1), [0, 0]);
    assert_eq!(world.won(2), [0, 0]);
    assert!(world.now() >= deadline(&world, 0));
    world.check_supply();
}

/// The watcher sees one chain only, and hears the secret from the hub.
///
/// Req: PRJ-5-6
#[tokio::test(start_paused = true)]
async fn a32_a_watcher_of_one_chain_hears_the_secret_from_the_hub() {
    let world = World::new();
    let first = Party::new(&world, 1);
    let running = tokio::spawn(first.task(&world));
    until("the first leg is locked", || world.won(1)[0] < 0).await;
    running.abort();
    world.chains[1].silent.store(true, Ordering::SeqCst);
    world.book.show(SECRET);
    let watcher = Party::new(&world, WATCHER);
    let watching = tokio::spawn(watcher.task(&world));
    until("the first leg is claimed", || world.won(2)[0] == GOT).await;
    watcher.cancel.cancel();
    assert_eq!(watching.await.unwrap().unwrap(), Ended::Cancelled);
}

/// The last chain stands still when the secret would be shown; when it goes on it is too late, and
/// nobody has lost anything.
///
/// Req: PRJ-5-8
#[tokio::test(start_paused = true)]
async fn a33_a_chain_that_stands_still_is_not_claimed_on() {
    let world = World::new();
    let [first, second] = [Party::new(&world, 1), Party::new(&world, 2)];
    // The first party does not see the second leg until its chain stands still.
    let locking = tokio::spawn(first.task(&world));
    until("the first leg is locked", || world.won(1)[0] < 0).await;
    locking.abort();
    let running = tokio::spawn(second.task(&world));
    until("the second leg is locked", || world.won(2)[1] < 0).await;
    world.chains[1].still.store(true, Ordering::SeqCst);
    let margin = Duration::from_secs(8);
    let left = deadline(&world, 1).since(world.now());
    tokio::time::sleep(Duration::from_millis(left) - margin + Duration::from_secs(1)).await;
    let back = Party { cancel: CancellationToken::new(), ..first };
    let first = tokio::spawn(back.task(&world));
    tokio::time::sleep(margin).await;
    world.chains[1].still.store(false, Ordering::SeqCst);
    assert_eq!(first.await.unwrap().unwrap(), Ended::Over(Outcome::Undone));
    assert_eq!(running.await.unwrap().unwrap(), Ended::Over(Outcome::Undone));
    assert_eq!((world.won(1), world.won(2)), ([0, 0], [0, 0]));
    let locks = world.terms.locks();
    for (chain, lock) in world.chains.iter().zip(locks) {
        let standing = chain.standing(lock);
        assert!(matches!(standing, Some(HashLockStanding::Refunded { .. })), "{standing:?}");
    }
    assert_eq!(world.chains[0].balance(WATCHER), FUNDS);
    world.check_supply();
}

fn deadline(world: &World, leg: usize) -> tombolo_types::UnixMillis {
    let tombolo_types::swap::Deadline::Time(time) = world.terms.locks()[leg].deadline else {
        unreachable!()
    };
    time
}
