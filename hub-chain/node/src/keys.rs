//! Secret keys at rest: one file for each, encrypted under a passphrase.
//!
//! The key of the cipher comes from the passphrase by Argon2id; the secret is sealed with
//! ChaCha20-Poly1305, and everything else in the file is authenticated with it, so that neither
//! the address nor the cost of a guess can be changed unseen.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _,
    aead::{Aead as _, Payload},
};
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use tombolo_crypto::secp256k1::SecretKey;
use tombolo_types::Address;
use zeroize::{Zeroize as _, Zeroizing};

const FORMAT: u32 = 1;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
/// The largest cost that a file may ask of whoever opens it: 1 GiB, 64 passes, 16 lanes.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 16;
/// The longest name of a key.
const NAME_BYTES_MAX: usize = 64;

/// Why a key cannot be kept or had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the key file {} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is a key of this name already.
    #[error("there is a key in {} already; it is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Other users of the machine may read it.
    #[error("the key file {} has mode {mode:o}; set it to 600", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds something else.
    #[error("{} is not a key file of format {FORMAT}: {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The passphrase is not the one, or the file was changed.
    #[error("{} does not open with this passphrase, or it was changed", path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
    },
    /// A name that is none.
    #[error(
        "`{name}` is no name for a key: 1 to {NAME_BYTES_MAX} of a-z, 0-9, `-`, `_` and `.`, not first a dot"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// The passphrase cannot be had.
    #[error("the passphrase cannot be had from {from}: {why}")]
    Passphrase {
        /// Where it should be.
        from: String,
        /// What is wrong.
        why: String,
    },
    /// The operating system gives no random bytes, or no memory for the derivation.
    #[error("{doing} failed: {why}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the layer below said.
        why: String,
    },
}

/// A passphrase. It is printed nowhere and wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

impl From<String> for Passphrase {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// Where a passphrase is to be had; never the passphrase itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PassphraseSource {
    /// The environment variable of this name.
    Env(String),
    /// The first line of this file.
    File(PathBuf),
}

impl PassphraseSource {
    /// Reads it.
    ///
    /// # Errors
    /// [`KeyError::Passphrase`] where it is missing or empty.
    pub fn read(&self) -> Result<Passphrase, KeyError> {
        let (from, text) = match self {
            Self::Env(name) => {
                let text = std::env::var(name).map_err(|error| error.to_string());
                (format!("the environment variable {name}"), text)
            }
            Self::File(path) => {
                let text = fs::read_to_string(path).map_err(|error| error.to_string());
                (format!("the file {}", path.display()), text)
            }
        };
        let mut text = text.map_err(|why| KeyError::Passphrase { from: from.clone(), why })?;
        let line = text.lines().next().unwrap_or_default().to_owned();
        text.zeroize();
        if line.is_empty() {
            return Err(KeyError::Passphrase { from, why: "it is empty".to_owned() });
        }
        Ok(line.into())
    }
}

/// What a guess at a passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes that may be worked on at a time.
    pub lanes: u32,
}

impl Cost {
    /// For keys that guard anything: RFC 9106, the second recommended option.
    pub const STRONG: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// For networks that are thrown away: next to nothing, and no protection of a weak passphrase.
    pub const DEVNET: Self = Self { memory_kib: 64, passes: 1, lanes: 1 };
}

/// A key file as it is on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    address: String,
    kdf: Kdf,
    cipher: String,
    nonce: String,
    sealed: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    name: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
}

const KDF: &str = "argon2id";
const CIPHER: &str = "chacha20-poly1305";

impl File {
    /// Everything that is not secret, as one string that the seal covers.
    fn header(&self) -> String {
        let Kdf { name, memory_kib, passes, lanes, salt } = &self.kdf;
        format!(
            "tombolo/key/{}|{}|{name}|{memory_kib}|{passes}|{lanes}|{salt}|{}",
            self.format, self.address, self.cipher
        )
    }

