//! Who acts on a network, and the ledgers that they ask.

use std::{collections::BTreeMap, time::Duration};
use tokio::{sync::Mutex, time::Instant};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_hub::{HubCall, govern::Act};
use tombolo_islet::signer::{Signer, now, random};
use tombolo_islet_core::{IsletCall, ShareOrder};
use tombolo_ledger::Call;
use tombolo_proto::{
    LedgerClient,
    client::ClientError,
    view::{LaneView, LinkView, Receipt},
};
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Address, Amount, Hash, Refusal, UnixMillis,
    action::{Action, Authorisation, Branch, MoveIn, MoveOut, Pay, Terms, Write},
    envelope::{
        Decimal, ENVELOPE_VERSION, Envelope, HashAlgorithm, Reading, SignatureAlgorithm, Value,
    },
    header::Signature,
    id::{AssetId, ChainId, DataId, GlobalId, IdentityId, LinkId, SchemaId, TxId, Xid},
    lane::DATA_LANE,
    message::DataClass,
};

/// How long anything on loopback may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One ledger.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) chain: ChainId,
    pub(crate) client: LedgerClient,
}

impl Ledger {
    /// State as JSON.
    pub(crate) async fn query(&self, path: &str) -> serde_json::Value {
        serde_json::from_str(&self.client.query(path, None, 0).await.unwrap().json).unwrap()
    }

    /// How a transaction ended.
    pub(crate) async fn receipt(&self, id: TxId) -> Receipt {
        until("the transaction is final", || async {
            self.client.transaction(id, Duration::from_secs(5)).await.unwrap()
        })
        .await
    }

    /// One end of a link.
    pub(crate) async fn link(&self, id: LinkId) -> LinkView {
        let links = self.client.links().await.unwrap().links;
        links.into_iter().find(|link| link.id == id).expect("the link is there")
    }

    /// The data lane of a link.
    pub(crate) async fn data_lane(&self, id: LinkId) -> LaneView {
        let lanes = self.link(id).await.lanes;
        lanes.into_iter().find(|lane| lane.lane == DATA_LANE).expect("the lane is there")
    }

    /// Waits for a block after the present one, and gives its height.
    pub(crate) async fn next_block(&self) -> u64 {
        let before = self.client.status().await.unwrap().height;
        until("the next block comes", || async {
            let status = self.client.status().await.ok()?;
            (status.height > before).then_some(status.height.0)
        })
        .await
    }
}

/// A party: an identity that signs with its first key.
pub(crate) struct Party {
    signer: Signer,
    nonces: Mutex<BTreeMap<ChainId, u64>>,
}

impl Party {
    pub(crate) fn new(key: SecretKey) -> Self {
        Self { signer: Signer::first_key(key, 0), nonces: Mutex::default() }
    }

    pub(crate) fn identity(&self) -> IdentityId {
        self.signer.identity()
    }

    pub(crate) fn key(&self) -> &SecretKey {
        self.signer.key()
    }

    pub(crate) fn address(&self) -> Address {
        self.key().address()
    }

    /// Hands a call to the door, after all that it handed in before.
    pub(crate) async fn submit<C: borsh::BorshSerialize>(
        &self,
        ledger: &Ledger,
        call: C,
    ) -> Result<TxId, ClientError> {
        let call = borsh::to_vec(&Call::Own(call)).unwrap();
        let mut nonces = self.nonces.lock().await;
        let nonce = match nonces.get(&ledger.chain) {
            Some(nonce) => *nonce,
            None => ledger.client.nonces(self.identity()).await?[0],
        };
        let (id, transaction) = self.signer.sign(ledger.chain, nonce, call);
        ledger.client.submit(transaction).await?;
        nonces.insert(ledger.chain, nonce + 1);
        Ok(id)
    }

    /// Makes a call that must enter a block; gives its id and why it was refused there, if it was.
    pub(crate) async fn attempt<C: borsh::BorshSerialize>(
        &self,
        ledger: &Ledger,
        call: C,
    ) -> (TxId, Option<Refusal>) {
        let id = self.submit(ledger, call).await.unwrap();
        (id, ledger.receipt(id).await.refusal)
    }

    /// Makes a call that must not be refused.
    pub(crate) async fn call<C: borsh::BorshSerialize>(&self, ledger: &Ledger, call: C) -> TxId {
        let (id, refusal) = self.attempt(ledger, call).await;
        assert_eq!(refusal, None);
        id
    }

