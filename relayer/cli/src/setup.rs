//! From started processes to a network that works: identities, structures, policies and links, all
//! by quorum.

use crate::{
    network::{DEVICES, HUB, MAUNA_LOA, Network, Part, RELAYER, SEATTLE},
    party::{Final, Ledger, Party, until},
    process::{Lives, Process},
};
use anyhow::Context as _;
use std::{collections::BTreeSet, time::Duration};
use tombolo_crypto::{
    client::{KIND, genesis_anchor},
    digest,
};
use tombolo_hub::{
    HubCall,
    govern::{Act, NewDevice, NewLink},
    identity::Binding,
    swap::ChainDeclaration,
};
use tombolo_proto::view::LinkStatus;
use tombolo_swap::{
    htlc::{Expiry, Profile, Spending},
    protocol::Locking,
};
use tombolo_types::{
    envelope::Decimal,
    id::{ChainId, LinkId, SchemaId},
    lane::CONTROL_LANE,
    schema::{Field, FieldKind, Schema},
};

/// How long anything on loopback may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Worst cases of an islet on one busy machine. Final is what is in a block.
pub(crate) const ISLET: Profile = Profile {
    block_ms_fastest: 20,
    block_ms_slowest: 5_000,
    time_lag_ms: 0,
    skew_ms: 1_000,
    inclusion_ms: 10_000,
    finality_ms: 0,
    expiry: Expiry::Enforced,
    spending: Spending::Anybody,
};

/// A network whose parts run.
pub(crate) struct Running {
    pub(crate) network: Network,
    pub(crate) hub: Ledger,
    pub(crate) seattle: Ledger,
    pub(crate) mauna_loa: Ledger,
    pub(crate) nodes: Vec<Process>,
    pub(crate) relayer: Process,
    pub(crate) parties: Parties,
}

/// Everybody who acts.
pub(crate) struct Parties {
    pub(crate) city: Party,
    pub(crate) observatory: Party,
    pub(crate) university: Party,
    pub(crate) weather_station: Party,
    pub(crate) co2_analyser: Party,
    pub(crate) old_station: Party,
}

impl Parties {
    /// Reads their keys from the network's folder.
    pub(crate) fn of(network: &Network) -> anyhow::Result<Self> {
        let [weather, co2, old] = DEVICES;
        Ok(Self {
            city: network.party("city")?,
            observatory: network.party("observatory")?,
            university: network.party("university")?,
            weather_station: network.party(weather)?,
            co2_analyser: network.party(co2)?,
            old_station: network.party(old)?,
        })
    }

    /// Has an act proposed by one stakeholder and approved by another, which is a quorum here.
    pub(crate) async fn govern(&self, hub: &Ledger, act: Act) -> anyhow::Result<Final> {
        let name = act.name();
        let proposed = self.city.call(hub, HubCall::Propose(Box::new(act))).await?;
        let proposal = proposed.id.into();
        let approved = self.observatory.call(hub, HubCall::Approve { proposal }).await;
        approved.with_context(|| format!("approving `{name}`"))
    }

    /// The stakeholders who have no account on a chain yet, each with the number of its accounts.
    pub(crate) async fn without_account(
        &self,
        hub: &Ledger,
        chain: ChainId,
    ) -> anyhow::Result<Vec<(&Party, u64)>> {
        let mut without = Vec::new();
        for party in [&self.city, &self.observatory, &self.university] {
            let path = format!("identity/{}", party.identity());
            let known = hub.query(&path).await?.unwrap_or_default();
            let mut accounts = known["accounts"].as_array().into_iter().flatten();
            if accounts.all(|account| account["chain"] != chain.to_string()) {
                let bound = known["bindings"].as_u64().context("the hub shows no bindings")?;
                without.push((party, bound));
            }
        }
        Ok(without)
    }

    /// Binds each stakeholder's account on a chain to its identity, where it is not bound yet, by
    /// signatures of both keys; here both are the same key.
    pub(crate) async fn bind_accounts(&self, hub: &Ledger, chain: ChainId) -> anyhow::Result<()> {
        for (party, bound) in self.without_account(hub, chain).await? {
            let (identity, account) = (party.identity(), party.address());
            let digest = digest::binding(hub.chain, chain, account, identity, bound);
            let signature = party.key().sign(digest);
            let binding = Binding {
                chain,
                account,
                identity_signature: signature,
                account_signature: signature,
            };
            party.call(hub, HubCall::Bind(Box::new(binding))).await?;
        }
        Ok(())
    }
}

