//! Two-phase commits: two accounts on two islets pay each other, both or neither.

use super::load::{Load, Measured, Piece, Source, run};
use crate::{network::coin, party::Party, setup::Running};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_hub::HubCall;
use tombolo_islet::signer::{now, random};
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Address, Amount,
    action::{Action, Authorisation, Branch, Pay, Terms},
    id::{ChainId, GlobalId, IdentityId, LinkId},
};

/// From Begin to the deadline, in milliseconds; what takes longer is aborted and fails the
/// measurement.
const DEADLINE_MS: u64 = 60_000;
const FINISHED: u8 = 0b1;

/// Measures commits over both islets.
pub(super) async fn measure(
    running: &Running,
    load: &Load,
    links: [LinkId; 2],
) -> anyhow::Result<Measured> {
    let (city, observatory) = (&running.parties.city, &running.parties.observatory);
    let payer = |party: &Party| party.key().clone();
    let exchange = Exchange {
        hub: running.hub.chain,
        beginner: city.identity(),
        branches: [
            Branch::new(links[0], &[pay(city, observatory)]),
            Branch::new(links[1], &[pay(observatory, city)]),
        ],
        payers: [payer(city), payer(observatory)],
    };
    let make = move |_| {
        let begin = exchange.begin();
        let known_as = Some(GlobalId(digest::xid(&begin.terms).0));
        Ok(Piece { call: HubCall::Begin(Box::new(begin)), known_as })
    };
    let source = Source { ledger: &running.hub, party: city, awaited: FINISHED, make };
    run(running, load, source, &[&running.hub], |flights, _, record| {
        if !flights.is_open(record.global_id) {
            return;
        }
        // A refused Begin, a no, an abort.
        if record.outcome != 0 {
            flights.fail(format!("a two-phase commit failed: {}", record.remark));
        } else if record.operation == "finish" {
            flights.seen(record.global_id, FINISHED);
        }
    })
    .await
}

fn pay(from: &Party, to: &Party) -> Action {
    let (from, to): (Address, Address) = (from.address(), to.address());
    Action::Pay(Pay { from, to, asset: coin(), amount: Amount(1) })
}

/// What is the same in all commits.
#[derive(Clone)]
struct Exchange {
    hub: ChainId,
    beginner: IdentityId,
    branches: [Branch; 2],
    /// Who pays in each branch.
    payers: [SecretKey; 2],
}

impl Exchange {
    fn begin(&self) -> Begin {
        let terms = Terms {
            hub: self.hub,
            beginner: self.beginner,
            salt: random(),
            deadline: now().saturating_add(DEADLINE_MS),
            branches: self.branches.iter().map(digest::branch).collect(),
        };
        let consent = digest::authorisation(digest::xid(&terms));
        let authorisations = (0u32..)
            .zip(&self.payers)
            .map(|(branch, payer)| Authorisation {
                branch,
                account: payer.address(),
                signature: payer.sign(consent),
            })
            .collect();
        Begin { terms, branches: self.branches.to_vec(), authorisations }
    }
}
