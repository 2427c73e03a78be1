//! Accepts connections within bounds: how many there are at a time, how soon each must speak, how
//! long each may last.
//!
//! What serves them bounds calls, not connections; one that says nothing would stay for good, and
//! enough of them take every file that a process may open. Attack: A54.

use axum::serve::Listener;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep, sleep_until},
};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How long no connection is accepted after the system had no room for one.
const BREATH: Duration = Duration::from_millis(500);
/// What an HTTP/2 client says first (RFC 9113, section 3.4); about the shortest HTTP/1 request.
const GREETING_BYTES: usize = 24;

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at a time; one more is closed at once.
    pub connections_max: usize,
    /// How soon a connection must have said who it is.
    pub greeting_time: Duration,
    /// How long a connection may last; `None` for as long as it likes.
    pub time_max: Option<Duration>,
}

/// A listener that keeps its bounds.
pub struct BoundedListener {
    listener: TcpListener,
    bounds: Bounds,
    places: Arc<Semaphore>,
    turned_away: Arc<AtomicU64>,
    breath: Option<Pin<Box<Sleep>>>,
}

impl BoundedListener {
    /// Bounds on a listener.
    #[must_use]
    pub fn new(listener: TcpListener, bounds: Bounds) -> Self {
        let places = Arc::new(Semaphore::new(bounds.connections_max));
        Self { listener, bounds, places, turned_away: Arc::default(), breath: None }
    }

    /// How many connections found no place; goes on counting.
    #[must_use]
    pub fn turned_away(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.turned_away)
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(BoundedStream, SocketAddr)> {
        loop {
            if let Some(breath) = &mut self.breath {
                ready!(breath.as_mut().poll(cx));
                self.breath = None;
            }
            match ready!(self.listener.poll_accept(cx)) {
                Ok((stream, address)) => {
                    if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                        // Only a matter of speed.
                        let _ = stream.set_nodelay(true);
                        let stream = BoundedStream::new(stream, place, self.bounds);
                        return Poll::Ready((stream, address));
                    }
                    self.turned_away.fetch_add(1, Relaxed);
                }
                // The caller has gone already.
                Err(error) if is_of_connection(&error) => {}
                // Trying again at once would only spin: files must be closed first.
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    self.breath = Some(Box::pin(sleep(BREATH)));
                }
            }
        }
    }
}

fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl Stream for BoundedListener {
    type Item = io::Result<BoundedStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_accept(cx).map(|(stream, _)| Some(Ok(stream)))
    }
}

impl Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that keeps its bounds. It gives its place back when it goes.
pub struct BoundedStream {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    /// Bytes of the greeting that have not come.
    missing: usize,
    /// When it ends for want of a greeting, or for good.
    ends: Option<Pin<Box<Sleep>>>,
    ends_for_good: Option<Instant>,
}

impl BoundedStream {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, bounds: Bounds) -> Self {
        let now = Instant::now();
        let ends_for_good = bounds.time_max.map(|time| now + time);
        let greeted = now + bounds.greeting_time;
        let first = ends_for_good.map_or(greeted, |end| end.min(greeted));
        let ends = Some(Box::pin(sleep_until(first)));
        Self { stream, _place: place, missing: GREETING_BYTES, ends, ends_for_good }
    }

    fn came(&mut self, bytes: usize) {
        let was_missing = self.missing > 0;
        self.missing = self.missing.saturating_sub(bytes);
        if was_missing && self.missing == 0 {
            self.ends = self.ends_for_good.map(|end| Box::pin(sleep_until(end)));
        }
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(ends) = &mut this.ends
            && ends.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.came(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Connected for BoundedStream {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const BOUNDS: Bounds = Bounds {
        connections_max: 2,
        greeting_time: Duration::from_secs(10),
        time_max: Some(Duration::from_secs(60)),
    };

    async fn bound() -> (BoundedListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (BoundedListener::new(listener, BOUNDS), address)
    }

    /// Waits on paused time; gives how long it took and how it ended.
    async fn read_on(stream: &mut BoundedStream) -> (Duration, io::ErrorKind) {
        let start = Instant::now();
        let mut rest = Vec::new();
        let error = stream.read_to_end(&mut rest).await.unwrap_err();
        (start.elapsed(), error.kind())
    }

    #[tokio::test(start_paused = true)]
    async fn a54_one_that_does_not_greet_is_cut_off() {
        let (mut listener, address) = bound().await;
        for said in [0, GREETING_BYTES - 1] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(&vec![b'x'; said]).await.unwrap();
            let (mut stream, _) = listener.accept().await;
            let (took, why) = read_on(&mut stream).await;
            assert_eq!(why, io::ErrorKind::TimedOut, "{said}");
            assert!(took >= BOUNDS.greeting_time && took < BOUNDS.time_max.unwrap(), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a54_one_that_greets_lasts_its_time() {
        let (mut listener, address) = bound().await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&[b'x'; GREETING_BYTES]).await.unwrap();
        let (mut stream, _) = listener.accept().await;
        let (took, why) = read_on(&mut stream).await;
        assert_eq!(why, io::ErrorKind::TimedOut);
        assert!(took > BOUNDS.greeting_time, "{took:?}");
    }

    #[tokio::test]
    async fn a54_one_too_many_is_turned_away_and_a_place_is_given_back() {
        let (mut listener, address) = bound().await;
        let turned_away = listener.turned_away();
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let (first, _) = listener.accept().await;
        let (_second, _) = listener.accept().await;
        // Nobody comes who has a place; both that have none are closed meanwhile.
        let third = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(third.is_err());
        assert_eq!(turned_away.load(Relaxed), 2);
        assert_eq!(clients[3].read(&mut [0; 1]).await.unwrap_or(0), 0);
        drop(first);
        let _next = TcpStream::connect(address).await.unwrap();
        listener.accept().await;
        assert_eq!(turned_away.load(Relaxed), 2);
    }
}
