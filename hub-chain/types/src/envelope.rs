//! The envelope: one form for the data of all chains. Spec: Y.4560 cl. 7.2.1
//!
//! It is deterministic CBOR (RFC 8949 cl. 4.2), a map with numbers as keys. A device signs these
//! bytes, a fingerprint covers them, and no ledger ever writes them anew: [`Canonical`] keeps
//! what was received beside what was read.
//!
//! | key | field | | key | field |
//! |---|---|---|---|---|
//! | 0 | version | | 8 | terms; absent where empty |
//! | 1 | home | | 9 | policy hash; absent where zero |
//! | 2 | owner | | 10 | hash algorithm |
//! | 3 | local id | | 11 | signature algorithm |
//! | 4 | item version | | 12 | salt |
//! | 5 | class | | 13 | time |
//! | 6 | schema | | 14 | readings: `[name, age in ms, value]` |
//! | 7 | device | | 64 … | extensions |
//!
//! A reading's time is written as its age, the distance to the envelope's time, because most
//! devices send one reading at once and every byte costs them energy.
//! Deliberately absent: the signature, which is over these bytes and travels beside them.

mod codec;
mod decimal;
#[cfg(test)]
pub(crate) mod tests;

pub use decimal::{Decimal, ParseDecimalError};

use crate::{
    Hash, Refusal, UnixMillis, cbor, ensure,
    id::{ChainId, IdentityId, SchemaId},
    message::{DataClass, numbered},
    refuse,
    schema::FieldKind,
};
use std::{collections::BTreeMap, fmt::Display};

/// The envelope version that this code writes and reads.
pub const ENVELOPE_VERSION: u16 = 1;
/// The largest envelope, in bytes: what a share carries as its open body.
pub const ENVELOPE_BYTES_MAX: usize = 16 * 1024;
/// The longest local id, in bytes.
pub const LOCAL_ID_BYTES_MAX: usize = 64;
/// The longest terms of use, in bytes.
pub const TERMS_BYTES_MAX: usize = 256;
/// The longest name of a field or schema, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// The first key of an extension. Below it stand fields that a reader must understand.
pub const EXTENSION_KEY_MIN: u64 = 64;

numbered!(
    /// How the fingerprint is made.
    HashAlgorithm {
        /// Keccak-256 over tag and words.
        Keccak256 = 1, "keccak256";
    }
);

numbered!(
    /// How the device signs.
    SignatureAlgorithm {
        /// Recoverable ECDSA over secp256k1 with low s, of a Keccak-256 digest.
        Secp256k1 = 1, "secp256k1-keccak256";
    }
);

/// A data item in one version. Req: Y4560-7.2.1-1
///
/// Fields may be set to anything; [`Envelope::canonical`] and [`Envelope::parse`] are the doors,
/// and what passed them is [`Canonical`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// [`ENVELOPE_VERSION`].
    pub version: u16,
    /// The ledger on which the item was first written.
    pub home: ChainId,
    /// Whose it was when first written; with `home` and `local_id` it makes the data id.
    pub owner: IdentityId,
    /// The owner's own name for the item: 1 to [`LOCAL_ID_BYTES_MAX`] printable ASCII characters.
    pub local_id: String,
    /// From 1.
    pub item_version: u32,
    /// Open or closed; fixed for this version of the item. Req: Y4560-6.3-1
    pub class: DataClass,
    /// The structure of the readings.
    pub schema: SchemaId,
    /// Who signs: the device, or the gateway that speaks for it.
    pub device: IdentityId,
    /// Rights: terms of use and redistribution, e.g. `CC-BY-4.0`; printable ASCII, may be empty.
    pub terms: String,
    /// The owner's policies, or zero where none is bound to the item.
    pub policy_hash: Hash,
    /// How the fingerprint is made.
    pub hash_algorithm: HashAlgorithm,
    /// How the device signs.
    pub signature_algorithm: SignatureAlgorithm,
    /// Random, so that plain readings cannot be guessed from a fingerprint.
    pub salt: [u8; 32],
    /// When the envelope was closed; no reading is later.
    pub time: UnixMillis,
    /// What was measured, in strictly ascending order of (at, name). A gap is an absent reading.
    pub readings: Vec<Reading>,
    /// Optional fields that this version does not know, by key from [`EXTENSION_KEY_MIN`]; each
    /// the bytes of one item, kept as they came. Req: Y4560-7.2.1-e
    pub extensions: BTreeMap<u64, Vec<u8>>,
}

/// One measured value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// A field of the schema.
    pub name: String,
    /// When it was measured.
    pub at: UnixMillis,
    /// What was measured, in the unit that the schema gives.
    pub value: Value,
}

/// What a reading says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An exact number.
    Number(Decimal),
    /// A text, UTF-8.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// Anything else, as bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// The kind of field that holds such a value.
    #[must_use]
    pub fn kind(&self) -> FieldKind {
        match self {
            Self::Number(_) => FieldKind::Number,
            Self::Text(_) => FieldKind::Text,
            Self::Flag(_) => FieldKind::Flag,
            Self::Bytes(_) => FieldKind::Bytes,
        }
    }
}

/// An envelope and the only bytes that spell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    bytes: Vec<u8>,
    envelope: Envelope,
}

