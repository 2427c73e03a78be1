//! Forks below finality.

use crate::chain::{SimChain, Waiting, write};
use tombolo_ledger::Machine;
use tombolo_store::Memory;

/// What becomes of the transactions of blocks that are taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// They wait for another block.
    Wait,
    /// They are lost, and nobody is told.
    Lost,
}

impl<M: Machine> SimChain<M> {
    /// Takes back the newest `depth` blocks, as far as they are not final, and gives how many
    /// they were. The blocks that are made next take their place.
    pub fn reorganise(&self, depth: u64, dropped: Dropped) -> u64 {
        let mut inner = self.lock();
        let mut taken_back = 0;
        let mut again: Vec<Waiting> = Vec::new();
        while taken_back < depth {
            let Some(executed) = inner.pending.pop_back() else { break };
            taken_back += 1;
            let of_block = executed.outcomes.iter().zip(executed.block.transactions);
            let older = of_block.map(|(done, encoded)| Waiting {
                id: done.id,
                signer: done.signer,
                encoded,
            });
            again.splice(0..0, older);
        }
        let tip = Memory::from(inner.kept.snapshot());
        for executed in &inner.pending {
            write(&tip, &executed.writes);
        }
        inner.tip = tip;
        if dropped == Dropped::Wait {
            for waiting in again.into_iter().rev() {
                inner.waiting.push_front(waiting);
            }
        } else {
            // What waits was signed to follow what is lost; it can never enter a block.
            inner.waiting.clear();
        }
        taken_back
    }
}
