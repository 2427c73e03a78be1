//! A false front of a real node. It is a fake, made to show what a node that lies can do: it passes
//! on what it is asked, and alters some of what is answered while it is told to.

use crate::Rpc;
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Changes the answer to a request.
pub type Alter = fn(request: &Value, answer: &mut Value);

/// Where a front listens, and whether it lies.
#[derive(Debug)]
pub struct FalseFront {
    /// Its interface, as a node's.
    pub rpc: Rpc,
    lies: Arc<AtomicBool>,
}

impl FalseFront {
    /// A front of this node, which tells the truth until it is told to lie. It listens until the
    /// test ends.
    #[must_use]
    pub fn of(node: &Rpc, alter: Alter) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let rpc = Rpc::new(listener.local_addr().expect("a bound port").port());
        let lies = Arc::new(AtomicBool::new(false));
        let (node, told) = (node.url().to_owned(), lies.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (node, told) = (node.clone(), told.clone());
                thread::spawn(move || serve(stream, &node, &told, alter));
            }
        });
        Self { rpc, lies }
    }

    /// Has it lie, or tell the truth again.
    pub fn lie(&self, lies: bool) {
        self.lies.store(lies, Ordering::Relaxed);
    }
}

/// Answers the requests of one connection. Whoever asks sees a broken one as a node that is away.
fn serve(stream: TcpStream, node: &str, lies: &AtomicBool, alter: Alter) -> Option<()> {
    let mut asked = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let request = body(&mut asked)?;
        let mut passed_on =
            ureq::post(node).header("content-type", "application/json").send(&request[..]).ok()?;
        let mut answer: Value =
            passed_on.body_mut().with_config().limit(1 << 26).read_json().ok()?;
        if lies.load(Ordering::Relaxed) {
            alter(&serde_json::from_slice(&request).ok()?, &mut answer);
        }
        let answer = answer.to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
        write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).ok()?;
    }
}

/// The body of the next request; `None` where no other comes.
fn body(asked: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = None;
    loop {
        let mut line = String::new();
        asked.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().ok();
            }
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length?];
    asked.read_exact(&mut body).ok()?;
    Some(body)
}
