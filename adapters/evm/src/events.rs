//! Reading the events of a contract, in pieces that a node is willing to give.
//!
//! Nodes bound how many blocks, or how many events, one question may span, each in its own way and
//! words. So a question that is refused is asked again for half the blocks.

use crate::endpoints::{Endpoints, SeenBlock};
use alloy::{
    primitives::{Address, B256},
    providers::{Provider, RootProvider},
    rpc::types::{Filter, Log},
};
use tombolo_adapter::AdapterError;

/// Blocks whose events are asked for at once, at the most; public nodes refuse much more.
pub(crate) const BLOCKS_AT_ONCE: u64 = 2_000;

/// The events of one kind of a contract, each read once, in their order, from one node at a time.
pub(crate) struct EventReader {
    filter: Filter,
    from_block: u64,
    /// The first block whose events are not read yet.
    next_block: u64,
    /// How many blocks to ask for next; 1 to [`BLOCKS_AT_ONCE`].
    at_once: u64,
    /// How many nodes have left out events, or gave none.
    skip: usize,
}

impl EventReader {
    /// The events of this signature, from a block on.
    pub(crate) fn new(contract: Address, signature: B256, from_block: u64) -> Self {
        let filter = Filter::new().address(contract).event_signature(signature);
        let (next_block, at_once) = (from_block, BLOCKS_AT_ONCE);
        Self { filter, from_block, next_block, at_once, skip: 0 }
    }

    /// Begins again with the next node: this one has left something out, or made something up.
    pub(crate) fn distrust(&mut self) {
        self.next_block = self.from_block;
        self.skip = self.skip.wrapping_add(1);
    }

    /// A node that has the events up to a block; `None` where all of them are read.
    ///
    /// # Errors
    /// [`AdapterError::NoAnswer`]; [`AdapterError::Refused`] where a node lets only others in.
    pub(crate) async fn node<'e>(
        &self,
        endpoints: &'e Endpoints,
        until: &SeenBlock,
    ) -> Result<Option<&'e RootProvider>, AdapterError> {
        if self.next_block > until.number {
            return Ok(None);
        }
        let nodes = endpoints.each().count().max(1);
        endpoints.holder(until, self.skip % nodes).await.map(Some)
    }

    /// The events of the next blocks up to `until`; `None` where all of them are read.
    ///
    /// # Errors
    /// As [`Self::node`]; then what is read stays read, and another node is asked for the rest.
    pub(crate) async fn next(
        &mut self,
        endpoints: &Endpoints,
        node: &RootProvider,
        until: &SeenBlock,
    ) -> Result<Option<Vec<Log>>, AdapterError> {
        while self.next_block <= until.number {
            let (from, last) = (self.next_block, self.next_block.saturating_add(self.at_once - 1));
            let to = until.number.min(last);
            let filter = self.filter.clone().from_block(from).to_block(to);
            let error = match node.get_logs(&filter).await {
                Ok(found) => {
                    self.next_block = to.saturating_add(1);
                    // Slowly, for a bound is often one of blocks, and is met again.
                    let more = self.at_once.saturating_add(self.at_once.div_ceil(8));
                    self.at_once = more.min(BLOCKS_AT_ONCE);
                    return Ok(Some(found));
                }
                Err(error) => error,
            };
            let asked = to - from + 1;
            self.at_once = (asked / 2).max(1);
            // One that is away, or was too slow, is not asked eleven times in a row.
            if asked == 1 || error.as_error_resp().is_none() {
                self.skip = self.skip.wrapping_add(1);
                return Err(endpoints.failed("reading events", &error));
            }
            tracing::debug!(chain = %endpoints.chain(), from, to, %error, "asking for fewer blocks");
        }
        Ok(None)
    }
}
