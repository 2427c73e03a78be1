//! S5, S7, and of S11 that a lock is claimed or refunded, over random histories: two islets, one coordinator that lies about nothing, and a
//! naive model of sums beside them.
//!
//! The machine is driven without proofs here, so that histories can be long; what proofs add is
//! shown by the other tests.

use crate::{
    harness::{Chain, Founding, Memory, identity},
    toy::ToyHub,
    world::{
        ASSET, FUNDS, bound, device, machine, move_in, move_out, neighbour, ordered, owner, pay,
        person, reading, schema, submit,
    },
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::LazyLock};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_islet_core::{
    HashLockStanding, Hold, IDENTIFICATION_METHOD, Islet, IsletCall, NewHashLock, Standing,
    account, balance, escrow, gateway, hash_lock, hash_locks, holdings, item, locks, participant,
    vouchers,
};
use tombolo_ledger::{
    Arrival, BlockInfo, Context, Machine, Parameters, Principal, State, lanes,
    machine::blank_record,
};
use tombolo_swap::two_phase::Standing as Phase;
use tombolo_types::{
    Address, Amount, Epoch, Hash, Height, MessageNumber, Refusal, UnixMillis, Weight,
    action::Action,
    council::{ActKind, Release},
    envelope::Envelope,
    header::GenesisBalance,
    id::{AssetId, BlockId, ChainId, DataId, IdentityId, LinkId, TxId, Xid},
    lane::{DATA_LANE, Message},
    message::{Body, DataClass, Decision, Hello, SchemaUpdate},
    swap::Secret,
};

/// An islet without consensus and proofs.
#[derive(Clone)]
struct Bare {
    state: Memory,
    chain: ChainId,
    hub: ChainId,
    link: LinkId,
    height: Height,
    time: UnixMillis,
}

impl Bare {
    fn new(name: &str) -> Self {
        let hub = Chain::new(ToyHub, "hub", 100, Founding::default());
        let holder = |key: SecretKey| GenesisBalance {
            account: key.address(),
            asset: ASSET,
            amount: Amount(FUNDS),
        };
        let founding = Founding {
            balances: vec![holder(owner()), holder(neighbour())],
            council: vec![owner().address()],
            council_threshold: 1,
            hub_anchor: hub.anchor().encode(),
            parameters: vec![("trusting_period_ms", TRUST_MS)],
            ..Founding::default()
        };
        let mut chain = Chain::new(Islet, name, 101, founding);
        // No proof is needed here, so the client may be dead from the first, and locks be released.
        chain.time = chain.time.saturating_add(2 * TRUST_MS);
        let mut bare = Self {
            link: gateway(&chain.state).unwrap().link,
            chain: chain.id,
            hub: hub.id,
            height: Height(1),
            time: chain.time,
            state: chain.state,
        };
        bare.greet();
        bare
    }

    fn greet(&mut self) {
        let hello = Hello {
            version_min: 1,
            version_max: 1,
            chain: self.hub,
            mode: 1,
            gateway_code_hash: Hash::ZERO,
            identification_method: IDENTIFICATION_METHOD.into(),
            policy_hash: Hash::ZERO,
            council: Vec::new(),
            council_threshold: 0,
            trusting_period_ms: 1,
            council_delay_ms: 0,
            weight_max: Weight(64),
            backlog_max: 1,
            anchor_height: Height::ZERO,
            anchor_id: BlockId(self.chain.0),
        };
        self.take(Body::Hello(hello)).unwrap();
        for update in [
            person(&owner(), owner().address()),
            person(&neighbour(), neighbour().address()),
            machine(&device(), &owner()),
        ] {
            let update = bound(self.hub, self.chain, update);
            self.take(Body::IdentityUpdate(update)).unwrap();
        }
        let (schema, definition) = schema();
        self.take(Body::SchemaUpdate(SchemaUpdate { schema, definition })).unwrap();
    }

