//! Taking lane messages: the proof first, then each message for itself.
//!
//! The order is that of rule G1: the delivery's proof decides before anything inside is believed;
//! then every message is its own unit. A refused message never blocks its lane.

use crate::{
    lanes::{self, Lane, Link, LinkStatus, Mark, Room},
    machine::{Arrival, Context, Machine},
    parameters::Parameters,
    records,
};
use std::cmp::Ordering;
use tombolo_crypto::{
    digest,
    log::{Log, verify_range},
};
use tombolo_types::{
    Class, Hash, Height, LaneNumber, MessageNumber, Refusal, UnixMillis, ensure,
    header::HEADER_VERSION,
    id::LinkId,
    lane::{ANSWER_BIT, CONTROL_LANE, Delivery, LaneLeaf, MESSAGE_BYTES_MAX, Message},
    message::{Body, Refused},
    record::SaltedRecord,
    refuse,
    store::View,
    verifier::{Conviction, HeadError},
};

/// The most messages that one delivery brings.
pub const DELIVERY_MESSAGES_MAX: usize = 1_000;
/// The longest sentence of a refusal that goes back as an answer, in bytes.
const SENTENCE_BYTES_MAX: usize = 1_024;

/// What a delivery proved. Private to this module: nothing else can make one.
struct ProvenDelivery {
    link: Link,
    lane: Lane,
    number: LaneNumber,
    leaf: LaneLeaf,
    proved_height: Height,
    proved_time: UnixMillis,
    code_hash: Option<Hash>,
    client_moved: bool,
    first: u64,
    messages: Vec<Vec<u8>>,
    /// The receiver's log after each message, beginning with the one it has.
    prefixes: Vec<Log>,
}

/// How a delivery ends that is not refused.
enum Proof {
    Holds(Box<ProvenDelivery>),
    Contradicts { client: Option<Vec<u8>>, refusal: Refusal },
}

/// Takes a delivery.
///
/// # Errors
/// `E_REPLAY` where it raises nothing; `E_PROOF`, `E_STATE`, `E_FORMAT`, `E_NOTFOUND` or `E_LIMIT`
/// where it is not to be believed. A proved contradiction is no error: it freezes the link, and
/// says so in the record.
pub fn deliver<M: Machine>(
    machine: &M,
    cx: &mut Context<'_, '_>,
    delivery: &Delivery,
) -> Result<(), Refusal> {
    cx.record.operation = "deliver".into();
    cx.record.link = delivery.leaf.link;
    if let Some(link) = lanes::link(cx.state, delivery.leaf.link) {
        link.name_in(&mut cx.record);
    }
    cx.record.lane = delivery.leaf.lane;
    cx.record.number = delivery.first;
    cx.record.relayer = cx.signer_id();
    match prove(machine, cx, delivery)? {
        Proof::Contradicts { client, refusal } => {
            freeze(machine, cx, delivery.leaf.link, client, &refusal);
            Ok(())
        }
        Proof::Holds(proven) => take(machine, cx, *proven),
    }
}

/// Freezes a link on a proved contradiction. The evidence is the causing transaction, which stands
/// in the block; the record names it.
pub fn freeze<M: Machine>(
    machine: &M,
    cx: &mut Context<'_, '_>,
    id: LinkId,
    client: Option<Vec<u8>>,
    why: &Refusal,
) {
    let Some(mut link) = lanes::link(cx.state, id) else { return };
    link.status = LinkStatus::Frozen;
    if let Some(client) = client {
        link.client = client;
    }
    lanes::put_link(cx.state, &link);
    cx.record.operation = "freeze".into();
    cx.record.remark = why.message.clone();
    machine.frozen(cx, id);
}

