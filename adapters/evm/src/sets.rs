//! The hub's validator sets that a gateway of mode 1 has named.
//!
//! The gateway keeps the root of a set alone; the set is nowhere but in the event that named it. Its
//! root proves it, so one node's word is enough, whichever node it is.

use crate::{
    contract::IHubGateway,
    convert,
    endpoints::{Endpoints, SeenBlock},
    events::EventReader,
};
use alloy::{primitives::Address, sol_types::SolEvent};
use std::collections::BTreeMap;
use tombolo_adapter::AdapterError;
use tombolo_crypto::digest;
use tombolo_types::{Hash, header::ValidatorSet};

/// All sets of one gateway, as far as its events are read.
pub(crate) struct NamedSets {
    events: EventReader,
    /// Each by its own root, whatever the event calls it.
    sets: BTreeMap<Hash, ValidatorSet>,
}

impl NamedSets {
    pub(crate) fn new(gateway: Address, from_block: u64) -> Self {
        let signature = IHubGateway::ValidatorsChanged::SIGNATURE_HASH;
        let events = EventReader::new(gateway, signature, from_block);
        Self { events, sets: BTreeMap::new() }
    }

    /// The set behind a root, where an event that was read has named it.
    pub(crate) fn get(&self, root: Hash) -> Option<&ValidatorSet> {
        self.sets.get(&root)
    }

    /// The set behind a root that no event has named yet, from the first node that shows it in a block
    /// up to `until`, which is final. One that leaves it out, or shows another in its place, is passed
    /// over (attack A23).
    ///
    /// # Errors
    /// [`AdapterError::NotFound`] where every node has answered and none shows it; else as
    /// [`EventReader::node`].
    pub(crate) async fn find(
        &mut self,
        endpoints: &Endpoints,
        until: &SeenBlock,
        root: Hash,
    ) -> Result<ValidatorSet, AdapterError> {
        let mut failed = None;
        // One time more than there are nodes: the first is asked only for what is new since it was
        // last read.
        for _ in 0..=endpoints.each().count() {
            match self.read(endpoints, until, root).await {
                Ok(Some(set)) => return Ok(set),
                Ok(None) => self.events.distrust(),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| AdapterError::NotFound {
            chain: endpoints.chain(),
            what: format!("set of the hub's validators with root {root}"),
        }))
    }

    /// Reads on until the set is there.
    async fn read(
        &mut self,
        endpoints: &Endpoints,
        until: &SeenBlock,
        root: Hash,
    ) -> Result<Option<ValidatorSet>, AdapterError> {
        let Some(node) = self.events.node(endpoints, until).await? else { return Ok(None) };
        while let Some(found) = self.events.next(endpoints, node, until).await? {
            for log in found {
                let event = IHubGateway::ValidatorsChanged::decode_log_data(&log.inner.data);
                let Ok(event) = event else { continue };
                let set = convert::set_back(&event.validators);
                self.sets.insert(digest::validators_root(&set), set);
            }
            if let Some(found) = self.get(root) {
                return Ok(Some(found.clone()));
            }
        }
        Ok(None)
    }
}
