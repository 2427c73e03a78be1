//! A vote may be hostile: every value is refused or one under which the ledger lives on.

use crate::{
    toy::{TAKE, ToyCall},
    world::{World, call_of, delivery, relayer},
};
use proptest::prelude::*;
use tombolo_ledger::{Parameters, State};
use tombolo_types::Class;

#[test]
fn a62_defaults_and_bounds_are_within_range() {
    for (name, value, least, most) in Parameters::default().list() {
        assert!(least <= value && value <= most, "{name}");
        let set = |value| {
            let mut parameters = Parameters::default();
            parameters.set(name, value).map_err(|refusal| refusal.class).map(|()| {
                parameters.list().into_iter().find(|(found, ..)| *found == name).unwrap().1
            })
        };
        assert_eq!(set(least), Ok(least), "{name}");
        assert_eq!(set(most), Ok(most), "{name}");
        assert_eq!(set(most + 1), Err(Class::Format), "{name}");
        assert_eq!(set(u64::MAX), Err(Class::Format), "{name}");
        if least > 0 {
            assert_eq!(set(least - 1), Err(Class::Format), "{name}");
        }
    }
    let unknown = Parameters::default().set("speed", 1).unwrap_err();
    assert_eq!(unknown.class, Class::NotFound);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Random values, many of them at the bounds: refused, or the ledger goes on taking messages
    /// and votes that set the value back.
    #[test]
    fn a62_any_value_is_refused_or_leaves_the_ledger_alive(
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 0u8..4), 1..6)
    ) {
        let mut world = World::new();
        let defaults = Parameters::default().list();
        for (pick, any, how) in picks {
            let (name, _, least, most) = defaults[pick.index(defaults.len())];
            let value = match how {
                0 => least,
                1 => most,
                2 => least.saturating_add(any % (most - least + 1)),
                _ => any,
            };
            let before = Parameters::of(&world.chain.state);
            let result = world.chain.call(ToyCall::SetParameter { name: name.into(), value });
            let after = Parameters::of(&world.chain.state);
            if (least..=most).contains(&value) {
                prop_assert_eq!(result, Ok(()));
            } else {
                prop_assert_eq!(result.unwrap_err().class, Class::Format);
                prop_assert_eq!(after, before);
            }
        }
        // The slowest rate gives a hundredth of a weight each millisecond; whoever waits may act.
        for _ in 0..3 {
            world.chain.time = world.chain.time.saturating_add(100_000);
            world.hub.time = world.chain.time;
            world.hub.append(world.link, TAKE, 2);
            let first = world.chain.lane(world.link).received.size();
            let call = call_of(delivery(&world.hub, world.link, first, 2));
            // Expiry may be shorter than the harness takes by default.
            let mut draft = world.chain.draft(&relayer());
            draft.expires = world.chain.time.saturating_add(900);
            let transaction = draft.sign(&relayer(), &call);
            let outcomes = world.chain.block(vec![transaction]);
            prop_assert_eq!(&outcomes[0].refusal, &None);
        }
        for (name, value, ..) in defaults {
            world.chain.time = world.chain.time.saturating_add(1_000);
            world.chain.call(ToyCall::SetParameter { name: name.into(), value }).unwrap();
        }
        prop_assert_eq!(Parameters::of(&world.chain.state), Parameters::default());
    }
}

#[test]
fn a_state_without_parameters_has_the_defaults() {
    let nothing = crate::world::Memory::default();
    assert_eq!(Parameters::of(&State::new(&nothing)), Parameters::default());
}
