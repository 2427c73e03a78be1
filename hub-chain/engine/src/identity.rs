//! The key of a node's network connections, which is not its consensus key.

use arc_malachitebft_app_channel::app::types::{Keypair, PeerId as LibraryPeerId};
use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr,
};

/// The file in a node's home that holds the seed of its connection key, in hexadecimal.
const FILE: &str = "connection.key";

/// Why a connection key cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("the connection key {} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "the connection key {} is not 32 bytes in hexadecimal; restore it, or delete it and tell \
         the peers this node's new peer id",
        path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
    },
}

/// The public name of a node's connection key, by which its peers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(LibraryPeerId);

impl PeerId {
    /// As the consensus library knows it.
    pub(crate) fn of_library(self) -> LibraryPeerId {
        self.0
    }
}

/// Text that is no peer id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a peer id; `peer_id` of that node's home prints it, like 12D3KooW…")]
pub struct ParsePeerIdError {
    /// What was given.
    pub text: String,
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_base58())
    }
}

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| ParsePeerIdError { text: text.into() })
    }
}

/// The peer id of the node with this home; its key is made where there is none yet.
///
/// # Errors
/// [`IdentityError`] where the file cannot be used.
pub fn peer_id(home: &Path) -> Result<PeerId, IdentityError> {
    let name = keypair(home)?.public().to_peer_id().to_bytes();
    // The library spells names in two types; what one writes the other reads.
    LibraryPeerId::from_bytes(&name)
        .map(PeerId)
        .map_err(|_| IdentityError::Content { path: home.join(FILE) })
}

/// The key itself.
pub(crate) fn keypair(home: &Path) -> Result<Keypair, IdentityError> {
    let path = home.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => parse(text.trim()).ok_or(IdentityError::Content { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(home, &path).map_err(|source| IdentityError::File { path, source })
        }
        Err(source) => Err(IdentityError::File { path, source }),
    }
}

fn parse(text: &str) -> Option<Keypair> {
    let seed: tombolo_types::Hash = text.parse().ok()?;
    Keypair::ed25519_from_bytes(seed.0).ok()
}

fn create(home: &Path, path: &Path) -> io::Result<Keypair> {
    fs::create_dir_all(home)?;
    let keypair = Keypair::generate_ed25519();
    let ed25519 = keypair.clone().try_into_ed25519().map_err(io::Error::other)?;
    let secret = ed25519.secret();
    let seed = secret.as_ref().try_into().map(tombolo_types::Hash).map_err(io::Error::other)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(seed.to_string().as_bytes())?;
    file.sync_all()?;
    Ok(keypair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_id_stays_with_the_home() {
        let home = tempfile::tempdir().unwrap();
        let id = peer_id(home.path()).unwrap();
        assert_eq!(peer_id(home.path()).unwrap(), id);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_damaged_key_is_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(FILE), "0xabcd").unwrap();
        assert!(matches!(peer_id(home.path()), Err(IdentityError::Content { .. })));
    }

    #[test]
    fn other_text_is_no_peer_id() {
        let text = "south".to_owned();
        assert_eq!(text.parse::<PeerId>(), Err(ParsePeerIdError { text }));
    }
}
