//! The configuration of a node: TOML as it is written, and the values that nothing invalid
//! survives.

use crate::keys::PassphraseSource;
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tombolo_engine::{Peer, PeerId};
use tracing_subscriber::EnvFilter;

/// A commented configuration with every key.
pub const EXAMPLE: &str = include_str!("example.toml");

const STORE_CACHE_DEFAULT: &str = "64MiB";
const STORE_CACHE_MIN: u64 = 1 << 20;
const STORE_CACHE_MAX: u64 = 1 << 40;
/// The most peers; a validator set has at most a hundred members.
const PEERS_MAX: usize = 256;
const MONIKER_BYTES_MAX: usize = 64;

/// The configuration as it is written. Only [`Config`] is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// The node's folder.
    pub home: PathBuf,
    /// The genesis document.
    pub genesis: PathBuf,
    /// The consensus key.
    pub key: RawKey,
    /// A name for logs and metrics.
    pub moniker: String,
    /// Where gRPC is served.
    pub grpc_listen: String,
    /// Where validators connect.
    pub p2p_listen: String,
    /// Where metrics are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_listen: Option<String>,
    /// What is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// How it is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_format: Option<String>,
    /// Where spans are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// The store's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_cache: Option<String>,
    /// The other nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<RawPeer>,
}

/// Where the consensus key is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawKey {
    /// Its name in the keystore.
    pub keystore: String,
    /// Where its passphrase is to be had.
    pub passphrase: Option<PassphraseSource>,
}

/// Another node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPeer {
    /// `host:port` for consensus.
    pub p2p: String,
    /// The name of its connection key.
    pub peer_id: String,
    /// Its gRPC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<String>,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// A node's configuration. Nothing invalid gets here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node's folder.
    pub home: PathBuf,
    /// The genesis document.
    pub genesis: PathBuf,
    /// The name of the consensus key in [`Config::keystore`].
    pub key: String,
    /// Where its passphrase is to be had.
    pub passphrase: PassphraseSource,
    /// A name for logs and metrics.
    pub moniker: String,
    /// Where gRPC is served.
    pub grpc_listen: SocketAddr,
    /// Where validators connect.
    pub p2p_listen: SocketAddr,
    /// Where metrics are served.
    pub metrics_listen: Option<SocketAddr>,
    /// A filter of `tracing`.
    pub log: String,
    /// How logs are written.
    pub log_format: LogFormat,
    /// The collector to which spans are sent over OTLP.
    pub otlp_endpoint: Option<String>,
    /// The store's cache, in bytes.
    pub store_cache_bytes: u64,
    /// The other nodes, for consensus.
    pub peers: Vec<Peer>,
    /// The gRPC addresses of those that are handed transactions.
    pub push_to: Vec<String>,
}

impl Config {
    /// What the node logs.
    #[must_use]
    pub fn telemetry(&self) -> crate::telemetry::Settings<'_> {
        crate::telemetry::Settings {
            service: "tombolo-node",
            instance: &self.moniker,
            log: &self.log,
            format: self.log_format,
            otlp_endpoint: self.otlp_endpoint.as_deref(),
        }
    }

    /// The folder of the keystore.
    #[must_use]
    pub fn keystore(&self) -> PathBuf {
        self.home.join("keys")
    }
}

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// What it must be.
    pub expected: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?}: expected {}", self.key, self.value, self.expected)
    }
}

/// Why a configuration is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, or a key that is unknown, missing or of another type.
    #[error("the configuration is malformed: {0}")]
    Malformed(String),
    /// Values that are none; all of them.
    #[error("the configuration has {} faults:{}", .0.len(), list(.0))]
    Faults(Vec<Fault>),
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

/// Collects faults, so that all are reported together.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, key: impl Into<String>, value: impl fmt::Display, expected: &str) {
        let (key, value) = (key.into(), value.to_string());
        self.0.push(Fault { key, value, expected: expected.to_owned() });
    }

    fn check(&mut self, good: bool, key: impl Into<String>, value: impl fmt::Display, must: &str) {
        if !good {
            self.add(key, value, must);
        }
    }

    fn url(&mut self, key: impl Into<String>, value: &str) {
        let uri = value.parse::<tonic::transport::Uri>();
        let good = uri.is_ok_and(|uri| uri.scheme().is_some() && uri.authority().is_some());
        self.check(good, key, value, "http://host:port");
    }

    fn address(&mut self, key: &str, value: &str) -> SocketAddr {
        value.parse().unwrap_or_else(|_| {
            self.add(key, value, "an IP address and a port, such as 127.0.0.1:7300");
            SocketAddr::from(([0, 0, 0, 0], 0))
        })
    }
}

