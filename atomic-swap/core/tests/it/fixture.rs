//! Parties, chains and one transaction that the tests bend.

use tombolo_crypto::{digest, secp256k1::SecretKey};
use tombolo_swap::two_phase::{Begin, Checked, Limits, check_begin};
use tombolo_types::{
    Address, Amount, Hash, UnixMillis,
    action::{
        Action, Authorisation, Branch, MoveIn, MoveOut, Pay, Terms, TokenIn, TokenOut, Write,
    },
    header::Signature,
    id::{AssetId, ChainId, DataId, Fingerprint, IdentityId, LinkId, SchemaId},
};

pub(crate) const HUB: ChainId = ChainId([0xaa; 32]);
pub(crate) const BEGINNER: IdentityId = IdentityId([0xbe; 32]);
pub(crate) const NOW: UnixMillis = UnixMillis(1_000);
pub(crate) const DEADLINE: UnixMillis = UnixMillis(61_000);
pub(crate) const ITEM: DataId = DataId([0x17; 32]);
pub(crate) const COUNTER_ITEM: DataId = DataId([0x18; 32]);
pub(crate) const LIMITS: Limits = Limits {
    branches_max: 8,
    actions_max: 8,
    deadline_max_ms: 86_400_000,
    slowest_finality_ms: 2_000,
    relay_margin_ms: 10_000,
};

/// Holds the item on chain 0.
pub(crate) const OWNER: u8 = 1;
/// Pays on chain 1 and receives the item there.
pub(crate) const BUYER: u8 = 2;

pub(crate) fn chain(number: u8) -> ChainId {
    ChainId([0x10 + number; 32])
}

pub(crate) fn link(number: u8) -> LinkId {
    LinkId([0x20 + number; 32])
}

/// The links that are open on the hub: nine of them.
pub(crate) fn chain_of(asked: LinkId) -> Option<ChainId> {
    (0..9).find(|number| link(*number) == asked).map(chain)
}

pub(crate) fn key(party: u8) -> SecretKey {
    SecretKey::from_bytes([party; 32]).unwrap()
}

pub(crate) fn account(party: u8) -> Address {
    key(party).address()
}

pub(crate) fn move_out(item: DataId, from: u8, to: u8) -> Action {
    Action::MoveOut(MoveOut { item, from: account(from), to_chain: chain(to) })
}

pub(crate) fn move_in(item: DataId, from: u8, holder: u8) -> Action {
    Action::MoveIn(MoveIn {
        item,
        from_chain: chain(from),
        item_version: 1,
        schema: SchemaId([3; 32]),
        fingerprint: Fingerprint([4; 32]),
        owner: BEGINNER,
        holder: account(holder),
        envelope: vec![1, 2, 3],
        device: IdentityId([5; 32]),
        signature: Signature([6; 65]),
    })
}

pub(crate) fn write(item: DataId, holder: u8) -> Action {
    Action::Write(Write {
        item,
        item_version: 1,
        schema: SchemaId([3; 32]),
        fingerprint: Fingerprint([4; 32]),
        owner: BEGINNER,
        holder: account(holder),
        envelope: vec![1, 2, 3],
        device: IdentityId([5; 32]),
        signature: Signature([6; 65]),
    })
}

pub(crate) fn pay(from: u8, to: u8, amount: u128) -> Action {
    let (from, to) = (account(from), account(to));
    Action::Pay(Pay { from, to, asset: AssetId([7; 32]), amount: Amount(amount) })
}

/// An asset at home on chain `home` leaves for chain `to`.
pub(crate) fn token_out(home: u8, from: u8, to: u8, amount: u128) -> Action {
    Action::TokenOut(TokenOut {
        home: chain(home),
        asset: AssetId([7; 32]),
        from: account(from),
        amount: Amount(amount),
        to_chain: chain(to),
    })
}

/// An asset at home on chain `home` appears from chain `from`.
pub(crate) fn token_in(home: u8, from: u8, to: u8, amount: u128) -> Action {
    Action::TokenIn(TokenIn {
        home: chain(home),
        asset: AssetId([7; 32]),
        from_chain: chain(from),
        to: account(to),
        amount: Amount(amount),
    })
}

/// A Begin of these branches, one per link in order, with every hash and signature that it needs.
pub(crate) fn begin_of(branches: &[&[Action]]) -> Begin {
    let branches =
        (0u8..).zip(branches).map(|(number, actions)| Branch::new(link(number), actions)).collect();
    sealed(Begin {
        terms: Terms {
            hub: HUB,
            beginner: BEGINNER,
            salt: Hash([0x5a; 32]),
            deadline: DEADLINE,
            branches: Vec::new(),
        },
        branches,
        authorisations: Vec::new(),
    })
}

/// Computes hashes and signatures anew from what the branches say.
pub(crate) fn sealed(mut begin: Begin) -> Begin {
    begin.terms.branches = begin.branches.iter().map(digest::branch).collect();
    let xid = digest::xid(&begin.terms);
    let mut authorisations = Vec::new();
    for (branch, body) in (0u32..).zip(&begin.branches) {
        let mut takers: Vec<Address> =
            body.actions().unwrap().iter().filter_map(Action::takes_from).collect();
        takers.sort();
        takers.dedup();
        for account in takers {
            let signer = (1..=9).map(key).find(|key| key.address() == account).unwrap();
            let signature = signer.sign(digest::authorisation(xid));
            authorisations.push(Authorisation { branch, account, signature });
        }
    }
    begin.authorisations = authorisations;
    begin
}

/// Delivery against payment: the item goes from chain 0 to chain 1, and money there.
pub(crate) fn sale() -> Begin {
    begin_of(&[&[move_out(ITEM, OWNER, 1)], &[move_in(ITEM, 0, BUYER), pay(BUYER, OWNER, 500)]])
}

/// One write on each of several chains.
pub(crate) fn writes_on(chains: u8) -> Begin {
    let actions: Vec<Vec<Action>> =
        (0..chains).map(|number| vec![write(DataId([number; 32]), OWNER)]).collect();
    begin_of(&actions.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

pub(crate) fn checked(begin: &Begin) -> Checked {
    check_begin(begin, HUB, NOW, &LIMITS, chain_of).unwrap()
}
