//! Many swaps in one folder: what is wrong with one is not the others' matter.

use crate::world::{NOW, SECRET, WATCHER, World, opened_by};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tombolo_swap::htlc::Role;
use tombolo_swap_service::{
    Doors, Hand, HandError, Home, Keeper, Reports, Wanted, Watch, task::Surroundings,
};
use tombolo_types::{Class, id::OrderId};

fn doors(world: &World, party: u8) -> Doors {
    let mut doors = Doors::default();
    for door in world.doors(party) {
        doors.add(&door.name, door.chain);
    }
    doors
}

/// Waits for a report that is as it should be.
async fn until(reports: &Reports, order: OrderId, outcome: &str) {
    for _ in 0..12_000 {
        let all = reports.all();
        let report = all.iter().find(|report| report.order == order.to_string());
        if report.is_some_and(|report| report.outcome.as_deref() == Some(outcome)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the swap is not {outcome}: {:?}", reports.all());
}

/// Both parties' services find their journals; a journal that is damaged stops its own swap alone.
///
/// Req: PRJ-5-9
#[tokio::test(start_paused = true)]
async fn a58_a_damaged_journal_stops_no_other_swap() {
    let world = World::new();
    let damaged = OrderId([0xee; 32]);
    let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
    let mut told = Vec::new();
    let mut folders = Vec::new();
    for (party, role) in [(1, Role::Party(0)), (2, Role::Party(1))] {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path()).unwrap();
        home.create(world.order, &opened_by(role, &world.terms), NOW).unwrap();
        home.create(damaged, &opened_by(role, &world.terms), NOW).unwrap();
        let path = folder.path().join(format!("{damaged}.journal"));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[3] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let around = Surroundings { reports: Reports::default(), ..world.around(party) };
        told.push(around.reports.clone());
        folders.push(folder);
        tasks
            .spawn(Keeper::new(home, doors(&world, party), around, Watch::Own).run(cancel.clone()));
    }
    for reports in &told {
        until(reports, world.order, "completed").await;
        let all = reports.all();
        let report = all.iter().find(|report| report.order == damaged.to_string()).unwrap();
        assert_eq!(report.failure.as_ref().unwrap().0, "E_TAMPER");
        assert!(report.is_unfinished());
    }
    cancel.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap().unwrap();
    }
    world.check_supply();
}

/// Who watches over all takes on what the hub says is accepted, and writes it down.
///
/// Req: PRJ-5-6
#[tokio::test(start_paused = true)]
async fn a32_who_watches_over_all_takes_on_every_accepted_order() {
    let world = World::new();
    let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
    let mut told = Vec::new();
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    for (folder, party) in folders.iter().zip([1, 2, WATCHER]) {
        let home = Home::new(folder.path()).unwrap();
        let watch = if party == WATCHER { Watch::All } else { Watch::Own };
        if party != WATCHER {
            let role = Role::Party(u32::from(party) - 1);
            home.create(world.order, &opened_by(role, &world.terms), NOW).unwrap();
        }
        let around = Surroundings { reports: Reports::default(), ..world.around(party) };
        told.push(around.reports.clone());
        tasks.spawn(Keeper::new(home, doors(&world, party), around, watch).run(cancel.clone()));
    }
    until(&told[2], world.order, "watched").await;
    until(&told[0], world.order, "completed").await;
    cancel.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap().unwrap();
    }
    let home = Home::new(folders[2].path()).unwrap();
    assert_eq!(home.read(world.order).unwrap().unwrap().0.role(), Role::Watcher);
    world.check_supply();
}

/// A turn by hand is refused with what a party would be told, and leaves the journal as it was.
///
/// Req: PRJ-5-6, PRJ-5-7
#[tokio::test(start_paused = true)]
async fn what_is_not_allowed_by_hand_changes_nothing() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).unwrap();
    drop(home.create(world.order, &opened_by(Role::Party(0), &world.terms), NOW).unwrap());
    for (wanted, class) in [(Wanted::Claim, Class::NotFound), (Wanted::Refund, Class::NotFound)] {
        let opened = home.open(world.order).unwrap();
        let before = opened.swap.clone();
        let settings = world.around(1).settings;
        let mut hand = Hand::of_journal(opened, world.doors(1), settings);
        let error = hand.act(wanted).await.unwrap_err();
        assert!(matches!(error, HandError::Refused(_)), "{error}");
        assert_eq!(error.class(), class);
        drop(hand);
        assert_eq!(home.read(world.order).unwrap().unwrap().0, before);
    }
    // A party without its journal is none: it would forget that it has shown the secret.
    let swap = opened_by(Role::Party(0), &world.terms);
    let settings = world.around(1).settings;
    let refused = Hand::of_watcher(swap, Some(SECRET), world.doors(1), settings).map(drop);
    assert_eq!(refused.unwrap_err().class, Class::Unsupported);
}
