//! The index beside a naive search over the same records, and everything that can happen to its
//! file.

use crate::*;
use proptest::prelude::*;
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tombolo_types::{
    Class, Hash, Height, LaneNumber, MessageNumber, UnixMillis,
    id::{ChainId, DataId, Fingerprint, GlobalId, IdentityId, LinkId, TxId},
    message::DataClass,
    record::{End, Record, RecordFilter, SaltedRecord},
};

const CHAIN: ChainId = ChainId([0xcc; 32]);

/// A log in memory that says when it grew.
struct Memory {
    chain: ChainId,
    records: Mutex<Vec<SaltedRecord>>,
}

impl Log for Memory {
    fn chain_id(&self) -> ChainId {
        self.chain
    }

    fn read(&self, from: u64, limit: usize) -> Vec<(u64, SaltedRecord)> {
        let records = self.records.lock().unwrap();
        (0..).zip(records.iter().cloned()).skip(from as usize).take(limit).collect()
    }
}

/// An index that follows such a log.
struct Following {
    log: Arc<Memory>,
    explorer: Explorer,
    blocks: watch::Sender<u64>,
    cancel: CancellationToken,
    keeper: tokio::task::JoinHandle<Result<(), LogGone>>,
}

impl Following {
    fn of(file: &Path, chain: ChainId, records: Vec<SaltedRecord>) -> Self {
        let log = Arc::new(Memory { chain, records: Mutex::new(records) });
        let (blocks, heard) = watch::channel(0);
        let cancel = CancellationToken::new();
        let (explorer, keeper) = start(file.to_owned(), log.clone(), heard, cancel.clone());
        Self { log, explorer, blocks, cancel, keeper: tokio::spawn(keeper) }
    }

    fn size(&self) -> u64 {
        self.log.records.lock().unwrap().len() as u64
    }

    /// All pages of so many, one after the other, each resumed where the one before says.
    async fn all(&self, filter: &RecordFilter, limit: usize) -> Vec<u64> {
        let (mut from, mut positions) = (0, Vec::new());
        loop {
            let page = self.explorer.find(filter, from, limit, self.size()).await.unwrap();
            assert!(page.positions.len() <= limit);
            positions.extend(&page.positions);
            match page.next {
                Some(next) => {
                    assert!(next > from, "a page that is not the last goes on");
                    from = next;
                }
                None => return positions,
            }
        }
    }

    /// What a search through the records themselves gives.
    fn expected(&self, filter: &RecordFilter) -> Vec<u64> {
        let records = self.log.records.lock().unwrap();
        (0..)
            .zip(records.iter())
            .filter(|(_, salted)| filter.accepts(&salted.record))
            .map(|(position, _)| position)
            .collect()
    }

    async fn holds_what_the_log_holds(&self) {
        let refused = RecordFilter { end: Some(End::Refused), ..Default::default() };
        for filter in [RecordFilter::default(), refused] {
            assert_eq!(self.all(&filter, 7).await, self.expected(&filter));
        }
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.keeper.await.unwrap().unwrap();
    }
}

/// A record of few possible values, so that filters meet it. `n` also makes its time.
fn record(n: u64, [a, b, c, d]: [u8; 4]) -> SaltedRecord {
    let classes = [0, 0, Class::Denied as u8, Class::State as u8];
    let names = ["share", "commit", "deliver"];
    SaltedRecord {
        salt: Hash([n as u8; 32]),
        record: Record {
            global_id: GlobalId([a % 40 + 1; 32]),
            operation: names[usize::from(b) % 3].into(),
            outcome: classes[usize::from(c) % 4],
            remark: String::new(),
            height: Height(n / 3),
            time: UnixMillis(1_000 + n / 3 * 10),
            tx_id: TxId([d % 50 + 1; 32]),
            link: LinkId([a % 3; 32]),
            mode: a % 3,
            lane: LaneNumber(1),
            number: MessageNumber(n),
            source_chain: ChainId([b % 4; 32]),
            source_height: Height(1),
            destination_chain: ChainId([c % 4; 32]),
            data_id: DataId([d % 5; 32]),
            data_class: d % 3,
            fingerprint: Fingerprint::ZERO,
            parties: vec![IdentityId([a % 7; 32]), IdentityId([b % 7; 32])],
            policy_hash: Hash::ZERO,
            protocol: String::new(),
            relayer: IdentityId([c % 7; 32]),
            evidence: Hash::ZERO,
            link_policy: Hash::ZERO,
            unbounded: false,
        },
    }
}

