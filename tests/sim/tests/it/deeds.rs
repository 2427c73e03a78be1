//! What parties ask of the ledgers, by chance: shares, moves against payment, writes, withdrawals,
//! and what they must not get.

use crate::{
    random::Random,
    world::{
        ASSET, MARGIN_MS, OPERATOR, Place, STAKEHOLDERS, World, account, device_of, hub_call,
        identity, islet_call, key, members, schema,
    },
};
use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_hub::{
    HubCall,
    govern::{self, Act},
    grant::{Grant, GrantKey, Purpose},
    query,
};
use tombolo_islet_core::{IsletCall, Item, ShareOrder, Standing, items};
use tombolo_swap::two_phase::{Begin, Phase};
use tombolo_types::{
    Amount, Hash, UnixMillis,
    action::{Action, Authorisation, Branch, MoveIn, MoveOut, Pay, Terms, Write},
    envelope::{
        Decimal, ENVELOPE_VERSION, Envelope, HashAlgorithm, Reading, SignatureAlgorithm, Value,
    },
    header::Signature,
    id::{ChainId, DataId, IdentityId, LinkId, Xid},
    message::{DataClass, Status},
};

/// Something asked of a ledger.
pub(crate) struct Deed {
    /// For the log.
    pub(crate) what: String,
    pub(crate) place: Place,
    pub(crate) signer: u8,
    pub(crate) call: Vec<u8>,
    /// It must be refused whenever it enters a block.
    pub(crate) forbidden: bool,
}

fn deed(what: String, place: Place, signer: u8, call: Vec<u8>) -> Deed {
    Deed { what, place, signer, call, forbidden: false }
}

