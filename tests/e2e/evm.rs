//! Links to real EVM nodes: added, created and used by the command alone.

use crate::{
    network::Devnet,
    party::{
        Certificate, Ledger, Party, Station, TERMS, coin, pay, schema_of, until, until_within,
    },
    run::{good, last_json, refused, run},
    sockets::{Watch, port_of},
};
use alloy::sol_types::SolCall as _;
use serde_json::{Value, json};
use std::{rc::Rc, time::Duration};
use tombolo_crypto::{digest, keccak256::keccak256};
use tombolo_evm::contract::{IRegistry, ShareOrder};
use tombolo_hub::{
    HubCall,
    grant::{Grant, GrantKey, Purpose},
};
use tombolo_islet::signer::now;
use tombolo_test_nodes::{Beacon, Clique, Rpc, Sender, alone, skipped};
use tombolo_types::{
    Address, Hash,
    action::Branch,
    header::Signature,
    id::{AssetId, ChainId, DataId, IdentityId, LinkId, SchemaId},
};

/// The first of the keys that anvil gives funds to; published, guards nothing.
pub(crate) const ANVIL_KEY: &str =
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// The key that the networks of geth give funds to.
pub(crate) const GETH_KEY: &str =
    "0x1111111111111111111111111111111111111111111111111111111111111111";
/// Set to anything, it lets tests wait for finality as often as it takes.
pub(crate) const LONG: &str = "TOMBOLO_LONG_TESTS";
/// Enough for some transactions.
const WEI: u64 = 1_000_000_000_000_000_000;
pub(crate) const NAME: &str = "harbour";
/// Standings of a closed item; IVault.sol.
pub(crate) const HERE: u8 = 1;
pub(crate) const AWAY: u8 = 4;
/// A vote must be final on the chain, and then that it has carried out the decision.
pub(crate) const FINAL_TWICE: Duration = Duration::from_secs(300);

/// A devnet, and a chain beside its islets.
pub(crate) struct Integration {
    pub(crate) devnet: Rc<Devnet>,
    pub(crate) rpc: Rpc,
    pub(crate) link: Value,
}

impl Integration {
    /// From a running node and a running devnet to an open link.
    pub(crate) fn new(devnet: Devnet, rpc: &Rpc, key: &str, words: &[&str], mode: &str) -> Self {
        Self::shared(devnet, rpc, key, words, &[mode])
    }

    /// The same with words about the nodes after the mode.
    pub(crate) fn shared(
        devnet: Devnet,
        rpc: &Rpc,
        key: &str,
        words: &[&str],
        mode: &[&str],
    ) -> Self {
        Self::named(NAME, Rc::new(devnet), rpc, key, words, mode)
    }

    /// The same under another name, on a devnet that may have other chains.
    pub(crate) fn named(
        name: &str,
        devnet: Rc<Devnet>,
        rpc: &Rpc,
        key: &str,
        words: &[&str],
        mode: &[&str],
    ) -> Self {
        let home = devnet.home.to_str().unwrap().to_owned();
        let file = devnet.home.join("key.hex");
        std::fs::write(&file, key).unwrap();
        let add = ["chain", "add", "evm", "--home", &home, "--name", name, "--json"];
        let key = ["--rpc", rpc.url(), "--key-file", file.to_str().unwrap()];
        let add = [&add[..], &key, words].concat();
        let create = ["link", "create", "--home", &home, "--chain", name, "--json", "--mode"];
        let create = [&create[..], mode].concat();

        let tried = last_json(&good(&[&add[..], &["--dry-run"]].concat()));
        assert_eq!(tried["added"], false);
        // What was only tried is not known.
        assert!(refused(&create)["message"].as_str().unwrap().contains("chain add evm"));
        let added = last_json(&good(&add));
        assert_eq!(added["added"], true);
        assert_eq!(added["chain"], tried["chain"]);

        let before = transactions(rpc, added["account"].as_str().unwrap());
        good(&[&create[..], &["--dry-run"]].concat());
        assert_eq!(transactions(rpc, added["account"].as_str().unwrap()), before);
        let link = last_json(&good(&create));
        assert_eq!(link["chain"], added["chain"]);
        // Nothing is created twice.
        assert!(refused(&create)["message"].as_str().unwrap().contains("already"));
        Self { devnet, rpc: rpc.clone(), link }
    }

