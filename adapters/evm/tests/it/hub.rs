//! A hub whose machine, certificates and proofs are real, and whose sequencer is a loop in this
//! process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};
use tombolo_adapter::{Finality, Query as _, TransactionStatus};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_hub::{Hub, HubCall, govern::Act, query};
use tombolo_ledger::{Call, lanes::Link};
use tombolo_sim::{Pace, Settings, SimAdapter, SimChain};
use tombolo_types::{
    Height, Power, UnixMillis,
    header::{Anchor, Genesis, GenesisIdentity, HEADER_VERSION, Validator, ValidatorSet},
    id::{IdentityId, LinkId, TxId},
    message::Role,
};

/// A key of these tests: one byte, 32 times. It guards nothing.
pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

pub(crate) fn wall() -> UnixMillis {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixMillis(u64::try_from(now.as_millis()).unwrap())
}

const STAKEHOLDER: u8 = 1;
/// Whose key the relayer signs with at the hub.
pub(crate) const RELAYER: u8 = 5;
const VALIDATORS: [u8; 4] = [21, 22, 23, 24];

/// A hub that makes blocks by the wall's clock until it is dropped.
pub(crate) struct TestHub {
    pub(crate) chain: Arc<SimChain<Hub>>,
    ended: Arc<AtomicBool>,
    clock: Option<JoinHandle<()>>,
}

impl TestHub {
    pub(crate) fn start() -> Self {
        let party = |number: u8, role: Role| GenesisIdentity {
            key: key(number).address(),
            roles: role.bit(),
            name: format!("party {number}"),
        };
        let mut validators: Vec<_> = VALIDATORS
            .iter()
            .map(|number| Validator { address: key(*number).address(), power: Power(1) })
            .collect();
        validators.sort_by_key(|validator| validator.address);
        let genesis = Genesis {
            version: HEADER_VERSION,
            kind: "hub".into(),
            name: "hub of a test".into(),
            time: UnixMillis(wall().0 - 1_000),
            validators: ValidatorSet { first_height: Height(1), validators },
            identities: vec![party(STAKEHOLDER, Role::Stakeholder), party(RELAYER, Role::Relayer)],
            balances: Vec::new(),
            quorum: 1,
            council: Vec::new(),
            council_threshold: 0,
            hub_anchor: Vec::new(),
            parameters: Vec::new(),
        };
        let settings = Settings {
            seed: 1,
            finality: Finality::Instant,
            pace: Pace::OnDemand,
            block_ms: 1,
            jitter_ms: 0,
        };
        let chain = SimChain::new(
            tombolo_node::hub::kind().machine,
            &genesis,
            &VALIDATORS.map(key),
            settings,
        )
        .unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let clock = thread::spawn({
            let (chain, ended) = (chain.clone(), ended.clone());
            move || {
                while !ended.load(Ordering::Relaxed) {
                    chain.pass_ms(wall().since(chain.now()).saturating_sub(1));
                    chain.produce();
                    thread::sleep(Duration::from_millis(200));
                }
            }
        });
        Self { chain, ended, clock: Some(clock) }
    }

    pub(crate) fn adapter(&self) -> SimAdapter<Hub> {
        SimAdapter::new(self.chain.clone(), key(RELAYER))
    }

    /// Where a gateway's client may start: the newest header.
    pub(crate) fn anchor(&self) -> Anchor {
        self.chain.anchor()
    }

    pub(crate) fn stakeholder(&self) -> IdentityId {
        digest::identity_id(key(STAKEHOLDER).address())
    }

    /// Has the stakeholder make a call, and a block hold it.
    pub(crate) fn submit(&self, call: Call<HubCall>) -> TxId {
        let id = self.chain.submit(&key(STAKEHOLDER), call).unwrap();
        self.chain.produce();
        id
    }

    /// The stakeholder, who is a quorum alone, proposes and so decides.
    pub(crate) async fn enact(&self, act: Act) {
        let id = self.submit(Call::Own(HubCall::Propose(Box::new(act))));
        let status = self.adapter().transaction(id).await.unwrap();
        assert!(matches!(status, TransactionStatus::Applied { .. }), "{status:?}");
    }

    pub(crate) fn link(&self, id: LinkId) -> Link {
        self.chain.read(|view| query::link(view, id)).expect("a registered link").link
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(clock) = self.clock.take() {
            clock.join().unwrap();
        }
    }
}
