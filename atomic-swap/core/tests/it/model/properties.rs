//! What must hold in every state that can be reached, and what must be reachable.

use super::{
    AT_HOME, Network, State,
    ledger::{Gateway, Sent},
};
use stateright::Property;
use tombolo_swap::two_phase::{Answer, Cause, Outcome, Phase, Standing, Verdict};

pub(super) const AGREEMENT: &str = "S1 agreement";
pub(super) const VALIDITY: &str = "S2 validity";
pub(super) const IRREVOCABILITY: &str = "S3 irrevocability";
pub(super) const STABILITY: &str = "S4 stability";
pub(super) const SINGLE_COPY: &str = "S5 single copy";
pub(super) const AUTHORITY: &str = "nothing is taken that its owner did not authorise";
pub(super) const ENDS: &str = "when all is delivered nothing is locked";
pub(super) const COMMITS: &str = "a transaction commits everywhere";
pub(super) const ABORTS: &str = "a transaction aborts everywhere";

pub(super) fn all() -> Vec<Property<Network>> {
    vec![
        Property::always(AGREEMENT, agreement),
        Property::always(VALIDITY, validity),
        Property::always(IRREVOCABILITY, irrevocability),
        Property::always(STABILITY, stability),
        Property::always(SINGLE_COPY, single_copy),
        Property::always(AUTHORITY, authority),
        Property::always(ENDS, ends),
        Property::sometimes(COMMITS, |network, state| finished(network, state, Outcome::Commit)),
        Property::sometimes(ABORTS, |network, state| finished(network, state, Outcome::Abort)),
    ]
}

fn flushed(state: &State) -> impl Iterator<Item = &Gateway> {
    state.gateways.iter().map(|ledger| &ledger.flushed)
}

/// No ledger applies what another has released or the hub has aborted.
fn agreement(network: &Network, state: &State) -> bool {
    network.drafts.iter().enumerate().all(|(number, draft)| {
        let applied = flushed(state).any(|gateway| gateway.chain.applied.contains(&draft.xid()));
        let undone = flushed(state).any(|gateway| {
            gateway.chain.released.contains(&draft.xid())
                || matches!(
                    gateway.standing(number),
                    Some(Standing::Refused | Standing::Aborted | Standing::Released { .. })
                )
        });
        let committed = matches!(state.hub.flushed.verdict(number), Some(Verdict::Committed));
        !applied || (committed && !undone)
    })
}

/// Commit only with every yes in time, abort only with a reason that an outsider saw too.
fn validity(network: &Network, state: &State) -> bool {
    let hub = &state.hub.flushed;
    (0..network.drafts.len()).all(|number| match hub.verdict(number) {
        None => true,
        Some(Verdict::Committed) => {
            (0..network.places()).all(|place| hub.yes_in_time.contains(&(number, place)))
        }
        Some(Verdict::Aborted(cause)) => {
            hub.reasons_to_abort.contains(&number) && (cause != Cause::Deadline || hub.late)
        }
    })
}

/// One decision, applied at most once, and no decision that does not fit.
fn irrevocability(network: &Network, state: &State) -> bool {
    let once = state.hub.flushed.decided.values().all(|written| written.len() == 1);
    let applied_once = flushed(state).all(|gateway| {
        network.drafts.iter().all(|draft| {
            gateway.chain.applied.iter().filter(|xid| **xid == draft.xid()).count() <= 1
        })
    });
    once && applied_once && flushed(state).all(|gateway| !gateway.strange)
}

/// Once a yes can be seen, the lock stands until the decision was taken.
fn stability(network: &Network, state: &State) -> bool {
    state.gateways.iter().enumerate().all(|(place, ledger)| {
        let gateway = &ledger.flushed;
        let taken = &state.hub.flushed.lanes[place][..gateway.received];
        (0..network.drafts.len()).all(|number| {
            let yes = Sent::Vote(number, Answer::Yes);
            let promised = network.visible(ledger).contains(&yes)
                || state.hub.flushed.yes_in_time.contains(&(number, place));
            let told =
                taken.iter().any(|sent| matches!(sent, Sent::Decision(of, _) if *of == number));
            !promised || told || gateway.chain.holds_lock(network.drafts[number].xid())
        })
    })
}

/// At most one live copy at every moment, and exactly one while nothing is on its way.
fn single_copy(network: &Network, state: &State) -> bool {
    let at_rest = (0..network.drafts.len())
        .all(|number| matches!(state.hub.flushed.phase(number), None | Some(Phase::Finished(_))));
    AT_HOME.iter().take(network.places()).all(|(item, _)| {
        let live = flushed(state).filter(|gateway| gateway.chain.live(*item)).count();
        live <= 1 && (!at_rest || live == 1)
    })
}

fn authority(network: &Network, state: &State) -> bool {
    network
        .drafts
        .iter()
        .filter(|draft| !draft.authorised)
        .all(|draft| flushed(state).all(|gateway| !gateway.chain.applied.contains(&draft.xid())))
}

/// With a hub that works and all delivered, every transaction that began has ended everywhere
/// once the deadline is over.
fn ends(network: &Network, state: &State) -> bool {
    let hub = &state.hub.flushed;
    let delivered = state.gateways.iter().enumerate().all(|(place, ledger)| {
        ledger.pending.is_none()
            && ledger.flushed.received == hub.lanes[place].len()
            && hub.received[place] == ledger.flushed.lane.len()
    });
    let decided =
        (0..network.drafts.len()).all(|number| hub.phase(number) != Some(Phase::Preparing));
    let quiet = delivered && decided && state.hub.pending.is_none();
    !quiet
        || network.drafts.iter().enumerate().all(|(number, draft)| {
            matches!(hub.phase(number), None | Some(Phase::Finished(_)))
                && flushed(state).all(|gateway| !gateway.chain.holds_lock(draft.xid()))
        })
}

fn finished(network: &Network, state: &State, outcome: Outcome) -> bool {
    (0..network.drafts.len()).any(|number| {
        matches!(
            state.hub.flushed.phase(number),
            Some(Phase::Finished(verdict)) if verdict.outcome() == outcome
        )
    })
}