    fn run(
        &mut self,
        signer: Option<IdentityId>,
        work: impl FnOnce(&mut Context<'_, '_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.height = self.height.next();
        self.time = self.time.saturating_add(25);
        let block = BlockInfo { chain_id: self.chain, height: self.height, time: self.time };
        // Identities are always fresh enough in these histories.
        let parameters = Parameters {
            identity_view_ms: u64::MAX,
            council_delay_ms: 0,
            release_period_ms: TRUST_MS,
            ..Parameters::default()
        };
        let mut state = State::new(&self.state);
        let mut cx = Context {
            state: &mut state,
            block,
            parameters: &parameters,
            tx_id: TxId::ZERO,
            salt: Hash::ZERO,
            signer: signer.map(|signer| Principal::of(&self.state, signer).unwrap()),
            record: blank_record(block, TxId::ZERO),
        };
        Islet.begin_block(&mut cx);
        let mark = cx.state.mark();
        let result = work(&mut cx);
        if result.is_err() {
            cx.state.roll_back(mark);
        }
        let writes = state.into_writes();
        self.state.apply(&writes);
        result
    }

    fn take(&mut self, body: Body) -> Result<(), Refusal> {
        let arrival = Arrival {
            link: self.link,
            chain: self.hub,
            lane: DATA_LANE,
            epoch: Epoch(1),
            number: MessageNumber::ZERO,
            source_height: Height(1),
            source_time: self.time,
            code_hash: None,
            salt: Hash::ZERO,
            not_after: UnixMillis::ZERO,
        };
        self.run(None, |cx| Islet.request(cx, &arrival, body))
    }

    fn call(&mut self, signer: &SecretKey, call: IsletCall) -> Result<(), Refusal> {
        self.run(Some(identity(signer)), |cx| Islet.call(cx, call))
    }

    /// The newest answer on the data lane.
    fn answer(&self) -> Body {
        let lane = lanes::lane(&self.state, self.link, DATA_LANE).unwrap();
        let newest = MessageNumber(lane.sent.size() - 1);
        let bodies = lanes::bodies(&self.state, self.link, DATA_LANE, Epoch(1), newest, 1);
        let message = Message::decode(&bodies[0]).unwrap();
        Body::decode(message.kind, &message.body).unwrap().unwrap()
    }
}

static BARE: LazyLock<[Bare; 2]> = LazyLock::new(|| {
    let mut both = [Bare::new("north"), Bare::new("south")];
    for local_id in 0..ITEMS {
        let envelope = envelope(both[0].chain, local_id, 1);
        both[0].call(&device(), submit(&envelope, &device())).unwrap();
    }
    both
});

const TRUST_MS: u64 = 60_000;
const ITEMS: u8 = 3;
const SECRETS: u8 = 4;

fn secret_of(number: u8) -> Secret {
    Secret([number; 32])
}

fn envelope(home: ChainId, number: u8, version: u32) -> Envelope {
    reading(home, &format!("deed-{number}"), version, DataClass::Closed)
}

fn id_of(home: ChainId, number: u8) -> DataId {
    crate::world::data_id(&envelope(home, number, 1))
}

/// What one branch asks of one side, and what has become of it.
struct Seat {
    body: Body,
    vote: Option<bool>,
    prepared: bool,
}

/// What a commit adds to an account: side, account, asset, sign and amount.
type Change = (usize, Address, AssetId, i128, u128);

/// One two-phase commit, as its coordinator sees it.
struct Deal {
    xid: Xid,
    seats: BTreeMap<usize, Seat>,
    moves: Vec<Change>,
    decision: Option<bool>,
    told: Vec<usize>,
    /// The item that it moves.
    item: Option<u8>,
    /// Sides on which the council has released what it held.
    released: Vec<usize>,
}

/// Two islets, their deals, and what a naive model says of the accounts.
struct History {
    sides: [Bare; 2],
    deals: Vec<Deal>,
    salt: u8,
    settled: BTreeMap<(usize, Address, AssetId), i128>,
}

fn party(number: u8) -> SecretKey {
    if number.is_multiple_of(2) { owner() } else { neighbour() }
}

impl History {
    fn new() -> Self {
        let mut settled = BTreeMap::new();
        for side in 0..2 {
            for holder in [owner(), neighbour()] {
                settled.insert((side, holder.address(), ASSET), i128::try_from(FUNDS).unwrap());
            }
        }
        Self { sides: BARE.clone(), deals: Vec::new(), salt: 0, settled }
    }