    fn cipher(&self, passphrase: &Passphrase) -> Result<ChaCha20Poly1305, String> {
        let Kdf { memory_kib, passes, lanes, salt, .. } = &self.kdf;
        if *memory_kib > MEMORY_KIB_MAX || *passes > PASSES_MAX || *lanes > LANES_MAX {
            return Err(format!("it asks for {memory_kib} KiB, {passes} passes, {lanes} lanes"));
        }
        let salt = hex::decode(salt).map_err(|error| format!("salt: {error}"))?;
        let params = Params::new(*memory_kib, *passes, *lanes, Some(32))
            .map_err(|error| format!("kdf: {error}"))?;
        let mut key = Zeroizing::new([0u8; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.0.as_bytes(), &salt, key.as_mut())
            .map_err(|error| format!("kdf: {error}"))?;
        Ok(ChaCha20Poly1305::new(key.as_slice().into()))
    }
}

/// A folder of encrypted keys.
#[derive(Clone, Debug)]
pub struct Keystore {
    folder: PathBuf,
}

impl Keystore {
    /// The keystore in this folder; the folder is made with the first key.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The file of a key.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn path(&self, name: &str) -> Result<PathBuf, KeyError> {
        let fits = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
        };
        let good = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && !name.starts_with('.')
            && name.bytes().all(fits);
        if !good {
            return Err(KeyError::Name { name: name.to_owned() });
        }
        Ok(self.folder.join(format!("{name}.json")))
    }

    /// Makes a new key from the operating system's random bytes and keeps it.
    ///
    /// # Errors
    /// Any [`KeyError`]; an existing key is never overwritten.
    pub fn create(
        &self,
        name: &str,
        passphrase: &Passphrase,
        cost: Cost,
    ) -> Result<SecretKey, KeyError> {
        let key = generate()?;
        self.import(name, &key, passphrase, cost)?;
        Ok(key)
    }

    /// Keeps a key that exists.
    ///
    /// # Errors
    /// Any [`KeyError`]; an existing key is never overwritten.
    pub fn import(
        &self,
        name: &str,
        key: &SecretKey,
        passphrase: &Passphrase,
        cost: Cost,
    ) -> Result<(), KeyError> {
        let path = self.path(name)?;
        let salt: [u8; SALT_BYTES] = random()?;
        let nonce: [u8; NONCE_BYTES] = random()?;
        let mut file = File {
            format: FORMAT,
            address: key.address().to_string(),
            kdf: Kdf {
                name: KDF.into(),
                memory_kib: cost.memory_kib,
                passes: cost.passes,
                lanes: cost.lanes,
                salt: hex::encode(salt),
            },
            cipher: CIPHER.into(),
            nonce: hex::encode(nonce),
            sealed: String::new(),
        };
        let system = |why| KeyError::System { doing: "deriving a key from a passphrase", why };
        let cipher = file.cipher(passphrase).map_err(system)?;
        let secret = Zeroizing::new(key.to_bytes());
        let header = file.header();
        let payload = Payload { msg: secret.as_slice(), aad: header.as_bytes() };
        let sealed = cipher
            .encrypt(&nonce.into(), payload)
            .map_err(|error| KeyError::System { doing: "sealing a key", why: error.to_string() })?;
        file.sealed = hex::encode(sealed);
        self.write(&path, &file)
    }

    fn write(&self, path: &Path, file: &File) -> Result<(), KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(failed)?;
        let text = serde_json::to_string_pretty(file).map_err(|error| failed(error.into()))?;
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut out = match opened {
            Ok(out) => out,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(KeyError::Exists { path: path.to_owned() });
            }
            Err(source) => return Err(failed(source)),
        };
        out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(failed)?;
        fs::File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    fn read(&self, name: &str) -> Result<(PathBuf, File), KeyError> {
        let path = self.path(name)?;
        let failed = |source| KeyError::File { path: path.clone(), source };
        let mode = fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Mode { path, mode });
        }
        let text = fs::read_to_string(&path).map_err(failed)?;
        let content = |why: String| KeyError::Content { path: path.clone(), why };
        let file: File = serde_json::from_str(&text).map_err(|error| content(error.to_string()))?;
        if file.format != FORMAT || file.kdf.name != KDF || file.cipher != CIPHER {
            let File { format, kdf, cipher, .. } = &file;
            return Err(content(format!("format {format}, {}, {cipher}", kdf.name)));
        }
        Ok((path, file))
    }

    /// Opens a key.
    ///
    /// # Errors
    /// Any [`KeyError`]; a file that others may read is refused.
    pub fn load(&self, name: &str, passphrase: &Passphrase) -> Result<SecretKey, KeyError> {
        let (path, file) = self.read(name)?;
        let content = |why: String| KeyError::Content { path: path.clone(), why };
        let nonce = hex::decode(&file.nonce).map_err(|error| content(format!("nonce: {error}")))?;
        let nonce = <[u8; NONCE_BYTES]>::try_from(nonce)
            .map_err(|nonce| content(format!("the nonce has {} bytes", nonce.len())))?;
        let sealed =
            hex::decode(&file.sealed).map_err(|error| content(format!("sealed: {error}")))?;
        let cipher = file.cipher(passphrase).map_err(content)?;
        let header = file.header();
        let payload = Payload { msg: sealed.as_slice(), aad: header.as_bytes() };
        let secret = cipher
            .decrypt(&nonce.into(), payload)
            .map(Zeroizing::new)
            .map_err(|_| KeyError::Sealed { path: path.clone() })?;
        let key = <[u8; 32]>::try_from(secret.as_slice())
            .ok()
            .and_then(|bytes| SecretKey::from_bytes(bytes).ok())
            .ok_or_else(|| content("the seal holds no secret key".into()))?;
        if key.address().to_string() != file.address {
            return Err(content(format!("it is named for {}, not its own address", file.address)));
        }
        Ok(key)
    }

    /// The address of a key, without its passphrase.
    ///
    /// # Errors
    /// Any [`KeyError`].
    pub fn address(&self, name: &str) -> Result<Address, KeyError> {
        let (path, file) = self.read(name)?;
        file.address.parse().map_err(|error: tombolo_types::id::ParseIdError| KeyError::Content {
            path,
            why: error.to_string(),
        })
    }

    /// All keys with their addresses, by name. Files that are no keys are left out.
    ///
    /// # Errors
    /// [`KeyError::File`] where the folder cannot be read.
    pub fn list(&self) -> Result<Vec<(String, Address)>, KeyError> {
        let failed = |source| KeyError::File { path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        let mut keys = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".json"));
            if let Some((name, Ok(address))) = name.map(|name| (name, self.address(name))) {
                keys.push((name.to_owned(), address));
            }
        }
        keys.sort();
        Ok(keys)
    }
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::System {
        doing: "asking the operating system for random bytes",
        why: error.to_string(),
    })?;
    Ok(bytes)
}

