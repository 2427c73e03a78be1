//! A client of one ledger's node: connected lazily, with a time limit on every call.

use crate::{
    limits::{MESSAGE_BYTES_MAX, TRANSACTION_WAIT_MAX},
    status::status_to_refusal,
    view::{
        BlockEvent, FoundRecords, HeaderView, Heads, Links, LogProof, Messages, MessagesQuery,
        NodeStatus, QueryPage, Receipt, RecordPage, RecordQuery, ValidatorChanges, read_id,
    },
    wire::{self, ledger_client::LedgerClient as Stub},
};
use std::time::Duration;
use tokio_stream::{Stream, StreamExt as _};
use tombolo_types::{
    Class, Height, Refusal,
    header::Genesis,
    id::{IdentityId, LinkId, TxId},
    transaction::ClientUpdate,
};
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call may take that does not wait for anything.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The metadata key of a W3C trace context.
const TRACE_PARENT: &str = "traceparent";
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The ledger said no.
    #[error("{address} refused: {refusal}")]
    Refused {
        /// The node.
        address: String,
        /// Its one class and sentence.
        refusal: Refusal,
    },
    /// The node could not be reached, or broke off. Whether a transaction went in is not known:
    /// ask for its receipt before sending another.
    #[error("{address} cannot be reached: {why}")]
    Unreachable {
        /// The node.
        address: String,
        /// What the transport said.
        why: String,
    },
    /// No answer in time. As for [`Self::Unreachable`], nothing is known.
    #[error("{address} gave no answer in time: {why}")]
    TimedOut {
        /// The node.
        address: String,
        /// What the transport said.
        why: String,
    },
    /// The node answered with something that is not in the interface.
    #[error("{address} gave an answer that cannot be read: {refusal}")]
    Unreadable {
        /// The node.
        address: String,
        /// What is wrong with it.
        refusal: Refusal,
    },
    /// The address itself.
    #[error("`{address}` is no address of a node: {why}; write http://host:port")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
}

impl ClientError {
    /// The refusal, where the ledger gave one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    /// The class that a caller is told.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { refusal, .. } => refusal.class,
            Self::Unreachable { .. } | Self::TimedOut { .. } => Class::Timeout,
            Self::Unreadable { .. } | Self::Address { .. } => Class::Format,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }
}

/// A ledger's node, as a relayer, an adapter or a person sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LedgerClient {
    stub: Stub<Channel>,
    address: String,
    trace: fn() -> Option<String>,
}

