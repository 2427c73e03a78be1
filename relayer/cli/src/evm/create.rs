//! `tombolo link create`: a gateway on an EVM chain, and the link to it.

use super::{
    known::{Known, start_of},
    nodes::{LinkNodes, Others, Wanted},
};
use crate::{
    network::{HUB, Network, RELAYER},
    output,
    party::{Ledger, until},
    patience::patiently,
    setup::Parties,
};
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};
use tombolo_crypto::{attested, digest};
use tombolo_evm::deploy::{Believes, Deployed, Deployer, NewGateway};
use tombolo_hub::govern::{Act, NewLink};
use tombolo_types::{
    Address, Hash,
    attested::AttestedAnchor,
    header::Anchor,
    id::{ChainId, LinkId},
    lane::CONTROL_LANE,
    link_policy::{LinkPolicy, PolicyBit, TypeRule},
};

/// How long a Hello, or the news of all identities, may take: until it is final there, twice at the
/// most. Ethereum's main network takes a quarter of an hour to finalise.
const GREETED_WITHIN: Duration = Duration::from_secs(3_600);
/// The council of a new gateway, by the names of its members' keys.
const COUNCIL: [&str; 3] = ["council-1", "council-2", "council-3"];
const COUNCIL_THRESHOLD: u32 = 2;
const HOUR_MS: u64 = 3_600_000;
/// The hub is trusted for so long after the newest header that the gateway knows.
const TRUSTING_PERIOD_MS: u64 = 14 * 24 * HOUR_MS;
/// How old the hub's identities may be for a Prepare or a share.
const IDENTITY_VIEW_MS: u64 = 24 * HOUR_MS;
/// The heaviest message that a gateway takes: two million gas.
const WEIGHT_MAX: u64 = 20;
/// How many messages a lane of a new gateway keeps until their acknowledgement has come back. That
/// takes a finality of either ledger, a quarter of an hour on proof of stake; a place costs nothing.
pub(crate) const BACKLOG_MAX: u64 = 16_384;