    /// Begins a two-phase commit of one payment on each of these links, from one party to another.
    pub(crate) async fn begin_payments(
        &self,
        hub: &Ledger,
        branches: &[(LinkId, &Party, &Party)],
    ) -> (Xid, TxId) {
        let branch =
            |link: LinkId, from: &Party, to: &Party| Branch::new(link, &[pay(from, to, coin())]);
        let bodies = branches.iter().map(|(link, from, to)| branch(*link, from, to)).collect();
        let payers: Vec<&Party> = branches.iter().map(|(_, payer, _)| *payer).collect();
        self.begin(hub, bodies, &payers).await
    }

    /// Begins a two-phase commit of these branches, to each of which a party consents.
    pub(crate) async fn begin(
        &self,
        hub: &Ledger,
        branches: Vec<Branch>,
        consenting: &[&Party],
    ) -> (Xid, TxId) {
        /// Longer than any test: no commit here shall end by its deadline.
        const DEADLINE_MS: u64 = 3_600_000;
        let terms = Terms {
            hub: hub.chain,
            beginner: self.identity(),
            salt: random(),
            deadline: now().saturating_add(DEADLINE_MS),
            branches: branches.iter().map(digest::branch).collect(),
        };
        let xid = digest::xid(&terms);
        let authorisations = (0u32..)
            .zip(consenting)
            .map(|(branch, party)| Authorisation {
                branch,
                account: party.address(),
                signature: party.key().sign(digest::authorisation(xid)),
            })
            .collect();
        let begin = Begin { terms, branches, authorisations };
        let id = self.submit(hub, HubCall::Begin(Box::new(begin))).await.unwrap();
        (xid, id)
    }
}

/// A payment of one unit.
pub(crate) fn pay(from: &Party, to: &Party, asset: AssetId) -> Action {
    let (from, to) = (from.address(), to.address());
    Action::Pay(Pay { from, to, asset, amount: Amount(1) })
}

/// The coin of a devnet's accounts.
pub(crate) fn coin() -> AssetId {
    digest::Preimage::tagged("asset").bytes(b"demo-coin").finish().into()
}

/// Has an act proposed by one stakeholder and approved by another, which is a quorum on a devnet.
pub(crate) async fn govern(hub: &Ledger, proposer: &Party, approver: &Party, act: Act) {
    let proposal = proposer.call(hub, HubCall::Propose(Box::new(act))).await.into();
    approver.call(hub, HubCall::Approve { proposal }).await;
}

/// A weather station on an islet: each reading is a new open item.
pub(crate) struct Station {
    pub(crate) device: Party,
    pub(crate) owner: IdentityId,
    pub(crate) islet: Ledger,
    pub(crate) schema: SchemaId,
    prefix: Hash,
}

impl Station {
    /// The station of a devnet, with a name space of its own.
    pub(crate) async fn new(hub: &Ledger, islet: Ledger, device: Party, owner: &Party) -> Self {
        let schema = schema_of(hub, "weather").await;
        Self { device, owner: owner.identity(), islet, schema, prefix: random() }
    }

    pub(crate) fn local_id(&self, number: u64) -> String {
        format!("{:.10}/{number}", self.prefix.to_string())
    }

    /// The item that reading `number` is, on every ledger.
    pub(crate) fn data_id(&self, number: u64) -> DataId {
        digest::data_id(self.islet.chain, self.owner, &self.local_id(number))
    }

    /// The call that enters reading `number` and shares it with `destination`.
    pub(crate) fn reading(&self, number: u64, destination: Option<ChainId>) -> IsletCall {
        let (envelope, signature) = self.envelope(number, self.islet.chain);
        let order = |destination| ShareOrder { destination, not_after: UnixMillis::ZERO };
        IsletCall::Submit { envelope, signature, share: destination.map(order) }
    }

    /// The envelope of reading `number` as an item of `home`, signed by the device.
    pub(crate) fn envelope(&self, number: u64, home: ChainId) -> (Vec<u8>, Signature) {
        let at = UnixMillis(1_700_000_000_000 + number);
        let readings = ["precipitation", "temp_max", "temp_min", "wind"].map(|name| Reading {
            name: name.into(),
            at,
            value: Value::Number(Decimal::new(i128::from(number % 50), 0).unwrap()),
        });
        let whose = (home, self.owner, self.local_id(number));
        open_envelope(whose, self.schema, &self.device, readings.into())
    }

    /// Enters and shares reading `number`; gives the operation's id.
    pub(crate) async fn share(&self, number: u64, destination: ChainId) -> GlobalId {
        let call = self.reading(number, Some(destination));
        let id = self.device.submit(&self.islet, call).await.unwrap();
        tombolo_ledger::block::global_id(id)
    }
}

/// The terms under which items are open.
pub(crate) const TERMS: &str = "CC-BY-4.0";

