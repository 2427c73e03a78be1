//! A machine that does little, and does it visibly; and a hostile one under the same name.

use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::{client::LightClient, digest, log::append_tiles};
use tombolo_ledger::{
    Arrival, Context, Machine, Parameters, Table, Unheld,
    lanes::{self, Lane, LaneNodes, Link, LinkStatus, Room},
    validators,
};
use tombolo_types::{
    Class, Epoch, Hash, LaneNumber, MessageNumber, Refusal, UnixMillis,
    header::{Genesis, ValidatorSet},
    id::{LinkId, SchemaId},
    lane::Direction,
    message::{Body, Decision, Refused, SchemaUpdate, Vote},
    refuse,
    verifier::Verifier,
};

/// What a toy request asks of its receiver: the first byte of its definition.
pub(crate) const TAKE: u8 = 0;
pub(crate) const REFUSE: u8 = 1;
pub(crate) const REENTER: u8 = 2;
pub(crate) const FREEZE: u8 = 3;
pub(crate) const REFUSE_AT_LENGTH: u8 = 4;

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum ToyCall {
    Append {
        link: LinkId,
        lane: LaneNumber,
        what: u8,
        bytes: u32,
        not_after: UnixMillis,
    },
    Decide {
        link: LinkId,
        lane: LaneNumber,
    },
    OpenLink(Box<Link>),
    Status {
        link: LinkId,
        status: LinkStatus,
    },
    Reopen {
        link: LinkId,
        lane: LaneNumber,
        epoch: Epoch,
        received: u64,
    },
    PutLink(Box<Link>),
    SetValidators(ValidatorSet),
    SetParameter {
        name: String,
        value: u64,
    },
    Fail {
        class: u8,
    },
    Heavy {
        weight: u64,
    },
    /// What only a hostile ledger does: any bytes as a message.
    AppendRaw {
        link: LinkId,
        lane: LaneNumber,
        bytes: Vec<u8>,
    },
    /// What only a hostile ledger does: any lane.
    Forge {
        link: LinkId,
        lane: LaneNumber,
        forged: Box<Lane>,
    },
}

/// How often each message was taken: link, lane, number.
pub(crate) const TAKEN: Table<(LinkId, LaneNumber, u64), u64> = Table::new(*b"tT");
/// Classes of answers that came: link, lane, number of the answer; number of the request, class.
pub(crate) const ANSWERS: Table<(LinkId, LaneNumber, u64), (u64, u8)> = Table::new(*b"tA");
/// What was heard to be taken on the other side.
pub(crate) const HEARD: Table<(LinkId, LaneNumber, u64), u64> = Table::new(*b"tH");
/// How often each request, decision and answer came, by its salt and whether it is an answer.
pub(crate) const SEEN: Table<(Hash, u8), u64> = Table::new(*b"tS");
/// What became of messages of a lane that was reopened, in order: salt, and whether it went again.
pub(crate) const RESUMED: Table<u64, (Hash, bool)> = Table::new(*b"tR");
/// Links that froze.
pub(crate) const FROZE: Table<LinkId, u64> = Table::new(*b"tF");
/// Must stay empty: written only before a refusal.
pub(crate) const GARBAGE: Table<u64, u64> = Table::new(*b"tG");
/// One entry per block.
pub(crate) const BEGUN: Table<u64, u64> = Table::new(*b"tB");

const LANES: Table<(LinkId, LaneNumber), Lane> = Table::new(*b"kN");
const BODIES: Table<(LinkId, LaneNumber, u32, u64), Vec<u8>> = Table::new(*b"kB");
const TILES: Table<(LinkId, LaneNumber, u32, u32, u64), Vec<Hash>> = Table::new(*b"kM");
const CHANGED: Table<(LinkId, LaneNumber), ()> = Table::new(*b"kC");

pub(crate) struct Toy<const HUB: bool>;

/// A request of about `bytes` bytes that asks for `what`.
pub(crate) fn request(what: u8, bytes: u32) -> Body {
    let mut definition = vec![0xab; bytes as usize + 1];
    definition[0] = what;
    Body::SchemaUpdate(SchemaUpdate { schema: SchemaId::ZERO, definition })
}

