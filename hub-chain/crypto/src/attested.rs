//! Heads that t of n nodes attest: the verifier of deployment modes 2 and 3.
//!
//! A node signs a lane leaf with the block that it read it from. What is believed is what enough
//! present nodes signed; the chain's own consensus is believed only where a trusted node is bounded
//! by it. Statements that cannot both be true freeze the client where each has enough signatures;
//! who is alone with one counts no more.
//!
//! Spec: Y.4560 cl. 10.2. Req: Y4560-10.2-2.1, Y4560-10.2-3.1, PRJ-1-1

mod state;

#[cfg(test)]
mod tests;

pub use state::{AttestedState, Block, RECENT_MAX};

use crate::{client::AHEAD_MS_MAX, digest, secp256k1};
use std::collections::BTreeSet;
use tombolo_types::{
    Address, Class, Hash, Height, Refusal, UnixMillis,
    attested::{AttestedAnchor, AttestedProof, Deviation, NODES_MAX},
    ensure,
    header::Signature,
    lane::LaneLeaf,
    refuse,
    verifier::{
        ClientStatus, ClientView, Conviction, HeadError, LinkTerms, VerifiedHead, Verifier,
    },
};

/// The kind under which links choose this verifier.
pub const KIND: &str = "attested";
/// One trusted node.
const MODE_TRUSTED: u8 = 2;
/// Several shared nodes.
const MODE_SHARED: u8 = 3;
/// Bytes of one signature.
const SIGNATURE_BYTES: usize = 65;

/// The verifier of attested heads.
///
/// It holds the verifiers by which a trusted node may be bounded.
#[derive(Default)]
pub struct Attested {
    bounds: Vec<Box<dyn Verifier>>,
}

impl Attested {
    /// A verifier that may bound a trusted node by any of these.
    #[must_use]
    pub fn bounded_by(bounds: Vec<Box<dyn Verifier>>) -> Self {
        Self { bounds }
    }

    fn bound(&self, kind: &str) -> Result<&dyn Verifier, Refusal> {
        let found = self.bounds.iter().find(|bound| bound.kind() == kind);
        found.map(AsRef::as_ref).ok_or_else(|| {
            let message = format!("no trusted node is bounded by a verifier named {kind} here");
            Refusal::new(Class::Unsupported, message)
        })
    }

    /// Checks the leaf against the chain's own proof. Req: PRJ-1-1
    fn check_bound(
        &self,
        state: &mut AttestedState,
        now: UnixMillis,
        proof: &AttestedProof,
        leaf: &LaneLeaf,
    ) -> Result<Option<Hash>, HeadError> {
        let Some(bound) = &state.bound else {
            return match proof.bound.is_empty() {
                true => Ok(None),
                false => Err(Refusal::new(
                    Class::Format,
                    "the proof holds a bound, and the link has none".to_owned(),
                )
                .into()),
            };
        };
        let verifier = self.bound(&bound.kind)?;
        let head = match verifier.head(&bound.client, now, &proof.bound, leaf) {
            Ok(head) => head,
            Err(HeadError::Refused(refusal)) => {
                let tampered = matches!(refusal.class, Class::Proof | Class::Auth);
                let class = if tampered { Class::Tamper } else { refusal.class };
                let message = format!(
                    "the trusted node attests what the chain's own proof does not hold: {}",
                    refusal.message
                );
                return Err(Refusal::new(class, message).into());
            }
            Err(HeadError::Contradiction { client, refusal }) => {
                state.rebind(client);
                state.freeze(now, &proof.encode());
                return Err(HeadError::Contradiction { client: state.encode(), refusal });
            }
        };
        if (head.height, head.block_id) != (proof.height, proof.block_id) {
            let message = format!(
                "the trusted node attests block {} at height {}, the chain's own proof is of block \
                 {} at height {}",
                proof.block_id, proof.height, head.block_id, head.height
            );
            return Err(Refusal::new(Class::Tamper, message).into());
        }
        let code_hash = head.code_hash;
        state.rebind(head.client);
        Ok(code_hash)
    }
}

