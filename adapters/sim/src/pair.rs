//! Two plain chains with an open link, for tests of whatever stands between two chains.

use crate::{
    adapter::SimAdapter,
    chain::{Settings, SimChain},
    plain::{Plain, PlainCall, PlainChain, PlainHub, genesis, word},
    random::Random,
};
use std::sync::Arc;
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_ledger::{Call, Machine};
use tombolo_types::{
    Address, Height, MessageNumber, Power, Refusal, UnixMillis,
    header::{Validator, ValidatorSet},
    id::{LinkId, Xid},
    lane::DATA_LANE,
    message::{Body, Done},
};

/// When both chains begin. Any time that is not near zero would do.
const GENESIS_TIME: UnixMillis = UnixMillis(1_800_000_000_000);
/// As the ledgers' own default.
const TRUSTING_PERIOD_MS: u64 = 14 * 24 * 3_600_000;
const VALIDATORS: usize = 4;

/// A hub and a chain, both simulated, and the open link between them.
pub struct Pair {
    /// One end.
    pub hub: Arc<SimChain<PlainHub>>,
    /// The other end.
    pub chain: Arc<SimChain<PlainChain>>,
    /// The link.
    pub link: LinkId,
    /// A relayer, registered on both.
    pub relayer: SecretKey,
    /// Who tells both chains what to do, registered on both.
    pub operator: SecretKey,
    random: Random,
}

/// Two plain chains with four validators each, and a link in mode 1 that both have opened.
///
/// # Errors
/// None with sensible settings; a refusal shows a fault of the ledger or of this crate.
pub fn open_pair(seed: u64, hub: Settings, chain: Settings) -> Result<Pair, Refusal> {
    let mut random = Random::new(seed);
    let (relayer, operator) = (key(&mut random), key(&mut random));
    let users = [relayer.address(), operator.address()];
    let hub = plain("hub", Plain::<true>, &mut random, &users, hub)?;
    let chain = plain("chain", Plain::<false>, &mut random, &users, chain)?;
    let link = digest::link_id(hub.chain_id(), chain.chain_id(), Address::ZERO, 0);
    let open = |anchor| {
        let trusting_period_ms = TRUSTING_PERIOD_MS;
        Call::Own(PlainCall::Open { link, anchor, trusting_period_ms })
    };
    hub.submit(&operator, open(chain.anchor().encode()))?;
    chain.submit(&operator, open(hub.anchor().encode()))?;
    hub.produce_until_final();
    chain.produce_until_final();
    Ok(Pair { hub, chain, link, relayer, operator, random })
}

impl Pair {
    /// An adapter of the hub, for the relayer.
    #[must_use]
    pub fn hub_adapter(&self) -> SimAdapter<PlainHub> {
        SimAdapter::new(self.hub.clone(), self.relayer.clone())
    }

    /// An adapter of the chain, for the relayer.
    #[must_use]
    pub fn chain_adapter(&self) -> SimAdapter<PlainChain> {
        SimAdapter::new(self.chain.clone(), self.relayer.clone())
    }

    /// Has one end send `count` messages over the data lane; no block is made.
    ///
    /// # Errors
    /// As [`SimChain::submit`].
    pub fn send<const HUB: bool>(
        &mut self,
        from: &SimChain<Plain<HUB>>,
        count: u64,
    ) -> Result<(), Refusal> {
        for _ in 0..count {
            // An answer: both kinds of chain take it and have nothing to say to it.
            let xid = Xid(word(self.random.next()).0);
            let body = Body::Done(Done { of: MessageNumber::ZERO, xid });
            let (kind, body) = (body.kind(), body.encode());
            let call = PlainCall::Send { link: self.link, lane: DATA_LANE, kind, body };
            from.submit(&self.operator, Call::Own(call))?;
        }
        Ok(())
    }

    /// Has other validators certify one end, from its next block on; no block is made.
    ///
    /// # Errors
    /// As [`SimChain::submit`].
    pub fn change_validators<const HUB: bool>(
        &mut self,
        of: &SimChain<Plain<HUB>>,
    ) -> Result<(), Refusal> {
        let keys = keys(&mut self.random);
        keys.iter().for_each(|key| of.add_key(key));
        let call = PlainCall::Validators(set(&keys).validators);
        of.submit(&self.operator, Call::Own(call)).map(drop)
    }
}

fn plain<M: Machine>(
    name: &str,
    machine: M,
    random: &mut Random,
    users: &[Address],
    settings: Settings,
) -> Result<Arc<SimChain<M>>, Refusal> {
    let keys = keys(random);
    let genesis = genesis::<M>(name, GENESIS_TIME, set(&keys), users, Vec::new());
    SimChain::new(machine, &genesis, &keys, settings)
}

fn set(keys: &[SecretKey]) -> ValidatorSet {
    let mut validators: Vec<Validator> =
        keys.iter().map(|key| Validator { address: key.address(), power: Power(1) }).collect();
    validators.sort_by_key(|validator| validator.address);
    ValidatorSet { first_height: Height(1), validators }
}

fn keys(random: &mut Random) -> Vec<SecretKey> {
    (0..VALIDATORS).map(|_| key(random)).collect()
}

fn key(random: &mut Random) -> SecretKey {
    // One number in 2^128 is none; no seed of 64 bits will ever draw it.
    SecretKey::from_bytes(random.bytes()).expect("almost every number is a key")
}
