//! Two-phase commits that an account of a chain begins there: the gateway locks and sends its yes.

use crate::{
    hub::wall,
    link::{data_leaf, until},
    pair::{
        ABORTED, ALICE, BOB, COMMITTED, FUNDS, PREPARED, UNKNOWN, by_transaction, freeCall,
        in_an_hour, on_a_pair,
    },
};
use tombolo_adapter::Source as _;
use tombolo_crypto::digest;
use tombolo_swap::two_phase::{Cause, Phase, Verdict};
use tombolo_types::{
    Class, Epoch, MessageNumber,
    id::{LinkId, Xid},
    lane::{DATA_LANE, Direction, LaneKey, Message},
    message::Body,
};

/// What no commit of these tests shall last.
const HALF_A_MINUTE_MS: u64 = 30_000;

/// Alice begins on her chain; the hub asks the other alone, and both carry out what it decides.
///
/// Req: Y4560-7.2.4-1, PRJ-5-1
#[test]
fn what_an_account_begins_on_its_chain_is_committed_on_both() {
    on_a_pair(async |mut pair| {
        let beginner = pair.first.beginner(ALICE);
        let (xid, begin) = pair.draft(beginner, in_an_hour(), by_transaction, by_transaction);
        pair.first.deposit(ALICE, Xid::ZERO);
        // Bob consents with what he pays.
        pair.second.deposit(BOB, xid);
        pair.first.begin(ALICE, &begin);
        assert_eq!(pair.first.standing(xid), PREPARED);
        assert_eq!(pair.first.balance(ALICE), u128::from(FUNDS) - 1);

        let finished = Some(Phase::Finished(Verdict::Committed));
        pair.relayed_until("the commit is finished", || pair.phase(xid) == finished).await;
        for side in [&pair.first, &pair.second] {
            assert_eq!(side.standing(xid), COMMITTED);
        }
        let balances = [&pair.first, &pair.second].map(|it| (it.balance(ALICE), it.balance(BOB)));
        assert_eq!(balances, [(99, 1), (2, 98)]);
    });
}

/// What the hub refuses to begin is answered, and nothing but the proved answer frees the lock.
///
/// Req: PRJ-5-3
#[test]
fn a_begin_that_the_hub_refuses_is_freed_by_its_answer() {
    on_a_pair(async |mut pair| {
        let beginner = pair.first.beginner(ALICE);
        let (_, mut begin) = pair.draft(beginner, in_an_hour(), by_transaction, by_transaction);
        // No link of this id is open.
        begin.branches[1].link = LinkId([0xee; 32]);
        begin.terms.branches[1] = digest::branch(&begin.branches[1]);
        let xid = digest::xid(&begin.terms);
        pair.first.deposit(ALICE, Xid::ZERO);
        pair.first.begin(ALICE, &begin);
        assert_eq!(pair.first.balance(ALICE), u128::from(FUNDS) - 1);

        let relayer = pair.first.relay();
        until("the hub's answer is on the chain", &relayer.reports, async || {
            let follower = pair.first.linked.follower().await;
            let head = pair.first.adapter.head(pair.first.linked.link, &follower).await;
            head.is_ok_and(|head| data_leaf(&head).received == 1)
        })
        .await;
        relayer.stop().await;
        let key = LaneKey {
            link: pair.first.linked.link,
            direction: Direction::HubToChain,
            lane: DATA_LANE,
        };
        let hub = pair.hub.adapter();
        let (answers, _) = hub.messages(key, Epoch(1), MessageNumber(0), 1, 1).await.unwrap();
        let answer = Message::decode(&answers[0]).unwrap();
        let answer = Body::decode(answer.kind, &answer.body).unwrap().unwrap();
        let Body::Refused(refused) = answer else { panic!("no refusal: {answer:?}") };
        assert_eq!((refused.of, refused.class), (MessageNumber(0), Class::NotFound as u8));
        assert_eq!(pair.phase(xid), None);
        assert_eq!(pair.first.standing(xid), PREPARED);

        // Anybody may.
        pair.first.by(BOB, &freeCall { xid: xid.0.into() }, 0);
        assert_eq!(pair.first.standing(xid), ABORTED);
        assert_eq!(pair.first.balance(ALICE), u128::from(FUNDS));
    });
}

/// The other chain is not heard before the deadline: the hub aborts, and both end alike, the one
/// that was away whenever it comes back.
///
/// Req: PRJ-5-5
#[test]
fn what_is_not_answered_before_its_deadline_is_aborted_on_both() {
    on_a_pair(async |mut pair| {
        let beginner = pair.first.beginner(ALICE);
        let deadline = wall().saturating_add(HALF_A_MINUTE_MS);
        let (xid, begin) = pair.draft(beginner, deadline, by_transaction, by_transaction);
        pair.first.deposit(ALICE, Xid::ZERO);
        pair.second.deposit(BOB, xid);
        pair.first.begin(ALICE, &begin);

        let relayer = pair.first.relay();
        until("the commit has begun", &relayer.reports, async || {
            pair.phase(xid) == Some(Phase::Preparing)
        })
        .await;
        pair.hub.chain.pass_ms(HALF_A_MINUTE_MS);
        until("the beginner's chain has heard", &relayer.reports, async || {
            pair.first.standing(xid) == ABORTED
        })
        .await;
        relayer.stop().await;
        assert_eq!(pair.phase(xid), Some(Phase::Decided(Verdict::Aborted(Cause::Deadline))));
        assert_eq!(pair.second.standing(xid), UNKNOWN);

        // By its own clock the other chain is before the deadline still: it locks, and frees.
        pair.relayed_until("the other chain has heard", || pair.phase(xid).is_none()).await;
        assert_eq!(pair.second.standing(xid), ABORTED);
        assert_eq!(pair.first.balance(ALICE), u128::from(FUNDS));
        assert_eq!(pair.second.balance(BOB), u128::from(FUNDS));
    });
}
