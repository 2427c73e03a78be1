//! The classes of refusal, and the refusal itself.

use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $code:literal;)+) => {
        /// Why something was refused. Exactly one is given; variants stand in order of
        /// precedence where several apply (general rule G1).
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
        )]
        #[borsh(use_discriminant = true)]
        #[repr(u8)]
        pub enum Class {
            $($(#[$doc])* $name = $number,)+
        }

        impl Class {
            /// All classes, in order of precedence.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The published name, as in `E_FORMAT`.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The class with this number on the wire.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

classes! {
    /// Unknown version, message kind or algorithm.
    Version = 1, "E_VERSION";
    /// Malformed.
    Format = 2, "E_FORMAT";
    /// Above a size, a rate or an execution budget.
    Limit = 3, "E_LIMIT";
    /// Credential or signature.
    Auth = 4, "E_AUTH";
    /// Identity unknown, suspended or revoked.
    Ident = 5, "E_IDENT";
    /// The two chains identify parties by different methods.
    IdMethod = 6, "E_IDMETHOD";
    /// A copy of closed data was asked for.
    ClosedCopy = 7, "E_CLOSED_COPY";
    /// A policy refuses, or the role does not allow it.
    Denied = 8, "E_DENIED";
    /// No policy applies, or it cannot be evaluated.
    Policy = 9, "E_POLICY";
    /// Too few approvals.
    Quorum = 10, "E_QUORUM";
    /// There is no such thing.
    NotFound = 11, "E_NOTFOUND";
    /// The chain or this version does not offer it.
    Unsupported = 12, "E_UNSUPPORTED";
    /// A duplicate.
    Replay = 13, "E_REPLAY";
    /// Not allowed in the present state.
    State = 14, "E_STATE";
    /// Too late.
    Timeout = 15, "E_TIMEOUT";
    /// Too little of an asset.
    Funds = 16, "E_FUNDS";
    /// Not yet final on its source.
    Finality = 17, "E_FINALITY";
    /// A proof or preimage fails.
    Proof = 18, "E_PROOF";
    /// Content differs from its fingerprint.
    Tamper = 19, "E_TAMPER";
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A refusal: one class, and a sentence that says what, where, why and what to do.
///
/// The sentence is deterministic and holds no closed data; it goes to the caller and, as its
/// hash, into the record.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, thiserror::Error)]
#[error("{message} ({class})")]
pub struct Refusal {
    /// The one class.
    pub class: Class,
    /// What was wrong, where, and what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal of `class` that says `message`.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

/// Returns early with a [`Refusal`] of the class unless the condition holds.
///
/// `ensure!(a < b, Format, "{a} is not below {b}")`
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $class:ident, $($message:tt)+) => {
        if !$condition {
            return Err($crate::Refusal::new($crate::Class::$class, format!($($message)+)));
        }
    };
}

/// Returns early with a [`Refusal`] of the class.
#[macro_export]
macro_rules! refuse {
    ($class:ident, $($message:tt)+) => {
        return Err($crate::Refusal::new($crate::Class::$class, format!($($message)+)))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_order_agree() {
        for (position, class) in Class::ALL.iter().enumerate() {
            assert_eq!(*class as usize, position + 1);
            assert_eq!(Class::from_number(*class as u8), Some(*class));
            assert!(class.code().starts_with("E_"));
        }
        assert_eq!(Class::from_number(0), None);
        assert_eq!(Class::from_number(20), None);
    }
}
