//! One swap's task: look at all chains, step, write, act, report, wait.

use crate::{
    book::{Entry, OrderBook, Said},
    door::{Door, no_answer, sights},
    journal::{Journal, JournalError, Opened},
    metrics::{Metrics, outcome_name},
    report::{Reports, SwapReport},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tombolo_adapter::{AdapterError, HtlcChain};
use tombolo_swap::htlc::{
    Alarm, Effect, End, Input, Lock, Look, Outcome, Role, Settled, Standing, Swap, Terms,
};
use tombolo_types::{
    Class, Height, UnixMillis,
    id::{ChainId, IdentityId, OrderId, TxId},
    swap::Secret,
};

/// How to go about a swap. No time here decides anything; the chains' own do.
#[derive(Clone)]
pub struct Settings {
    /// How long a chain or the hub may take to answer a question.
    pub answer_within: Duration,
    /// How long a deed may take; after that it is looked whether it has happened.
    pub deed_within: Duration,
    /// Between two looks at least; well below what the margins hold for relaying news.
    pub look_after: Duration,
    /// Between two looks at most, where no block comes.
    pub look_within: Duration,
    /// Between two questions to the hub about an order that is accepted.
    pub ask_hub_after: Duration,
    /// The host's clock.
    pub now: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing is left to do.
    Over(Outcome),
    /// It was told to end; it goes on when it is started again.
    Cancelled,
}

/// What was started and may be under way once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Lock,
    Ticket,
    Claim,
    Refund,
    Report,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Ticket => "ticket",
            Self::Claim => "claim",
            Self::Refund => "refund",
            Self::Report => "report",
        }
    }
}

/// What came of it.
enum Came {
    Transaction(TxId),
    Ticket(Vec<u8>),
    Reported(Said),
}

type Done = (Kind, usize, Result<Came, AdapterError>);

/// The task of one swap.
pub struct SwapTask {
    order: OrderId,
    me: IdentityId,
    hub: ChainId,
    swap: Swap,
    since: UnixMillis,
    /// `None` while it is being written.
    journal: Option<Journal>,
    doors: Vec<Door>,
    book: Arc<dyn OrderBook>,
    settings: Settings,
    metrics: Metrics,
    reports: Reports,
    under_way: JoinSet<Done>,
    started: BTreeSet<(Kind, usize)>,
    said: BTreeMap<usize, Said>,
    transactions: BTreeMap<usize, TxId>,
    asked_hub: Option<Instant>,
}

/// What a task is given besides its swap.
#[derive(Clone)]
pub struct Surroundings {
    /// For whom the service signs.
    pub me: IdentityId,
    /// The hub.
    pub hub: ChainId,
    /// Its orders.
    pub book: Arc<dyn OrderBook>,
    /// How to go about it.
    pub settings: Settings,
    /// Where to count.
    pub metrics: Metrics,
    /// Where to say how it stands.
    pub reports: Reports,
}

impl SwapTask {
    /// A task that goes on from what its journal holds. `doors` are those of the legs' chains, in
    /// order.
    #[must_use]
    pub fn new(order: OrderId, opened: Opened, doors: Vec<Door>, around: Surroundings) -> Self {
        let Opened { journal, swap, since, torn } = opened;
        if torn {
            tracing::warn!(%order, "a torn line was cut off the journal; its state was never used");
        }
        // What was begun last may never have been done.
        let swap = swap.step((around.settings.now)(), Input::Resumed).state;
        let Surroundings { me, hub, book, settings, metrics, reports } = around;
        Self {
            order,
            me,
            hub,
            swap,
            since,
            journal: Some(journal),
            doors,
            book,
            settings,
            metrics,
            reports,
            under_way: JoinSet::new(),
            started: BTreeSet::new(),
            said: BTreeMap::new(),
            transactions: BTreeMap::new(),
            asked_hub: None,
        }
    }