/// A reading of a stakeholder's device.
pub(crate) fn reading(
    home: ChainId,
    owner: u8,
    local_id: &str,
    version: u32,
    class: DataClass,
) -> Envelope {
    let at = UnixMillis(1_800_000_000_000);
    Envelope {
        version: ENVELOPE_VERSION,
        home,
        owner: identity(owner),
        local_id: local_id.into(),
        item_version: version,
        class,
        schema: schema().0,
        device: identity(device_of(owner)),
        terms: "CC-BY-4.0".into(),
        policy_hash: Hash::ZERO,
        hash_algorithm: HashAlgorithm::Keccak256,
        signature_algorithm: SignatureAlgorithm::Secp256k1,
        salt: [5; 32],
        time: at,
        readings: vec![Reading {
            name: "temperature".into(),
            at,
            value: Value::Number(Decimal::new(i128::from(version % 50), 0).unwrap()),
        }],
        extensions: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn data_id(envelope: &Envelope) -> DataId {
    digest::data_id(envelope.home, envelope.owner, &envelope.local_id)
}

fn signed(envelope: &Envelope, key: &SecretKey) -> (Vec<u8>, Signature) {
    let bytes = envelope.clone().canonical().unwrap().into_bytes();
    let signature = key.sign(digest::envelope(&bytes));
    (bytes, signature)
}

/// Enters an item by its device, and shares it where there is an order.
pub(crate) fn submit(envelope: &Envelope, owner: u8, share: Option<ShareOrder>) -> Vec<u8> {
    let (envelope, signature) = signed(envelope, &key(device_of(owner)));
    islet_call(IsletCall::Submit { envelope, signature, share })
}

pub(crate) fn pay(from: u8, to: u8, amount: u128) -> Action {
    let (from, to) = (account(from), account(to));
    Action::Pay(Pay { from, to, asset: ASSET, amount: Amount(amount) })
}

pub(crate) fn write(envelope: &Envelope, owner: u8) -> Action {
    let (bytes, signature) = signed(envelope, &key(device_of(owner)));
    Action::Write(Write {
        item: data_id(envelope),
        item_version: envelope.item_version,
        schema: envelope.schema,
        fingerprint: digest::fingerprint(&bytes),
        owner: envelope.owner,
        holder: account(owner),
        envelope: bytes,
        device: envelope.device,
        signature,
    })
}

/// The two halves of a move.
pub(crate) fn moves(world: &World, item: &Item, from: Place, to: u8) -> (Action, Action) {
    let out = MoveOut { item: item.id, from: item.holder, to_chain: world.chain(from.other()) };
    let into = MoveIn {
        item: item.id,
        from_chain: world.chain(from),
        item_version: item.version,
        schema: item.schema,
        fingerprint: item.fingerprint,
        owner: identity(to),
        holder: account(to),
        envelope: item.envelope.clone(),
        device: item.device,
        signature: item.signature,
    };
    (Action::MoveOut(out), Action::MoveIn(into))
}

/// The owner's word that a closed item may move to somebody.
pub(crate) fn grant(world: &World, item: DataId, to: u8) -> Vec<u8> {
    let key = GrantKey { item, grantee: identity(to), purpose: Purpose::Move };
    let expires = world.at(Place::Hub).tip().time.saturating_add(600_000);
    hub_call(HubCall::Grant(Box::new(Grant { key, expires })))
}

/// A two-phase commit with the consent of every account from which it takes.
pub(crate) fn begin(
    world: &World,
    beginner: u8,
    salt: [u8; 32],
    deadline: UnixMillis,
    branches: &[(Place, Vec<Action>)],
) -> (Xid, Vec<u8>) {
    let encoded: Vec<Branch> =
        branches.iter().map(|(place, actions)| Branch::new(world.link(*place), actions)).collect();
    let terms = Terms {
        hub: world.chain(Place::Hub),
        beginner: identity(beginner),
        salt: Hash(salt),
        deadline,
        branches: encoded.iter().map(digest::branch).collect(),
    };
    let xid = digest::xid(&terms);
    let mut authorisations: Vec<Authorisation> = Vec::new();
    for (index, (_, actions)) in (0u32..).zip(branches) {
        for taken in actions.iter().filter_map(Action::takes_from) {
            let is_there = |given: &Authorisation| (given.branch, given.account) == (index, taken);
            if authorisations.iter().any(is_there) {
                continue;
            }
            let owner = STAKEHOLDERS.into_iter().find(|owner| account(*owner) == taken).unwrap();
            let signature = key(owner).sign(digest::authorisation(xid));
            authorisations.push(Authorisation { branch: index, account: taken, signature });
        }
    }
    let begin = Begin { terms, branches: encoded, authorisations };
    (xid, hub_call(HubCall::Begin(Box::new(begin))))
}

/// Which stakeholder an identity is.
fn stakeholder(id: IdentityId) -> Option<u8> {
    STAKEHOLDERS.into_iter().find(|number| identity(*number) == id)
}

/// Thinks of something to do.
#[derive(Default)]
pub(crate) struct Mind {
    /// Items that were ever entered, for local ids.
    entered: u64,
    has_revoked: bool,
    /// Never revokes anybody.
    pub(crate) is_gentle: bool,
}

impl Mind {
    pub(crate) fn next(&mut self, world: &World, random: &mut Random) -> Vec<Deed> {
        match random.below(100) {
            0..29 => vec![self.share(world, random)],
            29..37 => self.share_again(world, random),
            37..45 => vec![self.enter_closed(world, random)],
            45..50 => self.copy_closed(world, random),
            50..68 => Self::move_against_payment(world, random),
            68..78 => Self::pay_on_both(world, random),
            78..84 => self.write_on_both(world, random),
            84..88 => Self::withdraw(world, random),
            88..91 => Self::pay_here(random),
            91..93 => Self::pause(world, random),
            93..97 => Self::approve(world),
            97 => vec![Self::change_validators(random)],
            _ => self.revoke(random),
        }
    }

    fn local_id(&mut self) -> String {
        self.entered += 1;
        format!("item {}", self.entered)
    }

    fn order(world: &World, random: &mut Random, from: Place) -> ShareOrder {
        let not_after = if random.strikes(250) {
            world.at(Place::Hub).tip().time.saturating_add(random.between(200, 4_000))
        } else {
            UnixMillis::ZERO
        };
        ShareOrder { destination: world.chain(from.other()), not_after }
    }

    fn share(&mut self, world: &World, random: &mut Random) -> Deed {
        let (place, owner) = (*random.pick(&Place::ISLETS), *random.pick(&STAKEHOLDERS));
        let local_id = self.local_id();
        let envelope = reading(world.chain(place), owner, &local_id, 1, DataClass::Open);
        let call = submit(&envelope, owner, Some(Self::order(world, random, place)));
        deed(format!("share {local_id}"), place, device_of(owner), call)
    }

    /// An item of a class that is here, and its owner.
    fn find(world: &World, random: &mut Random, class: DataClass) -> Option<(Place, Item, u8)> {
        let place = *random.pick(&Place::ISLETS);
        let found: Vec<(Item, u8)> = items(world.at(place).disk(), DataId::ZERO, usize::MAX)
            .into_iter()
            .filter(|item| item.class == class)
            .filter(|item| matches!(item.standing, Standing::Live | Standing::Locked(_)))
            .filter_map(|item| stakeholder(item.owner).map(|owner| (item, owner)))
            .collect();
        if found.is_empty() {
            return None;
        }
        let (item, owner) = random.pick(&found).clone();
        Some((place, item, owner))
    }

    fn next_version(item: &Item, owner: u8) -> Envelope {
        let mut envelope = Envelope::parse(&item.envelope).unwrap().envelope().clone();
        envelope.item_version += 1;
        envelope.device = identity(device_of(owner));
        envelope.time = envelope.time.saturating_add(1);
        envelope
    }

    fn share_again(&mut self, world: &World, random: &mut Random) -> Vec<Deed> {
        let Some((place, item, owner)) = Self::find(world, random, DataClass::Open) else {
            return Vec::new();
        };
        let order = Self::order(world, random, place);
        let what = format!("share {} again", item.id);
        if random.strikes(500) {
            let call = islet_call(IsletCall::Share { data_id: item.id, order });
            return vec![deed(what, place, owner, call)];
        }
        let envelope = Self::next_version(&item, owner);
        vec![deed(what, place, device_of(owner), submit(&envelope, owner, Some(order)))]
    }

    fn enter_closed(&mut self, world: &World, random: &mut Random) -> Deed {
        let (place, owner) = (*random.pick(&Place::ISLETS), *random.pick(&STAKEHOLDERS));
        let local_id = self.local_id();
        let envelope = reading(world.chain(place), owner, &local_id, 1, DataClass::Closed);
        let call = submit(&envelope, owner, None);
        deed(format!("enter closed {local_id}"), place, device_of(owner), call)
    }

    fn copy_closed(&mut self, world: &World, random: &mut Random) -> Vec<Deed> {
        let Some((place, item, owner)) = Self::find(world, random, DataClass::Closed) else {
            return Vec::new();
        };
        let order = Self::order(world, random, place);
        let (signer, call) = if random.strikes(500) {
            (owner, islet_call(IsletCall::Share { data_id: item.id, order }))
        } else {
            let envelope = Self::next_version(&item, owner);
            (device_of(owner), submit(&envelope, owner, Some(order)))
        };
        let what = format!("copy closed {}", item.id);
        vec![Deed { forbidden: true, ..deed(what, place, signer, call) }]
    }

    fn deadline(world: &World, random: &mut Random) -> UnixMillis {
        let ahead = MARGIN_MS + random.between(500, 20_000);
        world.at(Place::Hub).tip().time.saturating_add(ahead)
    }

    /// An amount that the payer mostly has.
    fn amount(random: &mut Random) -> u128 {
        if random.strikes(150) { 5_000 } else { u128::from(random.between(1, 400)) }
    }

    fn move_against_payment(world: &World, random: &mut Random) -> Vec<Deed> {
        let Some((place, item, owner)) = Self::find(world, random, DataClass::Closed) else {
            return Vec::new();
        };
        let buyer = *random.pick(&STAKEHOLDERS);
        let (out, into) = moves(world, &item, place, buyer);
        let mut there = vec![into];
        if buyer != owner {
            there.push(pay(buyer, owner, Self::amount(random)));
        }
        let branches = [(place, vec![out]), (place.other(), there)];
        let deadline = Self::deadline(world, random);
        let (xid, call) = begin(world, owner, random.bytes(), deadline, &branches);
        let what = format!("move {} from {place:?} by {xid}", item.id);
        vec![
            deed(format!("grant {}", item.id), Place::Hub, owner, grant(world, item.id, buyer)),
            deed(what, Place::Hub, owner, call),
        ]
    }

    fn pay_on_both(world: &World, random: &mut Random) -> Vec<Deed> {
        let (one, other) = (*random.pick(&STAKEHOLDERS), *random.pick(&STAKEHOLDERS));
        let mut branches = vec![
            (Place::A, vec![pay(one, other, Self::amount(random))]),
            (Place::B, vec![pay(other, one, Self::amount(random))]),
        ];
        if random.strikes(500) {
            branches.reverse();
        }
        let deadline = Self::deadline(world, random);
        let (xid, call) = begin(world, one, random.bytes(), deadline, &branches);
        vec![deed(format!("pay on both by {xid}"), Place::Hub, one, call)]
    }

    fn write_on_both(&mut self, world: &World, random: &mut Random) -> Vec<Deed> {
        let class = if random.strikes(500) { DataClass::Closed } else { DataClass::Open };
        let mut branches = Vec::new();
        let mut beginner = 1;
        for place in Place::ISLETS {
            let found = Self::find(world, random, class)
                .filter(|(there, item, _)| *there == place && !item.envelope.is_empty());
            let (envelope, owner) = match found {
                Some((_, item, owner)) => (Self::next_version(&item, owner), owner),
                None => {
                    let (owner, local_id) = (*random.pick(&STAKEHOLDERS), self.local_id());
                    (reading(world.chain(place), owner, &local_id, 1, class), owner)
                }
            };
            branches.push((place, vec![write(&envelope, owner)]));
            beginner = owner;
        }
        let deadline = Self::deadline(world, random);
        let (xid, call) = begin(world, beginner, random.bytes(), deadline, &branches);
        vec![deed(format!("write on both by {xid}"), Place::Hub, beginner, call)]
    }

    fn withdraw(world: &World, random: &mut Random) -> Vec<Deed> {
        let hub = world.at(Place::Hub).disk();
        let open: Vec<(Xid, u8)> = query::commits(hub, Xid::ZERO, usize::MAX)
            .into_iter()
            .filter(|commit| commit.phase == Phase::Preparing)
            .filter_map(|commit| Some((commit.xid, stakeholder(*commit.parties.first()?)?)))
            .collect();
        if open.is_empty() {
            return Vec::new();
        }
        let (xid, beginner) = *random.pick(&open);
        let call = hub_call(HubCall::Withdraw { xid });
        vec![deed(format!("withdraw {xid}"), Place::Hub, beginner, call)]
    }

    fn pay_here(random: &mut Random) -> Vec<Deed> {
        let place = *random.pick(&Place::ISLETS);
        let (from, to) = (*random.pick(&STAKEHOLDERS), *random.pick(&STAKEHOLDERS));
        let amount = Amount(Self::amount(random));
        let call = islet_call(IsletCall::Pay { to: account(to), asset: ASSET, amount });
        vec![deed(format!("pay {amount} on {place:?}"), place, from, call)]
    }

    fn pause(world: &World, random: &mut Random) -> Vec<Deed> {
        let link: LinkId = world.link(*random.pick(&Place::ISLETS));
        let call = hub_call(HubCall::Pause { link });
        vec![deed(format!("pause {link}"), Place::Hub, OPERATOR, call)]
    }

    /// The second of two administrators approves whatever is proposed.
    fn approve(world: &World) -> Vec<Deed> {
        let open = govern::proposals(world.at(Place::Hub).disk(), Hash::ZERO, 10);
        let approve = |(id, _): (Hash, _)| {
            let call = hub_call(HubCall::Approve { proposal: id });
            deed(format!("approve {id}"), Place::Hub, 2, call)
        };
        open.into_iter().map(approve).collect()
    }

    /// Two of those who might certify the hub do not, from two heights later on.
    fn change_validators(random: &mut Random) -> Deed {
        let first = random.between(0, 4);
        let without = [first, random.between(first + 1, 5)];
        let without = without.map(|number| usize::try_from(number).unwrap());
        let act = Act::SetValidators { validators: members(Place::Hub, without) };
        let call = hub_call(HubCall::Propose(Box::new(act)));
        deed(format!("propose validators without {without:?}"), Place::Hub, 1, call)
    }

    /// The third stakeholder, or its device, loses its standing, once.
    fn revoke(&mut self, random: &mut Random) -> Vec<Deed> {
        if self.has_revoked || self.is_gentle {
            return Vec::new();
        }
        self.has_revoked = true;
        let victim = if random.strikes(500) { 3 } else { device_of(3) };
        let status = if random.strikes(500) { Status::Revoked } else { Status::Suspended };
        let act = Act::SetStatus { identity: identity(victim), status };
        let call = hub_call(HubCall::Propose(Box::new(act)));
        vec![deed(format!("propose to end {victim}"), Place::Hub, 1, call)]
    }
}
