//! Properties of every encoding that crosses ledgers or is kept.
//!
//! Random values come from the Borsh reader of each type, fed by [`Noise`]: so no struct is listed
//! field by field here, and one that gains a field is tested with it.

use crate::{
    Hash,
    action::*,
    bundle::{Bundle, ValidatorChange},
    council::{Release, Reopening},
    header::*,
    lane::{Direction, LaneKey, LaneLeaf, Message, RangeProof},
    message::*,
    record::{RECORD_FIELDS, Record, SaltedRecord},
    transaction::*,
};
use borsh::{BorshDeserialize, BorshSerialize, io};
use proptest::{collection, prelude::*, sample::Index};
use std::fmt::Debug;

/// An endless reader of random bytes that Borsh can make a value of: one byte alone may be a flag
/// or a variant and is 0 or 1, four may be a length and are at most 3, all others are ASCII.
struct Noise<'s> {
    seed: &'s [u8],
    position: usize,
}

impl io::Read for Noise<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len();
        for (place, byte) in buffer.iter_mut().enumerate() {
            let random = self.seed[self.position % self.seed.len()];
            self.position += 1;
            *byte = match (length, place) {
                (1, _) => random % 2,
                (4, 0) => random % 4,
                (4, _) => 0,
                _ => random % 128,
            };
        }
        Ok(length)
    }
}

fn sample<T: BorshDeserialize>(seed: &[u8]) -> T {
    T::deserialize_reader(&mut Noise { seed, position: 0 }).unwrap()
}

fn borsh_is_the_identity<T: BorshSerialize + BorshDeserialize + PartialEq + Debug>(seed: &[u8]) {
    let value: T = sample(seed);
    let bytes = borsh::to_vec(&value).unwrap();
    assert_eq!(borsh::from_slice::<T>(&bytes).unwrap(), value);
    assert!(borsh::from_slice::<T>(&[bytes, vec![0]].concat()).is_err());
}

/// What a stranger may do to bytes on their way.
#[derive(Clone, Debug)]
enum Change {
    Byte(Index, u8),
    Word(Index, u8),
    Cut(Index),
    Add(Vec<u8>),
    Arbitrary(Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, with)| Change::Byte(at, with)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, with)| Change::Word(at, with)),
        any::<Index>().prop_map(Change::Cut),
        collection::vec(any::<u8>(), 1..65).prop_map(Change::Add),
        collection::vec(any::<u8>(), 0..600).prop_map(Change::Arbitrary),
    ]
}

fn changed(bytes: &[u8], change: &Change) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = bytes.len();
    match change {
        Change::Byte(at, with) => bytes[at.index(length)] = *with,
        // The last byte of a word is where offsets, lengths and small numbers stand.
        Change::Word(at, with) => bytes[at.index(length) / 32 * 32 + 31] = *with,
        Change::Cut(at) => bytes.truncate(at.index(length)),
        Change::Add(more) => bytes.extend(more),
        Change::Arbitrary(other) => bytes.clone_from(other),
    }
    bytes
}

macro_rules! abi_properties {
    ($($name:ident),+ $(,)?) => {
        proptest! {
            #[test]
            fn every_abi_struct_is_read_as_it_was_written(seed in collection::vec(any::<u8>(), 8..600)) {
                $({
                    let value: $name = sample(&seed);
                    let bytes = value.encode();
                    prop_assert_eq!(bytes.len() % 32, 0, "{}", stringify!($name));
                    prop_assert_eq!($name::decode(&bytes), Ok(value), "{}", stringify!($name));
                    borsh_is_the_identity::<$name>(&seed);
                })+
            }

            #[test]
            fn a53_every_abi_struct_has_one_spelling(
                seed in collection::vec(any::<u8>(), 8..600),
                change in change(),
            ) {
                $({
                    let bytes = changed(&sample::<$name>(&seed).encode(), &change);
                    if let Ok(read) = $name::decode(&bytes) {
                        prop_assert_eq!(read.encode(), bytes.as_slice(), "{}", stringify!($name));
                    }
                    // A node keeps these in Borsh, and reads nothing else from its store.
                    if let Ok(read) = borsh::from_slice::<$name>(&bytes) {
                        prop_assert_eq!(borsh::to_vec(&read).unwrap(), bytes);
                    }
                })+
            }
        }
    };
}

abi_properties!(
    Header,
    CommitSignature,
    Certificate,
    Validator,
    ValidatorSet,
    GenesisIdentity,
    GenesisBalance,
    GenesisParameter,
    Genesis,
    Anchor,
    LaneLeaf,
    Message,
    RangeProof,
    Hello,
    IdentityUpdate,
    SchemaUpdate,
    CouncilAct,
    Reopening,
    Release,
    Share,
    Prepare,
    Decision,
    Refused,
    Vote,
    Done,
    MoveOut,
    MoveIn,
    Write,
    Pay,
    Call,
    EncodedAction,
    Branch,
    Authorisation,
    Terms,
    Record,
    SaltedRecord,
    HeadProof,
    ClientUpdate,
    Misbehaviour,
    ValidatorChange,
    Bundle,
);

