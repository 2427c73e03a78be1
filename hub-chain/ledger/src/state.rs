//! Replicated state: an overlay of writes over a view, and typed tables in it.

use borsh::{BorshDeserialize, BorshSerialize};
use std::{marker::PhantomData, ops::Bound};
use tombolo_crypto::digest::Preimage;
use tombolo_types::{
    Address, Hash, Height, LaneNumber, MessageNumber, UnixMillis,
    id::{
        AssetId, BlockId, ChainId, DataId, GlobalId, IdentityId, LinkId, OrderId, SchemaId,
        SecretHash, TxId, Xid,
    },
    store::{Batch, Entry, View},
};

/// The first byte of every key of replicated state; other bytes belong to shells.
pub const STATE_PREFIX: u8 = b's';

/// A view and the writes on top of it.
///
/// Writes can be taken back to a [`Mark`], so that what is refused changes nothing.
pub struct State<'v> {
    base: &'v dyn View,
    writes: Batch,
    /// What stood in `writes` under each key before each write, in order.
    undo: Vec<(Vec<u8>, Option<Write>)>,
}

/// A value to set, or `None` to delete.
type Write = Option<Vec<u8>>;

/// A point to which writes can be taken back.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

impl<'v> State<'v> {
    /// No writes yet.
    #[must_use]
    pub fn new(base: &'v dyn View) -> Self {
        Self { base, writes: Batch::new(), undo: Vec::new() }
    }

    /// Here and now.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.undo.len())
    }

    /// Takes back every write since `mark`.
    pub fn roll_back(&mut self, mark: Mark) {
        while self.undo.len() > mark.0 {
            let Some((key, before)) = self.undo.pop() else { break };
            match before {
                Some(value) => self.writes.insert(key, value),
                None => self.writes.remove(&key),
            };
        }
    }

    /// Sets or deletes the value under a raw key.
    pub fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let before = self.writes.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    /// The digest over `previous` and all writes, in order of key.
    #[must_use]
    pub fn digest(&self, previous: Hash) -> Hash {
        self.writes
            .iter()
            .fold(Preimage::tagged("writes").word(previous), |preimage, (key, value)| match value {
                Some(value) => preimage.bytes(key).number(1u8).bytes(value),
                None => preimage.bytes(key).number(0u8),
            })
            .finish()
    }

    /// The writes, to be kept.
    #[must_use]
    pub fn into_writes(self) -> Batch {
        self.writes
    }
}

impl View for State<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.writes.get(key) {
            Some(value) => value.clone(),
            None => self.base.get(key),
        }
    }

    /// Merges both as it goes, so that few entries cost little however much was written.
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Vec<Entry> {
        let start = from.max(prefix);
        let mut written = self
            .writes
            .range::<[u8], _>((Bound::Included(start), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .peekable();
        let mut below = Pages::new(self.base, prefix, start);
        let mut merged = Vec::new();
        while merged.len() < limit {
            let wanted = limit.saturating_sub(merged.len());
            let written_first = match (written.peek(), below.peek(wanted)) {
                (None, None) => break,
                (Some((key, _)), Some((key_below, _))) => *key <= key_below,
                (key, _) => key.is_some(),
            };
            if !written_first {
                merged.extend(below.next(wanted));
                continue;
            }
            let Some((key, value)) = written.next() else { break };
            if below.peek(wanted).is_some_and(|(key_below, _)| key_below == key) {
                below.next(wanted);
            }
            merged.extend(value.clone().map(|value| (key.clone(), value)));
        }
        merged
    }
}

/// The entries of a view under a prefix, asked for as they are needed: what was deleted on top of
/// them makes more of them needed than are wanted.
struct Pages<'v> {
    view: &'v dyn View,
    prefix: &'v [u8],
    /// Where the next page begins, or `None` where none follows.
    next: Option<Vec<u8>>,
    page: std::iter::Peekable<std::vec::IntoIter<Entry>>,
}

impl<'v> Pages<'v> {
    fn new(view: &'v dyn View, prefix: &'v [u8], start: &[u8]) -> Self {
        Self { view, prefix, next: Some(start.to_vec()), page: Vec::new().into_iter().peekable() }
    }

    fn peek(&mut self, wanted: usize) -> Option<&Entry> {
        if self.page.peek().is_none()
            && let Some(from) = self.next.take()
        {
            let page = self.view.scan(self.prefix, &from, wanted);
            self.next = page.last().filter(|_| page.len() == wanted).map(|(last, _)| {
                // The least key above the last.
                let mut after = last.clone();
                after.push(0);
                after
            });
            self.page = page.into_iter().peekable();
        }
        self.page.peek()
    }

    fn next(&mut self, wanted: usize) -> Option<Entry> {
        self.peek(wanted)?;
        self.page.next()
    }
}

/// A view of nothing, under genesis.
pub struct Nothing;

impl View for Nothing {
    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn scan(&self, _: &[u8], _: &[u8], _: usize) -> Vec<Entry> {
        Vec::new()
    }
}

/// What may stand as the key of a [`Table`]: its bytes sort as its values do.
pub trait Key: Sized {
    /// Appends the key's bytes.
    fn write(&self, to: &mut Vec<u8>);

    /// Takes the key's bytes off the front, or `None` where they are none.
    fn read(from: &mut &[u8]) -> Option<Self>;
}

macro_rules! bytes_key {
    ($($name:ty),+ $(,)?) => {$(
        impl Key for $name {
            fn write(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.0);
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                let (head, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(Self(*head))
            }
        }
    )+};
}

