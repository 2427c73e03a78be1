//! Clique chains made here, by keys that are known: what no real node would seal.

use alloy_rlp::{Encodable as _, Header};
use tombolo_crypto::{keccak256::keccak256, secp256k1::SecretKey};
use tombolo_evm_core::{
    clique::{Clique, CliqueAdvance, CliqueAnchor, CliqueRecent, CliqueVote},
    follow::EvmVerifier,
    proof::{EvmMisbehaviour, EvmUpdate},
};
use tombolo_types::{
    Address, Hash, Height, UnixMillis,
    verifier::{HeadError, LinkTerms, VerifiedHead, Verifier as _},
};

pub(crate) const CLIQUE: EvmVerifier<Clique> = EvmVerifier::new();
/// The time of block 0, in seconds.
pub(crate) const GENESIS_TIME: u64 = 1_700_000_000;
pub(crate) const PERIOD: u64 = 5;
const CHAIN_ID: u64 = 771_177;

/// The key of this number: the byte, 32 times.
pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

pub(crate) fn address(number: u8) -> Address {
    key(number).address()
}

pub(crate) fn addresses(numbers: &[u8]) -> Vec<Address> {
    let mut all: Vec<_> = numbers.iter().copied().map(address).collect();
    all.sort();
    all
}

/// All fields of a header that a test may want to get wrong.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    pub(crate) parent: Hash,
    pub(crate) uncles: Hash,
    pub(crate) candidate: Address,
    pub(crate) state_root: Hash,
    pub(crate) difficulty: u64,
    pub(crate) number: u64,
    pub(crate) time: u64,
    pub(crate) listed: Vec<Address>,
    pub(crate) mix: Hash,
    pub(crate) nonce: [u8; 8],
    /// Fields after the base fee, as forks after London have them.
    pub(crate) newer: Vec<Hash>,
}

impl Fields {
    fn encode(&self, seal: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        let put = |bytes: &[u8], payload: &mut Vec<u8>| bytes.encode(payload);
        put(&self.parent.0, &mut payload);
        put(&self.uncles.0, &mut payload);
        put(&self.candidate.0, &mut payload);
        put(&self.state_root.0, &mut payload);
        put(&[2; 32], &mut payload);
        put(&[3; 32], &mut payload);
        put(&[0; 256], &mut payload);
        for number in [self.difficulty, self.number, 30_000_000, 21_000, self.time] {
            number.encode(&mut payload);
        }
        let listed = self.listed.iter().flat_map(|signer| signer.0);
        let extra: Vec<u8> =
            [7; 32].into_iter().chain(listed).chain(seal.iter().copied()).collect();
        put(&extra, &mut payload);
        put(&self.mix.0, &mut payload);
        put(&self.nonce, &mut payload);
        1_000_000_000u64.encode(&mut payload);
        for field in &self.newer {
            put(&field.0, &mut payload);
        }
        let mut whole = Vec::new();
        Header { list: true, payload_length: payload.len() }.encode(&mut whole);
        whole.extend(payload);
        whole
    }

    /// Sealed by this key.
    pub(crate) fn seal(&self, signer: &SecretKey) -> Vec<u8> {
        let mut seal = signer.sign(keccak256(&self.encode(&[]))).0;
        seal[64] -= 27;
        self.encode(&seal)
    }

    /// With these bytes where a seal belongs.
    pub(crate) fn with_seal(&self, seal: &[u8; 65]) -> Vec<u8> {
        self.encode(seal)
    }
}

/// A vote in a header: on whom, and whether to let it in.
pub(crate) type Ballot = Option<(Address, bool)>;

/// A chain that follows the rules, and what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) epoch: u64,
    /// Who may sign the next block, ascending. A test that votes says itself what comes of it.
    pub(crate) signers: Vec<Address>,
    /// Headers by number.
    pub(crate) headers: Vec<Vec<u8>>,
    time: u64,
}

impl Chain {
    pub(crate) fn new(signers: &[u8], epoch: u64) -> Self {
        let signers = addresses(signers);
        let genesis = Fields {
            parent: Hash::ZERO,
            uncles: keccak256(&[0xc0]),
            candidate: Address::ZERO,
            state_root: keccak256(b"state 0"),
            difficulty: 1,
            number: 0,
            time: GENESIS_TIME,
            listed: signers.clone(),
            mix: Hash::ZERO,
            nonce: [0; 8],
            newer: vec![],
        };
        let headers = vec![genesis.with_seal(&[0; 65])];
        Self { epoch, signers, headers, time: GENESIS_TIME }
    }

