//! Who may do what: every call of the hub and every kind of data by every role, from one table.
//! What the table does not list is refused.

use crate::{
    commit::{begin_of, item_of, move_in, move_out},
    harness::{identity, key},
    world::{DEVICE, World, class, schema, set_policy, share},
};
use tombolo_crypto::digest;
use tombolo_hub::{
    HubCall,
    govern::{Act, NewIdentity},
    grant::{Grant, GrantKey, Purpose},
    identity::{Binding, rotation_digest},
    swap::SwapCall,
};
use tombolo_swap::two_phase::Begin;
use tombolo_types::{
    Class, Hash, UnixMillis,
    action::{Action, Branch},
    id::{ChainId, DataId, OrderId},
    message::{DataClass, Role, Status},
};

const EVERY: &[Role] = &Role::ALL;

/// One party of each role. Party 1 is a second stakeholder, of whom they all try to use what is his.
const CAST: [(u8, Role); 6] = [
    (3, Role::Stakeholder),
    (DEVICE, Role::Device),
    (4, Role::Operator),
    (5, Role::Relayer),
    (6, Role::Auditor),
    (7, Role::Regulator),
];

/// The table: a call, the roles that may make it, and the class for all others. A role that may make
/// a call gets what the last column says, which is not always success: `execute` below a quorum.
const CALLS: &[(&str, &[Role], Class, Option<Class>)] = &[
    ("propose", &[Role::Stakeholder], Class::Denied, None),
    ("approve", &[Role::Stakeholder], Class::Denied, None),
    ("execute", &[Role::Stakeholder], Class::Denied, Some(Class::Quorum)),
    ("link pause", &[Role::Operator], Class::Denied, None),
    // What everybody may do with what is his own.
    ("identity rotate-key", EVERY, Class::Denied, None),
    ("identity bind", EVERY, Class::Denied, None),
    ("grant", EVERY, Class::Denied, None),
    ("grant revoke", EVERY, Class::Denied, None),
    // What nobody may do with what is another's.
    ("identity rotate-key of another", &[], Class::State, None),
    ("identity bind to another", &[], Class::Auth, None),
    ("grant revoke of another", &[], Class::NotFound, None),
    ("begin for another", &[], Class::Auth, None),
    ("withdraw of another", &[], Class::Denied, None),
    ("swap accept of another", &[], Class::Denied, None),
    ("swap withdraw of another", &[], Class::Denied, None),
];

/// The table of data: whose signature under an envelope of party 1 counts, by class of data.
const DATA: &[(DataClass, &[Role], Class, Option<Class>)] = &[
    (DataClass::Open, &[Role::Device], Class::Ident, None),
    // Not even its own device's makes a copy of it.
    (DataClass::Closed, &[Role::Device], Class::Ident, Some(Class::ClosedCopy)),
];

/// What the table says of a role.
fn expected(row: &(&[Role], Class, Option<Class>), role: Role) -> Option<Class> {
    let (allowed, refused, then) = row;
    if allowed.contains(&role) { *then } else { Some(*refused) }
}

/// A world with the whole cast, an item of party 1, an undecided commit and an offer of party 1.
struct Stage {
    world: World,
    granted: GrantKey,
    commit: Begin,
    order: OrderId,
}

impl Stage {
    fn new() -> Self {
        let mut world = crate::swap::world();
        world.hub.enact(set_policy("all", "permit (principal, action, resource);")).unwrap();
        for (number, role) in [(6, Role::Auditor), (7, Role::Regulator)] {
            let new = NewIdentity {
                key: key(number).address(),
                roles: role.bit(),
                name: format!("{} {number}", role.name()),
                owner: Default::default(),
            };
            world.hub.enact(Act::RegisterIdentity(new)).unwrap();
        }
        let mut token = world.reading("token");
        token.class = DataClass::Closed;
        let granted =
            GrantKey { item: item_of(&token), grantee: identity(2), purpose: Purpose::Move };
        let grant = Grant { key: granted, expires: UnixMillis(world.hub.now + 3_600_000) };
        world.hub.run(1, HubCall::Grant(Box::new(grant))).unwrap();
        let (a, b) = world.links();
        let branches = vec![
            Branch::new(a, &[move_out(&world, &token)]),
            Branch::new(b, &[Action::MoveIn(move_in(&world, &token, 2))]),
        ];
        let commit = begin_of(&world, 1, branches, 60_000);
        world.hub.run(1, HubCall::Begin(Box::new(commit.clone()))).unwrap();
        let order = crate::swap::offer_plain(&mut world).unwrap();
        Self { world, granted, commit, order }
    }

