//! Answers that many wait for, and that change with blocks alone.

use super::Endpoints;
use std::time::Duration;
use tokio::{sync::Mutex, time::Instant};
use tombolo_adapter::AdapterError;

/// How long an answer holds where no other block is noticed: a node may have fallen behind.
const HOLDS: Duration = Duration::from_secs(1);

/// An answer, or a failure, that is asked for once for each block however many ask.
pub(crate) struct PerBlock<T> {
    kept: Mutex<Option<Kept<T>>>,
}

struct Kept<T> {
    answer: Result<T, AdapterError>,
    /// The newest block that was noticed before.
    noticed: u64,
    at: Instant,
}

impl<T> Default for PerBlock<T> {
    fn default() -> Self {
        Self { kept: Mutex::default() }
    }
}

impl<T: Copy> PerBlock<T> {
    /// The answer, asked for where none is kept that holds.
    pub(crate) async fn get(
        &self,
        endpoints: &Endpoints,
        ask: impl Future<Output = Result<T, AdapterError>>,
    ) -> Result<T, AdapterError> {
        let mut kept = self.kept.lock().await;
        let noticed = endpoints.noticed();
        if let Some(kept) = &*kept
            && kept.noticed == noticed
            && kept.at.elapsed() < HOLDS
        {
            return kept.answer.clone();
        }
        let answer = ask.await;
        *kept = Some(Kept { answer: answer.clone(), noticed, at: Instant::now() });
        answer
    }
}