fn records(count: u64) -> Vec<SaltedRecord> {
    let mix = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
    (0..count).map(|n| record(n, mix(n).to_le_bytes())).collect()
}

fn filters() -> impl Strategy<Value = RecordFilter> {
    let id = |max: u8| prop::option::weighted(0.3, (1..=max).prop_map(|byte| [byte; 32]));
    let ends = prop_oneof![
        Just(End::Done),
        Just(End::Refused),
        Just(End::RefusedAs(Class::Denied)),
        Just(End::RefusedAs(Class::Funds)),
    ];
    let classes = prop_oneof![Just(DataClass::Open), Just(DataClass::Closed)];
    let names = prop_oneof![Just("share".to_owned()), Just("revoke' OR 1 = 1".to_owned())];
    let time = || prop::option::weighted(0.3, (900u64..4_000).prop_map(UnixMillis));
    (
        (id(40), id(50), id(4), id(7), id(5), id(3)),
        prop::option::weighted(0.3, classes),
        prop::option::weighted(0.3, 0u8..4),
        prop::option::weighted(0.3, names),
        prop::option::weighted(0.3, ends),
        (time(), time()),
    )
        .prop_map(|(ids, data_class, mode, operation, end, (since, until))| RecordFilter {
            global_id: ids.0.map(GlobalId),
            tx_id: ids.1.map(TxId),
            chain: ids.2.map(ChainId),
            party: ids.3.map(IdentityId),
            data_id: ids.4.map(DataId),
            link: ids.5.map(LinkId),
            data_class,
            mode,
            operation,
            end,
            since,
            until,
        })
}

/// Every filter finds what a search through the log finds, in pages of any size.
///
/// Req: PRJ-4-5
#[test]
fn the_index_finds_what_the_log_holds() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let following = Following::of(&folder.path().join("index"), CHAIN, records(700));
    proptest!(|(filter in filters(), limit in 1usize..90)| {
        let found = runtime.block_on(following.all(&filter, limit));
        prop_assert_eq!(found, following.expected(&filter));
    });
    runtime.block_on(following.stop());
}

/// Who asks for everything gets pages of bounded length after bounded work, and can go on from
/// each, while the log grows.
#[tokio::test]
async fn a56_everything_is_given_in_bounded_pages() {
    let folder = tempfile::tempdir().unwrap();
    let following = Following::of(&folder.path().join("index"), CHAIN, records(2_000));
    let (mut from, mut seen) = (0, Vec::<u64>::new());
    for n in 2_000.. {
        following.log.records.lock().unwrap().extend(records(n + 1).pop());
        following.blocks.send_modify(|height| *height += 1);
        let everything = RecordFilter::default();
        let page = following.explorer.find(&everything, from, 100, n + 1).await.unwrap();
        seen.extend(&page.positions);
        let Some(next) = page.next else { break };
        assert_eq!(page.positions.len(), 100);
        from = next;
    }
    assert_eq!(seen, (0..following.size()).collect::<Vec<_>>());

    // Nothing fits: the work of one call is bounded all the same, and says where it stopped.
    let nothing = RecordFilter { operation: Some("nothing".into()), ..Default::default() };
    let page = following.explorer.find(&nothing, 0, 100, following.size()).await.unwrap();
    assert_eq!(page, Found { positions: vec![], next: Some(1_600) });
    assert_eq!(following.all(&nothing, 100).await, Vec::<u64>::new());
    following.stop().await;
}