    /// Runs until nothing is left to do, or cancelled; then what is under way is waited for.
    ///
    /// # Errors
    /// Where the journal cannot be written. Nothing more is done then: what is on disk is not known,
    /// and a state that may not be there must not be acted upon.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<Ended, JournalError> {
        self.metrics.began();
        let ended = self.work(&cancel).await;
        let outcome = match &ended {
            Ok(Ended::Over(outcome)) => Some(*outcome),
            Ok(Ended::Cancelled) | Err(_) => None,
        };
        self.metrics.ended(outcome);
        ended
    }

    async fn work(&mut self, cancel: &CancellationToken) -> Result<Ended, JournalError> {
        loop {
            let look = self.look().await;
            self.turn(&look).await?;
            if let Some(outcome) = self.swap.outcome() {
                self.drain().await?;
                // What was being said while the end came has kept the end from being said.
                self.report_what_is_new(&look);
                self.drain().await?;
                pay_out(&self.doors, self.swap.terms(), self.settings.deed_within).await;
                return Ok(Ended::Over(outcome));
            }
            self.wait(&look, cancel).await?;
            if cancel.is_cancelled() {
                self.drain().await?;
                return Ok(Ended::Cancelled);
            }
        }
    }

    /// What all chains say now; what gives no answer is not there.
    async fn look(&mut self) -> Look {
        self.metrics.looked();
        let within = self.settings.answer_within;
        let (sights, failures) = sights(&self.doors, self.swap.terms(), within).await;
        for (leg, error) in &failures {
            self.metrics.blind(&self.doors[*leg].name);
            self.reports.failed(self.order, error.class(), &error.to_string());
            tracing::warn!(order = %self.order, leg, %error, "a chain gives no answer");
        }
        if failures.is_empty() {
            self.reports.mended(self.order);
        }
        Look { at: (self.settings.now)(), sights }
    }

    /// Hears the hub, steps, and starts what follows.
    async fn turn(&mut self, look: &Look) -> Result<(), JournalError> {
        if let Some(entry) = self.ask_hub().await {
            if entry.accepted && !self.swap.accepted() {
                self.feed(Input::Accepted).await?;
            }
            if entry.closed && !entry.accepted {
                self.feed(Input::Closed).await?;
            }
            if let Some(secret) = entry.secret {
                self.feed(Input::Shown(secret)).await?;
            }
            let mine = entry.reports.iter().filter(|(by, _, _)| *by == self.me);
            let mine = mine.filter_map(|(_, leg, said)| Some((usize::try_from(*leg).ok()?, *said)));
            self.said.extend(mine);
        }
        self.feed(Input::Seen(look.sights.clone())).await?;
        self.report_what_is_new(look);
        let report = SwapReport::of(self.order, &self.swap, self.since, look, &self.doors);
        self.reports.put(self.order, report);
        Ok(())
    }

    /// What the hub says of the order, where it is time to ask; nothing waits for its answer.
    async fn ask_hub(&mut self) -> Option<Entry> {
        let due = match self.asked_hub {
            Some(asked) if self.swap.accepted() => asked.elapsed() >= self.settings.ask_hub_after,
            _ => true,
        };
        if !due {
            return None;
        }
        let answer = timeout(self.settings.answer_within, self.book.order(self.order)).await;
        self.asked_hub = Some(Instant::now());
        match answer {
            Ok(Ok(entry)) => entry,
            Ok(Err(error)) => {
                tracing::debug!(order = %self.order, %error, "the hub gives no answer");
                None
            }
            Err(_) => None,
        }
    }

    /// Steps. A state that is new is on disk before it is used, and before any effect of it.
    async fn feed(&mut self, input: Input) -> Result<(), JournalError> {
        let at = (self.settings.now)();
        let step = self.swap.step(at, input);
        if step.state != self.swap {
            self.write(&step.state, at).await?;
            (self.swap, self.since) = (step.state, at);
        }
        for effect in step.effects {
            self.start(effect);
        }
        Ok(())
    }

    /// Flushing blocks, so it is done off the threads that drive everything else.
    async fn write(&mut self, state: &Swap, at: UnixMillis) -> Result<(), JournalError> {
        // It is put back below in every case in which this task goes on.
        let Some(mut journal) = self.journal.take() else { return Ok(()) };
        let state = state.clone();
        let written = tokio::task::spawn_blocking(move || {
            let written = journal.append(&state, at);
            (journal, written)
        });
        let (journal, written) = joined(written.await);
        self.journal = Some(journal);
        written
    }

    fn start(&mut self, effect: Effect) {
        match effect {
            Effect::Lock { leg, attempt } => {
                self.begin(Kind::Lock, leg, attempt, move |chain, lock| async move {
                    chain.lock(&lock, attempt).await.map(Came::Transaction)
                });
            }
            Effect::Ticket { leg, funding } => {
                self.begin(Kind::Ticket, leg, 1, move |chain, lock| async move {
                    chain.ticket(&lock, &funding).await.map(Came::Ticket)
                });
            }
            Effect::Claim { leg, secret, ticket, attempt } => {
                self.begin(Kind::Claim, leg, attempt, move |chain, lock| async move {
                    let claimed = chain.claim(&lock, &secret, &ticket, attempt).await;
                    claimed.map(Came::Transaction)
                });
            }
            Effect::Refund { leg, ticket, attempt } => {
                self.begin(Kind::Refund, leg, attempt, move |chain, lock| async move {
                    chain.refund(&lock, &ticket, attempt).await.map(Came::Transaction)
                });
            }
            Effect::Alarm(Alarm::ClaimIsLate { leg, left_ms }) => {
                self.metrics.alarm("claim is late");
                tracing::error!(
                    order = %self.order, leg, left_ms,
                    "a claim is not in and half of its margin is gone; see that this chain takes it"
                );
            }
            Effect::Alarm(Alarm::Lost) => {
                self.metrics.alarm("lost");
                tracing::error!(order = %self.order, "what was locked is gone, and nothing came");
            }
            Effect::Over(outcome) => {
                let outcome = outcome_name(outcome);
                tracing::info!(order = %self.order, outcome, "the swap is over");
            }
        }
    }

    /// Starts a deed about a leg, unless the same one is under way.
    fn begin<D, F>(&mut self, kind: Kind, leg: usize, attempt: u32, deed: D)
    where
        D: FnOnce(Arc<dyn HtlcChain>, Lock) -> F,
        F: Future<Output = Result<Came, AdapterError>> + Send + 'static,
    {
        let (Some(door), Some(lock)) = (self.doors.get(leg), self.swap.terms().lock(leg)) else {
            return;
        };
        if !self.started.insert((kind, leg)) {
            return;
        }
        let (within, id) = (self.settings.deed_within, lock.chain);
        tracing::info!(order = %self.order, deed = kind.name(), leg, attempt, "begun");
        let deed = deed(Arc::clone(&door.chain), lock.clone());
        self.under_way.spawn(async move {
            let done = timeout(within, deed).await;
            let silent = |_| Err(no_answer(id, "carrying out a deed", within));
            (kind, leg, done.unwrap_or_else(silent))
        });
    }

    /// Tells the hub what is final and not said yet. It is the parties' word and nobody's proof, so
    /// nothing waits for it.
    fn report_what_is_new(&mut self, look: &Look) {
        if self.swap.role() == Role::Watcher || !self.swap.accepted() {
            return;
        }
        for leg in 0..self.doors.len() {
            let Some((said, secret)) = self.news(look, leg) else { continue };
            if self.said.get(&leg) == Some(&said) || !self.started.insert((Kind::Report, leg)) {
                continue;
            }
            let (book, order) = (Arc::clone(&self.book), self.order);
            let transaction = self.transactions.get(&leg).copied().unwrap_or(TxId::ZERO);
            let (within, hub) = (self.settings.deed_within, self.hub);
            self.under_way.spawn(async move {
                let number = u32::try_from(leg).unwrap_or(u32::MAX);
                let told = book.report(order, number, said, secret, transaction);
                let told = timeout(within, told).await;
                let told = told.unwrap_or_else(|_| Err(no_answer(hub, "reporting", within)));
                (Kind::Report, leg, told.map(|()| Came::Reported(said)))
            });
        }
    }

    fn news(&self, look: &Look, leg: usize) -> Option<(Said, Option<Secret>)> {
        if self.swap.progress().get(leg)?.end == Some(End::Never) {
            return Some((Said::Never, None));
        }
        let found = look.found(self.swap.terms(), leg)?;
        if found.settled != Settled::Final {
            return None;
        }
        Some(match found.standing {
            Standing::Funded => (Said::Locked, None),
            Standing::Claimed => (Said::Claimed, Some(found.shown?)),
            Standing::Refunded => (Said::Refunded, None),
        })
    }

    /// Takes what came of something that was started.
    async fn take(&mut self, done: Done) -> Result<(), JournalError> {
        let (kind, leg, came) = done;
        self.started.remove(&(kind, leg));
        match came {
            Ok(Came::Transaction(transaction)) => {
                self.metrics.done(kind.name(), None);
                self.transactions.insert(leg, transaction);
                tracing::info!(
                    order = %self.order, deed = kind.name(), leg, %transaction, "done"
                );
            }
            Ok(Came::Ticket(ticket)) => {
                self.metrics.done(kind.name(), None);
                self.feed(Input::Ticket { leg, ticket }).await?;
            }
            Ok(Came::Reported(said)) => {
                self.said.insert(leg, said);
            }
            // It has happened already: by an attempt before, by a watcher, or by another's word.
            Err(error) if error.class() == Class::Replay => {
                self.metrics.done(kind.name(), Some(Class::Replay));
                tracing::debug!(order = %self.order, deed = kind.name(), leg, %error, "not needed");
            }
            Err(error) => {
                self.metrics.done(kind.name(), Some(error.class()));
                if kind != Kind::Report {
                    self.reports.failed(self.order, error.class(), &error.to_string());
                    tracing::warn!(
                        order = %self.order, deed = kind.name(), leg, class = %error.class(), %error,
                        "failed; the next look says what to do"
                    );
                }
            }
        }
        Ok(())
    }

    /// Waits until there is something to look at: a block of any chain, the end of a deed, or
    /// patience. Never shorter than `look_after`, whatever comes.
    async fn wait(&mut self, look: &Look, cancel: &CancellationToken) -> Result<(), JournalError> {
        let not_before = Instant::now() + self.settings.look_after;
        // Each branch only waits; nothing is lost where another ends first.
        let done = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            Some(done) = self.under_way.join_next() => Some(done),
            () = sleep(self.settings.look_within) => None,
            () = next_block(&self.doors, look) => None,
        };
        if let Some(done) = done {
            self.take(joined(done)).await?;
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep_until(not_before) => {}
        }
        Ok(())
    }

    /// Waits for what is under way; all of it has a time limit.
    async fn drain(&mut self) -> Result<(), JournalError> {
        while let Some(done) = self.under_way.join_next().await {
            self.take(joined(done)).await?;
        }
        Ok(())
    }
}

