//! The hub as a [`Machine`].

use crate::{HubCall, commit, data, govern, grant, identity, link, policy, swap};
use tombolo_crypto::{attested::Attested, client::LightClient};
use tombolo_ledger::{Arrival, Context, Machine, Unheld};
use tombolo_types::{
    LaneNumber, Refusal, ensure,
    header::Genesis,
    id::LinkId,
    lane::{CONTROL_LANE, DATA_LANE, Direction},
    message::Body,
    refuse,
    verifier::Verifier,
};

/// The hub's ledger.
///
/// It holds the verifiers that links may name, and a memo of compiled policies; neither is
/// replicated state, and an empty memo gives the same verdicts.
pub struct Hub {
    verifiers: Vec<Box<dyn Verifier>>,
    pub(crate) policies: policy::Memo,
}

impl Hub {
    /// A hub that follows other ledgers of this kind, by their own consensus or by nodes that
    /// attest them.
    #[must_use]
    pub fn new() -> Self {
        let bounds: Vec<Box<dyn Verifier>> = vec![Box::new(LightClient)];
        let attested = Attested::bounded_by(bounds);
        Self::with_verifiers(vec![Box::new(LightClient), Box::new(attested)])
    }

    /// A hub that believes the chains that these verifiers follow. All nodes of one hub must have
    /// the same.
    #[must_use]
    pub fn with_verifiers(verifiers: Vec<Box<dyn Verifier>>) -> Self {
        Self { verifiers, policies: policy::Memo::default() }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine for Hub {
    const KIND: &'static str = "hub";
    const DIRECTION: Direction = Direction::HubToChain;
    type Call = HubCall;

    fn genesis(&self, cx: &mut Context<'_, '_>, genesis: &Genesis) -> Result<(), Refusal> {
        ensure!(
            genesis.balances.is_empty()
                && genesis.council.is_empty()
                && genesis.hub_anchor.is_empty(),
            Format,
            "a hub's genesis has no balances, no council and no anchor; those are for gateways"
        );
        identity::genesis(cx, genesis)?;
        govern::check_genesis(cx.state, genesis)
    }

    fn begin_block(&self, cx: &mut Context<'_, '_>) {
        identity::begin_block(cx);
        commit::begin_block(cx);
        data::begin_block(cx);
        govern::begin_block(cx);
        grant::begin_block(cx);
        link::begin_block(cx);
        swap::begin_block(cx);
    }

    fn weight(&self, call: &HubCall) -> u64 {
        call.weight()
    }

    fn call(&self, cx: &mut Context<'_, '_>, call: HubCall) -> Result<(), Refusal> {
        cx.record.operation = call.name().into();
        match call {
            HubCall::Propose(act) => govern::propose(self, cx, *act),
            HubCall::Approve { proposal } => govern::approve(self, cx, proposal),
            HubCall::Execute { proposal } => govern::execute(self, cx, proposal),
            HubCall::RotateKey { old, new, proof } => identity::rotate_key(cx, old, new, &proof),
            HubCall::Bind(binding) => identity::bind(cx, &binding),
            HubCall::Pause { link } => link::pause(cx, link),
            HubCall::Grant(given) => grant::give(cx, &given),
            HubCall::RevokeGrant(key) => grant::revoke(cx, &key),
            HubCall::Begin(begin) => commit::begin(self, cx, &begin),
            HubCall::Withdraw { xid } => commit::withdraw(cx, xid),
            HubCall::Swap(call) => swap::call(cx, *call),
        }
    }

    /// A closed match: what a message can reach stands here and nowhere else. Attack: A12.
    fn request(
        &self,
        cx: &mut Context<'_, '_>,
        arrival: &Arrival,
        body: Body,
    ) -> Result<(), Refusal> {
        match (arrival.lane, body) {
            (CONTROL_LANE, Body::Hello(hello)) => link::take_hello(cx, arrival, hello),
            (CONTROL_LANE, Body::CouncilAct(act)) => link::take_council_act(cx, arrival, act),
            (DATA_LANE, Body::Share(share)) => data::share(self, cx, arrival, share),
            (DATA_LANE, Body::Begin(begin)) => commit::begin_from_chain(self, cx, arrival, &begin),
            (lane, body) => {
                refuse!(Unsupported, "the hub takes no {} on lane {lane}", body.name())
            }
        }
    }

    fn answer(&self, cx: &mut Context<'_, '_>, arrival: &Arrival, body: Body) {
        match body {
            Body::Vote(vote) => commit::take_vote(cx, arrival, &vote),
            Body::Done(done) => commit::take_done(cx, arrival, &done),
            Body::Refused(refused) => {
                if !commit::take_refused(cx, arrival, &refused)
                    && !data::take_refused(cx, arrival, &refused)
                {
                    link::take_refused(cx, arrival, &refused);
                }
            }
            // The ledger gives only answers here.
            other => cx.record.remark = format!("a {} is no answer; ignored", other.name()),
        }
    }

    fn taken(&self, cx: &mut Context<'_, '_>, link: LinkId, lane: LaneNumber, _: u64, _: u64) {
        if lane == DATA_LANE {
            data::taken(cx, link);
        }
    }

    fn frozen(&self, cx: &mut Context<'_, '_>, link: LinkId) {
        commit::doom_link(cx.state, link);
    }

    fn reopened(&self, cx: &mut Context<'_, '_>, unheld: &Unheld, body: Body) {
        link::reopened(cx, unheld, body);
    }

    fn verifier(&self, kind: &str) -> Option<&dyn Verifier> {
        self.verifiers.iter().find(|verifier| verifier.kind() == kind).map(AsRef::as_ref)
    }
}