/// A new key from the operating system's random bytes.
///
/// # Errors
/// [`KeyError::System`] where there are none.
pub fn generate() -> Result<SecretKey, KeyError> {
    loop {
        // Fewer than one in 2^127 draws is no key.
        let bytes = Zeroizing::new(random::<32>()?);
        if let Ok(key) = SecretKey::from_bytes(*bytes) {
            return Ok(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Keystore, Passphrase) {
        let folder = tempfile::tempdir().unwrap();
        let store = Keystore::new(folder.path().join("keys"));
        (folder, store, Passphrase::from("correct horse".to_owned()))
    }

    #[test]
    fn a_key_comes_back_with_its_passphrase_only() {
        let (_folder, store, passphrase) = store();
        let key = store.create("south", &passphrase, Cost::DEVNET).unwrap();
        assert_eq!(store.load("south", &passphrase).unwrap().to_bytes(), key.to_bytes());
        assert_eq!(store.list().unwrap(), vec![("south".to_owned(), key.address())]);
        let wrong = store.load("south", &Passphrase::from("wrong".to_owned()));
        assert!(matches!(wrong, Err(KeyError::Sealed { .. })));
        let again = store.create("south", &passphrase, Cost::DEVNET);
        assert!(matches!(again, Err(KeyError::Exists { .. })));
    }

    #[test]
    fn the_strong_cost_opens_again() {
        let (_folder, store, passphrase) = store();
        let key = store.create("north", &passphrase, Cost::STRONG).unwrap();
        assert_eq!(store.load("north", &passphrase).unwrap().address(), key.address());
    }

    #[test]
    fn every_changed_field_is_found() {
        let (_folder, store, passphrase) = store();
        store.create("south", &passphrase, Cost::DEVNET).unwrap();
        let path = store.path("south").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let other = generate().unwrap().address().to_string();
        let address = store.address("south").unwrap().to_string();
        for (from, to) in [(address.as_str(), other.as_str()), ("\"passes\": 1", "\"passes\": 2")] {
            fs::write(&path, text.replace(from, to)).unwrap();
            assert!(matches!(store.load("south", &passphrase), Err(KeyError::Sealed { .. })));
        }
        for (from, to) in [
            ("\"format\": 1", "\"format\": 2"),
            ("\"memory_kib\": 64", "\"memory_kib\": 4000000000"),
            ("argon2id", "argon2i"),
        ] {
            fs::write(&path, text.replace(from, to)).unwrap();
            assert!(matches!(store.load("south", &passphrase), Err(KeyError::Content { .. })));
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let (_folder, store, passphrase) = store();
        store.create("south", &passphrase, Cost::DEVNET).unwrap();
        let path = store.path("south").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let loaded = store.load("south", &passphrase);
        assert!(matches!(loaded, Err(KeyError::Mode { mode: 0o640, .. })));
    }

    #[test]
    fn names_stay_in_the_folder() {
        let (_folder, store, passphrase) = store();
        for name in ["", "../south", "a/b", ".hidden", "South", &"a".repeat(65)] {
            let made = store.create(name, &passphrase, Cost::DEVNET);
            assert!(matches!(made, Err(KeyError::Name { .. })), "{name}");
        }
    }

    #[test]
    fn a_passphrase_is_not_printed() {
        let passphrase = Passphrase::from("correct horse".to_owned());
        assert_eq!(format!("{passphrase:?}"), "Passphrase(…)");
    }

    #[test]
    fn a_passphrase_is_the_first_line_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        fs::write(&path, "correct horse\n").unwrap();
        let read = PassphraseSource::File(path.clone()).read().unwrap();
        assert_eq!(read, Passphrase::from("correct horse".to_owned()));
        fs::write(&path, "\n").unwrap();
        let empty = PassphraseSource::File(path).read();
        assert!(matches!(empty, Err(KeyError::Passphrase { .. })));
    }
}
