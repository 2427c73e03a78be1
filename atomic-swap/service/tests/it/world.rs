//! Two islets in this process, their parties, and an order book in memory. Time is virtual: blocks
//! come by tokio's clock, which stands still while anything runs.

use async_trait::async_trait;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tombolo_adapter::{
    Ability, AdapterError, Consensus, Declare, Descriptor, Finality, HtlcChain, Limits, Privacy,
};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_islet_core::{HashLockStanding, Islet, IsletCall, NewHashLock};
use tombolo_ledger::{Call, Ledger, block, principal::Use};
use tombolo_store::Memory;
use tombolo_swap::htlc::{
    Clock, Expiry, Found, Lock, Margins, Opening, Profile, Role, Settled, Sight, Spending,
    Standing, Swap, Terms, gap_needs_ms, lock_needs_ms,
};
use tombolo_swap_service::{
    Entry, Metrics, OrderBook, Reports, Said, Settings, task::Surroundings,
};
use tombolo_types::{
    Address, Amount, Hash, Height, Power, Refusal, UnixMillis,
    header::{
        Anchor, Genesis, GenesisBalance, GenesisIdentity, GenesisParameter, Validator, ValidatorSet,
    },
    id::{AssetId, BlockId, ChainId, IdentityId, OrderId, TxId},
    message::Role as Of,
    store::Store as _,
    swap::{Account, Deadline, Leg, Order, Secret},
    transaction::{SignedTransaction, Transaction},
};

pub(crate) const SECRET: Secret = Secret([0x5e; 32]);
pub(crate) const ASSET: AssetId = AssetId([0xa5; 32]);
pub(crate) const HUB: ChainId = ChainId([0xaa; 32]);
/// When everything begins.
pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
/// What each party holds on each chain at first, and what it gives.
pub(crate) const FUNDS: u128 = 1_000;
pub(crate) const GIVEN: u128 = 300;
/// Between two blocks.
const BLOCK: Duration = Duration::from_millis(100);
pub(crate) const PROFILE: Profile = Profile {
    block_ms_fastest: 50,
    block_ms_slowest: 500,
    time_lag_ms: 0,
    skew_ms: 200,
    inclusion_ms: 1_000,
    finality_ms: 0,
    expiry: Expiry::Enforced,
    spending: Spending::Anybody,
};
pub(crate) const MARGINS: Margins = Margins { relay_ms: 1_000, outage_ms: 5_000 };
/// The third, who watches.
pub(crate) const WATCHER: u8 = 3;

pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

pub(crate) fn identity(party: u8) -> IdentityId {
    digest::identity_id(key(party).address())
}

fn account(party: u8) -> Address {
    key(party).address()
}

fn chain_ids() -> [ChainId; 2] {
    [0, 1].map(|leg| digest::chain_id(&genesis(leg)))
}

/// Party 1 gives on chain 0, party 2 on chain 1, with a second more than what must be.
pub(crate) fn terms_at(now: UnixMillis) -> Terms {
    let second = now.saturating_add(lock_needs_ms(&[PROFILE; 2], &MARGINS) + 1_000);
    let over = second.saturating_add(PROFILE.block_ms_slowest);
    let first = over.saturating_add(gap_needs_ms(&PROFILE, &PROFILE, &MARGINS));
    let chains = chain_ids();
    let leg = |chain, locker: u8, recipient: u8, deadline| Leg {
        chain,
        asset: ASSET,
        amount: Amount(GIVEN),
        locker: account(locker).into(),
        recipient: account(recipient).into(),
        deadline: Deadline::Time(deadline),
    };
    Terms::read(Order {
        hash: digest::secret_hash(&SECRET),
        parties: vec![identity(1), identity(2)],
        legs: vec![leg(chains[0], 1, 2, first), leg(chains[1], 2, 1, second)],
        accept_until: now.saturating_add(60_000),
        premium: Amount::ZERO,
    })
    .unwrap()
}

pub(crate) fn opened_by(role: Role, terms: &Terms) -> Swap {
    let secret = (role == Role::Party(0)).then_some(SECRET);
    let (terms, profiles) = (terms.clone(), vec![PROFILE; 2]);
    Swap::open(Opening { terms, role, secret, profiles, margins: MARGINS }).unwrap()
}

