//! The interface: wire types in, one refusal or one bounded answer out.

use crate::{
    chain::Chain,
    door::{Door, From as By},
    query::{self, Queries},
    query_journal::{QueryJournal, address, filter_json},
    read::page,
    telemetry::follow,
};
use serde_json::json;
use std::{collections::HashSet, fmt, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{
        Semaphore, broadcast,
        mpsc::{self, Sender},
    },
    time::{Instant, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tombolo_engine::EngineHandle;
use tombolo_explorer::Explorer;
use tombolo_ledger::{Machine, block, records, validators};
use tombolo_proto::{
    limits::{QUERY_TEXT_BYTES_MAX, TRANSACTION_WAIT_MAX},
    refusal_to_status,
    view::{FoundRecords, MessagesQuery, NodeStatus, Receipt, RecordQuery, read_id},
    wire::{self, ledger_server::Ledger},
};
use tombolo_types::{Class, Epoch, Height, LaneNumber, Refusal, ensure, id::TxId};
use tonic::{Request, Response, Status};
use tracing::{Instrument as _, field::Empty, info_span};

/// Reads at a time; more wait for a while. Each takes a thread and a part of the disk.
const READS_MAX: usize = 32;
/// How long a read waits for its turn, and how long it may take.
const READ_WAIT: Duration = Duration::from_secs(2);
const READ_TIME: Duration = Duration::from_secs(5);
/// Streams of blocks at a time.
const WATCHERS_MAX: usize = 256;
/// Blocks that a slow watcher may lag behind before the stream waits for it.
const WATCH_QUEUE: usize = 64;

/// What ends the process: the first part that breaks says which and why.
#[derive(Clone)]
pub struct Alarm(Sender<(&'static str, String)>);

impl Alarm {
    /// An alarm and who hears it.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<(&'static str, String)>) {
        // One is enough: the first ends the process.
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// Reports that a part broke.
    pub fn raise(&self, part: &'static str, why: String) {
        tracing::error!(part, why, "part of the node broke");
        // Full means that somebody was faster.
        let _ = self.0.try_send((part, why));
    }
}

/// The ids of the transactions of one block, told to whoever waits for one of them.
pub type Finished = Arc<HashSet<TxId>>;

/// The interface's implementation.
pub struct Api<M> {
    chain: Arc<Chain<M>>,
    engine: EngineHandle,
    queries: Arc<dyn Queries>,
    explorer: Explorer,
    asked: QueryJournal,
    door: Door,
    finished: broadcast::Sender<Finished>,
    reads: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    alarm: Alarm,
}

/// What the interface stands on.
pub struct Parts<M> {
    /// The ledger.
    pub chain: Arc<Chain<M>>,
    /// Who orders blocks.
    pub engine: EngineHandle,
    /// What this kind of ledger shows of its own.
    pub queries: Arc<dyn Queries>,
    /// The auditors' index.
    pub explorer: Explorer,
    /// Where queries of the audit log are written down.
    pub asked: QueryJournal,
    /// The way in.
    pub door: Door,
    /// Tells of each block's transactions.
    pub finished: broadcast::Sender<Finished>,
    /// Parent of the streams' tasks.
    pub tasks: TaskTracker,
    /// Ends the streams.
    pub cancel: CancellationToken,
    /// Ends the process.
    pub alarm: Alarm,
}

impl<M: Machine> Api<M> {
    /// The interface over these parts.
    pub fn new(parts: Parts<M>) -> Self {
        let Parts { chain, engine, queries, explorer, asked, door, .. } = parts;
        let Parts { finished, tasks, cancel, alarm, .. } = parts;
        Self {
            chain,
            engine,
            queries,
            explorer,
            asked,
            door,
            finished,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
            tasks,
            cancel,
            alarm,
        }
    }

    /// Reads off the async threads, within limits of number and time.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Chain<M>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Status> {
        let turn = timeout(READ_WAIT, Arc::clone(&self.reads).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(limit(format_args!("{READS_MAX} reads are under way; ask again later")));
        };
        let chain = Arc::clone(&self.chain);
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read(&chain)
        });
        match timeout(READ_TIME, task).await {
            Ok(Ok(result)) => result.map_err(|refusal| refusal_to_status(&refusal)),
            Ok(Err(panicked)) => {
                self.alarm.raise("reads", panicked.to_string());
                Err(Status::internal("this node is stopping: its store cannot be read"))
            }
            Err(_) => {
                Err(limit(format_args!("the read took longer than {READ_TIME:?}; ask for less")))
            }
        }
    }

    /// How a transaction ended, waiting for its end for so long.
    async fn receipt_of(&self, id: TxId, wait: Duration) -> Result<Option<Receipt>, Status> {
        let deadline = Instant::now() + wait;
        // Heard from here on, so that no block between the read and the wait is missed.
        let mut finished = self.finished.subscribe();
        loop {
            let receipt = self.read(move |chain| Ok(chain.ended(id))).await?;
            if receipt.is_some() || wait.is_zero() {
                return Ok(receipt);
            }
            loop {
                match timeout_at(deadline, finished.recv()).await {
                    Ok(Ok(block)) if !block.contains(&id) => {}
                    // It ended, or too many blocks were missed to know.
                    Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_))) => break,
                    Ok(Err(broadcast::error::RecvError::Closed)) | Err(_) => return Ok(None),
                }
            }
        }
    }

    /// Records that fit, by the index.
    async fn found(&self, query: RecordQuery) -> Result<FoundRecords, Status> {
        let RecordQuery { filter, from, limit: entries } = query;
        let log_size = self.read(|chain| Ok(records::log(chain.view()).size())).await?;
        let search = self.explorer.find(&filter, from, page(entries), log_size);
        let found = match timeout(READ_TIME, search).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                let refusal = Refusal::new(error.class(), error.to_string());
                return Err(refusal_to_status(&refusal));
            }
            Err(_) => return Err(limit(format_args!("the search took longer than {READ_TIME:?}"))),
        };
        self.read(move |chain| Ok(chain.found(&filter, &found))).await
    }

    async fn submitted<T>(
        &self,
        caller: Option<SocketAddr>,
        transaction: Vec<u8>,
        by: By,
        answer: impl FnOnce(TxId) -> T,
    ) -> Result<Response<T>, Status> {
        let id = self.door.submit(&self.chain, transaction, by, address(caller)).await;
        id.map(|id| Response::new(answer(id))).map_err(|refusal| refusal_to_status(&refusal))
    }
}

