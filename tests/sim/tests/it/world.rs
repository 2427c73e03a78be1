//! A hub with two islets linked to it, and the parties on them.

use crate::{
    node::{Made, Node, Process, encode},
    relay,
};
use std::sync::OnceLock;
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_hub::{
    Hub, HubCall,
    govern::{Act, NewIdentity, NewLink},
    identity::Binding,
};
use tombolo_islet_core::{
    IDENTIFICATION_METHOD, INCARNATION, Islet, MODE, code_hash, gateway_address, hub_link_id,
};
use tombolo_ledger::{Call, principal::Use};
use tombolo_relayer_core::Ages;
use tombolo_types::{
    Address, Amount, Hash, Height, Power, Refusal, UnixMillis,
    envelope::Decimal,
    header::{
        Genesis, GenesisBalance, GenesisIdentity, GenesisParameter, HEADER_VERSION, Validator,
        ValidatorSet,
    },
    id::{AssetId, ChainId, IdentityId, LinkId, SchemaId},
    message::Role,
    schema::{Field, FieldKind, Schema},
};

/// When all ledgers begin.
pub(crate) const BEGIN: UnixMillis = UnixMillis(1_800_000_000_000);
pub(crate) const ASSET: AssetId = AssetId([0xa5; 32]);
/// What each stakeholder's account on each islet holds at first.
pub(crate) const FUNDS: u128 = 1_000;
pub(crate) const STAKEHOLDERS: [u8; 3] = [1, 2, 3];
pub(crate) const OPERATOR: u8 = 4;
pub(crate) const RELAYERS: [u8; 3] = [5, 6, 7];
/// How long a pause lasts here, in virtual milliseconds.
pub(crate) const PAUSE_MS: u64 = 4_000;
/// What the hub wants left before a deadline: twice the finality and the relay margin.
pub(crate) const MARGIN_MS: u64 = 2 * 250 + 1_000;

/// Which of the three ledgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Hub,
    A,
    B,
}

impl Place {
    pub(crate) const ALL: [Self; 3] = [Self::Hub, Self::A, Self::B];
    pub(crate) const ISLETS: [Self; 2] = [Self::A, Self::B];

    /// The other islet.
    pub(crate) fn other(self) -> Self {
        if self == Self::A { Self::B } else { Self::A }
    }
}

/// A key that a small number stands for.
pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

pub(crate) fn identity(number: u8) -> IdentityId {
    digest::identity_id(key(number).address())
}

/// The device of a stakeholder.
pub(crate) fn device_of(stakeholder: u8) -> u8 {
    stakeholder + 10
}

/// The account of a stakeholder, the same on both islets.
pub(crate) fn account(stakeholder: u8) -> Address {
    key(stakeholder).address()
}

/// The structure of all readings here.
pub(crate) fn schema() -> (SchemaId, Vec<u8>) {
    let field = Field {
        name: "temperature".into(),
        kind: FieldKind::Number,
        unit: "Cel".into(),
        minimum: Decimal::new(-50, 0),
        maximum: Decimal::new(60, 0),
        length_max: 0,
        required: true,
        decimals: None,
    };
    let definition =
        Schema { name: "air".into(), version: 1, fields: vec![field] }.encode().unwrap();
    (digest::schema_id(&definition), definition)
}

/// The three ledgers.
pub(crate) struct World {
    nodes: [Box<dyn Node>; 3],
}

impl Clone for World {
    fn clone(&self) -> Self {
        Self { nodes: std::array::from_fn(|position| self.nodes[position].boxed_clone()) }
    }
}

impl World {
    /// Linked, with all parties, accounts, the schema and a policy in force. Founding takes many
    /// blocks, so it is done once and copied.
    pub(crate) fn founded() -> Self {
        static FOUNDED: OnceLock<World> = OnceLock::new();
        FOUNDED.get_or_init(Self::found).clone()
    }

    pub(crate) fn at(&self, place: Place) -> &dyn Node {
        &*self.nodes[place as usize]
    }

    pub(crate) fn at_mut(&mut self, place: Place) -> &mut dyn Node {
        &mut *self.nodes[place as usize]
    }

    pub(crate) fn chain(&self, place: Place) -> ChainId {
        self.at(place).id()
    }

    /// The link of an islet.
    pub(crate) fn link(&self, islet: Place) -> LinkId {
        hub_link_id(self.chain(Place::Hub), self.chain(islet))
    }

