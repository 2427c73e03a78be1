//! Two anvils, each linked to one hub in mode 2, and two-phase commits over both.

use crate::{
    hub::{TestHub, key, wall},
    link::{Linked, Relayer, run, until},
};
use alloy::{sol, sol_types::SolCall};
use serde_json::json;
use std::sync::Arc;
use tombolo_crypto::digest;
use tombolo_evm::{Consents, EvmAdapter};
use tombolo_hub::query;
use tombolo_swap::two_phase::{Begin, Phase};
use tombolo_test_nodes::{Anvil, Sender, alone};
use tombolo_types::{
    Address, Amount, Hash, UnixMillis,
    action::{self, Action, Branch, Pay, Terms},
    header::Signature,
    id::{AssetId, IdentityId, Xid},
};

/// Pays on the first chain.
pub(crate) const ALICE: u8 = 50;
/// Pays on the second.
pub(crate) const BOB: u8 = 51;
/// What each of them has in the vault of the chain on which it pays.
pub(crate) const FUNDS: u64 = 100;
/// Standings of a participant; IVault.sol.
pub(crate) const UNKNOWN: u8 = 0;
pub(crate) const PREPARED: u8 = 1;
pub(crate) const COMMITTED: u8 = 3;
pub(crate) const ABORTED: u8 = 4;

sol! {
    struct Authorisation { uint32 branch; address account; bytes signature; }
    /// As adapters/evm/contracts/src/interfaces/IVault.sol has them.
    function begin(bytes terms, bytes[] branches, Authorisation[] authorisations)
        external returns (bytes32 xid);
    function free(bytes32 xid) external;
    function consent(bytes32 xid) external;
    function revoke(bytes32 xid) external;
    function deposit(bytes32 asset, uint128 amount, bytes32 xid)
        external payable returns (uint128 credited);
    function participant(bytes32 xid) external view returns (
        uint8 standing, uint8 class, uint64 deadline, uint32 trustEpoch, uint8 decided
    );
    function balanceOf(address account, bytes32 asset) external view returns (uint128);
}

/// One of the two chains, with an open link.
pub(crate) struct Side {
    anvil: Anvil,
    pub(crate) linked: Linked,
    pub(crate) adapter: Arc<EvmAdapter>,
}

/// The hub and both.
pub(crate) struct Pair {
    pub(crate) hub: Arc<TestHub>,
    pub(crate) first: Side,
    pub(crate) second: Side,
    drafted: u8,
}

/// Runs a test on a pair; said loudly where there is no anvil.
pub(crate) fn on_a_pair(test: impl AsyncFnOnce(Pair)) {
    let _alone = alone();
    let chain = |id| Anvil::start(&["--chain-id", id]);
    let (Some(first), Some(second)) = (chain("31337"), chain("31338")) else { return };
    run(async {
        let hub = Arc::new(TestHub::start());
        let first = Side::new(&hub, first).await;
        let second = Side::new(&hub, second).await;
        test(Pair { hub, first, second, drafted: 0 }).await;
    });
}

impl Side {
    async fn new(hub: &Arc<TestHub>, anvil: Anvil) -> Self {
        let urls = vec![anvil.rpc.url().to_owned()];
        let linked = Linked::from_hub(hub.clone(), &anvil, urls, 0).await;
        let adapter = linked.adapter().await;
        linked.open(&adapter).await;
        Self { anvil, linked, adapter }
    }

    pub(crate) fn relay(&self) -> Relayer {
        Relayer::start(self.linked.task(&self.adapter))
    }

    /// A call of the vault by an account, which gets funds for it.
    pub(crate) fn by<C: SolCall>(&self, account: u8, call: &C, wei: u64) {
        let address = key(account).address().to_string();
        let _ = self.anvil.rpc.call("anvil_setBalance", json!([address, "0x56bc75e2d63100000"]));
        let sender = Sender::new(&self.anvil.rpc, key(account));
        sender.pay(self.linked.vault, &call.abi_encode(), wei);
    }

    /// Adds to an account's balance in the vault, and consents where a commit is named.
    pub(crate) fn deposit(&self, account: u8, xid: Xid) {
        let (asset, amount) = ([0; 32].into(), FUNDS.into());
        self.by(account, &depositCall { asset, amount, xid: xid.0.into() }, FUNDS);
    }