#[derive(clap::Args)]
#[command(
    after_help = "Example: tombolo link create --home net --chain harbour --mode 1 --dry-run"
)]
pub(crate) struct Arguments {
    /// The network's folder. Its stakeholders register the link.
    #[arg(long, default_value = "tombolo-devnet")]
    home: PathBuf,
    /// A chain that was added.
    #[arg(long)]
    chain: String,
    /// How the two sides believe each other: 1 by each other's consensus; 2 by one trusted node,
    /// which the chain's own proof bounds where it has one; 3 by several shared nodes.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    mode: u8,
    /// Mode 3: how many nodes; each but the first is a new relayer of this network.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=16))]
    nodes: u8,
    /// Mode 3: a node of another owner, by the file that `tombolo link prove` has written; give one for
    /// each. The network's own relayer is the first node, and none is made besides.
    #[arg(long, value_name = "FILE", requires = "node_listen")]
    node: Vec<PathBuf>,
    /// Mode 3 with other owners: where their nodes ask this network's.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "nodes")]
    node_listen: Option<SocketAddr>,
    /// Mode 3: how many of them must attest. Default: more than half.
    #[arg(long)]
    threshold: Option<u8>,
    /// Mode 3: what both sides agree may pass, for each type of data, as in `weather=share,move`;
    /// of `share`, `move`, `write`, `transfer`. The type `assets` is that of coins.
    #[arg(long, value_name = "TYPE=OPERATIONS", required_if_eq("mode", "3"))]
    allow: Vec<String>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a link is made of.
pub(crate) struct Plan {
    network: Network,
    hub: Ledger,
    parties: Parties,
    known: Known,
    mode: u8,
    shared: Wanted,
    policy: Option<LinkPolicy>,
    deployer: Deployer,
}

/// A link whose gateway is there, and that is registered.
pub(crate) struct Created {
    pub(crate) deployed: Deployed,
    pub(crate) link: LinkId,
    /// Relayers that serve it once they are started anew.
    pub(crate) relayers: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut plan = Plan::read(&arguments).await?;
    plan.say().await?;
    if arguments.dry_run {
        if arguments.json && plan.shared.others.is_some() {
            let gateway = plan.next_gateway().await?;
            output::json(&json!({
                "hub": plan.hub.chain.to_string(), "link": plan.link(gateway).to_string(),
                "gateway": gateway.to_string(), "created": false,
            }));
        }
        eprintln!("nothing was done; leave --dry-run out to create the link");
        return Ok(());
    }
    plan.shared.ensure_enough()?;
    let (name, chain) = (plan.known.evm.name.clone(), plan.chain());
    let what = format!("the contracts stand in final blocks of {name}");
    let Created { deployed, link, relayers } = patiently(&what, plan.create()).await?;
    for relayer in &relayers {
        plan.network.restart(relayer).await?;
    }
    patiently(&format!("{name} and the hub have heard of each other"), plan.open(link)).await?;
    if arguments.json {
        output::json(&json!({
            "link": link.to_string(), "chain": chain.to_string(), "mode": plan.mode,
            "gateway": deployed.gateway.to_string(), "control": deployed.control.to_string(),
            "registry": deployed.registry.to_string(), "vault": deployed.vault.to_string(),
            "from_block": plan.known.evm.from_block, "code_hash": deployed.code_hash.to_string(),
        }));
    } else {
        println!("link {link} to {name} is open");
        println!("  gateway   {}", deployed.gateway);
        println!("  control   {}", deployed.control);
        println!("  registry  {}", deployed.registry);
        println!("  vault     {}", deployed.vault);
    }
    Ok(())
}

impl Plan {
    async fn read(arguments: &Arguments) -> anyhow::Result<Self> {
        let network = Network::open(&arguments.home)?;
        let known = Known::read(&network, &arguments.chain)?;
        let shared = match arguments.mode {
            1 => Wanted::none(),
            2 => Wanted::one(),
            _ => {
                let others = arguments
                    .node_listen
                    .map(|listen| Others { listen, files: arguments.node.clone() });
                Wanted::several(arguments.nodes, arguments.threshold, others)?
            }
        };
        let policy = (arguments.mode == 3).then(|| policy(&arguments.allow)).transpose()?;
        Self::of(network, known, arguments.mode, shared, policy).await
    }

    /// A link in mode 1, or in mode 2, whose one trusted node is the network's relayer.
    pub(crate) async fn unshared(network: Network, known: Known, mode: u8) -> anyhow::Result<Self> {
        let nodes = if mode == 1 { Wanted::none() } else { Wanted::one() };
        Self::of(network, known, mode, nodes, None).await
    }

    async fn of(
        network: Network,
        known: Known,
        mode: u8,
        shared: Wanted,
        policy: Option<LinkPolicy>,
    ) -> anyhow::Result<Self> {
        let account = network.key_of(RELAYER, &known.evm.account)?;
        let plan = Self {
            hub: network.ledger(HUB)?,
            parties: Parties::of(&network)?,
            deployer: known.deployer(&account).await?,
            mode,
            policy,
            shared,
            known,
            network,
        };
        plan.hub.client.status().await.context("asking the hub; is the network up?")?;
        if let Some(gateway) = plan.begun()? {
            let standing = plan.standing(plan.link(gateway)).await?.unwrap_or_default();
            let without = plan.parties.without_account(&plan.hub, plan.chain()).await?;
            ensure!(
                standing["opened"] != true || !without.is_empty(),
                "{} is linked by gateway {gateway} already",
                plan.known.evm.name
            );
        }
        Ok(plan)
    }

    fn chain(&self) -> ChainId {
        self.deployer.endpoints().chain()
    }