impl Verifier for Attested {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn modes(&self) -> &'static [u8] {
        &[MODE_TRUSTED, MODE_SHARED]
    }

    fn start(&self, anchor: &[u8], terms: &LinkTerms, now: UnixMillis) -> Result<Vec<u8>, Refusal> {
        let anchor = AttestedAnchor::decode(anchor)?;
        check_anchor(&anchor, now)?;
        check_keys(terms.mode, &anchor.keys, anchor.threshold)?;
        let bound = match anchor.bound_kind.as_str() {
            "" => {
                ensure!(
                    anchor.bound_anchor.is_empty(),
                    Format,
                    "an anchor of the bound without its kind"
                );
                None
            }
            kind => {
                ensure!(
                    terms.mode == MODE_TRUSTED,
                    Unsupported,
                    "only a trusted node is bounded by a verifier; shared nodes bound each other"
                );
                let verifier = self.bound(kind)?;
                let client = verifier.start(&anchor.bound_anchor, terms, now)?;
                let view = verifier.view(&client, now)?;
                ensure!(
                    view.chain == anchor.chain,
                    Format,
                    "the bound follows chain {}, the trusted node serves {}",
                    view.chain,
                    anchor.chain
                );
                Some((kind.to_owned(), client))
            }
        };
        Ok(AttestedState::new(&anchor, *terms, bound).encode())
    }

    fn view(&self, client: &[u8], now: UnixMillis) -> Result<ClientView, Refusal> {
        let state = AttestedState::decode(client)?;
        // What must be led step by step is the bound, so that its sets are those that count.
        let inner = match &state.bound {
            Some(bound) => Some(self.bound(&bound.kind)?.view(&bound.client, now)?),
            None => None,
        };
        let own = state.status(now);
        Ok(ClientView {
            chain: state.chain,
            height: state.newest.height,
            block_id: state.newest.block_id,
            newest_time: state.newest.time,
            set_since: inner.map_or(Height::ZERO, |inner| inner.set_since),
            validators_root: inner.map_or(Hash::ZERO, |inner| inner.validators_root),
            key_epoch: state.key_epoch,
            status: inner.map_or(own, |inner| own.max(inner.status)),
            trusting_period_ms: state.trusting_period_ms,
        })
    }

    fn members(&self, client: &[u8]) -> Result<Vec<Address>, Refusal> {
        Ok(AttestedState::decode(client)?.keys)
    }

    fn is_bounded(&self, client: &[u8]) -> Result<bool, Refusal> {
        let state = AttestedState::decode(client)?;
        Ok(state.mode == MODE_SHARED || state.bound.is_some())
    }

    fn deliverer(&self, client: &[u8]) -> Result<Option<Address>, Refusal> {
        let state = AttestedState::decode(client)?;
        Ok(state.keys.first().copied().filter(|_| state.mode == MODE_TRUSTED))
    }

    fn head(
        &self,
        client: &[u8],
        now: UnixMillis,
        proof: &[u8],
        leaf: &LaneLeaf,
    ) -> Result<VerifiedHead, HeadError> {
        let mut state = AttestedState::decode(client)?;
        let attested = AttestedProof::decode(proof).map_err(Refusal::from)?;
        ensure_usable(&state, now)?;
        let signers = signers(&state, &attested, leaf)?;
        ensure_enough(&state, &signers)?;
        ensure_not_ahead(&attested, now)?;
        let block = Block::of(&attested);
        if let Some(what) = state.contradiction(&block) {
            state.freeze(now, proof);
            let message = format!("{what}; the client of chain {} is frozen", state.chain);
            let refusal = Refusal::new(Class::Proof, message);
            return Err(HeadError::Contradiction { client: state.encode(), refusal });
        }
        let code_hash = self.check_bound(&mut state, now, &attested, leaf)?;
        state.accept(block);
        Ok(VerifiedHead {
            client: state.encode(),
            height: attested.height,
            block_id: attested.block_id,
            time: attested.time,
            code_hash,
        })
    }

    /// Moves the bound; nodes that attest need no leading.
    fn update(
        &self,
        client: &[u8],
        now: UnixMillis,
        update: &[u8],
    ) -> Result<VerifiedHead, HeadError> {
        let mut state = AttestedState::decode(client)?;
        ensure_usable(&state, now)?;
        let Some(bound) = &state.bound else {
            let message = "a client of attested heads without a bound moves with heads alone";
            return Err(Refusal::new(Class::Unsupported, message.to_owned()).into());
        };
        match self.bound(&bound.kind)?.update(&bound.client, now, update) {
            Ok(head) => {
                state.rebind(head.client.clone());
                Ok(VerifiedHead { client: state.encode(), ..head })
            }
            Err(HeadError::Refused(refusal)) => Err(refusal.into()),
            Err(HeadError::Contradiction { client, refusal }) => {
                state.rebind(client);
                state.freeze(now, update);
                Err(HeadError::Contradiction { client: state.encode(), refusal })
            }
        }
    }

    fn misbehaviour(
        &self,
        client: &[u8],
        now: UnixMillis,
        evidence: &[u8],
    ) -> Result<Conviction, Refusal> {
        let mut state = AttestedState::decode(client)?;
        ensure_usable(&state, now)?;
        let it = Deviation::decode(evidence)?;
        let signers_a = signers(&state, &it.proof_a, &it.leaf_a)?;
        let signers_b = signers(&state, &it.proof_b, &it.leaf_b)?;
        ensure!(
            state::statements_contradict(
                (&it.leaf_a, Block::of(&it.proof_a)),
                (&it.leaf_b, Block::of(&it.proof_b)),
            ),
            Proof,
            "the two statements about chain {} can both be true; look for two that cannot",
            state.chain
        );
        let enough = |signers: &BTreeSet<Address>| signers.len() >= state.threshold();
        if enough(&signers_a) && enough(&signers_b) {
            state.freeze(now, evidence);
            return Ok(Conviction::Frozen { client: state.encode() });
        }
        // Who signed both contradicts itself; who is alone against enough others deviates.
        let mut convicted: BTreeSet<Address> =
            signers_a.intersection(&signers_b).copied().collect();
        if enough(&signers_a) {
            convicted.extend(&signers_b);
        }
        if enough(&signers_b) {
            convicted.extend(&signers_a);
        }
        ensure!(
            !convicted.is_empty(),
            Proof,
            "neither statement has the {} signatures that tell which one deviates",
            state.threshold
        );
        state.suspend(&convicted);
        let signers = convicted.into_iter().collect();
        Ok(Conviction::Suspended { client: state.encode(), signers })
    }

    fn recover(
        &self,
        client: &[u8],
        anchor: &[u8],
        now: UnixMillis,
    ) -> Result<VerifiedHead, Refusal> {
        let state = AttestedState::decode(client)?;
        let decoded = AttestedAnchor::decode(anchor)?;
        ensure!(
            decoded.chain == state.chain,
            Proof,
            "the anchor is of chain {}, the client follows {}; another chain needs another link",
            decoded.chain,
            state.chain
        );
        let block =
            Block { height: decoded.height, block_id: decoded.block_id, time: decoded.time };
        let follows = block == state.newest || block.height > state.newest.height;
        ensure!(
            state.frozen.is_some() || follows && state.contradiction(&block).is_none(),
            Proof,
            "the anchor at height {} goes against block {} at height {}, which was accepted",
            decoded.height,
            state.newest.block_id,
            state.newest.height
        );
        let next = AttestedState::decode(&self.start(anchor, &state.terms(), now)?)?;
        // Old statements must not count under the keys that come with the new anchor.
        let next = AttestedState { key_epoch: state.key_epoch.saturating_add(1), ..next };
        let AttestedAnchor { height, block_id, time, .. } = decoded;
        Ok(VerifiedHead { client: next.encode(), height, block_id, time, code_hash: None })
    }

    fn weight(&self, proof: &[u8]) -> u64 {
        // One check for each 65 bytes is the most that any proof of this size can ask for.
        let bytes = proof.len().min(NODES_MAX.saturating_mul(SIGNATURE_BYTES));
        let signatures = bytes.checked_div(SIGNATURE_BYTES).unwrap_or(0);
        let bound = AttestedProof::decode(proof).map_or(0, |proof| {
            self.bounds.iter().map(|bound| bound.weight(&proof.bound)).max().unwrap_or(0)
        });
        u64::try_from(signatures).unwrap_or(u64::MAX).saturating_add(bound).saturating_add(1)
    }
}

