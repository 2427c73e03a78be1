//! What holds over time: changes of validators, reorganisations, restarts.

use super::{
    Fixture, Follower, Reorganisation, head, lead, leaf_of, received_at, send_and_wait, sent, view,
    within,
};
use crate::{Ability, Declare, Query, Sink, TransactionStatus};
use std::collections::BTreeSet;
use tombolo_types::lane::DATA_LANE;

/// So many blocks after it was decided on, a change of validators holds on every kind of chain.
const BLOCKS_UNTIL_CHANGED: usize = 8;

/// A client that last looked before both changes follows them, and so does one that saw the first.
pub(super) async fn leads_a_client_over_a_change_of_validators<F: Fixture>(fixture: &mut F) {
    if fixture.adapter().descriptor().require(Ability::ClientUpdates).is_err() {
        println!("suite: no client updates declared; leading a client is not tested");
        return;
    }
    let mut roots = BTreeSet::from([view(fixture).validators_root]);
    let mut clients = vec![fixture.follower().client];
    for change in 1..=2 {
        within("change of validators", fixture.change_validators()).await;
        // The block that decides is certified by the set before, and the next one may be.
        let mut newest = send_and_wait(fixture, 1).await;
        for _ in 0..BLOCKS_UNTIL_CHANGED {
            if !roots.contains(&newest.head.validators_root) {
                break;
            }
            newest = send_and_wait(fixture, 1).await;
        }
        for client in &mut clients {
            let (led, shown, updates) = lead(fixture, client.clone()).await;
            assert!(updates >= 1, "change {change} is followed without an update");
            roots.insert(shown.head.validators_root);
            let Follower { verifier, .. } = fixture.follower();
            let proved = leaf_of(&shown, DATA_LANE);
            verifier
                .head(&led, fixture.now(), &proved.head_proof, &proved.leaf)
                .expect("a head under the newest validators");
            *client = led;
        }
        assert_eq!(roots.len(), change + 1, "change {change} shows in no set");
        clients.push(fixture.follower().client);
    }
}

pub(super) async fn drops_nothing_that_was_final<F: Fixture>(fixture: &mut F) {
    let before = head(fixture).await;
    let size = sent(fixture).await;
    if within("reorganisation", fixture.reorganise()).await == Reorganisation::Impossible {
        println!("suite: no block can be taken back on demand; reorganisation is not tested");
        return;
    }
    let after = head(fixture).await;
    assert!(after.head.height >= before.head.height, "a final head went back");
    assert_eq!(sent(fixture).await, size, "a message of a dropped block is shown as final");
    let later = send_and_wait(fixture, 1).await;
    assert_eq!(leaf_of(&later, DATA_LANE).leaf.size, size + 1, "something dropped came back");
}

pub(super) async fn resumes_after_a_restart<F: Fixture>(fixture: &mut F) {
    let delivery = within("delivery", fixture.delivery(1)).await;
    let outcome = within("deliver", fixture.adapter().deliver(delivery)).await.expect("taken");
    let taken = received_at(fixture, outcome.height).await;
    let before = head(fixture).await;
    let client = fixture.adapter().client_status(fixture.link()).await.expect("a client");

    within("restart", fixture.restart()).await;

    let after = head(fixture).await;
    assert!(after.head.height >= before.head.height, "a final head was lost");
    assert_eq!(leaf_of(&after, DATA_LANE).leaf.received, taken, "the chain says where to resume");
    let now = fixture.adapter().client_status(fixture.link()).await.expect("a client");
    assert!(now.height >= client.height, "the client fell back");
    if fixture.adapter().descriptor().require(Ability::Query).is_ok() {
        let found = within("query", fixture.adapter().transaction(outcome.transaction)).await;
        assert_eq!(found, Ok(TransactionStatus::Applied { height: outcome.height }));
    }
    let delivery = within("delivery", fixture.delivery(1)).await;
    let again = within("deliver", fixture.adapter().deliver(delivery)).await.expect("taken");
    assert_eq!(received_at(fixture, again.height).await, taken + 1);
    send_and_wait(fixture, 1).await;
}
