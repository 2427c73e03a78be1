//! The light client: how a ledger, a relayer or an auditor follows another ledger of this kind.
//!
//! It holds one validator set and believes headers that more than two thirds of it certified. It
//! leaves the set only through a header under it that names the next, one header per change:
//! there is no overlap rule, because a third of an old set must not be able to invent a new one.
//! It trusts for a trusting period after the newest accepted header, by the caller's own ledger
//! time, and it freezes when headers contradict under any set that it held within that period.
//! What counts as a contradiction is said by [`Contradiction`].
//!
//! Deliberately absent: punishing a single validator's two votes. They are evidence for the
//! ledger's own governance; they contradict nothing that was certified.

mod state;
mod weight;

#[cfg(test)]
mod tests;

pub use state::{Accepted, ClientState, Contradiction, Frozen, HELD_MAX, Held, RECENT_MAX};

use crate::{
    certificate::{self, CertifiedHeader},
    digest,
    keccak256::keccak256,
    tree,
};
use tombolo_types::{
    Address, Class, Hash, Height, Refusal, UnixMillis, ensure,
    header::{Anchor, Certificate, Genesis, Header, ValidatorSet},
    id::BlockId,
    lane::LaneLeaf,
    refuse,
    transaction::{ClientUpdate, HeadProof, Misbehaviour},
    verifier::{
        ClientStatus, ClientView, Conviction, HeadError, LinkTerms, VerifiedHead, Verifier,
    },
};

/// How far a header's time may be ahead of the verifier's own ledger time, in milliseconds.
///
/// Ten minutes are far more than honest clocks differ. A header from further ahead would stretch
/// the trusting period by as much.
pub const AHEAD_MS_MAX: u64 = 10 * 60 * 1000;

/// The verifier of ledgers of this kind. It holds nothing; the client's bytes hold all.
#[derive(Clone, Copy, Debug, Default)]
pub struct LightClient;

/// The kind under which links choose this verifier.
pub const KIND: &str = "tombolo";

/// What a client starts from that trusts a ledger's genesis document and nothing else.
#[must_use]
pub fn genesis_anchor(genesis: &Genesis) -> Anchor {
    let chain_id = digest::chain_id(genesis);
    Anchor {
        chain_id,
        height: Height::ZERO,
        block_id: BlockId(chain_id.0),
        time: genesis.time,
        validators: genesis.validators.clone(),
    }
}

/// Since when a client accepts nothing at `now`: its freeze, or its expiry where that came first.
/// `None` while it accepts proofs.
///
/// # Errors
/// `E_FORMAT` where the client is not one of this kind.
pub fn dead_since(client: &[u8], now: UnixMillis) -> Result<Option<UnixMillis>, Refusal> {
    let state = ClientState::decode(client)?;
    let expired = state.newest.time.saturating_add(state.trusting_period_ms);
    let expired = (expired <= now).then_some(expired);
    Ok(state.frozen.map(|frozen| frozen.at).into_iter().chain(expired).min())
}

impl Verifier for LightClient {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn start(&self, anchor: &[u8], terms: &LinkTerms, now: UnixMillis) -> Result<Vec<u8>, Refusal> {
        Ok(start(&Anchor::decode(anchor)?, terms.trusting_period_ms, now)?.encode())
    }

    fn view(&self, client: &[u8], now: UnixMillis) -> Result<ClientView, Refusal> {
        let state = ClientState::decode(client)?;
        Ok(ClientView {
            chain: state.chain_id,
            height: state.newest.height,
            block_id: state.newest.block_id,
            newest_time: state.newest.time,
            set_since: state.current.set.first_height,
            validators_root: state.current.root,
            key_epoch: 0,
            status: state.status(now),
            trusting_period_ms: state.trusting_period_ms,
        })
    }

    fn members(&self, client: &[u8]) -> Result<Vec<Address>, Refusal> {
        let set = ClientState::decode(client)?.current.set;
        Ok(set.validators.iter().map(|validator| validator.address).collect())
    }

    fn head(
        &self,
        client: &[u8],
        now: UnixMillis,
        proof: &[u8],
        leaf: &LaneLeaf,
    ) -> Result<VerifiedHead, HeadError> {
        let mut state = ClientState::decode(client)?;
        let HeadProof { header, certificate, index, count, path } =
            HeadProof::decode(proof).map_err(Refusal::from)?;
        let certified = believe(&mut state, now, &header, &certificate, proof)?;
        tree::verify_path(digest::lane_leaf(leaf), index, count, &path, header.lanes_root)
            .map_err(Refusal::from)?;
        let moved = state.accept(&certified);
        Ok(verified(client, moved.then_some(&state), &certified))
    }

