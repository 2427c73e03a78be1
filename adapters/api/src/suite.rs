//! One suite for all adapters: what a relayer relies on, asked of a running chain.
//!
//! An adapter's tests implement [`Fixture`] and call [`run`]. Whatever does not hold panics with a
//! sentence. Nothing here sleeps: what must happen is waited for, with [`LIMIT`] as deadline.
//!
//! Req: PRJ-14-1

mod deliver;
mod lasting;
mod prove;

use crate::{AdapterError, ClientView, LinkHead, ProvedLeaf, Query, Sink, Source};
use async_trait::async_trait;
use std::{future::Future, time::Duration};
use tombolo_types::{
    Height, LaneNumber, MessageNumber, UnixMillis,
    id::LinkId,
    lane::{DATA_LANE, Delivery, Direction, LaneKey},
    verifier::Verifier,
};

/// The longest that any one step may take; a step is a few blocks at most.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What the other side of the link holds of the chain under test.
pub struct Follower {
    /// The verifier that the link names.
    pub verifier: Box<dyn Verifier>,
    /// A client that starts at the chain's genesis, or at another point before all that the suite
    /// does.
    pub client: Vec<u8>,
}

/// Whether a chain of this kind can take back blocks that are not final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reorganisation {
    /// It has just done so.
    Done,
    /// Its blocks are final at once, or nothing makes it take one back on demand.
    Impossible,
}

/// A running chain with a link, and another ledger behind the link.
///
/// The link is open, both sides have a client of each other, and its data lane may hold messages.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The adapter under test.
    type Adapter: Source + Sink + Query;

    /// The adapter, connected to the chain.
    fn adapter(&self) -> &Self::Adapter;

    /// Ends the adapter, and the chain's node where the fixture owns it, and starts both again on
    /// what they kept.
    async fn restart(&mut self);

    /// The link.
    fn link(&self) -> LinkId;

    /// Makes the chain send `count` requests over the link's data lane. They may still wait for
    /// their block to become final.
    async fn send(&mut self, count: u64);

    /// The next `count` messages that the other ledger has for the chain, proved as the link asks.
    async fn delivery(&mut self, count: u64) -> Delivery;

    /// What the other ledger believes the chain by.
    fn follower(&self) -> Follower;

    /// Makes the chain certify blocks by other validators from some height on.
    ///
    /// Called only where the adapter declares client updates.
    async fn change_validators(&mut self);

    /// Makes the chain send messages in blocks that are not final, and then drop those blocks.
    async fn reorganise(&mut self) -> Reorganisation;

    /// The time by which the other ledger judges.
    fn now(&self) -> UnixMillis;
}

/// Runs everything, in an order in which each step finds what it needs.
pub async fn run<F: Fixture>(mut fixture: F) {
    prove::declares_what_it_is(&fixture);
    prove::follows_final_heads(&mut fixture).await;
    prove::proves_every_lane(&mut fixture).await;
    prove::proves_messages(&mut fixture).await;
    deliver::takes_what_is_proved_once(&mut fixture).await;
    deliver::refuses_what_is_not_proved(&mut fixture).await;
    deliver::names_what_it_does_not_know(&fixture).await;
    deliver::refuses_what_it_does_not_declare(&fixture).await;
    lasting::leads_a_client_over_a_change_of_validators(&mut fixture).await;
    lasting::drops_nothing_that_was_final(&mut fixture).await;
    lasting::resumes_after_a_restart(&mut fixture).await;
}

/// The delivery that brings `count` messages of a lane from number `from` on to `follower`, the
/// receiver's client: what a relayer does.
///
/// # Errors
/// What the source says.
pub async fn delivery_from(
    source: &(impl Source + ?Sized),
    link: LinkId,
    lane: LaneNumber,
    from: MessageNumber,
    count: u64,
    follower: &ClientView,
) -> Result<Delivery, AdapterError> {
    let head = source.head(link, follower).await?;
    let ProvedLeaf { leaf, head_proof, .. } = leaf_of(&head, lane).clone();
    let direction = Direction::from_number(leaf.direction).expect("a direction");
    let key = LaneKey { link, direction, lane };
    let (messages, range) = source.messages(key, leaf.epoch, from, count, leaf.size).await?;
    Ok(Delivery { leaf, head_proof, first: from, messages, range })
}

/// Waits for `future`, with [`LIMIT`] as deadline.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not done within {LIMIT:?}"),
    }
}

fn leaf_of(head: &LinkHead, lane: LaneNumber) -> &ProvedLeaf {
    let found = head.lanes.iter().find(|proved| proved.leaf.lane == lane);
    found.unwrap_or_else(|| panic!("the head shows no lane {lane}"))
}

async fn head<F: Fixture>(fixture: &F) -> LinkHead {
    let follower = view(fixture);
    let head = fixture.adapter().head(fixture.link(), &follower);
    within("head", head).await.expect("the link is there")
}

/// The client of the chain from which the suite starts, as the other ledger shows it.
fn view<F: Fixture>(fixture: &F) -> ClientView {
    let Follower { verifier, client } = fixture.follower();
    verifier.view(&client, fixture.now()).expect("a client")
}

/// Leads a client of the chain to the set that vouches for the newest head, as a relayer does, and
/// gives it with that head and the number of updates.
async fn lead<F: Fixture>(fixture: &mut F, mut client: Vec<u8>) -> (Vec<u8>, LinkHead, u64) {
    let verifier = fixture.follower().verifier;
    let mut updates = 0;
    loop {
        let view = verifier.view(&client, fixture.now()).expect("a client");
        let adapter = fixture.adapter();
        let shown = within("head", adapter.head(fixture.link(), &view)).await.expect("a head");
        if shown.head.validators_root == view.validators_root {
            return (client, shown, updates);
        }
        match within("client update", adapter.client_update(&view)).await.expect("an answer") {
            Some(update) => {
                let moved = verifier.update(&client, fixture.now(), &update);
                client = moved.expect("an honest update").client;
                updates += 1;
                assert!(updates < 100, "the client is led in circles");
            }
            // It has left a set by the newest block; the next is under the set that it holds.
            None => drop(send_and_wait(fixture, 1).await),
        }
    }
}

/// How many messages the chain has sent over the data lane, by its newest final block.
async fn sent<F: Fixture>(fixture: &F) -> u64 {
    leaf_of(&head(fixture).await, DATA_LANE).leaf.size
}

/// How many messages the chain has taken over the data lane, by its newest final block.
async fn received<F: Fixture>(fixture: &F) -> u64 {
    leaf_of(&head(fixture).await, DATA_LANE).leaf.received
}

/// The same, once a head is shown that holds the block at `height`: what proves a head may lag
/// behind what makes a block final.
async fn received_at<F: Fixture>(fixture: &F, height: Height) -> u64 {
    within("head", async {
        loop {
            let head = head(fixture).await;
            if head.head.height >= height {
                return leaf_of(&head, DATA_LANE).leaf.received;
            }
            fixture.adapter().next_head(head.head.height).await.expect("next head");
        }
    })
    .await
}

/// Has the chain send `count` requests, and waits until they are final.
async fn send_and_wait<F: Fixture>(fixture: &mut F, count: u64) -> LinkHead {
    let wanted = sent(fixture).await + count;
    within("send", fixture.send(count)).await;
    within("final messages", async {
        loop {
            let head = head(fixture).await;
            if leaf_of(&head, DATA_LANE).leaf.size >= wanted {
                return head;
            }
            fixture.adapter().next_head(head.head.height).await.expect("next head");
        }
    })
    .await
}
