//! What was handed in and has not ended: it goes on beside whatever else the task of a link does.

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use std::{collections::VecDeque, future::Future};
use tombolo_adapter::AdapterError;
use tombolo_relayer_core::{End, under_way::HandedIn};

/// Something that was handed in has ended.
pub(crate) struct Landed {
    /// Where.
    pub(crate) end: End,
    /// What.
    pub(crate) what: HandedIn,
    /// How.
    pub(crate) result: Result<(), AdapterError>,
}

/// All that is on its way for one link.
#[derive(Default)]
pub(crate) struct Flights<'t> {
    flying: FuturesUnordered<BoxFuture<'t, Landed>>,
    /// In the order in which they ended; nobody has asked for these yet.
    landed: VecDeque<Landed>,
}

impl<'t> Flights<'t> {
    pub(crate) fn begin(&mut self, flight: BoxFuture<'t, Landed>) {
        self.flying.push(flight);
    }

    /// What has ended, without waiting.
    pub(crate) fn take(&mut self) -> Option<Landed> {
        self.landed.pop_front()
    }

    /// Does some work, and lets everything go on meanwhile.
    pub(crate) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            // Nothing is lost where the other branch ends first: a flight is taken out when it has
            // ended, and the work stays where it is.
            tokio::select! {
                biased;
                done = &mut work => return done,
                Some(landed) = self.flying.next() => self.landed.push_back(landed),
            }
        }
    }

    /// Waits until something has ended; for ever where nothing is on its way. Safe to cancel.
    pub(crate) async fn landing(&mut self) {
        if self.landed.is_empty() {
            match self.flying.next().await {
                Some(landed) => self.landed.push_back(landed),
                None => std::future::pending().await,
            }
        }
    }

    /// Waits for the next to end; `None` where nothing is on its way.
    pub(crate) async fn next(&mut self) -> Option<Landed> {
        match self.landed.pop_front() {
            Some(landed) => Some(landed),
            None => self.flying.next().await,
        }
    }
}