proptest! {
    #[test]
    fn what_stays_on_a_ledger_is_read_as_it_was_written(seed in collection::vec(any::<u8>(), 8..600)) {
        borsh_is_the_identity::<Transaction>(&seed);
        borsh_is_the_identity::<SignedTransaction>(&seed);
        borsh_is_the_identity::<Block>(&seed);
        borsh_is_the_identity::<DecidedBlock>(&seed);
        borsh_is_the_identity::<crate::lane::Delivery>(&seed);
        borsh_is_the_identity::<LaneKey>(&seed);
        borsh_is_the_identity::<Direction>(&seed);
        borsh_is_the_identity::<crate::Refusal>(&[&[1], seed.as_slice()].concat());
    }

    #[test]
    fn a53_arbitrary_transactions_and_deliveries_never_panic(bytes in collection::vec(any::<u8>(), 0..600)) {
        let one_spelling = |again: Option<Vec<u8>>| again.is_none_or(|again| again == bytes);
        let transaction = borsh::from_slice::<SignedTransaction>(&bytes).ok();
        prop_assert!(one_spelling(transaction.map(|read| borsh::to_vec(&read).unwrap())));
        let delivery = borsh::from_slice::<crate::lane::Delivery>(&bytes).ok();
        prop_assert!(one_spelling(delivery.map(|read| borsh::to_vec(&read).unwrap())));
        let body = borsh::from_slice::<Transaction>(&bytes).ok();
        prop_assert!(one_spelling(body.map(|read| borsh::to_vec(&read).unwrap())));
    }

    #[test]
    fn bodies_and_actions_are_read_as_they_were_written(seed in collection::vec(any::<u8>(), 8..600)) {
        let bodies = [
            Body::Hello(sample(&seed)),
            Body::IdentityUpdate(sample(&seed)),
            Body::SchemaUpdate(sample(&seed)),
            Body::CouncilAct(sample(&seed)),
            Body::Share(sample(&seed)),
            Body::Prepare(sample(&seed)),
            Body::Commit(sample(&seed)),
            Body::Abort(sample(&seed)),
            Body::Refused(sample(&seed)),
            Body::Vote(sample(&seed)),
            Body::Done(sample(&seed)),
            Body::Begin(sample(&seed)),
        ];
        for body in bodies {
            let message = Message::new(&body, crate::UnixMillis(1), Hash::ZERO);
            prop_assert_eq!(message.weight, body.weight());
            prop_assert_eq!(Body::decode(message.kind, &message.body), Ok(Some(body)));
        }
        let actions = [
            Action::MoveOut(sample(&seed)),
            Action::MoveIn(sample(&seed)),
            Action::Write(sample(&seed)),
            Action::Pay(sample(&seed)),
            Action::Call(sample(&seed)),
            Action::TokenOut(sample(&seed)),
            Action::TokenIn(sample(&seed)),
        ];
        let branch = Branch::new(sample(&seed), &actions);
        prop_assert_eq!(branch.actions(), Ok(actions.to_vec()));
    }

    #[test]
    fn a53_unknown_kinds_are_told_from_bad_bodies(kind in any::<u16>(), body in collection::vec(any::<u8>(), 0..200)) {
        match Body::decode(kind, &body) {
            Ok(Some(read)) => prop_assert_eq!((read.kind(), read.encode()), (kind, body)),
            Ok(None) => prop_assert!(!(1..=9).contains(&kind) && !(0x8001..=0x8003).contains(&kind)),
            Err(_) => prop_assert!((1..=9).contains(&kind) || (0x8001..=0x8003).contains(&kind)),
        }
    }

    #[test]
    fn a_record_has_as_many_fields_as_names(seed in collection::vec(any::<u8>(), 8..600)) {
        let record: Record = sample(&seed);
        prop_assert_eq!(record.fields().len(), RECORD_FIELDS.len());
    }
}

/// A word that holds `number`.
fn word(number: u64) -> Vec<u8> {
    [vec![0; 24], number.to_be_bytes().to_vec()].concat()
}

/// cometbft #5860 and the like: a count is believed only as far as there are bytes for it.
#[test]
fn a53_a_declared_number_of_signatures_costs_no_memory() {
    for count in [1 << 16, 1 << 32, u64::MAX] {
        let bytes = [word(1), word(0), word(0), word(4 * 32), word(count)].concat();
        assert!(matches!(
            Certificate::decode(&bytes),
            Err(crate::abi::AbiError::Malformed { what: "Certificate", .. })
        ));
    }
}

/// Many offsets that point at one long byte string would be many copies of it.
#[test]
fn a53_shared_offsets_are_refused() {
    let count = 2_000u64;
    let shared = count * 32;
    let tail = [word(0), word(64), word(64_000), vec![7; 64_000]].concat();
    let bytes = [
        [word(1), word(0), word(0), word(4 * 32), word(count)].concat(),
        (0..count).flat_map(|_| word(shared)).collect(),
        tail,
    ]
    .concat();
    assert!(matches!(
        Certificate::decode(&bytes),
        Err(crate::abi::AbiError::Malformed { what: "Certificate", .. })
    ));
}
