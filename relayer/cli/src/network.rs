//! A network of a hub, two islets and a relayer in one folder of this machine.
//!
//! The folder holds all there is: keys, genesis documents, configurations, ledgers, logs. It is
//! made once; every part is then run by its own configuration, as it would be anywhere.

mod chain;

use crate::{
    evm::RawEvm,
    party::{Ledger, Party},
    process::{Lives, Process, free_ports, stop_by_id},
    relayer_config, swap,
};
use anyhow::{Context as _, ensure};
use chain::NewChain;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tombolo_crypto::{client::genesis_anchor, digest, secp256k1::SecretKey};
use tombolo_islet::signer::random;
use tombolo_node::{
    config::RawKey,
    keys::{Cost, KeyError, Keystore, Passphrase, PassphraseSource},
};
use tombolo_proto::client::LedgerClient;
use tombolo_types::{Address, id::AssetId};

/// The hub's name.
pub(crate) const HUB: &str = "hub";
/// The islet of the weather station.
pub(crate) const SEATTLE: &str = "seattle";
/// The islet of the observatory.
pub(crate) const MAUNA_LOA: &str = "mauna-loa";
/// The relayer of the links to the islets; also its key's name, and which command runs it.
pub(crate) const RELAYER: &str = "relayer";
/// The parties that govern the hub from genesis on.
pub(crate) const STAKEHOLDERS: [&str; 3] = ["city", "observatory", "university"];
/// Parties that are registered by quorum.
pub(crate) const DEVICES: [&str; 3] = ["weather-station", "co2-analyser", "old-station"];
/// Names the coin of the network's accounts.
pub(crate) const COIN: &str = "demo-coin";
/// What an account holds from the first block on, in the coin's smallest unit.
pub(crate) const BALANCE: u128 = 1_000_000;

const FILE: &str = "network.json";
const PASSPHRASE: &str = "passphrase";
/// How long a part may take until it answers.
const START_WITHIN: Duration = Duration::from_secs(30);

/// One part of a network, as the folder describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// `hub`, `hub-2` and so on, an islet's name, or `relayer`.
    pub(crate) name: String,
    /// Which command runs it: `hub`, `islet` or `relayer`.
    pub(crate) kind: String,
    /// The chain; `None` for the relayer.
    pub(crate) chain: Option<String>,
    /// Where it serves: gRPC, or the relayer's status page.
    pub(crate) serves: SocketAddr,
    /// Where a node's metrics are; the relayer's stand on its status page.
    pub(crate) metrics: Option<SocketAddr>,
    /// Its process, where it runs alone.
    pub(crate) process: Option<u32>,
}

/// A network in a folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Network {
    #[serde(skip)]
    pub(crate) home: PathBuf,
    pub(crate) parts: Vec<Part>,
}

/// The coin of the network's accounts.
pub(crate) fn coin() -> AssetId {
    digest::Preimage::tagged("asset").bytes(COIN.as_bytes()).finish().into()
}

impl Network {
    /// Makes a network in an empty or absent folder, with so many validators of the hub.
    pub(crate) fn create(home: &Path, validators: usize) -> anyhow::Result<Self> {
        fs::create_dir_all(home.join("logs"))
            .with_context(|| format!("making {}", home.display()))?;
        let home = home.canonicalize().context("resolving the folder")?;
        ensure!(
            !home.join(FILE).exists(),
            "{} holds a network already; use `tombolo devnet up --home` to start it, or another folder",
            home.display()
        );
        let passphrase = write_passphrase(&home)?;
        let parties = Keystore::new(home.join("parties"));
        let mut keys = BTreeMap::new();
        let others = ["operator", "relayer", "council-1", "council-2", "council-3"];
        for name in STAKEHOLDERS.into_iter().chain(DEVICES).chain(others) {
            keys.insert(name, parties.create(name, &passphrase, Cost::DEVNET)?);
        }
        let mut ports = free_ports(NewChain::PORTS * (validators + 2) + 1)?.into_iter();
        let hub = NewChain::make(&home, HUB, validators, &mut ports, &passphrase)?;
        let genesis = hub.genesis(&keys, None);
        let anchor = genesis_anchor(&genesis);
        let mut parts = hub.write(&genesis)?;
        for name in [SEATTLE, MAUNA_LOA] {
            let islet = NewChain::make(&home, name, 1, &mut ports, &passphrase)?;
            parts.extend(islet.write(&islet.genesis(&keys, Some(&anchor)))?);
        }
        parts.push(Part {
            name: "relayer".into(),
            kind: "relayer".into(),
            chain: None,
            serves: ports.next().context("too few free ports")?,
            metrics: None,
            process: None,
        });
        let network = Self { home, parts };
        let islets = vec![Self::end(network.part(SEATTLE)?), Self::end(network.part(MAUNA_LOA)?)];
        network.keep_key(RELAYER, RELAYER, &keys[RELAYER])?;
        network.write_relayer(RELAYER, islets)?;
        for name in STAKEHOLDERS {
            network.write_swap_party(name, &keys[name], &passphrase)?;
        }
        network.save()?;
        Ok(network)
    }