fn genesis(leg: u8) -> Genesis {
    let parties = [1, 2, WATCHER];
    let validator = Validator { address: key(100 + leg).address(), power: Power(1) };
    let validators = ValidatorSet { first_height: Height(1), validators: vec![validator] };
    let mut balances: Vec<GenesisBalance> = parties
        .iter()
        .map(|party| GenesisBalance {
            account: account(*party),
            asset: ASSET,
            amount: Amount(FUNDS),
        })
        .collect();
    balances.sort_by_key(|balance| balance.account);
    Genesis {
        version: 1,
        kind: "islet".into(),
        name: format!("islet {leg}"),
        time: UnixMillis(NOW.0 - 1),
        validators: validators.clone(),
        identities: parties
            .iter()
            .map(|party| GenesisIdentity {
                key: key(*party).address(),
                roles: Of::Relayer.bit(),
                name: format!("party {party}"),
            })
            .collect(),
        balances,
        quorum: 0,
        council: vec![key(9).address()],
        council_threshold: 1,
        hub_anchor: Anchor {
            chain_id: HUB,
            height: Height::ZERO,
            block_id: BlockId(HUB.0),
            time: UnixMillis(NOW.0 - 1),
            validators,
        }
        .encode(),
        parameters: Vec::<GenesisParameter>::new(),
    }
}

/// One islet: its ledger, its disk, what waits, what became of it.
struct Ledgered {
    ledger: Ledger<Islet>,
    disk: Memory,
    waiting: Vec<(TxId, Vec<u8>)>,
    receipts: BTreeMap<TxId, Option<Refusal>>,
}

/// An islet that others see.
pub(crate) struct Chain {
    id: ChainId,
    inner: Mutex<Ledgered>,
    height: watch::Sender<Height>,
    /// It answers nobody.
    pub(crate) silent: AtomicBool,
    /// It makes no blocks.
    pub(crate) still: AtomicBool,
}

impl Chain {
    fn new(leg: u8) -> Self {
        let genesis = genesis(leg);
        let ledger = Ledger::new(Islet);
        let disk = Memory::default();
        disk.apply(&ledger.genesis(&genesis).unwrap()).unwrap();
        let inner =
            Mutex::new(Ledgered { ledger, disk, waiting: Vec::new(), receipts: BTreeMap::new() });
        Self {
            id: digest::chain_id(&genesis),
            inner,
            height: watch::Sender::new(Height::ZERO),
            silent: AtomicBool::new(false),
            still: AtomicBool::new(false),
        }
    }

    fn make_block(&self, time: UnixMillis) {
        if self.still.load(Ordering::SeqCst) {
            return;
        }
        let mut guard = self.inner.lock().unwrap();
        let Ledgered { ledger, disk, waiting, receipts } = &mut *guard;
        let taken = std::mem::take(waiting);
        let mut candidates = taken.iter().map(|(_, transaction)| transaction.clone());
        let built = ledger.build(&*disk, time, &mut candidates, &|| false).unwrap();
        disk.apply(&built.writes).unwrap();
        for outcome in built.outcomes {
            receipts.insert(outcome.id, outcome.refusal);
        }
        self.height.send_replace(built.block.header.height);
    }

    fn clock(&self) -> Clock {
        let tip = block::tip(&self.inner.lock().unwrap().disk).unwrap();
        Clock { height: tip.height, time: tip.time }
    }

    /// What a party holds free.
    pub(crate) fn balance(&self, party: u8) -> u128 {
        tombolo_islet_core::balance(&self.inner.lock().unwrap().disk, account(party), ASSET).0
    }

    /// Where the lock of a leg stands.
    pub(crate) fn standing(&self, lock: &Lock) -> Option<HashLockStanding> {
        let locker = Address(lock.locker.bytes().try_into().unwrap());
        let disk = &self.inner.lock().unwrap().disk;
        tombolo_islet_core::hash_lock(disk, lock.hash, locker).map(|lock| lock.standing)
    }

    /// All that is held, free and under hash locks.
    pub(crate) fn supply(&self) -> u128 {
        let disk = &self.inner.lock().unwrap().disk;
        let free = tombolo_islet_core::holdings(disk, Default::default(), 99);
        let locks = tombolo_islet_core::hash_locks(disk, Default::default(), 99);
        let open = locks.iter().filter(|lock| lock.standing == HashLockStanding::Open);
        free.iter().map(|it| it.amount.0).sum::<u128>() + open.map(|it| it.amount.0).sum::<u128>()
    }
}

/// A chain as one party uses it.
pub(crate) struct Door {
    chain: Arc<Chain>,
    party: u8,
    descriptor: Descriptor,
}

impl Door {
    pub(crate) fn new(chain: &Arc<Chain>, party: u8) -> Self {
        let descriptor = Descriptor {
            kind: "tombolo".into(),
            chain_id: chain.id,
            finality: Finality::Instant,
            consensus: Consensus::Bft,
            currency: None,
            privacy: Privacy::Members,
            limits: Limits {
                message_bytes_max: 1,
                batch_messages_max: 1,
                batch_bytes_max: 1,
                deliveries_max: 1,
                unfinal_max: 1,
            },
            abilities: BTreeSet::from([Ability::Hashlock]),
        };
        Self { chain: Arc::clone(chain), party, descriptor }
    }