    /// The call of a row, made so that nothing but who asks can speak against it.
    fn call(&mut self, row: &str, actor: u8) -> HubCall {
        let hub = &mut self.world.hub;
        let grant = GrantKey {
            item: DataId([actor; 32]),
            grantee: identity(1),
            purpose: Purpose::Disclose,
        };
        let fresh = |name: String| Act::SetSchema { definition: schema(&name) };
        match row {
            "propose" => HubCall::Propose(Box::new(fresh(format!("by-{actor}")))),
            "approve" | "execute" => {
                let proposal = hub.propose(1, fresh(format!("{row}-{actor}"))).unwrap();
                match row {
                    "approve" => HubCall::Approve { proposal },
                    _ => HubCall::Execute { proposal },
                }
            }
            "link pause" => HubCall::Pause { link: self.world.a.link() },
            "identity rotate-key" => rotate(hub.id, actor, actor),
            "identity rotate-key of another" => rotate(hub.id, actor, 1),
            "identity bind" => bind(hub.id, self.world.a.id, actor, actor),
            "identity bind to another" => bind(hub.id, self.world.b.id, actor, 1),
            "grant" => HubCall::Grant(Box::new(Grant {
                key: grant,
                expires: UnixMillis(hub.now + 60_000),
            })),
            "grant revoke" => {
                let expires = UnixMillis(hub.now + 60_000);
                hub.run(actor, HubCall::Grant(Box::new(Grant { key: grant, expires }))).unwrap();
                HubCall::RevokeGrant(Box::new(grant))
            }
            "grant revoke of another" => HubCall::RevokeGrant(Box::new(self.granted)),
            "begin for another" => {
                let mut begin = self.commit.clone();
                begin.terms.salt = Hash([actor; 32]);
                HubCall::Begin(Box::new(begin))
            }
            "withdraw of another" => HubCall::Withdraw { xid: digest::xid(&self.commit.terms) },
            "swap accept of another" => swap(SwapCall::Accept { order: self.order }),
            "swap withdraw of another" => swap(SwapCall::Withdraw { order: self.order }),
            other => panic!("the table names {other}, which no call is made for"),
        }
    }
}

fn swap(call: SwapCall) -> HubCall {
    HubCall::Swap(Box::new(call))
}

/// Replaces a key of `whose` by a new one, signed and proved by `actor`.
fn rotate(hub: ChainId, actor: u8, whose: u8) -> HubCall {
    let new = 200 + actor;
    let proof = key(new).sign(rotation_digest(hub, identity(actor), key(new).address(), 1));
    HubCall::RotateKey { old: key(whose).address(), new: key(new).address(), proof }
}

/// Binds an account of the actor to `whose` identity.
fn bind(hub: ChainId, chain: ChainId, actor: u8, whose: u8) -> HubCall {
    let account = key(100 + actor);
    let digest = digest::binding(hub, chain, account.address(), identity(whose), 0);
    HubCall::Bind(Box::new(Binding {
        chain,
        account: account.address(),
        identity_signature: key(whose).sign(digest),
        account_signature: account.sign(digest),
    }))
}

/// The name under which the table holds a call. A new call does not compile before it stands here.
fn listed_as(call: &HubCall) -> &'static str {
    match call {
        HubCall::Propose(_) => "propose",
        HubCall::Approve { .. } => "approve",
        HubCall::Execute { .. } => "execute",
        HubCall::RotateKey { .. } => "identity rotate-key",
        HubCall::Bind(_) => "identity bind",
        HubCall::Pause { .. } => "link pause",
        HubCall::Grant(_) => "grant",
        HubCall::RevokeGrant(_) => "grant revoke",
        HubCall::Begin(_) => "begin",
        HubCall::Withdraw { .. } => "withdraw",
        HubCall::Swap(_) => "swap",
    }
}

/// Req: PRJ-5-3, Y4560-7.1.3-1
#[test]
fn a49_a_call_passes_where_the_table_lists_the_role_and_nowhere_else() {
    for (row, allowed, refused, then) in CALLS {
        let mut stage = Stage::new();
        for (actor, role) in CAST {
            let call = stage.call(row, actor);
            assert!(row.starts_with(listed_as(&call)), "{row}");
            assert_eq!(
                class(stage.world.hub.run(actor, call)),
                expected(&(allowed, *refused, *then), role),
                "{row} by a {}",
                role.name()
            );
        }
    }
}

/// Whoever is nobody here, or is suspended, does not get through the door with any call.
#[test]
fn a49_strangers_and_the_suspended_make_no_call() {
    const STRANGER: u8 = 9;
    for (row, ..) in CALLS.iter().filter(|row| row.0 != "grant revoke") {
        let mut stage = Stage::new();
        let identity = identity(3);
        stage.world.hub.enact(Act::SetStatus { identity, status: Status::Suspended }).unwrap();
        stage.world.hub.block(vec![]);
        for actor in [STRANGER, 3] {
            let call = stage.call(row, actor);
            let found = stage.world.hub.admission(actor, call);
            assert_eq!(class(found), Some(Class::Ident), "{row} by {actor}");
        }
    }
}

/// The data of party 1, of either class, as shares that each role signs.
#[test]
fn a49_data_passes_where_the_table_lists_signer_and_class_and_nowhere_else() {
    for (data, allowed, refused, then) in DATA {
        let mut stage = Stage::new();
        for (actor, role) in CAST {
            let world = &mut stage.world;
            let mut envelope = world.reading(&format!("of-{actor}"));
            envelope.class = *data;
            envelope.device = identity(actor);
            let sent = share(envelope, world.a.id, world.b.id, actor);
            assert_eq!(
                class(world.send_share(sent)),
                expected(&(allowed, *refused, *then), role),
                "{} data by a {}",
                data.name(),
                role.name()
            );
        }
    }
}
