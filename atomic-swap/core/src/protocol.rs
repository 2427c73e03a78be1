//! Which protocol can bind an exchange over several chains. Req: PRJ-5-4

use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeSet;
use tombolo_types::{Refusal, id::ChainId, refuse};

/// How a chain can lock, as its adapter declares.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Locking {
    /// So that a verifier elsewhere can be convinced of it.
    Provable,
    /// Under a SHA-256 hash, until a deadline.
    Hash,
}

/// How an exchange is bound together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// All or nothing, decided by the hub.
    TwoPhase,
    /// Nobody who follows the protocol is worse off; not all or nothing.
    HashTimelock,
}

impl Protocol {
    /// As records name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TwoPhase => "2pc",
            Self::HashTimelock => "htlc",
        }
    }
}

/// The strongest protocol that all the chains can take part in.
///
/// # Errors
/// `E_UNSUPPORTED` where there is none; it names the first chain that stands in the way.
pub fn choose<'a>(
    chains: impl IntoIterator<Item = (ChainId, &'a BTreeSet<Locking>)> + Clone,
) -> Result<Protocol, Refusal> {
    let without = |wanted: Locking| {
        chains.clone().into_iter().find(|(_, can)| !can.contains(&wanted)).map(|(chain, _)| chain)
    };
    match (without(Locking::Provable), without(Locking::Hash)) {
        (None, _) => Ok(Protocol::TwoPhase),
        (Some(_), None) => Ok(Protocol::HashTimelock),
        (Some(provable), Some(hash)) => refuse!(
            Unsupported,
            "chain {provable} has no provable locks and chain {hash} no hash locks; no protocol \
             binds an exchange over both"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_types::Class;

    /// Req: PRJ-5-4
    #[test]
    fn the_strongest_protocol_that_all_can_take_part_in() {
        use Locking::{Hash, Provable};
        type Case = (&'static [&'static [Locking]], Result<Protocol, Class>);
        let cases: [Case; 8] = [
            (&[&[Provable, Hash], &[Provable, Hash]], Ok(Protocol::TwoPhase)),
            (&[&[Provable], &[Provable]], Ok(Protocol::TwoPhase)),
            (&[&[Provable, Hash], &[Hash]], Ok(Protocol::HashTimelock)),
            (&[&[Hash], &[Hash], &[Hash]], Ok(Protocol::HashTimelock)),
            (&[&[Provable], &[Hash]], Err(Class::Unsupported)),
            (&[&[Provable, Hash], &[]], Err(Class::Unsupported)),
            (&[&[], &[]], Err(Class::Unsupported)),
            (&[&[Hash], &[Provable, Hash], &[]], Err(Class::Unsupported)),
        ];
        for (given, expected) in cases {
            let sets: Vec<BTreeSet<Locking>> =
                given.iter().map(|can| can.iter().copied().collect()).collect();
            let chains = sets.iter().map(|can| (ChainId::ZERO, can)).collect::<Vec<_>>();
            let found = choose(chains).map_err(|refusal| refusal.class);
            assert_eq!(found, expected, "{given:?}");
        }
    }
}