    /// The network that a folder holds.
    pub(crate) fn open(home: &Path) -> anyhow::Result<Self> {
        let home = home
            .canonicalize()
            .with_context(|| format!("there is no folder {}", home.display()))?;
        let text = fs::read_to_string(home.join(FILE)).with_context(|| {
            format!("{} holds no network; `tombolo devnet up` makes one", home.display())
        })?;
        Ok(Self { home, ..serde_json::from_str(&text).context("reading network.json")? })
    }

    /// Writes down what the network is.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        write_private(&self.home.join(FILE), &serde_json::to_string_pretty(self)?)
    }

    fn end(part: &Part) -> relayer_config::RawEnd {
        relayer_config::RawEnd {
            name: part.name.clone(),
            grpc: format!("http://{}", part.serves),
            chain_id: part.chain.clone().unwrap_or_default(),
        }
    }

    /// A folder from which `tombolo swap` acts for a stakeholder. Nothing runs there by itself.
    fn write_swap_party(
        &self,
        name: &str,
        key: &SecretKey,
        passphrase: &Passphrase,
    ) -> anyhow::Result<()> {
        let home = self.home.join(name);
        Keystore::new(home.join("keys")).import(name, key, passphrase, Cost::DEVNET)?;
        let config = swap::config::RawConfig {
            home: home.clone(),
            key: RawKey {
                keystore: name.into(),
                passphrase: Some(PassphraseSource::File(self.home.join(PASSPHRASE))),
            },
            hub: Self::end(self.part(HUB)?),
            chains: vec![Self::end(self.part(SEATTLE)?), Self::end(self.part(MAUNA_LOA)?)],
            ..swap::config::RawConfig::default()
        };
        write_private(&home.join("config.toml"), &toml::to_string(&config)?)
    }

    /// Names an EVM chain to every stakeholder, for swaps. A service that runs must be started anew.
    pub(crate) fn let_swap(&self, chain: &swap::evm::RawEvm) -> anyhow::Result<()> {
        for name in STAKEHOLDERS {
            let path = self.config(name);
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {name}'s words"))?;
            let mut config: swap::config::RawConfig = toml::from_str(&text)?;
            // One that broke off on the way is done again, with another contract.
            config.evm.retain(|other| other.name != chain.name);
            config.evm.push(chain.clone());
            write_private(&path, &toml::to_string(&config)?)?;
        }
        Ok(())
    }

    /// The words of a relayer whose key is kept.
    fn write_relayer(&self, part: &str, chains: Vec<relayer_config::RawEnd>) -> anyhow::Result<()> {
        let home = self.home.join(part);
        let config = relayer_config::RawConfig {
            home: home.clone(),
            key: RawKey {
                keystore: RELAYER.into(),
                passphrase: Some(PassphraseSource::File(self.home.join(PASSPHRASE))),
            },
            status_listen: Some(self.part(part)?.serves.to_string()),
            hub: Self::end(self.part(HUB)?),
            chains,
            // A demonstration wants to see what became of a share at once.
            acknowledge_after: Some("500ms".into()),
            ..relayer_config::RawConfig::default()
        };
        write_private(&home.join("config.toml"), &toml::to_string(&config)?)
    }

    /// Makes one more relayer, with a key of its own; it serves nothing yet. It is a part of the
    /// network once all of it is there, and what an attempt that broke off has left is used.
    pub(crate) fn add_relayer(&mut self, name: &str) -> anyhow::Result<()> {
        ensure!(self.part(name).is_err(), "the network has a part named {name} already");
        self.own_key(name, RELAYER)?;
        self.parts.push(Part {
            name: name.into(),
            kind: RELAYER.into(),
            chain: None,
            serves: *free_ports(1)?.first().context("no free port")?,
            metrics: None,
            process: None,
        });
        self.write_relayer(name, Vec::new())?;
        self.save()
    }

    /// Has a relayer serve an EVM chain by these words, once it is started anew.
    pub(crate) fn have_served(&self, name: &str, chain: RawEvm) -> anyhow::Result<()> {
        let path = self.config(name);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {name}'s words"))?;
        let mut config: relayer_config::RawConfig = toml::from_str(&text)?;
        config.evm.retain(|known| known.name != chain.name);
        config.evm.push(chain);
        write_private(&path, &toml::to_string(&config)?)
    }

    /// Starts a part anew that runs alone.
    pub(crate) async fn restart(&mut self, name: &str) -> anyhow::Result<()> {
        if let Some(id) = self.part(name)?.process {
            stop_by_id(id, &self.home.to_string_lossy()).await;
        }
        let mut process = self.start(name, Lives::Alone)?;
        self.wait_until_up(&mut process).await?;
        for part in self.parts.iter_mut().filter(|part| part.name == name) {
            part.process = process.id();
        }
        self.save()
    }

    /// One part.
    pub(crate) fn part(&self, name: &str) -> anyhow::Result<&Part> {
        let part = self.parts.iter().find(|part| part.name == name);
        part.with_context(|| format!("the network has no part named {name}"))
    }

    /// The configuration file of a part.
    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.home.join(name).join("config.toml")
    }

    /// A ledger of the network.
    pub(crate) fn ledger(&self, name: &str) -> anyhow::Result<Ledger> {
        let part = self.part(name)?;
        let chain = part.chain.as_deref().context("a relayer is no ledger")?;
        Ok(Ledger {
            name: name.into(),
            chain: chain.parse()?,
            client: LedgerClient::new(&format!("http://{}", part.serves))?,
        })
    }

    /// A party of the network, with its key.
    pub(crate) fn party(&self, name: &str) -> anyhow::Result<Party> {
        let passphrase = PassphraseSource::File(self.home.join(PASSPHRASE)).read()?;
        let key = Keystore::new(self.home.join("parties")).load(name, &passphrase)?;
        Ok(Party::new(name, key))
    }

    /// The stakeholders' names, each with its account on every ledger.
    pub(crate) fn stakeholders(
        &self,
    ) -> anyhow::Result<impl Iterator<Item = (String, Address)> + use<>> {
        let all = Keystore::new(self.home.join("parties")).list()?;
        Ok(all.into_iter().filter(|(name, _)| STAKEHOLDERS.contains(&name.as_str())))
    }

    fn keys_of(&self, relayer: &str) -> anyhow::Result<(Keystore, Passphrase)> {
        let passphrase = PassphraseSource::File(self.home.join(PASSPHRASE)).read()?;
        Ok((Keystore::new(self.home.join(relayer).join("keys")), passphrase))
    }

    /// Keeps a key with those of a relayer, under their passphrase; one that is kept already, by an
    /// attempt that broke off, stays.
    pub(crate) fn keep_key(
        &self,
        relayer: &str,
        name: &str,
        key: &SecretKey,
    ) -> anyhow::Result<()> {
        let (keys, passphrase) = self.keys_of(relayer)?;
        match keys.import(name, key, &passphrase, Cost::DEVNET) {
            Err(KeyError::Exists { .. })
                if keys.load(name, &passphrase)?.address() == key.address() =>
            {
                Ok(())
            }
            kept => Ok(kept?),
        }
    }

    /// A key of a relayer.
    pub(crate) fn key_of(&self, relayer: &str, name: &str) -> anyhow::Result<SecretKey> {
        let (keys, passphrase) = self.keys_of(relayer)?;
        Ok(keys.load(name, &passphrase)?)
    }

    /// A key of a relayer, which is made where there is none of this name.
    pub(crate) fn own_key(&self, relayer: &str, name: &str) -> anyhow::Result<SecretKey> {
        let (keys, passphrase) = self.keys_of(relayer)?;
        match keys.create(name, &passphrase, Cost::DEVNET) {
            Err(KeyError::Exists { .. }) => Ok(keys.load(name, &passphrase)?),
            made => Ok(made?),
        }
    }

    /// Starts a part.
    pub(crate) fn start(&self, name: &str, lives: Lives) -> anyhow::Result<Process> {
        let part = self.part(name)?;
        let config = self.config(name);
        let config = config.to_str().context("the folder's path is not UTF-8")?;
        let log = self.home.join("logs").join(format!("{name}.log"));
        Process::start(name, &[&part.kind, "start", "--config", config], &log, lives)
    }

    /// Waits until a ledger answers and has made a block; names the log where it has not.
    pub(crate) async fn wait_until_up(&self, process: &mut Process) -> anyhow::Result<()> {
        let name = process.name().to_owned();
        let log = self.home.join("logs").join(format!("{name}.log"));
        let said = || last_lines(&log);
        let end = tokio::time::Instant::now() + START_WITHIN;
        let serves = self.part(&name)?.serves;
        loop {
            if let Some(status) = process.ended() {
                anyhow::bail!("{name} ended with {status}; it said:\n{}", said());
            }
            let up = match self.ledger(&name) {
                Ok(ledger) => ledger.client.status().await.is_ok_and(|status| status.height.0 > 0),
                Err(_) => tokio::net::TcpStream::connect(serves).await.is_ok(),
            };
            if up {
                return Ok(());
            }
            ensure!(
                tokio::time::Instant::now() < end,
                "{name} does not answer at {serves} after {START_WITHIN:?}; it said:\n{}",
                said()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn last_lines(log: &Path) -> String {
    const LINES: usize = 12;
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Writes a file that its owner alone may read, for an address in it may hold a password. Whoever is
/// ended meanwhile leaves what was there before.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        // Its owner's alone from the start.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(io::Error::from)
    };
    written().with_context(|| format!("writing {}", path.display()))
}

fn write_passphrase(home: &Path) -> anyhow::Result<Passphrase> {
    let text = random().to_string();
    let path = home.join(PASSPHRASE);
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(file, "{text}")?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_is_written_is_its_owners_alone_and_never_half_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.toml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let before = fs::File::open(&path).unwrap();
        write_private(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // Whoever reads meanwhile has the old one, all of it.
        assert_eq!(io::read_to_string(before).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