fn prove<M: Machine>(
    machine: &M,
    cx: &Context<'_, '_>,
    delivery: &Delivery,
) -> Result<Proof, Refusal> {
    let leaf = &delivery.leaf;
    ensure!(
        delivery.messages.len() <= DELIVERY_MESSAGES_MAX,
        Limit,
        "a delivery of {} messages is above {DELIVERY_MESSAGES_MAX}",
        delivery.messages.len()
    );
    let Some(mut link) = lanes::link(cx.state, leaf.link) else {
        refuse!(NotFound, "this ledger has no link {}", leaf.link);
    };
    let Some(lane) = lanes::lane(cx.state, leaf.link, leaf.lane) else {
        refuse!(NotFound, "link {} has no lane {}", leaf.link, leaf.lane);
    };
    ensure!(
        leaf.direction == M::DIRECTION.opposite() as u8,
        State,
        "direction {} of link {} is not the one that this ledger receives",
        leaf.direction,
        leaf.link
    );
    ensure!(
        link.takes(),
        State,
        "link {} is {:?}; it takes nothing until it is recovered",
        link.id,
        link.status
    );
    // So whoever has taken something in the new epoch has sent again all of the one before.
    ensure!(
        lane.resuming().is_none(),
        State,
        "lane {} of link {} sends again what its former epoch left; bring this a little later",
        leaf.lane,
        link.id
    );
    let Some(verifier) = machine.verifier(&link.verifier) else {
        refuse!(Unsupported, "this ledger has no verifier named {}", link.verifier);
    };
    if let Some(only) = verifier.deliverer(&link.client)? {
        ensure!(
            cx.signer.as_ref().is_some_and(|signer| signer.keys.contains(&only)),
            Denied,
            "over link {} only its trusted node {only} delivers",
            link.id
        );
    }
    let head = match verifier.head(&link.client, cx.block.time, &delivery.head_proof, leaf) {
        Ok(head) => head,
        Err(HeadError::Refused(refusal)) => return Err(refusal),
        Err(HeadError::Contradiction { client, refusal }) => {
            return Ok(Proof::Contradicts { client: Some(client), refusal });
        }
    };
    let client_moved = head.client != link.client;
    link.client = head.client;
    if head.height > link.peer_height {
        link.peer_height = head.height;
        link.peer_id = head.block_id;
        link.peer_time = head.time;
    }

    // Believed from here on: the other ledger has committed to this leaf.
    check_view_of_us(cx, &link, leaf)?;
    let contradiction = |what: String| {
        Ok(Proof::Contradicts { client: None, refusal: Refusal::new(Class::Proof, what) })
    };
    if leaf.epoch > lane.peer_epoch && leaf.peer_epoch > lane.epoch {
        return contradiction(format!(
            "the other side has reopened lane {} into epoch {}, this end is in {}; reopen it, too",
            leaf.lane, leaf.epoch, lane.peer_epoch
        ));
    }
    ensure!(
        leaf.epoch == lane.peer_epoch && leaf.peer_epoch == lane.epoch,
        State,
        "lane {} is in epochs {} and {} there, {} and {} here",
        leaf.lane,
        leaf.epoch,
        leaf.peer_epoch,
        lane.peer_epoch,
        lane.epoch
    );
    if let Some(what) = contradicts(leaf, head.height, &lane) {
        return contradiction(what);
    }
    if leaf.received > lane.sent.size()
        || lanes::sent_root_at(cx.state, link.id, leaf.lane, &lane, leaf.received)
            != Some(leaf.received_root)
    {
        return contradiction(format!(
            "the other side says it took {} messages of lane {} with root {}, which is not what was sent",
            leaf.received, leaf.lane, leaf.received_root
        ));
    }

    let prefixes = match prove_range(delivery, &lane)? {
        Ok(prefixes) => prefixes,
        Err(what) => return contradiction(what),
    };
    let fresh = prefixes.len().saturating_sub(1);
    // What the control lane brings counts as of a time, and that time is raised even where data
    // lanes moved the client to the same header before.
    let renews = leaf.lane == CONTROL_LANE
        && lane.received.size() >= leaf.size
        && head.time > lane.current_at;
    if fresh == 0 && leaf.received <= lane.taken && !client_moved && !renews {
        refuse!(
            Replay,
            "lane {} has {} messages and needs none of this delivery",
            leaf.lane,
            lane.received.size()
        );
    }
    let mut lane = lane;
    if head.height >= lane.proved_height {
        lane.proved_height = head.height;
        lane.proved_size = leaf.size;
        lane.proved_received = leaf.received;
    }
    let skip = delivery.messages.len().saturating_sub(fresh);
    Ok(Proof::Holds(Box::new(ProvenDelivery {
        first: lane.received.size(),
        number: leaf.lane,
        leaf: leaf.clone(),
        proved_height: head.height,
        proved_time: head.time,
        code_hash: head.code_hash,
        client_moved,
        messages: delivery.messages.get(skip..).unwrap_or_default().to_vec(),
        prefixes,
        link,
        lane,
    })))
}

