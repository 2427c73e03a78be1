//! The one-node driver.

use crate::toy::{Toy, ToyTransaction, key, set};
use std::sync::Arc;
use tombolo_crypto::digest;
use tombolo_engine::{Application as _, Sequencer};
use tombolo_store::Memory;
use tombolo_types::{Class, Height, UnixMillis};

fn sequencer() -> Sequencer<Toy> {
    Sequencer::new(Toy::open(Arc::new(Memory::default()), &[1]), key(1))
}

#[test]
fn equal_calls_give_equal_blocks() {
    let run = || {
        let mut sequencer = sequencer();
        let mut ids = Vec::new();
        for nonce in 0..5 {
            sequencer.submit(ToyTransaction::new(7, nonce).encode()).unwrap();
            let decided = sequencer.produce(UnixMillis(2_000 + nonce)).unwrap();
            assert_eq!(decided.block.transactions.len(), 1);
            ids.push(digest::block_id(&decided.block.header));
        }
        ids
    };
    assert_eq!(run(), run());
}

#[test]
fn a61_time_rises_when_the_clock_goes_back() {
    let mut sequencer = sequencer();
    let first = sequencer.produce(UnixMillis(5_000)).unwrap().block.header;
    let second = sequencer.produce(UnixMillis(4_000)).unwrap().block.header;
    assert_eq!((first.time, second.time), (UnixMillis(5_000), UnixMillis(5_001)));
    assert_eq!((first.height, second.height), (Height(1), Height(2)));
    assert_eq!(second.parent, digest::block_id(&first));
}

#[test]
fn what_the_door_refuses_does_not_wait() {
    let mut sequencer = sequencer();
    sequencer.submit(ToyTransaction::new(7, 0).encode()).unwrap();
    sequencer.produce(UnixMillis(2_000)).unwrap();
    let refusal = sequencer.submit(ToyTransaction::new(7, 0).encode()).unwrap_err();
    assert_eq!(refusal.class, Class::Replay);
    assert_eq!(sequencer.submit(b"?".to_vec()).unwrap_err().class, Class::Format);
    assert_eq!(sequencer.waiting(), 0);
}

/// A transaction whose predecessor is still under way waits; one that can never enter goes.
#[test]
fn left_out_transactions_are_shown_to_the_door_again() {
    let mut sequencer = sequencer();
    sequencer.submit(ToyTransaction::new(7, 1).encode()).unwrap();
    let mut rival = ToyTransaction::new(8, 0);
    sequencer.submit(rival.encode()).unwrap();
    rival.filling = vec![1];
    sequencer.submit(rival.encode()).unwrap();
    let block = sequencer.produce(UnixMillis(2_000)).unwrap().block;
    assert_eq!(block.transactions, [ToyTransaction::new(8, 0).encode()]);
    assert_eq!(sequencer.waiting(), 1, "the rival with the used nonce is gone");
    sequencer.submit(ToyTransaction::new(7, 0).encode()).unwrap();
    assert_eq!(sequencer.produce(UnixMillis(2_001)).unwrap().block.transactions.len(), 1);
    assert_eq!(sequencer.produce(UnixMillis(2_002)).unwrap().block.transactions.len(), 1);
    assert_eq!(sequencer.waiting(), 0);
}

#[test]
fn a_foreign_key_cannot_drive_the_ledger() {
    let toy = Toy::open(Arc::new(Memory::default()), &[1]);
    let error = Sequencer::new(toy, key(2)).produce(UnixMillis(2_000)).unwrap_err();
    assert!(error.to_string().contains("is not the only validator"), "{error}");
}

#[test]
fn a_reopened_ledger_goes_on_where_it_was() {
    let store = Arc::new(Memory::default());
    let mut sequencer = Sequencer::new(Toy::open(store.clone(), &[1]), key(1));
    sequencer.submit(ToyTransaction::new(7, 0).encode()).unwrap();
    sequencer.produce(UnixMillis(2_000)).unwrap();
    let tip = sequencer.application().tip();
    drop(sequencer);
    let reopened = Toy::open(store, &[1]);
    assert_eq!(reopened.tip(), tip);
    assert_eq!(reopened.validators(Height(2)), Some(set(1, &[1])));
    assert_eq!(reopened.validators(Height(3)), None);
}