/// Whether two statements cannot both be true: then they convict whoever stands alone with one.
#[must_use]
pub fn contradict(
    (leaf_a, a): (&LaneLeaf, &AttestedProof),
    (leaf_b, b): (&LaneLeaf, &AttestedProof),
) -> bool {
    state::statements_contradict((leaf_a, Block::of(a)), (leaf_b, Block::of(b)))
}

/// Gives the client other keys: the key epoch rises, and the old keys count no more from now on.
///
/// # Errors
/// `E_STATE` for keys that do not suit the mode; `E_FORMAT` where the client is none of this kind.
pub fn rotate(client: &[u8], keys: Vec<Address>, threshold: u32) -> Result<Vec<u8>, Refusal> {
    let mut state = AttestedState::decode(client)?;
    check_keys(state.mode, &keys, threshold)?;
    state.rotate(keys, threshold);
    Ok(state.encode())
}

fn check_anchor(anchor: &AttestedAnchor, now: UnixMillis) -> Result<(), Refusal> {
    ensure!(!anchor.chain.is_zero(), Format, "the anchor's chain id is zero");
    ensure!(!anchor.block_id.is_zero(), Format, "the anchor's block id is zero");
    ensure!(
        anchor.time.since(now) <= AHEAD_MS_MAX,
        Proof,
        "the anchor's time {} is more than {AHEAD_MS_MAX} ms ahead of this ledger's {now}",
        anchor.time
    );
    Ok(())
}

