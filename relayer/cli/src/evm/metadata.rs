//! `tombolo link metadata`: what the two ledgers of a link say of the items that concern both.
//!
//! Spec: Y.4560 cl. 10.2. Req: Y4560-10.2-2.2, PRJ-1-1

use super::known::Known;
use crate::{
    audit::moment::rfc3339,
    network::{HUB, Network, RELAYER, write_private},
    output,
    party::Ledger,
};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{collections::BTreeMap, fs, path::PathBuf};
use tombolo_evm::ItemStanding;
use tombolo_islet::signer::now;
use tombolo_types::{
    Class, Refusal, UnixMillis,
    id::{ChainId, Fingerprint},
};

#[derive(clap::Args)]
#[command(after_help = "Example: tombolo link metadata --home net --chain harbour --json")]
pub(crate) struct Arguments {
    /// The network's folder.
    #[arg(long, default_value = "tombolo-devnet")]
    home: PathBuf,
    /// A linked chain.
    #[arg(long)]
    chain: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How the hub says that an item stands on the chain: it lives there, it has gone from there, or a
/// copy has arrived there.
const HERE: &str = "here";
const AWAY: &str = "away";
const ARRIVED: &str = "completed";

/// One item as one ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    data_id: String,
    /// The chain on which it was first written.
    home: String,
    /// The name of its structure.
    kind: String,
    class: String,
    schema_version: u32,
    /// How it stands there; on the hub, whether the chain is known to have it.
    standing: String,
    version: u32,
    /// On the hub when this version was entered; on the chain the final block that was asked.
    height: u64,
    /// `None` where the ledger holds none, or another.
    fingerprint: Option<String>,
}

/// All rows of one ledger, as of when it was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Side {
    as_of_ms: u64,
    rows: Vec<Row>,
}

/// What was last heard, kept so that a ledger that is away can be shown as it was.
#[derive(Default, Serialize, Deserialize)]
struct Seen {
    hub: Option<Side>,
    chain: Option<Side>,
}

/// An item of the hub, as its query shows it.
#[derive(Deserialize)]
struct HubItem {
    item: String,
    home: String,
    location: String,
    class: String,
    schema: String,
    version: u32,
    fingerprint: String,
    height: u64,
    copies: Vec<HubCopy>,
}

#[derive(Deserialize)]
struct HubCopy {
    chain: String,
    version: u32,
    status: String,
}

/// Shows both ledgers, fresh or as they were; exits 1 where one is away (`E_TIMEOUT`), and where they
/// differ (`E_TAMPER`).
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let network = Network::open(&arguments.home)?;
    let known = Known::read(&network, &arguments.chain)?;
    let chain = known.chain()?;
    let path = network.home.join("chains").join(format!("{}.seen.json", arguments.chain));
    let mut seen = match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).context("reading what was last heard")?,
        Err(_) => Seen::default(),
    };
    let hub = on_hub(&network.ledger(HUB)?, chain).await;
    let asked = match (&hub, &seen.hub) {
        (Ok(side), _) | (Err(_), Some(side)) => side.rows.clone(),
        (Err(_), None) => Vec::new(),
    };
    let there = on_chain(&network, &known, &asked).await;
    let mut away = Vec::new();
    for (name, found, kept) in [("hub", hub, &mut seen.hub), ("chain", there, &mut seen.chain)] {
        match found {
            Ok(side) => *kept = Some(side),
            Err(error) => away.push((name, error)),
        }
    }
    write_private(&path, &serde_json::to_string(&seen)?)?;
    let is_away = |name: &str| away.iter().any(|(away, _)| *away == name);
    let differing = match (&seen.hub, &seen.chain) {
        (Some(hub), Some(there)) if away.is_empty() => differing(&hub.rows, &there.rows),
        _ => Vec::new(),
    };
    let sides = [("hub", &seen.hub), (arguments.chain.as_str(), &seen.chain)];
    show(arguments.json, sides, [is_away("hub"), is_away("chain")], &differing);
    if let Some((name, error)) = away.first() {
        let why = format!("{name} gives no answer: {error:#}");
        return Err(Refusal::new(Class::Timeout, why).into());
    }
    match differing.as_slice() {
        [] => Ok(()),
        items => {
            let why = format!("hub and {} differ in {items:?}", arguments.chain);
            Err(Refusal::new(Class::Tamper, why).into())
        }
    }
}