    /// Moves an item from one side to the other against a payment on either. Sides and holder may
    /// be wrong: then somebody votes no.
    fn begin(&mut self, number: u8, from: usize, shape: u8) {
        let to = 1 - from;
        let home = BARE[0].chain;
        let id = id_of(home, number);
        let Some(there) = item(&self.sides[from].state, id) else { return };
        if there.envelope.is_empty() {
            return;
        }
        let seller = if there.holder == owner().address() { owner() } else { neighbour() };
        let buyer = party(shape);
        let version = there.version;
        let moved = envelope(home, number, version);
        let mut out: Vec<Action> =
            vec![Action::MoveOut(move_out(id, &seller, self.sides[to].chain))];
        let into = move_in(&moved, &device(), self.sides[from].chain, &buyer);
        let mut arriving: Vec<Action> = vec![Action::MoveIn(into)];
        let amount = u128::from(shape) * 9 + 1;
        let mut moves = Vec::new();
        if !shape.is_multiple_of(3) {
            let side = usize::from(shape % 2);
            let payment = Action::Pay(pay(&buyer, &seller, amount));
            if side == from {
                out.push(payment)
            } else {
                arriving.push(payment)
            }
            moves.push((side, buyer.address(), ASSET, -1, amount));
            moves.push((side, seller.address(), ASSET, 1, amount));
        }
        self.salt += 1;
        self.agree(&[(from, out), (to, arriving)], moves, Some(number));
    }

    /// The same, unless a deal about the item is open, or ended against the council's word: the hub
    /// refuses a branch that takes an item from where it is not.
    fn begin_if_free(&mut self, number: u8, from: usize, shape: u8) {
        let ended = |deal: &Deal| deal.decision.is_some() && deal.told.len() == deal.seats.len();
        let mut of_it = self.deals.iter().filter(|deal| deal.item == Some(number));
        if of_it.all(|deal| ended(deal) && !Self::is_heuristic(deal)) {
            self.begin(number, from, shape);
        }
    }

    /// Moves an amount of one side's asset, from where it is to the other side. There may be too
    /// little: then somebody votes no.
    fn transfer(&mut self, home: usize, from: usize, shape: u8) {
        use tombolo_types::action::{TokenIn, TokenOut};
        let (payer, payee) = (party(shape), party(shape / 2));
        let (home, to) = (self.sides[home].chain, 1 - from);
        let amount = Amount(u128::from(shape) * 5 + 1);
        let leaving = Action::TokenOut(TokenOut {
            home,
            asset: ASSET,
            from: payer.address(),
            amount,
            to_chain: self.sides[to].chain,
        });
        let coming = Action::TokenIn(TokenIn {
            home,
            asset: ASSET,
            from_chain: self.sides[from].chain,
            to: payee.address(),
            amount,
        });
        self.salt += 1;
        let moves = vec![
            (from, payer.address(), self.asset_on(home, from), -1, amount.0),
            (to, payee.address(), self.asset_on(home, to), 1, amount.0),
        ];
        self.agree(&[(from, vec![leaving]), (to, vec![coming])], moves, None);
    }

    /// What stands for the asset of chain `home` on a side.
    fn asset_on(&self, home: ChainId, side: usize) -> AssetId {
        if self.sides[side].chain == home { ASSET } else { digest::voucher(home, ASSET) }
    }

