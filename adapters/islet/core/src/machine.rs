//! The islet as a machine of the ledger kit: which call and which message goes where.

use crate::{
    account, call::IsletCall, council, gateway, hash_lock, identity, lock, schema, share, submit,
};
use tombolo_crypto::client::{self, LightClient};
use tombolo_ledger::{Arrival, Context, Machine, Unheld};
use tombolo_swap::two_phase::Outcome;
use tombolo_types::{
    LaneNumber, Refusal,
    header::Genesis,
    id::LinkId,
    lane::Direction,
    message::{Body, class_of},
    refuse,
    verifier::Verifier,
};

/// An embedded IoT ledger with a gateway to one hub.
#[derive(Clone, Copy, Debug, Default)]
pub struct Islet;

impl Machine for Islet {
    const KIND: &'static str = gateway::KIND;
    const DIRECTION: Direction = gateway::DIRECTION;
    type Call = IsletCall;

    fn genesis(&self, cx: &mut Context<'_, '_>, genesis: &Genesis) -> Result<(), Refusal> {
        gateway::lay(cx, genesis, &LightClient)
    }

    fn begin_block(&self, cx: &mut Context<'_, '_>) {
        council::take_effect(cx, &LightClient);
        lock::forget(cx);
        hash_lock::forget(cx);
    }

    fn weight(&self, call: &IsletCall) -> u64 {
        match call {
            // The device's signature, and the message that the sharing appends.
            IsletCall::Submit { share, .. } => 1u64.saturating_add(u64::from(share.is_some())),
            IsletCall::Share { .. } => 1,
            // The transaction's own signature is all that a payment costs.
            IsletCall::Pay { .. } => 0,
            // One authorisation each is checked, and the message is appended.
            IsletCall::Begin(begin) => {
                u64::try_from(begin.authorisations.len()).unwrap_or(u64::MAX).saturating_add(2)
            }
            IsletCall::HashLock(_) | IsletCall::HashClaim { .. } | IsletCall::HashRefund { .. } => {
                1
            }
            IsletCall::CouncilAct(order) => {
                u64::try_from(order.signatures.len()).unwrap_or(u64::MAX)
            }
        }
    }

    fn call(&self, cx: &mut Context<'_, '_>, call: IsletCall) -> Result<(), Refusal> {
        match call {
            IsletCall::Submit { envelope, signature, share } => {
                submit::submit(cx, &envelope, &signature, share.as_ref())
            }
            IsletCall::Share { data_id, order } => share::share(cx, data_id, &order),
            IsletCall::Pay { to, asset, amount } => account::pay(cx, to, asset, amount),
            IsletCall::Begin(begin) => lock::begin(cx, &begin),
            IsletCall::CouncilAct(order) => council::announce(cx, order, &LightClient),
            IsletCall::HashLock(new) => hash_lock::open(cx, &new),
            IsletCall::HashClaim { hash, locker, secret } => {
                hash_lock::claim(cx, hash, locker, &secret)
            }
            IsletCall::HashRefund { hash, locker } => hash_lock::refund(cx, hash, locker),
        }
    }

    fn request(
        &self,
        cx: &mut Context<'_, '_>,
        arrival: &Arrival,
        body: Body,
    ) -> Result<(), Refusal> {
        match body {
            Body::Hello(hello) => gateway::take_hello(cx, &hello),
            Body::IdentityUpdate(update) => identity::take_update(cx, &update),
            Body::SchemaUpdate(update) => schema::take_update(cx, &update),
            Body::Share(share) => share::take(cx, arrival, share),
            Body::Prepare(prepare) => lock::prepare(cx, arrival, &prepare),
            Body::Commit(decision) => lock::decide(cx, arrival, decision.xid, Outcome::Commit),
            Body::Abort(decision) => lock::decide(cx, arrival, decision.xid, Outcome::Abort),
            Body::CouncilAct(_)
            | Body::Begin(_)
            | Body::Refused(_)
            | Body::Vote(_)
            | Body::Done(_) => {
                refuse!(Unsupported, "a gateway takes no {} from its hub", body.name())
            }
        }
    }

    fn answer(&self, cx: &mut Context<'_, '_>, arrival: &Arrival, body: Body) {
        match body {
            // An item stays as it is: the hub has taken nothing, and the owner may share again.
            Body::Refused(refused) => {
                lock::take_refused(cx, arrival, &refused);
                cx.record.outcome = class_of(refused.class) as u8;
                cx.record.remark =
                    format!("message {} was refused there: {}", refused.of, refused.message);
            }
            other => lock::note_unasked(cx, other.name()),
        }
    }

    /// Nothing here waits for an acknowledgement: a share ends for its source when the hub has
    /// taken it, which the lane itself says.
    fn taken(&self, _: &mut Context<'_, '_>, _: LinkId, _: LaneNumber, _: u64, _: u64) {}

    /// What hangs on the link stays locked: only a proved decision releases it (attack A43).
    fn frozen(&self, _: &mut Context<'_, '_>, _: LinkId) {}

    fn reopened(&self, cx: &mut Context<'_, '_>, unheld: &Unheld, body: Body) {
        match body {
            Body::Share(share) => share::take_back(cx, unheld, &share),
            Body::Begin(_) => lock::unheld(cx, unheld),
            // All else that a gateway sends goes again.
            _ => {}
        }
    }

    fn verifier(&self, kind: &str) -> Option<&dyn Verifier> {
        (kind == client::KIND).then_some(&LightClient)
    }
}
