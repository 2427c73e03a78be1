//! The relayer's configuration.

use crate::{
    evm::{EvmEnd, RawEvm},
    faults::Faults,
};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};
use tombolo_node::{
    config::{LogFormat, RawKey},
    keys::PassphraseSource,
};
use tombolo_relayer::Settings;
use tombolo_types::id::ChainId;

/// A commented configuration with every key.
pub(crate) const EXAMPLE: &str = include_str!("relayer_example.toml");

/// The configuration as it is written. Only [`Config`] is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConfig {
    /// The relayer's folder: its keys.
    pub(crate) home: PathBuf,
    /// The relayer's key.
    pub(crate) key: RawKey,
    /// Where status and metrics are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status_listen: Option<String>,
    /// What is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<String>,
    /// How it is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) log_format: Option<String>,
    /// Where spans are collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) otlp_endpoint: Option<String>,
    /// The most messages in one delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) batch_messages: Option<u64>,
    /// How long an acknowledgement may wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acknowledge_after: Option<String>,
    /// How old a client may grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_after: Option<String>,
    /// The longest wait between attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_longest: Option<String>,
    /// The hub.
    pub(crate) hub: RawEnd,
    /// The ledgers whose links are served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) chains: Vec<RawEnd>,
    /// The EVM chains whose links are served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) evm: Vec<RawEvm>,
}

/// A ledger's node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEnd {
    /// A name for logs, metrics and commands.
    pub(crate) name: String,
    /// Its gRPC address.
    pub(crate) grpc: String,
    /// The hash of its genesis document.
    pub(crate) chain_id: String,
}

/// A relayer's configuration. Nothing invalid gets here.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) home: PathBuf,
    pub(crate) key: String,
    pub(crate) passphrase: PassphraseSource,
    pub(crate) status_listen: Option<SocketAddr>,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    pub(crate) otlp_endpoint: Option<String>,
    pub(crate) settings: Settings,
    pub(crate) hub: End,
    pub(crate) chains: Vec<End>,
    pub(crate) evm: Vec<EvmEnd>,
}

/// A ledger's node.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) name: String,
    pub(crate) grpc: String,
    pub(crate) chain: ChainId,
}

impl Config {
    /// Reads and checks a configuration; all faults are reported together.
    pub(crate) fn check(text: &str) -> anyhow::Result<Self> {
        let raw: RawConfig = toml::from_str(text)
            .map_err(|error| anyhow::anyhow!("the configuration is malformed: {error}"))?;
        let mut faults = Faults::default();
        faults.home(&raw.home);
        let status_listen = faults.status_listen(raw.status_listen.as_deref(), 7400);
        let mut settings = Settings::default();
        let durations = [
            ("acknowledge_after", &raw.acknowledge_after, &mut settings.pace.acknowledge_after_ms),
            ("refresh_after", &raw.refresh_after, &mut settings.pace.refresh_after_ms),
            ("retry_longest", &raw.retry_longest, &mut settings.backoff.longest_ms),
        ];
        for (key, value, setting) in durations {
            match value.as_deref().map(|text| (text, millis(text))) {
                Some((_, Some(parsed))) => *setting = parsed,
                Some((text, None)) => {
                    faults.add(key, text, "a time with its unit, such as 500ms, 10s or 30min")
                }
                None => {}
            }
        }
        let log_format = faults.log_format(raw.log_format.as_deref());
        match raw.batch_messages {
            Some(count) if (1..=1_000).contains(&count) => settings.pace.messages_max = count,
            Some(count) => faults.add("batch_messages", &count.to_string(), "1 to 1000"),
            None => {}
        }
        let passphrase = faults.passphrase(&raw.home, raw.key.passphrase);
        let hub = check_end("hub", &raw.hub, &mut faults);
        let chains: Vec<End> = raw
            .chains
            .iter()
            .enumerate()
            .map(|(position, raw)| check_end(&format!("chains[{position}]"), raw, &mut faults))
            .collect();
        let evm: Vec<EvmEnd> = raw
            .evm
            .iter()
            .enumerate()
            .map(|(position, raw)| raw.check(&format!("evm[{position}]"), &mut faults))
            .collect();
        if chains.is_empty() && evm.is_empty() {
            faults.add("chains", "", "at least one chain, here or under `evm`");
        }
        faults.refuse()?;
        Ok(Self {
            home: raw.home,
            key: raw.key.keystore,
            passphrase,
            status_listen,
            log: raw.log.unwrap_or_else(|| "info".into()),
            log_format,
            otlp_endpoint: raw.otlp_endpoint,
            settings,
            hub,
            chains,
            evm,
        })
    }
}

/// Checks a ledger's node.
pub(crate) fn check_end(key: &str, raw: &RawEnd, faults: &mut Faults) -> End {
    if raw.name.is_empty() {
        faults.add(&format!("{key}.name"), "", "a name");
    }
    if !raw.grpc.starts_with("http://") && !raw.grpc.starts_with("https://") {
        faults.add(&format!("{key}.grpc"), &raw.grpc, "http://host:port");
    }
    let chain = raw.chain_id.parse().unwrap_or_else(|_| {
        faults.add(&format!("{key}.chain_id"), &raw.chain_id, "32 bytes in hexadecimal");
        ChainId::ZERO
    });
    End { name: raw.name.clone(), grpc: raw.grpc.clone(), chain }
}

/// A time with its unit, in milliseconds.
pub(crate) fn millis(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(unit)
}

/// The same as a word of a command.
pub(crate) fn time(text: &str) -> Result<u64, String> {
    millis(text).ok_or_else(|| "expected a time with its unit, such as 90s, 10min or 2h".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_valid_and_shows_the_defaults() {
        let config = Config::check(EXAMPLE).unwrap();
        assert_eq!(config.settings, Settings::default());
        let shown: String = EXAMPLE
            .lines()
            .map(|line| {
                line.strip_prefix("# ")
                    .filter(|line| line.contains(" = ") || line.starts_with("[["))
                    .unwrap_or(line)
            })
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(Config::check(&shown).unwrap().settings, Settings::default());
    }

    #[test]
    fn all_faults_are_reported_together() {
        let text = EXAMPLE
            .replace("/var/lib/tombolo-relayer", "somewhere")
            .replace("127.0.0.1:7400", "nowhere")
            .replace("http://127.0.0.1:7300", "ftp://x");
        let error = Config::check(&text).unwrap_err().to_string();
        for key in ["3 faults", "home", "status_listen", "hub.grpc"] {
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = Config::check(&format!("colour = \"red\"\n{EXAMPLE}")).unwrap_err();
        assert!(error.to_string().contains("colour"), "{error}");
    }
}
