//! What a chain says of itself, and how it proves what it sends.

use super::{Fixture, Follower, lead, leaf_of, send_and_wait, within};
use crate::{Declare, Source};
use tombolo_crypto::{digest, log::verify_range};
use tombolo_types::{
    Class, Hash, Height, MessageNumber,
    id::ChainId,
    lane::{DATA_LANE, Direction, LaneKey, LaneLeaf},
};

pub(super) fn declares_what_it_is<F: Fixture>(fixture: &F) {
    let descriptor = fixture.adapter().descriptor();
    assert!(!descriptor.kind.is_empty(), "the descriptor names no kind");
    assert_ne!(descriptor.chain_id, ChainId::ZERO, "the descriptor names no chain");
    let limits = descriptor.limits;
    assert!(limits.message_bytes_max > 0 && limits.batch_messages_max > 0, "{limits:?}");
    assert!(limits.batch_bytes_max >= limits.message_bytes_max, "{limits:?}");
    assert_eq!(descriptor, fixture.adapter().descriptor(), "it changes its mind");
}

pub(super) async fn follows_final_heads<F: Fixture>(fixture: &mut F) {
    let before = within("newest head", fixture.adapter().newest_head()).await.expect("a head");
    let after = send_and_wait(fixture, 1).await.head;
    assert!(after.height > before.height && after.time > before.time, "{before:?} {after:?}");
    assert_ne!(after.block_id, before.block_id);
    // What is there already is not waited for.
    let next = within("a head that is there", fixture.adapter().next_head(before.height)).await;
    assert!(next.expect("a head").height >= after.height);
    // A wait that is given up uses nothing up.
    let adapter = fixture.adapter();
    let newest = adapter.newest_head().await.expect("a head").height;
    let cancelled = tokio::time::timeout(std::time::Duration::ZERO, adapter.next_head(newest));
    drop(cancelled.await);
    let next = send_and_wait(fixture, 1).await.head.height;
    assert!(next > newest);
}

pub(super) async fn proves_every_lane<F: Fixture>(fixture: &mut F) {
    send_and_wait(fixture, 3).await;
    let Follower { verifier, client } = fixture.follower();
    let (client, head, _) = lead(fixture, client).await;
    let believe =
        |proof: &[u8], leaf: &LaneLeaf| verifier.head(&client, fixture.now(), proof, leaf);
    assert!(!head.lanes.is_empty(), "the link has no lanes");
    for proved in &head.lanes {
        let verified = believe(&proved.head_proof, &proved.leaf).expect("an honest head");
        let shown = (head.head.height, head.head.block_id, head.head.time);
        assert_eq!((verified.height, verified.block_id, verified.time), shown);
        assert_eq!(proved.leaf.link, fixture.link());

        let lies: [fn(&mut LaneLeaf); 4] = [
            |leaf| leaf.size += 1,
            |leaf| leaf.received += 1,
            |leaf| leaf.root = Hash([1; 32]),
            |leaf| leaf.lane.0 += 100,
        ];
        for lie in lies {
            let mut leaf = proved.leaf.clone();
            lie(&mut leaf);
            let refused = believe(&proved.head_proof, &leaf).expect_err("a changed leaf");
            assert_eq!(refused.class(), Class::Proof, "{leaf:?}");
        }
        for at in [0, proved.head_proof.len() / 2, proved.head_proof.len() - 1] {
            let mut proof = proved.head_proof.clone();
            proof[at] ^= 1;
            let refused = believe(&proof, &proved.leaf).expect_err("a changed proof").class();
            assert!(
                matches!(refused, Class::Proof | Class::Format | Class::Auth | Class::Version),
                "byte {at} changed: {refused}"
            );
        }
    }
}

pub(super) async fn proves_messages<F: Fixture>(fixture: &mut F) {
    let shown = send_and_wait(fixture, 5).await;
    let leaf = leaf_of(&shown, DATA_LANE).leaf.clone();
    let direction = Direction::from_number(leaf.direction).expect("a direction");
    let key = LaneKey { link: fixture.link(), direction, lane: leaf.lane };
    let adapter = fixture.adapter();
    let ask = |from: u64, count, size| {
        adapter.messages(key, leaf.epoch, MessageNumber(from), count, size)
    };
    let first = leaf.size - 5;
    for (from, count) in [(first, 5), (first, 1), (first + 2, 2), (leaf.size - 1, 1)] {
        let (messages, range) =
            within("messages", ask(from, count, leaf.size)).await.expect("some");
        assert!(!messages.is_empty() && messages.len() as u64 <= count);
        let leaves: Vec<Hash> = (from..)
            .zip(&messages)
            .map(|(number, message)| {
                let number = MessageNumber(number);
                digest::message_leaf(key.link, direction, key.lane, leaf.epoch, number, message)
            })
            .collect();
        verify_range(from, &leaves, leaf.size, leaf.root, &range).expect("an honest range");
    }
    let refused = within("messages beyond the end", ask(leaf.size, 1, leaf.size)).await;
    assert_eq!(refused.expect_err("there is none").class(), Class::NotFound);
    let beyond = leaf.size + 1_000_000;
    let refused = within("messages that are not final", ask(first, 1, beyond)).await;
    assert_eq!(refused.expect_err("not final").class(), Class::Finality);
    assert!(adapter.newest_head().await.expect("a head").height > Height::ZERO);
}
