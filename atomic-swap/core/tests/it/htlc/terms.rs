//! The form of an order.

use super::fixture::{order, terms};
use tombolo_swap::htlc::Terms;
use tombolo_types::{
    Amount, Class,
    id::{IdentityId, SecretHash},
    swap::Order,
};

/// Req: PRJ-5-5
#[test]
fn an_order_of_two_legs_becomes_two_locks_under_one_hash() {
    let terms = terms();
    let locks = terms.locks();
    assert_eq!(locks.len(), 2);
    assert!(locks.iter().all(|lock| lock.hash == order().hash));
    assert_eq!((terms.last(), terms.received_for(0), terms.received_for(1)), (1, 1, 0));
}

type Change = fn(&mut Order);

#[test]
fn the_form_of_an_order_is_checked_in_the_order_of_classes() {
    let cases: [(&str, Change, Class); 14] = [
        ("no leg", |order| order.legs.clear(), Class::Format),
        (
            "one leg",
            |order| {
                order.legs.pop();
                order.parties.pop();
            },
            Class::Format,
        ),
        (
            "a leg without a party",
            |order| {
                order.parties.pop();
            },
            Class::Format,
        ),
        ("no hash", |order| order.hash = SecretHash::ZERO, Class::Format),
        ("a party twice", |order| order.parties[1] = order.parties[0], Class::Format),
        ("nothing locked", |order| order.legs[1].amount = Amount::ZERO, Class::Format),
        (
            "a leg to oneself",
            |order| order.legs[0].recipient = order.legs[0].locker.clone(),
            Class::Format,
        ),
        (
            "one locker twice on a chain",
            |order| {
                order.legs[1].chain = order.legs[0].chain;
                order.legs[1].recipient = order.legs[1].locker.clone();
                order.legs[1].locker = order.legs[0].locker.clone();
            },
            Class::Format,
        ),
        ("three legs", |order| ring(order, 3), Class::Unsupported),
        ("eight legs", |order| ring(order, 8), Class::Unsupported),
        ("nine legs", |order| ring(order, 9), Class::Limit),
        ("a premium", |order| order.premium = Amount(1), Class::Unsupported),
        (
            "nine legs and nothing locked",
            |order| {
                ring(order, 9);
                order.legs[8].amount = Amount::ZERO;
            },
            Class::Format,
        ),
        (
            "a premium and a party twice",
            |order| {
                order.premium = Amount(1);
                order.parties[1] = order.parties[0];
            },
            Class::Format,
        ),
    ];
    for (what, change, class) in cases {
        let mut order = order();
        change(&mut order);
        assert_eq!(Terms::read(order).unwrap_err().class, class, "{what}");
    }
}

/// A ring in which nothing but its length is new.
fn ring(order: &mut Order, legs: u8) {
    for number in 2..legs {
        order.parties.push(IdentityId([10 + number; 32]));
        let mut leg = order.legs[1].clone();
        leg.chain.0[0] = 0x40 + number;
        order.legs.push(leg);
    }
}

/// Both legs may stand on one chain: they have different lockers.
#[test]
fn two_legs_on_one_chain_are_allowed() {
    let mut order = order();
    order.legs[1].chain = order.legs[0].chain;
    assert!(Terms::read(order).is_ok());
}

/// What is read back is checked again.
#[test]
fn terms_that_are_none_cannot_be_read_from_a_disk() {
    let bytes = borsh::to_vec(&terms()).unwrap();
    assert_eq!(borsh::from_slice::<Terms>(&bytes).unwrap(), terms());
    let mut premium = order();
    premium.premium = Amount(1);
    assert!(borsh::from_slice::<Terms>(&borsh::to_vec(&premium).unwrap()).is_err());
}