    /// The gateway that an attempt before this one has created.
    fn begun(&self) -> anyhow::Result<Option<Address>> {
        let gateway = Some(&self.known.evm.gateway).filter(|gateway| !gateway.is_empty());
        gateway.map(|gateway| gateway.parse().context("reading the chain's gateway")).transpose()
    }

    /// That gateway, or where the next one will stand, as long as the account sends nothing before.
    async fn next_gateway(&self) -> anyhow::Result<Address> {
        match self.begun()? {
            Some(gateway) => Ok(gateway),
            None => Ok(Address(self.deployer.contract_after(0).await?.0.0)),
        }
    }

    fn link(&self, gateway: Address) -> LinkId {
        digest::link_id(self.hub.chain, self.chain(), gateway, 1)
    }

    async fn say(&self) -> anyhow::Result<()> {
        let proof = self.known.verifier(&self.deployer).await?;
        let Wanted { count: nodes, threshold, .. } = self.shared;
        let (verifier, unbounded) = match (self.mode, &proof) {
            (1, Some((kind, _))) => ((*kind).to_owned(), false),
            (1, None) => bail!(
                "mode 1 takes a chain whose heads can be proved; {} was added with --proof none",
                self.known.evm.name
            ),
            (2, Some((kind, _))) => (format!("{}, bounded by {kind}", attested::KIND), false),
            (2, None) => (attested::KIND.to_owned(), true),
            _ => (format!("{}, {threshold} of {nodes} nodes", attested::KIND), false),
        };
        eprintln!("on {} by account {}:", self.known.evm.name, self.deployer.account());
        match self.begun()? {
            Some(gateway) => eprintln!("  go on with gateway {gateway}"),
            None => {
                eprintln!("  create gateway {}", self.deployer.contract_after(0).await?);
                eprintln!("  create control, registry and vault; say Hello");
            }
        }
        eprintln!("at the hub by its stakeholders:");
        eprintln!("  register and open a link in mode {} with verifier {verifier}", self.mode);
        if unbounded {
            eprintln!("  nothing bounds the one trusted node: every record will say `unbounded`");
        }
        if self.mode == 3 {
            eprintln!("  register {} relayers, and agree to what may pass", nodes - 1);
        }
        if self.shared.others.is_some() {
            let (hub, link) = (self.hub.chain, self.link(self.next_gateway().await?));
            eprintln!("each other owner proves its node before, on its own machine:");
            eprintln!(
                "  tombolo link prove --hub {hub} --link {link} --name … --account … --url …"
            );
        }
        eprintln!("at the relayers: serve the link; the first is started anew");
        Ok(())
    }

    /// Creates the contracts, has the link registered, and writes down that it is to be served. What
    /// an attempt that broke off has done is not done again.
    pub(crate) async fn create(&mut self) -> anyhow::Result<Created> {
        let nodes = match self.mode {
            1 => None,
            2 => Some(LinkNodes::one(&self.network, &self.known)?),
            _ => {
                let link = self.link(self.next_gateway().await?);
                let (known, wanted) = (&self.known, &self.shared);
                Some(match &wanted.others {
                    None => {
                        let they = (&self.hub, &self.parties, &self.deployer);
                        LinkNodes::several(&mut self.network, known, they, wanted).await?
                    }
                    Some(others) => {
                        let they = (&self.hub, &self.parties, link);
                        let threshold = wanted.threshold;
                        LinkNodes::of_owners(&self.network, known, they, others, threshold).await?
                    }
                })
            }
        };
        let deployed = self.gateway(nodes.as_ref()).await?;
        let link = self.link(Address(deployed.gateway.0.0));
        if self.standing(link).await?.is_none() {
            self.register(&deployed, link, nodes.as_ref()).await?;
        }
        let relayers = match &nodes {
            None => {
                self.network.have_served(RELAYER, self.known.evm.clone())?;
                vec![RELAYER.to_owned()]
            }
            Some(nodes) => nodes.serve(&self.network, &self.known.evm)?,
        };
        Ok(Created { deployed, link, relayers })
    }

