//! Policies over whole blocks: closed by default, by type of data, bounded.

use crate::world::{World, class, set_policy};
use tombolo_hub::{
    govern::Act,
    policy::{DEPTH_MAX, OPERATORS_MAX, Operation, matrix},
    query,
};
use tombolo_types::{Class, Hash, message::DataClass};

fn share_of(world: &mut World, local_id: &str, water: bool) -> Option<Class> {
    let mut reading = world.reading(local_id);
    if water {
        reading.schema = world.water;
    }
    let share = world.share(reading);
    class(world.send_share(share))
}

/// Req: PRJ-6-1
#[test]
fn without_a_policy_nothing_passes() {
    let mut world = World::bare(vec![]);
    assert_eq!(share_of(&mut world, "a", false), Some(Class::Policy));
    assert_eq!(world.hub.records_of("share").pop().unwrap().policy_hash, Hash::ZERO);
    let other_action = r#"permit (principal, action == Action::"move", resource);"#;
    world.hub.enact(set_policy("other", other_action)).unwrap();
    assert_eq!(share_of(&mut world, "b", false), Some(Class::Policy));
}

/// The rule of one type changes the outcome for that type alone. Req: Y4560-7.2.5-3
#[test]
fn a_policy_rules_by_type_of_data() {
    let mut world = World::bare(vec![]);
    let air = r#"permit (principal, action == Action::"share", resource in Type::"air");"#;
    world.hub.enact(set_policy("air", air)).unwrap();
    assert_eq!(share_of(&mut world, "1", false), None);
    assert_eq!(share_of(&mut world, "2", true), Some(Class::Policy));
    let water = air.replace("air", "water");
    world.hub.enact(set_policy("water", &water)).unwrap();
    assert_eq!(share_of(&mut world, "3", true), None);
    let forbid = r#"forbid (principal, action, resource in Type::"water");"#;
    world.hub.enact(set_policy("no-water", forbid)).unwrap();
    assert_eq!(share_of(&mut world, "4", true), Some(Class::Denied));
    assert_eq!(share_of(&mut world, "5", false), None);
    let record = world.hub.records_of("share").pop().unwrap();
    assert_eq!(record.policy_hash, query::policies(&world.hub.store).0);
    assert!(!record.evidence.is_zero());

    world.hub.enact(Act::RemovePolicy { id: "no-water".into() }).unwrap();
    assert_eq!(share_of(&mut world, "6", true), None);
    let again = world.hub.enact(Act::RemovePolicy { id: "no-water".into() });
    assert_eq!(class(again), Some(Class::NotFound));
    let alone = world.hub.propose(4, set_policy("x", air));
    assert_eq!(class(alone), Some(Class::Denied));
}

