//! A light client that nobody can refresh, and what is said of it.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use tombolo_relayer::{Endpoint, LinkTask, Metrics, Reports, Settings as Pacing};
use tombolo_sim::{Lie, Network, Pair, PlainChain, Settings, SimAdapter, open_pair};
use tracing_subscriber::fmt::MakeWriter;

/// Above two thirds of the trusting period of a simulated pair, and below the whole.
const TEN_DAYS_MS: u64 = 10 * 24 * 3_600_000;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// What was said of the hub's client. That of the chain turns, too, until the relayer, which
    /// nobody hinders there, has refreshed it.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let of_hub = |line: &&str| line.contains("light client") && line.contains("end=\"hub\"");
        text.lines().filter(of_hub).map(str::to_owned).collect()
    }

    /// Waits until there are so many lines; gives the last.
    async fn line(&self, number: usize) -> String {
        let lines = async {
            loop {
                let mut lines = self.lines();
                if lines.len() >= number {
                    return lines.swap_remove(number - 1);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(3_600), lines).await.expect("no such line")
    }
}

fn task(pair: &Pair, network: Network) -> (LinkTask, Arc<SimAdapter<PlainChain>>) {
    let chain = Arc::new(pair.chain_adapter().with_network(network));
    let task = LinkTask {
        id: pair.link,
        hub: Endpoint { name: "hub".into(), chain: Arc::new(pair.hub_adapter()) },
        chain: Endpoint { name: "north".into(), chain: chain.clone() },
        settings: Pacing::default(),
        metrics: Metrics::default(),
        reports: Reports::default(),
        join: None,
    };
    (task, chain)
}

/// Both ledgers' clocks go on.
fn pass(pair: &Pair, ms: u64) {
    pair.hub.pass_ms(ms);
    pair.chain.pass_ms(ms);
    pair.hub.produce();
    pair.chain.produce();
}

/// The node of the chain shows nothing new, so the hub's client of it grows old: one warning when
/// it turns, however often it is looked at, and one line when it is fresh again; and so again.
///
/// Attack: A29
#[tokio::test(start_paused = true)]
async fn a29_a_client_that_expires_soon_is_warned_of_once_a_turn() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let pair = open_pair(1, Settings::instant(1), Settings::instant(2)).unwrap();
    let (task, chain) = task(&pair, Network::default());
    let (metrics, reports) = (task.metrics.clone(), task.reports.clone());
    let cancel = CancellationToken::new();
    let running = tokio::spawn(task.run(cancel.clone()));
    for turn in 0..2 {
        chain.tell(Some(Lie::Withholder));
        pass(&pair, TEN_DAYS_MS);
        let warning = log.line(2 * turn + 1).await;
        assert!(warning.contains(" WARN "), "{warning}");
        assert!(warning.contains("link=\"north\"") && warning.contains("left_s=345"), "{warning}");
        let seen = reports.all();
        assert_eq!(seen[0].ends[0].client, "expiring");
        // Looked at again and again.
        for _ in 0..20 {
            pass(&pair, 1_000);
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        assert_eq!(log.lines().len(), 2 * turn + 1, "{:?}", log.lines());
        chain.tell(None);
        pass(&pair, 1_000);
        let fresh = log.line(2 * turn + 2).await;
        assert!(fresh.contains(" INFO "), "{fresh}");
        let left = "relayer_client_trust_left_seconds{link=\"north\",end=\"hub\"} 1209";
        assert!(metrics.page().contains(left), "{}", metrics.page());
    }
    cancel.cancel();
    running.await.unwrap();
    assert_eq!(log.lines().len(), 4, "{:?}", log.lines());
}

/// A chain that gives no answer at all: the hub's own end is seen, and its client warned of.
#[tokio::test(start_paused = true)]
async fn a29_the_warning_comes_also_where_the_other_end_is_silent() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let pair = open_pair(2, Settings::instant(3), Settings::instant(4)).unwrap();
    let silent = Network { no_answer_per_mille: 1_000, delay_ms_max: 0 };
    let (task, _) = task(&pair, silent);
    let cancel = CancellationToken::new();
    let running = tokio::spawn(task.run(cancel.clone()));
    pass(&pair, TEN_DAYS_MS);
    let warning = log.line(1).await;
    assert!(warning.contains(" WARN "), "{warning}");
    pass(&pair, TEN_DAYS_MS);
    let error = log.line(2).await;
    assert!(error.contains("ERROR ") && error.contains("has expired"), "{error}");
    cancel.cancel();
    running.await.unwrap();
}