    /// Which ledger it is.
    pub(crate) fn place_of(&self, chain: ChainId) -> Place {
        *Place::ALL.iter().find(|place| self.chain(**place) == chain).unwrap()
    }

    fn found() -> Self {
        let hub = Process::new(Hub::new, &hub_genesis(), validators(Place::Hub));
        let anchor = hub.anchor().encode();
        let islet = |place| -> Box<dyn Node> {
            Box::new(Process::new(
                Islet::default,
                &islet_genesis(place, &anchor),
                validators(place),
            ))
        };
        let mut world = Self { nodes: [Box::new(hub), islet(Place::A), islet(Place::B)] };
        for place in Place::ALL {
            world.block(place);
        }
        for place in Place::ISLETS {
            world.open_link(place);
        }
        let (_, definition) = schema();
        world.enact(Act::SetSchema { definition });
        // Everything that has the right form is allowed: what is tested here is not the policies.
        let text = "permit (principal, action, resource);".to_owned();
        world.enact(Act::SetPolicy { id: "all".into(), text });
        for owner in STAKEHOLDERS {
            world.enact(Act::RegisterIdentity(NewIdentity {
                key: key(device_of(owner)).address(),
                roles: Role::Device.bit(),
                name: format!("device {owner}"),
                owner: identity(owner),
            }));
            for place in Place::ISLETS {
                world.bind(owner, place);
            }
        }
        world.settle();
        world
    }

    fn open_link(&mut self, islet: Place) {
        let chain = self.chain(islet);
        self.enact(Act::RegisterLink(Box::new(NewLink {
            chain,
            gateway: gateway_address(chain),
            incarnation: INCARNATION,
            mode: MODE,
            verifier: "tombolo".into(),
            anchor: self.at(islet).anchor().encode(),
            code_hash: code_hash(),
            identification_method: IDENTIFICATION_METHOD.into(),
            nodes: Vec::new(),
        })));
        self.block(islet);
        self.settle();
        self.enact(Act::OpenLink { link: self.link(islet) });
        self.settle();
    }

    fn bind(&mut self, owner: u8, islet: Place) {
        let (hub, chain) = (self.chain(Place::Hub), self.chain(islet));
        let nonce = u64::from(islet == Place::B);
        let digest = digest::binding(hub, chain, account(owner), identity(owner), nonce);
        let signature = key(owner).sign(digest);
        let binding = Binding {
            chain,
            account: account(owner),
            identity_signature: signature,
            account_signature: signature,
        };
        self.run(Place::Hub, owner, hub_call(HubCall::Bind(Box::new(binding)))).unwrap();
    }

    /// Makes a block a little later.
    pub(crate) fn block(&mut self, place: Place) -> Made {
        self.block_after(place, 100)
    }

    /// Makes a block so much later than its parent.
    pub(crate) fn block_after(&mut self, place: Place, ms: u64) -> Made {
        let time = self.at(place).tip().time.saturating_add(ms);
        self.at_mut(place).produce(time, None).expect("nothing crashes here")
    }

    /// Hands a call in at the door.
    pub(crate) fn submit(
        &mut self,
        place: Place,
        signer: u8,
        call: Vec<u8>,
    ) -> Result<(), Refusal> {
        let node = self.at_mut(place);
        let used = Use::of(node.disk(), identity(signer)).nonce(0) + node.waiting() as u64;
        let salt = digest::Preimage::tagged("salt").number(used).word(identity(signer)).finish();
        let transaction = node.sign(&key(signer), identity(signer), call, salt);
        node.arrive(transaction)
    }

    /// One call in a block.
    pub(crate) fn run(&mut self, place: Place, signer: u8, call: Vec<u8>) -> Result<(), Refusal> {
        self.submit(place, signer, call)?;
        let made = self.block(place);
        made.outcomes.last().unwrap().refusal.clone().map_or(Ok(()), Err)
    }

    /// Has a quorum carry out an act.
    pub(crate) fn enact(&mut self, act: Act) {
        self.run(Place::Hub, 1, hub_call(HubCall::Propose(Box::new(act)))).unwrap();
        let (id, _) = tombolo_hub::govern::proposals(self.at(Place::Hub).disk(), Hash::ZERO, 100)
            .pop()
            .unwrap();
        self.run(Place::Hub, 2, hub_call(HubCall::Approve { proposal: id })).unwrap();
    }

