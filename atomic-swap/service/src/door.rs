//! The doors to the chains of a swap, and one look through all of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};
use tombolo_adapter::{AdapterError, HtlcChain};
use tombolo_swap::htlc::{Lock, Sight, Terms};
use tombolo_types::{Class, Refusal, id::ChainId};

/// A chain, under the name that people and logs use.
#[derive(Clone)]
pub struct Door {
    /// The name.
    pub name: String,
    /// The chain.
    pub chain: Arc<dyn HtlcChain>,
}

/// The chains that a service can see.
#[derive(Clone, Default)]
pub struct Doors(BTreeMap<ChainId, Door>);

impl Doors {
    /// Adds a chain.
    pub fn add(&mut self, name: &str, chain: Arc<dyn HtlcChain>) {
        let id = chain.descriptor().chain_id;
        self.0.insert(id, Door { name: name.to_owned(), chain });
    }

    /// The doors of the legs, in order.
    ///
    /// # Errors
    /// `E_NOTFOUND` for a chain that is not there.
    pub fn of(&self, terms: &Terms) -> Result<Vec<Door>, Refusal> {
        let doors = terms.locks().iter().map(|lock| {
            self.0.get(&lock.chain).cloned().ok_or_else(|| {
                let chain = lock.chain;
                let why = format!("chain {chain} of the order is not configured here; add it");
                Refusal::new(Class::NotFound, why)
            })
        });
        doors.collect()
    }
}

/// What all chains say now, by leg, and why those that gave no answer gave none.
pub async fn sights(
    doors: &[Door],
    terms: &Terms,
    within: Duration,
) -> (Vec<Option<Sight>>, Vec<(usize, AdapterError)>) {
    let mut asked = JoinSet::new();
    for (leg, (door, lock)) in doors.iter().zip(terms.locks()).enumerate() {
        let (chain, lock) = (Arc::clone(&door.chain), lock.clone());
        asked.spawn(async move { (leg, sight(&*chain, &lock, within).await) });
    }
    let (mut sights, mut failures) = (vec![None; doors.len()], Vec::new());
    while let Some(Ok((leg, answer))) = asked.join_next().await {
        match answer {
            Ok(sight) => sights[leg] = Some(sight),
            Err(error) => failures.push((leg, error)),
        }
    }
    (sights, failures)
}

/// What a chain says of a lock, within a time limit.
async fn sight(
    chain: &dyn HtlcChain,
    lock: &Lock,
    within: Duration,
) -> Result<Sight, AdapterError> {
    let answer = timeout(within, chain.sight(lock)).await;
    answer.unwrap_or_else(|_| Err(no_answer(lock.chain, "looking at a lock", within)))
}

pub(crate) fn no_answer(chain: ChainId, doing: &'static str, within: Duration) -> AdapterError {
    AdapterError::NoAnswer { chain, doing, why: format!("nothing came within {within:?}") }
}