/// Refuses a leaf that was made under another view of this ledger than its own history.
fn check_view_of_us(cx: &Context<'_, '_>, link: &Link, leaf: &LaneLeaf) -> Result<(), Refusal> {
    let ours = crate::block::history(cx.state, leaf.peer_height);
    ensure!(
        ours == Some(leaf.peer_id),
        Proof,
        "the other side of link {} follows block {} at height {}, which is not in this ledger's history",
        link.id,
        leaf.peer_id,
        leaf.peer_height
    );
    ensure!(
        leaf.trust_epoch == link.peer_trust_epoch,
        State,
        "link {} is in trust epoch {} there, {} is approved here; a quorum must approve the council's act",
        link.id,
        leaf.trust_epoch,
        link.peer_trust_epoch
    );
    Ok(())
}

/// How the leaf, proved at `height`, contradicts what was proved or taken of its lane before.
fn contradicts(leaf: &LaneLeaf, height: Height, lane: &Lane) -> Option<String> {
    // Of two heights the lower one has the smaller log, whichever was proved first.
    let fell = match height.cmp(&lane.proved_height) {
        Ordering::Greater => leaf.size < lane.proved_size || leaf.received < lane.proved_received,
        Ordering::Less => leaf.size > lane.proved_size || leaf.received > lane.proved_received,
        Ordering::Equal => false,
    };
    if fell {
        return Some(format!(
            "size and received of lane {} are {} and {} at height {}, but {} and {} at height {height}",
            leaf.lane,
            lane.proved_size,
            lane.proved_received,
            lane.proved_height,
            leaf.size,
            leaf.received,
        ));
    }
    let received = lane.received.size();
    (leaf.size == received && leaf.root != lane.received.root()).then(|| {
        format!(
            "the first {received} messages of lane {} have root {} there, those taken here have {}",
            leaf.lane,
            leaf.root,
            lane.received.root()
        )
    })
}

/// The receiver's log before and after each new message; the inner error is a contradiction.
fn prove_range(delivery: &Delivery, lane: &Lane) -> Result<Result<Vec<Log>, String>, Refusal> {
    let leaf = &delivery.leaf;
    let received = lane.received.size();
    if delivery.messages.is_empty() {
        ensure!(
            delivery.range.left.is_empty() && delivery.range.right.is_empty(),
            Format,
            "a delivery without messages carries no range proof"
        );
        return Ok(Ok(vec![lane.received.clone()]));
    }
    let end = delivery.first.0.saturating_add(delivery.messages.len() as u64);
    ensure!(
        delivery.first.0 <= received,
        State,
        "lane {} has {received} messages; a delivery from {} on leaves a gap",
        leaf.lane,
        delivery.first
    );
    let Some(direction) = tombolo_types::lane::Direction::from_number(leaf.direction) else {
        refuse!(Format, "there is no direction {}", leaf.direction);
    };
    let hashes: Vec<Hash> = (delivery.first.0..end)
        .zip(&delivery.messages)
        .map(|(number, message)| {
            let number = MessageNumber(number);
            digest::message_leaf(leaf.link, direction, leaf.lane, leaf.epoch, number, message)
        })
        .collect();
    let proven = verify_range(delivery.first.0, &hashes, leaf.size, leaf.root, &delivery.range)
        .map_err(|error| Refusal::new(Class::Proof, error.to_string()))?;
    if end < received {
        return Ok(Ok(vec![lane.received.clone()]));
    }
    match proven.prefix_log_at(received) {
        Some(prefix) if prefix == lane.received => {}
        _ => {
            return Ok(Err(format!(
                "the first {received} messages of lane {} are not those that were taken",
                leaf.lane
            )));
        }
    }
    let mut log = lane.received.clone();
    let mut prefixes = vec![log.clone()];
    let skip = usize::try_from(received.saturating_sub(delivery.first.0)).unwrap_or(usize::MAX);
    for hash in hashes.get(skip..).unwrap_or_default() {
        log.append(*hash);
        prefixes.push(log.clone());
    }
    Ok(Ok(prefixes))
}