/// The structures of what is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schemas {
    pub(crate) weather: SchemaId,
    pub(crate) co2: SchemaId,
    pub(crate) calibration: SchemaId,
}

impl Running {
    /// Starts every part and waits until it answers.
    pub(crate) async fn start(network: Network, lives: Lives) -> anyhow::Result<Self> {
        let mut nodes = Vec::new();
        for part in network.parts.iter().filter(|part| part.chain.is_some()) {
            nodes.push(network.start(&part.name, lives)?);
        }
        for node in &mut nodes {
            network.wait_until_up(node).await?;
        }
        let mut relayer = network.start(RELAYER, lives)?;
        network.wait_until_up(&mut relayer).await?;
        let more = |part: &&Part| part.kind == RELAYER && part.name != RELAYER;
        for part in network.parts.iter().filter(more) {
            let mut relayer = network.start(&part.name, lives)?;
            network.wait_until_up(&mut relayer).await?;
            nodes.push(relayer);
        }
        let parties = Parties::of(&network)?;
        Ok(Self {
            hub: network.ledger(HUB)?,
            seattle: network.ledger(SEATTLE)?,
            mauna_loa: network.ledger(MAUNA_LOA)?,
            network,
            nodes,
            relayer,
            parties,
        })
    }

    /// Starts the relayer again, once it has ended.
    pub(crate) async fn start_relayer(&mut self) -> anyhow::Result<()> {
        let mut relayer = self.network.start(RELAYER, Lives::WithParent)?;
        self.network.wait_until_up(&mut relayer).await?;
        self.relayer = relayer;
        Ok(())
    }

    /// Ends every part.
    pub(crate) async fn stop(&mut self) {
        self.relayer.stop().await;
        for node in &mut self.nodes {
            node.stop().await;
        }
    }

    /// As [`Parties::govern`].
    pub(crate) async fn govern(&self, act: Act) -> anyhow::Result<Final> {
        self.parties.govern(&self.hub, act).await
    }

    /// Registers the devices, each with its owner.
    pub(crate) async fn register_devices(&self) -> anyhow::Result<Final> {
        let Parties { city, observatory, weather_station, co2_analyser, old_station, .. } =
            &self.parties;
        let device = |device: &Party, owner: &Party| NewDevice {
            key: device.address(),
            name: device.name.clone(),
            owner: owner.identity(),
        };
        self.govern(Act::RegisterDevices(vec![
            device(weather_station, city),
            device(co2_analyser, observatory),
            device(old_station, city),
        ]))
        .await
    }

    /// Registers what readings look like.
    pub(crate) async fn register_schemas(&self) -> anyhow::Result<Schemas> {
        let schemas = [weather_schema(), co2_schema(), calibration_schema()];
        let mut ids = Vec::new();
        for schema in schemas {
            let definition = schema.encode()?;
            ids.push(digest::schema_id(&definition));
            self.govern(Act::SetSchema { definition }).await?;
        }
        let [weather, co2, calibration] = ids[..] else { unreachable!("three were registered") };
        Ok(Schemas { weather, co2, calibration })
    }

    /// Says what may pass: open readings as copies, certificates by moving.
    pub(crate) async fn set_policies(&self) -> anyhow::Result<()> {
        let policies = [
            (
                "open-weather",
                r#"permit(principal, action == Action::"share", resource in Type::"weather") when { resource.class == "open" };"#,
            ),
            (
                "open-co2",
                r#"permit(principal, action == Action::"share", resource in Type::"co2") when { resource.class == "open" };"#,
            ),
            (
                "move-calibration",
                r#"permit(principal, action in [Action::"move", Action::"write"], resource in Type::"calibration");"#,
            ),
        ];
        for (id, text) in policies {
            self.govern(Act::SetPolicy { id: id.into(), text: text.into() }).await?;
        }
        Ok(())
    }