/// Reads a size with its unit: B, KiB, MiB or GiB.
fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

impl TryFrom<RawConfig> for Config {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let mut faults = Faults::default();
        let RawConfig { home, genesis, key, moniker, grpc_listen, p2p_listen, .. } = raw;
        faults.check(home.is_absolute(), "home", home.display(), "an absolute path");
        faults.check(!genesis.as_os_str().is_empty(), "genesis", "", "the path of a file");
        let named = crate::keys::Keystore::new("").path(&key.keystore).is_ok();
        faults.check(named, "key.keystore", &key.keystore, "the name of a key in home/keys");
        let passphrase = key.passphrase.unwrap_or_else(|| {
            faults.add("key.passphrase", "", "{ env = \"NAME\" } or { file = \"path\" }");
            PassphraseSource::Env(String::new())
        });
        let good = !moniker.is_empty() && moniker.len() <= MONIKER_BYTES_MAX;
        faults.check(good, "moniker", &moniker, "a name of 1 to 64 bytes");
        let grpc_listen = faults.address("grpc_listen", &grpc_listen);
        let p2p_listen = faults.address("p2p_listen", &p2p_listen);
        let metrics_listen =
            raw.metrics_listen.map(|value| faults.address("metrics_listen", &value));
        let log = raw.log.unwrap_or_else(|| "info".to_owned());
        faults.check(EnvFilter::try_new(&log).is_ok(), "log", &log, "a level or a filter of them");
        let log_format = match raw.log_format.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                faults.add("log_format", other, "text or json");
                LogFormat::Text
            }
        };
        if let Some(endpoint) = &raw.otlp_endpoint {
            faults.url("otlp_endpoint", endpoint);
        }
        let cache = raw.store_cache.unwrap_or_else(|| STORE_CACHE_DEFAULT.to_owned());
        let store_cache_bytes = bytes_of(&cache).unwrap_or_default();
        let good = (STORE_CACHE_MIN..=STORE_CACHE_MAX).contains(&store_cache_bytes);
        faults.check(good, "store_cache", &cache, "a size from 1MiB to 1024GiB, such as 64MiB");
        let (peers, push_to) = peers(raw.peers, &mut faults);
        if !faults.0.is_empty() {
            return Err(ConfigError::Faults(faults.0));
        }
        Ok(Self {
            genesis: home.join(genesis),
            passphrase: match passphrase {
                PassphraseSource::File(path) => PassphraseSource::File(home.join(path)),
                env => env,
            },
            home,
            key: key.keystore,
            moniker,
            grpc_listen,
            p2p_listen,
            metrics_listen,
            log,
            log_format,
            otlp_endpoint: raw.otlp_endpoint,
            store_cache_bytes,
            peers,
            push_to,
        })
    }
}

fn peers(raw: Vec<RawPeer>, faults: &mut Faults) -> (Vec<Peer>, Vec<String>) {
    faults.check(raw.len() <= PEERS_MAX, "peers", raw.len(), "at most 256 peers");
    let (mut peers, mut push_to) = (Vec::<Peer>::new(), Vec::new());
    for (position, peer) in raw.into_iter().enumerate() {
        let key = |field: &str| format!("peers[{position}].{field}");
        let port = peer
            .p2p
            .rsplit_once(':')
            .and_then(|(host, port)| (!host.is_empty()).then_some(port)?.parse::<u16>().ok());
        faults.check(port.is_some(), key("p2p"), &peer.p2p, "host:port");
        if let Some(grpc) = peer.grpc {
            faults.url(key("grpc"), &grpc);
            push_to.push(grpc);
        }
        match peer.peer_id.parse::<PeerId>() {
            Ok(peer_id) => {
                let twice = peers.iter().any(|other| other.peer_id == peer_id);
                faults.check(!twice, key("peer_id"), peer_id, "each peer once");
                peers.push(Peer { address: peer.p2p, peer_id });
            }
            Err(_) => faults.add(key("peer_id"), peer.peer_id, "a peer id such as 12D3KooW…"),
        }
    }
    (peers, push_to)
}

impl RawConfig {
    /// Reads TOML; relative `home` is taken from the folder of nothing, so it must be absolute.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::Malformed(error.to_string()))
    }

    /// The TOML that [`Self::parse`] reads.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`] for a path that is not UTF-8.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| ConfigError::Malformed(error.to_string()))
    }
}

/// Reads and checks a configuration; all faults are reported together.
///
/// # Errors
/// Any [`ConfigError`].
pub fn check(text: &str) -> Result<Config, ConfigError> {
    RawConfig::parse(text)?.try_into()
}

