//! Makes an order: accounts, and deadlines that protect both parties.

use super::{
    book::{ShownProfile, bytes},
    config::{Kind, Place},
    desk::Desk,
};
use crate::relayer_config::time;
use anyhow::Context as _;
use serde::Deserialize;
use tombolo_crypto::digest;
use tombolo_islet::signer::random;
use tombolo_swap::htlc::{Margins, Opening, Profile, Role, Terms, gap_needs_ms, lock_needs_ms};
use tombolo_types::{
    Amount, Class, Refusal, UnixMillis,
    id::{AssetId, ChainId, IdentityId},
    swap::{Account, Deadline, Leg, Order, Secret},
};

/// Some chains count whole seconds; a deadline that is one means the same on all.
const SECOND_MS: u64 = 1_000;

/// What the first party proposes.
#[derive(clap::Args)]
pub(crate) struct Proposal {
    /// The identity of the other party.
    #[arg(long, value_name = "IDENTITY")]
    pub(crate) to: IdentityId,
    /// How much to give, in the asset's smallest unit.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) give: u128,
    /// What to give.
    #[arg(long, value_name = "ASSET")]
    pub(crate) give_asset: AssetId,
    /// On which configured chain.
    #[arg(long, value_name = "CHAIN")]
    pub(crate) give_on: String,
    /// How much to take.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) take: u128,
    /// What to take.
    #[arg(long, value_name = "ASSET")]
    pub(crate) take_asset: AssetId,
    /// On which configured chain.
    #[arg(long, value_name = "CHAIN")]
    pub(crate) take_on: String,
    /// How long the other may take to accept.
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = time)]
    pub(crate) accept_within: u64,
    /// How much longer than they must the locks last. More is calmer, and binds the funds longer
    /// where the other stays away.
    #[arg(long, value_name = "TIME", default_value = "1min", value_parser = time)]
    pub(crate) spare: u64,
    /// Own account to give from. Default: the one bound to one's identity on the hub; on an EVM
    /// chain without a link, that of one's key.
    #[arg(long, value_name = "ACCOUNT", value_parser = account)]
    pub(crate) give_from: Option<Account>,
    /// The other's account to give to. Default: the one bound to its identity.
    #[arg(long, value_name = "ACCOUNT", value_parser = account)]
    pub(crate) give_to: Option<Account>,
    /// The other's account to take from. Default: the one bound to its identity.
    #[arg(long, value_name = "ACCOUNT", value_parser = account)]
    pub(crate) take_from: Option<Account>,
    /// Own account to take to. Default: as for --give-from.
    #[arg(long, value_name = "ACCOUNT", value_parser = account)]
    pub(crate) take_to: Option<Account>,
}

fn account(text: &str) -> Result<Account, String> {
    let named = bytes(text).and_then(|bytes| Account::new(&bytes));
    named.ok_or_else(|| "expected 1 to 128 bytes in hexadecimal".into())
}

/// What the hub knows of the chains of an order.
struct Known {
    now: UnixMillis,
    profiles: [Profile; 2],
    margins: Margins,
}

impl Proposal {
    /// The order, and all that its first party's machine is told.
    pub(super) async fn opening(&self, desk: &Desk) -> anyhow::Result<Opening> {
        let secret = Secret(random().0);
        let (give_on, take_on) =
            (desk.config.chain(&self.give_on)?, desk.config.chain(&self.take_on)?);
        let known = known(desk, [give_on, take_on]).await?;
        let me = desk.party.identity();
        let accept_until = known.now.saturating_add(self.accept_within);
        let [first, second] = deadlines(&known, self.accept_within, self.spare);
        let leg = |end: &Place, asset, amount, locker, recipient, deadline| Leg {
            chain: end.chain,
            asset,
            amount: Amount(amount),
            locker,
            recipient,
            deadline: Deadline::Time(deadline),
        };
        let order = Order {
            hash: digest::secret_hash(&secret),
            parties: vec![me, self.to],
            legs: vec![
                leg(
                    give_on,
                    self.give_asset,
                    self.give,
                    named_or_bound(desk, &self.give_from, me, give_on).await?,
                    named_or_bound(desk, &self.give_to, self.to, give_on).await?,
                    first,
                ),
                leg(
                    take_on,
                    self.take_asset,
                    self.take,
                    named_or_bound(desk, &self.take_from, self.to, take_on).await?,
                    named_or_bound(desk, &self.take_to, me, take_on).await?,
                    second,
                ),
            ],
            accept_until,
            premium: Amount::ZERO,
        };
        Ok(Opening {
            terms: Terms::read(order)?,
            role: Role::Party(0),
            secret: Some(secret),
            profiles: known.profiles.to_vec(),
            margins: known.margins,
        })
    }
}

/// The earliest deadlines that leave both parties what they need, and `spare`, though the order is
/// accepted at the last moment.
fn deadlines(known: &Known, accept_within_ms: u64, spare_ms: u64) -> [UnixMillis; 2] {
    let Known { now, profiles: [first, second], margins } = known;
    let needs_ms = lock_needs_ms(&[*first, *second], margins);
    let ends = now.saturating_add(accept_within_ms).saturating_add(needs_ms);
    let ends = whole_second(ends.saturating_add(spare_ms));
    let over = ends.saturating_add(second.block_ms_slowest).saturating_add(second.time_lag_ms);
    [whole_second(over.saturating_add(gap_needs_ms(first, second, margins))), ends]
}