    /// The gateway, which is written down as soon as it stands, and has said Hello in a final block.
    async fn gateway(&mut self, nodes: Option<&LinkNodes>) -> anyhow::Result<Deployed> {
        let deployed = match self.begun()? {
            Some(gateway) => {
                let (mode, deployed) = self.deployer.deployed(gateway.0.into()).await?;
                ensure!(
                    mode == self.mode,
                    "gateway {gateway} was created for mode {mode}; go on with --mode {mode}"
                );
                deployed
            }
            None => {
                // Nothing of the gateway is below: it is created later, and this block stays.
                self.known.evm.from_block = self.deployer.endpoints().newest().await?.number;
                let next = self.next_gateway().await?;
                let deployed = self.create_gateway(self.link(next), nodes).await?;
                self.known.evm.gateway = deployed.gateway.to_string();
                self.known.write(&self.network)?;
                deployed
            }
        };
        self.deployer.hello(&deployed).await?;
        Ok(deployed)
    }

    /// What the hub says of a link; `None` where it is not registered.
    async fn standing(&self, link: LinkId) -> anyhow::Result<Option<Value>> {
        self.hub.query(&format!("link/{link}")).await
    }

    /// Opens the link as soon as the gateway has said Hello, and binds the stakeholders' accounts;
    /// what of that was done before is left out.
    pub(crate) async fn open(&self, link: LinkId) -> anyhow::Result<()> {
        let what = format!("the gateway of {} says Hello", self.known.evm.name);
        let standing = until(&what, GREETED_WITHIN, || async move {
            let standing = self.standing(link).await?;
            Ok(standing.filter(|standing| standing["greeted"] == true))
        })
        .await?;
        let has_policy = standing["link_policy"] != Hash::ZERO.to_string();
        if let Some(policy) = self.policy.as_ref().filter(|_| !has_policy) {
            let digest = digest::link_policy(link, policy);
            let mut signatures = Vec::new();
            for name in COUNCIL {
                signatures.push(self.network.party(name)?.key().sign(digest));
            }
            let act = Act::SetLinkPolicy { link, policy: policy.clone(), signatures };
            self.parties.govern(&self.hub, act).await?;
        }
        if standing["opened"] == false {
            self.parties.govern(&self.hub, Act::OpenLink { link }).await?;
        }
        self.parties.bind_accounts(&self.hub, self.chain()).await?;
        let what = format!("{} knows every identity", self.known.evm.name);
        until(&what, GREETED_WITHIN, || async move {
            let links = self.hub.client.links().await?.links;
            let lanes = links.into_iter().find(|view| view.id == link).map(|view| view.lanes);
            let lane = lanes.into_iter().flatten().find(|lane| lane.lane == CONTROL_LANE);
            Ok(lane.filter(|lane| lane.taken == lane.size).map(drop))
        })
        .await
    }

    async fn create_gateway(
        &self,
        link: LinkId,
        nodes: Option<&LinkNodes>,
    ) -> anyhow::Result<Deployed> {
        let believes = match nodes {
            None => Believes::Certificates,
            Some(nodes) => {
                let keys = nodes.accounts().into_iter().map(|key| key.0.into()).collect();
                Believes::Nodes { mode: self.mode, keys, threshold: nodes.threshold }
            }
        };
        let mut council = Vec::new();
        for name in COUNCIL {
            council.push(self.network.party(name)?.address());
        }
        council.sort_unstable();
        let policy = self.policy.as_ref();
        let new = NewGateway {
            believes,
            anchor: self.hub_anchor().await?,
            incarnation: 1,
            trusting_period_ms: TRUSTING_PERIOD_MS,
            weight_max: WEIGHT_MAX,
            backlog_max: BACKLOG_MAX,
            council: council.into_iter().map(|member| member.0.into()).collect(),
            council_threshold: COUNCIL_THRESHOLD,
            council_delay_ms: HOUR_MS,
            release_period_ms: 24 * HOUR_MS,
            identity_view_ms: IDENTITY_VIEW_MS,
            policy_hash: policy.map_or(Hash::ZERO, |policy| digest::link_policy(link, policy)),
            callees: Vec::new(),
        };
        Ok(self.deployer.gateway(&new).await?)
    }

