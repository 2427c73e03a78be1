//! A link between a hub and a gateway on a real chain, from nothing to open.

use crate::hub::{RELAYER, TestHub, key, wall};
use alloy::{signers::local::PrivateKeySigner, sol_types::SolCall as _};
use std::{ops::AsyncFnMut, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tombolo_adapter::{AdapterError, ClientView, Sink as _, Source, Standing};
use tombolo_crypto::{attested, digest};
use tombolo_evm::{
    Config, EvmAdapter, Finality, Proof, Rpc, account,
    contract::{IRegistry, ShareOrder},
    deploy::{Believes, Deployed, Deployer, NewGateway},
    sender::FeePolicy,
};
use tombolo_hub::{
    HubCall,
    govern::{Act, NewLink},
};
use tombolo_ledger::{Call, lanes::LinkStatus};
use tombolo_relayer::{
    Chain, End, Endpoint, LinkTask, Metrics, Reports, Settings,
    attest::{Attest, Attested, Ends, Node, OwnProof, prove},
};
use tombolo_sim::SimAdapter;
use tombolo_swap::two_phase::Begin;
use tombolo_test_nodes::{Anvil, Clique, Sender, hash, quantity};
use tombolo_types::{
    Address, Amount, Hash,
    action::{Action, Authorisation, Branch, Pay, Terms},
    attested::AttestedAnchor,
    id::{AssetId, ChainId, LinkId},
    lane::{DATA_LANE, LaneLeaf},
    verifier::LinkTerms,
};

/// Pays for what the relayer sends. On a Clique network it has funds from the start.
pub(crate) const ACCOUNT: u8 = 0x11;
/// Shares items. On a Clique network it is a signer's, which has funds too.
const SHARER: u8 = 2;
/// From whose account commits take.
pub(crate) const PAYER: u8 = 40;
/// For how long either side trusts, in milliseconds; far longer than any test.
pub(crate) const TRUSTING_PERIOD_MS: u64 = 14 * 24 * 3_600_000;
const HOUR_MS: u64 = 3_600_000;
/// How long a client must be dead before the council may release a lock; the least that is allowed.
pub(crate) const RELEASE_PERIOD_MS: u64 = 60_000;
/// The keys of a gateway's council, of whom two must agree.
pub(crate) const COUNCIL: [u8; 3] = [31, 32, 33];

/// A gateway on a chain, registered at a hub.
pub(crate) struct Linked {
    pub(crate) hub: Arc<TestHub>,
    pub(crate) config: Config,
    pub(crate) link: LinkId,
    /// The deployment mode.
    pub(crate) mode: u8,
    /// What the hub's client of the chain starts from.
    pub(crate) anchor: Vec<u8>,
    pub(crate) gateway: Address,
    pub(crate) control: Address,
    pub(crate) vault: Address,
    registry: Address,
    sharer: Sender,
    shared: u64,
    begun: u64,
}

impl Linked {
    /// In mode 1, by the seals of a Clique chain. The adapter asks the nodes at `urls`.
    pub(crate) async fn to_clique(network: &Clique, urls: Vec<String>, depth: u64) -> Self {
        let genesis = network.rpc().call("eth_getBlockByNumber", serde_json::json!(["0x0", false]));
        let chain = (network.chain_id(), hash(&genesis["hash"]));
        let (hub, finality) = (Arc::new(TestHub::start()), Finality::Depth(depth));
        let new = Gateway::create(hub, chain, Rpc::of(urls), finality, Proof::Clique).await;
        let anchor = new.deployer.clique_anchor(network.period, network.epoch).await.unwrap();
        new.register(Sender::new(network.rpc(), key(SHARER)), anchor.encode()).await
    }

    /// In mode 2, by the word of one node. The adapter asks the nodes at `urls`.
    pub(crate) async fn to_anvil(anvil: &Anvil, urls: Vec<String>, depth: u64) -> Self {
        Self::from_hub(Arc::new(TestHub::start()), anvil, urls, depth).await
    }

    /// The same, at a hub that may have other links.
    pub(crate) async fn from_hub(
        hub: Arc<TestHub>,
        anvil: &Anvil,
        urls: Vec<String>,
        depth: u64,
    ) -> Self {
        let chain_id = quantity(&anvil.rpc.call("eth_chainId", serde_json::json!([])));
        let genesis = anvil.rpc.call("eth_getBlockByNumber", serde_json::json!(["0x0", false]));
        for number in [ACCOUNT, SHARER] {
            let gift =
                serde_json::json!([key(number).address().to_string(), "0x56bc75e2d63100000"]);
            let _ = anvil.rpc.call("anvil_setBalance", gift);
        }
        let chain = (chain_id, hash(&genesis["hash"]));
        let finality = Finality::Depth(depth);
        let new = Gateway::create(hub, chain, Rpc::of(urls), finality, Proof::None).await;
        let block = new.deployer.endpoints().newest().await.unwrap();
        let anchor = AttestedAnchor {
            chain: new.config.chain(),
            height: block.height(),
            block_id: block.id().into(),
            time: block.time,
            keys: vec![key(RELAYER).address()],
            threshold: 1,
            bound_kind: String::new(),
            bound_anchor: Vec::new(),
        };
        new.register(Sender::new(&anvil.rpc, key(SHARER)), anchor.encode()).await
    }

    pub(crate) async fn adapter(&self) -> Arc<EvmAdapter> {
        self.adapter_of(self.config.clone()).await.unwrap()
    }

    /// An adapter by another configuration.
    pub(crate) async fn adapter_of(&self, config: Config) -> Result<Arc<EvmAdapter>, AdapterError> {
        let account = account(&key(ACCOUNT)).unwrap();
        Ok(Arc::new(EvmAdapter::connect(config, account).await?))
    }

    pub(crate) fn terms(&self) -> LinkTerms {
        LinkTerms {
            link: self.link,
            gateway: Address(self.config.gateway.0.0),
            mode: self.mode,
            trusting_period_ms: TRUSTING_PERIOD_MS,
        }
    }

    /// What the hub says of the chain's client.
    pub(crate) async fn follower(&self) -> ClientView {
        self.hub.adapter().client_status(self.link).await.unwrap()
    }

    /// One end, attested by the one node of a link in mode 2.
    pub(crate) fn attested<C: Chain>(
        &self,
        chain: &Arc<EvmAdapter>,
        of: End,
        inner: Arc<C>,
    ) -> Attested<C> {
        let ends = Ends { hub: Arc::new(self.hub.adapter()), chain: chain.clone() };
        let node = Node::new("node", self.link, key(RELAYER), key(ACCOUNT), ends);
        let nodes: Vec<Arc<dyn Attest>> = vec![Arc::new(node)];
        Attested::new(inner, of, nodes, 1, OwnProof::LeftOut)
    }

    /// The hub as its side of the link shows it to the chain.
    pub(crate) fn hub_end(&self, chain: &Arc<EvmAdapter>) -> Arc<dyn Chain> {
        let hub: Arc<SimAdapter<_>> = Arc::new(self.hub.adapter());
        match self.mode {
            1 => hub,
            _ => Arc::new(self.attested(chain, End::Hub, hub)),
        }
    }

    /// The relayer's own task of this link.
    pub(crate) fn task(&self, adapter: &Arc<EvmAdapter>) -> LinkTask {
        let chain: Arc<dyn Chain> = match self.mode {
            1 => adapter.clone(),
            _ => Arc::new(self.attested(adapter, End::Chain, adapter.clone())),
        };
        LinkTask {
            id: self.link,
            hub: Endpoint { name: "hub".into(), chain: self.hub_end(adapter) },
            chain: Endpoint { name: "chain".into(), chain },
            settings: Settings::default(),
            metrics: Metrics::default(),
            reports: Reports::default(),
            join: None,
        }
    }

    /// Has a relayer carry both Hellos and a quorum open the link.
    pub(crate) async fn open(&self, adapter: &Arc<EvmAdapter>) {
        let relayer = Relayer::start(self.task(adapter));
        let reports = relayer.reports.clone();
        assert_eq!(self.hub.link(self.link).status, LinkStatus::Proposed);
        until("the chain's Hello reaches the hub", &reports, async || {
            self.hub.link(self.link).greeted
        })
        .await;
        self.hub.enact(Act::OpenLink { link: self.link }).await;
        until("the hub's Hello reaches the chain", &reports, async || {
            let head = adapter.head(self.link, &self.follower().await).await;
            head.is_ok_and(|head| head.standing == Standing::Open)
        })
        .await;
        assert_eq!(self.hub.link(self.link).status, LinkStatus::Open);
        relayer.stop().await;
    }

    /// Has anybody call a contract of the chain.
    pub(crate) fn call(&self, to: Address, call: &[u8]) {
        let _ = self.sharer.send(Some(to), call);
    }

    /// So many calls of the registry, each of which shares a new item with another chain.
    fn shares(&mut self, count: u64) -> Vec<Vec<u8>> {
        let device = key(SHARER);
        let numbers = self.shared + 1..=self.shared + count;
        self.shared += count;
        let call = |number: u64| {
            // The registry reads no envelope.
            let envelope = number.to_be_bytes().to_vec();
            let signature = device.sign(digest::envelope(&envelope)).0.to_vec();
            let order = ShareOrder {
                owner: [7; 32].into(),
                localId: format!("item/{number}"),
                itemVersion: 1,
                schema: [8; 32].into(),
                terms: "CC-BY-4.0".into(),
                envelope: envelope.into(),
                device: [9; 32].into(),
                signature: signature.into(),
                destination: [10; 32].into(),
                notAfter: 0,
                salt: [11; 32].into(),
            };
            IRegistry::shareCall { order }.abi_encode()
        };
        numbers.map(call).collect()
    }

    /// Has so many items shared; each is one message to the hub, in a block that need not be final.
    pub(crate) fn share(&mut self, count: u64) {
        let calls = self.shares(count);
        self.sharer.send_all(self.registry, &calls);
    }

    /// Hands in the same, and waits for nothing.
    pub(crate) fn broadcast_shares(&mut self, count: u64) -> Vec<Hash> {
        let calls = self.shares(count);
        self.sharer.broadcast(self.registry, &calls)
    }

    /// Begins so many two-phase commits: each is one message to the chain, of which one wei is taken
    /// from the payer.
    pub(crate) fn begin(&mut self, count: u64) {
        let payer = key(PAYER);
        for number in self.begun + 1..=self.begun + count {
            let pay = Action::Pay(Pay {
                from: payer.address(),
                to: key(41).address(),
                asset: AssetId::ZERO,
                amount: Amount(1),
            });
            let branch = Branch::new(self.link, &[pay]);
            let mut salt = [0; 32];
            salt[..8].copy_from_slice(&number.to_be_bytes());
            let terms = Terms {
                hub: self.hub.chain.chain_id(),
                beginner: self.hub.stakeholder(),
                salt: Hash(salt),
                deadline: wall().saturating_add(HOUR_MS),
                branches: vec![digest::branch(&branch)],
            };
            let signature = payer.sign(digest::authorisation(digest::xid(&terms)));
            let account = payer.address();
            let authorisations = vec![Authorisation { branch: 0, account, signature }];
            let begin = Begin { terms, branches: vec![branch], authorisations };
            self.hub.submit(Call::Own(HubCall::Begin(Box::new(begin))));
        }
        self.begun += count;
    }
}

/// The leaf of the data lane in a head.
pub(crate) fn data_leaf(head: &tombolo_adapter::LinkHead) -> LaneLeaf {
    let found = head.lanes.iter().find(|proved| proved.leaf.lane == DATA_LANE);
    found.expect("a data lane").leaf.clone()
}

/// A gateway that is not registered yet.
struct Gateway {
    hub: Arc<TestHub>,
    config: Config,
    mode: u8,
    deployer: Deployer,
    deployed: Deployed,
}

impl Gateway {
    /// In mode 1 where the chain's heads are proved, else in mode 2.
    async fn create(
        hub: Arc<TestHub>,
        (evm_chain_id, genesis): (u64, Hash),
        rpc: Rpc,
        finality: Finality,
        proof: Proof,
    ) -> Self {
        let mode = if proof == Proof::None { 2 } else { 1 };
        let fees = FeePolicy::default();
        let payer: PrivateKeySigner = account(&key(ACCOUNT)).unwrap();
        let chain = (evm_chain_id, genesis.0.into());
        let deployer = Deployer::connect(chain, &rpc, finality, fees, payer.clone()).await.unwrap();
        let mut council = COUNCIL.map(|number| key(number).address().0.into()).to_vec();
        council.sort_unstable();
        let believes = match mode {
            1 => Believes::Certificates,
            mode => Believes::Nodes { mode, keys: vec![payer.address()], threshold: 1 },
        };
        let new = NewGateway {
            believes,
            anchor: hub.anchor(),
            incarnation: 1,
            trusting_period_ms: TRUSTING_PERIOD_MS,
            weight_max: 20,
            backlog_max: 1_024,
            council,
            council_threshold: 2,
            // The hub believes no time far ahead of its own, so the chain's must not be moved far.
            council_delay_ms: 0,
            release_period_ms: RELEASE_PERIOD_MS,
            identity_view_ms: HOUR_MS,
            policy_hash: Hash::ZERO,
            callees: Vec::new(),
        };
        let deployed = deployer.gateway(&new).await.unwrap();
        deployer.hello(&deployed).await.unwrap();
        let gateway = deployed.gateway;
        let genesis = genesis.0.into();
        let config =
            Config { evm_chain_id, genesis, rpc, finality, proof, gateway, from_block: 0, fees };
        Self { hub, config, mode, deployer, deployed }
    }

    async fn register(self, sharer: Sender, anchor: Vec<u8>) -> Linked {
        let Self { hub, config, mode, deployed, .. } = self;
        let (id, gateway): (ChainId, _) = (config.chain(), Address(deployed.gateway.0.0));
        let link = digest::link_id(hub.chain.chain_id(), id, gateway, 1);
        let (verifier, nodes) = match mode {
            1 => (tombolo_evm::CLIQUE, Vec::new()),
            _ => {
                let node = prove(hub.chain.chain_id(), link, &key(RELAYER), &key(ACCOUNT));
                (attested::KIND, vec![node])
            }
        };
        hub.enact(Act::RegisterLink(Box::new(NewLink {
            chain: id,
            gateway,
            incarnation: 1,
            mode,
            verifier: verifier.into(),
            anchor: anchor.clone(),
            code_hash: Hash(deployed.code_hash.0),
            identification_method: tombolo_islet_core::IDENTIFICATION_METHOD.into(),
            nodes,
        })))
        .await;
        let [control, vault, registry] = [deployed.control, deployed.vault, deployed.registry]
            .map(|contract| Address(contract.0.0));
        let (shared, begun) = (0, 0);
        Linked {
            hub,
            config,
            link,
            mode,
            anchor,
            gateway,
            control,
            vault,
            registry,
            sharer,
            shared,
            begun,
        }
    }
}

/// A relayer's task that runs.
pub(crate) struct Relayer {
    pub(crate) reports: Reports,
    cancel: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Relayer {
    pub(crate) fn start(task: LinkTask) -> Self {
        let (reports, cancel) = (task.reports.clone(), CancellationToken::new());
        Self { reports, running: tokio::spawn(task.run(cancel.clone())), cancel }
    }

    /// Lets it finish its step.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        self.running.await.unwrap();
    }

    /// Ends it wherever it is.
    pub(crate) async fn kill(self) {
        self.running.abort();
        assert!(self.running.await.unwrap_err().is_cancelled());
    }
}

/// Waits for two minutes at the most.
pub(crate) async fn until(what: &str, reports: &Reports, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not within two minutes: {what}; {:?}", reports.all());
}

/// Runs a test that has the machine for itself.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}
