//! The way to one RPC node: connected when it is first asked and again after it was lost, and never
//! waited for without an end. A node that takes a request and says nothing is as good as away, and is
//! left alone for a while, so that it holds up one request and not each.

use alloy::{
    rpc::{
        client::{BuiltInConnectionString, ConnectionConfig},
        json_rpc::{RequestPacket, ResponsePacket},
    },
    transports::{BoxTransport, RpcError, TransportError, TransportErrorKind, TransportFut},
};
use reqwest::Url;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tower::Service;

/// A request has waited in vain if it is given up after this part of the time for an answer.
const IN_VAIN_AFTER: u32 = 4;

/// A node as messages name it: its scheme, host and port. The rest of an address may hold a password,
/// or a key to a provider.
#[must_use]
pub fn node_name(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let Some((url, host)) = parsed.as_ref().and_then(|url| Some((url, url.host_str()?))) else {
        return "a malformed address".into();
    };
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// A node, by HTTP or WebSocket.
#[derive(Clone)]
pub(crate) struct Transport {
    url: BuiltInConnectionString,
    /// The address without user and password, as the library writes it into errors.
    shown_as: String,
    name: String,
    answer_within: Duration,
    /// `None` before the first request, and once a WebSocket was lost.
    connected: Arc<tokio::sync::Mutex<Option<BoxTransport>>>,
    /// Until when it is left alone.
    rests: Arc<Mutex<Option<Instant>>>,
}

impl Transport {
    /// To the node at an address; nothing is connected yet.
    ///
    /// # Errors
    /// For what is no address.
    pub(crate) fn to(url: &str, answer_within: Duration) -> Result<Self, TransportError> {
        let name = node_name(url);
        let (url, mut shown_as) = (url.parse()?, url.to_owned());
        if let Ok(mut address) = Url::parse(&shown_as)
            && address.set_username("").and_then(|()| address.set_password(None)).is_ok()
        {
            shown_as = address.into();
        }
        let (connected, rests) = (Arc::default(), Arc::default());
        Ok(Self { url, shown_as, name, answer_within, connected, rests })
    }

    fn rests(&self) -> MutexGuard<'_, Option<Instant>> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks where the node answers, and not for longer than an answer may take.
    async fn ask_in_time(&self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let within = self.answer_within;
        if self.rests().is_some_and(|until| Instant::now() < until) {
            return Err(TransportErrorKind::custom_str("it let a request wait in vain just now"));
        }
        let mut waiting = Waiting { node: self, since: Instant::now(), answered: false };
        match timeout(within, self.ask(request)).await {
            Ok(answer) => {
                waiting.answered = true;
                answer.map_err(|error| self.plain(error))
            }
            Err(_) => {
                let why = format!("no answer within {} ms", within.as_millis());
                Err(TransportErrorKind::custom_str(&why))
            }
        }
    }

    async fn ask(&self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let mut transport = self.connect().await?;
        let answer = transport.call(request).await;
        if matches!(&answer, Err(RpcError::Transport(TransportErrorKind::BackendGone))) {
            *self.connected.lock().await = None;
        }
        answer
    }

    /// An error of the layer below as others may see it: without the address, and with the status of
    /// an answer that opened no WebSocket as that of any other answer.
    fn plain(&self, error: TransportError) -> TransportError {
        let RpcError::Transport(TransportErrorKind::Custom(cause)) = error else { return error };
        let cause = cause.to_string();
        let status =
            cause.strip_prefix("HTTP error: ").and_then(|status| status.get(..3)?.parse().ok());
        match status {
            Some(status) => TransportErrorKind::http_error(status, String::new()),
            None => TransportErrorKind::custom_str(&cause.replace(&self.shown_as, &self.name)),
        }
    }

    async fn connect(&self) -> Result<BoxTransport, TransportError> {
        let mut connected = self.connected.lock().await;
        if let Some(transport) = &*connected {
            return Ok(transport.clone());
        }
        // One attempt: the library's own loop would let requests wait for minutes, and then give up
        // for ever.
        let once = ConnectionConfig::new().with_max_retries(1);
        let transport = self.url.connect_boxed_with(once).await?;
        *connected = Some(transport.clone());
        Ok(transport)
    }
}

/// A request that is waited for. Who asked may give up long before an answer's time is over; the node
/// let it wait in vain all the same.
struct Waiting<'t> {
    node: &'t Transport,
    since: Instant,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let within = self.node.answer_within;
        if !self.answered && self.since.elapsed() >= within / IN_VAIN_AFTER {
            *self.node.rests() = Some(Instant::now() + within);
        }
    }
}

impl Service<RequestPacket> for Transport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        let node = self.clone();
        Box::pin(async move { node.ask_in_time(request).await })
    }
}