impl<const HUB: bool> Toy<HUB> {
    fn append_raw(cx: &mut Context<'_, '_>, link: LinkId, number: LaneNumber, bytes: &[u8]) {
        let mut lane = LANES.get(cx.state, &(link, number)).unwrap();
        let position = lane.sent.size();
        let leaf = digest::message_leaf(
            link,
            Self::DIRECTION,
            number,
            lane.epoch,
            MessageNumber(position),
            bytes,
        );
        let nodes = LaneNodes { view: &*cx.state, link, lane: number, epoch: lane.epoch };
        for (level, index, tile) in append_tiles(&nodes, position, leaf) {
            TILES.put(cx.state, &(link, number, lane.epoch.0, level, index), &tile);
        }
        BODIES.put(cx.state, &(link, number, lane.epoch.0, position), &bytes.to_vec());
        lane.sent.append(leaf);
        LANES.put(cx.state, &(link, number), &lane);
        CHANGED.put(cx.state, &(link, number), &());
    }

    fn append(
        cx: &mut Context<'_, '_>,
        link: LinkId,
        lane: LaneNumber,
        body: &Body,
        not_after: UnixMillis,
        room: Room,
    ) -> Result<MessageNumber, Refusal> {
        let salt = cx.salt;
        lanes::append(cx.state, Self::DIRECTION, link, lane, body, not_after, salt, room)
    }
}

fn see(cx: &mut Context<'_, '_>, arrival: &Arrival, is_answer: bool) {
    let key = (arrival.salt, u8::from(is_answer));
    let before = SEEN.get(cx.state, &key).unwrap_or(0);
    SEEN.put(cx.state, &key, &(before + 1));
}

fn count(
    cx: &mut Context<'_, '_>,
    table: &Table<(LinkId, LaneNumber, u64), u64>,
    arrival: &Arrival,
) {
    let key = (arrival.link, arrival.lane, arrival.number.0);
    let before = table.get(cx.state, &key).unwrap_or(0);
    table.put(cx.state, &key, &(before + 1));
}

impl<const HUB: bool> Machine for Toy<HUB> {
    const KIND: &'static str = if HUB { "toy-hub" } else { "toy-chain" };
    const DIRECTION: Direction = if HUB { Direction::HubToChain } else { Direction::ChainToHub };
    type Call = ToyCall;

    fn genesis(&self, _: &mut Context<'_, '_>, genesis: &Genesis) -> Result<(), Refusal> {
        if genesis.name == "bad" {
            refuse!(Format, "a genesis named bad");
        }
        Ok(())
    }

    fn begin_block(&self, cx: &mut Context<'_, '_>) {
        BEGUN.put(cx.state, &cx.block.height.0, &cx.block.time.0);
    }

    fn weight(&self, call: &ToyCall) -> u64 {
        match call {
            ToyCall::Heavy { weight } => *weight,
            _ => 0,
        }
    }

    fn call(&self, cx: &mut Context<'_, '_>, call: ToyCall) -> Result<(), Refusal> {
        cx.record.operation = "toy".into();
        match call {
            ToyCall::Append { link, lane, what, bytes, not_after } => {
                Self::append(cx, link, lane, &request(what, bytes), not_after, Room::Ask)?;
            }
            ToyCall::Decide { link, lane } => {
                let body = Body::Commit(Decision { xid: Default::default() });
                Self::append(cx, link, lane, &body, UnixMillis(1), Room::Reserved)?;
            }
            ToyCall::OpenLink(link) => lanes::open_link(cx.state, &link)?,
            ToyCall::Status { link, status } => {
                let mut link = lanes::link(cx.state, link).unwrap();
                link.status = status;
                lanes::put_link(cx.state, &link);
            }
            ToyCall::Reopen { link, lane, epoch, received } => {
                lanes::reopen(cx.state, link, lane, epoch, received)?;
            }
            ToyCall::PutLink(link) => lanes::put_link(cx.state, &link),
            ToyCall::SetValidators(set) => validators::put(cx.state, &set, cx.block.height)?,
            ToyCall::SetParameter { name, value } => {
                let mut parameters = Parameters::of(cx.state);
                parameters.set(&name, value)?;
                parameters.put(cx.state);
            }
            ToyCall::Fail { class } => {
                GARBAGE.put(cx.state, &1, &1);
                let record = cx.blank_record();
                cx.append_record(record, Hash::ZERO);
                return Err(Refusal::new(Class::from_number(class).unwrap(), "asked to fail"));
            }
            ToyCall::Heavy { .. } => {}
            ToyCall::AppendRaw { link, lane, bytes } => Self::append_raw(cx, link, lane, &bytes),
            ToyCall::Forge { link, lane, forged } => {
                LANES.put(cx.state, &(link, lane), &forged);
                CHANGED.put(cx.state, &(link, lane), &());
            }
        }
        Ok(())
    }

