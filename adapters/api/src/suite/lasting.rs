//! What holds over time: changes of validators, reorganisations, restarts.

use super::{Fixture, Reorganisation, head, leaf_of, received, send_and_wait, sent, within};
use crate::{Ability, Declare, Query, Sink, Source, TransactionStatus};
use tombolo_types::lane::DATA_LANE;

/// A client that last looked at genesis follows all changes, one update at a time.
pub(super) async fn leads_a_client_over_a_change_of_validators<F: Fixture>(fixture: &mut F) {
    if fixture.adapter().descriptor().require(Ability::ClientUpdates).is_err() {
        println!("suite: no client updates declared; leading a client is not tested");
        return;
    }
    within("change of validators", fixture.change_validators()).await;
    within("change of validators", fixture.change_validators()).await;
    send_and_wait(fixture, 1).await;
    let follower = fixture.follower();
    let mut client = follower.client;
    let mut updates = 0;
    loop {
        let view = follower.verifier.view(&client, fixture.now()).expect("a client");
        let update = within("client update", fixture.adapter().client_update(&view)).await;
        let Some(update) = update.expect("an answer") else { break };
        let moved = follower.verifier.update(&client, fixture.now(), &update);
        client = moved.expect("an honest update").client;
        updates += 1;
        assert!(updates < 100, "the client is led in circles");
    }
    assert!(updates >= 2, "two changes need two updates");
    // The client may have left a set by the newest block; the next is under the set that it holds.
    send_and_wait(fixture, 1).await;
    let view = follower.verifier.view(&client, fixture.now()).expect("a client");
    let shown = fixture.adapter().head(fixture.link(), &view).await.expect("the link is there");
    let proved = leaf_of(&shown, DATA_LANE);
    follower
        .verifier
        .head(&client, fixture.now(), &proved.head_proof, &proved.leaf)
        .expect("a head under the newest validators");
}

pub(super) async fn drops_nothing_that_was_final<F: Fixture>(fixture: &mut F) {
    let before = head(fixture).await;
    let size = sent(fixture).await;
    if within("reorganisation", fixture.reorganise()).await == Reorganisation::Impossible {
        println!("suite: blocks are final at once; reorganisation is not tested");
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
    let (before, taken) = (head(fixture).await, received(fixture).await);
    let client = fixture.adapter().client_status(fixture.link()).await.expect("a client");

    within("restart", fixture.restart()).await;

    let after = head(fixture).await;
    assert!(after.head.height >= before.head.height, "a final head was lost");
    assert_eq!(received(fixture).await, taken, "the chain says where to resume");
    let now = fixture.adapter().client_status(fixture.link()).await.expect("a client");
    assert!(now.height >= client.height, "the client fell back");
    if fixture.adapter().descriptor().require(Ability::Query).is_ok() {
        let found = within("query", fixture.adapter().transaction(outcome.transaction)).await;
        assert_eq!(found, Ok(TransactionStatus::Applied { height: outcome.height }));
    }
    let delivery = within("delivery", fixture.delivery(1)).await;
    within("deliver", fixture.adapter().deliver(delivery)).await.expect("taken");
    assert_eq!(received(fixture).await, taken + 1);
    send_and_wait(fixture, 1).await;
}
