//! Two EVM chains on one hub: what an islet and a chain do, two chains do by the same calls.

use crate::{
    evm::{AWAY, FINAL_TWICE, HERE, Integration, LONG, allow_move},
    network::Devnet,
    node::Node,
    party::{Certificate, pay, schema_of, until_within},
    run::{good, run},
    sockets::{Watch, port_of},
};
use serde_json::Value;
use std::{collections::BTreeSet, rc::Rc};
use tombolo_test_nodes::{Clique, alone, skipped};
use tombolo_types::{
    Hash,
    action::Branch,
    id::{AssetId, LinkId},
};

const NATIVE: AssetId = AssetId::ZERO;

/// Two chains with an open link each.
struct Pair {
    first: Integration,
    second: Integration,
    nodes: [Node; 2],
}

impl Pair {
    fn of(nodes: [Node; 2]) -> Self {
        let devnet = Rc::new(Devnet::up());
        let linked = |name, node: &Node| {
            let (words, mode) = (node.words_to_add(), node.mode());
            Integration::named(name, devnet.clone(), node.rpc(), node.key(), &words, &[mode])
        };
        let first = linked("harbour", &nodes[0]);
        let others = ["hub/config.toml", "seattle/config.toml", "mauna-loa/config.toml"];
        let others = others.iter().chain(&["chains/harbour.toml"]);
        let words = || {
            let read = |path| std::fs::read_to_string(devnet.home.join(path)).unwrap();
            others.clone().map(read).collect::<Vec<_>>()
        };
        let before = words();
        let second = linked("quay", &nodes[1]);
        assert_eq!(words(), before, "one more link is nothing to the others");
        Self { first, second, nodes }
    }

    async fn share_commit_and_move(&self) {
        self.share().await;
        self.commit().await;
        self.move_item().await;
    }

    /// A reading of the first chain is copied to the second.
    async fn share(&self) {
        let id = self.first.share_from(&self.nodes[0].sender(), self.second.chain()).await;
        until_within(FINAL_TWICE, "the copy is anchored", || async {
            self.second.has_copy(Hash::from(id)).then_some(())
        })
        .await;
        // Both hops stand in the hub's records, each with its link.
        let hub = format!("http://{}", self.first.devnet.serves("hub"));
        let both = BTreeSet::from([self.first.link_id(), self.second.link_id()]);
        until_within(FINAL_TWICE, "both hops are recorded", || async {
            let id = Hash::from(id).to_string();
            let found = good(&["audit", "query", "--json", "--node", &hub, "--data", &id]);
            let links = found.lines().filter_map(|line| {
                let record: Value = serde_json::from_str(line).unwrap();
                record["link"].as_str()?.parse().ok()
            });
            (links.collect::<BTreeSet<LinkId>>() == both).then_some(())
        })
        .await;
        let hub = self.first.devnet.ledger("hub").await;
        for (end, node) in [&self.first, &self.second].into_iter().zip(&self.nodes) {
            end.audited(&hub, node.mode() == "2");
        }
    }

    /// Pays one way on the first and the other way on the second, all or nothing.
    async fn commit(&self) {
        let hub = self.first.devnet.ledger("hub").await;
        let party = |name| self.first.devnet.party(name);
        let (city, observatory) = (party("city"), party("observatory"));
        self.first.deposit(&self.nodes[0].sender(), &city);
        self.second.deposit(&self.nodes[1].sender(), &observatory);
        let branches = vec![
            Branch::new(self.first.link_id(), &[pay(&city, &observatory, NATIVE)]),
            Branch::new(self.second.link_id(), &[pay(&observatory, &city, NATIVE)]),
        ];
        let (xid, begun) = city.begin(&hub, branches, &[&city, &observatory]).await;
        assert_eq!(hub.receipt(begun).await.refusal, None);
        self.first.committed(&hub, &xid.to_string()).await;
        let (city, observatory) = (city.address(), observatory.address());
        let held =
            |chain: &Integration| (chain.in_the_vault(&city), chain.in_the_vault(&observatory));
        assert_eq!([held(&self.first), held(&self.second)], [(4, 1), (1, 4)]);
    }