fn whole_second(at: UnixMillis) -> UnixMillis {
    UnixMillis(at.0.div_ceil(SECOND_MS).saturating_mul(SECOND_MS))
}

async fn known(desk: &Desk, ends: [&Place; 2]) -> anyhow::Result<Known> {
    let header = desk.hub().client.header(None).await.context("asking the hub for its time")?;
    let parameters = desk.hub().query("parameters").await?.unwrap_or_default();
    let parameter = |name: &str| {
        let all = parameters["entries"].as_array().into_iter().flatten();
        let value = all.clone().find(|it| it["name"] == name).and_then(|it| it["value"].as_u64());
        value.with_context(|| format!("the hub has no parameter `{name}`"))
    };
    let margins = Margins {
        relay_ms: parameter("relay_margin_ms")?,
        outage_ms: parameter("swap_outage_ms")?,
    };
    let profiles = [profile(desk, ends[0]).await?, profile(desk, ends[1]).await?];
    Ok(Known { now: header.header.time, profiles, margins })
}

/// What a quorum has declared of a chain.
async fn profile(desk: &Desk, end: &Place) -> anyhow::Result<Profile> {
    #[derive(Deserialize)]
    struct Page {
        entries: Vec<Declared>,
    }
    #[derive(Deserialize)]
    struct Declared {
        chain: String,
        profile: ShownProfile,
    }
    // A page begins where it is asked to: with this very chain, if it declares anything.
    let page = desk.hub().client.query("swap-chains", Some(&end.chain.to_string()), 1).await;
    let page = page.context("asking the hub what chains declare")?;
    let page: Page = serde_json::from_str(&page.json).context("reading what chains declare")?;
    let declared = page.entries.iter().find(|it| it.chain == end.chain.to_string());
    let Some(declared) = declared else {
        let why = format!(
            "chain {} ({}) declares nothing on the hub; have a quorum declare it",
            end.name, end.chain
        );
        return Err(Refusal::new(Class::NotFound, why).into());
    };
    declared.profile.read().with_context(|| format!("reading what {} declares", end.name))
}

/// The account that was named, or the one that the hub has bound to an identity.
async fn named_or_bound(
    desk: &Desk,
    named: &Option<Account>,
    party: IdentityId,
    end: &Place,
) -> anyhow::Result<Account> {
    if let Some(account) = named {
        return Ok(account.clone());
    }
    let found = desk.hub().query(&format!("identity/{party}")).await?;
    let Some(found) = found else {
        let why = format!("the hub knows no identity {party}; see --to");
        return Err(Refusal::new(Class::Ident, why).into());
    };
    let on = |chain: ChainId| {
        let all = found["accounts"].as_array().into_iter().flatten();
        all.clone().find(|it| it["chain"] == chain.to_string())
    };
    let bound = on(end.chain).and_then(|it| account(it["account"].as_str()?).ok());
    // Where no link leads nothing can be bound; the own account is that of the key that pays.
    let own = match end.kind {
        Kind::Evm(_) if party == desk.party.identity() => Some(desk.party.address().into()),
        Kind::Evm(_) | Kind::Islet(_) => None,
    };
    bound.or(own).ok_or_else(|| {
        let why = format!(
            "{party} has bound no account on {}; bind one on the hub, or name it: --give-from, \
             --give-to, --take-from, --take-to",
            end.name
        );
        Refusal::new(Class::NotFound, why).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_swap::htlc::{Expiry, Spending, check_deadlines};

    const PROFILE: Profile = Profile {
        block_ms_fastest: 10,
        block_ms_slowest: 1_017,
        time_lag_ms: 7,
        skew_ms: 33,
        inclusion_ms: 2_001,
        finality_ms: 55,
        expiry: Expiry::Enforced,
        spending: Spending::Anybody,
    };

    /// Req: PRJ-5-5
    #[test]
    fn proposed_deadlines_are_whole_seconds_and_hold_though_accepted_at_the_last_moment() {
        let slower = Profile { block_ms_slowest: 90_000, inclusion_ms: 900_000, ..PROFILE };
        for profiles in [[PROFILE, PROFILE], [PROFILE, slower], [slower, PROFILE]] {
            let known = Known {
                now: UnixMillis(1_800_000_000_123),
                profiles,
                margins: Margins { relay_ms: 10_000, outage_ms: 3_600_000 },
            };
            let found = deadlines(&known, 300_000, 0);
            assert!(found.iter().all(|at| at.0 % 1_000 == 0), "{found:?}");
            let leg = |chain, locker, recipient, deadline| Leg {
                chain: ChainId([chain; 32]),
                asset: AssetId([1; 32]),
                amount: Amount(1),
                locker: Account::new(&[locker; 20]).unwrap(),
                recipient: Account::new(&[recipient; 20]).unwrap(),
                deadline: Deadline::Time(deadline),
            };
            let order = Order {
                hash: digest::secret_hash(&Secret([1; 32])),
                parties: vec![IdentityId([1; 32]), IdentityId([2; 32])],
                legs: vec![leg(1, 1, 2, found[0]), leg(2, 2, 1, found[1])],
                accept_until: known.now.saturating_add(300_000),
                premium: Amount::ZERO,
            };
            let chains = profiles.map(|profile| (profile, None));
            let last_moment = known.now.saturating_add(300_000);
            let terms = Terms::read(order).unwrap();
            check_deadlines(&terms, &chains, &known.margins, last_moment).unwrap();
        }
    }
}