    /// Says how an islet can lock and how its clock runs at the worst, for swaps.
    pub(crate) async fn declare(&self, islet: &Ledger) -> anyhow::Result<Final> {
        self.govern(Act::DeclareChain(Box::new(ChainDeclaration {
            chain: islet.chain,
            locking: BTreeSet::from([Locking::Provable, Locking::Hash]),
            profile: ISLET,
        })))
        .await
    }

    /// Links an islet to the hub in mode 1, binds the stakeholders' accounts there, and waits until
    /// the islet knows every identity and structure.
    pub(crate) async fn open_link(&self, islet: &Ledger) -> anyhow::Result<LinkId> {
        let anchor = genesis_anchor(&islet.client.genesis().await?);
        self.govern(Act::RegisterLink(Box::new(NewLink {
            chain: islet.chain,
            gateway: tombolo_islet_core::gateway_address(islet.chain),
            incarnation: 1,
            mode: 1,
            verifier: KIND.into(),
            anchor: anchor.encode(),
            code_hash: tombolo_islet_core::code_hash(),
            identification_method: tombolo_islet_core::IDENTIFICATION_METHOD.into(),
            nodes: Vec::new(),
        })))
        .await?;
        let id = tombolo_islet_core::hub_link_id(self.hub.chain, islet.chain);
        let what = format!("the gateway of {} says Hello", islet.name);
        until(&what, PATIENCE, || async move {
            let links = self.hub.client.links().await?.links;
            Ok(links.into_iter().find(|link| link.id == id && link.greeted))
        })
        .await?;
        self.govern(Act::OpenLink { link: id }).await?;
        self.parties.bind_accounts(&self.hub, islet.chain).await?;
        let what = format!("{} knows every identity", islet.name);
        until(&what, PATIENCE, || self.control_lane_taken(islet, id)).await?;
        Ok(id)
    }

    /// Whether an islet's link is open and has taken all that the hub sent on the control lane.
    pub(crate) async fn control_lane_taken(
        &self,
        islet: &Ledger,
        id: LinkId,
    ) -> anyhow::Result<Option<()>> {
        let (here, there) = (self.hub.client.links().await?, islet.client.links().await?);
        let lane = |links: &tombolo_proto::view::Links| {
            let link = links.links.iter().find(|link| link.id == id)?;
            let lane = link.lanes.iter().find(|lane| lane.lane == CONTROL_LANE)?;
            (link.status == LinkStatus::Open).then_some((lane.size, lane.received))
        };
        let (sent, taken) = (lane(&here), lane(&there));
        Ok((sent.is_some_and(|(size, _)| taken.is_some_and(|(_, received)| received == size)))
            .then_some(()))
    }
}

fn number(name: &str, unit: &str, minimum: &str, maximum: &str, required: bool) -> Field {
    // The texts stand in this file.
    let decimal = |text: &str| text.parse::<Decimal>().ok();
    Field {
        name: name.into(),
        kind: FieldKind::Number,
        unit: unit.into(),
        minimum: decimal(minimum),
        maximum: decimal(maximum),
        length_max: 0,
        required,
        decimals: Some(2),
    }
}

fn text(name: &str, length_max: u32) -> Field {
    Field {
        name: name.into(),
        kind: FieldKind::Text,
        unit: String::new(),
        minimum: None,
        maximum: None,
        length_max,
        required: true,
        decimals: None,
    }
}

/// Daily readings of a weather station.
pub(crate) fn weather_schema() -> Schema {
    Schema {
        name: "weather".into(),
        version: 1,
        fields: vec![
            number("precipitation", "mm", "0", "500", true),
            number("temp_max", "Cel", "-60", "60", true),
            number("temp_min", "Cel", "-60", "60", true),
            number("wind", "m/s", "0", "120", true),
        ],
    }
}

/// Weekly means of carbon dioxide in air.
pub(crate) fn co2_schema() -> Schema {
    Schema {
        name: "co2".into(),
        version: 1,
        fields: vec![number("co2", "ppm", "150", "1000", true), text("week", 8)],
    }
}

/// A certificate of calibration: closed, so it moves and is never copied.
pub(crate) fn calibration_schema() -> Schema {
    Schema {
        name: "calibration".into(),
        version: 1,
        fields: vec![text("instrument", 64), number("offset", "ppm", "-10", "10", true)],
    }
}