fn limit(message: fmt::Arguments<'_>) -> Status {
    refusal_to_status(&Refusal::new(Class::Limit, message.to_string()))
}

fn id<T: From<tombolo_types::Hash>>(what: &str, bytes: &[u8]) -> Result<T, Status> {
    read_id(what, bytes).map_err(|refusal| refusal_to_status(&refusal))
}

#[tonic::async_trait]
impl<M: Machine> Ledger for Api<M> {
    async fn status(
        &self,
        _: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        let engine = self.engine.metrics();
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let status = self.read(move |chain| {
            chain.at_one_block(|view| {
                let tip = block::tip(view);
                let genesis = block::genesis(view);
                let (Some(tip), Some(genesis)) = (tip, genesis) else {
                    return Err(Refusal::new(Class::State, "this ledger has no genesis yet"));
                };
                let set = validators::at(view, tip.height.next());
                Ok(NodeStatus {
                    chain_id: tip.chain_id,
                    kind: M::KIND.to_owned(),
                    name: genesis.name,
                    height: tip.height,
                    block_id: tip.block_id,
                    time: tip.time,
                    validators: set.map_or(0, |set| count(set.validators.len() as u64)),
                    peers: count(engine.peers_connected),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    mempool: count(engine.mempool_count),
                })
            })
        });
        Ok(Response::new(status.await?.into()))
    }

    async fn genesis(
        &self,
        _: Request<wire::GenesisRequest>,
    ) -> Result<Response<wire::GenesisResponse>, Status> {
        let genesis = self.read(|chain| {
            block::genesis(chain.view())
                .map(|genesis| genesis.encode())
                .ok_or_else(|| Refusal::new(Class::State, "this ledger has no genesis yet"))
        });
        Ok(Response::new(wire::GenesisResponse { genesis: genesis.await? }))
    }