/// A covered request that nothing permits is denied; attributes, owners and roles can be asked.
#[test]
fn policies_ask_for_owner_terms_destination_and_roles() {
    let mut world = World::bare(vec![]);
    let owner = crate::world::id_of(1);
    let destination = world.b.id;
    for (position, (condition, allowed)) in [
        (r#"resource.terms == "CC-BY-4.0""#.to_owned(), true),
        (r#"resource.class == "closed""#.to_owned(), false),
        (format!(r#"principal in Identity::"{owner}""#), true),
        (r#"principal.roles.contains("device")"#.to_owned(), true),
        (r#"resource.owner.roles.contains("stakeholder")"#.to_owned(), true),
        (r#"resource.owner.roles.contains("auditor")"#.to_owned(), false),
        (format!(r#"context.destination == "{destination}""#), true),
        ("context.time < 1000".to_owned(), false),
        ("resource.version == 1".to_owned(), true),
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!(
            r#"permit (principal, action == Action::"share", resource) when {{ {condition} }};"#
        );
        world.hub.enact(set_policy("only", &text)).unwrap();
        let expected = (!allowed).then_some(Class::Denied);
        assert_eq!(share_of(&mut world, &format!("i{position}"), false), expected, "{condition}");
    }
}

/// Cedar alone would ignore a `forbid` that errs. Req: PRJ-6-1
#[test]
fn an_evaluation_error_closes() {
    let mut world = World::new();
    let errs = r#"forbid (principal, action == Action::"share", resource)
        when { context.time * 9223372036854775807 > 0 };"#;
    world.hub.enact(set_policy("errs", errs)).unwrap();
    assert_eq!(share_of(&mut world, "a", false), Some(Class::Policy));
    world.hub.enact(Act::RemovePolicy { id: "errs".into() }).unwrap();
    assert_eq!(share_of(&mut world, "b", false), None);
}

#[test]
fn a62_hostile_policies_are_refused() {
    let mut world = World::bare(vec![]);
    let when = |condition: &str| {
        format!(
            r#"permit (principal, action == Action::"share", resource) when {{ {condition} }};"#
        )
    };
    let nested = |depth: usize| when(&format!("{}true{}", "(".repeat(depth), ")".repeat(depth)));
    let chain = |length: usize| when(&vec!["true"; length].join(" && "));
    let open = "permit (principal, action, resource);";
    for (what, id, text, expected) in [
        ("not a policy", "p", "permit".to_owned(), Class::Format),
        ("two policies", "p", format!("{open}{open}"), Class::Format),
        (
            "a template",
            "p",
            "permit (principal == ?principal, action, resource);".into(),
            Class::Format,
        ),
        ("an unknown attribute", "p", when("resource.colour == 1"), Class::Format),
        ("a wrong type", "p", when("resource.class == 1"), Class::Format),
        (
            "an unknown action",
            "p",
            open.replace("action", r#"action == Action::"fly""#),
            Class::Format,
        ),
        ("a clock", "p", when(r#"datetime("2024-01-01") < now()"#), Class::Format),
        ("no name", "", open.into(), Class::Format),
        ("a strange name", "a b", open.into(), Class::Format),
        ("too deep", "p", nested(DEPTH_MAX + 1), Class::Limit),
        ("too many operators", "p", chain(OPERATORS_MAX + 2), Class::Limit),
        ("too long", "p", format!("{open}//{}", "x".repeat(65_536)), Class::Limit),
    ] {
        assert_eq!(class(world.hub.enact(set_policy(id, &text))), Some(expected), "{what}");
    }
    // The deepest and the longest that are allowed evaluate.
    world.hub.enact(set_policy("deep", &nested(DEPTH_MAX - 1))).unwrap();
    world.hub.enact(set_policy("long", &chain(OPERATORS_MAX))).unwrap();
    let sum = |length: usize| vec!["1"; length].join(" + ");
    let sums = when(&format!("{} > 0", sum(OPERATORS_MAX - 1)));
    world.hub.enact(set_policy("sums", &sums)).unwrap();
    let sets = DEPTH_MAX - 2;
    let both = when(&format!(
        "{}{}{}.contains({}1{})",
        "[".repeat(sets),
        sum(OPERATORS_MAX - 4),
        "]".repeat(sets),
        "[".repeat(sets - 1),
        "]".repeat(sets - 1)
    ));
    world.hub.enact(set_policy("both", &both)).unwrap();
    assert_eq!(share_of(&mut world, "a", false), None);
}

/// Req: Y4560-7.2.3-3
#[test]
fn the_matrix_says_what_then_happens() {
    let mut world = World::bare(vec![]);
    let text = r#"permit (principal, action == Action::"share", resource in Type::"air");"#;
    world.hub.enact(set_policy("air", text)).unwrap();
    world
        .hub
        .enact(set_policy("no", r#"forbid (principal, action == Action::"write", resource);"#))
        .unwrap();
    let now = tombolo_types::UnixMillis(world.hub.now);
    let owner = crate::world::id_of(1);
    let cells = matrix(world.hub.ledger.machine(), &world.hub.store, owner, now);
    assert_eq!(cells.len(), 16);
    for cell in cells {
        let expected = match (cell.data_type.as_str(), cell.class, cell.operation) {
            (_, DataClass::Closed, Operation::Share) => Some(Class::ClosedCopy),
            ("air", DataClass::Open, Operation::Share) => None,
            (_, _, Operation::Write) => Some(Class::Denied),
            _ => Some(Class::Policy),
        };
        assert_eq!(cell.refusal, expected, "{cell:?}");
    }
    assert_eq!(share_of(&mut world, "a", false), None);
    assert_eq!(share_of(&mut world, "w", true), Some(Class::Policy));
}

/// Terms of use travel with an item and bind whoever relays it: a share that they do not allow is
/// denied, the same item under other terms is not.
///
/// Req: Y4560-3.1.13
#[test]
fn a_relay_that_breaks_the_terms_is_denied() {
    let mut world = World::new();
    let stays = r#"forbid (principal, action == Action::"share", resource)
        when { resource.terms like "*no redistribution*" };"#;
    world.hub.enact(set_policy("terms", stays)).unwrap();
    for (terms, expected) in
        [("CC-BY-4.0", None), ("city use; no redistribution", Some(Class::Denied)), ("", None)]
    {
        let mut reading = world.reading(&format!("under {terms}").replace(' ', "-"));
        reading.terms = terms.into();
        let sent = world.share(reading);
        assert_eq!(class(world.send_share(sent)), expected, "{terms}");
    }
}