    /// Builds the Prepares of both sides under one xid.
    fn agree(&mut self, branches: &[(usize, Vec<Action>)], moves: Vec<Change>, item: Option<u8>) {
        use tombolo_types::action::{Authorisation, Branch, Terms};
        let built: Vec<Branch> = branches
            .iter()
            .map(|(side, actions)| Branch::new(self.sides[*side].link, actions))
            .collect();
        let terms = Terms {
            hub: self.sides[0].hub,
            beginner: identity(&owner()),
            salt: Hash([self.salt; 32]),
            deadline: self.sides[0].time.saturating_add(60_000_000),
            branches: built.iter().map(digest::branch).collect(),
        };
        let xid = digest::xid(&terms);
        let mut seats = BTreeMap::new();
        for (index, ((side, actions), branch)) in (0u32..).zip(branches.iter().zip(&built)) {
            let mut takers: Vec<Address> = actions.iter().filter_map(Action::takes_from).collect();
            takers.sort_unstable();
            takers.dedup();
            let authorisations = takers
                .into_iter()
                .map(|account| {
                    let key = if account == owner().address() { owner() } else { neighbour() };
                    let signature = key.sign(digest::authorisation(xid));
                    Authorisation { branch: index, account, signature }
                })
                .collect();
            let body = Body::Prepare(tombolo_types::message::Prepare {
                terms: terms.encode(),
                index,
                branch: branch.encode(),
                authorisations,
            });
            seats.insert(*side, Seat { body, vote: None, prepared: false });
        }
        let (told, released) = (Vec::new(), Vec::new());
        self.deals.push(Deal { xid, seats, moves, decision: None, told, item, released });
    }

    /// Lets one side prepare; again is the same.
    fn prepare(&mut self, deal: usize, side: usize) {
        let Some(deal) = self.deals.get_mut(deal) else { return };
        let Some(seat) = deal.seats.get_mut(&side) else { return };
        if deal.decision.is_some() {
            return;
        }
        self.sides[side].take(seat.body.clone()).unwrap();
        let Body::Vote(vote) = self.sides[side].answer() else { panic!("no vote") };
        assert_eq!(vote.xid, deal.xid);
        assert!(seat.vote.is_none_or(|before| before == vote.yes), "a vote does not change");
        seat.prepared = true;
        seat.vote = Some(vote.yes);
    }

    /// The coordinator decides: commit only if all said yes; abort at any time before.
    fn decide(&mut self, deal: usize, abort: bool) {
        let Some(deal) = self.deals.get_mut(deal) else { return };
        let all_yes = deal.seats.values().all(|seat| seat.vote == Some(true));
        let any_no = deal.seats.values().any(|seat| seat.vote == Some(false));
        if deal.decision.is_none() && (all_yes || any_no || abort) {
            deal.decision = Some(all_yes && !abort);
            if all_yes && !abort {
                let moves = deal.moves.iter().filter(|(side, ..)| !deal.released.contains(side));
                for (side, account, asset, sign, amount) in moves {
                    let amount = i128::try_from(*amount).unwrap();
                    *self.settled.entry((*side, *account, *asset)).or_default() += sign * amount;
                }
            }
        }
    }

    /// The council gives up what one side holds, decided or not: then nothing of it happens there.
    fn release(&mut self, deal: usize, side: usize) {
        let Some(deal) = self.deals.get_mut(deal) else { return };
        let bare = &mut self.sides[side];
        let holds = participant(&bare.state, deal.xid).map(|it| it.standing());
        let may = holds == Some(Phase::Prepared);
        let trust_epoch = lanes::link(&bare.state, bare.link).unwrap().trust_epoch + 1;
        let data = Release { link: bare.link, xid: deal.xid }.encode();
        let order = ordered(bare.chain, ActKind::ReleaseLock, trust_epoch, data, &[owner()]);
        let result = bare.call(&owner(), IsletCall::CouncilAct(order));
        assert_eq!(result.is_ok(), may, "{result:?}");
        if !may {
            return;
        }
        bare.run(None, |_| Ok(())).unwrap();
        deal.released.push(side);
        if deal.decision == Some(true) {
            for (_, account, asset, sign, amount) in deal.moves.iter().filter(|it| it.0 == side) {
                let amount = i128::try_from(*amount).unwrap();
                *self.settled.entry((side, *account, *asset)).or_default() -= sign * amount;
            }
        }
    }

    /// Whether the council's word stands against a commit: somebody's loss, which is on record.
    fn is_heuristic(deal: &Deal) -> bool {
        deal.decision == Some(true) && !deal.released.is_empty()
    }

