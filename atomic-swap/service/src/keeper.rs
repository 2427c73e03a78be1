//! Runs the task of every swap whose journal lies in a folder, and takes on what comes.

use crate::{
    door::Doors,
    home::Home,
    journal::JournalError,
    task::{Ended, Surroundings, SwapTask, joined},
};
use std::{collections::BTreeSet, io, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tombolo_swap::htlc::Role;
use tombolo_types::{Class, id::OrderId};

/// Between two looks into the folder. Another process writes there when a person makes or accepts
/// an offer; short against everything that the margins allow for.
const FOLDER_AFTER: Duration = Duration::from_millis(500);

/// Whether to act also for those who are absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// Only for swaps that this party has offered or accepted here.
    #[default]
    Own,
    /// For every order that the hub says is accepted.
    All,
}

/// The tasks of all swaps of one folder.
pub struct Keeper {
    home: Home,
    doors: Doors,
    around: Surroundings,
    watch: Watch,
    known: BTreeSet<OrderId>,
    asked_hub: Option<Instant>,
    tasks: JoinSet<(OrderId, Result<Ended, JournalError>)>,
}

impl Keeper {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(home: Home, doors: Doors, around: Surroundings, watch: Watch) -> Self {
        let (known, tasks) = (BTreeSet::new(), JoinSet::new());
        Self { home, doors, around, watch, known, asked_hub: None, tasks }
    }

    /// Runs until cancelled; then every task finishes what is under way. One swap that cannot go on
    /// stops no other.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub async fn run(mut self, cancel: CancellationToken) -> io::Result<()> {
        while !cancel.is_cancelled() {
            if self.watch == Watch::All {
                self.take_on_accepted().await;
            }
            for order in self.home.orders()? {
                if self.known.insert(order) {
                    self.begin(order, &cancel);
                }
            }
            // Each branch only waits.
            tokio::select! {
                () = cancel.cancelled() => {}
                () = sleep(FOLDER_AFTER) => {}
                Some(ended) = self.tasks.join_next() => self.ended(joined(ended)),
            }
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(joined(ended));
        }
        Ok(())
    }

    fn begin(&mut self, order: OrderId, cancel: &CancellationToken) {
        let opened = match self.home.open(order) {
            Ok(opened) => opened,
            // A person's command has it for a moment.
            Err(JournalError::InUse { .. }) => {
                self.known.remove(&order);
                return;
            }
            Err(error) => return self.stuck(order, error.class(), &error.to_string()),
        };
        // One that is over has its last look: a crash may have kept its end from being told, and what
        // is credited from being paid out.
        match self.doors.of(opened.swap.terms()) {
            Ok(doors) => {
                let task = SwapTask::new(order, opened, doors, self.around.clone());
                let cancel = cancel.child_token();
                self.tasks.spawn(async move { (order, task.run(cancel).await) });
            }
            Err(refusal) => self.stuck(order, refusal.class, &refusal.message),
        }
    }

    fn ended(&self, (order, ended): (OrderId, Result<Ended, JournalError>)) {
        if let Err(error) = ended {
            self.stuck(order, error.class(), &error.to_string());
        }
    }

    fn stuck(&self, order: OrderId, class: Class, why: &str) {
        self.around.metrics.alarm("stuck");
        self.around.reports.failed(order, class, why);
        tracing::error!(%order, %class, why, "a swap cannot go on; mend it and start again");
    }

    /// Begins to watch over what the hub says is accepted.
    async fn take_on_accepted(&mut self) {
        let settings = &self.around.settings;
        if self.asked_hub.is_some_and(|asked| asked.elapsed() < settings.ask_hub_after) {
            return;
        }
        self.asked_hub = Some(Instant::now());
        let entries = match timeout(settings.answer_within, self.around.book.accepted()).await {
            Ok(Ok(entries)) => entries,
            Ok(Err(error)) => return tracing::warn!(%error, "the hub gives no answer"),
            Err(_) => return tracing::warn!("the hub gives no answer in time"),
        };
        for entry in entries {
            if self.known.contains(&entry.id) {
                continue;
            }
            let swap = entry.open(Role::Watcher, None);
            let swap = swap.and_then(|swap| self.doors.of(swap.terms()).map(|_| swap));
            let Ok(swap) = swap else { continue };
            // Another process may have begun it since: then there is nothing to do.
            match self.home.create(entry.id, &swap, (settings.now)()) {
                Ok(_) => tracing::info!(order = %entry.id, "watching over a swap"),
                Err(error) => tracing::debug!(order = %entry.id, %error, "not taken on"),
            }
        }
    }
}
