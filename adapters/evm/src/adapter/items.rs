//! What the contracts of a gateway hold of an item.

use super::{
    EvmAdapter,
    read::{Answers, View},
};
use crate::{
    contract::{IGateway, IRegistry, IVault},
    convert::word,
};
use tombolo_adapter::AdapterError;
use tombolo_types::{
    Hash, Height,
    id::{ChainId, DataId, Fingerprint},
};

/// How an item stands on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemStanding {
    /// Nothing is known of it.
    Unknown,
    /// A copy of what lives elsewhere.
    Copy,
    /// Open, and at home here.
    Home,
    /// Closed, and here.
    Here,
    /// Closed, and locked by a two-phase commit.
    Locked,
    /// Closed, and on another chain by now.
    Away,
}

/// One item as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemThere {
    /// The final block at which was asked.
    pub height: Height,
    /// How it stands.
    pub standing: ItemStanding,
    /// In which version; 0 where there is none.
    pub version: u32,
    /// Its fingerprint, where the contract holds it or holds that of which it was asked.
    pub fingerprint: Option<Fingerprint>,
}

impl EvmAdapter {
    /// What the chain has of an item. Of a copy the contract keeps a hash alone: it is asked whether
    /// it is the one with this fingerprint from this chain.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`]; [`AdapterError::Contradiction`].
    pub async fn item(
        &self,
        item: DataId,
        (fingerprint, source): (Fingerprint, ChainId),
    ) -> Result<ItemThere, AdapterError> {
        let block = self.endpoints.newest().await?;
        // Not with what is read for every look: nobody asks for the same item again.
        let answers = Answers::default();
        let view = |contract| View::at((&self.endpoints, &answers), contract, &block);
        let registry = self.view(&block).get(IGateway::registryCall {}).await?;
        let known = view(registry).get(IRegistry::itemCall { dataId: word(item) }).await?;
        let there = |standing, version, fingerprint| ItemThere {
            height: block.height(),
            standing,
            version,
            fingerprint,
        };
        Ok(match known.standing {
            0 => there(ItemStanding::Unknown, 0, None),
            1 => {
                let asked = IRegistry::isAnchoredCall {
                    dataId: word(item),
                    itemVersion: known.itemVersion,
                    fingerprint: word(fingerprint),
                    sourceChain: word(source),
                };
                let is_it = view(registry).get(asked).await?;
                there(ItemStanding::Copy, known.itemVersion, is_it.then_some(fingerprint))
            }
            2 => there(ItemStanding::Home, known.itemVersion, None),
            _ => {
                let vault = self.view(&block).get(IGateway::vaultCall {}).await?;
                let held = view(vault).get(IVault::closedItemCall { dataId: word(item) }).await?;
                let standing = match held.standing {
                    0 => ItemStanding::Unknown,
                    1 | 2 => ItemStanding::Here,
                    3 => ItemStanding::Locked,
                    _ => ItemStanding::Away,
                };
                let fingerprint = Fingerprint::from(Hash(held.fingerprint.0));
                there(standing, held.itemVersion, (held.itemVersion > 0).then_some(fingerprint))
            }
        })
    }
}