    /// Tells one side, now or again.
    fn tell(&mut self, deal: usize, side: usize) {
        let Some(deal) = self.deals.get_mut(deal) else { return };
        let Some(commit) = deal.decision else { return };
        let decision = Decision { xid: deal.xid };
        let body = if commit { Body::Commit(decision) } else { Body::Abort(decision) };
        self.sides[side].take(body).unwrap();
        assert!(matches!(self.sides[side].answer(), Body::Done(_)));
        if !deal.told.contains(&side) {
            deal.told.push(side);
        }
    }

    fn pay(&mut self, side: usize, from: u8, amount: u8) {
        let (from, to) = (party(from), party(from.wrapping_add(1)));
        let amount = u128::from(amount) * 7 + 1;
        let call = IsletCall::Pay { to: to.address(), asset: ASSET, amount: Amount(amount) };
        let before = balance(&self.sides[side].state, from.address(), ASSET);
        let result = self.sides[side].call(&from, call);
        assert_eq!(result.is_ok(), before.0 >= amount);
        if result.is_ok() {
            let amount = i128::try_from(amount).unwrap();
            *self.settled.get_mut(&(side, from.address(), ASSET)).unwrap() -= amount;
            *self.settled.get_mut(&(side, to.address(), ASSET)).unwrap() += amount;
        }
    }

    /// A hash lock of one party for the other; `shape` says for how long, and of how much.
    fn hash_lock(&mut self, side: usize, number: u8, shape: u8) {
        let (locker, recipient) = (party(number), party(number.wrapping_add(1)));
        let (secret, bare) = (secret_of(number), &mut self.sides[side]);
        let amount = u128::from(shape) * 5;
        let new = NewHashLock {
            hash: digest::secret_hash(&secret),
            recipient: recipient.address(),
            asset: ASSET,
            amount: Amount(amount),
            deadline: bare.time.saturating_add(u64::from(shape) * 10),
        };
        let used = hash_lock(&bare.state, new.hash, locker.address()).is_some();
        let held = balance(&bare.state, locker.address(), ASSET).0;
        // The lock is in a block that comes 25 ms later.
        let may = amount > 0 && !used && shape > 2 && held >= amount;
        assert_eq!(bare.call(&locker, IsletCall::HashLock(new)).is_ok(), may, "{new:?}");
    }

    /// Its claim, with the right secret or another, and its refund, at any time.
    fn end_hash_lock(&mut self, side: usize, number: u8, how: u8) {
        let (locker, other) = (party(number), party(number.wrapping_add(1)));
        let (secret, bare) = (secret_of(number), &mut self.sides[side]);
        let (hash, address) = (digest::secret_hash(&secret), locker.address());
        let lock = hash_lock(&bare.state, hash, address);
        let open = lock.filter(|lock| lock.standing == HashLockStanding::Open);
        let over = open.is_some_and(|lock| bare.time.saturating_add(25) >= lock.deadline);
        let (call, may) = match how % 3 {
            0 => (IsletCall::HashClaim { hash, locker: address, secret: vec![0xff; 32] }, false),
            1 => {
                let secret = secret.0.to_vec();
                (IsletCall::HashClaim { hash, locker: address, secret }, open.is_some() && !over)
            }
            _ => (IsletCall::HashRefund { hash, locker: address }, over),
        };
        let result = bare.call(&other, call);
        assert_eq!(result.is_ok(), may, "{result:?}");
        if let Some(lock) = open.filter(|_| may && how % 3 == 1) {
            let amount = i128::try_from(lock.amount.0).unwrap();
            *self.settled.get_mut(&(side, lock.locker, ASSET)).unwrap() -= amount;
            *self.settled.get_mut(&(side, lock.recipient, ASSET)).unwrap() += amount;
        }
    }

    /// A new version of an item, where it is free and its owner's device may write it.
    fn renew(&mut self, side: usize, number: u8) {
        let home = BARE[0].chain;
        let Some(present) = item(&self.sides[side].state, id_of(home, number)) else { return };
        let next = envelope(home, number, present.version + 1);
        let may = present.standing == Standing::Live && present.owner == identity(&owner());
        let result = self.sides[side].call(&device(), submit(&next, &device()));
        assert_eq!(result.is_ok(), may, "{result:?}");
    }

