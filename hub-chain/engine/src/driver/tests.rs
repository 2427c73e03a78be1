//! Tests of the answers to consensus, message by message.

use super::*;
use crate::desk::tests::{Bench, bench};
use arc_malachitebft_app_channel::app::types::{
    Keypair, PeerId,
    core::{HeightParams, VoteExtensions},
};
use std::collections::BTreeMap;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tombolo_types::id::BlockId;

struct Setup {
    _folder: TempDir,
    inbox: mpsc::Sender<AppMsg<Context>>,
    network: mpsc::Receiver<NetworkMsg<Context>>,
    driver: tokio::task::JoinHandle<Fatal>,
    ledger: Ledger,
}

fn setup() -> Setup {
    let Bench { folder, desk, .. } = bench(1, &[1]);
    let (ledger, _) = Ledger::spawn(desk).unwrap();
    let (inbox, messages) = mpsc::channel(8);
    let (sender, network) = mpsc::channel(64);
    let driver = Driver::new(ledger.clone(), Arc::default(), sender);
    let driver = tokio::spawn(driver.run(messages));
    Setup { _folder: folder, inbox, network, driver, ledger }
}

impl Setup {
    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> AppMsg<Context>) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(message(reply)).await.unwrap();
        answer.await.ok()
    }

    async fn start(&self) -> (Level, HeightParams<Context>) {
        self.ask(|reply| AppMsg::ConsensusReady { reply }).await.unwrap()
    }
}

fn decided(value_id: BlockId) -> CommitCertificate<Context> {
    let (height, round) = (Level(1), Round::ZERO);
    CommitCertificate { height, round, value_id, commit_signatures: Vec::new() }
}

fn finalized(reply: Reply<Next<Context>>) -> AppMsg<Context> {
    AppMsg::Finalized {
        certificate: decided(BlockId([4; 32])),
        extensions: VoteExtensions::default(),
        evidence: MisbehaviorEvidence { proposals: Default::default(), votes: Default::default() },
        reply,
    }
}

/// Without the block there is nothing to commit: no peer is told that we have it, and the height
/// begins again, so that sync can bring it.
#[tokio::test]
async fn a_decided_block_that_is_missing_restarts_the_height() {
    let setup = setup();
    assert_eq!(setup.start().await.0, Level(1));
    let certificate = decided(BlockId([4; 32]));
    let extensions = VoteExtensions::default();
    let acknowledged = setup.ask(|reply| AppMsg::Decided { certificate, extensions, reply }).await;
    assert_eq!(acknowledged, None);
    let next = setup.ask(finalized).await.unwrap();
    assert!(matches!(next, Next::Restart(Level(1), _)), "{next:?}");
    let next = setup.ask(finalized).await.unwrap();
    assert!(matches!(next, Next::Start(Level(1), _)), "only once: {next:?}");
}

#[tokio::test]
async fn the_answer_comes_before_the_parts_and_repetitions_are_the_original() {
    let mut setup = setup();
    setup.start().await;
    let (height, round, timeout) = (Level(1), Round::ZERO, Duration::from_secs(2));
    let ask = |reply| AppMsg::GetValue { height, round, timeout, reply };
    let proposed = setup.ask(ask).await.unwrap();
    let value_id = proposed.value.0;
    setup
        .inbox
        .send(AppMsg::RestreamProposal {
            height,
            round: Round::new(3),
            valid_round: Round::ZERO,
            address: crate::context::Voter(tombolo_types::Address::ZERO),
            value_id,
        })
        .await
        .unwrap();
    let mut streams = BTreeMap::<_, Vec<_>>::new();
    while streams.len() < 2 || streams.values().any(|parts| parts.len() < 4) {
        let NetworkMsg::PublishProposalPart(message) = setup.network.recv().await.unwrap();
        let parts = streams.entry(message.stream_id.to_bytes()).or_default();
        parts.push((message.sequence, message.content));
    }
    let mut streams = streams.into_values();
    assert_eq!(streams.next(), streams.next());
}

#[tokio::test]
async fn an_unfinished_stream_is_answered_too() {
    let setup = setup();
    setup.start().await;
    let keypair = Keypair::ed25519_from_bytes([7; 32]).unwrap();
    let from = PeerId::from_bytes(&keypair.public().to_peer_id().to_bytes()).unwrap();
    let assembled = Assembled {
        height: Height(1),
        round: 0,
        proposer: tombolo_types::Address::ZERO,
        block: vec![1, 2, 3],
        signature: tombolo_types::header::Signature([0; 65]),
    };
    for part in assembled.split(0) {
        let answer = setup
            .ask(|reply| AppMsg::ReceivedProposalPart { from, published_by: None, part, reply })
            .await;
        assert_eq!(answer, Some(None));
    }
}

#[tokio::test]
async fn the_end_of_the_ledger_ends_the_task() {
    let setup = setup();
    setup.start().await;
    setup.ledger.close();
    assert_eq!(setup.ask(|reply| AppMsg::GetHistoryMinHeight { reply }).await, None);
    let fatal = setup.driver.await.unwrap();
    assert!(fatal.to_string().contains("the ledger's thread has ended"), "{fatal}");
}