fn take<M: Machine>(
    machine: &M,
    cx: &mut Context<'_, '_>,
    proven: ProvenDelivery,
) -> Result<(), Refusal> {
    let ProvenDelivery { link, mut lane, number, leaf, first, messages, prefixes, .. } = proven;
    let id = link.id;
    if leaf.received > lane.taken {
        let (from, to) = (lane.taken, leaf.received);
        lane.taken = to;
        lanes::forget_bodies(cx.state, id, number, &mut lane, from, to);
        if lane.mark.is_none() {
            lane.mark = Some(Mark { size: leaf.size, received: leaf.received });
        }
        lanes::put_link(cx.state, &link);
        lanes::put_lane(cx.state, id, number, &lane);
        machine.taken(cx, id, number, from, to);
    } else {
        lanes::put_link(cx.state, &link);
        lanes::put_lane(cx.state, id, number, &lane);
    }
    let weight_max = cx.parameters.message_weight_max;
    let mut count = 0u64;
    for (position, encoded) in (first..).zip(&messages) {
        // What the machine did may have frozen or closed the link; the rest comes another time.
        let Some(now) = lanes::link(cx.state, id).filter(Link::takes) else { break };
        let arrival = Arrival {
            link: id,
            chain: now.chain,
            lane: number,
            epoch: leaf.epoch,
            number: MessageNumber(position),
            source_height: proven.proved_height,
            source_time: proven.proved_time,
            code_hash: proven.code_hash,
            salt: Hash::ZERO,
            not_after: UnixMillis::ZERO,
        };
        take_message(machine, cx, &now, arrival, encoded, weight_max);
        let taken = position.saturating_sub(first).saturating_add(1);
        let after = usize::try_from(taken).ok().and_then(|taken| prefixes.get(taken));
        if let (Some(mut lane), Some(after)) = (lanes::lane(cx.state, id, number), after) {
            lane.received = after.clone();
            lanes::put_lane(cx.state, id, number, &lane);
            count = taken;
        }
    }
    if let Some(mut lane) = lanes::lane(cx.state, id, number)
        && lane.received.size() >= leaf.size
    {
        lane.hear_all();
        lane.current_at = lane.current_at.max(proven.proved_time);
        lanes::put_lane(cx.state, id, number, &lane);
    }
    if let Some(mut lane) = lanes::lane(cx.state, id, number)
        && free_room(&mut lane)
    {
        lanes::put_lane(cx.state, id, number, &lane);
    }
    cx.record.remark = format!(
        "{count} messages taken{}",
        if proven.client_moved { ", client moved" } else { "" }
    );
    Ok(())
}

/// Frees the room of messages whose answers have come; says whether there were any.
///
/// Size and received of a mark were proved by one leaf: what the other side had answered up to
/// `received` stands in its log below `size`. The newest leaf gives the mark that follows, so that
/// there is one as long as less is freed than taken.
fn free_room(lane: &mut Lane) -> bool {
    let before = lane.freed;
    while let Some(mark) = lane.mark.filter(|mark| mark.size <= lane.received.size()) {
        lane.freed = mark.received;
        lane.mark = (lane.proved_received > mark.received)
            .then_some(Mark { size: lane.proved_size, received: lane.proved_received });
    }
    lane.freed != before
}

/// Takes one proved message and leaves its record. It cannot fail: a refusal is an answer.
fn take_message<M: Machine>(
    machine: &M,
    cx: &mut Context<'_, '_>,
    link: &Link,
    mut arrival: Arrival,
    encoded: &[u8],
    weight_max: u64,
) {
    let outer = cx.record.clone();
    cx.record = cx.blank_record();
    link.name_in(&mut cx.record);
    cx.record.lane = arrival.lane;
    cx.record.number = arrival.number;
    cx.record.source_chain = link.chain;
    cx.record.source_height = arrival.source_height;
    cx.record.destination_chain = cx.block.chain_id;
    cx.record.protocol = "lane".into();
    cx.record.relayer = cx.signer_id();
    cx.record.global_id =
        tombolo_types::id::GlobalId(tombolo_crypto::keccak256::keccak256(encoded).0);
    let mark = cx.state.mark();
    let outer_salt = cx.salt;
    let (answerable, salt, outcome) = match read(encoded, weight_max) {
        Err(Unreadable { answerable, salt, refusal }) => (answerable, salt, Err(refusal)),
        Ok((message, body)) => {
            arrival.salt = message.salt;
            arrival.not_after = message.not_after;
            cx.salt = message.salt;
            cx.record.operation = body.name().into();
            let answerable = !message.is_answer();
            let outcome = if answerable {
                admit(cx, link, &arrival, &body).and_then(|()| machine.request(cx, &arrival, body))
            } else {
                machine.answer(cx, &arrival, body);
                Ok(())
            };
            (answerable, message.salt, outcome)
        }
    };
    cx.salt = outer_salt;
    if let Err(mut refusal) = outcome {
        // What a machine quotes of a message must not make an answer larger than a message.
        refusal.message.truncate(refusal.message.floor_char_boundary(SENTENCE_BYTES_MAX));
        cx.state.roll_back(mark);
        cx.record.outcome = refusal.class as u8;
        cx.record.remark = refusal.message.clone();
        if answerable {
            answer_refusal::<M>(cx, &arrival, salt, refusal);
        }
    }
    let record = std::mem::replace(&mut cx.record, outer);
    records::append(cx.state, &SaltedRecord { salt, record });
}

