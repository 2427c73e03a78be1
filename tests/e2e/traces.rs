//! Traces as a collector gets them from the processes of a devnet.

use crate::{
    collector::{Collector, Seen},
    network::Devnet,
    party::{Ledger, Station, until},
    run::run,
};
use std::collections::BTreeSet;
use tombolo_types::{Hash, id::GlobalId};

/// The trace of an operation: as much of its global id as a trace's name holds.
fn trace_of(operation: impl Into<Hash>) -> Vec<u8> {
    operation.into().0[..16].to_vec()
}

/// Who did what in a trace: the process, the span, and what it was about.
fn steps(spans: &[Seen]) -> BTreeSet<(String, String, String)> {
    let about = |span: &Seen| {
        let of = |key: &str| span.fields.get(key).cloned();
        of("operation").or(of("kind")).unwrap_or_default()
    };
    spans.iter().map(|span| (span.instance.clone(), span.name.clone(), about(span))).collect()
}

fn are_there(spans: &[Seen], wanted: &[(&str, &str, &str)]) -> bool {
    let steps = steps(spans);
    wanted
        .iter()
        .all(|(who, name, about)| steps.contains(&((*who).into(), (*name).into(), (*about).into())))
}

/// Every hop of a share, and of a two-phase commit, stands in one trace, whoever made it.
#[test]
fn an_operation_is_one_trace_over_all_hops() {
    let devnet = Devnet::up();
    run(async {
        let (collector, address) = Collector::start().await;
        devnet.export_spans_to(address);
        let hub = devnet.ledger("hub").await;
        let (seattle, mauna_loa) =
            (devnet.ledger("seattle").await, devnet.ledger("mauna-loa").await);
        let (city, observatory) = (devnet.party("city"), devnet.party("observatory"));

        let device = devnet.party("weather-station");
        let station = Station::new(&hub, seattle.clone(), device, &city).await;
        let share = station.share(1, mauna_loa.chain).await;
        let hops = [
            ("seattle", "node.operation.record", "share"),
            ("relayer", "relayer.message.deliver", "share"),
            ("hub", "node.operation.record", "share"),
            ("mauna-loa", "node.operation.record", "share"),
        ];
        let trace = trace_of(share);
        until("the share's spans are collected", async || {
            let spans = collector.of_trace(&trace);
            // The hub says that it has taken it, and later that the destination has.
            let by_hub = spans.iter().filter(|span| span.instance == "hub").count();
            (are_there(&spans, &hops) && by_hub == 2).then_some(())
        })
        .await;
        say_where_they_are(&collector.of_trace(&trace), share, [&seattle, &hub, &mauna_loa]);
        are_carried_on(&collector, &collector.of_trace(&trace)).await;

        let links = [&seattle, &mauna_loa]
            .map(|islet| tombolo_islet_core::hub_link_id(hub.chain, islet.chain));
        let branches = [(links[0], &city, &observatory), (links[1], &observatory, &city)];
        let (xid, _) = city.begin_payments(&hub, &branches).await;
        let trace = trace_of(xid);
        let hops = [
            ("hub", "node.operation.record", "begin"),
            ("relayer", "relayer.message.deliver", "prepare"),
            ("seattle", "node.operation.record", "prepare"),
            ("mauna-loa", "node.operation.record", "prepare"),
            ("relayer", "relayer.message.deliver", "vote"),
            ("hub", "node.operation.record", "vote"),
            ("hub", "node.operation.record", "commit"),
            ("relayer", "relayer.message.deliver", "commit"),
            ("seattle", "node.operation.record", "commit"),
            ("mauna-loa", "node.operation.record", "commit"),
            ("relayer", "relayer.message.deliver", "done"),
            ("hub", "node.operation.record", "finish"),
        ];
        until("the commit's spans are collected", async || {
            are_there(&collector.of_trace(&trace), &hops).then_some(())
        })
        .await;
    });
}

/// Each span of a share names the operation, and where its message was on the way.
fn say_where_they_are(spans: &[Seen], operation: GlobalId, [a, hub, b]: [&Ledger; 3]) {
    let mut ways = BTreeSet::new();
    for span in spans {
        let field = |name: &str| span.fields.get(name).cloned().unwrap_or_default();
        assert_eq!(field("global_id"), operation.to_string(), "{span:?}");
        assert_eq!(span.service == "tombolo-relayer", span.name == "relayer.message.deliver");
        // The record of the source is of no message.
        if span.instance != "seattle" {
            assert!(span.fields.contains_key("lane") && span.fields.contains_key("number"));
            ways.insert((field("chain.source"), field("chain.destination")));
        }
    }
    let way = |from: &Ledger, to: &Ledger| (from.chain.to_string(), to.chain.to_string());
    // The hub's second record is of the whole way.
    assert_eq!(ways, BTreeSet::from([way(a, hub), way(hub, b), way(a, b)]));
}

/// The transaction that brings messages has a trace of its own, tied to that of each operation;
/// the node that takes it goes on with that trace.
async fn are_carried_on(collector: &Collector, spans: &[Seen]) {
    for span in spans.iter().filter(|span| span.instance == "relayer") {
        let brought = (span.trace.clone(), span.id.clone());
        until("the node that took the delivery is in its trace", async || {
            let all = collector.all();
            let submitted = all.iter().find(|seen| seen.links.contains(&brought))?;
            assert_eq!(submitted.name, "relayer.delivery.submit");
            let taken = collector.of_trace(&submitted.trace);
            let taken = taken.iter().find(|seen| seen.name == "node.transaction.submit")?;
            assert_eq!(taken.service, "tombolo-node");
            Some(())
        })
        .await;
    }
}
