//! Hash-timelock swaps: what the parties agree on, before anybody locks anything.

use crate::{
    Amount, Height, UnixMillis,
    abi::{AbiError, AbiValue},
    abi_struct,
    id::{AssetId, ChainId, IdentityId, SecretHash},
};
use alloy_sol_types::{private::Bytes, sol_data};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// Bytes of a secret, on every chain: unequal limits are a known theft (attack A36).
pub const SECRET_BYTES: usize = 32;
/// The most bytes of an account's name. Twenty suffice for a key's hash; a script takes more.
pub const ACCOUNT_BYTES_MAX: usize = 128;
/// The most legs that an order may spell.
pub const LEGS_MAX: usize = 8;

/// What opens a hash lock: 32 random bytes of which the SHA-256 is known.
///
/// Whoever has it can claim, so it shows itself in no message, log or panic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Secret(pub [u8; SECRET_BYTES]);

impl Secret {
    /// The secret in these bytes, where there are exactly 32.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// An account in the words of its own chain: an address, a public key, a script. Not empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct Account(Vec<u8>);

impl Account {
    /// The account with this name; `None` where it is empty or above [`ACCOUNT_BYTES_MAX`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=ACCOUNT_BYTES_MAX).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// Its name.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<crate::Address> for Account {
    fn from(address: crate::Address) -> Self {
        Self(address.0.to_vec())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(&self.0))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl BorshDeserialize for Account {
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        let bytes = Vec::<u8>::deserialize_reader(reader)?;
        Self::new(&bytes).ok_or_else(|| {
            std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "an account of no or too many bytes",
            )
        })
    }
}

impl AbiValue for Account {
    type Sol = sol_data::Bytes;

    fn to_sol(&self) -> Bytes {
        self.0.clone().into()
    }

    fn from_sol(value: Bytes) -> Result<Self, AbiError> {
        Self::new(&value).ok_or_else(|| AbiError::OutOfRange {
            what: "account",
            value: format!("{} bytes", value.len()),
        })
    }
}

/// When a lock may be taken back, by the clock of its own chain: from that height or time on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Deadline {
    /// From this height on.
    Height(Height),
    /// From this time of the chain on.
    Time(UnixMillis),
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Height(height) => write!(f, "height {height}"),
            Self::Time(time) => write!(f, "time {time}"),
        }
    }
}

impl AbiValue for Deadline {
    type Sol = (sol_data::Uint<8>, sol_data::Uint<64>);

    fn to_sol(&self) -> (u8, u64) {
        match self {
            Self::Height(height) => (1, height.0),
            Self::Time(time) => (2, time.0),
        }
    }

    fn from_sol((clock, value): (u8, u64)) -> Result<Self, AbiError> {
        match clock {
            1 => Ok(Self::Height(Height(value))),
            2 => Ok(Self::Time(UnixMillis(value))),
            other => Err(AbiError::OutOfRange { what: "clock", value: other.to_string() }),
        }
    }
}

abi_struct! {
    /// What one party locks for the next.
    pub struct Leg {
        /// On which chain.
        pub chain: ChainId,
        /// What.
        pub asset: AssetId,
        /// How much, in the asset's smallest unit.
        pub amount: Amount,
        /// Who locks, and gets it back from the deadline on.
        pub locker: Account,
        /// Who gets it for the secret, whoever brings that.
        pub recipient: Account,
        /// Until when.
        pub deadline: Deadline,
    }
}

abi_struct! {
    /// All that the parties of a swap agree on. Party i locks leg i for party i + 1, the last one
    /// for the first, who has the secret.
    pub struct Order {
        /// SHA-256 of the secret.
        pub hash: SecretHash,
        /// Who takes part, the one with the secret first.
        pub parties: Vec<IdentityId>,
        /// As many as parties; deadlines fall.
        pub legs: Vec<Leg>,
        /// The hub's block time from which on nobody can accept any more.
        pub accept_until: UnixMillis,
        /// What the first party pays for being the one who decides; 0 in version 1.
        pub premium: Amount,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;

    fn order() -> Order {
        let leg = |chain: u8, deadline| Leg {
            chain: ChainId([chain; 32]),
            asset: AssetId([3; 32]),
            amount: Amount(u128::MAX),
            locker: Address([4; 20]).into(),
            recipient: Account::new(&[5; 33]).unwrap(),
            deadline,
        };
        Order {
            hash: SecretHash([1; 32]),
            parties: vec![IdentityId([6; 32]), IdentityId([7; 32])],
            legs: vec![leg(1, Deadline::Height(Height(9))), leg(2, Deadline::Time(UnixMillis(8)))],
            accept_until: UnixMillis(7),
            premium: Amount::ZERO,
        }
    }

    #[test]
    fn a53_an_order_has_one_spelling() {
        let order = order();
        let bytes = order.encode();
        assert_eq!(Order::decode(&bytes), Ok(order));
        let mut longer = bytes.clone();
        longer.extend([0; 32]);
        assert!(Order::decode(&longer).is_err());
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            if let Ok(read) = Order::decode(&changed) {
                assert_eq!(read.encode(), changed, "byte {position}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_none_and_an_account_without_a_name_are_refused() {
        assert_eq!(
            Deadline::from_sol((3, 1)),
            Err(AbiError::OutOfRange { what: "clock", value: "3".into() })
        );
        for length in [0, ACCOUNT_BYTES_MAX + 1] {
            assert_eq!(Account::new(&vec![1; length]), None);
            assert!(Account::from_sol(vec![1; length].into()).is_err());
            let bytes = borsh::to_vec(&vec![1u8; length]).unwrap();
            assert!(borsh::from_slice::<Account>(&bytes).is_err());
        }
        let longest = Account::new(&[1; ACCOUNT_BYTES_MAX]).unwrap();
        let bytes = borsh::to_vec(&longest).unwrap();
        assert_eq!(borsh::from_slice::<Account>(&bytes).unwrap(), longest);
    }

    #[test]
    fn a36_a_secret_has_exactly_32_bytes_and_does_not_show_itself() {
        for length in [0, 31, 33, 521] {
            assert_eq!(Secret::of(&vec![7; length]), None, "{length} bytes");
        }
        let secret = Secret::of(&[0xab; 32]).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