    fn answers(&self) -> Result<(), AdapterError> {
        if self.chain.silent.load(Ordering::SeqCst) {
            let why = "it is silent".into();
            return Err(AdapterError::NoAnswer { chain: self.chain.id, doing: "asking", why });
        }
        Ok(())
    }

    async fn carry_out(&self, call: IsletCall) -> Result<TxId, AdapterError> {
        self.answers()?;
        let id = {
            let mut inner = self.chain.inner.lock().unwrap();
            let signer = identity(self.party);
            let used = Use::of(&inner.disk, signer).nonce(0);
            let mine = inner.waiting.len() as u64;
            let transaction = Transaction {
                chain_id: self.chain.id,
                signer,
                nonce_lane: 0,
                nonce: used,
                expires: block::tip(&inner.disk).unwrap().time.saturating_add(60_000),
                salt: Hash([u8::try_from(mine).unwrap(); 32]),
                call: borsh::to_vec(&Call::Own(call)).unwrap(),
            };
            let body = borsh::to_vec(&transaction).unwrap();
            let id = digest::tx_id(&body);
            let signature = key(self.party).sign(id.into());
            let signed = borsh::to_vec(&SignedTransaction { body, signature }).unwrap();
            inner.waiting.push((id, signed));
            id
        };
        let mut height = self.chain.height.subscribe();
        loop {
            if let Some(refusal) = self.chain.inner.lock().unwrap().receipts.get(&id) {
                return match refusal.clone() {
                    None => Ok(id),
                    Some(refusal) => Err(AdapterError::Refused { chain: self.chain.id, refusal }),
                };
            }
            height.changed().await.unwrap();
        }
    }
}

impl Declare for Door {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

fn address(account: &Account) -> Address {
    Address(account.bytes().try_into().unwrap())
}

#[async_trait]
impl HtlcChain for Door {
    async fn sight(&self, wanted: &Lock) -> Result<Sight, AdapterError> {
        self.answers()?;
        let locker = address(&wanted.locker);
        let held = {
            let disk = &self.chain.inner.lock().unwrap().disk;
            tombolo_islet_core::hash_lock(disk, wanted.hash, locker)
        };
        let found = held.map(|held| {
            let (standing, shown) = match held.standing {
                HashLockStanding::Open => (Standing::Funded, None),
                HashLockStanding::Claimed { secret, .. } => (Standing::Claimed, Some(secret)),
                HashLockStanding::Refunded { .. } => (Standing::Refunded, None),
            };
            let lock = Lock {
                hash: held.hash,
                chain: self.chain.id,
                asset: held.asset,
                amount: held.amount,
                locker: held.locker.into(),
                recipient: held.recipient.into(),
                deadline: Deadline::Time(held.deadline),
            };
            Found { lock, funding: Vec::new(), standing, settled: Settled::Final, shown }
        });
        Ok(Sight { clock: self.chain.clock(), found })
    }

    async fn next_block(&self, after: Height) -> Result<(), AdapterError> {
        self.answers()?;
        let mut height = self.chain.height.subscribe();
        height.wait_for(|height| *height > after).await.unwrap();
        Ok(())
    }

    async fn lock(&self, lock: &Lock, _: u32) -> Result<TxId, AdapterError> {
        let Deadline::Time(deadline) = lock.deadline else { unreachable!() };
        let (hash, asset, amount) = (lock.hash, lock.asset, lock.amount);
        let recipient = address(&lock.recipient);
        let new = NewHashLock { hash, recipient, asset, amount, deadline };
        self.carry_out(IsletCall::HashLock(new)).await
    }

    async fn claim(
        &self,
        lock: &Lock,
        secret: &Secret,
        _: &[u8],
        _: u32,
    ) -> Result<TxId, AdapterError> {
        let (hash, locker) = (lock.hash, address(&lock.locker));
        self.carry_out(IsletCall::HashClaim { hash, locker, secret: secret.0.to_vec() }).await
    }

    async fn refund(&self, lock: &Lock, _: &[u8], _: u32) -> Result<TxId, AdapterError> {
        let (hash, locker) = (lock.hash, address(&lock.locker));
        self.carry_out(IsletCall::HashRefund { hash, locker }).await
    }
}

/// What was reported: by whom, of which leg, what.
type Told = Vec<(IdentityId, u32, Said)>;

/// The hub's orders, in memory.
pub(crate) struct Book {
    entry: Mutex<Entry>,
    pub(crate) silent: AtomicBool,
}

impl Book {
    fn new(id: OrderId, terms: &Terms) -> Self {
        let entry = Entry {
            id,
            order: terms.order().clone(),
            status: "accepted".into(),
            accepted: true,
            closed: false,
            profiles: vec![PROFILE; 2],
            margins: MARGINS,
            secret: None,
            reports: Vec::new(),
        };
        Self { entry: Mutex::new(entry), silent: AtomicBool::new(false) }
    }

