//! Identifiers. Each is its own type, so that none can stand where another is meant.

use borsh::{BorshDeserialize, BorshSerialize};
use std::{fmt, str::FromStr};

/// Text that is not the hexadecimal form of an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected} bytes in hexadecimal (with or without 0x)")]
pub struct ParseIdError {
    /// What was given.
    pub text: String,
    /// How many bytes the identifier has.
    pub expected: usize,
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// All bytes zero. Never a valid answer to a lookup that gates acceptance.
            pub const ZERO: Self = Self([0; $len]);

            /// Whether every byte is zero.
            #[must_use]
            pub fn is_zero(&self) -> bool {
                *self == Self::ZERO
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::ZERO
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{}", hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
                    .map_err(|_| ParseIdError { text: text.to_owned(), expected: $len })?;
                Ok(Self(bytes))
            }
        }
    };
}

byte_id!(
    /// A Keccak-256 digest whose meaning the context gives.
    Hash, 32
);
byte_id!(
    /// The last 20 bytes of the Keccak-256 of an uncompressed secp256k1 public key.
    Address, 20
);

macro_rules! hash_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        byte_id!($(#[$doc])* $name, 32);

        impl From<Hash> for $name {
            fn from(hash: Hash) -> Self {
                Self(hash.0)
            }
        }

        impl From<$name> for Hash {
            fn from(id: $name) -> Self {
                Self(id.0)
            }
        }
    )+};
}

hash_id!(
    /// A ledger: the hash of its genesis document. Binds headers, votes, transactions and links.
    ChainId,
    /// A block: the hash of its header.
    BlockId,
    /// A transaction: the hash of its signed bytes without the signature.
    TxId,
    /// The relation of one chain to the hub.
    LinkId,
    /// A party: stakeholder, device, operator or relayer, the same on all ledgers.
    IdentityId,
    /// A data item, unchanged on all chains. Req: Y4560-7.2.1-c
    DataId,
    /// The hash of a salted canonical envelope.
    Fingerprint,
    /// A registered data structure: the hash of its canonical definition.
    SchemaId,
    /// An asset that accounts hold.
    AssetId,
    /// One two-phase commit: binds hub, beginner, salt, deadline and all branches.
    Xid,
    /// One order of a hash-timelock swap: binds hub, hash, parties, legs and window.
    OrderId,
    /// The SHA-256 of a hash lock's secret.
    SecretHash,
    /// What one operation is known by on every ledger and in the audit log.
    GlobalId,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip_with_and_without_prefix() {
        let id = Address([0xab; 20]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("ab".repeat(20).parse(), Ok(id));
    }

    #[test]
    fn text_of_another_length_is_refused() {
        assert_eq!("0xab".parse::<Hash>(), Err(ParseIdError { text: "0xab".into(), expected: 32 }));
    }
}