    async fn submit(
        &self,
        request: Request<wire::SubmitRequest>,
    ) -> Result<Response<wire::SubmitResponse>, Status> {
        let span = follow(info_span!("node.transaction.submit", trace = Empty), &request);
        let caller = request.remote_addr();
        let answer = |id: TxId| wire::SubmitResponse { tx_id: id.0.to_vec() };
        let transaction = request.into_inner().transaction;
        self.submitted(caller, transaction, By::Client, answer).instrument(span).await
    }

    async fn transaction(
        &self,
        request: Request<wire::TransactionRequest>,
    ) -> Result<Response<wire::TransactionResponse>, Status> {
        let span = follow(info_span!("node.transaction.wait", trace = Empty), &request);
        let request = request.into_inner();
        let wanted: TxId = id("the transaction id", &request.tx_id)?;
        let wait = Duration::from_millis(request.wait_ms.into()).min(TRANSACTION_WAIT_MAX);
        let receipt = self.receipt_of(wanted, wait).instrument(span).await?;
        let receipt = receipt.map(Into::into);
        Ok(Response::new(wire::TransactionResponse { receipt }))
    }

    async fn nonces(
        &self,
        request: Request<wire::NoncesRequest>,
    ) -> Result<Response<wire::NoncesResponse>, Status> {
        let identity = id("the identity", &request.into_inner().identity)?;
        let next = self.read(move |chain| chain.nonces(identity)).await?;
        Ok(Response::new(wire::NoncesResponse { next }))
    }

    async fn links(
        &self,
        _: Request<wire::LinksRequest>,
    ) -> Result<Response<wire::LinksResponse>, Status> {
        let links = self.read(|chain| Ok(chain.links())).await?;
        Ok(Response::new(links.into()))
    }

    async fn heads(
        &self,
        request: Request<wire::HeadsRequest>,
    ) -> Result<Response<wire::HeadsResponse>, Status> {
        let span = follow(info_span!("node.lane.prove", trace = Empty), &request);
        let link = id("the link", &request.into_inner().link)?;
        let heads = self.read(move |chain| chain.heads(link)).instrument(span).await?;
        Ok(Response::new(heads.into()))
    }

    async fn messages(
        &self,
        request: Request<wire::MessagesRequest>,
    ) -> Result<Response<wire::MessagesResponse>, Status> {
        let request = request.into_inner();
        let query = MessagesQuery {
            link: id("the link", &request.link)?,
            lane: LaneNumber(request.lane),
            epoch: Epoch(request.epoch),
            from: request.from,
            count: request.count,
            size: request.size,
            bytes_max: request.bytes_max,
        };
        let messages = self.read(move |chain| chain.messages(query)).await?;
        Ok(Response::new(messages.into()))
    }

    async fn header(
        &self,
        request: Request<wire::HeaderRequest>,
    ) -> Result<Response<wire::HeaderResponse>, Status> {
        let height = Some(Height(request.into_inner().height)).filter(|it| *it > Height::ZERO);
        let header = self.read(move |chain| chain.header(height)).await?;
        Ok(Response::new(header.into()))
    }

    async fn client_update(
        &self,
        request: Request<wire::ClientUpdateRequest>,
    ) -> Result<Response<wire::ClientUpdateResponse>, Status> {
        let from = Height(request.into_inner().from_height);
        let update = self.read(move |chain| chain.client_update(from)).await?;
        let update = update.map(|update| update.encode());
        Ok(Response::new(wire::ClientUpdateResponse { update }))
    }

