//! A closed loop: as much work under way as agreed, each piece timed from its submission until it
//! is seen finished in the audit logs.

use super::{evm::ChainUse, machine::Usage};
use crate::{
    party::{Ledger, Party},
    setup::{PATIENCE, Running},
};
use anyhow::Context as _;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_stream::StreamExt as _;
use tombolo_islet::signer::Signer;
use tombolo_ledger::{Call, block::global_id};
use tombolo_types::{
    Class,
    id::{GlobalId, TxId},
    record::Record,
    transaction::NONCE_LANES,
};

/// How long to wait where a door is full.
const DOOR_FULL_WAIT: Duration = Duration::from_millis(20);
/// Records that are read at a time.
const RECORDS_AT_ONCE: u32 = 500;

/// What is to be measured.
pub(super) struct Load {
    /// What it is called.
    pub(super) what: &'static str,
    /// How many.
    pub(super) count: u32,
    /// How many at a time.
    pub(super) in_flight: u32,
    /// How long at most.
    pub(super) within: Duration,
}

/// What was measured.
pub(super) struct Measured {
    pub(super) what: &'static str,
    pub(super) asked: u32,
    pub(super) in_flight: u32,
    /// From the first submission to the last end that was seen.
    pub(super) took: Duration,
    /// Of each piece that finished, ascending.
    pub(super) latencies: Vec<Duration>,
    /// What each process used meanwhile.
    pub(super) usage: Vec<Usage>,
    /// How many blocks each ledger made meanwhile.
    pub(super) blocks: Vec<(String, u64)>,
    /// What a chain beside the islets did meanwhile, where one took part.
    pub(super) chain: Option<ChainUse>,
}

impl Measured {
    /// How many finished.
    pub(super) fn finished(&self) -> usize {
        self.latencies.len()
    }

    /// The latency below which `percent` of all lie; zero where none finished.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        percentile(&self.latencies, percent)
    }

    /// How many finished in a second.
    pub(super) fn per_second(&self) -> f64 {
        let seconds = self.took.as_secs_f64();
        if seconds > 0.0 { self.finished() as f64 / seconds } else { 0.0 }
    }
}

