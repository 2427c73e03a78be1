//! What both sides of a link with shared nodes agreed may pass over it. Spec: Y.4560 cl. 10.2

use crate::abi_struct;

/// The most types of data in one policy.
pub const TYPES_MAX: usize = 256;
/// The name under which a policy speaks of fungible assets.
pub const ASSETS: &str = "assets";

abi_struct! {
    /// What may be done with one type of data.
    pub struct TypeRule {
        /// The type: a schema's name, or [`ASSETS`].
        pub name: String,
        /// A set of [`PolicyBit`]s.
        pub operations: u8,
    }
}

abi_struct! {
    /// What may pass over a link, per type of data. What is not here may not.
    ///
    /// Req: Y4560-10.2-3.3
    pub struct LinkPolicy {
        /// From 1; each one replaces the one before.
        pub version: u32,
        /// Ascending by name, none twice.
        pub types: Vec<TypeRule>,
    }
}

/// What a rule allows; each is one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PolicyBit {
    /// Copying an open item.
    Share = 1,
    /// Moving a closed item.
    Move = 2,
    /// Writing an item within a two-phase commit.
    Write = 4,
    /// Moving an amount of a fungible asset.
    Transfer = 8,
}

impl LinkPolicy {
    /// Whether it allows this for a type.
    #[must_use]
    pub fn allows(&self, name: &str, bit: PolicyBit) -> bool {
        let found = self.types.iter().find(|rule| rule.name == name);
        found.is_some_and(|rule| rule.operations & bit as u8 != 0)
    }

    /// Whether the types ascend by name, none twice, and are not too many.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        let ascend = self.types.is_sorted_by(|one, next| one.name < next.name);
        ascend && self.types.len() <= TYPES_MAX
    }
}