    fn update(
        &self,
        client: &[u8],
        now: UnixMillis,
        update: &[u8],
    ) -> Result<VerifiedHead, HeadError> {
        let mut state = ClientState::decode(client)?;
        let ClientUpdate { header, certificate, next_validators } =
            ClientUpdate::decode(update).map_err(Refusal::from)?;
        let certified = believe(&mut state, now, &header, &certificate, update)?;
        check_next(&header, &next_validators)?;
        let mut moved = state.accept(&certified);
        if header.next_validators_root != header.validators_root {
            state.leave(&certified, next_validators, now);
            moved = true;
        }
        Ok(verified(client, moved.then_some(&state), &certified))
    }

    fn misbehaviour(
        &self,
        client: &[u8],
        now: UnixMillis,
        evidence: &[u8],
    ) -> Result<Conviction, Refusal> {
        let mut state = ClientState::decode(client)?;
        ensure_usable(&state, now)?;
        let it = Misbehaviour::decode(evidence)?;
        let a = certify_held(&state, now, &it.header_a, &it.certificate_a, &it.validators_a)?;
        let b = certify_held(&state, now, &it.header_b, &it.certificate_b, &it.validators_b)?;
        let found = state::contradiction(&Accepted::of(&a), &Accepted::of(&b))
            .or_else(|| state.contradiction(&a, now))
            .or_else(|| state.contradiction(&b, now));
        ensure!(
            found.is_some(),
            Proof,
            "the evidence shows no contradiction: block {} at height {} and block {} at height {} \
             can stand on one chain {}; look for two headers that cannot",
            a.block_id(),
            a.header().height,
            b.block_id(),
            b.header().height,
            state.chain_id
        );
        state.frozen = Some(Frozen { at: now, evidence: keccak256(evidence) });
        Ok(Conviction::Frozen { client: state.encode() })
    }

    fn recover(
        &self,
        client: &[u8],
        anchor: &[u8],
        now: UnixMillis,
    ) -> Result<VerifiedHead, Refusal> {
        let state = ClientState::decode(client)?;
        let anchor = Anchor::decode(anchor)?;
        ensure!(
            anchor.chain_id == state.chain_id,
            Proof,
            "the anchor is of chain {}, the client follows {}; another chain needs another link",
            anchor.chain_id,
            state.chain_id
        );
        if state.frozen.is_none() {
            ensure_follows(&state, &anchor)?;
        }
        let Anchor { height, block_id, time, .. } = anchor;
        let client = start(&anchor, state.trusting_period_ms, now)?.encode();
        Ok(VerifiedHead { client, height, block_id, time, code_hash: None })
    }

    fn weight(&self, proof: &[u8]) -> u64 {
        weight::signatures(proof).saturating_add(1)
    }
}

/// A client that starts from `anchor`.
///
/// # Errors
/// `E_FORMAT` for an anchor that is none, or for a trusting period of zero; `E_PROOF` for one that
/// is already older than the trusting period, or that lies ahead of `now`.
fn start(
    anchor: &Anchor,
    trusting_period_ms: u64,
    now: UnixMillis,
) -> Result<ClientState, Refusal> {
    let Anchor { chain_id, height, block_id, time, validators } = anchor;
    if let Err(error) = validators.check() {
        refuse!(Format, "the anchor's validator set is none: {error}");
    }
    ensure!(trusting_period_ms > 0, Format, "the trusting period is zero milliseconds");
    ensure!(!chain_id.is_zero(), Format, "the anchor's chain id is zero");
    ensure!(!block_id.is_zero(), Format, "the anchor's block id is zero");
    ensure!(
        height.0 > 0 || Hash::from(*block_id) == Hash::from(*chain_id),
        Format,
        "the anchor is at height 0 and its block id {block_id} is not the chain id {chain_id}"
    );
    ensure!(
        validators.first_height > Height::ZERO && validators.first_height <= height.next(),
        Format,
        "the anchor's validator set begins at height {}, which is not between 1 and {}, \
         the height after the anchor",
        validators.first_height,
        height.next()
    );
    ensure_not_ahead(*height, *time, now)?;
    let client = ClientState::new(anchor, trusting_period_ms);
    ensure!(
        client.status(now) != ClientStatus::Expired,
        Proof,
        "the anchor at height {height} of chain {chain_id} is {} ms old, the trusting period is \
         {trusting_period_ms} ms; take a newer header of the chain as anchor",
        now.since(*time)
    );
    Ok(client)
}

/// Refuses an anchor that goes against what a client accepted that is not frozen itself.
fn ensure_follows(state: &ClientState, anchor: &Anchor) -> Result<(), Refusal> {
    let newest = &state.newest;
    ensure!(
        anchor.height >= newest.height,
        Proof,
        "the anchor's height {} is below {}, the newest that was accepted",
        anchor.height,
        newest.height
    );
    ensure!(
        anchor.height > newest.height || anchor.block_id == newest.block_id,
        Proof,
        "the anchor names block {} at height {}, where {} was accepted",
        anchor.block_id,
        newest.height,
        newest.block_id
    );
    ensure!(
        anchor.height == newest.height || anchor.time > newest.time,
        Proof,
        "the anchor's time {} is not after {}, that of the newest accepted header below it",
        anchor.time,
        newest.time
    );
    Ok(())
}