impl Canonical {
    /// The bytes: hash, sign and forward these.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What they say.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The bytes alone.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Envelope {
    /// Reads an envelope and keeps its bytes. Only the bytes that [`Envelope::canonical`] gives are accepted.
    ///
    /// # Errors
    /// Each with the path of the field. `E_VERSION`: another version, an unknown algorithm, or a
    /// field below [`EXTENSION_KEY_MIN`] that this version does not know: its writer demands that
    /// it be understood, so the bytes are those of a later version and not malformed. `E_FORMAT`:
    /// a missing field, a wrong type, another spelling, a declared length that is not the actual
    /// one. `E_LIMIT`: too large. Req: Y4560-7.2.1-a, Y4560-7.2.1-d
    pub fn parse(bytes: &[u8]) -> Result<Canonical, Refusal> {
        codec::parse(bytes)
    }

    /// The envelope with its bytes.
    ///
    /// # Errors
    /// As [`Envelope::parse`], for a field that holds what it may not.
    pub fn canonical(self) -> Result<Canonical, Refusal> {
        self.check()?;
        let bytes = codec::encode(&self)?;
        ensure_size(bytes.len())?;
        Ok(Canonical { bytes, envelope: self })
    }

    /// Checks what the types of the fields leave open.
    ///
    /// # Errors
    /// As [`Envelope::parse`].
    pub fn check(&self) -> Result<(), Refusal> {
        ensure!(
            self.version == ENVELOPE_VERSION,
            Version,
            "version: {} is not known, only {ENVELOPE_VERSION} is",
            self.version
        );
        check_text(&"local_id", &self.local_id, 1, LOCAL_ID_BYTES_MAX)?;
        ensure!(self.item_version > 0, Format, "item_version: 0 is no version, the first is 1");
        check_text(&"terms", &self.terms, 0, TERMS_BYTES_MAX)?;
        self.check_readings()?;
        for (key, item) in &self.extensions {
            ensure!(
                *key >= EXTENSION_KEY_MIN,
                Version,
                "extension {key}: keys below {EXTENSION_KEY_MIN} are for fields that must be \
                 understood, and version {ENVELOPE_VERSION} does not know this one"
            );
            cbor::check(&format_args!("extension {key}"), item)?;
        }
        Ok(())
    }

    fn check_readings(&self) -> Result<(), Refusal> {
        let mut before: Option<(UnixMillis, &str)> = None;
        for (position, reading) in self.readings.iter().enumerate() {
            check_name(&format_args!("readings[{position}].name"), &reading.name)?;
            ensure!(
                reading.at <= self.time,
                Format,
                "readings[{position}].at: {} is after the envelope's own time {}",
                reading.at,
                self.time
            );
            let this = (reading.at, reading.name.as_str());
            ensure!(
                before < Some(this),
                Format,
                "readings[{position}] does not stand after the reading before it; readings stand \
                 in ascending order of time and name, and none twice"
            );
            before = Some(this);
        }
        Ok(())
    }

    /// Checks that `next` may follow this envelope as the item's next version.
    ///
    /// A class never changes within a version. The next version may close an open item; to open a
    /// closed one takes the owner's own signature, so `next` must be signed by the owner.
    /// Req: Y4560-6.3-1, Y4560-7.2.1-c
    ///
    /// # Errors
    /// `E_FORMAT` where it is another item; `E_REPLAY` for a version that is there already;
    /// `E_STATE` for one that leaves out a version; `E_AUTH` where the owner's signature is missing.
    pub fn check_successor(&self, next: &Self) -> Result<(), Refusal> {
        ensure!(
            (self.home, self.owner, &self.local_id) == (next.home, next.owner, &next.local_id),
            Format,
            "home, owner and local id name another item; they stay the same in all versions of one"
        );
        ensure!(
            next.item_version > self.item_version,
            Replay,
            "item_version: {} is not above the present {}; declare other content as a new version",
            next.item_version,
            self.item_version
        );
        ensure!(
            Some(next.item_version) == self.item_version.checked_add(1),
            State,
            "item_version: {} does not follow the present {}",
            next.item_version,
            self.item_version
        );
        let opens = self.class == DataClass::Closed && next.class == DataClass::Open;
        ensure!(
            !opens || next.device == next.owner,
            Auth,
            "class: closed becomes open only by the owner's own signature, and the envelope names \
             {} as its signer, not the owner {}",
            next.device,
            next.owner
        );
        Ok(())
    }
}

fn ensure_size(bytes: usize) -> Result<(), Refusal> {
    ensure!(
        bytes <= ENVELOPE_BYTES_MAX,
        Limit,
        "envelope: {bytes} bytes are above the maximum {ENVELOPE_BYTES_MAX}; keep large content in \
         the content store and put its hash here"
    );
    Ok(())
}

/// Checks a text of printable ASCII. The text itself is not repeated: it may be closed.
fn check_text(path: &dyn Display, text: &str, min: usize, max: usize) -> Result<(), Refusal> {
    ensure!(text.len() >= min, Format, "{path}: must not be empty");
    if let Some(position) = text.bytes().position(|byte| !(0x20..0x7f).contains(&byte)) {
        refuse!(Format, "{path}: byte {position} is not printable ASCII");
    }
    ensure!(text.len() <= max, Limit, "{path}: {} bytes are above the maximum {max}", text.len());
    Ok(())
}

/// Checks a name: it begins with a letter or digit and goes on with those and `-`, `:`, `.`, `/`,
/// `_`, the characters of a SenML name. Spec: RFC 8428 cl. 4.5.1
pub(crate) fn check_name(path: &dyn Display, name: &str) -> Result<(), Refusal> {
    check_text(path, name, 1, NAME_BYTES_MAX)?;
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-:./_".contains(&byte);
    ensure!(
        starts_well && name.bytes().all(is_allowed),
        Format,
        "{path}: a name begins with a letter or digit and holds letters, digits and - : . / _ only"
    );
    Ok(())
}