/// The items that live on the chain, have been there, or have a copy there.
async fn on_hub(hub: &Ledger, chain: ChainId) -> anyhow::Result<Side> {
    let mut schemas = BTreeMap::new();
    for schema in entries(hub, "schemas").await? {
        let text = |key: &str| schema[key].as_str().unwrap_or_default().to_owned();
        let version = schema["version"].as_u64().unwrap_or_default();
        schemas.insert(text("schema"), (text("name"), u32::try_from(version)?));
    }
    let items = entries(hub, "items").await?;
    // What was decided before this has been carried out on the chain where nothing waits any more.
    let links = hub.client.links().await.context("asking the hub")?.links;
    let mut lanes = links.iter().filter(|link| link.chain_id == chain).flat_map(|it| &it.lanes);
    let lives_there = if lanes.all(|lane| lane.taken == lane.size) { HERE } else { "arriving" };
    let (chain, mut rows) = (chain.to_string(), Vec::new());
    for entry in items {
        let item: HubItem = serde_json::from_value(entry).context("reading an item")?;
        let copy = item.copies.iter().find(|copy| copy.chain == chain);
        let standing = match copy {
            _ if item.location == chain => lives_there,
            Some(copy) => copy.status.as_str(),
            None if item.home == chain => AWAY,
            None => continue,
        };
        let (kind, schema_version) = schemas.get(&item.schema).cloned().unwrap_or_default();
        let of_copy = copy.map_or(item.version, |copy| copy.version);
        rows.push(Row {
            data_id: item.item,
            home: item.home,
            kind,
            class: item.class,
            schema_version,
            standing: standing.to_owned(),
            version: of_copy,
            height: item.height,
            // Of versions that were followed by others the hub says none.
            fingerprint: (of_copy == item.version).then_some(item.fingerprint),
        });
    }
    Ok(Side { as_of_ms: now().0, rows })
}

/// All entries of a list, page after page.
async fn entries(hub: &Ledger, path: &str) -> anyhow::Result<Vec<serde_json::Value>> {
    let (mut all, mut from): (_, Option<String>) = (Vec::new(), None);
    loop {
        let page = hub.client.query(path, from.as_deref(), 0).await.context("asking the hub")?;
        let page: serde_json::Value = serde_json::from_str(&page.json)?;
        all.extend(page["entries"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => from = Some(next.to_owned()),
            None => return Ok(all),
        }
    }
}

/// The same items as the chain's contracts have them. Their structure is the hub's to know.
async fn on_chain(network: &Network, known: &Known, asked: &[Row]) -> anyhow::Result<Side> {
    let key = network.key_of(RELAYER, &known.evm.account)?;
    let adapter = known.adapter(&key).await?;
    let mut rows = Vec::new();
    for row in asked {
        let fingerprint = row.fingerprint.as_deref().unwrap_or_default().parse();
        let fingerprint = fingerprint.unwrap_or(Fingerprint::ZERO);
        let found = adapter.item(row.data_id.parse()?, (fingerprint, row.home.parse()?)).await?;
        rows.push(Row {
            standing: standing(found.standing).to_owned(),
            version: found.version,
            height: found.height.0,
            fingerprint: found.fingerprint.map(|it| it.to_string()),
            ..row.clone()
        });
    }
    Ok(Side { as_of_ms: now().0, rows })
}

fn standing(it: ItemStanding) -> &'static str {
    match it {
        ItemStanding::Unknown => "unknown",
        ItemStanding::Copy => "copy",
        ItemStanding::Home | ItemStanding::Here => HERE,
        ItemStanding::Locked => "locked",
        ItemStanding::Away => AWAY,
    }
}