    /// Relays honestly until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        let mut ages = [Ages::new(), Ages::new()];
        for _ in 0..100 {
            let mut carried = false;
            for islet in Place::ISLETS {
                let ages = &mut ages[islet as usize - 1];
                for (to, call) in relay::turn(self, islet, ages) {
                    carried |= self.submit(to, RELAYERS[0], call).is_ok();
                }
            }
            let latest = Place::ALL.map(|place| self.at(place).tip().time).into_iter().max();
            for place in Place::ALL {
                let time = latest.unwrap().saturating_add(100);
                self.at_mut(place).produce(time, None).unwrap();
            }
            if !carried {
                return;
            }
        }
        panic!("the world does not settle");
    }
}

pub(crate) fn hub_call(call: HubCall) -> Vec<u8> {
    encode(&Call::Own(call))
}

pub(crate) fn islet_call(call: tombolo_islet_core::IsletCall) -> Vec<u8> {
    encode(&Call::Own(call))
}

/// Who may recover an islet's gateway: two of three, in ascending order.
pub(crate) fn council() -> Vec<SecretKey> {
    let mut members: Vec<SecretKey> = (30..33).map(key).collect();
    members.sort_by_key(SecretKey::address);
    members
}

/// Those who may certify a ledger, none in common; four of them do at a time.
fn validators(place: Place) -> Vec<SecretKey> {
    (0..6).map(|number| key(100 + 10 * place as u8 + number)).collect()
}

/// Four of the six, without the two that these numbers name.
pub(crate) fn members(place: Place, without: [usize; 2]) -> Vec<Validator> {
    let member = |key: SecretKey| Validator { address: key.address(), power: Power(1) };
    let stays = |(number, key): (usize, SecretKey)| (!without.contains(&number)).then_some(key);
    let mut members: Vec<Validator> =
        validators(place).into_iter().enumerate().filter_map(stays).map(member).collect();
    members.sort_by_key(|validator| validator.address);
    members
}

fn set(place: Place) -> ValidatorSet {
    ValidatorSet { first_height: Height(1), validators: members(place, [4, 5]) }
}

fn parameters(extra: &[(&str, u64)]) -> Vec<GenesisParameter> {
    let mut all = vec![
        ("commit_deadline_max_ms", 600_000),
        ("finality_ms", 250),
        ("pause_ms", PAUSE_MS),
        ("relay_margin_ms", 1_000),
    ];
    all.extend_from_slice(extra);
    all.sort_unstable();
    all.into_iter().map(|(name, value)| GenesisParameter { name: name.into(), value }).collect()
}

fn genesis(kind: &str, place: Place, identities: &[(u8, Role)]) -> Genesis {
    let identity = |(number, role): &(u8, Role)| GenesisIdentity {
        key: key(*number).address(),
        roles: role.bit(),
        name: format!("party {number}"),
    };
    Genesis {
        version: HEADER_VERSION,
        kind: kind.into(),
        name: format!("{place:?}"),
        time: BEGIN,
        validators: set(place),
        identities: identities.iter().map(identity).collect(),
        balances: Vec::new(),
        quorum: 1,
        council: Vec::new(),
        council_threshold: 0,
        hub_anchor: Vec::new(),
        parameters: parameters(&[]),
    }
}

fn relayers() -> Vec<(u8, Role)> {
    RELAYERS.iter().map(|number| (*number, Role::Relayer)).collect()
}

fn hub_genesis() -> Genesis {
    let mut parties: Vec<(u8, Role)> =
        STAKEHOLDERS.iter().map(|number| (*number, Role::Stakeholder)).collect();
    parties.push((OPERATOR, Role::Operator));
    parties.extend(relayers());
    Genesis { quorum: 2, ..genesis("hub", Place::Hub, &parties) }
}

fn islet_genesis(place: Place, hub_anchor: &[u8]) -> Genesis {
    let funded = |stakeholder: &u8| GenesisBalance {
        account: account(*stakeholder),
        asset: ASSET,
        amount: Amount(FUNDS),
    };
    Genesis {
        balances: STAKEHOLDERS.iter().map(funded).collect(),
        council: council().iter().map(SecretKey::address).collect(),
        council_threshold: 2,
        hub_anchor: hub_anchor.to_vec(),
        ..genesis("islet", place, &relayers())
    }
}