/// Reads and checks a configuration file.
///
/// # Errors
/// Any [`ConfigError`].
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
    check(&text)
}

/// What is in force, defaults included, as TOML. Secrets are only ever named in a configuration,
/// and of a passphrase not even where it lies is shown.
#[must_use]
pub fn show(config: &Config) -> String {
    let mut out = String::new();
    let mut line =
        |key: &str, value: &dyn fmt::Debug| out.push_str(&format!("{key} = {value:?}\n"));
    line("home", &config.home);
    line("genesis", &config.genesis);
    out.push_str(&format!("key = {{ keystore = {:?}, passphrase = \"(hidden)\" }}\n", config.key));
    let mut line = |key: &str, value: &dyn fmt::Display| {
        out.push_str(&format!("{key} = {:?}\n", value.to_string()));
    };
    line("moniker", &config.moniker);
    line("grpc_listen", &config.grpc_listen);
    line("p2p_listen", &config.p2p_listen);
    if let Some(listen) = config.metrics_listen {
        line("metrics_listen", &listen);
    }
    line("log", &config.log);
    let format = if config.log_format == LogFormat::Json { "json" } else { "text" };
    line("log_format", &format);
    if let Some(endpoint) = &config.otlp_endpoint {
        line("otlp_endpoint", endpoint);
    }
    line("store_cache", &format!("{}B", config.store_cache_bytes));
    for peer in &config.peers {
        out.push_str(&format!("\n[[peers]]\np2p = {:?}\n", peer.address));
        out.push_str(&format!("peer_id = {:?}\n", peer.peer_id.to_string()));
    }
    if !config.push_to.is_empty() {
        out.push_str(&format!("# transactions are handed on to {}\n", config.push_to.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_parses_and_names_every_key() {
        let config = check(EXAMPLE).unwrap();
        assert_eq!(config.genesis, Path::new("/var/lib/tombolo/genesis.abi"));
        assert_eq!(config.peers.len(), 1);
        assert_eq!(config.push_to, ["http://192.0.2.11:7300"]);
        // With the defaults that stand in comments, nothing changes.
        let all = EXAMPLE.replace("\n# log", "\nlog").replace("\n# store", "\nstore");
        assert_eq!(check(&all).unwrap(), config);
        assert!(RawConfig::parse(&all).unwrap().store_cache.is_some());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let raw = RawConfig::parse(EXAMPLE).unwrap();
        assert_eq!(RawConfig::parse(&raw.to_toml().unwrap()).unwrap(), raw);
    }

    #[test]
    fn all_faults_are_reported_together() {
        let text = r#"
            home = "var"
            genesis = ""
            key = { keystore = "../key" }
            moniker = ""
            grpc_listen = "localhost"
            p2p_listen = "0.0.0.0"
            metrics_listen = "9"
            log = "info,=,"
            log_format = "xml"
            otlp_endpoint = "collector"
            store_cache = "12"
            [[peers]]
            p2p = "nowhere"
            peer_id = "me"
            grpc = "here"
        "#;
        let Err(ConfigError::Faults(faults)) = check(text) else { panic!("it was taken") };
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        let expected = [
            "home",
            "genesis",
            "key.keystore",
            "key.passphrase",
            "moniker",
            "grpc_listen",
            "p2p_listen",
            "metrics_listen",
            "log",
            "log_format",
            "otlp_endpoint",
            "store_cache",
            "peers[0].p2p",
            "peers[0].grpc",
            "peers[0].peer_id",
        ];
        assert_eq!(keys, expected);
        let message = ConfigError::Faults(faults).to_string();
        assert!(message.contains("grpc_listen = \"localhost\": expected an IP address and a port"));
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = EXAMPLE.replace("moniker =", "nickname = \"n\"\nmoniker =");
        assert!(
            matches!(check(&text), Err(ConfigError::Malformed(why)) if why.contains("nickname"))
        );
    }

    #[test]
    fn sizes_carry_units() {
        for (text, bytes) in [
            ("1B", Some(1)),
            ("32KiB", Some(32 << 10)),
            ("64MiB", Some(64 << 20)),
            ("2GiB", Some(2 << 30)),
            ("64", None),
            ("MiB", None),
            ("64MB", None),
            ("99999999999999GiB", None),
        ] {
            assert_eq!(bytes_of(text), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_shown_hides_the_passphrase() {
        let shown = show(&check(EXAMPLE).unwrap());
        assert!(shown.contains("store_cache = \"67108864B\""), "{shown}");
        assert!(!shown.contains("TOMBOLO_PASSPHRASE"), "{shown}");
    }
}