    fn crash(&mut self, side: usize) {
        self.sides[side].state = Memory::from_bytes(&self.sides[side].state.to_bytes());
    }

    fn check(&self) {
        for bare in &self.sides {
            let held = locks(&bare.state, Xid::ZERO, usize::MAX);
            let voucher = digest::voucher(self.other(bare).chain, ASSET);
            let (mut coins, mut notes) = (0, 0);
            for hold in held.iter().flat_map(|lock| &lock.held.holds) {
                match hold {
                    Hold::Pays { amount, .. } => coins += amount.0,
                    Hold::Departs(parcel) | Hold::Arrives(parcel) if parcel.at_home => {
                        coins += parcel.amount.0;
                    }
                    Hold::Departs(parcel) | Hold::Arrives(parcel) => notes += parcel.amount.0,
                    Hold::Leaves { .. } | Hold::Appears(_) => {}
                }
            }
            let hashed: Vec<_> = hash_locks(&bare.state, Default::default(), usize::MAX)
                .into_iter()
                .filter(|lock| lock.standing == HashLockStanding::Open)
                .collect();
            coins += hashed.iter().map(|lock| lock.amount.0).sum::<u128>();
            for holding in holdings(&bare.state, Default::default(), usize::MAX) {
                let sum = if holding.asset == ASSET { &mut coins } else { &mut notes };
                *sum += holding.amount.0;
                assert!([ASSET, voucher].contains(&holding.asset));
            }
            coins += escrow(&bare.state, ASSET).0;
            assert_eq!(coins, 2 * FUNDS, "S7: the supply is that of genesis");
            assert_eq!(notes, vouchers(&bare.state, voucher).0, "S7: every voucher is counted");
            for holder in [owner(), neighbour()] {
                let address = holder.address();
                let counted =
                    held.iter().filter(|lock| lock.held.accounts.contains(&address)).count()
                        + hashed.iter().filter(|lock| lock.locker == address).count();
                assert_eq!(account(&bare.state, address).open_locks, counted as u64);
            }
        }
        for number in 0..ITEMS {
            let heuristic =
                self.deals.iter().any(|it| it.item == Some(number) && Self::is_heuristic(it));
            assert!(heuristic || self.live(number) <= 1, "S5: item {number} is live twice");
        }
    }

    fn other(&self, bare: &Bare) -> &Bare {
        let other = self.sides.iter().find(|other| other.chain != bare.chain);
        other.expect("there are two sides")
    }

    fn live(&self, number: u8) -> usize {
        let id = id_of(BARE[0].chain, number);
        let is_live = |bare: &&Bare| {
            item(&bare.state, id).is_some_and(|item| item.standing == Standing::Live)
        };
        self.sides.iter().filter(is_live).count()
    }

