//! What nodes say by their newest blocks.
//!
//! Honest nodes differ there, so nothing of it is a contradiction; and it is no single node's word:
//! what counts is what as many have reached, or say alike, as must agree. So one that lies moves
//! nothing ahead, and one that lies or lags holds nothing up (attacks A23 and A24).

use super::{Endpoints, SeenBlock, heard};
use alloy::{
    eips::BlockNumberOrTag,
    network::Ethereum,
    primitives::B256,
    providers::{Provider, RootProvider},
    transports::TransportError,
};
use tombolo_adapter::AdapterError;
use tombolo_types::{Refusal, UnixMillis};

/// What enough nodes say by their newest blocks, each by its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tips<T> {
    /// The highest height that they have reached.
    pub number: u64,
    /// The latest time.
    pub time: UnixMillis,
    /// The highest base fee, in wei for one gas; 0 where there is none.
    pub base_fee: u128,
    /// What they say alike; `None` where too few do.
    pub said: Option<T>,
}

impl Endpoints {
    /// What enough nodes say by their newest blocks: each is asked by the hash of its own.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`] where too few answer.
    pub async fn tips<'e, T, F>(
        &'e self,
        doing: &'static str,
        ask: impl Fn(&'e RootProvider<Ethereum>, B256) -> F,
    ) -> Result<Tips<T>, AdapterError>
    where
        T: PartialEq,
        F: Future<Output = Result<T, TransportError>>,
    {
        let ask = &ask;
        let answers = self
            .enough(doing, |provider| async move {
                let newest = provider.get_block_by_number(BlockNumberOrTag::Latest).await?;
                let Some(newest) = newest.map(|block| SeenBlock::of(&block)) else {
                    return Ok(None);
                };
                let said = ask(provider, newest.hash).await?;
                Ok(Some((newest, said)))
            })
            .await?;
        let (blocks, said): (Vec<SeenBlock>, Vec<T>) = answers.into_iter().unzip();
        let many = self.agree;
        let none = || self.no_answer(doing, "no node must agree");
        Ok(Tips {
            number: reached(blocks.iter().map(|block| block.number), many).ok_or_else(none)?,
            time: reached(blocks.iter().map(|block| block.time), many).ok_or_else(none)?,
            base_fee: reached(blocks.iter().map(|block| block.base_fee), many).ok_or_else(none)?,
            said: alike(said, many, |one, other| one == other),
        })
    }

    /// The highest figure that enough nodes reach.
    ///
    /// # Errors
    /// As [`Self::tips`].
    pub async fn reached<'e, T, F>(
        &'e self,
        doing: &'static str,
        ask: impl Fn(&'e RootProvider<Ethereum>) -> F,
    ) -> Result<T, AdapterError>
    where
        T: Ord,
        F: Future<Output = Result<T, TransportError>>,
    {
        let ask = &ask;
        let all = self.enough(doing, |provider| async move { ask(provider).await.map(Some) }).await;
        reached(all?, self.agree).ok_or_else(|| self.no_answer(doing, "no node must agree"))
    }

    /// The refusal of enough nodes, which may word it each in its own way; `None` where too few
    /// refuse, or for different reasons.
    pub async fn refused<'e, F>(
        &'e self,
        ask: impl Fn(&'e RootProvider<Ethereum>) -> F,
    ) -> Option<Refusal>
    where
        F: Future<Output = Result<Option<Refusal>, TransportError>>,
    {
        let answers = self.ask(ask).await;
        let refusals = answers.into_iter().filter_map(|(_, answer)| answer.ok().flatten());
        alike(refusals.collect(), self.agree, |one, other| one.class == other.class)
    }

    /// The answers, of which there are as many as must agree.
    async fn enough<'e, T, F>(
        &'e self,
        doing: &'static str,
        ask: impl Fn(&'e RootProvider<Ethereum>) -> F,
    ) -> Result<Vec<T>, AdapterError>
    where
        F: Future<Output = Result<Option<T>, TransportError>>,
    {
        let (said, silent) = heard(self.ask(ask).await, "unknown");
        if said.len() < self.agree {
            return Err(silent.error(self.chain, doing, &self.too_few(said.len())));
        }
        Ok(said.into_iter().map(|(.., answer)| answer).collect())
    }
}

/// The highest that so many have reached.
fn reached<T: Ord>(all: impl IntoIterator<Item = T>, many: usize) -> Option<T> {
    let mut all: Vec<T> = all.into_iter().collect();
    all.sort_unstable_by(|one, other| other.cmp(one));
    all.into_iter().nth(many.checked_sub(1)?)
}

/// What so many say alike.
fn alike<T>(all: Vec<T>, many: usize, same: impl Fn(&T, &T) -> bool) -> Option<T> {
    let found = |one: &T| all.iter().filter(|other| same(one, other)).count() >= many;
    let place = all.iter().position(found)?;
    all.into_iter().nth(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack: A23
    #[test]
    fn a23_one_of_three_moves_nothing_and_holds_nothing_up() {
        for (said, expected) in [
            (&[7, 7, 7][..], Some(7)),
            (&[900, 7, 6], Some(7)),
            (&[0, 7, 6], Some(6)),
            (&[7, 900], Some(7)),
            (&[7], None),
            (&[], None),
        ] {
            assert_eq!(reached(said.iter().copied(), 2), expected, "{said:?}");
        }
    }

    #[test]
    fn what_enough_say_alike_is_said() {
        for (said, expected) in [
            (&[1, 1, 1][..], Some(1)),
            (&[9, 1, 1], Some(1)),
            (&[1, 9, 1], Some(1)),
            (&[1, 2, 3], None),
            (&[1], None),
            (&[], None),
        ] {
            assert_eq!(alike(said.to_vec(), 2, |one, other| one == other), expected, "{said:?}");
        }
    }
}
