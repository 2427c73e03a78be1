//! Tests of cutting and putting together.

use super::*;
use arc_malachitebft_app_channel::app::types::Keypair;
use proptest::prelude::*;

fn peer(n: u8) -> PeerId {
    let keypair = Keypair::ed25519_from_bytes([n; 32]).unwrap();
    PeerId::from_bytes(&keypair.public().to_peer_id().to_bytes()).unwrap()
}

fn assembled(height: u64, bytes: usize) -> Assembled {
    Assembled {
        height: Height(height),
        round: 2,
        proposer: Address([4; 20]),
        block: (0..bytes).map(|n| n as u8).collect(),
        signature: Signature([5; 65]),
    }
}

fn feed(
    streams: &mut Streams,
    from: u8,
    messages: impl IntoIterator<Item = StreamMessage<Part>>,
) -> Vec<Assembled> {
    let publisher = Some(peer(from));
    messages.into_iter().filter_map(|m| streams.insert(peer(99), publisher, m)).collect()
}

#[test]
fn the_largest_block_fits_its_bounds() {
    let largest = assembled(1, BLOCK_ENCODED_MAX);
    let messages = largest.split(0);
    assert!(messages.last().unwrap().sequence <= PARTS_MAX);
    assert_eq!(feed(&mut Streams::default(), 1, messages), [largest]);
}

#[test]
fn a_larger_one_is_dropped() {
    let mut streams = Streams::default();
    assert_eq!(feed(&mut streams, 1, assembled(1, BLOCK_ENCODED_MAX + 1).split(0)), []);
    assert!(streams.dropped() > 0);
}

#[test]
fn streams_of_two_publishers_do_not_mix() {
    let mut streams = Streams::default();
    let (a, b) = (assembled(1, 300_000), assembled(2, 300_000));
    let (mut from_a, mut from_b) = (a.split(7), b.split(7));
    // The same stream id by different publishers.
    for message in &mut from_b {
        message.stream_id = from_a[0].stream_id.clone();
    }
    let last = (from_a.split_off(2), from_b.split_off(2));
    assert_eq!(feed(&mut streams, 1, from_a), []);
    assert_eq!(feed(&mut streams, 2, from_b), []);
    assert_eq!(feed(&mut streams, 1, last.0), [a]);
    assert_eq!(feed(&mut streams, 2, last.1), [b]);
}

#[test]
fn malformed_streams_give_nothing() {
    let id = StreamId::new(vec![1].into());
    let stream = |parts: Vec<Part>| {
        let contents = parts.into_iter().map(StreamContent::Data).chain([StreamContent::Fin]);
        let messages = contents.zip(0..).map(|(c, n)| StreamMessage::new(id.clone(), n, c));
        feed(&mut Streams::default(), 1, messages)
    };
    let init = || Part::Init { height: Height(1), round: 0, proposer: Address::ZERO };
    let data = || Part::Data(vec![1].into());
    let fin = || Part::Fin(Signature([0; 65]));
    assert_eq!(stream(vec![init(), data(), fin()]).len(), 1);
    for parts in [
        vec![],
        vec![init()],
        vec![data(), fin()],
        vec![init(), data()],
        vec![init(), init(), fin()],
        vec![init(), fin(), data(), fin()],
        vec![fin(), data(), init()],
    ] {
        assert_eq!(stream(parts), []);
    }
}

/// Parts from a flooding peer cost bounded room, and an honest stream beside them completes.
#[test]
fn a50_a_peer_that_floods_with_streams_is_bounded() {
    let mut streams = Streams::default();
    let honest = assembled(1, 500);
    let mut messages = honest.split(0);
    let rest = messages.split_off(1);
    assert_eq!(feed(&mut streams, 1, messages), []);
    for attempt in 0..1_000 {
        let message = assembled(2, 100_000).split(attempt).swap_remove(1);
        streams.insert(peer(66), Some(peer(66)), message);
    }
    assert_eq!(streams.streams.len(), 1 + STREAMS_OF_PUBLISHER);
    assert_eq!(feed(&mut streams, 1, rest), [honest]);
}

/// A neighbour that invents publishers.
#[test]
fn a50_a_neighbour_with_many_names_is_bounded() {
    let mut streams = Streams::default();
    for n in 0..200 {
        let message = assembled(2, 10).split(0).swap_remove(0);
        streams.insert(peer(66), Some(peer(n)), message);
    }
    assert_eq!(streams.streams.len(), STREAMS_OF_NEIGHBOUR);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order, and with every message twice, the block comes out once.
    #[test]
    fn any_order_gives_the_block(
        bytes in 0usize..600_000, order in prop::collection::vec(any::<u32>(), 12),
    ) {
        let block = assembled(3, bytes);
        let mut messages: Vec<_> = block.split(1).into_iter().zip(order.iter().cycle()).collect();
        messages.sort_by_key(|(_, order)| **order);
        let once: Vec<_> = messages.into_iter().map(|(message, _)| message).collect();
        let mut streams = Streams::default();
        let mut out = Vec::new();
        for message in once {
            out.extend(feed(&mut streams, 1, [message.clone()]));
            if out.is_empty() {
                out.extend(feed(&mut streams, 1, [message]));
            }
        }
        prop_assert_eq!(out, [block]);
    }
}