/// Req: Y4560-10.2-2.1, Y4560-10.2-3.1
fn check_keys(mode: u8, keys: &[Address], threshold: u32) -> Result<(), Refusal> {
    ensure!(
        keys.len() <= NODES_MAX,
        Limit,
        "{} nodes are more than the {NODES_MAX} that a link may have",
        keys.len()
    );
    let mut before = Address::ZERO;
    for key in keys {
        ensure!(
            *key > before,
            Format,
            "node key {key} does not stand in ascending order after {before}, or twice"
        );
        before = *key;
    }
    let threshold = usize::try_from(threshold).unwrap_or(usize::MAX);
    match mode {
        MODE_TRUSTED => ensure!(
            keys.len() == 1 && threshold == 1,
            State,
            "a link of mode 2 has one trusted node, not {} of which {threshold} must agree",
            keys.len()
        ),
        MODE_SHARED => ensure!(
            keys.len() >= 2 && threshold <= keys.len() && threshold.saturating_mul(2) > keys.len(),
            State,
            "a link of mode 3 has at least two shared nodes of which more than half must agree, \
             not {} of {}",
            threshold,
            keys.len()
        ),
        other => refuse!(Unsupported, "attested heads serve modes 2 and 3, not mode {other}"),
    }
    Ok(())
}

fn ensure_usable(state: &AttestedState, now: UnixMillis) -> Result<(), Refusal> {
    match state.status(now) {
        ClientStatus::Active | ClientStatus::Expiring => Ok(()),
        ClientStatus::Expired => refuse!(
            Proof,
            "the client of chain {} has expired: its newest head is {} ms old; recover it",
            state.chain,
            now.since(state.newest.time)
        ),
        ClientStatus::Frozen => refuse!(
            Proof,
            "the client of chain {} is frozen by contradicting statements; recover it",
            state.chain
        ),
    }
}

fn ensure_not_ahead(proof: &AttestedProof, now: UnixMillis) -> Result<(), Refusal> {
    ensure!(
        proof.time.since(now) <= AHEAD_MS_MAX,
        Proof,
        "the time {} of height {} is more than {AHEAD_MS_MAX} ms ahead of this ledger's {now}",
        proof.time,
        proof.height
    );
    Ok(())
}

fn ensure_enough(state: &AttestedState, signers: &BTreeSet<Address>) -> Result<(), Refusal> {
    ensure!(
        signers.len() >= state.threshold(),
        Quorum,
        "{} nodes attest the head of chain {}, {} must; ask the others",
        signers.len(),
        state.chain,
        state.threshold
    );
    Ok(())
}

/// Who signed a statement: distinct present keys, none of them suspended. One bad, repeated,
/// unordered or unknown signature voids all. Attack: A09.
fn signers(
    state: &AttestedState,
    proof: &AttestedProof,
    leaf: &LaneLeaf,
) -> Result<BTreeSet<Address>, Refusal> {
    ensure!(
        leaf.link == state.link,
        Proof,
        "the leaf is of link {}, the client serves {}",
        leaf.link,
        state.link
    );
    ensure!(!proof.block_id.is_zero(), Format, "the attested block id is zero");
    ensure!(
        proof.key_epoch == state.key_epoch,
        Proof,
        "the head is attested in key epoch {}, the keys of epoch {} count",
        proof.key_epoch,
        state.key_epoch
    );
    let (signatures, rest) = proof.signatures.as_chunks::<SIGNATURE_BYTES>();
    ensure!(
        rest.is_empty() && signatures.len() <= state.keys.len(),
        Format,
        "{} bytes are not at most {} signatures of {SIGNATURE_BYTES}",
        proof.signatures.len(),
        state.keys.len()
    );
    let (height, block_id, time) = proof.block();
    let digest =
        digest::attested_head(proof.key_epoch, digest::lane_leaf(leaf), height, block_id, time);
    let mut found = BTreeSet::new();
    for signature in signatures {
        let signer = secp256k1::recover(digest, &Signature(*signature))?;
        ensure!(
            found.last().is_none_or(|last| *last < signer),
            Proof,
            "signer {signer} does not stand in ascending order, or twice"
        );
        ensure!(
            state.counts(signer),
            Proof,
            "{signer} is no node of link {} whose word counts",
            state.link
        );
        found.insert(signer);
    }
    Ok(found)
}
