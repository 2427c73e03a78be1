//! `tombolo link create`: a gateway on an EVM chain, and the link to it.

use super::known::Known;
use crate::{
    network::{HUB, Network},
    output,
    party::{Ledger, until},
    process::{Lives, stop_by_id},
    relayer_config,
    setup::Parties,
};
use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};
use tombolo_crypto::{attested, digest, secp256k1::SecretKey};
use tombolo_evm::deploy::{Believes, Deployed, Deployer, NewGateway};
use tombolo_hub::govern::{Act, NewLink};
use tombolo_relayer::attest::prove;
use tombolo_types::{
    Address, Hash,
    attested::{AttestedAnchor, SharedNode},
    header::Anchor,
    id::{ChainId, LinkId},
    lane::CONTROL_LANE,
};

/// How long a Hello may take: until its block is final there, and then here.
const GREETED_WITHIN: Duration = Duration::from_secs(180);
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
const BACKLOG_MAX: u64 = 1_024;

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
    /// How the two sides believe each other: 1 by each other's consensus, 2 by one trusted node,
    /// which the chain's own proof bounds where it has one.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    mode: u8,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a link is made of.
struct Plan {
    network: Network,
    hub: Ledger,
    parties: Parties,
    known: Known,
    mode: u8,
    relayer: SecretKey,
    account: SecretKey,
    deployer: Deployer,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let plan = Plan::of(&arguments).await?;
    plan.say().await?;
    if arguments.dry_run {
        eprintln!("nothing was done; leave --dry-run out to create the link");
        return Ok(());
    }
    let (deployed, link) = plan.carry_out().await?;
    let chain = plan.chain();
    if arguments.json {
        output::json(&json!({
            "link": link.to_string(), "chain": chain.to_string(), "mode": plan.mode,
            "gateway": deployed.gateway.to_string(), "control": deployed.control.to_string(),
            "registry": deployed.registry.to_string(), "vault": deployed.vault.to_string(),
            "block": deployed.block, "code_hash": deployed.code_hash.to_string(),
        }));
    } else {
        println!("link {link} to {} is open", plan.known.evm.name);
        println!("  gateway   {}", deployed.gateway);
        println!("  control   {}", deployed.control);
        println!("  registry  {}", deployed.registry);
        println!("  vault     {}", deployed.vault);
    }
    Ok(())
}

impl Plan {
    async fn of(arguments: &Arguments) -> anyhow::Result<Self> {
        let network = Network::open(&arguments.home)?;
        let known = Known::read(&network, &arguments.chain)?;
        ensure!(
            known.evm.gateway.is_empty(),
            "{} is linked by gateway {} already",
            known.evm.name,
            known.evm.gateway
        );
        ensure!(
            arguments.mode != 3,
            "the nodes of mode 3 are not of one folder: register such a link by the nodes' own keys"
        );
        let account = network.relayer_key(&known.evm.account)?;
        let plan = Self {
            hub: network.ledger(HUB)?,
            parties: Parties::of(&network)?,
            relayer: network.relayer_key("relayer")?,
            deployer: known.deployer(&account).await?,
            mode: arguments.mode,
            account,
            known,
            network,
        };
        plan.hub.client.status().await.context("asking the hub; is the network up?")?;
        Ok(plan)
    }

    fn chain(&self) -> ChainId {
        self.deployer.endpoints().chain()
    }

    async fn say(&self) -> anyhow::Result<()> {
        let proof = self.known.verifier(&self.deployer).await?;
        let (verifier, unbounded) = match (self.mode, &proof) {
            (1, Some((kind, _))) => ((*kind).to_owned(), false),
            (1, None) => bail!(
                "mode 1 takes a chain whose heads can be proved; {} was added with --proof none",
                self.known.evm.name
            ),
            (_, Some((kind, _))) => (format!("{}, bounded by {kind}", attested::KIND), false),
            (_, None) => (attested::KIND.to_owned(), true),
        };
        eprintln!("on {} by account {}:", self.known.evm.name, self.account.address());
        eprintln!("  create gateway {}", self.deployer.next_gateway().await?);
        eprintln!("  create control, registry and vault; say Hello");
        eprintln!("at the hub by its stakeholders:");
        eprintln!("  register and open a link in mode {} with verifier {verifier}", self.mode);
        if unbounded {
            eprintln!("  nothing bounds the one trusted node: every record will say `unbounded`");
        }
        eprintln!("at the relayer: serve the link; it is started anew");
        Ok(())
    }