    /// A link that was created already, as `link create` has described it.
    pub(crate) fn of(devnet: Devnet, rpc: &Rpc, link: Value) -> Self {
        Self { devnet: Rc::new(devnet), rpc: rpc.clone(), link }
    }

    pub(crate) fn chain(&self) -> ChainId {
        self.link["chain"].as_str().unwrap().parse().unwrap()
    }

    /// Shares readings from an islet to the chain, as from an islet to any other ledger, and waits
    /// until their copies are there.
    pub(crate) async fn share(&self, count: u64, unbounded: bool) {
        let hub = self.devnet.ledger("hub").await;
        let islet = self.devnet.ledger("seattle").await;
        let city = self.devnet.party("city");
        let station = self.devnet.party("weather-station");
        let station = Station::new(&hub, islet, station, &city).await;
        for number in 1..=count {
            station.share(number, self.chain()).await;
        }
        for number in 1..=count {
            let id = Hash::from(station.data_id(number));
            until("the copy is anchored", || async { self.has_copy(id).then_some(()) }).await;
        }
        self.audited(&hub, unbounded);
    }

    /// Shares a reading whose home is the chain with an islet: the owner's account there sends it.
    pub(crate) async fn share_back(&self, funded: &Sender) {
        let islet = self.devnet.ledger("seattle").await;
        let id = self.share_from(funded, islet.chain).await;
        let path = format!("copy/{id}");
        let copy = until_within(FINAL_TWICE, "the copy is on the islet", || async {
            let found = islet.client.query(&path, None, 0).await.ok()?;
            Some(serde_json::from_str::<Value>(&found.json).unwrap())
        })
        .await;
        assert_eq!(copy["source_chain"], self.link["chain"], "{copy}");
    }

    /// Has the registry here share a new reading with another ledger.
    pub(crate) async fn share_from(&self, funded: &Sender, destination: ChainId) -> DataId {
        let (hub, islet) = (self.devnet.ledger("hub").await, self.devnet.ledger("seattle").await);
        let (city, station) = (self.devnet.party("city"), self.devnet.party("weather-station"));
        let station = Station::new(&hub, islet, station, &city).await;
        funded.pay(city.address(), &[], WEI);
        let sender = Sender::new(&self.rpc, city.key().clone());
        let signed = station.envelope(7, self.chain());
        let (owner, local_id) = (station.owner, station.local_id(7));
        self.order_share(
            &sender,
            (owner, local_id),
            &station.device,
            station.schema,
            signed,
            destination,
        )
    }

    /// Has an account that may share an item of this chain do so, by its signed envelope.
    pub(crate) fn order_share(
        &self,
        sender: &Sender,
        (owner, local_id): (IdentityId, String),
        device: &Party,
        schema: SchemaId,
        (envelope, signature): (Vec<u8>, Signature),
        destination: ChainId,
    ) -> DataId {
        let item = digest::data_id(self.chain(), owner, &local_id);
        let order = ShareOrder {
            owner: owner.0.into(),
            localId: local_id,
            itemVersion: 1,
            schema: schema.0.into(),
            terms: TERMS.into(),
            envelope: envelope.into(),
            device: device.identity().0.into(),
            signature: signature.0.into(),
            destination: destination.0.into(),
            notAfter: 0,
            salt: [7; 32].into(),
        };
        let registry: Address = self.link["registry"].as_str().unwrap().parse().unwrap();
        let _ = sender.send(Some(registry), &IRegistry::shareCall { order }.abi_encode());
        item
    }

    /// Pays on the islet one way and on the chain the other, all or nothing.
    pub(crate) async fn commit(&self, funded: &Sender) {
        const NATIVE: AssetId = AssetId::ZERO;
        let hub = self.devnet.ledger("hub").await;
        let islet = self.devnet.ledger("seattle").await;
        let (city, observatory) = (self.devnet.party("city"), self.devnet.party("observatory"));
        self.deposit(funded, &observatory);
        let islet_link = tombolo_islet_core::hub_link_id(hub.chain, islet.chain);
        let branches = vec![
            Branch::new(islet_link, &[pay(&city, &observatory, coin())]),
            Branch::new(self.link_id(), &[pay(&observatory, &city, NATIVE)]),
        ];
        let (xid, begun) = city.begin(&hub, branches, &[&city, &observatory]).await;
        assert_eq!(hub.receipt(begun).await.refusal, None);
        self.committed(&hub, &xid.to_string()).await;
        assert_eq!(self.in_the_vault(&observatory.address()), 4);
        assert_eq!(self.in_the_vault(&city.address()), 1);
    }

