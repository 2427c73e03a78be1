//! One link's task: look at both ends, plan, begin what is due, wait for what is on its way and for
//! the next block of either.

use crate::{
    carry::{begin, look},
    flights::{Came, Flights, Landed},
    metrics::Metrics,
    report::Reports,
    service::Settings,
    trust::Trust,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tombolo_adapter::{AdapterError, Limits, Remedy, Sink, Source};
use tombolo_relayer_core::{Ages, End, LinkSight, Step, Turns, UnderWay, plan, under_way::Most};
use tombolo_types::{
    Class, Height,
    id::{GlobalId, LinkId},
};

/// How long another relayer may take over what waits; up to half as much again, at random, so that
/// not all of them step in at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// A chain as a relayer uses it.
pub trait Chain: Source + Sink {}

impl<C: Source + Sink> Chain for C {}

/// One end of a link.
#[derive(Clone)]
pub struct Endpoint {
    /// The name that configuration, logs and metrics use.
    pub name: String,
    /// The chain.
    pub chain: Arc<dyn Chain>,
}

/// The task of one link.
pub struct LinkTask {
    /// The link.
    pub id: LinkId,
    /// The hub.
    pub hub: Endpoint,
    /// The linked chain.
    pub chain: Endpoint,
    /// How to go about it.
    pub settings: Settings,
    /// Where to count.
    pub metrics: Metrics,
    /// Where to say how it stands.
    pub reports: Reports,
    /// Puts a span into the trace of an operation; `None` where no spans are collected.
    pub join: Option<fn(&tracing::Span, GlobalId)>,
}

impl LinkTask {
    /// One of the ends.
    #[must_use]
    pub fn end(&self, end: End) -> &Endpoint {
        match end {
            End::Hub => &self.hub,
            End::Chain => &self.chain,
        }
    }

    /// The link's name in logs and metrics: that of the linked chain.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.chain.name
    }

    /// Runs until cancelled. What stands in no block then is waited for.
    pub async fn run(self, cancel: CancellationToken) {
        let task = &self;
        let (mut course, mut flights) = (Course::of(task), Flights::default());
        while !cancel.is_cancelled() {
            match task.turn(&mut course, &mut flights).await {
                Ok(sight) => task.rest(&sight, &mut flights, &cancel).await,
                Err((end, error)) => {
                    let failures = course.failures.entry(end).or_default();
                    *failures += 1;
                    let failed = task.failed(end, &error, *failures, &cancel);
                    flights.beside(failed).await;
                }
            }
        }
        while course.under_way.any_in_no_block() {
            flights.landing().await;
            while let Some(landed) = flights.take() {
                if let Err((end, error)) = task.landed(&mut course, landed) {
                    tracing::warn!(link = task.name(), end = end.name(), %error, "lost at the end");
                }
            }
        }
    }

    /// Takes note of what has ended, looks once, and begins what is due.
    async fn turn<'t>(
        &'t self,
        course: &mut Course,
        flights: &mut Flights<'t>,
    ) -> Result<LinkSight, (End, AdapterError)> {
        // Before the look, which then shows what they did.
        while let Some(landed) = flights.take() {
            self.landed(course, landed)?;
        }
        let (sight, hub, chain) = flights.beside(look(self, &mut course.trust)).await?;
        let mut shown = false;
        loop {
            let now = crate::service::now();
            let steps = plan(&sight, &self.settings.pace, &mut course.ages, now);
            let steps = course.turns.ours(&sight, steps, now);
            if !shown {
                self.metrics.seen(self.name(), &sight);
                self.reports.seen(self, &sight, &steps, &course.turns);
                shown = true;
            }
            let steps = course.under_way.beside(steps, &self.settings.pace, now);
            let (mut any, mut result) = (false, Ok(()));
            for step in &steps {
                let (to, from) = match step {
                    Step::UpdateClient { at: End::Hub, .. }
                    | Step::Deliver { to: End::Hub, .. } => (End::Hub, &chain),
                    Step::UpdateClient { .. } | Step::Deliver { .. } => (End::Chain, &hub),
                    Step::Blocked { .. } => continue,
                };
                let begun = begin(self, to, step, from, &sight, course);
                match flights.beside(begun).await {
                    Ok(None) => {}
                    Ok(Some(flight)) => {
                        flights.begin(flight);
                        any = true;
                    }
                    // The two ends are independent: what fails at one goes on at the other.
                    Err(error) => {
                        course.under_way.failed(to);
                        result = result.and(self.lost(course, to, error));
                    }
                }
            }
            result?;
            // Another may follow at once, from the same sight.
            if !any {
                course.at_rest();
                return Ok(sight);
            }
        }
    }

    /// Takes note of how far something has come.
    fn landed(&self, course: &mut Course, landed: Landed) -> Result<(), (End, AdapterError)> {
        let Landed { end, what, came } = landed;
        match came {
            Came::IntoBlock => course.under_way.in_block(end, what),
            Came::ToItsEnd(Ok(())) => course.under_way.ended(end, what, true),
            Came::ToItsEnd(Err(error)) => {
                course.under_way.ended(end, what, false);
                return self.lost(course, end, error);
            }
        }
        course.failures.remove(&end);
        Ok(())
    }

    /// What did not count: passed over where another relayer was faster, else given back.
    fn lost(
        &self,
        course: &mut Course,
        end: End,
        error: AdapterError,
    ) -> Result<(), (End, AdapterError)> {
        if error.class() != Class::Replay {
            course.turns.lost(end);
            return Err((end, error));
        }
        tracing::debug!(link = self.name(), end = end.name(), %error, "step not needed");
        self.metrics.refused(self.name(), error.class());
        course.turns.overtaken(end);
        Ok(())
    }

    /// Waits until something has ended, either end has a new block, or the next acknowledgement is
    /// due.
    async fn rest(&self, sight: &LinkSight, flights: &mut Flights<'_>, cancel: &CancellationToken) {
        let pause = Duration::from_millis(self.settings.pace.acknowledge_after_ms.max(50));
        // Each branch only waits; nothing is lost where another ends first.
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
            () = flights.landing() => {}
            () = self.next_block(End::Hub, sight.hub.height) => {}
            () = self.next_block(End::Chain, sight.chain.height) => {}
        }
    }

    async fn next_block(&self, end: End, after: Height) {
        if self.end(end).chain.next_head(after).await.is_err() {
            // The next look says what is wrong, and waits as failures do.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn failed(
        &self,
        end: End,
        error: &AdapterError,
        failures: u32,
        cancel: &CancellationToken,
    ) {
        let chance = u64::from_ne_bytes(crate::service::random());
        let mut wait = Duration::from_millis(self.settings.backoff.wait_ms(failures, chance));
        if let Remedy::Retry { after } = error.remedy() {
            wait = wait.max(after.min(wait.saturating_mul(2)));
        }
        self.metrics.failed(self.name(), error.class());
        self.reports.failed(self, end, error, failures);
        if self.settings.backoff.is_alarming(failures) || error.remedy() == Remedy::AskOperator {
            tracing::error!(
                link = self.name(), end = end.name(), class = %error.class(), failures, %error,
                "link is stuck; an operator must look"
            );
        } else {
            tracing::warn!(
                link = self.name(), end = end.name(), class = %error.class(), failures, %error,
                wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "step failed; trying again"
            );
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// What the task of a link remembers from turn to turn. Nothing of it is missed after a restart.
pub(crate) struct Course {
    ages: Ages,
    trust: Trust,
    pub(crate) turns: Turns,
    pub(crate) under_way: UnderWay,
    /// Failures in a row.
    failures: BTreeMap<End, u32>,
}

impl Course {
    fn of(task: &LinkTask) -> Self {
        let [chance, ..] = crate::service::random();
        let patience = PATIENCE + PATIENCE.mul_f64(f64::from(chance) / 510.0);
        let most = |end: &Endpoint| {
            let Limits { deliveries_max, unfinal_max, .. } = end.chain.descriptor().limits;
            Most { in_no_block: deliveries_max, not_final: unfinal_max }
        };
        Self {
            ages: Ages::new(),
            trust: Trust::default(),
            turns: Turns::new(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX)),
            under_way: UnderWay::new(most(&task.hub), most(&task.chain)),
            failures: BTreeMap::new(),
        }
    }

    /// Nothing is due: an end to which nothing is under way has no failure behind it.
    fn at_rest(&mut self) {
        self.failures.retain(|end, _| self.under_way.any(*end));
    }
}
