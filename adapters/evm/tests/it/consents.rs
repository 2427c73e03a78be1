//! By what a vault on a real chain takes an account to consent to a two-phase commit, and by what
//! not.

use crate::{
    hub::key,
    pair::{ALICE, BOB, Pair, consentCall, depositCall, in_an_hour, on_a_pair, revokeCall},
};
use tombolo_crypto::digest;
use tombolo_evm::Consents;
use tombolo_hub::HubCall;
use tombolo_ledger::Call;
use tombolo_swap::two_phase::{Cause, Phase, Verdict};
use tombolo_types::{Class, Hash, header::Signature, id::Xid};

/// What Bob signs.
type Signs<'s> = &'s dyn Fn(Xid) -> Signature;
/// What Bob does about a commit besides what he signs.
type Deed = fn(&Pair, Xid);

/// A wallet's typed data, the protocol's own digest, a transaction of the account, a deposit: each
/// consents to this commit at this gateway alone.
///
/// Req: Y4560-7.2.4-1
#[test]
fn an_account_consents_by_typed_data_by_its_key_by_a_call_or_by_a_deposit() {
    on_a_pair(async |mut pair| {
        pair.first.deposit(ALICE, Xid::ZERO);
        pair.second.deposit(BOB, Xid::ZERO);
        let here = pair.second.consents();
        let another_gateway = pair.first.consents();
        let another_chain = Consents { evm_chain_id: 1, ..here };
        let typed = |at: Consents| move |xid| signed(at.digest(xid));
        let own = |xid| signed(digest::authorisation(xid));
        let by_call = |_: Xid| Signature::NONE;
        let nothing: Deed = |_, _| {};
        let cases: [(&str, Signs<'_>, Deed, bool); 9] = [
            ("typed data", &typed(here), nothing, true),
            ("the protocol's digest", &own, nothing, true),
            ("a call", &by_call, |pair, xid| pair.second.by(BOB, &consent(xid), 0), true),
            ("a deposit", &by_call, |pair, xid| pair.second.by(BOB, &deposit(xid), 1), true),
            ("typed data of another gateway", &typed(another_gateway), nothing, false),
            ("typed data of another chain", &typed(another_chain), nothing, false),
            (
                "typed data of another commit",
                &|_| signed(here.digest(Xid([1; 32]))),
                nothing,
                false,
            ),
            (
                "another account's call",
                &by_call,
                |it, xid| it.second.by(ALICE, &consent(xid), 0),
                false,
            ),
            ("a call that was taken back", &by_call, consent_and_revoke, false),
        ];
        let mut begun = Vec::new();
        for (sentence, bob, deed, counts) in cases {
            let alice = |xid| key(ALICE).sign(digest::authorisation(xid));
            let (xid, begin) = pair.draft(pair.hub.stakeholder(), in_an_hour(), alice, bob);
            deed(&pair, xid);
            pair.hub.submit(Call::Own(HubCall::Begin(Box::new(begin))));
            begun.push((sentence, xid, counts));
        }
        let is_finished = |xid| matches!(pair.phase(xid), Some(Phase::Finished(_)));
        let all = || begun.iter().all(|(_, xid, _)| is_finished(*xid));
        pair.relayed_until("all commits are finished", all).await;
        let link = pair.second.linked.link;
        for (sentence, xid, counts) in begun {
            let expected = match counts {
                true => Verdict::Committed,
                false => Verdict::Aborted(Cause::VotedNo { link, class: Class::Auth }),
            };
            assert_eq!(pair.phase(xid), Some(Phase::Finished(expected)), "{sentence}");
        }
    });
}

fn signed(digest: Hash) -> Signature {
    key(BOB).sign(digest)
}

fn consent(xid: Xid) -> consentCall {
    consentCall { xid: xid.0.into() }
}

fn deposit(xid: Xid) -> depositCall {
    depositCall { asset: [0; 32].into(), amount: 1, xid: xid.0.into() }
}

fn consent_and_revoke(pair: &Pair, xid: Xid) {
    pair.second.by(BOB, &consent(xid), 0);
    pair.second.by(BOB, &revokeCall { xid: xid.0.into() }, 0);
}