    fn ask<C: SolCall>(&self, call: &C) -> C::Return {
        let data = format!("0x{}", hex::encode(call.abi_encode()));
        let call = json!({ "to": self.linked.vault.to_string(), "data": data });
        let answer = self.anvil.rpc.call("eth_call", json!([call, "latest"]));
        let answer = hex::decode(answer.as_str().unwrap().trim_start_matches("0x")).unwrap();
        C::abi_decode_returns(&answer).unwrap()
    }

    /// What the vault knows of a commit.
    pub(crate) fn standing(&self, xid: Xid) -> u8 {
        self.ask(&participantCall { xid: xid.0.into() }).standing
    }

    /// What an account has in the vault.
    pub(crate) fn balance(&self, account: u8) -> u128 {
        let account = key(account).address().0.into();
        self.ask(&balanceOfCall { account, asset: [0; 32].into() })
    }

    /// Whom the hub knows as the beginner of what an account begins here.
    pub(crate) fn beginner(&self, account: u8) -> IdentityId {
        digest::account_beginner(self.linked.link, key(account).address())
    }

    /// Where accounts consent by typed data.
    pub(crate) fn consents(&self) -> Consents {
        let config = &self.linked.config;
        let gateway = Address(config.gateway.0.0);
        Consents { evm_chain_id: config.evm_chain_id, gateway }
    }

    /// Has an account begin a commit here.
    pub(crate) fn begin(&self, account: u8, begin: &Begin) {
        let given = begin.authorisations.iter().map(|given| Authorisation {
            branch: given.branch,
            account: given.account.0.into(),
            signature: given.signature.0.to_vec().into(),
        });
        let call = beginCall {
            terms: begin.terms.encode().into(),
            branches: begin.branches.iter().map(|branch| branch.encode().into()).collect(),
            authorisations: given.collect(),
        };
        self.by(account, &call, 0);
    }
}

/// A consent that is in the ledger already: by a deposit, by a call, by beginning.
pub(crate) fn by_transaction(_: Xid) -> Signature {
    Signature::NONE
}

impl Pair {
    /// A commit in which Alice pays Bob one on the first chain, and he her two on the second.
    pub(crate) fn draft(
        &mut self,
        beginner: IdentityId,
        deadline: UnixMillis,
        alice: impl Fn(Xid) -> Signature,
        bob: impl Fn(Xid) -> Signature,
    ) -> (Xid, Begin) {
        let pay = |from: u8, to: u8, amount: u128| {
            let (from, to) = (key(from).address(), key(to).address());
            Action::Pay(Pay { from, to, asset: AssetId::ZERO, amount: Amount(amount) })
        };
        let branches = vec![
            Branch::new(self.first.linked.link, &[pay(ALICE, BOB, 1)]),
            Branch::new(self.second.linked.link, &[pay(BOB, ALICE, 2)]),
        ];
        self.drafted += 1;
        let terms = Terms {
            hub: self.hub.chain.chain_id(),
            beginner,
            salt: Hash([self.drafted; 32]),
            deadline,
            branches: branches.iter().map(digest::branch).collect(),
        };
        let xid = digest::xid(&terms);
        let given = |branch, account: u8, signature| action::Authorisation {
            branch,
            account: key(account).address(),
            signature,
        };
        let authorisations = vec![given(0, ALICE, alice(xid)), given(1, BOB, bob(xid))];
        (xid, Begin { terms, branches, authorisations })
    }

    /// Where the hub sees a commit; `None` for one that it does not know, or has forgotten.
    pub(crate) fn phase(&self, xid: Xid) -> Option<Phase> {
        self.hub.chain.read(|view| query::commit(view, xid)).map(|commit| commit.phase)
    }

    /// Waits for something while both chains are relayed.
    pub(crate) async fn relayed_until(&self, what: &str, done: impl Fn() -> bool) {
        let relayers = [self.first.relay(), self.second.relay()];
        let reports = relayers[0].reports.clone();
        until(what, &reports, async || done()).await;
        for relayer in relayers {
            relayer.stop().await;
        }
    }
}

/// Long enough for whatever shall not end by its deadline.
pub(crate) fn in_an_hour() -> UnixMillis {
    wall().saturating_add(3_600_000)
}
