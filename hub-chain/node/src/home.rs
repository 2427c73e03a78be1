//! A node's folder: what lies where, and how it is laid out.
//!
//! | path | what |
//! |---|---|
//! | `keys/` | the encrypted keys |
//! | `ledger/` | the store |
//! | `engine/` | consensus log, guard of the signing key, connection key |
//! | `audit.sqlite` | the auditors' index; rebuilt where it is deleted |
//! | `door.journal` | refusals at the door |
//! | `queries.journal` | what was asked of the audit log |

use crate::keys::{Cost, KeyError, Keystore, Passphrase};
use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_engine::PeerId;
use tombolo_types::{abi::AbiError, header::Genesis, id::ChainId};

/// Why a genesis document cannot be had or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// The file cannot be read or written.
    #[error("the genesis document {} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is not a genesis document: {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: AbiError,
    },
}

/// The folder of the store.
#[must_use]
pub fn ledger_folder(home: &Path) -> PathBuf {
    home.join("ledger")
}

/// The folder of the engine.
#[must_use]
pub fn engine_folder(home: &Path) -> PathBuf {
    home.join("engine")
}

/// The file of the auditors' index.
#[must_use]
pub fn index_file(home: &Path) -> PathBuf {
    home.join("audit.sqlite")
}

/// The file of refusals at the door.
#[must_use]
pub fn door_journal(home: &Path) -> PathBuf {
    home.join("door.journal")
}

/// The file of what was asked of the audit log.
#[must_use]
pub fn query_journal(home: &Path) -> PathBuf {
    home.join("queries.journal")
}

/// Writes a genesis document, its canonical bytes, and gives the chain id. An existing file is
/// not overwritten unless it is the same.
///
/// # Errors
/// [`GenesisError::File`].
pub fn write_genesis(path: &Path, genesis: &Genesis) -> Result<ChainId, GenesisError> {
    let failed = |source| GenesisError::File { path: path.to_owned(), source };
    let bytes = genesis.encode();
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::read(path).map_err(failed)? != bytes {
                return Err(failed(error));
            }
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(digest::chain_id(genesis))
}

/// Reads a genesis document.
///
/// # Errors
/// [`GenesisError`].
pub fn read_genesis(path: &Path) -> Result<Genesis, GenesisError> {
    let bytes =
        fs::read(path).map_err(|source| GenesisError::File { path: path.to_owned(), source })?;
    Genesis::decode(&bytes).map_err(|why| GenesisError::Content { path: path.to_owned(), why })
}

/// Keeps a key in a home under a name.
///
/// # Errors
/// Any [`KeyError`]; an existing key is never overwritten.
pub fn write_key(
    home: &Path,
    name: &str,
    key: &SecretKey,
    passphrase: &Passphrase,
    cost: Cost,
) -> Result<(), KeyError> {
    Keystore::new(home.join("keys")).import(name, key, passphrase, cost)
}

/// The name by which peers know the node with this home; its connection key is made where there
/// is none yet.
///
/// # Errors
/// Where the file of the key cannot be used.
pub fn peer_id(home: &Path) -> Result<PeerId, tombolo_engine::identity::IdentityError> {
    tombolo_engine::peer_id(&engine_folder(home))
}