    /// A certificate that was written on the first goes to the second, and is on one at a time.
    async fn move_item(&self) {
        let hub = self.first.devnet.ledger("hub").await;
        let party = |name| self.first.devnet.party(name);
        let (city, observatory, analyser) =
            (party("city"), party("observatory"), party("co2-analyser"));
        let schema = schema_of(&hub, "calibration").await;
        let certificate = Certificate::of(self.first.chain(), &observatory, &analyser, schema);
        let written = Branch::new(self.first.link_id(), &[certificate.writing(&observatory)]);
        let (xid, begun) = observatory.begin(&hub, vec![written], &[&observatory]).await;
        assert_eq!(hub.receipt(begun).await.refusal, None);
        self.first.committed(&hub, &xid.to_string()).await;
        let found = self.first.closed_item(certificate.item);
        assert_eq!(found, (HERE, observatory.address()));

        allow_move(&hub, &observatory, certificate.item, &city).await;
        let (out, come) = certificate.movement(&observatory, self.second.chain(), &city);
        let branches = vec![
            Branch::new(self.first.link_id(), &[out]),
            Branch::new(self.second.link_id(), &[come]),
        ];
        let (xid, begun) = city.begin(&hub, branches, &[&observatory]).await;
        assert_eq!(hub.receipt(begun).await.refusal, None);
        self.first.committed(&hub, &xid.to_string()).await;
        assert_eq!(self.first.closed_item(certificate.item).0, AWAY);
        assert_eq!(self.second.closed_item(certificate.item), (HERE, city.address()));
    }
}

/// Shared, committed and moved from one to the other: from a real geth, whose heads are proved, to
/// anvil by a trusted node. Each link has a mode of its own.
///
/// Req: Y4560-10.2-0, Y4560-7.2.4-1, Y4560-10.1-d.2
#[test]
fn two_ethereum_chains_share_commit_and_move_over_one_hub() {
    let _alone = alone();
    let Some(harbour) = Node::clique(771_177) else { return };
    let Some(quay) = Node::instant(31_337) else { return };
    run(Pair::of([harbour, quay]).share_commit_and_move());
}

/// The same calls on two networks of real geths, each in mode 1: no party is trusted on the way, and
/// no process of one is ever connected to one of the other.
///
/// Req: Y4560-10.2-1.1, Y4560-10.2-1.2, Y4560-10.2-1.3
#[test]
fn two_clique_chains_share_commit_and_move_without_a_trusted_party() {
    if std::env::var_os(LONG).is_none() {
        return skipped(&format!("mode 1 between two networks of geths takes 95 s; set {LONG}=1"));
    }
    let _alone = alone();
    let Some(harbour) = Clique::start_as(771_177, 1, 30_000) else { return };
    let Some(quay) = Clique::start_as(771_178, 1, 30_000) else { return };
    let geths = [("geth of harbour", &harbour), ("geth of quay", &quay)];
    let geths = geths.map(|(name, network)| {
        network.signers.iter().map(|signer| (name, port_of(signer.rpc.url()))).collect::<Vec<_>>()
    });
    let pair = Pair::of([Node::Clique(harbour), Node::Clique(quay)]);
    let others = ["hub", "seattle", "mauna-loa", "relayer"];
    let others = others.map(|name| (name, pair.first.devnet.serves(name).port()));
    let watch = Watch::of(&[&geths.concat()[..], &others].concat());
    run(pair.share_commit_and_move());
    let by_the_relayer = [
        ("geth of harbour", "relayer"),
        ("geth of quay", "relayer"),
        ("hub", "relayer"),
        ("mauna-loa", "relayer"),
        ("relayer", "seattle"),
    ];
    assert_eq!(watch.ended(), by_the_relayer.into());
}
