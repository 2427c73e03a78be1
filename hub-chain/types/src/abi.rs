//! ABI encoding (Solidity contract ABI) for everything that crosses ledgers.
//!
//! [`abi_struct!`](crate::abi_struct) declares a struct once and gives it `encode` and `decode`.
//! `decode` accepts exactly the bytes that `encode` gives: other offsets, dirty padding, trailing
//! bytes and out-of-range numbers are refused.

use crate::{
    Address, Amount, Class, Epoch, Hash, Height, LaneNumber, MessageNumber, Power, Refusal, Round,
    UnixMillis, Weight, id,
};
use alloy_sol_types::{
    SolType,
    abi::{AbiDecoderConfig, decode_params_with_config},
    private::FixedBytes,
    sol_data,
};

/// Bytes that are not the ABI encoding of the type that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AbiError {
    /// The ABI decoder refuses the bytes.
    #[error("{what} is not valid ABI: {why}")]
    Malformed {
        /// Which type was being read.
        what: &'static str,
        /// What the decoder said.
        why: String,
    },
    /// The bytes decode, but another spelling is the canonical one.
    #[error("{what} is not canonical ABI")]
    NotCanonical {
        /// Which type was being read.
        what: &'static str,
    },
    /// A field holds a value outside its range.
    #[error("{what} is out of range: {value}")]
    OutOfRange {
        /// Which type was being read.
        what: &'static str,
        /// The value found.
        value: String,
    },
}

impl From<AbiError> for Refusal {
    fn from(error: AbiError) -> Self {
        Self::new(Class::Format, error.to_string())
    }
}

/// A value that has exactly one ABI encoding.
pub trait AbiValue: Sized {
    /// The Solidity type that carries it.
    type Sol: SolType;

    /// The value as the encoder takes it.
    fn to_sol(&self) -> <Self::Sol as SolType>::RustType;

    /// The value from what the decoder gives.
    ///
    /// # Errors
    /// [`AbiError::OutOfRange`] where the carrier holds more values than the type.
    fn from_sol(value: <Self::Sol as SolType>::RustType) -> Result<Self, AbiError>;
}

/// A struct that [`abi_struct!`](crate::abi_struct) declares: a tuple, of which lists can be made.
pub trait AbiStruct: AbiValue {}

impl<T: AbiStruct> AbiValue for Vec<T> {
    type Sol = sol_data::Array<T::Sol>;

    fn to_sol(&self) -> <Self::Sol as SolType>::RustType {
        self.iter().map(AbiValue::to_sol).collect()
    }

    fn from_sol(values: <Self::Sol as SolType>::RustType) -> Result<Self, AbiError> {
        values.into_iter().map(AbiValue::from_sol).collect()
    }
}

macro_rules! plain {
    ($($rust:ty => $sol:ty),+ $(,)?) => {$(
        impl AbiValue for $rust {
            type Sol = $sol;

            fn to_sol(&self) -> $rust {
                *self
            }

            fn from_sol(value: $rust) -> Result<Self, AbiError> {
                Ok(value)
            }
        }
    )+};
}

plain! {
    bool => sol_data::Bool,
    u8 => sol_data::Uint<8>,
    u16 => sol_data::Uint<16>,
    u32 => sol_data::Uint<32>,
    u64 => sol_data::Uint<64>,
    u128 => sol_data::Uint<128>,
}

macro_rules! number {
    ($($name:ident($inner:ty)),+ $(,)?) => {$(
        impl AbiValue for $name {
            type Sol = <$inner as AbiValue>::Sol;

            fn to_sol(&self) -> $inner {
                self.0
            }

            fn from_sol(value: $inner) -> Result<Self, AbiError> {
                Ok(Self(value))
            }
        }
    )+};
}

number!(
    Height(u64),
    Round(u32),
    UnixMillis(u64),
    Amount(u128),
    Power(u64),
    LaneNumber(u32),
    Epoch(u32),
    MessageNumber(u64),
    Weight(u64),
);

macro_rules! word {
    ($($name:path),+ $(,)?) => {$(
        impl AbiValue for $name {
            type Sol = sol_data::FixedBytes<32>;

            fn to_sol(&self) -> FixedBytes<32> {
                FixedBytes(self.0)
            }

            fn from_sol(value: FixedBytes<32>) -> Result<Self, AbiError> {
                Ok(Self(value.0))
            }
        }

        impl AbiValue for Vec<$name> {
            type Sol = sol_data::Array<sol_data::FixedBytes<32>>;

            fn to_sol(&self) -> Vec<FixedBytes<32>> {
                self.iter().map(AbiValue::to_sol).collect()
            }

            fn from_sol(values: Vec<FixedBytes<32>>) -> Result<Self, AbiError> {
                values.into_iter().map(AbiValue::from_sol).collect()
            }
        }
    )+};
}