    /// The newest header after which the same validators certify.
    async fn hub_anchor(&self) -> anyhow::Result<Anchor> {
        until("the hub keeps its validators for a block", Duration::from_secs(20), || async {
            let found = self.hub.client.header(None).await?;
            let lasts = found.header.next_validators_root == found.header.validators_root;
            Ok(lasts.then(|| Anchor {
                chain_id: self.hub.chain,
                height: found.header.height,
                block_id: digest::block_id(&found.header),
                time: found.header.time,
                validators: found.validators,
            }))
        })
        .await
    }

    async fn register(
        &self,
        deployed: &Deployed,
        link: LinkId,
        nodes: Option<&LinkNodes>,
    ) -> anyhow::Result<()> {
        let proof = self.known.verifier(&self.deployer).await?;
        if let Some((kind, anchor)) = &proof {
            let (name, start) = (&self.known.evm.name, start_of(kind, anchor)?);
            eprintln!(
                "the hub follows {name} from {start}; compare it with what another node says"
            );
        }
        let (verifier, anchor, nodes) = match (nodes, proof) {
            (None, Some((kind, anchor))) => (kind, anchor, Vec::new()),
            (None, None) => bail!("mode 1 takes a chain whose heads can be proved"),
            (Some(nodes), proof) => {
                let bound = proof.filter(|_| self.mode == 2);
                let anchor = self.attested_anchor(nodes, bound).await?.encode();
                (attested::KIND, anchor, nodes.proofs(self.hub.chain, link))
            }
        };
        let new = NewLink {
            chain: self.chain(),
            gateway: Address(deployed.gateway.0.0),
            incarnation: 1,
            mode: self.mode,
            verifier: verifier.into(),
            anchor,
            code_hash: Hash(deployed.code_hash.0),
            identification_method: tombolo_islet_core::IDENTIFICATION_METHOD.into(),
            nodes,
        };
        self.parties.govern(&self.hub, Act::RegisterLink(Box::new(new))).await?;
        Ok(())
    }

    async fn attested_anchor(
        &self,
        nodes: &LinkNodes,
        bound: Option<(&'static str, Vec<u8>)>,
    ) -> anyhow::Result<AttestedAnchor> {
        let block = self.deployer.endpoints().newest().await?;
        let (bound_kind, bound_anchor) = bound.unwrap_or_default();
        Ok(AttestedAnchor {
            chain: self.chain(),
            height: block.height(),
            block_id: block.id().into(),
            time: block.time,
            keys: nodes.keys(),
            threshold: nodes.threshold,
            bound_kind: bound_kind.into(),
            bound_anchor,
        })
    }
}

/// The first policy of a link, from words such as `weather=share,move`.
fn policy(allowed: &[String]) -> anyhow::Result<LinkPolicy> {
    let mut types: BTreeMap<&str, u8> = BTreeMap::new();
    for words in allowed {
        let (name, operations) = words.split_once('=').with_context(|| {
            format!("`{words}` is no rule; write TYPE=share,move,write,transfer")
        })?;
        for operation in operations.split(',') {
            let bit = match operation {
                "share" => PolicyBit::Share,
                "move" => PolicyBit::Move,
                "write" => PolicyBit::Write,
                "transfer" => PolicyBit::Transfer,
                other => bail!("`{other}` is none of share, move, write, transfer"),
            };
            *types.entry(name).or_default() |= bit as u8;
        }
    }
    let rule = |(name, operations): (&str, u8)| TypeRule { name: name.into(), operations };
    Ok(LinkPolicy { version: 1, types: types.into_iter().map(rule).collect() })
}