bytes_key!(
    Address, AssetId, BlockId, ChainId, DataId, GlobalId, Hash, IdentityId, LinkId, OrderId,
    SchemaId, SecretHash, TxId, Xid,
);

macro_rules! number_key {
    ($($name:ty),+ $(,)?) => {$(
        impl Key for $name {
            fn write(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_be_bytes());
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                let (head, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(Self::from_be_bytes(*head))
            }
        }
    )+};
}

number_key!(u8, u16, u32, u64);

macro_rules! wrapped_key {
    ($($name:ident),+ $(,)?) => {$(
        impl Key for $name {
            fn write(&self, to: &mut Vec<u8>) {
                self.0.write(to);
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                Key::read(from).map(Self)
            }
        }
    )+};
}

wrapped_key!(Height, LaneNumber, MessageNumber, UnixMillis);

impl Key for String {
    /// A length stands in front, so that a name may stand before other parts of a key.
    fn write(&self, to: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).write(to);
        to.extend_from_slice(self.as_bytes());
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let length = usize::try_from(u32::read(from)?).ok()?;
        let (head, rest) = from.split_at_checked(length)?;
        *from = rest;
        Self::from_utf8(head.to_vec()).ok()
    }
}

macro_rules! tuple_key {
    ($($name:ident $position:tt),+) => {
        impl<$($name: Key),+> Key for ($($name,)+) {
            fn write(&self, to: &mut Vec<u8>) {
                $(self.$position.write(to);)+
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                Some(($($name::read(from)?,)+))
            }
        }
    };
}

tuple_key!(A 0, B 1);
tuple_key!(A 0, B 1, C 2);
tuple_key!(A 0, B 1, C 2, D 3);
tuple_key!(A 0, B 1, C 2, D 3, E 4);

/// A typed part of the state: all keys under one prefix.
///
/// First letter of the prefix: `k` for this crate, `h` for the hub, `i` for the islet.
pub struct Table<K, V> {
    prefix: [u8; 3],
    types: PhantomData<fn(K) -> V>,
}

impl<K: Key, V: BorshSerialize + BorshDeserialize> Table<K, V> {
    /// The table under two letters.
    #[must_use]
    pub const fn new(prefix: [u8; 2]) -> Self {
        let [first, second] = prefix;
        Self { prefix: [STATE_PREFIX, first, second], types: PhantomData }
    }

    fn key(&self, key: &K) -> Vec<u8> {
        let mut bytes = self.prefix.to_vec();
        key.write(&mut bytes);
        bytes
    }

    /// The value under `key`.
    ///
    /// A value that does not decode is treated as absent; only this table writes under its
    /// prefix, and the store refuses another schema version, so that there is none.
    pub fn get(&self, view: &dyn View, key: &K) -> Option<V> {
        borsh::from_slice(&view.get(&self.key(key))?).ok()
    }

    /// Whether there is a value under `key`.
    pub fn has(&self, view: &dyn View, key: &K) -> bool {
        view.get(&self.key(key)).is_some()
    }

    /// Sets the value under `key`.
    pub fn put(&self, state: &mut State<'_>, key: &K, value: &V) {
        // Writing to a vector cannot fail.
        let bytes = borsh::to_vec(value).unwrap_or_default();
        state.write(self.key(key), Some(bytes));
    }

    /// Deletes the value under `key`.
    pub fn delete(&self, state: &mut State<'_>, key: &K) {
        state.write(self.key(key), None);
    }

    /// At most `limit` entries whose keys are not below `from`, ascending.
    pub fn range(&self, view: &dyn View, from: &K, limit: usize) -> Vec<(K, V)> {
        self.collect(view.scan(&self.prefix, &self.key(from), limit))
    }

    /// At most `limit` entries whose keys begin with `part`, ascending.
    pub fn under<P: Key>(&self, view: &dyn View, part: &P, limit: usize) -> Vec<(K, V)> {
        let mut prefix = self.prefix.to_vec();
        part.write(&mut prefix);
        self.collect(view.scan(&prefix, &prefix, limit))
    }

    /// At most `limit` entries whose keys begin with `part` and are not below `from`, ascending.
    pub fn under_from<P: Key>(
        &self,
        view: &dyn View,
        part: &P,
        from: &K,
        limit: usize,
    ) -> Vec<(K, V)> {
        let mut prefix = self.prefix.to_vec();
        part.write(&mut prefix);
        self.collect(view.scan(&prefix, &self.key(from), limit))
    }

    /// At most `limit` entries from the beginning.
    pub fn all(&self, view: &dyn View, limit: usize) -> Vec<(K, V)> {
        self.collect(view.scan(&self.prefix, &self.prefix, limit))
    }

    fn collect(&self, entries: Vec<Entry>) -> Vec<(K, V)> {
        entries
            .into_iter()
            .filter_map(|(key, value)| {
                let mut key = key.get(self.prefix.len()..)?;
                Some((K::read(&mut key)?, borsh::from_slice(&value).ok()?))
            })
            .collect()
    }
}

/// A single value in the state.
pub struct Cell<V>(Table<u8, V>);

impl<V: BorshSerialize + BorshDeserialize> Cell<V> {
    /// The cell under two letters.
    #[must_use]
    pub const fn new(prefix: [u8; 2]) -> Self {
        Self(Table::new(prefix))
    }

    /// The value, where one was set.
    pub fn get(&self, view: &dyn View) -> Option<V> {
        self.0.get(view, &0)
    }

    /// Sets the value.
    pub fn put(&self, state: &mut State<'_>, value: &V) {
        self.0.put(state, &0, value);
    }
}
