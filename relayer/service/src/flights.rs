//! What was handed in and has not ended: it goes on beside whatever else the task of a link does.

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use std::{collections::VecDeque, future::Future};
use tombolo_adapter::AdapterError;
use tombolo_relayer_core::{End, under_way::HandedIn};

/// What waits until something that was handed in stands in a block, or has ended.
pub(crate) type Flight<'t> = BoxFuture<'t, Arrived<'t>>;

/// Something that was handed in has come a step further.
pub(crate) struct Arrived<'t> {
    /// Where.
    pub(crate) end: End,
    /// What.
    pub(crate) what: HandedIn,
    /// How.
    pub(crate) result: Result<Stage<'t>, AdapterError>,
}

/// How far something has come that goes well.
pub(crate) enum Stage<'t> {
    /// It stands in a block; what waits for its end.
    InBlock(Flight<'t>),
    /// It has ended.
    Final,
}

/// What is noted of something that has come a step further.
pub(crate) struct Landed {
    /// Where.
    pub(crate) end: End,
    /// What.
    pub(crate) what: HandedIn,
    /// How far.
    pub(crate) came: Came,
}

/// How far something has come.
pub(crate) enum Came {
    /// It stands in a block, which may go.
    IntoBlock,
    /// It has ended, well or not.
    ToItsEnd(Result<(), AdapterError>),
}

/// All that is on its way for one link.
#[derive(Default)]
pub(crate) struct Flights<'t> {
    flying: FuturesUnordered<Flight<'t>>,
    /// In the order in which they arrived; nobody has asked for these yet.
    landed: VecDeque<Landed>,
}

impl<'t> Flights<'t> {
    pub(crate) fn begin(&mut self, flight: Flight<'t>) {
        self.flying.push(flight);
    }

    /// What has come further, without waiting.
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
                Some(arrived) = self.flying.next() => self.arrived(arrived),
            }
        }
    }

    /// Waits until something has come further; for ever where nothing is on its way. Safe to cancel.
    pub(crate) async fn landing(&mut self) {
        if self.landed.is_empty() {
            match self.flying.next().await {
                Some(arrived) => self.arrived(arrived),
                None => std::future::pending().await,
            }
        }
    }

    fn arrived(&mut self, Arrived { end, what, result }: Arrived<'t>) {
        let came = match result {
            Ok(Stage::InBlock(mut rest)) => {
                // Where blocks are final at once, one look serves for both stages.
                if let Some(arrived) = (&mut rest).now_or_never() {
                    return self.arrived(arrived);
                }
                self.flying.push(rest);
                Came::IntoBlock
            }
            Ok(Stage::Final) => Came::ToItsEnd(Ok(())),
            Err(error) => Came::ToItsEnd(Err(error)),
        };
        self.landed.push_back(Landed { end, what, came });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::ready;
    use tokio::sync::oneshot;

    const END: End = End::Chain;
    const WHAT: HandedIn = HandedIn::Update;

    fn ended<'t>() -> Arrived<'t> {
        Arrived { end: END, what: WHAT, result: Ok(Stage::Final) }
    }

    fn in_block<'t>(rest: Flight<'t>) -> Flight<'t> {
        Box::pin(ready(Arrived { end: END, what: WHAT, result: Ok(Stage::InBlock(rest)) }))
    }

    #[tokio::test]
    async fn both_stages_are_noted_or_one_where_they_coincide() {
        let mut flights = Flights::default();
        let (settle, settled) = oneshot::channel();
        flights.begin(in_block(Box::pin(async {
            settled.await.unwrap();
            ended()
        })));
        flights.landing().await;
        assert!(matches!(flights.take().unwrap().came, Came::IntoBlock));
        assert!(flights.take().is_none());
        settle.send(()).unwrap();
        flights.landing().await;
        assert!(matches!(flights.take().unwrap().came, Came::ToItsEnd(Ok(()))));

        flights.begin(in_block(Box::pin(ready(ended()))));
        flights.landing().await;
        assert!(matches!(flights.take().unwrap().came, Came::ToItsEnd(Ok(()))));
        assert!(flights.take().is_none());
    }
}