/// The envelope of a new open item of this home, owner and local id, signed by its device.
pub(crate) fn open_envelope(
    (home, owner, local_id): (ChainId, IdentityId, String),
    schema: SchemaId,
    device: &Party,
    readings: Vec<Reading>,
) -> (Vec<u8>, Signature) {
    let envelope = Envelope {
        version: ENVELOPE_VERSION,
        home,
        owner,
        local_id,
        item_version: 1,
        class: DataClass::Open,
        schema,
        device: device.identity(),
        terms: TERMS.into(),
        policy_hash: Hash::ZERO,
        hash_algorithm: HashAlgorithm::Keccak256,
        signature_algorithm: SignatureAlgorithm::Secp256k1,
        salt: random().0,
        time: readings.iter().map(|reading| reading.at).max().unwrap(),
        readings,
        extensions: BTreeMap::new(),
    };
    let envelope = envelope.canonical().unwrap().into_bytes();
    let signature = device.key().sign(digest::envelope(&envelope));
    (envelope, signature)
}

/// A structure of a devnet, by its name.
pub(crate) async fn schema_of(hub: &Ledger, name: &str) -> SchemaId {
    let schemas = hub.query("schemas").await;
    let entries = schemas["entries"].as_array().unwrap();
    let found = entries.iter().find(|schema| schema["name"] == name).unwrap();
    found["schema"].as_str().unwrap().parse().unwrap()
}

/// A closed certificate of calibration.
pub(crate) struct Certificate {
    pub(crate) item: DataId,
    home: ChainId,
    schema: SchemaId,
    envelope: Vec<u8>,
    device: IdentityId,
    signature: Signature,
}

impl Certificate {
    /// A new one of this home.
    pub(crate) fn of(home: ChainId, owner: &Party, device: &Party, schema: SchemaId) -> Self {
        let at = now();
        let reading = |name: &str, value| Reading { name: name.into(), at, value };
        let local_id = format!("calibration/{at}");
        let envelope = Envelope {
            version: ENVELOPE_VERSION,
            home,
            owner: owner.identity(),
            local_id: local_id.clone(),
            item_version: 1,
            class: DataClass::Closed,
            schema,
            device: device.identity(),
            terms: String::new(),
            policy_hash: Hash::ZERO,
            hash_algorithm: HashAlgorithm::Keccak256,
            signature_algorithm: SignatureAlgorithm::Secp256k1,
            salt: random().0,
            time: at,
            readings: vec![
                reading("instrument", Value::Text("NDIR analyser 7".into())),
                reading("offset", Value::Number("-0.13".parse().unwrap())),
            ],
            extensions: BTreeMap::new(),
        };
        let envelope = envelope.canonical().unwrap().into_bytes();
        Self {
            item: digest::data_id(home, owner.identity(), &local_id),
            home,
            schema,
            signature: device.key().sign(digest::envelope(&envelope)),
            device: device.identity(),
            envelope,
        }
    }

    /// The call of its device that enters it at home.
    pub(crate) fn entry(&self) -> IsletCall {
        let (envelope, signature) = (self.envelope.clone(), self.signature);
        IsletCall::Submit { envelope, signature, share: None }
    }

    /// What writes it for its first owner, on a ledger that takes no envelope but by a commit.
    pub(crate) fn writing(&self, owner: &Party) -> Action {
        Action::Write(Write {
            item: self.item,
            item_version: 1,
            schema: self.schema,
            fingerprint: digest::fingerprint(&self.envelope),
            owner: owner.identity(),
            holder: owner.address(),
            envelope: self.envelope.clone(),
            device: self.device,
            signature: self.signature,
        })
    }

    /// What takes it away from `holder`'s account at home, and what gives it to `to` elsewhere.
    pub(crate) fn movement(
        &self,
        holder: &Party,
        to_chain: ChainId,
        to: &Party,
    ) -> (Action, Action) {
        let out = MoveOut { item: self.item, from: holder.address(), to_chain };
        let come = MoveIn {
            item: self.item,
            from_chain: self.home,
            item_version: 1,
            schema: self.schema,
            fingerprint: digest::fingerprint(&self.envelope),
            owner: to.identity(),
            holder: to.address(),
            envelope: self.envelope.clone(),
            device: self.device,
            signature: self.signature,
        };
        (Action::MoveOut(out), Action::MoveIn(come))
    }
}

/// Asks until there is an answer.
pub(crate) async fn until<T, F>(what: &str, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    until_within(PATIENCE, what, ask).await
}

/// Asks until there is an answer, for so long.
pub(crate) async fn until_within<T, F>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + patience;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not so after {patience:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
