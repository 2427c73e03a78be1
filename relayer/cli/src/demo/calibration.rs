//! Closed data: a certificate of calibration that is never copied and moves against payment.

use super::{
    measurements::{self, Measurement, Origin},
    refusals::expect,
    sharing::item,
    timeline::{Done, Timeline},
};
use crate::{
    network::{BALANCE, coin},
    party::{Final, Ledger, Party, until},
    setup::{PATIENCE, Parties, Running, Schemas},
};
use anyhow::{Context as _, bail, ensure};
use serde_json::Value as Json;
use std::time::Duration;
use tombolo_crypto::digest;
use tombolo_hub::{
    HubCall,
    grant::{Grant, GrantKey, Purpose},
};
use tombolo_islet::signer::{now, random};
use tombolo_islet_core::{IsletCall, ShareOrder};
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Amount, Class, UnixMillis,
    action::{Action, Authorisation, Branch, MoveIn, MoveOut, Pay, Terms},
    envelope::{Canonical, Value},
    id::{DataId, LinkId, Xid},
    message::DataClass,
};

/// What the university pays, in the coin's smallest unit.
const PRICE: u128 = 250_000;
/// How long an undecided commit may take.
const DEADLINE_MS: u64 = 45_000;

/// The certificate.
pub(crate) struct Calibration {
    id: DataId,
    schema: tombolo_types::id::SchemaId,
    envelope: Canonical,
    signature: tombolo_types::header::Signature,
}

impl Calibration {
    /// Enters it on the observatory's ledger, as closed.
    pub(crate) async fn enter(
        running: &Running,
        schemas: Schemas,
        timeline: &mut Timeline,
    ) -> anyhow::Result<Self> {
        let parties = &running.parties;
        let origin = Origin {
            ledger: &running.mauna_loa,
            owner: parties.observatory.identity(),
            device: &parties.co2_analyser,
            schema: schemas.calibration,
            class: DataClass::Closed,
        };
        let certificate = Measurement {
            local_id: "calibration/2026".into(),
            at: now(),
            values: vec![
                ("instrument", Value::Text("NDIR analyser 7".into())),
                ("offset", measurements::number("-0.13")?),
            ],
        };
        let envelope = origin.envelope(&certificate)?;
        let signature = origin.device.key().sign(digest::envelope(envelope.bytes()));
        let entered = Self {
            id: origin.data_id(&certificate),
            schema: schemas.calibration,
            envelope,
            signature,
        };
        timeline
            .step("enter a closed calibration certificate", async {
                let call = origin.submission(&entered.envelope, None);
                let done = origin.device.call(origin.ledger, call).await?;
                Ok(Done::so(format!("item {}", entered.id)).by(&done))
            })
            .await?;
        Ok(entered)
    }

    /// Certificate from the observatory's ledger to the university's account in Seattle, against
    /// `price` from `payer` to the observatory there.
    fn exchange(&self, running: &Running, payer: &Party, price: u128) -> Begin {
        let Parties { observatory, university, co2_analyser, .. } = &running.parties;
        let (here, there) = (&running.mauna_loa, &running.seattle);
        let out = Action::MoveOut(MoveOut {
            item: self.id,
            from: observatory.address(),
            to_chain: there.chain,
        });
        let come = Action::MoveIn(MoveIn {
            item: self.id,
            from_chain: here.chain,
            item_version: 1,
            schema: self.schema,
            fingerprint: digest::fingerprint(self.envelope.bytes()),
            owner: university.identity(),
            holder: university.address(),
            envelope: self.envelope.bytes().to_vec(),
            device: co2_analyser.identity(),
            signature: self.signature,
        });
        let pay = Action::Pay(Pay {
            from: payer.address(),
            to: observatory.address(),
            asset: coin(),
            amount: Amount(price),
        });
        let branches = vec![
            Branch::new(link(running, here), &[out]),
            Branch::new(link(running, there), &[come, pay]),
        ];
        let terms = Terms {
            hub: running.hub.chain,
            beginner: university.identity(),
            salt: random(),
            deadline: now().saturating_add(DEADLINE_MS),
            branches: branches.iter().map(digest::branch).collect(),
        };
        let consent = digest::authorisation(digest::xid(&terms));
        let by = |branch, party: &Party| Authorisation {
            branch,
            account: party.address(),
            signature: party.key().sign(consent),
        };
        Begin { authorisations: vec![by(0, observatory), by(1, payer)], branches, terms }
    }
}

/// The link of an islet.
pub(crate) fn link(running: &Running, islet: &Ledger) -> LinkId {
    tombolo_islet_core::hub_link_id(running.hub.chain, islet.chain)
}

/// Copying it, and moving it without a grant.
pub(crate) async fn refused_ways(
    running: &Running,
    certificate: &Calibration,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    let Parties { observatory, university, .. } = &running.parties;
    timeline
        .step("copy the closed certificate", async {
            let order =
                ShareOrder { destination: running.seattle.chain, not_after: UnixMillis::ZERO };
            let call = IsletCall::Share { data_id: certificate.id, order };
            expect(observatory.attempt(&running.mauna_loa, call).await?, Class::ClosedCopy)
        })
        .await?;
    timeline
        .step("move it without a grant", async {
            let begin = certificate.exchange(running, university, PRICE);
            let call = HubCall::Begin(Box::new(begin));
            expect(university.attempt(&running.hub, call).await?, Class::Denied)
        })
        .await?;
    timeline
        .step("the observatory grants the move", async {
            let key = GrantKey {
                item: certificate.id,
                grantee: university.identity(),
                purpose: Purpose::Move,
            };
            let expires = now().saturating_add(3_600_000);
            let call = HubCall::Grant(Box::new(Grant { key, expires }));
            let done = observatory.call(&running.hub, call).await?;
            Ok(Done::so("to the university, for an hour").by(&done))
        })
        .await
}

