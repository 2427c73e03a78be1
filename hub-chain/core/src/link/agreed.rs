//! What both sides of a link agreed: the policy per type of data in mode 3, and how much of an asset
//! may come over a link in an hour.

use super::{REGISTRATIONS, current, find};
use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeSet;
use tombolo_crypto::{digest, secp256k1};
use tombolo_ledger::{
    Context, Table,
    lanes::{self, Link},
};
use tombolo_types::{
    Address, Amount, Refusal, UnixMillis, ensure,
    header::Signature,
    id::{AssetId, ChainId, LinkId},
    link_policy::{LinkPolicy, PolicyBit},
    refuse,
    store::View,
};

/// An hour of block time, in milliseconds.
pub(crate) const HOUR_MS: u64 = 3_600_000;

/// The policy that both sides of a link signed.
const POLICIES: Table<LinkId, LinkPolicy> = Table::new(*b"hR");
/// How much of an asset may come over a link in an hour: by link, home and asset.
const LIMITS: Table<(LinkId, ChainId, AssetId), Amount> = Table::new(*b"hV");
/// How much of it came in the hour that is named.
const CAME: Table<(LinkId, ChainId, AssetId), Came> = Table::new(*b"ha");

#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Came {
    hour: u64,
    amount: Amount,
}

/// The policy of a link, where both sides have signed one.
pub fn link_policy(view: &dyn View, link: LinkId) -> Option<LinkPolicy> {
    POLICIES.get(view, &link)
}

/// Takes a policy that the hub's quorum approves here and that the chain's council has signed.
///
/// # Errors
/// `E_FORMAT` for an unordered policy; `E_AUTH` for a signature of nobody; `E_QUORUM` where fewer
/// of the council signed than must; `E_STATE` before the gateway has said who its council is, or
/// for a version that is not the next. Req: Y4560-10.2-3.3
pub(crate) fn set_policy(
    cx: &mut Context<'_, '_>,
    id: LinkId,
    policy: LinkPolicy,
    signatures: &[Signature],
) -> Result<(), Refusal> {
    let (mut link, registration) = find(cx, id)?;
    ensure!(policy.is_ordered(), Format, "the types of a policy ascend by name, none twice");
    let hash = digest::link_policy(id, &policy);
    let mut signers: BTreeSet<Address> = BTreeSet::new();
    for signature in signatures {
        signers.insert(secp256k1::recover(hash, signature)?);
    }
    let Some(hello) = registration.hello else {
        refuse!(State, "the gateway of link {id} has not named its council yet");
    };
    let of_council = signers.iter().filter(|signer| hello.council.contains(signer)).count();
    let needed = usize::try_from(hello.council_threshold).unwrap_or(usize::MAX);
    ensure!(
        of_council > 0 && of_council >= needed && of_council == signers.len(),
        Quorum,
        "{of_council} of the {} signatures are of the chain's council, of which {needed} must sign",
        signers.len()
    );
    let before = POLICIES.get(cx.state, &id).map_or(0, |before| before.version);
    ensure!(
        Some(policy.version) == before.checked_add(1),
        State,
        "policy version {} does not follow {before}",
        policy.version
    );
    link.policy_hash = hash;
    lanes::put_link(cx.state, &link);
    POLICIES.put(cx.state, &id, &policy);
    cx.record.link_policy = hash;
    cx.record.remark = format!("version {} for {} types", policy.version, policy.types.len());
    Ok(())
}

/// Refuses a link of mode 3 without a policy, or with another than its gateway was born with.
pub(super) fn ensure_policy(cx: &Context<'_, '_>, link: &Link) -> Result<(), Refusal> {
    let hello = REGISTRATIONS.get(cx.state, &link.id).and_then(|found| found.hello);
    ensure!(
        link.mode != 3 || !link.policy_hash.is_zero(),
        Policy,
        "link {} has no policy that both sides signed; set one first",
        link.id
    );
    ensure!(
        link.mode != 3 || hello.is_some_and(|hello| hello.policy_hash == link.policy_hash),
        Policy,
        "the gateway of link {} was born with another policy than {}",
        link.id,
        link.policy_hash
    );
    Ok(())
}

/// Refuses what the policies of the links to these chains do not list.
///
/// # Errors
/// `E_POLICY`. Req: Y4560-10.2-3.3
pub(crate) fn ensure_listed(
    view: &dyn View,
    chains: [ChainId; 2],
    data_type: &str,
    bit: PolicyBit,
) -> Result<(), Refusal> {
    for chain in chains {
        let Some(link) = current(view, chain).filter(|link| link.mode == 3) else { continue };
        let listed = POLICIES.get(view, &link.id).is_some_and(|it| it.allows(data_type, bit));
        ensure!(
            listed,
            Policy,
            "the policy of link {} to chain {chain} does not list this for type {data_type}",
            link.id
        );
    }
    Ok(())
}

/// Sets how much of an asset may come over a link in an hour.
pub(crate) fn set_limit(
    cx: &mut Context<'_, '_>,
    id: LinkId,
    (home, asset): (ChainId, AssetId),
    per_hour: Amount,
) -> Result<(), Refusal> {
    find(cx, id)?;
    LIMITS.put(cx.state, &(id, home, asset), &per_hour);
    cx.record.remark = format!("{per_hour} of asset {asset} of chain {home} in an hour");
    Ok(())
}

/// Counts what comes over the link to `chain`, within the hour's limit.
///
/// Over a link that rests on one node's word nothing comes that no limit was set for.
///
/// # Errors
/// `E_LIMIT`. Req: PRJ-1-1
pub(crate) fn count_amount(
    cx: &mut Context<'_, '_>,
    chain: ChainId,
    (home, asset): (ChainId, AssetId),
    amount: Amount,
    now: UnixMillis,
) -> Result<(), Refusal> {
    let Some(link) = current(cx.state, chain) else { return Ok(()) };
    let key = (link.id, home, asset);
    let limit = match LIMITS.get(cx.state, &key) {
        Some(limit) => limit,
        None if link.unbounded => Amount::ZERO,
        None => return Ok(()),
    };
    let hour = now.0.div_euclid(HOUR_MS);
    let so_far = CAME.get(cx.state, &key).filter(|came| came.hour == hour);
    let sum = so_far.map_or(Amount::ZERO, |came| came.amount).checked_add(amount.0);
    let Some(sum) = sum.filter(|sum| *sum <= limit) else {
        refuse!(
            Limit,
            "more than {limit} of asset {asset} would come over link {} in this hour",
            link.id
        );
    };
    CAME.put(cx.state, &key, &Came { hour, amount: sum });
    Ok(())
}
