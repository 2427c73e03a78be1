//! What a chain takes, and what it refuses.

use super::{Fixture, received, view, within};
use crate::{Ability, AdapterError, Declare, Query, Sink, Source, TransactionStatus};
use tombolo_types::{Class, id::LinkId, id::TxId, verifier::ClientStatus};

fn class<T: std::fmt::Debug>(what: &str, answer: Result<T, AdapterError>) -> Class {
    match answer {
        Err(error) => error.class(),
        Ok(done) => panic!("{what} was taken: {done:?}"),
    }
}

pub(super) async fn takes_what_is_proved_once<F: Fixture>(fixture: &mut F) {
    let before = received(fixture).await;
    let delivery = within("delivery", fixture.delivery(2)).await;
    let proved_height = within("status", fixture.adapter().client_status(fixture.link()))
        .await
        .expect("a client")
        .height;
    let adapter = fixture.adapter();
    let outcome = within("deliver", adapter.deliver(delivery.clone())).await.expect("taken");
    assert_eq!(received(fixture).await, before + 2, "what is taken is final when deliver returns");

    let status = adapter.client_status(fixture.link()).await.expect("a client");
    assert!(status.height >= proved_height);
    assert_eq!(status.status, ClientStatus::Active);

    let again = within("the same again", adapter.deliver(delivery)).await;
    assert_eq!(class("the same again", again), Class::Replay);
    assert_eq!(received(fixture).await, before + 2);

    if adapter.descriptor().require(Ability::Query).is_ok() {
        let found = within("query", adapter.transaction(outcome.transaction)).await;
        assert_eq!(found, Ok(TransactionStatus::Applied { height: outcome.height }));
        let unknown = within("query", adapter.transaction(TxId([9; 32]))).await;
        assert_eq!(unknown, Ok(TransactionStatus::Unknown));
    }
}

pub(super) async fn refuses_what_is_not_proved<F: Fixture>(fixture: &mut F) {
    let before = received(fixture).await;
    let honest = within("delivery", fixture.delivery(2)).await;
    let adapter = fixture.adapter();

    let mut changed = honest.clone();
    changed.messages[1][40] ^= 1;
    let answer = within("a changed message", adapter.deliver(changed)).await;
    assert_eq!(class("a changed message", answer), Class::Proof);

    let mut inflated = honest.clone();
    inflated.leaf.size += 1;
    let answer = within("an inflated leaf", adapter.deliver(inflated)).await;
    assert_eq!(class("an inflated leaf", answer), Class::Proof);

    let mut gap = honest.clone();
    gap.first.0 += 1;
    gap.messages.remove(0);
    let refused = class("a gap", within("a gap", adapter.deliver(gap)).await);
    assert!(matches!(refused, Class::State | Class::Proof), "a gap: {refused}");

    assert_eq!(received(fixture).await, before, "something refused was taken");
    within("deliver", adapter.deliver(honest)).await.expect("the honest one is taken still");
    assert_eq!(received(fixture).await, before + 2);
}

pub(super) async fn names_what_it_does_not_know<F: Fixture>(fixture: &F) {
    let adapter = fixture.adapter();
    let nowhere = LinkId([0xee; 32]);
    assert_eq!(
        class("head", within("head", adapter.head(nowhere, &view(fixture))).await),
        Class::NotFound
    );
    let status = within("status", adapter.client_status(nowhere)).await;
    assert_eq!(class("status", status), Class::NotFound);
    let update = within("update", adapter.update_client(nowhere, vec![1])).await;
    assert_eq!(class("update", update), Class::NotFound);
}

pub(super) async fn refuses_what_it_does_not_declare<F: Fixture>(fixture: &F) {
    let adapter = fixture.adapter();
    let declared = |ability| adapter.descriptor().require(ability).is_ok();
    for ability in Ability::ALL {
        let class = match ability {
            Ability::Misbehaviour => {
                let report = adapter.report_misbehaviour(fixture.link(), vec![1, 2, 3]);
                class("nonsense", within("report", report).await)
            }
            Ability::ClientUpdates if !declared(ability) => {
                let view = view(fixture);
                class("update", within("update", adapter.client_update(&view)).await)
            }
            Ability::Query if !declared(ability) => {
                class("query", within("query", adapter.transaction(TxId([1; 32]))).await)
            }
            _ if !declared(ability) => class("ability", adapter.descriptor().require(ability)),
            _ => continue,
        };
        if declared(ability) {
            assert!(matches!(class, Class::Format | Class::Proof), "{ability}: {class}");
        } else {
            assert_eq!(class, Class::Unsupported, "{ability}");
        }
    }
}
