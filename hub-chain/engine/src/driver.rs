//! The task that answers consensus: one message at a time, every one of them, and at once. Blocks
//! are paced by the target time of a height, never by holding an answer back.

use arc_malachitebft_app_channel::{
    AppMsg, NetworkMsg, Reply,
    app::{
        consensus::MisbehaviorEvidence,
        engine::host::Next,
        types::{
            LocallyProposedValue,
            core::{CommitCertificate, Round},
        },
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tombolo_types::Height;

use crate::{
    application::Fatal,
    context::{Context, Level},
    desk::Desk,
    ledger::Ledger,
    metrics::Shared,
    parts::{Assembled, Streams},
};

/// Of the time within which a proposal is due, the part that building it may take; the others
/// must execute it in what remains.
const BUILD_SHARE: u32 = 4;

/// The state of the task.
pub(crate) struct Driver {
    ledger: Ledger,
    shared: Arc<Shared>,
    network: mpsc::Sender<NetworkMsg<Context>>,
    streams: Streams,
    /// How many streams this node has begun; tells repetitions apart.
    streamed: u32,
    /// The decided height whose block is not here.
    missing: Option<Level>,
}

/// Consensus ended while it was owed an answer, or no longer takes parts.
fn consensus_ended() -> Fatal {
    Fatal::new("the consensus engine ended unasked; its own log says why")
}

fn answer<T>(reply: Reply<T>, value: T) -> Result<(), Fatal> {
    reply.send(value).map_err(|_| consensus_ended())
}

impl Driver {
    pub(crate) fn new(
        ledger: Ledger,
        shared: Arc<Shared>,
        network: mpsc::Sender<NetworkMsg<Context>>,
    ) -> Self {
        Self { ledger, shared, network, streams: Streams::default(), streamed: 0, missing: None }
    }

    /// Answers until consensus ends or the ledger fails.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<AppMsg<Context>>) -> Fatal {
        while let Some(message) = inbox.recv().await {
            if let Err(fatal) = self.handle(message).await {
                return fatal;
            }
        }
        consensus_ended()
    }

    async fn handle(&mut self, message: AppMsg<Context>) -> Result<(), Fatal> {
        match message {
            AppMsg::ConsensusReady { reply } => {
                let start = self.ledger.call(|desk| desk.next_height()).await?;
                answer(reply, start)
            }
            AppMsg::StartedRound { height, round, reply_value, .. } => {
                self.shared.set_round(round.as_u32().unwrap_or(0));
                let height = Height::from(height);
                let values = self.ledger.call(move |desk| desk.started_round(height)).await?;
                answer(reply_value, values)
            }
            AppMsg::GetValue { height, round, timeout, reply } => {
                self.propose(height, round, timeout, reply).await
            }
            AppMsg::ReceivedProposalPart { from, published_by, part, reply } => {
                let assembled = self.streams.insert(from, published_by, part);
                self.shared.set_streams_dropped(self.streams.dropped());
                let value = match assembled {
                    Some(assembled) => {
                        self.ledger.call(move |desk| desk.receive(assembled)).await?
                    }
                    None => None,
                };
                answer(reply, value)
            }
            AppMsg::RestreamProposal { value_id, .. } => {
                let assembled = self.ledger.call(move |desk| Ok(desk.restream(value_id))).await?;
                self.publish(assembled).await
            }
            AppMsg::Decided { certificate, reply, .. } => self.decided(certificate, reply).await,
            AppMsg::Finalized { certificate, evidence, reply, .. } => {
                self.count(&evidence);
                self.finalized(certificate.height, reply).await
            }
            AppMsg::GetDecidedValues { range, reply } => {
                let values = self.ledger.call(move |desk| desk.history(&range)).await?;
                answer(reply, values)
            }
            AppMsg::GetHistoryMinHeight { reply } => {
                let height = self.ledger.call(|desk| Ok(desk.history_min())).await?;
                answer(reply, height)
            }
            AppMsg::ProcessSyncedValue { height, round, proposer, value_bytes, reply } => {
                let height = Height::from(height);
                let judged =
                    move |desk: &mut Desk| desk.synced(height, round, proposer, &value_bytes);
                let outcome = self.ledger.call(judged).await?;
                answer(reply, outcome)
            }
            // Extensions are disabled at every height, so neither of these is asked.
            AppMsg::ExtendVote { reply, .. } => answer(reply, None),
            AppMsg::VerifyVoteExtensions { reply, .. } => answer(reply, Vec::new()),
        }
    }

    async fn propose(
        &mut self,
        height: Level,
        round: Round,
        timeout: Duration,
        reply: Reply<LocallyProposedValue<Context>>,
    ) -> Result<(), Fatal> {
        let deadline = Instant::now() + timeout / BUILD_SHARE;
        let number = round.as_u32().ok_or_else(|| Fatal::new("a proposal in no round"))?;
        let built = move |desk: &mut Desk| desk.propose(height.into(), number, deadline);
        let (value, assembled) = self.ledger.call(built).await?;
        answer(reply, LocallyProposedValue::new(height, round, value))?;
        self.publish(assembled).await
    }

    /// Streams a block to the peers.
    async fn publish(&mut self, assembled: Option<Assembled>) -> Result<(), Fatal> {
        let Some(assembled) = assembled else { return Ok(()) };
        self.streamed = self.streamed.wrapping_add(1);
        for message in assembled.split(self.streamed) {
            let sent = self.network.send(NetworkMsg::PublishProposalPart(message)).await;
            sent.map_err(|_| consensus_ended())?;
        }
        Ok(())
    }

    async fn decided(
        &mut self,
        certificate: CommitCertificate<Context>,
        reply: Reply<()>,
    ) -> Result<(), Fatal> {
        let height = certificate.height;
        if self.ledger.call(move |desk| desk.decide(&certificate)).await? {
            return answer(reply, ());
        }
        // Not acknowledged, so peers do not take us to have it.
        self.missing = Some(height);
        Ok(())
    }

    async fn finalized(&mut self, height: Level, reply: Reply<Next<Context>>) -> Result<(), Fatal> {
        let (next, params) = self.ledger.call(|desk| desk.next_height()).await?;
        let step = if self.missing.take() == Some(height) {
            Next::Restart(height, params)
        } else {
            Next::Start(next, params)
        };
        answer(reply, step)
    }

    fn count(&self, evidence: &MisbehaviorEvidence<Context>) {
        if evidence.is_empty() {
            return;
        }
        let votes = evidence.votes.iter().map(|(address, pairs)| (address, pairs.len()));
        let proposals = evidence.proposals.iter().map(|(address, pairs)| (address, pairs.len()));
        for (address, pairs) in votes.chain(proposals) {
            tracing::error!(validator = %address, pairs, "validator signed twice");
            self.shared.count_evidence(pairs);
        }
    }
}

#[cfg(test)]
mod tests;