#[tokio::test]
async fn the_index_goes_on_after_a_restart_and_a_lost_one_is_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index");
    let following = Following::of(&file, CHAIN, records(600));
    following.holds_what_the_log_holds().await;
    following.stop().await;

    // Goes on: what stands in the file is not read again.
    let mut changed = records(900);
    changed[5].record.outcome = Class::Funds as u8;
    let following = Following::of(&file, CHAIN, changed);
    let funds = RecordFilter { end: Some(End::RefusedAs(Class::Funds)), ..Default::default() };
    assert_eq!(following.all(&funds, 10).await, Vec::<u64>::new());
    assert_eq!(following.expected(&funds), [5]);
    assert_eq!(following.explorer.indexed(), 900);
    following.stop().await;

    // Deleted, it is filled from the beginning.
    for name in fs::read_dir(folder.path()).unwrap() {
        fs::remove_file(name.unwrap().path()).unwrap();
    }
    let following = Following::of(&file, CHAIN, records(900));
    following.holds_what_the_log_holds().await;
    following.stop().await;
}

/// Another ledger's index, one of a log that was longer, a damaged one, and one that is none.
#[tokio::test]
async fn an_index_that_does_not_fit_is_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index");
    let other = ChainId([0xdd; 32]);
    for (what, chain, count) in [("first", CHAIN, 300), ("other", other, 200), ("less", other, 60)]
    {
        let following = Following::of(&file, chain, records(count));
        following.holds_what_the_log_holds().await;
        assert_eq!(following.explorer.indexed(), count, "{what}");
        following.stop().await;
    }
    let mut bytes = fs::read(&file).unwrap();
    let half = bytes.len() / 2;
    bytes[..half].fill(0xaa);
    for content in [bytes, b"this was never a database, and is long enough to be read".to_vec()] {
        fs::write(&file, content).unwrap();
        let following = Following::of(&file, CHAIN, records(60));
        let mut state = following.explorer.state.clone();
        let is_filled = |state: &keep::State| matches!(state, keep::State::Filled { .. });
        tokio::time::timeout(Duration::from_secs(20), state.wait_for(is_filled))
            .await
            .expect("it is built anew")
            .unwrap();
        following.holds_what_the_log_holds().await;
        following.stop().await;
    }
}

/// An index that cannot be kept is said to be broken; nothing else ends for it.
#[tokio::test]
async fn an_index_that_cannot_be_kept_refuses_and_does_not_end() {
    let folder = tempfile::tempdir().unwrap();
    let following = Following::of(&folder.path().join("no/such/folder/index"), CHAIN, records(3));
    let refused = following.explorer.find(&RecordFilter::default(), 0, 10, 3).await.unwrap_err();
    assert!(matches!(refused, FindError::Broken { .. }), "{refused}");
    assert_eq!(refused.class(), Class::State);
    // Mended, it works again without a restart.
    fs::create_dir_all(folder.path().join("no/such/folder")).unwrap();
    let mut state = following.explorer.state.clone();
    let is_filled = |state: &keep::State| matches!(state, keep::State::Filled { .. });
    tokio::time::timeout(Duration::from_secs(20), state.wait_for(is_filled))
        .await
        .unwrap()
        .unwrap();
    following.holds_what_the_log_holds().await;
    following.stop().await;
}

/// A log that cannot be read is no matter of the index: its keeper ends and says so.
#[tokio::test]
async fn a_log_that_cannot_be_read_ends_the_keeper() {
    struct Gone;
    impl Log for Gone {
        fn chain_id(&self) -> ChainId {
            CHAIN
        }

        fn read(&self, _: u64, _: usize) -> Vec<(u64, SaltedRecord)> {
            panic!("the disk is gone");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (_blocks, heard) = watch::channel(0);
    let cancel = CancellationToken::new();
    let (_, keeper) = start(folder.path().join("index"), Arc::new(Gone), heard, cancel);
    assert!(keeper.await.unwrap_err().to_string().contains("the disk is gone"));
}