fn answer_refusal<M: Machine>(
    cx: &mut Context<'_, '_>,
    arrival: &Arrival,
    salt: Hash,
    refusal: Refusal,
) {
    let answer = Body::Refused(Refused {
        of: arrival.number,
        class: refusal.class as u8,
        message: refusal.message,
    });
    // The room was reserved by the sender of the request: this cannot be refused.
    let _ = lanes::append(
        cx.state,
        M::DIRECTION,
        arrival.link,
        arrival.lane,
        &answer,
        UnixMillis::ZERO,
        salt,
        Room::Reserved,
    );
}

/// A message that was refused before its body was known.
struct Unreadable {
    /// Whether it is a request, as far as can be told; answers are never answered.
    answerable: bool,
    /// Its salt, where that could be read.
    salt: Hash,
    refusal: Refusal,
}

/// Reads a message of at most `weight_max`, or says why it is refused.
fn read(encoded: &[u8], weight_max: u64) -> Result<(Message, Body), Unreadable> {
    if encoded.len() > MESSAGE_BYTES_MAX {
        let what = format!("a message of {} bytes is above {MESSAGE_BYTES_MAX}", encoded.len());
        let refusal = Refusal::new(Class::Limit, what);
        return Err(Unreadable { answerable: !says_answer(encoded), salt: Hash::ZERO, refusal });
    }
    let message = Message::decode(encoded).map_err(|error| Unreadable {
        answerable: false,
        salt: Hash::ZERO,
        refusal: error.into(),
    })?;
    let (answerable, salt) = (!message.is_answer(), message.salt);
    let unreadable = |refusal| Unreadable { answerable, salt, refusal };
    // In the order of rule G1: version, format, limit.
    let body = match Body::decode(message.kind, &message.body) {
        Ok(Some(body)) => body,
        Ok(None) => {
            let what =
                format!("message kind {} is not known to version {HEADER_VERSION}", message.kind);
            return Err(unreadable(Refusal::new(Class::Version, what)));
        }
        Err(error) => return Err(unreadable(error.into())),
    };
    if message.weight.0 > weight_max {
        let what = format!("a message of weight {} is above {weight_max}", message.weight);
        return Err(unreadable(Refusal::new(Class::Limit, what)));
    }
    Ok((message, body))
}

/// Whether a message too large to be read says that it is an answer: its first word is its kind.
fn says_answer(encoded: &[u8]) -> bool {
    let kind = encoded.get(30..32).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok());
    kind.is_some_and(|bytes| u16::from_be_bytes(bytes) & ANSWER_BIT != 0)
}

/// Refuses requests that come too early, too late, or while the link takes none.
fn admit(cx: &Context<'_, '_>, link: &Link, arrival: &Arrival, body: &Body) -> Result<(), Refusal> {
    if matches!(body, Body::Commit(_) | Body::Abort(_)) {
        return Ok(());
    }
    match (link.status, body) {
        (_, Body::Hello(_)) | (LinkStatus::Open, _) => {}
        (LinkStatus::Paused { until }, _) if until <= cx.block.time => {}
        (status, _) => {
            refuse!(State, "link {} is {status:?} and takes no {}", link.id, body.name())
        }
    }
    ensure!(
        arrival.not_after == UnixMillis::ZERO || cx.block.time <= arrival.not_after,
        Timeout,
        "the message was good until {} and came at {}",
        arrival.not_after,
        cx.block.time
    );
    Ok(())
}

