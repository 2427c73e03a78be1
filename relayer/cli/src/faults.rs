//! The faults of a configuration, which are reported together, and what relayers and parties of swaps
//! check alike.

use anyhow::bail;
use std::{net::SocketAddr, path::Path};
use tombolo_node::{config::LogFormat, keys::PassphraseSource};

/// What is wrong with a configuration.
#[derive(Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// A key has another value than what is expected.
    pub(crate) fn add(&mut self, key: &str, value: &str, expected: &str) {
        self.0.push(format!("\n  {key} = {value:?}: expected {expected}"));
    }

    /// Ends it where anything is wrong.
    pub(crate) fn refuse(self) -> anyhow::Result<()> {
        match self.0.len() {
            0 => Ok(()),
            count => bail!("the configuration has {count} faults:{}", self.0.concat()),
        }
    }

    pub(crate) fn home(&mut self, home: &Path) {
        if !home.is_absolute() {
            self.add("home", &home.to_string_lossy(), "an absolute path");
        }
    }

    /// Where status is served; `usual` is the port that the example has.
    pub(crate) fn status_listen(&mut self, value: Option<&str>, usual: u16) -> Option<SocketAddr> {
        let value = value?;
        let parsed = value.parse().ok();
        if parsed.is_none() {
            let expected = format!("an IP address and a port, such as 127.0.0.1:{usual}");
            self.add("status_listen", value, &expected);
        }
        parsed
    }

    pub(crate) fn log_format(&mut self, value: Option<&str>) -> LogFormat {
        match value {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                self.add("log_format", other, "text or json");
                LogFormat::Text
            }
        }
    }

    /// Where the key's passphrase is; a file's path begins at `home`.
    pub(crate) fn passphrase(
        &mut self,
        home: &Path,
        source: Option<PassphraseSource>,
    ) -> PassphraseSource {
        match source {
            Some(PassphraseSource::File(path)) => PassphraseSource::File(home.join(path)),
            Some(env) => env,
            None => {
                self.add("key.passphrase", "", "{ env = \"NAME\" } or { file = \"path\" }");
                PassphraseSource::Env(String::new())
            }
        }
    }
}
