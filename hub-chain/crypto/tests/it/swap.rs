//! Vectors of hash-timelock swaps: a secret and its hash, an order and what it is known by.

use crate::inputs::{chain, hex, key, word};
use serde_json::{Value, json};
use tombolo_crypto::digest;
use tombolo_types::{
    Amount, Height, UnixMillis,
    swap::{Account, Deadline, Leg, Order, Secret},
};

/// One leg by time between addresses, one by height between longer names.
fn order(secret: &Secret) -> Order {
    let script = |byte: u8| Account::new(&[byte; 35]).unwrap();
    Order {
        hash: digest::secret_hash(secret),
        parties: [1, 2].map(|number| digest::identity_id(key(number).address())).to_vec(),
        legs: vec![
            Leg {
                chain: word("chain a").into(),
                asset: word("asset a").into(),
                amount: Amount(u128::MAX),
                locker: key(1).address().into(),
                recipient: key(2).address().into(),
                deadline: Deadline::Time(UnixMillis(1_760_000_090_000)),
            },
            Leg {
                chain: word("chain b").into(),
                asset: word("asset b").into(),
                amount: Amount(1),
                locker: script(0x51),
                recipient: script(0x52),
                deadline: Deadline::Height(Height(900_001)),
            },
        ],
        accept_until: UnixMillis(1_760_000_030_000),
        premium: Amount::ZERO,
    }
}

pub(crate) fn swap() -> Value {
    let secret = Secret([7; 32]);
    let order = order(&secret);
    let bytes = order.encode();
    assert_eq!(Order::decode(&bytes).as_ref(), Ok(&order));
    json!({
        "what": "A secret with its SHA-256, an order of two legs, and what hub and ledgers know them by.",
        "hub": hex(chain()),
        "secret": hex(secret.0),
        "hash": hex(order.hash),
        "swap": hex(digest::swap(order.hash)),
        "order": hex(bytes),
        "order_id": hex(digest::order(chain(), &order)),
    })
}