    /// Everything that is open ends, and the model's sums are the accounts'.
    fn finish(&mut self) {
        for deal in 0..self.deals.len() {
            self.decide(deal, true);
            for side in 0..2 {
                self.tell(deal, side);
                self.check();
            }
        }
        for side in 0..2 {
            // Past every deadline here, what is still open is given back.
            self.sides[side].time = self.sides[side].time.saturating_add(10_000);
            for lock in hash_locks(&self.sides[side].state, Default::default(), usize::MAX) {
                let call = IsletCall::HashRefund { hash: lock.hash, locker: lock.locker };
                let open = lock.standing == HashLockStanding::Open;
                assert_eq!(self.sides[side].call(&owner(), call).is_ok(), open);
                self.check();
            }
        }
        for (number, bare) in self.sides.iter().enumerate() {
            assert_eq!(locks(&bare.state, Xid::ZERO, 9), []);
            for holder in [owner(), neighbour()] {
                for asset in [ASSET, digest::voucher(self.other(bare).chain, ASSET)] {
                    let held = balance(&bare.state, holder.address(), asset).0;
                    let key = (number, holder.address(), asset);
                    let model = self.settled.get(&key).copied().unwrap_or_default();
                    assert_eq!(i128::try_from(held).unwrap(), model);
                }
            }
            let abroad = vouchers(&self.other(bare).state, digest::voucher(bare.chain, ASSET));
            let heuristic = self.deals.iter().any(Self::is_heuristic);
            let all_is_there = escrow(&bare.state, ASSET) == abroad;
            assert!(heuristic || all_is_there, "S7: what left is what is elsewhere");
        }
        for number in 0..ITEMS {
            let heuristic =
                self.deals.iter().any(|it| it.item == Some(number) && Self::is_heuristic(it));
            let (live, at_least) = (self.live(number), usize::from(!heuristic));
            assert!((at_least..=1).contains(&live), "S5: at rest every item is live once");
        }
        for deal in self.deals.iter().filter(|deal| deal.decision == Some(true)) {
            assert!(deal.seats.values().all(|seat| seat.prepared), "S2");
            assert_eq!(deal.told.len(), 2, "S1");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// S5, S7 and S11, with crashes, repetitions and wrong orders anywhere.
    ///
    /// Req: Y4560-6.3-2, Y4560-7.2.4-1, PRJ-5-9
    #[test]
    fn a45_histories_keep_supply_and_single_copies(
        events in prop::collection::vec((0u8..20, any::<u8>(), any::<u8>()), 1..60),
    ) {
        let mut history = History::new();
        for (event, a, b) in events {
            let side = usize::from(b % 2);
            let deal = usize::from(a) % history.deals.len().max(1);
            match event {
                0 | 1 => history.begin(a % ITEMS, side, b),
                2 => history.transfer(usize::from(a % 2), side, b / 2),
                3..=6 => history.prepare(deal, side),
                7..=8 => history.decide(deal, b.is_multiple_of(8)),
                9..=10 => history.tell(deal, side),
                11 => history.pay(side, a, b),
                12 => history.renew(side, a % ITEMS),
                13..=15 => history.hash_lock(side, a % SECRETS, b),
                16..=18 => history.end_hash_lock(side, a % SECRETS, b / 2),
                _ => history.crash(side),
            }
            history.check();
        }
        history.finish();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// S4, S5 and S7 where councils release what waits for a decision, before or after it is made:
    /// no ledger makes or loses an amount by it, and once all have heard the decision an item is live
    /// at most once. What is lost is lost between ledgers, by a release against a commit.
    #[test]
    fn s4_histories_with_releases_keep_supply_and_leave_no_second_live_copy(
        events in prop::collection::vec((0u8..12, any::<u8>(), any::<u8>()), 1..60),
    ) {
        let mut history = History::new();
        for (event, a, b) in events {
            let side = usize::from(b % 2);
            let deal = usize::from(a) % history.deals.len().max(1);
            match event {
                // One deal about each item at a time: a hub knows where an item is.
                0 | 1 => history.begin_if_free(a % ITEMS, side, b),
                2 => history.transfer(usize::from(a % 2), side, b / 2),
                3..=5 => history.prepare(deal, side),
                6 | 7 => history.decide(deal, b.is_multiple_of(8)),
                8 => history.tell(deal, side),
                9 => history.renew(side, a % ITEMS),
                10 => history.crash(side),
                _ => history.release(deal, side),
            }
            history.check();
        }
        history.finish();
    }
}

/// One deal that goes well, so that the histories above are known to hold some.
#[test]
fn a_deal_that_all_agree_on_moves_item_and_money() {
    let mut history = History::new();
    history.begin(0, 0, 1);
    for side in 0..2 {
        history.prepare(0, side);
        history.check();
    }
    assert!(history.deals[0].seats.values().all(|seat| seat.vote == Some(true)));
    history.decide(0, false);
    assert_eq!(history.deals[0].decision, Some(true));
    history.tell(0, 1);
    history.check();
    history.tell(0, 0);
    history.finish();
    let id = id_of(BARE[0].chain, 0);
    let arrived = item(&history.sides[1].state, id).unwrap();
    assert_eq!((arrived.standing, arrived.owner), (Standing::Live, identity(&neighbour())));
}