    pub(crate) fn told(&self) -> Told {
        self.entry.lock().unwrap().reports.clone()
    }

    pub(crate) fn set_accepted(&self, accepted: bool) {
        self.entry.lock().unwrap().accepted = accepted;
    }

    pub(crate) fn show(&self, secret: Secret) {
        self.entry.lock().unwrap().secret = Some(secret);
    }

    fn answers(&self) -> Result<(), AdapterError> {
        if self.silent.load(Ordering::SeqCst) {
            let why = "it is silent".into();
            return Err(AdapterError::NoAnswer { chain: HUB, doing: "asking", why });
        }
        Ok(())
    }
}

/// The book as one party uses it.
pub(crate) struct Desk {
    book: Arc<Book>,
    party: u8,
}

#[async_trait]
impl OrderBook for Desk {
    async fn order(&self, id: OrderId) -> Result<Option<Entry>, AdapterError> {
        self.book.answers()?;
        let entry = self.book.entry.lock().unwrap().clone();
        Ok((entry.id == id).then_some(entry))
    }

    async fn accepted(&self) -> Result<Vec<Entry>, AdapterError> {
        self.book.answers()?;
        Ok(vec![self.book.entry.lock().unwrap().clone()])
    }

    async fn report(
        &self,
        _: OrderId,
        leg: u32,
        said: Said,
        secret: Option<Secret>,
        _: TxId,
    ) -> Result<(), AdapterError> {
        self.book.answers()?;
        assert_eq!(secret.is_some(), said == Said::Claimed);
        let mut entry = self.book.entry.lock().unwrap();
        entry.secret = entry.secret.or(secret);
        entry.reports.push((identity(self.party), leg, said));
        Ok(())
    }
}

/// Everything, with blocks coming.
pub(crate) struct World {
    pub(crate) order: OrderId,
    pub(crate) terms: Terms,
    pub(crate) chains: [Arc<Chain>; 2],
    pub(crate) book: Arc<Book>,
    pub(crate) metrics: Metrics,
    begin: Instant,
    /// Ends with the world.
    _blocks: tokio::task::JoinSet<()>,
}

impl World {
    /// Both chains at their first block.
    pub(crate) fn new() -> Self {
        let begin = Instant::now();
        let chains = [0, 1].map(|leg| Arc::new(Chain::new(leg)));
        let mut blocks = tokio::task::JoinSet::new();
        for chain in &chains {
            chain.make_block(NOW);
            let chain = Arc::clone(chain);
            blocks.spawn(async move {
                loop {
                    tokio::time::sleep(BLOCK).await;
                    chain.make_block(virtual_now(begin));
                }
            });
        }
        let terms = terms_at(NOW);
        let order = digest::order(HUB, terms.order());
        let book = Arc::new(Book::new(order, &terms));
        let metrics = Metrics::default();
        Self { order, terms, chains, book, metrics, begin, _blocks: blocks }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        virtual_now(self.begin)
    }

    /// What a party's task is given.
    pub(crate) fn around(&self, party: u8) -> Surroundings {
        let begin = self.begin;
        Surroundings {
            me: identity(party),
            hub: HUB,
            book: Arc::new(Desk { book: Arc::clone(&self.book), party }),
            settings: Settings {
                answer_within: Duration::from_secs(1),
                deed_within: Duration::from_secs(3),
                look_after: Duration::from_millis(150),
                look_within: Duration::from_millis(500),
                ask_hub_after: Duration::from_secs(1),
                now: Arc::new(move || virtual_now(begin)),
            },
            metrics: self.metrics.clone(),
            reports: Reports::default(),
        }
    }

    /// Both chains as a party uses them.
    pub(crate) fn doors(&self, party: u8) -> Vec<tombolo_swap_service::Door> {
        let door = |(number, chain): (usize, &Arc<Chain>)| {
            let (name, chain) = (format!("islet {number}"), Arc::new(Door::new(chain, party)));
            tombolo_swap_service::Door { name, chain }
        };
        self.chains.iter().enumerate().map(door).collect()
    }

    /// How much each party has won on each chain.
    pub(crate) fn won(&self, party: u8) -> [i128; 2] {
        let won = |chain: &Arc<Chain>| {
            i128::try_from(chain.balance(party)).unwrap() - i128::try_from(FUNDS).unwrap()
        };
        [won(&self.chains[0]), won(&self.chains[1])]
    }

    /// Sums of assets over all chains are equal before and after.
    pub(crate) fn check_supply(&self) {
        for chain in &self.chains {
            assert_eq!(chain.supply(), 3 * FUNDS);
        }
    }
}

fn virtual_now(begin: Instant) -> UnixMillis {
    let since = u64::try_from(begin.elapsed().as_millis()).unwrap();
    NOW.saturating_add(since)
}