    /// Has a party put five wei into the vault.
    pub(crate) fn deposit(&self, funded: &Sender, by: &Party) {
        funded.pay(by.address(), &[], WEI);
        let vault: Address = self.link["vault"].as_str().unwrap().parse().unwrap();
        Sender::new(&self.rpc, by.key().clone()).pay(vault, &five_wei(), 5);
    }

    /// Waits until a commit has ended on both sides, and well.
    pub(crate) async fn committed(&self, hub: &Ledger, xid: &str) {
        let ended = until_within(FINAL_TWICE, "the commit has ended on both", || async {
            let commit = hub.query(&format!("commit/{xid}")).await;
            (commit["finished"] == true).then_some(commit)
        })
        .await;
        assert_eq!(ended["status"], "committed", "{ended}");
    }

    /// What an account has in the vault, in wei.
    pub(crate) fn in_the_vault(&self, account: &Address) -> u64 {
        let vault = self.link["vault"].as_str().unwrap();
        let asked = ethereum_call(b"balanceOf(address,bytes32)", &[word_of(account), [0; 32]]);
        let answer = self.ask(vault, &asked);
        u64::from_str_radix(answer.trim_start_matches("0x"), 16).unwrap()
    }

    /// Moves a closed certificate from an islet to an account on the chain: it is never on both.
    pub(crate) async fn move_item(&self) {
        let (hub, islet) = (self.devnet.ledger("hub").await, self.devnet.ledger("mauna-loa").await);
        let (city, observatory) = (self.devnet.party("city"), self.devnet.party("observatory"));
        let analyser = self.devnet.party("co2-analyser");
        let schema = schema_of(&hub, "calibration").await;
        let certificate = Certificate::of(islet.chain, &observatory, &analyser, schema);
        analyser.call(&islet, certificate.entry()).await;
        let islet_link = tombolo_islet_core::hub_link_id(hub.chain, islet.chain);
        let (out, come) = certificate.movement(&observatory, self.chain(), &city);
        allow_move(&hub, &observatory, certificate.item, &city).await;
        let branches = vec![Branch::new(islet_link, &[out]), Branch::new(self.link_id(), &[come])];
        let (xid, begun) = city.begin(&hub, branches, &[&observatory]).await;
        assert_eq!(hub.receipt(begun).await.refusal, None);
        self.committed(&hub, &xid.to_string()).await;
        let gone = islet.query(&format!("item/{}", certificate.item)).await;
        assert_eq!(gone["standing"], "moved", "{gone}");
        assert_eq!(self.closed_item(certificate.item), (HERE, city.address()));
    }

    pub(crate) fn link_id(&self) -> LinkId {
        self.link["link"].as_str().unwrap().parse().unwrap()
    }

    /// What the vault says of a closed item: its standing, and who holds it.
    pub(crate) fn closed_item(&self, item: DataId) -> (u8, Address) {
        let vault = self.link["vault"].as_str().unwrap();
        let answer = self.ask(vault, &ethereum_call(b"closedItem(bytes32)", &[item.0]));
        let words = answer.trim_start_matches("0x");
        let standing = u8::from_str_radix(&words[..64], 16).unwrap();
        (standing, words[3 * 64 + 24..].parse().unwrap())
    }

    fn ask(&self, contract: &str, data: &[u8]) -> String {
        let call = json!({ "to": contract, "data": format!("0x{}", hex(data)) });
        self.rpc.call("eth_call", json!([call, "latest"])).as_str().unwrap().to_owned()
    }

    /// Whether the registry knows an item as a copy of what lives elsewhere.
    pub(crate) fn has_copy(&self, id: Hash) -> bool {
        const COPY: u8 = 1;
        let registry = self.link["registry"].as_str().unwrap();
        let answer = self.ask(registry, &ethereum_call(b"item(bytes32)", &[id.0]));
        answer.ends_with(&format!("{COPY:02x}"))
    }