    /// The number of the newest block.
    pub(crate) fn height(&self) -> u64 {
        self.headers.len() as u64 - 1
    }

    /// The hash of a block.
    pub(crate) fn id(&self, number: u64) -> Hash {
        keccak256(&self.headers[number as usize])
    }

    /// The fields of the next block, rightly filled in, if `signer` seals it.
    pub(crate) fn next(&self, signer: u8, ballot: Ballot) -> Fields {
        let number = self.height() + 1;
        let turn = self.signers.get(number as usize % self.signers.len().max(1));
        let checkpoint = number.is_multiple_of(self.epoch);
        Fields {
            parent: self.id(number - 1),
            uncles: keccak256(&[0xc0]),
            candidate: ballot.map_or(Address::ZERO, |(candidate, _)| candidate),
            state_root: keccak256(format!("state {number}").as_bytes()),
            difficulty: if turn == Some(&address(signer)) { 2 } else { 1 },
            number,
            time: self.time + PERIOD,
            listed: if checkpoint { self.signers.clone() } else { vec![] },
            mix: Hash::ZERO,
            nonce: [if ballot.is_some_and(|(_, authorize)| authorize) { 0xff } else { 0 }; 8],
            newer: vec![],
        }
    }

    /// Adds a block.
    pub(crate) fn add(&mut self, signer: u8, ballot: Ballot) {
        let fields = self.next(signer, ballot);
        self.push(&fields, signer);
    }

    /// Adds a block with these fields.
    pub(crate) fn push(&mut self, fields: &Fields, signer: u8) {
        self.headers.push(fields.seal(&key(signer)));
        self.time = fields.time;
    }

    /// The chain as it was when `height` was its newest block, of blocks a period apart.
    pub(crate) fn cut(&self, height: u64) -> Self {
        let mut chain = self.clone();
        chain.headers.truncate(height as usize + 1);
        chain.time = GENESIS_TIME + height * PERIOD;
        chain
    }

    /// Adds a header as it is, a period after the one before.
    pub(crate) fn push_raw(&mut self, header: Vec<u8>) {
        self.headers.push(header);
        self.time += PERIOD;
    }

    /// Adds blocks by these signers, without votes.
    pub(crate) fn grow(&mut self, signers: &[u8]) {
        for signer in signers {
            self.add(*signer, None);
        }
    }

    /// An advance from the block after `number` to the newest.
    pub(crate) fn after(&self, number: u64) -> Vec<u8> {
        advance(&self.headers[number as usize + 1..])
    }

    /// The chain's own time at its newest block.
    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis(self.time * 1000)
    }

    /// An anchor at block 0.
    pub(crate) fn anchor(&self) -> CliqueAnchor {
        let signers: Vec<CliqueRecent> = vec![];
        let votes: Vec<CliqueVote> = vec![];
        CliqueAnchor {
            evm_chain_id: CHAIN_ID,
            genesis: self.id(0),
            period: PERIOD,
            epoch: self.epoch,
            header: self.headers[0].clone(),
            signers: self.signers.clone(),
            recents: signers,
            votes,
        }
    }

    /// A client that starts from block 0.
    pub(crate) fn client(&self) -> Vec<u8> {
        start(&self.anchor(), UnixMillis(GENESIS_TIME * 1000)).unwrap()
    }
}

pub(crate) fn advance(headers: &[Vec<u8>]) -> Vec<u8> {
    CliqueAdvance { headers: headers.to_vec() }.encode()
}

pub(crate) fn terms() -> LinkTerms {
    LinkTerms {
        link: crate::world::LINK,
        gateway: crate::world::GATEWAY,
        mode: 1,
        trusting_period_ms: 14 * 24 * 3_600_000,
    }
}

pub(crate) fn start(
    anchor: &CliqueAnchor,
    now: UnixMillis,
) -> Result<Vec<u8>, tombolo_types::Refusal> {
    use tombolo_types::verifier::Verifier as _;
    CLIQUE.start(&anchor.encode(), &terms(), now)
}

/// Updates a client by an advance after which `height` shall be final.
pub(crate) fn update(
    client: &[u8],
    now: UnixMillis,
    height: u64,
    advance: Vec<u8>,
) -> Result<VerifiedHead, HeadError> {
    CLIQUE.update(client, now, &EvmUpdate { height: Height(height), advance }.encode())
}

pub(crate) fn evidence(advance_a: Vec<u8>, advance_b: Vec<u8>) -> Vec<u8> {
    EvmMisbehaviour { advance_a, advance_b }.encode()
}