    async fn carry_out(&self) -> anyhow::Result<(Deployed, LinkId)> {
        let deployed = self.create_gateway().await?;
        let gateway = Address(deployed.gateway.0.0);
        let link = digest::link_id(self.hub.chain, self.chain(), gateway, 1);
        self.register(&deployed, link).await?;
        self.have_it_served(&deployed).await?;
        let what = format!("the gateway of {} says Hello", self.known.evm.name);
        let bound = until(&what, GREETED_WITHIN, || async move {
            let links = self.hub.client.links().await?.links;
            let greeted = links.iter().any(|view| view.id == link && view.greeted);
            let path = format!("identity/{}", self.parties.city.identity());
            let city = self.hub.query(&path).await?.unwrap_or_default();
            Ok(city["bindings"].as_u64().filter(|_| greeted))
        })
        .await?;
        self.parties.govern(&self.hub, Act::OpenLink { link }).await?;
        self.parties.bind_accounts(&self.hub, self.chain(), bound).await?;
        let what = format!("{} knows every identity", self.known.evm.name);
        until(&what, GREETED_WITHIN, || async move {
            let links = self.hub.client.links().await?.links;
            let lanes = links.into_iter().find(|view| view.id == link).map(|view| view.lanes);
            let lane = lanes.into_iter().flatten().find(|lane| lane.lane == CONTROL_LANE);
            Ok(lane.filter(|lane| lane.taken == lane.size).map(drop))
        })
        .await?;
        Ok((deployed, link))
    }

    async fn create_gateway(&self) -> anyhow::Result<Deployed> {
        let believes = match self.mode {
            1 => Believes::Certificates,
            mode => {
                let keys = vec![self.account.address().0.into()];
                Believes::Nodes { mode, keys, threshold: 1 }
            }
        };
        let mut council = BTreeSet::new();
        for name in COUNCIL {
            council.insert(self.network.party(name)?.address());
        }
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
            policy_hash: Hash::ZERO,
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

    async fn register(&self, deployed: &Deployed, link: LinkId) -> anyhow::Result<()> {
        let proof = self.known.verifier(&self.deployer).await?;
        let (verifier, anchor, nodes) = match (self.mode, proof) {
            (1, Some((kind, anchor))) => (kind, anchor, Vec::new()),
            (1, None) => bail!("mode 1 takes a chain whose heads can be proved"),
            (_, bound) => {
                let node = prove(self.hub.chain, link, &self.relayer, &self.account);
                (attested::KIND, self.attested_anchor(&node, bound).await?.encode(), vec![node])
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
        node: &SharedNode,
        bound: Option<(&'static str, Vec<u8>)>,
    ) -> anyhow::Result<AttestedAnchor> {
        let block = self.deployer.endpoints().newest().await?;
        let (bound_kind, bound_anchor) = bound.unwrap_or_default();
        Ok(AttestedAnchor {
            chain: self.chain(),
            height: block.height(),
            block_id: block.id().into(),
            time: block.time,
            keys: vec![node.hub_key],
            threshold: 1,
            bound_kind: bound_kind.into(),
            bound_anchor,
        })
    }

    /// Writes the gateway down, and starts the relayer anew with it.
    async fn have_it_served(&self, deployed: &Deployed) -> anyhow::Result<()> {
        let mut known = self.known.clone();
        known.evm.gateway = deployed.gateway.to_string();
        // The contracts stand in blocks before that of their last call.
        known.evm.from_block = deployed.block.saturating_sub(256);
        known.write(&self.network)?;
        let path = self.network.config("relayer");
        let text = fs::read_to_string(&path).context("reading the relayer's configuration")?;
        let mut config: relayer_config::RawConfig = toml::from_str(&text)?;
        config.evm.push(known.evm);
        fs::write(&path, toml::to_string(&config)?)
            .context("writing the relayer's configuration")?;
        let mut network = Network::open(&self.network.home)?;
        let home = network.home.to_string_lossy().into_owned();
        let part = network.parts.iter_mut().find(|part| part.name == "relayer");
        let part = part.context("the network has no relayer")?;
        if let Some(id) = part.process.take() {
            stop_by_id(id, &home).await;
        }
        let mut relayer = network.start("relayer", Lives::Alone)?;
        network.wait_until_up(&mut relayer).await?;
        for part in network.parts.iter_mut().filter(|part| part.name == "relayer") {
            part.process = relayer.id();
        }
        network.save()
    }
}
