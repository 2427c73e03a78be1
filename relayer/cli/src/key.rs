//! Encrypted keys.

use crate::output;
use serde_json::json;
use std::path::PathBuf;
use tombolo_crypto::digest;
use tombolo_node::keys::{Cost, Keystore, PassphraseSource};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Makes a new key.
    #[command(
        after_help = "Example: tombolo key new --keystore keys --name relayer --passphrase-file secret"
    )]
    New {
        #[command(flatten)]
        store: Store,
        /// The key's name: lower case letters, digits, `-`, `_` and `.`.
        #[arg(long)]
        name: String,
        /// A file whose first line is the passphrase. Default: the variable TOMBOLO_PASSPHRASE.
        #[arg(long)]
        passphrase_file: Option<PathBuf>,
    },
    /// Lists the keys of a keystore.
    List {
        #[command(flatten)]
        store: Store,
    },
}

#[derive(clap::Args)]
pub(crate) struct Store {
    /// The keystore's folder.
    #[arg(long, default_value = "keys")]
    keystore: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New { store, name, passphrase_file } => {
            let source = match passphrase_file {
                Some(file) => PassphraseSource::File(file),
                None => PassphraseSource::Env("TOMBOLO_PASSPHRASE".into()),
            };
            let key =
                Keystore::new(&store.keystore).create(&name, &source.read()?, Cost::STRONG)?;
            print(store.json, [(name, key.address())]);
        }
        Command::List { store } => print(store.json, Keystore::new(&store.keystore).list()?),
    }
    Ok(())
}

pub(crate) fn print(
    as_json: bool,
    keys: impl IntoIterator<Item = (String, tombolo_types::Address)>,
) {
    for (name, address) in keys {
        let identity = digest::identity_id(address);
        if as_json {
            output::json(&json!({
                "name": name, "address": address.to_string(), "identity": identity.to_string(),
            }));
        } else {
            println!("{name:<20} {address}  identity {identity}");
        }
    }
}