    fn request(
        &self,
        cx: &mut Context<'_, '_>,
        arrival: &Arrival,
        body: Body,
    ) -> Result<(), Refusal> {
        let what = match &body {
            Body::SchemaUpdate(update) => update.definition.first().copied().unwrap_or(TAKE),
            Body::Prepare(_) => {
                let vote = Vote {
                    of: arrival.number,
                    xid: Default::default(),
                    yes: true,
                    class: 0,
                    message: String::new(),
                };
                let vote = Body::Vote(vote);
                Self::append(
                    cx,
                    arrival.link,
                    arrival.lane,
                    &vote,
                    UnixMillis::ZERO,
                    Room::Reserved,
                )?;
                TAKE
            }
            Body::Commit(_) | Body::Abort(_) | Body::Hello(_) => TAKE,
            _ => refuse!(Unsupported, "a toy takes no {}", body.name()),
        };
        match what {
            REFUSE => {
                GARBAGE.put(cx.state, &2, &2);
                Self::append(
                    cx,
                    arrival.link,
                    arrival.lane,
                    &body,
                    UnixMillis::ZERO,
                    Room::Reserved,
                )?;
                let record = cx.blank_record();
                cx.append_record(record, Hash::ZERO);
                refuse!(Denied, "asked to refuse");
            }
            REFUSE_AT_LENGTH => return Err(Refusal::new(Class::Denied, "é".repeat(70_000))),
            REENTER => {
                let echo = request(TAKE, 1);
                Self::append(
                    cx,
                    arrival.link,
                    arrival.lane,
                    &echo,
                    UnixMillis::ZERO,
                    Room::Reserved,
                )?;
            }
            FREEZE => {
                let mut link = lanes::link(cx.state, arrival.link).unwrap();
                link.status = LinkStatus::Frozen;
                lanes::put_link(cx.state, &link);
            }
            _ => {}
        }
        count(cx, &TAKEN, arrival);
        see(cx, arrival, false);
        Ok(())
    }

    fn answer(&self, cx: &mut Context<'_, '_>, arrival: &Arrival, body: Body) {
        let (of, class) = match body {
            Body::Refused(Refused { of, class, .. }) => (of, class),
            Body::Vote(vote) => (vote.of, 0),
            _ => return,
        };
        see(cx, arrival, true);
        ANSWERS.put(cx.state, &(arrival.link, arrival.lane, arrival.number.0), &(of.0, class));
    }

    fn taken(&self, cx: &mut Context<'_, '_>, link: LinkId, lane: LaneNumber, from: u64, to: u64) {
        for number in from..to {
            let before = HEARD.get(cx.state, &(link, lane, number)).unwrap_or(0);
            HEARD.put(cx.state, &(link, lane, number), &(before + 1));
        }
    }

    fn frozen(&self, cx: &mut Context<'_, '_>, link: LinkId) {
        let before = FROZE.get(cx.state, &link).unwrap_or(0);
        FROZE.put(cx.state, &link, &(before + 1));
    }

    fn reopened(&self, cx: &mut Context<'_, '_>, unheld: &Unheld, _: Body) {
        let next = RESUMED.all(cx.state, usize::MAX).len() as u64;
        RESUMED.put(cx.state, &next, &(unheld.salt, unheld.again.is_some()));
    }

    fn verifier(&self, kind: &str) -> Option<&dyn Verifier> {
        (kind == LightClient.kind()).then_some(&LightClient)
    }
}
