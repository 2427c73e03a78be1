//! How a block travels beside the proposal that names it: cut into parts, and put together again.
//!
//! Any connected peer can send parts, so everything is bounded: streams per publisher, per
//! neighbour and in all, parts and bytes per stream. Over a bound, the oldest stream of whoever is
//! over it is dropped; an honest proposer streams once per turn and again on request.

use arc_malachitebft_app_channel::app::{
    streaming::{StreamContent, StreamId, StreamMessage},
    types::PeerId,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use tombolo_types::{
    Address, Height,
    header::{HEADER_BYTES, Signature},
    transaction::BLOCK_BYTES_MAX,
};

use crate::context::Part;

/// The largest chunk of a block in one part, far below the network's 4 MiB a message.
pub(crate) const CHUNK_BYTES_MAX: usize = 128 * 1024;
/// The largest encoded block: its transactions, 4 bytes of length for each (none is shorter than
/// its signature), and the header.
pub(crate) const BLOCK_ENCODED_MAX: usize =
    BLOCK_BYTES_MAX + BLOCK_BYTES_MAX / 8 + 2 * HEADER_BYTES;
/// The largest sequence number in a stream: one initial part, the chunks, one final, one end.
pub(crate) const PARTS_MAX: u64 = 3 + BLOCK_ENCODED_MAX.div_ceil(CHUNK_BYTES_MAX) as u64;

/// Unfinished streams that one publisher may have: this turn's, the next's, and two repetitions.
const STREAMS_OF_PUBLISHER: usize = 4;
/// Unfinished streams that may come through one neighbour, which relays for others.
const STREAMS_OF_NEIGHBOUR: usize = 16;
/// Unfinished streams in all; with the bound per stream, 80 MiB.
const STREAMS_MAX: usize = 32;

/// A block as its proposer sent it, still encoded; nothing of it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assembled {
    pub(crate) height: Height,
    pub(crate) round: u32,
    pub(crate) proposer: Address,
    pub(crate) block: Vec<u8>,
    pub(crate) signature: Signature,
}

impl Assembled {
    /// Cuts the block into the messages of one stream. `attempt` tells repetitions apart.
    pub(crate) fn split(&self, attempt: u32) -> Vec<StreamMessage<Part>> {
        let mut id = Vec::with_capacity(16);
        id.extend(self.height.0.to_be_bytes());
        id.extend(self.round.to_be_bytes());
        id.extend(attempt.to_be_bytes());
        let id = StreamId::new(id.into());
        let (height, round, proposer) = (self.height, self.round, self.proposer);
        let first = Part::Init { height, round, proposer };
        let chunks = self.block.chunks(CHUNK_BYTES_MAX);
        let chunks = chunks.map(|chunk| Part::Data(Bytes::copy_from_slice(chunk)));
        std::iter::once(first)
            .chain(chunks)
            .chain([Part::Fin(self.signature)])
            .map(StreamContent::Data)
            .chain([StreamContent::Fin])
            .zip(0..)
            .map(|(content, sequence)| StreamMessage::new(id.clone(), sequence, content))
            .collect()
    }
}

#[derive(Debug)]
struct Stream {
    neighbour: PeerId,
    /// Order of arrival.
    age: u64,
    parts: BTreeMap<u64, Part>,
    bytes: usize,
    end: Option<u64>,
}

impl Stream {
    /// `false` where the stream is over its bounds and must go.
    fn insert(&mut self, message: StreamMessage<Part>) -> bool {
        let part = match message.content {
            StreamContent::Fin => {
                self.end.get_or_insert(message.sequence);
                return true;
            }
            StreamContent::Data(part) => part,
        };
        let bytes = if let Part::Data(chunk) = &part { chunk.len() } else { 0 };
        if !self.parts.contains_key(&message.sequence) {
            self.bytes += bytes;
            self.parts.insert(message.sequence, part);
        }
        self.bytes <= BLOCK_ENCODED_MAX && self.parts.len() as u64 <= PARTS_MAX
    }

    fn is_complete(&self) -> bool {
        // Sequence numbers below the end, each once: then their number is the end's.
        self.end.is_some_and(|end| {
            self.parts.len() as u64 == end && self.parts.keys().next_back() < Some(&end)
        })
    }

    fn assemble(self) -> Option<Assembled> {
        let mut parts = self.parts.into_values();
        let Some(Part::Init { height, round, proposer }) = parts.next() else { return None };
        let Some(Part::Fin(signature)) = parts.next_back() else { return None };
        let mut block = Vec::with_capacity(self.bytes);
        for part in parts {
            let Part::Data(chunk) = part else { return None };
            block.extend_from_slice(&chunk);
        }
        Some(Assembled { height, round, proposer, block, signature })
    }
}

/// The streams that are not complete yet.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: BTreeMap<(PeerId, Bytes), Stream>,
    arrivals: u64,
    dropped: u64,
}

impl Streams {
    /// Takes a message; gives the block where it completes one.
    pub(crate) fn insert(
        &mut self,
        neighbour: PeerId,
        publisher: Option<PeerId>,
        message: StreamMessage<Part>,
    ) -> Option<Assembled> {
        let publisher = publisher.unwrap_or(neighbour);
        let key = (publisher, message.stream_id.to_bytes());
        if !self.streams.contains_key(&key) {
            self.make_room(publisher, neighbour);
        }
        self.arrivals += 1;
        let age = self.arrivals;
        let stream = self.streams.entry(key.clone()).or_insert_with(|| Stream {
            neighbour,
            age,
            parts: BTreeMap::new(),
            bytes: 0,
            end: None,
        });
        if !stream.insert(message) {
            self.streams.remove(&key);
            self.dropped += 1;
            return None;
        }
        if !stream.is_complete() {
            return None;
        }
        let assembled = self.streams.remove(&key)?.assemble();
        self.dropped += u64::from(assembled.is_none());
        assembled
    }

    /// How many streams were dropped as malformed or over a bound.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn make_room(&mut self, publisher: PeerId, neighbour: PeerId) {
        self.drop_oldest(STREAMS_OF_PUBLISHER, |(key, _)| key.0 == publisher);
        self.drop_oldest(STREAMS_OF_NEIGHBOUR, |(_, stream)| stream.neighbour == neighbour);
        self.drop_oldest(STREAMS_MAX, |_| true);
    }

    /// Drops the oldest of the streams that `which` chooses, until there are fewer than `limit`.
    fn drop_oldest(&mut self, limit: usize, which: impl Fn(&(&(PeerId, Bytes), &Stream)) -> bool) {
        loop {
            let chosen: Vec<_> = self.streams.iter().filter(&which).collect();
            if chosen.len() < limit {
                return;
            }
            let Some(oldest) = chosen.into_iter().min_by_key(|(_, stream)| stream.age) else {
                return;
            };
            let key = oldest.0.clone();
            self.streams.remove(&key);
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests;