/// That of the ascending durations below which `percent` of all lie, by nearest rank; zero where
/// there is none.
pub(super) fn percentile(ascending: &[Duration], percent: usize) -> Duration {
    let rank = (ascending.len() * percent).div_ceil(100);
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// What is under way. Cheap to clone.
#[derive(Clone)]
pub(super) struct Flights(Arc<Inner>);

struct Inner {
    /// One permit for each piece that may still be submitted now.
    room: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: BTreeMap<GlobalId, Flight>,
    latencies: Vec<Duration>,
    last: Option<Instant>,
    failure: Option<String>,
}

struct Flight {
    submitted: Instant,
    /// One bit for each sight that is awaited.
    awaited: u8,
}

impl Flights {
    fn new(in_flight: u32) -> Self {
        let room = Semaphore::new(usize::try_from(in_flight).unwrap_or(Semaphore::MAX_PERMITS));
        Self(Arc::new(Inner { room, state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room.
    pub(super) async fn take_room(&self, permits: u32) -> anyhow::Result<()> {
        match self.0.room.acquire_many(permits).await {
            Ok(permit) => {
                permit.forget();
                Ok(())
            }
            Err(_) => anyhow::bail!(self.state().failure.clone().unwrap_or_default()),
        }
    }

    /// Counts a piece from now on, until all of what is `awaited` of it was seen.
    pub(super) fn submitted(&self, id: GlobalId, awaited: u8) {
        self.state().open.insert(id, Flight { submitted: Instant::now(), awaited });
    }

    /// Gives all room free and forgets what was counted so far.
    fn begin(&self, in_flight: u32) {
        self.state().latencies.clear();
        self.0.room.add_permits(usize::try_from(in_flight).unwrap_or(0));
    }

    /// Marks one of the awaited sights; with the last of them the piece is finished.
    pub(super) fn seen(&self, id: GlobalId, sight: u8) {
        let now = Instant::now();
        let mut state = self.state();
        let Some(flight) = state.open.get_mut(&id) else { return };
        flight.awaited &= !sight;
        if flight.awaited > 0 {
            return;
        }
        let latency = now.duration_since(flight.submitted);
        state.open.remove(&id);
        state.latencies.push(latency);
        state.last = Some(now);
        self.0.room.add_permits(1);
    }

    /// Ends the measurement: what was refused is not what was to be measured.
    pub(super) fn fail(&self, why: String) {
        self.state().failure.get_or_insert(why);
        self.0.room.close();
    }

    /// Whether this operation is under way here.
    pub(super) fn is_open(&self, id: GlobalId) -> bool {
        self.state().open.contains_key(&id)
    }
}

/// One call, and what its operation is known by where that is not its transaction.
pub(super) struct Piece<C> {
    pub(super) call: C,
    pub(super) known_as: Option<GlobalId>,
}

/// Who submits what, and on which ledger.
pub(super) struct Source<'r, M> {
    pub(super) ledger: &'r Ledger,
    pub(super) party: &'r Party,
    /// The sights that finish a piece, one bit each.
    pub(super) awaited: u8,
    /// Makes one call.
    pub(super) make: M,
}

impl<M> Source<'_, M> {
    fn submitter(&self, flights: &Flights, nonce_lane: u8) -> Submitter {
        Submitter {
            flights: flights.clone(),
            ledger: self.ledger.clone(),
            signer: Signer::first_key(self.party.key().clone(), nonce_lane),
            awaited: self.awaited,
        }
    }
}

/// Runs a load that a party submits to a ledger, to its end or to the end of its time.
///
/// `see` is shown every new record of the ledgers that are `watched`, with the ledger's number.
pub(super) async fn run<C, M>(
    running: &Running,
    load: &Load,
    source: Source<'_, M>,
    watched: &[&Ledger],
    see: impl Fn(&Flights, usize, &Record) + Clone + Send + Sync + 'static,
) -> anyhow::Result<Measured>
where
    C: borsh::BorshSerialize + Send + 'static,
    M: Fn(u32) -> anyhow::Result<Piece<C>> + Clone + Send + 'static,
{
    let first = async |flights: &Flights| first_piece(flights, load, &source).await;
    let all = async |flights: &Flights| submit_all(flights, load, &source).await;
    run_with(running, load, watched, see, first, all).await
}

/// Runs a load that is made by `all`, each piece within the room that [`Flights`] gives, after
/// `first` has sent one that is not counted.
pub(super) async fn run_with(
    running: &Running,
    load: &Load,
    watched: &[&Ledger],
    see: impl Fn(&Flights, usize, &Record) + Clone + Send + Sync + 'static,
    first: impl AsyncFnOnce(&Flights) -> anyhow::Result<()>,
    all: impl AsyncFnOnce(&Flights) -> anyhow::Result<()>,
) -> anyhow::Result<Measured> {
    let flights = Flights::new(load.in_flight);
    let mut followers = JoinSet::new();
    for (number, ledger) in watched.iter().copied().cloned().enumerate() {
        let from = ledger.client.records(0, 1).await?.log_size;
        let (flights, see) = (flights.clone(), see.clone());
        followers.spawn(async move {
            let see = |record: &Record, _| see(&flights, number, record);
            if let Err(error) = follow(&ledger, from, see).await {
                flights.fail(format!("{error:#}"));
            }
        });
    }
    warm_up(&flights, load, first).await.context("sending a first piece alone")?;
    let (heights, usage) = (heights(running).await?, Usage::read(running));
    eprintln!("measuring {} {}, {} at a time", load.count, load.what, load.in_flight);
    let started = Instant::now();
    // What is not finished in time is left; what is finished counts.
    let ended = tokio::time::timeout(load.within, async {
        all(&flights).await?;
        // All room is free again once all is finished.
        flights.take_room(load.in_flight).await
    })
    .await;
    ended.unwrap_or(Ok(()))?;
    followers.shutdown().await;
    let usage = Usage::since(running, &usage);
    let blocks = self::heights(running)
        .await?
        .into_iter()
        .zip(heights)
        .map(|((name, now), (_, before))| (name, now.saturating_sub(before)))
        .collect();
    let mut state = flights.state();
    let mut latencies = std::mem::take(&mut state.latencies);
    latencies.sort_unstable();
    let took = state.last.map_or(Duration::ZERO, |last| last.duration_since(started));
    anyhow::ensure!(
        !latencies.is_empty(),
        "none of {} {} was finished within {:?}; `--home` keeps the logs of all parts to look at",
        load.count,
        load.what,
        load.within
    );
    Ok(Measured {
        what: load.what,
        asked: load.count,
        in_flight: load.in_flight,
        took,
        latencies,
        usage,
        blocks,
        chain: None,
    })
}

/// Sends one piece that is not counted: connections are made, and a load of which nothing would
/// pass is found out before it is measured.
async fn warm_up(
    flights: &Flights,
    load: &Load,
    first: impl AsyncFnOnce(&Flights) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    first(flights).await?;
    // A chain may take minutes until it is final.
    tokio::time::timeout(load.within.max(PATIENCE), flights.take_room(load.in_flight))
        .await
        .context("it is not finished")??;
    flights.begin(load.in_flight);
    Ok(())
}

/// Submits one piece, the one after all that are counted.
async fn first_piece<C, M>(
    flights: &Flights,
    load: &Load,
    source: &Source<'_, M>,
) -> anyhow::Result<()>
where
    C: borsh::BorshSerialize + Send + 'static,
    M: Fn(u32) -> anyhow::Result<Piece<C>>,
{
    let nonces = source.ledger.client.nonces(source.party.identity()).await?;
    let submitter = source.submitter(flights, 0);
    let piece = std::iter::once((source.make)(load.count));
    let id = submitter.submit(nonces.first().copied().unwrap_or(0), piece).await?;
    let ended = source.ledger.wait_for(id).await?;
    match ended.refusal {
        Some(refusal) => Err(refusal.into()),
        None => Ok(()),
    }
}

/// Submits everything over all series of nonces side by side.
async fn submit_all<C, M>(
    flights: &Flights,
    load: &Load,
    source: &Source<'_, M>,
) -> anyhow::Result<()>
where
    C: borsh::BorshSerialize + Send + 'static,
    M: Fn(u32) -> anyhow::Result<Piece<C>> + Clone + Send + 'static,
{
    let nonces = source.ledger.client.nonces(source.party.identity()).await?;
    let mut submitters = JoinSet::new();
    for (lane, nonce) in (0..NONCE_LANES).zip(nonces) {
        let submitter = source.submitter(flights, lane);
        let numbers = (0..load.count).skip(usize::from(lane)).step_by(usize::from(NONCE_LANES));
        let make = source.make.clone();
        submitters.spawn(async move { submitter.submit(nonce, numbers.map(make)).await });
    }
    while let Some(ended) = submitters.join_next().await {
        ended.context("a submitting task broke")??;
    }
    Ok(())
}

/// Submits on one series of nonces.
struct Submitter {
    flights: Flights,
    ledger: Ledger,
    signer: Signer,
    awaited: u8,
}

impl Submitter {
    /// Submits one call after the other; gives the id of the last.
    async fn submit<C: borsh::BorshSerialize>(
        &self,
        mut nonce: u64,
        pieces: impl Iterator<Item = anyhow::Result<Piece<C>>>,
    ) -> anyhow::Result<TxId> {
        let mut last = TxId::ZERO;
        for piece in pieces {
            self.flights.take_room(1).await?;
            let Piece { call, known_as } = piece?;
            let call = borsh::to_vec(&Call::Own(call)).context("encoding a call")?;
            let (id, transaction) = self.signer.sign(self.ledger.chain, nonce, call);
            // Before it is handed over: it may be final before the door has answered.
            self.flights.submitted(known_as.unwrap_or_else(|| global_id(id)), self.awaited);
            self.hand_over(transaction).await?;
            nonce += 1;
            last = id;
        }
        Ok(last)
    }

    /// Waits as long as the door is full; the time limit of the whole load bounds this.
    async fn hand_over(&self, transaction: Vec<u8>) -> anyhow::Result<()> {
        loop {
            match self.ledger.client.submit(transaction.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if error.class() == Class::Limit => {
                    tokio::time::sleep(DOOR_FULL_WAIT).await;
                }
                Err(error) => return Err(error).context("submitting"),
            }
        }
    }
}

/// Shows every record from a position on, as blocks become final, with the moment when this process
/// heard of its block.
pub(super) async fn follow(
    ledger: &Ledger,
    from: u64,
    see: impl Fn(&Record, Instant),
) -> anyhow::Result<()> {
    let mut next = from;
    let mut blocks = ledger.client.watch(None).await?;
    while let Some(block) = blocks.next().await {
        let size = block.with_context(|| format!("watching {}", ledger.name))?.log_size;
        let heard = Instant::now();
        while next < size {
            let page = ledger.client.records(next, RECORDS_AT_ONCE).await?;
            let Some((last, _)) = page.records.last() else { break };
            next = last + 1;
            page.records.iter().for_each(|(_, salted)| see(&salted.record, heard));
        }
    }
    anyhow::bail!("{} ended its stream of blocks", ledger.name)
}

async fn heights(running: &Running) -> anyhow::Result<Vec<(String, u64)>> {
    let mut heights = Vec::new();
    for ledger in [&running.hub, &running.seattle, &running.mauna_loa] {
        let status = ledger.client.status().await?;
        heights.push((ledger.name.clone(), status.height.0));
    }
    Ok(heights)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(latencies: &[u64]) -> Measured {
        Measured {
            what: "shares",
            asked: 9,
            in_flight: 1,
            took: Duration::from_secs(2),
            latencies: latencies.iter().map(|ms| Duration::from_millis(*ms)).collect(),
            usage: Vec::new(),
            blocks: Vec::new(),
            chain: None,
        }
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (latencies, percent, ms) in [
            (&[][..], 50, 0),
            (&[7], 50, 7),
            (&[7], 99, 7),
            (&[1, 2, 3], 50, 2),
            (&hundred, 99, 99),
        ] {
            assert_eq!(measured(latencies).percentile(percent), Duration::from_millis(ms));
        }
        assert!((measured(&[1, 2, 3]).per_second() - 1.5).abs() < 1e-9);
    }

    #[tokio::test]
    async fn a_piece_is_finished_with_its_last_sight_and_makes_room() {
        let (flights, id) = (Flights::new(1), GlobalId([1; 32]));
        flights.take_room(1).await.unwrap();
        flights.submitted(id, 0b11);
        flights.seen(id, 0b01);
        flights.seen(id, 0b01);
        assert!(flights.is_open(id));
        flights.seen(id, 0b10);
        assert!(!flights.is_open(id));
        flights.take_room(1).await.unwrap();
        flights.seen(id, 0b10);
        assert_eq!(flights.state().latencies.len(), 1);
    }

    #[tokio::test]
    async fn a_failure_ends_the_wait_for_room_with_its_reason() {
        let flights = Flights::new(1);
        flights.take_room(1).await.unwrap();
        flights.fail("first".into());
        flights.fail("second".into());
        assert_eq!(flights.take_room(1).await.unwrap_err().to_string(), "first");
    }
}