/// Items of which the two ledgers cannot both be right. What is on its way is no difference.
fn differing<'r>(hub: &'r [Row], there: &[Row]) -> Vec<&'r str> {
    let differs = |(hub, there): &(&Row, &Row)| {
        let arrived = hub.standing == HERE || hub.standing == ARRIVED;
        let missing = arrived && matches!(there.standing.as_str(), "unknown" | AWAY);
        let behind = arrived && there.version < hub.version && there.version > 0;
        let same_version = there.version == hub.version && hub.fingerprint.is_some();
        // Of an open item at home the contract keeps no fingerprint that it could show.
        let at_home = there.standing == HERE && there.fingerprint.is_none();
        let other = same_version && !at_home && there.fingerprint != hub.fingerprint;
        missing || behind || other
    };
    let pairs = hub.iter().zip(there).filter(differs);
    pairs.map(|(hub, _)| hub.data_id.as_str()).collect()
}

fn show(as_json: bool, sides: [(&str, &Option<Side>); 2], stale: [bool; 2], differing: &[&str]) {
    if as_json {
        let sides = sides.iter().zip(stale).map(|((name, side), stale)| {
            json!({
                "ledger": name, "stale": stale,
                "as_of_ms": side.as_ref().map(|side| side.as_of_ms),
                "rows": side.as_ref().map_or(&[][..], |side| &side.rows),
            })
        });
        output::json(&json!({
            "sides": sides.collect::<Vec<_>>(), "differing": differing,
        }));
        return;
    }
    for ((name, side), stale) in sides.into_iter().zip(stale) {
        let Some(side) = side else {
            println!("{name}: never heard");
            continue;
        };
        let at = rfc3339(UnixMillis(side.as_of_ms));
        println!("{name}, {} {at}", if stale { "STALE, as of" } else { "as of" });
        for row in &side.rows {
            let differs = if differing.contains(&row.data_id.as_str()) { "  DIFFERS" } else { "" };
            println!(
                "  {}  {} v{}  {}  {}  version {}  height {}  {}{differs}",
                row.data_id,
                row.kind,
                row.schema_version,
                row.class,
                row.standing,
                row.version,
                row.height,
                row.fingerprint.as_deref().unwrap_or("-")
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(standing: &str, version: u32, fingerprint: Option<&str>) -> Row {
        Row {
            data_id: "0x01".into(),
            home: "0x02".into(),
            kind: "weather".into(),
            class: "open".into(),
            schema_version: 1,
            standing: standing.into(),
            version,
            height: 7,
            fingerprint: fingerprint.map(str::to_owned),
        }
    }

    /// Req: Y4560-10.2-2.2, PRJ-1-1
    #[test]
    fn ledgers_differ_where_they_cannot_both_be_right() {
        let f = Some("f");
        let cases = [
            ("the same copy", row(ARRIVED, 1, f), row("copy", 1, f), false),
            ("another copy", row(ARRIVED, 1, f), row("copy", 1, None), true),
            ("another copy under way", row("accepted", 1, f), row("copy", 1, None), true),
            ("no copy", row(ARRIVED, 1, f), row("unknown", 0, None), true),
            ("a copy under way", row("accepted", 1, f), row("unknown", 0, None), false),
            ("an older copy", row(ARRIVED, 2, f), row("copy", 1, None), true),
            ("a newer copy", row(ARRIVED, 1, None), row("copy", 2, f), false),
            ("open at home", row(HERE, 1, f), row(HERE, 1, None), false),
            ("closed and here", row(HERE, 1, f), row(HERE, 1, f), false),
            ("closed and other", row(HERE, 1, f), row(HERE, 1, Some("g")), true),
            ("said to be here", row(HERE, 1, f), row(AWAY, 1, f), true),
            ("closed and arriving", row("arriving", 1, f), row("unknown", 0, None), false),
            ("gone", row(AWAY, 1, f), row(AWAY, 1, f), false),
        ];
        for (sentence, hub, there, differs) in cases {
            let found = differing(std::slice::from_ref(&hub), &[there]);
            assert_eq!(found.len(), usize::from(differs), "{sentence}");
        }
    }
}
