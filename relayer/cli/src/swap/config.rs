//! The configuration of a party or a watcher.

use super::evm::{self, RawEvm};
use crate::{
    faults::Faults,
    relayer_config::{End, RawEnd, check_end},
};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tombolo_evm::HtlcConfig;
use tombolo_node::{
    config::{LogFormat, RawKey},
    keys::PassphraseSource,
};
use tombolo_swap_service::Watch;
use tombolo_types::id::ChainId;

/// A commented configuration with every key.
pub(crate) const EXAMPLE: &str = include_str!("example.toml");

/// The configuration as it is written. Only [`Config`] is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConfig {
    /// The party's folder: its key and its journals.
    pub(crate) home: PathBuf,
    /// The party's key.
    pub(crate) key: RawKey,
    /// Where status and metrics are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status_listen: Option<String>,
    /// Whether to act also for those who are absent.
    #[serde(default)]
    pub(crate) watch: bool,
    /// What is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<String>,
    /// How it is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) log_format: Option<String>,
    /// The hub.
    pub(crate) hub: RawEnd,
    /// The islets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) chains: Vec<RawEnd>,
    /// The EVM chains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) evm: Vec<RawEvm>,
}

/// A party's configuration. Nothing invalid gets here.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) home: PathBuf,
    pub(crate) key: String,
    pub(crate) passphrase: PassphraseSource,
    pub(crate) status_listen: Option<SocketAddr>,
    pub(crate) watch: Watch,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    pub(crate) hub: End,
    pub(crate) chains: Vec<Place>,
}

/// A chain on which it swaps.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// A name for logs and commands.
    pub(crate) name: String,
    pub(crate) chain: ChainId,
    pub(crate) kind: Kind,
}

/// How a chain is spoken to.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// An islet, at this gRPC address.
    Islet(String),
    /// A contract on an EVM chain.
    Evm(Box<HtlcConfig>),
}

/// Without where its secrets lie.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swap")
            .field("home", &self.home)
            .field("key", &self.key)
            .field("status_listen", &self.status_listen)
            .field("watch", &self.watch)
            .field("log", &self.log)
            .field("hub", &self.hub)
            .field("chains", &self.chains)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Reads and checks a file; all faults are reported together.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the configuration {} cannot be read", path.display()))?;
        Self::check(&text)
    }

    fn check(text: &str) -> anyhow::Result<Self> {
        let raw: RawConfig = toml::from_str(text)
            .map_err(|error| anyhow::anyhow!("the configuration is malformed: {error}"))?;
        let mut faults = Faults::default();
        faults.home(&raw.home);
        let status_listen = faults.status_listen(raw.status_listen.as_deref(), 7500);
        let log_format = faults.log_format(raw.log_format.as_deref());
        let passphrase = faults.passphrase(&raw.home, raw.key.passphrase);
        let hub = check_end("hub", &raw.hub, &mut faults);
        let mut chains = Vec::new();
        for (position, raw) in raw.chains.iter().enumerate() {
            let key = format!("chains[{position}]");
            let End { name, grpc, chain } = check_end(&key, raw, &mut faults);
            chains.push((key, Place { name, chain, kind: Kind::Islet(grpc) }));
        }
        for (position, raw) in raw.evm.iter().enumerate() {
            let key = format!("evm[{position}]");
            if let Some(config) = evm::check(&key, raw, &mut faults) {
                let (name, chain) = (raw.name.clone(), config.chain());
                chains.push((key, Place { name, chain, kind: Kind::Evm(Box::new(config)) }));
            }
        }
        for (position, (key, place)) in chains.iter().enumerate() {
            if chains.iter().take(position).any(|(_, other)| other.name == place.name) {
                let wanted = "another name than that of another chain";
                faults.add(&format!("{key}.name"), &place.name, wanted);
            }
        }
        if raw.chains.is_empty() && raw.evm.is_empty() {
            faults.add("chains", "", "at least one chain, here or under `evm`");
        }
        faults.refuse()?;
        Ok(Self {
            home: raw.home,
            key: raw.key.keystore,
            passphrase,
            status_listen,
            watch: if raw.watch { Watch::All } else { Watch::Own },
            log: raw.log.unwrap_or_else(|| "info".into()),
            log_format,
            hub,
            chains: chains.into_iter().map(|(_, place)| place).collect(),
        })
    }

    /// A chain by its name.
    pub(crate) fn chain(&self, name: &str) -> anyhow::Result<&Place> {
        let found = self.chains.iter().find(|chain| chain.name == name);
        let names = || self.chains.iter().map(|chain| chain.name.as_str()).collect::<Vec<_>>();
        found.with_context(|| {
            format!("the configuration has no chain `{name}`, but: {}", names().join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_valid_and_shows_the_defaults() {
        let config = Config::check(EXAMPLE).unwrap();
        let shown: String = EXAMPLE
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::check(&shown).unwrap()));
        assert!(!format!("{config:?}").contains("TOMBOLO_PASSPHRASE"));
    }

    #[test]
    fn all_faults_are_reported_together() {
        let text = EXAMPLE
            .replace("/var/lib/tombolo-swap", "somewhere")
            .replace("127.0.0.1:7500", "nowhere")
            .replace("http://127.0.0.1:7300", "ftp://x");
        let error = Config::check(&text).unwrap_err().to_string();
        for key in ["3 faults", "home", "status_listen", "hub.grpc"] {
            assert!(error.contains(key), "{error}");
        }
    }
}