/// Moves the client of a link.
///
/// # Errors
/// As the link's verifier; `E_REPLAY` where the client stays as it is; `E_STATE` where the link is
/// frozen or closed.
pub fn update_client<M: Machine>(
    machine: &M,
    cx: &mut Context<'_, '_>,
    id: LinkId,
    update: &[u8],
) -> Result<(), Refusal> {
    cx.record.operation = "update-client".into();
    cx.record.link = id;
    cx.record.relayer = cx.signer_id();
    let Some(mut link) = lanes::link(cx.state, id) else {
        refuse!(NotFound, "this ledger has no link {id}");
    };
    link.name_in(&mut cx.record);
    // Of a closed link a freeze would open the way back through recovery.
    ensure!(link.status != LinkStatus::Closed, State, "link {id} is closed; it needs no client");
    // Of a frozen one it would outrun the new trusted header that a council's delay holds back.
    ensure!(
        link.status != LinkStatus::Frozen,
        State,
        "link {id} is frozen; its client moves by a recovery only"
    );
    let Some(verifier) = machine.verifier(&link.verifier) else {
        refuse!(Unsupported, "this ledger has no verifier named {}", link.verifier);
    };
    match verifier.update(&link.client, cx.block.time, update) {
        Ok(head) => {
            ensure!(
                head.client != link.client,
                Replay,
                "the client of link {id} is at or above height {}",
                head.height
            );
            link.client = head.client;
            if head.height > link.peer_height {
                link.peer_height = head.height;
                link.peer_id = head.block_id;
                link.peer_time = head.time;
            }
            lanes::put_link(cx.state, &link);
            Ok(())
        }
        Err(HeadError::Refused(refusal)) => Err(refusal),
        Err(HeadError::Contradiction { client, refusal }) => {
            freeze(machine, cx, id, Some(client), &refusal);
            Ok(())
        }
    }
}

/// Freezes a link on evidence that the other ledger contradicts itself.
///
/// # Errors
/// As the link's verifier.
pub fn misbehaviour<M: Machine>(
    machine: &M,
    cx: &mut Context<'_, '_>,
    id: LinkId,
    evidence: &[u8],
) -> Result<(), Refusal> {
    cx.record.operation = "misbehaviour".into();
    cx.record.link = id;
    let Some(link) = lanes::link(cx.state, id) else {
        refuse!(NotFound, "this ledger has no link {id}");
    };
    link.name_in(&mut cx.record);
    ensure!(link.status != LinkStatus::Frozen, Replay, "link {id} is frozen already");
    ensure!(link.status != LinkStatus::Closed, State, "link {id} is closed; nothing hangs on it");
    let Some(verifier) = machine.verifier(&link.verifier) else {
        refuse!(Unsupported, "this ledger has no verifier named {}", link.verifier);
    };
    match verifier.misbehaviour(&link.client, cx.block.time, evidence)? {
        Conviction::Frozen { client } => {
            let why = Refusal::new(Class::Proof, "two proved statements of the chain contradict");
            freeze(machine, cx, id, Some(client), &why);
        }
        Conviction::Suspended { client, signers } => {
            cx.record.remark =
                format!("suspended, for a statement that nobody shares: {signers:?}");
            lanes::put_link(cx.state, &Link { client, ..link });
        }
    }
    Ok(())
}

/// Whether a delivery can raise anything, by what it claims: checked at the door, before a proof
/// costs. A header alone is brought by a client update.
///
/// A delivery without messages on the control lane renews as of when that lane is known. The door
/// lets it pass once a quarter of the identity-view limit has gone by, so that a relayer that
/// renews at half of it finds the door open, and nobody fills blocks with renewals.
#[must_use]
pub fn raises(view: &dyn View, delivery: &Delivery) -> bool {
    let leaf = &delivery.leaf;
    let Some(lane) = lanes::lane(view, leaf.link, leaf.lane) else { return true };
    let end = delivery.first.0.saturating_add(delivery.messages.len() as u64);
    let renews = || {
        let now = crate::block::tip(view).map_or(UnixMillis::ZERO, |tip| tip.time);
        leaf.lane == CONTROL_LANE
            && lane.received.size() >= leaf.size
            && now.since(lane.current_at) >= Parameters::of(view).identity_view_ms >> 2
    };
    // Another root of as many messages as were taken is a contradiction, and raises much; so does
    // an epoch to come.
    let differs = leaf.size == lane.received.size() && leaf.root != lane.received.root()
        || leaf.epoch > lane.peer_epoch;
    end > lane.received.size() || leaf.received > lane.taken || differs || renews()
}

/// The proof that a delivery would be refused for, without executing it: for a relayer's dry run.
///
/// # Errors
/// As [`deliver`].
pub fn check<M: Machine>(
    machine: &M,
    cx: &Context<'_, '_>,
    delivery: &Delivery,
) -> Result<(), Refusal> {
    match prove(machine, cx, delivery)? {
        Proof::Holds(_) => Ok(()),
        Proof::Contradicts { refusal, .. } => Err(refusal),
    }
}