    type WatchStream = ReceiverStream<Result<wire::BlockEvent, Status>>;

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let Ok(place) = Arc::clone(&self.watchers).try_acquire_owned() else {
            return Err(limit(format_args!(
                "{WATCHERS_MAX} streams of blocks are open; ask later"
            )));
        };
        let mut tip = self.engine.tip();
        let mut next = match request.into_inner().from_height {
            0 => tip.borrow_and_update().height.next(),
            height => Height(height),
        };
        let (sender, receiver) = mpsc::channel(WATCH_QUEUE);
        let (chain, alarm) = (Arc::clone(&self.chain), self.alarm.clone());
        let follow = async move {
            let _place = place;
            loop {
                let newest = tip.borrow_and_update().height;
                while next <= newest {
                    let (chain, height) = (Arc::clone(&chain), next);
                    let event = tokio::task::spawn_blocking(move || chain.event(height)).await;
                    let event = match event {
                        Ok(Some(event)) => event.into(),
                        Ok(None) => return,
                        Err(panicked) => return alarm.raise("reads", panicked.to_string()),
                    };
                    if sender.send(Ok(event)).await.is_err() {
                        return;
                    }
                    next = next.next();
                }
                tokio::select! {
                    changed = tip.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
            }
        };
        self.tasks.spawn(self.cancel.clone().run_until_cancelled_owned(follow));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn records(
        &self,
        request: Request<wire::RecordsRequest>,
    ) -> Result<Response<wire::RecordsResponse>, Status> {
        let caller = request.remote_addr();
        let wire::RecordsRequest { from, limit } = request.into_inner();
        let page = self.read(move |chain| Ok(chain.records(from, limit))).await;
        let filter = json!({ "from": from });
        self.asked.note(caller, filter, page.as_ref().map(|page| page.records.len()));
        Ok(Response::new(page?.into()))
    }

    async fn find_records(
        &self,
        request: Request<wire::FindRecordsRequest>,
    ) -> Result<Response<wire::FindRecordsResponse>, Status> {
        let caller = request.remote_addr();
        let query = RecordQuery::try_from(request.into_inner());
        let query = query.map_err(|refusal| refusal_to_status(&refusal))?;
        let mut filter = filter_json(&query.filter);
        if query.from > 0 {
            filter["from"] = query.from.into();
        }
        let found = self.found(query).await;
        self.asked.note(caller, filter, found.as_ref().map(|found| found.records.len()));
        Ok(Response::new(found?.into()))
    }

    async fn log_proof(
        &self,
        request: Request<wire::LogProofRequest>,
    ) -> Result<Response<wire::LogProofResponse>, Status> {
        let wire::LogProofRequest { from, to, size } = request.into_inner();
        let proof = self.read(move |chain| chain.log_proof(from, to, size)).await?;
        Ok(Response::new(proof.into()))
    }

    async fn validator_changes(
        &self,
        request: Request<wire::ValidatorChangesRequest>,
    ) -> Result<Response<wire::ValidatorChangesResponse>, Status> {
        let from = Height(request.into_inner().from);
        let changes = self.read(move |chain| chain.validator_changes(from)).await?;
        Ok(Response::new(changes.into()))
    }

    async fn query(
        &self,
        request: Request<wire::QueryRequest>,
    ) -> Result<Response<wire::QueryResponse>, Status> {
        let caller = request.remote_addr();
        let wire::QueryRequest { path, from, limit } = request.into_inner();
        let shown = &path[..path.floor_char_boundary(QUERY_TEXT_BYTES_MAX)];
        let of_records = query::is_of_records(shown).then(|| json!({ "path": shown }));
        let queries = Arc::clone(&self.queries);
        let answer = self.read(move |chain| {
            ensure!(!path.is_empty(), Format, "the query names no path");
            let from = Some(from.as_str()).filter(|from| !from.is_empty());
            let height = chain.tip().map_or(0, |tip| tip.height.0);
            let answer = query::answer(chain, queries.as_ref(), &path, from, page(limit))?;
            Ok((answer.entries, wire::QueryResponse { json: answer.json, height }))
        });
        let answer = answer.await;
        if let Some(filter) = of_records {
            self.asked.note(caller, filter, answer.as_ref().map(|(entries, _)| *entries));
        }
        Ok(Response::new(answer?.1))
    }

    async fn push(
        &self,
        request: Request<wire::PushRequest>,
    ) -> Result<Response<wire::PushResponse>, Status> {
        let caller = request.remote_addr();
        let answer = |_| wire::PushResponse {};
        self.submitted(caller, request.into_inner().transaction, By::Peer, answer).await
    }
}