/// A two-phase commit that one participant votes against: nothing moves anywhere.
pub(crate) async fn aborted(
    running: &Running,
    certificate: &Calibration,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    let university = &running.parties.university;
    timeline
        .step("two-phase commit with too little money", async {
            let begin = certificate.exchange(running, university, BALANCE * 2);
            let (xid, done) = start(running, begin).await?;
            let end = finished(running, xid, PATIENCE).await?;
            ensure!(status(&end) == "aborted", "it ended as {end}");
            ensure!(
                item(&running.mauna_loa, certificate.id).await?["standing"] == "live",
                "the certificate is not free again"
            );
            check_money(running, 0).await?;
            let why = "seattle votes no; the certificate stays, no money moves";
            Ok(Done::refused(Class::Funds, why).by(&done).under(xid))
        })
        .await
}

/// The same with enough money, and the relayer killed in the middle.
pub(crate) async fn moved_through_a_crash(
    running: &mut Running,
    certificate: &Calibration,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    let mut xid = Xid::ZERO;
    timeline
        .step("two-phase commit: certificate against payment", async {
            let begin = certificate.exchange(running, &running.parties.university, PRICE);
            let (id, done) = start(running, begin).await?;
            xid = id;
            Ok(Done::so("begun by the university, authorised by both").by(&done).under(id))
        })
        .await?;
    timeline
        .step("kill -9 the relayer in the middle", async {
            // As soon as one ledger has locked; the other's vote or the decision is still to travel.
            until("a participant locks", PATIENCE, || async {
                for islet in [&running.mauna_loa, &running.seattle] {
                    let locks = islet.query("locks").await?.unwrap_or_default();
                    if locks.to_string().contains(&xid.to_string()) {
                        return Ok(Some(()));
                    }
                }
                Ok(None)
            })
            .await?;
            running.relayer.kill().await?;
            let seen = commit(running, xid).await?;
            ensure!(!is_finished(&seen), "the commit was over before the relayer could be killed");
            // Nobody carries: nothing is decided by a clock, and nothing is unlocked.
            tokio::time::sleep(Duration::from_millis(700)).await;
            let still = commit(running, xid).await?;
            ensure!(!is_finished(&still), "the commit ended without a relayer");
            Ok(Done::so(format!("the commit waits as {}; locks hold", status(&still))).under(xid))
        })
        .await?;
    timeline
        .step("start the relayer again", async {
            running.start_relayer().await?;
            let end = finished(running, xid, PATIENCE).await?;
            ensure!(status(&end) == "committed", "it ended as {end}");
            Ok(Done::so("it reads from both ends where to go on; committed on both ledgers")
                .under(xid))
        })
        .await?;
    timeline
        .step("one live copy, every coin accounted for", async {
            let gone = item(&running.mauna_loa, certificate.id).await?;
            let come = item(&running.seattle, certificate.id).await?;
            ensure!(
                gone["standing"] == "moved",
                "on mauna-loa the certificate is {}",
                gone["standing"]
            );
            ensure!(
                come["standing"] == "live",
                "on seattle the certificate is {}",
                come["standing"]
            );
            ensure!(
                come["owner"] == running.parties.university.identity().to_string(),
                "the certificate belongs to {}",
                come["owner"]
            );
            check_money(running, PRICE).await?;
            Ok(Done::so(format!("certificate in seattle, {PRICE} coins with the observatory")))
        })
        .await
}

async fn start(running: &Running, begin: Begin) -> anyhow::Result<(Xid, Final)> {
    let xid = digest::xid(&begin.terms);
    let call = HubCall::Begin(Box::new(begin));
    Ok((xid, running.parties.university.call(&running.hub, call).await?))
}

async fn commit(running: &Running, xid: Xid) -> anyhow::Result<Json> {
    let found = running.hub.query(&format!("commit/{xid}")).await?;
    found.with_context(|| format!("the hub does not know commit {xid}"))
}

/// Waits until a commit has ended on every ledger.
pub(crate) async fn finished(
    running: &Running,
    xid: Xid,
    within: Duration,
) -> anyhow::Result<Json> {
    until("the two-phase commit ends", within, || async {
        let seen = commit(running, xid).await?;
        Ok(is_finished(&seen).then_some(seen))
    })
    .await
}

/// How a commit stands: `preparing`, `committed` or `aborted`.
pub(crate) fn status(commit: &Json) -> String {
    commit["status"].as_str().unwrap_or_default().to_owned()
}

fn is_finished(commit: &Json) -> bool {
    commit["finished"] == true
}

/// The university has paid `paid` in Seattle, the observatory has it, and no coin was made or lost.
async fn check_money(running: &Running, paid: u128) -> anyhow::Result<()> {
    let Parties { observatory, university, .. } = &running.parties;
    let expected = [(university, BALANCE - paid), (observatory, BALANCE + paid)];
    for (party, amount) in expected {
        let held = coins(&running.seattle, party).await?;
        ensure!(held == amount, "{} holds {held}, not {amount}", party.name);
    }
    Ok(())
}

/// How many coins a party has on an islet.
pub(crate) async fn coins(islet: &Ledger, party: &Party) -> anyhow::Result<u128> {
    let account = islet.query(&format!("accounts/{}", party.address())).await?.unwrap_or_default();
    let coin = coin().to_string();
    let balances = account["balances"].as_array().cloned().unwrap_or_default();
    let Some(balance) = balances.iter().find(|balance| balance["asset"] == coin) else {
        bail!("{} has no account on {}: {account}", party.name, islet.name);
    };
    balance["amount"].as_str().unwrap_or_default().parse().context("reading a balance")
}
