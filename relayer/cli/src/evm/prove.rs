//! `tombolo link prove`: an owner proves the two keys of its node of mode 3 on its own machine, and
//! hands the file to whoever creates the link.
//!
//! Spec: Y.4560 cl. 10.2. Req: Y4560-10.2-3.1

use crate::{output, tx::signature};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tombolo_crypto::{digest, secp256k1};
use tombolo_node::keys::{Keystore, PassphraseSource};
use tombolo_relayer::attest::prove;
use tombolo_types::{
    Address, Class, Refusal,
    attested::{INTERWORKING, SharedNode},
    header::Signature,
    id::{ChainId, LinkId},
};

#[derive(clap::Args)]
#[command(
    after_help = "Example: tombolo link prove --hub 0x9a03… --link 0x7d11… --keystore keys --name relayer --account harbour --url http://203.0.113.7:7500 --out alice.json"
)]
pub(crate) struct Arguments {
    /// The hub's chain id.
    #[arg(long, value_name = "CHAIN_ID")]
    hub: ChainId,
    /// The link, as `tombolo link create --dry-run` says it.
    #[arg(long, value_name = "LINK")]
    link: LinkId,
    /// The keystore's folder.
    #[arg(long, default_value = "keys")]
    keystore: PathBuf,
    /// The name of the node's key at the hub.
    #[arg(long)]
    name: String,
    /// The name of the key of its account on the chain.
    #[arg(long)]
    account: String,
    /// A file whose first line is the passphrase. Default: the variable TOMBOLO_PASSPHRASE.
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
    /// Where the other nodes ask it: its `node_listen`, as they reach it.
    #[arg(long)]
    url: String,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The file. Bytes are in hexadecimal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProof {
    url: String,
    hub: String,
    link: String,
    hub_key: String,
    chain_key: String,
    hub_signature: String,
    chain_signature: String,
}

/// A node of another owner, which holds both keys that it names.
pub(crate) struct ProvedNode {
    /// Where it is asked.
    pub(super) url: String,
    pub(super) shared: SharedNode,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let source = match &arguments.passphrase_file {
        Some(file) => PassphraseSource::File(file.clone()),
        None => PassphraseSource::Env("TOMBOLO_PASSPHRASE".into()),
    };
    let (keys, passphrase) = (Keystore::new(&arguments.keystore), source.read()?);
    let key = keys.load(&arguments.name, &passphrase)?;
    let account = keys.load(&arguments.account, &passphrase)?;
    let shared = prove(arguments.hub, arguments.link, &key, &account);
    let hex = |signature: Signature| format!("0x{}", hex::encode(signature.0));
    let raw = RawProof {
        url: arguments.url.clone(),
        hub: arguments.hub.to_string(),
        link: arguments.link.to_string(),
        hub_key: shared.hub_key.to_string(),
        chain_key: shared.chain_key.to_string(),
        hub_signature: hex(shared.hub_signature),
        chain_signature: hex(shared.chain_signature),
    };
    fs::write(&arguments.out, serde_json::to_string_pretty(&raw)?)
        .with_context(|| format!("writing {}", arguments.out.display()))?;
    if arguments.json {
        output::json(&json!({ "hub_key": raw.hub_key, "chain_key": raw.chain_key }));
    } else {
        println!("key {} and account {} are proved for this link", raw.hub_key, raw.chain_key);
    }
    Ok(())
}

impl ProvedNode {
    /// Reads a file, and checks it for this link: the hub would refuse it later, and the gateway be
    /// there for nothing.
    pub(super) fn read(path: &Path, hub: ChainId, link: LinkId) -> anyhow::Result<Self> {
        let file = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("reading {file}"))?;
        let raw: RawProof =
            serde_json::from_str(&text).with_context(|| format!("{file} proves no node"))?;
        let (hub_key, chain_key): (Address, Address) =
            (raw.hub_key.parse()?, raw.chain_key.parse()?);
        let shared = SharedNode {
            hub_key,
            chain_key,
            capabilities: INTERWORKING,
            hub_signature: signature(&raw.hub_signature)?,
            chain_signature: signature(&raw.chain_signature)?,
        };
        let challenge = digest::shared_node(hub, link, hub_key, chain_key, INTERWORKING);
        let by = |signature| secp256k1::recover(challenge, signature).ok();
        let both = (by(&shared.hub_signature), by(&shared.chain_signature));
        if both != (Some(hub_key), Some(chain_key)) {
            let why = format!(
                "{file} proves a node of link {} of hub {}, not of link {link} of hub {hub}; have it \
                 proved again",
                raw.link, raw.hub
            );
            return Err(Refusal::new(Class::Auth, why).into());
        }
        Ok(Self { url: raw.url, shared })
    }
}
