//! A toy hub: it appends whatever a test says and keeps whatever comes.

use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::client::LightClient;
use tombolo_ledger::{
    Arrival, Context, Machine, Table, Unheld,
    lanes::{self, Lane, Link, LinkStatus, Room},
};
use tombolo_types::{
    Epoch, Hash, LaneNumber, Refusal, UnixMillis, header::Genesis, id::LinkId, lane::Direction,
    message::Body, store::View, verifier::Verifier,
};

/// What a test may ask of the hub.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) enum ToyCall {
    /// Registers a link.
    Open(Box<Link>),
    /// Appends a message.
    Append { link: LinkId, lane: LaneNumber, kind: u16, body: Vec<u8>, not_after: UnixMillis },
    /// Approves the other side's trust epoch.
    Approve { link: LinkId, trust_epoch: u32 },
    /// Sets where a link stands.
    Stand { link: LinkId, status: LinkStatus },
    /// Reopens the hub's end of a lane.
    Reopen { link: LinkId, lane: LaneNumber, epoch: Epoch, received: u64 },
    /// What only a hostile hub does: any lane.
    Forge { link: LinkId, lane: LaneNumber, forged: Box<Lane> },
}

/// The kit's own tables of lanes, which a hostile hub writes past the kit.
const LANES: Table<(LinkId, LaneNumber), Lane> = Table::new(*b"kN");
const CHANGED: Table<(LinkId, LaneNumber), ()> = Table::new(*b"kC");

type Place = (LinkId, LaneNumber, u32, u64);

/// What came, by lane, epoch and number.
const INBOX: Table<Place, (u16, Vec<u8>)> = Table::new(*b"tI");

/// Every body that came on a lane, in order.
pub(crate) fn inbox(view: &dyn View, link: LinkId, lane: LaneNumber) -> Vec<Body> {
    INBOX
        .under(view, &(link, lane), usize::MAX)
        .into_iter()
        .map(|(_, (kind, body))| Body::decode(kind, &body).unwrap().unwrap())
        .collect()
}

/// A hub that decides nothing.
#[derive(Clone, Copy, Default)]
pub(crate) struct ToyHub;

impl ToyHub {
    fn keep(cx: &mut Context<'_, '_>, arrival: &Arrival, body: &Body) {
        let key = (arrival.link, arrival.lane, arrival.epoch.0, arrival.number.0);
        INBOX.put(cx.state, &key, &(body.kind(), body.encode()));
    }
}

impl Machine for ToyHub {
    const KIND: &'static str = "hub";
    const DIRECTION: Direction = Direction::HubToChain;
    type Call = ToyCall;

    fn genesis(&self, _: &mut Context<'_, '_>, _: &Genesis) -> Result<(), Refusal> {
        Ok(())
    }

    fn begin_block(&self, _: &mut Context<'_, '_>) {}

    fn weight(&self, _: &ToyCall) -> u64 {
        0
    }

    fn call(&self, cx: &mut Context<'_, '_>, call: ToyCall) -> Result<(), Refusal> {
        match call {
            ToyCall::Open(link) => lanes::open_link(cx.state, &link),
            ToyCall::Append { link, lane, kind, body, not_after } => {
                let body = Body::decode(kind, &body)?.expect("a known kind");
                let salt = Hash([7; 32]);
                let direction = Self::DIRECTION;
                let room = Room::Ask;
                lanes::append(cx.state, direction, link, lane, &body, not_after, salt, room)
                    .map(|_| ())
            }
            ToyCall::Approve { link, trust_epoch } => {
                let mut link = lanes::link(cx.state, link).unwrap();
                link.peer_trust_epoch = trust_epoch;
                lanes::put_link(cx.state, &link);
                Ok(())
            }
            ToyCall::Stand { link, status } => {
                let mut link = lanes::link(cx.state, link).unwrap();
                link.status = status;
                lanes::put_link(cx.state, &link);
                Ok(())
            }
            ToyCall::Reopen { link, lane, epoch, received } => {
                lanes::reopen(cx.state, link, lane, epoch, received).map(drop)
            }
            ToyCall::Forge { link, lane, forged } => {
                LANES.put(cx.state, &(link, lane), &forged);
                CHANGED.put(cx.state, &(link, lane), &());
                Ok(())
            }
        }
    }

    fn request(
        &self,
        cx: &mut Context<'_, '_>,
        arrival: &Arrival,
        body: Body,
    ) -> Result<(), Refusal> {
        Self::keep(cx, arrival, &body);
        Ok(())
    }

    fn answer(&self, cx: &mut Context<'_, '_>, arrival: &Arrival, body: Body) {
        Self::keep(cx, arrival, &body);
    }

    fn taken(&self, _: &mut Context<'_, '_>, _: LinkId, _: LaneNumber, _: u64, _: u64) {}

    fn frozen(&self, _: &mut Context<'_, '_>, _: LinkId) {}

    fn reopened(&self, _: &mut Context<'_, '_>, _: &Unheld, _: Body) {}

    fn verifier(&self, kind: &str) -> Option<&dyn Verifier> {
        (kind == "tombolo").then_some(&LightClient)
    }
}