impl LedgerClient {
    /// A client of the node at `address` (`http://host:port`). Connects with the first call and
    /// again whenever the connection is lost. Must be called within an async runtime.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn new(address: &str) -> Result<Self, ClientError> {
        let bad = |why: String| ClientError::Address { address: address.to_owned(), why };
        let endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(|error| bad(error.to_string()))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .tcp_nodelay(true);
        if endpoint.uri().authority().is_none() {
            return Err(bad("it names no host".to_owned()));
        }
        Ok(Self::over(endpoint.connect_lazy(), address))
    }

    /// A client over a channel of one's own; `address` names it in errors.
    #[must_use]
    pub fn over(channel: Channel, address: &str) -> Self {
        let stub = Stub::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Self { stub, address: address.to_owned(), trace: || None }
    }

    /// Sends what `trace` gives along with every call: the present span as a W3C `traceparent`.
    #[must_use]
    pub fn with_trace(mut self, trace: fn() -> Option<String>) -> Self {
        self.trace = trace;
        self
    }

    /// Where the node is.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Who the node is and where it stands.
    ///
    /// # Errors
    /// Any [`ClientError`]; so for every call.
    pub async fn status(&self) -> Result<NodeStatus, ClientError> {
        let answer = self.stub().status(self.limited(wire::StatusRequest {}, CALL_TIMEOUT)).await;
        self.read(answer, TryInto::try_into)
    }

    /// The document from which the ledger started. The caller compares its hash.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn genesis(&self) -> Result<Genesis, ClientError> {
        let answer = self.stub().genesis(self.limited(wire::GenesisRequest {}, CALL_TIMEOUT)).await;
        self.read(answer, |it| Ok(Genesis::decode(&it.genesis)?))
    }

    /// Hands a signed transaction to the door; says that it waits, not how it ends.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn submit(&self, transaction: Vec<u8>) -> Result<TxId, ClientError> {
        let request = self.limited(wire::SubmitRequest { transaction }, CALL_TIMEOUT);
        let answer = self.stub().submit(request).await;
        self.read(answer, |it| read_id("the transaction id", &it.tx_id))
    }

    /// How a transaction ended; waits at the server for at most `wait` (and at most
    /// [`TRANSACTION_WAIT_MAX`]). `None` where it is in no final block by then.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn transaction(
        &self,
        id: TxId,
        wait: Duration,
    ) -> Result<Option<Receipt>, ClientError> {
        let wait = wait.min(TRANSACTION_WAIT_MAX);
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let request = wire::TransactionRequest { tx_id: id.0.to_vec(), wait_ms };
        let answer = self.stub().transaction(self.limited(request, wait + CALL_TIMEOUT)).await;
        self.read(answer, |it| it.receipt.map(TryInto::try_into).transpose())
    }

    /// The next nonce of each series of an identity, by nonce lane.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn nonces(&self, identity: IdentityId) -> Result<Vec<u64>, ClientError> {
        let request = wire::NoncesRequest { identity: identity.0.to_vec() };
        let answer = self.stub().nonces(self.limited(request, CALL_TIMEOUT)).await;
        self.read(answer, |it| Ok(it.next))
    }

    /// All links.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn links(&self) -> Result<Links, ClientError> {
        let answer = self.stub().links(self.limited(wire::LinksRequest {}, CALL_TIMEOUT)).await;
        self.read(answer, TryInto::try_into)
    }

    /// All lane leaves of a link with proofs, at the newest final block.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn heads(&self, link: LinkId) -> Result<Heads, ClientError> {
        let request = wire::HeadsRequest { link: link.0.to_vec() };
        let answer = self.stub().heads(self.limited(request, CALL_TIMEOUT)).await;
        self.read(answer, TryInto::try_into)
    }

    /// Messages of a lane with their proof.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn messages(&self, query: MessagesQuery) -> Result<Messages, ClientError> {
        let request = wire::MessagesRequest {
            link: query.link.0.to_vec(),
            lane: query.lane.0,
            epoch: query.epoch.0,
            from: query.from,
            count: query.count,
            size: query.size,
            bytes_max: query.bytes_max,
        };
        let answer = self.stub().messages(self.limited(request, CALL_TIMEOUT)).await;
        self.read(answer, TryInto::try_into)
    }

    /// A header with its certificate and set; the newest for `None`.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn header(&self, height: Option<Height>) -> Result<HeaderView, ClientError> {
        let request = wire::HeaderRequest { height: height.unwrap_or_default().0 };
        let answer = self.stub().header(self.limited(request, CALL_TIMEOUT)).await;
        self.read(answer, TryInto::try_into)
    }

    /// What moves a light client that stands at `from`: to the next change of the set, else to the
    /// newest header. `None` where nothing lies above.
    ///
    /// The header may stand at `from` itself, where it names the next set: a client that took it
    /// with a head has not left its set. One that has left it asks from one higher.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn client_update(&self, from: Height) -> Result<Option<ClientUpdate>, ClientError> {
        let request = wire::ClientUpdateRequest { from_height: from.0 };
        let answer = self.stub().client_update(self.limited(request, CALL_TIMEOUT)).await;
        self.read(answer, |it| {
            Ok(it.update.map(|update| ClientUpdate::decode(&update)).transpose()?)
        })
    }

    /// Every block from `from` on, as it becomes final; from the next one for `None`. The stream
    /// ends with an error when the connection is lost: call again with the height after the last.
    ///
    /// # Errors
    /// Any [`ClientError`], also within the stream.
    pub async fn watch(
        &self,
        from: Option<Height>,
    ) -> Result<
        impl Stream<Item = Result<BlockEvent, ClientError>> + Send + Unpin + use<>,
        ClientError,
    > {
        // No time limit: blocks come for ever. The keep-alive finds a dead connection.
        let request = wire::WatchRequest { from_height: from.unwrap_or_default().0 };
        let answer = self.stub().watch(request).await;
        let stream = answer.map_err(|status| self.failed(&status))?.into_inner();
        let client = self.clone();
        Ok(stream.map(move |event| match event {
            Ok(event) => event.try_into().map_err(|refusal| client.unreadable(refusal)),
            Err(status) => Err(client.failed(&status)),
        }))
    }

    /// Audit records from a position on; at most `limit`, and no more than a page holds.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn records(&self, from: u64, limit: u32) -> Result<RecordPage, ClientError> {
        let request = wire::RecordsRequest { from, limit };
        let answer = self.stub().records(self.limited(request, CALL_TIMEOUT)).await;
        self.read(answer, TryInto::try_into)
    }

    /// Audit records that fit a filter, by the node's index.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn find_records(&self, query: RecordQuery) -> Result<FoundRecords, ClientError> {
        let request = wire::FindRecordsRequest::from(query);
        let answer = self.stub().find_records(self.limited(request, CALL_TIMEOUT)).await;
        self.read(answer, TryInto::try_into)
    }

    /// That the records `from .. to` stand in the log of `size` records; the newest for `None`.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn log_proof(
        &self,
        from: u64,
        to: u64,
        size: Option<u64>,
    ) -> Result<LogProof, ClientError> {
        let request = wire::LogProofRequest { from, to, size: size.unwrap_or_default() };
        let answer = self.stub().log_proof(self.limited(request, CALL_TIMEOUT)).await;
        self.read(answer, TryInto::try_into)
    }

    /// Changes of the validator set named by headers at `from` and above.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn validator_changes(&self, from: Height) -> Result<ValidatorChanges, ClientError> {
        let request = wire::ValidatorChangesRequest { from: from.0 };
        let answer = self.stub().validator_changes(self.limited(request, CALL_TIMEOUT)).await;
        self.read(answer, TryInto::try_into)
    }

    /// State as JSON. `from` is `next` of the page before; `limit` 0 leaves it to the server.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn query(
        &self,
        path: &str,
        from: Option<&str>,
        limit: u32,
    ) -> Result<QueryPage, ClientError> {
        let from = from.unwrap_or_default().to_owned();
        let request = wire::QueryRequest { path: path.to_owned(), from, limit };
        let answer = self.stub().query(self.limited(request, CALL_TIMEOUT)).await;
        self.read(answer, |it| Ok(QueryPage { json: it.json, height: Height(it.height) }))
    }

    /// Hands on a transaction that one's own door let in.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub async fn push(&self, transaction: Vec<u8>) -> Result<(), ClientError> {
        let request = self.limited(wire::PushRequest { transaction }, CALL_TIMEOUT);
        let answer = self.stub().push(request).await;
        self.read(answer, |_| Ok(()))
    }

    fn limited<T>(&self, message: T, limit: Duration) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(limit);
        let parent = (self.trace)().and_then(|parent| parent.parse().ok());
        if let Some(parent) = parent {
            request.metadata_mut().insert(TRACE_PARENT, parent);
        }
        request
    }

    /// A stub of one's own: clones share the connection.
    fn stub(&self) -> Stub<Channel> {
        self.stub.clone()
    }

    fn read<W, T>(
        &self,
        answer: Result<Response<W>, Status>,
        convert: impl FnOnce(W) -> Result<T, Refusal>,
    ) -> Result<T, ClientError> {
        let answer = answer.map_err(|status| self.failed(&status))?;
        convert(answer.into_inner()).map_err(|refusal| self.unreadable(refusal))
    }

    fn unreadable(&self, refusal: Refusal) -> ClientError {
        ClientError::Unreadable { address: self.address.clone(), refusal }
    }

    fn failed(&self, status: &Status) -> ClientError {
        let address = self.address.clone();
        if let Some(refusal) = status_to_refusal(status) {
            return ClientError::Refused { address, refusal };
        }
        let why = status.message().to_owned();
        match status.code() {
            // The library says `Cancelled` where its own time limit ends a call.
            Code::DeadlineExceeded | Code::Cancelled => ClientError::TimedOut { address, why },
            _ => ClientError::Unreachable { address, why },
        }
    }
}
