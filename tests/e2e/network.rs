//! A devnet: real processes of the command on loopback, and what a test does to them.

use crate::{
    party::{Ledger, Party},
    run::{alone, command, eventually, good, last_json, processes_of, tombolo},
};
use serde_json::Value;
use std::{
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::sync::MutexGuard;
use tombolo_node::keys::{Keystore, PassphraseSource};
use tombolo_proto::LedgerClient;

/// How long a part may take until it answers.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A network that is taken down whatever happens.
pub(crate) struct Devnet {
    _folder: tempfile::TempDir,
    pub(crate) home: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Devnet {
    pub(crate) fn up() -> Self {
        Self::up_with(&[])
    }

    /// A folder in which a test makes a network itself.
    pub(crate) fn folder() -> Self {
        let alone = alone();
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("net");
        Self { _folder: folder, home, _alone: alone }
    }

    /// Made by `devnet up` with more words.
    pub(crate) fn up_with(words: &[&str]) -> Self {
        let devnet = Self::folder();
        let home = devnet.home.to_str().unwrap();
        good(&[&["devnet", "up", "--json", "--home", home], words].concat());
        devnet
    }

    /// Has every part started again, with its spans sent to a collector at once.
    pub(crate) fn export_spans_to(&self, collector: SocketAddr) {
        self.tombolo("down");
        for part in ["hub", "seattle", "mauna-loa", "relayer"] {
            let config = self.home.join(part).join("config.toml");
            let text = std::fs::read_to_string(&config).unwrap();
            let text = format!("otlp_endpoint = \"http://{collector}\"\n{text}");
            std::fs::write(&config, text).unwrap();
        }
        let up = command(&["devnet", "up", "--home", self.home.to_str().unwrap()])
            .env("OTEL_BSP_SCHEDULE_DELAY", "100")
            .output()
            .unwrap();
        assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    }

    /// What `devnet` says to a verb.
    pub(crate) fn tombolo(&self, verb: &str) -> Value {
        last_json(&good(&["devnet", verb, "--json", "--home", self.home.to_str().unwrap()]))
    }

    /// A part as `devnet status` shows it.
    pub(crate) fn part(&self, name: &str) -> Value {
        // Where a part does not run, this exits 1 and shows the others all the same.
        let home = self.home.to_str().unwrap();
        let shown = tombolo(&["devnet", "status", "--json", "--home", home]);
        let status = last_json(&String::from_utf8(shown.stdout).unwrap());
        let parts = status["parts"].as_array().unwrap();
        parts.iter().find(|part| part["name"] == name).unwrap().clone()
    }

    /// Where a part serves.
    pub(crate) fn serves(&self, name: &str) -> SocketAddr {
        self.part(name)["serves"].as_str().unwrap().parse().unwrap()
    }

    /// Where a node shows its metrics.
    pub(crate) fn metrics(&self, name: &str) -> SocketAddr {
        self.part(name)["metrics"].as_str().unwrap().parse().unwrap()
    }

    /// Where a node's peers connect.
    pub(crate) fn peer_port(&self, name: &str) -> SocketAddr {
        tombolo_node::config::load(&self.home.join(name).join("config.toml")).unwrap().p2p_listen
    }

    /// The number of the process that runs a part, whoever started it.
    pub(crate) fn process(&self, name: &str) -> Option<u32> {
        processes_of(&self.home.join(name).join("config.toml")).first().copied()
    }

    /// Ends a part as a power cut would.
    pub(crate) fn kill(&self, name: &str) {
        let id = self.process(name).unwrap_or_else(|| panic!("{name} does not run"));
        kill(id);
        eventually(&format!("{name} is gone"), Duration::from_secs(10), || {
            self.process(name).is_none().then_some(())
        });
    }

    /// Starts a part that was killed, by its own configuration.
    pub(crate) fn start(&self, name: &str) {
        let kind = self.part(name)["kind"].as_str().unwrap().to_owned();
        self.start_as(name, &kind);
    }

    /// Starts the process of a folder of the network.
    pub(crate) fn start_as(&self, name: &str, kind: &str) {
        let config = self.home.join(name).join("config.toml");
        let log = self.home.join("logs").join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = command(&[kind, "start", "--config", config.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        // Whoever waits for it is this thread; it ends with the network.
        std::thread::spawn(move || child.wait_with_output());
    }

    /// A ledger of the network, once it answers.
    pub(crate) async fn ledger(&self, name: &str) -> Ledger {
        let serves = self.serves(name);
        let client = LedgerClient::new(&format!("http://{serves}")).unwrap();
        let end = tokio::time::Instant::now() + START_WITHIN;
        loop {
            match client.status().await {
                Ok(status) => return Ledger { chain: status.chain_id, client },
                Err(error) => {
                    assert!(tokio::time::Instant::now() < end, "{name} does not answer: {error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// What a part has logged.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.join("logs").join(format!("{name}.log"))).unwrap()
    }

    /// A party of the network, with its key.
    pub(crate) fn party(&self, name: &str) -> Party {
        let passphrase = PassphraseSource::File(self.home.join("passphrase")).read().unwrap();
        let keys = Keystore::new(self.home.join("parties"));
        Party::new(keys.load(name, &passphrase).unwrap())
    }
}

/// A port of this machine that nobody listens at.
pub(crate) fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Bytes of memory that a process holds.
pub(crate) fn resident_bytes(process: u32) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

impl Drop for Devnet {
    fn drop(&mut self) {
        processes_of(&self.home).into_iter().for_each(kill);
    }
}

fn kill(id: u32) {
    // It may have ended by itself meanwhile.
    let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
}

/// A page that a part serves over HTTP.
pub(crate) fn page(address: SocketAddr, path: &str) -> String {
    let (status, body) = answer(address, path);
    assert_eq!(status, "200", "{body}");
    body
}

/// What a part answers over HTTP: the status, and the body.
pub(crate) fn answer(address: SocketAddr, path: &str) -> (String, String) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.to_owned(), body.to_owned())
}

/// The sum of a metric over those of its lines whose labels hold all of `labels`; 0 where there is
/// none.
pub(crate) fn metric(page: &str, name: &str, labels: &[&str]) -> f64 {
    page.lines()
        .filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '))
        .filter(|(rest, _)| rest.is_empty() || rest.starts_with('{'))
        .filter(|(rest, _)| labels.iter().all(|label| rest.contains(label)))
        .map(|(_, value)| value.parse::<f64>().unwrap())
        .sum()
}