word!(
    Hash,
    id::ChainId,
    id::BlockId,
    id::TxId,
    id::LinkId,
    id::IdentityId,
    id::DataId,
    id::Fingerprint,
    id::SchemaId,
    id::AssetId,
    id::Xid,
    id::OrderId,
    id::SecretHash,
    id::GlobalId,
);

impl AbiValue for Address {
    type Sol = sol_data::Address;

    fn to_sol(&self) -> alloy_sol_types::private::Address {
        self.0.into()
    }

    fn from_sol(value: alloy_sol_types::private::Address) -> Result<Self, AbiError> {
        Ok(Self(value.into_array()))
    }
}

impl AbiValue for Vec<Address> {
    type Sol = sol_data::Array<sol_data::Address>;

    fn to_sol(&self) -> Vec<alloy_sol_types::private::Address> {
        self.iter().map(AbiValue::to_sol).collect()
    }

    fn from_sol(values: Vec<alloy_sol_types::private::Address>) -> Result<Self, AbiError> {
        values.into_iter().map(AbiValue::from_sol).collect()
    }
}

impl AbiValue for Vec<u8> {
    type Sol = sol_data::Bytes;

    fn to_sol(&self) -> alloy_sol_types::private::Bytes {
        self.clone().into()
    }

    fn from_sol(value: alloy_sol_types::private::Bytes) -> Result<Self, AbiError> {
        Ok(value.into())
    }
}

impl AbiValue for Vec<Vec<u8>> {
    type Sol = sol_data::Array<sol_data::Bytes>;

    fn to_sol(&self) -> Vec<alloy_sol_types::private::Bytes> {
        self.iter().map(AbiValue::to_sol).collect()
    }

    fn from_sol(values: Vec<alloy_sol_types::private::Bytes>) -> Result<Self, AbiError> {
        values.into_iter().map(AbiValue::from_sol).collect()
    }
}

impl AbiValue for String {
    type Sol = sol_data::String;

    fn to_sol(&self) -> String {
        self.clone()
    }

    fn from_sol(value: String) -> Result<Self, AbiError> {
        Ok(value)
    }
}

/// Encodes a tuple-shaped value as the parameters of a call: its fields, side by side.
pub fn encode<T>(value: &T) -> Vec<u8>
where
    T: AbiValue,
    for<'a> <T::Sol as SolType>::Token<'a>: alloy_sol_types::abi::TokenSeq<'a>,
{
    T::Sol::abi_encode_params(&value.to_sol())
}

/// Encodes one value alone, as `abi.encode(value)` in Solidity.
pub fn encode_single<T: AbiValue>(value: &T) -> Vec<u8> {
    T::Sol::abi_encode(&value.to_sol())
}

/// Decodes what [`encode`] gives, and nothing else.
///
/// # Errors
/// Any [`AbiError`].
pub fn decode<T>(what: &'static str, bytes: &[u8]) -> Result<T, AbiError>
where
    T: AbiValue,
    for<'a> <T::Sol as SolType>::Token<'a>: alloy_sol_types::abi::TokenSeq<'a>,
{
    // Strict: each offset must follow from the one before, so many offsets at one long tail are
    // refused before the tail is copied for each. Padding, ranges and UTF-8 are not checked here
    // but by encoding again, which catches every spelling but the canonical one.
    let strict = AbiDecoderConfig::new().strict(true);
    let token = decode_params_with_config::<<T::Sol as SolType>::Token<'_>>(bytes, strict)
        .map_err(|error| AbiError::Malformed { what, why: error.to_string() })?;
    let value = T::from_sol(T::Sol::detokenize(token))?;
    if encode(&value) != bytes {
        return Err(AbiError::NotCanonical { what });
    }
    Ok(value)
}

/// Declares a struct that crosses ledgers, with its ABI encoding.
///
/// The fields are encoded in the order in which they stand, as the parameters of a Solidity call
/// would be. At most 24 fields.
#[macro_export]
macro_rules! abi_struct {
    ($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)+
        }

        impl $name {
            /// The ABI encoding.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                $crate::abi::encode(self)
            }

            /// Reads the canonical ABI encoding.
            ///
            /// # Errors
            /// Any [`AbiError`]($crate::abi::AbiError); nothing but what `encode` gives is accepted.
            pub fn decode(bytes: &[u8]) -> Result<Self, $crate::abi::AbiError> {
                $crate::abi::decode(stringify!($name), bytes)
            }
        }

        impl $crate::abi::AbiValue for $name {
            type Sol = ($(<$type as $crate::abi::AbiValue>::Sol,)+);

            fn to_sol(&self) -> <Self::Sol as alloy_sol_types::SolType>::RustType {
                ($($crate::abi::AbiValue::to_sol(&self.$field),)+)
            }

            fn from_sol(
                value: <Self::Sol as alloy_sol_types::SolType>::RustType,
            ) -> Result<Self, $crate::abi::AbiError> {
                let ($($field,)+) = value;
                Ok(Self { $($field: $crate::abi::AbiValue::from_sol($field)?,)+ })
            }
        }

        impl $crate::abi::AbiStruct for $name {}
    };
}
