//! One link's task: look at both ends, plan, carry, wait for the next block of either.

use crate::{
    carry::{Brought, Carried, carry, look},
    metrics::Metrics,
    report::Reports,
    service::Settings,
    trust::Trust,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tombolo_adapter::{AdapterError, Remedy, Sink, Source};
use tombolo_relayer_core::{Ages, End, LinkSight, Step, Turns, plan};
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

    /// Runs until cancelled. A step that is under way is finished first.
    pub async fn run(self, cancel: CancellationToken) {
        let (mut ages, mut trust) = (Ages::new(), Trust::default());
        let [chance, ..] = crate::service::random();
        let patience = PATIENCE + PATIENCE.mul_f64(f64::from(chance) / 510.0);
        let mut turns = Turns::new(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
        let mut failures = 0;
        while !cancel.is_cancelled() {
            match self.turn(&mut ages, &mut turns, &mut trust).await {
                Ok(Turn { sight, carried }) => {
                    failures = 0;
                    if !carried {
                        self.rest(&sight, &cancel).await;
                    }
                }
                Err((end, error)) => {
                    failures += 1;
                    self.failed(end, &error, failures, &cancel).await;
                }
            }
        }
    }

    /// Looks once and carries what is due.
    async fn turn(
        &self,
        ages: &mut Ages,
        turns: &mut Turns,
        trust: &mut Trust,
    ) -> Result<Turn, (End, AdapterError)> {
        let (sight, hub, chain) = look(self, trust).await?;
        let now = crate::service::now();
        let steps = plan(&sight, &self.settings.pace, ages, now);
        let steps = turns.ours(&sight, steps, now);
        self.metrics.seen(self.name(), &sight);
        self.reports.seen(self, &sight, &steps, turns);
        let mut carried = false;
        let (mut to_hub, mut to_chain) = (Vec::new(), Vec::new());
        for step in &steps {
            match step {
                Step::UpdateClient { at: End::Hub, .. } | Step::Deliver { to: End::Hub, .. } => {
                    to_hub.push(step);
                }
                Step::UpdateClient { .. } | Step::Deliver { .. } => to_chain.push(step),
                Step::Blocked { .. } => {}
            }
        }
        // The two ends are independent: what fails at one goes on at the other.
        let (one, other) = tokio::join!(
            carry(self, End::Hub, &to_hub, &chain, &sight),
            carry(self, End::Chain, &to_chain, &hub, &sight),
        );
        for (end, Carried { count, brought, result }) in [(End::Hub, one), (End::Chain, other)] {
            carried |= count > 0;
            for Brought { lane, upto, heard } in brought {
                turns.brought(end, lane, upto, heard);
            }
            match result {
                Ok(()) => {}
                Err(error) if error.class() == Class::Replay => {
                    // Another relayer was faster: look again.
                    tracing::debug!(link = self.name(), end = end.name(), %error, "step not needed");
                    self.metrics.refused(self.name(), error.class());
                    turns.overtaken(end);
                    carried = true;
                    tokio::time::sleep(jitter(Duration::from_millis(20))).await;
                }
                Err(error) => return Err((end, error)),
            }
        }
        Ok(Turn { sight, carried })
    }

    /// Waits until either end has a new block, or the next acknowledgement is due.
    async fn rest(&self, sight: &LinkSight, cancel: &CancellationToken) {
        let pause = Duration::from_millis(self.settings.pace.acknowledge_after_ms.max(50));
        // Each branch only waits; nothing is lost where another ends first.
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
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

struct Turn {
    sight: LinkSight,
    carried: bool,
}

/// Up to twice `base`, at random: two relayers that met once shall not meet again.
fn jitter(base: Duration) -> Duration {
    let [chance, ..] = crate::service::random();
    base + base.mul_f64(f64::from(chance) / 255.0)
}