    /// Every record of a share to the chain says in which mode it went, and whether anything but
    /// one node's word bounds it.
    pub(crate) fn audited(&self, hub: &Ledger, unbounded: bool) {
        let hub = hub.client.address().to_owned();
        let link = self.link["link"].as_str().unwrap();
        let found = good(&["audit", "query", "--json", "--node", &hub, "--link", link]);
        let records: Vec<Value> =
            found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(!records.is_empty());
        for record in records {
            assert_eq!(record["mode"], self.link["mode"], "{record}");
            assert_eq!(record["unbounded"] == true, unbounded, "{record}");
        }
    }
}

/// A call of a contract with fixed words.
fn ethereum_call(signature: &[u8], words: &[[u8; 32]]) -> Vec<u8> {
    [&keccak256(signature).0[..4], &words.concat()].concat()
}

fn word_of(account: &Address) -> [u8; 32] {
    let mut word = [0; 32];
    word[12..].copy_from_slice(&account.0);
    word
}

/// The call of a vault that deposits five wei.
pub(crate) fn five_wei() -> Vec<u8> {
    let mut amount = [0; 32];
    amount[31] = 5;
    ethereum_call(b"deposit(bytes32,uint128,bytes32)", &[[0; 32], amount, [0; 32]])
}

/// Has the owner of a closed item allow its move to another party.
pub(crate) async fn allow_move(hub: &Ledger, owner: &Party, item: DataId, to: &Party) {
    let key = GrantKey { item, grantee: to.identity(), purpose: Purpose::Move };
    let expires = now().saturating_add(3_600_000);
    owner.call(hub, HubCall::Grant(Box::new(Grant { key, expires }))).await;
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many transactions an account has sent.
fn transactions(rpc: &Rpc, account: &str) -> Value {
    rpc.call("eth_getTransactionCount", json!([account, "latest"]))
}

/// Mode 1: what two islets do, an islet and a Clique chain do, and no party is trusted on the way.
///
/// What a contract may not do is in Deliveries.t.sol: whoever is neither registry nor vault sends
/// nothing. And no process of one ledger is ever connected to one of another.
///
/// Req: Y4560-10.2-1.1, Y4560-10.2-1.2, Y4560-10.2-1.3
#[test]
fn an_islet_and_a_clique_chain_share_commit_and_move_without_a_trusted_party() {
    let _alone = alone();
    let Some(network) = Clique::start(1, 1_000) else { return };
    let proof = ["--proof", "clique", "--clique-period", "1", "--clique-epoch", "1000"];
    let words = [&proof[..], &["--finality-depth", "2"]].concat();
    let linked = Integration::new(Devnet::up(), network.rpc(), GETH_KEY, &words, "1");
    let geths = network.signers.iter().map(|signer| ("geth", port_of(signer.rpc.url())));
    let others = ["hub", "seattle", "mauna-loa", "relayer"];
    let others = others.map(|name| (name, linked.devnet.serves(name).port()));
    let parts: Vec<_> = geths.chain(others).collect();
    let watch = Watch::of(&parts);
    run(async {
        linked.share(3, false).await;
        linked.share_back(&network.sender()).await;
        linked.commit(&network.sender()).await;
        linked.move_item().await;
    });
    let by_the_relayer =
        [("geth", "relayer"), ("hub", "relayer"), ("mauna-loa", "relayer"), ("relayer", "seattle")];
    assert_eq!(watch.ended(), by_the_relayer.into());
}

/// Mode 1 on proof of stake: the hub follows sync committees.
///
/// Req: Y4560-10.2-1.1
#[test]
fn an_islet_and_ethereum_share_and_commit_without_a_trusted_party() {
    let _alone = alone();
    let Some(network) = Beacon::start() else { return };
    // There must be something final to start from.
    let _ = network.finality_update(8);
    let words = ["--proof", "beacon", "--beacon", network.consensus.url()];
    let linked = Integration::new(Devnet::up(), &network.execution, GETH_KEY, &words, "1");
    run(linked.share(1, false));
    match std::env::var_os(LONG) {
        Some(_) => run(linked.commit(&network.sender())),
        None => skipped(&format!("two-phase commit on proof of stake takes 5 min; set {LONG}=1")),
    }
}