fn ensure_not_ahead(height: Height, time: UnixMillis, now: UnixMillis) -> Result<(), Refusal> {
    ensure!(
        time.since(now) <= AHEAD_MS_MAX,
        Proof,
        "the time {time} of height {height} is {} ms ahead of this ledger's {now}, more than \
         {AHEAD_MS_MAX} ms; compare both ledgers' clocks and try again later",
        time.since(now)
    );
    Ok(())
}

/// Refuses a client that accepts nothing any more.
fn ensure_usable(state: &ClientState, now: UnixMillis) -> Result<(), Refusal> {
    match state.status(now) {
        ClientStatus::Active | ClientStatus::Expiring => Ok(()),
        ClientStatus::Expired => Err(Refusal::new(
            Class::Proof,
            format!(
                "the client of chain {} has expired: its newest accepted header, height {}, is {} \
                 ms old, the trusting period is {} ms; recover it with a new trusted header",
                state.chain_id,
                state.newest.height,
                now.since(state.newest.time),
                state.trusting_period_ms
            ),
        )),
        ClientStatus::Frozen => Err(Refusal::new(
            Class::Proof,
            format!(
                "the client of chain {} is frozen by contradicting headers; recover it with a new \
                 trusted header",
                state.chain_id
            ),
        )),
    }
}

/// Certifies a header under a set that the client holds or held.
fn certify_held(
    state: &ClientState,
    now: UnixMillis,
    header: &Header,
    certificate: &Certificate,
    set: &ValidatorSet,
) -> Result<CertifiedHeader, Refusal> {
    ensure!(
        state.held(header.validators_root, now).is_some(),
        Proof,
        "the validators root {} of height {} is none that the client of chain {} held within its \
         trusting period",
        header.validators_root,
        header.height,
        state.chain_id
    );
    ensure_not_ahead(header.height, header.time, now)?;
    Ok(certificate::certify(header, certificate, state.chain_id, set)?)
}

/// Believes a header certified by the set held now, or freezes on a contradiction under any set
/// held. `evidence` is what brought the header.
fn believe(
    state: &mut ClientState,
    now: UnixMillis,
    header: &Header,
    certificate: &Certificate,
    evidence: &[u8],
) -> Result<CertifiedHeader, HeadError> {
    // A version that this code does not read is named as such, whatever else is wrong (rule G1).
    certificate::check_form(header, state.chain_id).map_err(Refusal::from)?;
    ensure_usable(state, now)?;
    let set = match state.held(header.validators_root, now) {
        Some(held) => held.set.clone(),
        None => {
            return Err(Refusal::new(
                Class::Proof,
                format!(
                    "the validators root {} of height {} is none that the client of chain {} \
                     holds; bring it first through the header that names this root",
                    header.validators_root, header.height, state.chain_id
                ),
            )
            .into());
        }
    };
    let certified = certify_held(state, now, header, certificate, &set)?;
    if let Some(found) = state.contradiction(&certified, now) {
        state.frozen = Some(Frozen { at: now, evidence: keccak256(evidence) });
        let refusal = Refusal::new(
            Class::Proof,
            format!("{found}; the client of chain {} is frozen", state.chain_id),
        );
        return Err(HeadError::Contradiction { client: state.encode(), refusal });
    }
    if state.current.root != header.validators_root {
        return Err(Refusal::new(
            Class::Proof,
            format!(
                "height {} is certified by a validator set that the client of chain {} has left; \
                 prove under a header from height {} on",
                header.height, state.chain_id, state.current.set.first_height
            ),
        )
        .into());
    }
    Ok(certified)
}

/// Checks the set that an update brings against the root that its header names.
fn check_next(header: &Header, next: &ValidatorSet) -> Result<(), Refusal> {
    if let Err(error) = next.check() {
        refuse!(Format, "the next validator set is none: {error}");
    }
    let root = digest::validators_root(next);
    ensure!(
        root == header.next_validators_root,
        Proof,
        "the validator set in the update has root {root}, the header of height {} names {} as next",
        header.height,
        header.next_validators_root
    );
    ensure!(
        header.next_validators_root == header.validators_root
            || next.first_height == header.height.next(),
        Proof,
        "the next validator set begins at height {}, the header that names it has height {}; it \
         must begin at the height after",
        next.first_height,
        header.height
    );
    Ok(())
}

/// What a verifier says of a header, with the client as it was given or as it has moved.
fn verified(given: &[u8], moved: Option<&ClientState>, header: &CertifiedHeader) -> VerifiedHead {
    VerifiedHead {
        client: moved.map_or_else(|| given.to_vec(), ClientState::encode),
        height: header.header().height,
        block_id: header.block_id(),
        time: header.header().time,
        code_hash: None,
    }
}
