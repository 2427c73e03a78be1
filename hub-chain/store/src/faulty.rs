//! A store whose disk fails on schedule, for simulation.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tombolo_types::store::{Batch, Entry, Store, StoreError};

/// How often which fault strikes. The default is a healthy disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Of a thousand reads, how many fail. A failed read leaves the store usable.
    pub read_per_mille: u16,
    /// Of a thousand writes, how many fail with nothing written.
    pub before_write_per_mille: u16,
    /// Of a thousand writes, how many are written and reported as failed.
    ///
    /// There is nothing between the two: batches are atomic.
    pub after_write_per_mille: u16,
    /// How many bytes of keys and values may be written until the disk is full.
    pub capacity_bytes: Option<u64>,
}

/// A [`Store`] that wraps another and fails by a schedule drawn from a seed.
///
/// The n-th call meets the same fault for the same seed and [`Faults`], so a history repeats as
/// long as the calls come in the same order. After a failed write every call fails, as a real
/// store's must (attack A59); [`Faulty::into_inner`] is the restart.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    faults: Faults,
    state: Mutex<Schedule>,
}

#[derive(Debug)]
struct Schedule {
    random: u64,
    written_bytes: u64,
    broken: bool,
}

impl<S: Store> Faulty<S> {
    /// Wraps `inner` with faults drawn from `seed`.
    #[must_use]
    pub fn new(inner: S, seed: u64, faults: Faults) -> Self {
        let state = Mutex::new(Schedule { random: seed, written_bytes: 0, broken: false });
        Self { inner, faults, state }
    }

    /// What a restarted process would find.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }

    // The schedule is never left half changed, so a poisoned lock is taken all the same.
    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn before_read(&self) -> Result<(), StoreError> {
        let mut schedule = self.schedule();
        schedule.ensure_whole("reading")?;
        if schedule.strikes(self.faults.read_per_mille) {
            return Err(failed("reading", "injected read error"));
        }
        Ok(())
    }
}

impl Schedule {
    fn ensure_whole(&self, doing: &'static str) -> Result<(), StoreError> {
        if self.broken {
            return Err(failed(doing, "an earlier write failed"));
        }
        Ok(())
    }

    /// Draws the next number (SplitMix64) and says whether it is among the first `per_mille`.
    fn strikes(&mut self, per_mille: u16) -> bool {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.random;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^= drawn >> 31;
        drawn % 1000 < u64::from(per_mille)
    }
}

fn failed(doing: &'static str, why: &str) -> StoreError {
    StoreError::Failed { at: "memory".to_owned(), doing, why: why.to_owned() }
}

fn bytes_of(batch: &Batch) -> u64 {
    batch.iter().map(|(key, value)| (key.len() + value.as_ref().map_or(0, Vec::len)) as u64).sum()
}

impl<S: Store> Store for Faulty<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.before_read()?;
        self.inner.get(key)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.before_read()?;
        self.inner.scan(prefix, from, limit)
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        const DOING: &str = "writing";
        let mut schedule = self.schedule();
        schedule.ensure_whole(DOING)?;
        let written_bytes = schedule.written_bytes.saturating_add(bytes_of(batch));
        let full = self.faults.capacity_bytes.is_some_and(|capacity| written_bytes > capacity);
        let before = schedule.strikes(self.faults.before_write_per_mille);
        let after = schedule.strikes(self.faults.after_write_per_mille);
        schedule.broken = full || before || after;
        if full {
            return Err(failed(DOING, "no space left on device (injected)"));
        }
        if before {
            return Err(failed(DOING, "injected error before the write"));
        }
        schedule.written_bytes = written_bytes;
        // Held while the layer below writes, so that a second writer meets this one's failure.
        if let Err(error) = self.inner.apply(batch) {
            schedule.broken = true;
            return Err(error);
        }
        if after {
            return Err(failed(DOING, "injected error after the write"));
        }
        Ok(())
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.before_read()?;
        self.inner.size_bytes()
    }
}