/// A task that broke brings this one down; none is ever aborted before its end is taken.
pub(crate) fn joined<T>(ended: Result<T, JoinError>) -> T {
    ended.unwrap_or_else(|broke| std::panic::resume_unwind(broke.into_panic()))
}

/// Takes what ended locks have credited. Where that fails it stays in its chain, and is asked for
/// again when the service starts again.
pub(crate) async fn pay_out(doors: &[Door], terms: &Terms, within: Duration) {
    for (door, lock) in doors.iter().zip(terms.locks()) {
        let paid = timeout(within, door.chain.pay_out(lock)).await;
        let silent = |_| Err(no_answer(lock.chain, "paying out", within));
        if let Err(error) = paid.unwrap_or_else(silent) {
            tracing::warn!(chain = door.name, %error, "what is credited was not paid out");
        }
    }
}

/// The next block of any chain after what a look saw. A chain that cannot say waits a little.
async fn next_block(doors: &[Door], look: &Look) {
    /// The next look says what is wrong; it need not come at once.
    const SILENCE: Duration = Duration::from_secs(1);
    let mut waiting = JoinSet::new();
    for (leg, door) in doors.iter().enumerate() {
        let after = look.sight(leg).map_or(Height::ZERO, |sight| sight.clock.height);
        let chain = Arc::clone(&door.chain);
        waiting.spawn(async move {
            if chain.next_block(after).await.is_err() {
                sleep(SILENCE).await;
            }
        });
    }
    waiting.join_next().await;
}
