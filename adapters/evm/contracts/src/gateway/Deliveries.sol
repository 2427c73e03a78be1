// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Log} from "../protocol/Log.sol";
import {E_FORMAT, E_LIMIT, E_NOTFOUND, E_PROOF, E_REPLAY, E_STATE, ensure} from "../protocol/Refusals.sol";
import {Delivery, LaneLeaf} from "../protocol/Structs.sol";
import {BUSY, CONTRADICTED, Client, FROZEN, RESUMING, SUCCEEDED, UNANSWERED} from "./Client.sol";
import {Dispatch} from "./Dispatch.sol";
import {LaneHead} from "./LaneHead.sol";
import {CONTROL_LANE, DATA_LANE, HUB_TO_CHAIN, LaneMemory} from "./Lanes.sol";

/// @notice A header of the hub that proves a lane leaf, as the client of the mode believes it.
struct Head {
    uint64 height;
    uint64 time;
    bytes32 blockId;
    bool moves; // whether it is above the newest
    bool succeeded; // whether it names another validator set than its own
}

/// @notice Taking deliveries: docs/protocol.md section 9. The proof decides before anything inside is
/// believed.
abstract contract Deliveries is Dispatch {
    uint256 private constant MESSAGES_MAX = 1_000;
    /// The range of a delivery, proved.
    struct Range {
        bytes32[] leaves;
        bytes32 rootAtEnd;
        uint64 end;
    }

    /// Step 1: what can be said of a delivery before anything of it is proved.
    function admit(Client client, Delivery calldata delivery) internal view {
        LaneLeaf calldata leaf = delivery.leaf;
        ensure(!client.has(BUSY), E_STATE, "a delivery is under way");
        ensure(delivery.lengths.length <= LENGTH_BYTES * MESSAGES_MAX, E_LIMIT, "more than 1,000 messages");
        ensure(leaf.link == link, E_NOTFOUND, "no such link");
        ensure(leaf.lane <= DATA_LANE, E_NOTFOUND, "no such lane");
        ensure(leaf.direction == HUB_TO_CHAIN, E_STATE, "not the direction received");
        ensure(client.status() != FROZEN, E_STATE, "the link is frozen");
        // So whoever has taken something of a new epoch has sent again all of the one before.
        ensure(!client.has(RESUMING), E_STATE, "former epoch comes first");
    }

    /// Steps 3 to 9: takes a delivery whose leaf was proved under `head`.
    /// @return received How many messages of the lane have been taken in all.
    function takeDelivery(Client client, Delivery calldata delivery, Head memory head)
        internal
        returns (uint64 received)
    {
        LaneLeaf calldata leaf = delivery.leaf;
        ensureViewOfUs(leaf);
        LaneHead lane = loadHead(leaf.lane);
        LaneMemory memory kept = loadMemory(leaf.lane);
        // The hub has reopened its end, and nothing can pass before this one is, too.
        if (leaf.epoch > lane.peerEpoch() && leaf.peerEpoch > lane.epoch()) {
            return freeze(client, false, "the hub reopened the lane", lane.received());
        }
        ensure(leaf.epoch == lane.peerEpoch() && leaf.peerEpoch == lane.epoch(), E_STATE, "another epoch");
        bytes32 contradiction = contradicts(leaf, head.height, lane, kept);
        if (contradiction != 0) return freeze(client, false, contradiction, lane.received());
        Range memory range;
        (range, contradiction) = proveRange(delivery, lane);
        if (contradiction != 0) return freeze(client, false, contradiction, lane.received());

        bool renews = leaf.lane == CONTROL_LANE && lane.received() >= leaf.size && head.time > kept.currentAt;
        bool raises = head.moves || leaf.received > kept.taken || renews;
        ensure(raises || range.end > lane.received(), E_REPLAY, "nothing new");

        if (head.moves) {
            client = remember(client, head.height, head.time, head.blockId);
            client = client.withFlag(SUCCEEDED, head.succeeded);
        }
        if (range.end > lane.received()) {
            storeClient(client.withFlag(BUSY, true));
            received = run(leaf.lane, lane.received(), delivery);
            ensure(raises || received > lane.received(), E_LIMIT, "too little gas for a message");
            // The hub's Hello may have been among them.
            client = loadClient().withFlag(BUSY, false);
            if (received > lane.received()) storeReceived(delivery, range, received);
        } else {
            received = lane.received();
        }
        // The hub sends its answers again before it shows a head of the next epoch.
        if (leaf.lane == DATA_LANE && received >= leaf.size) client = client.withFlag(UNANSWERED, false);
        storeClient(client);
        acknowledge(leaf, head, kept, received);
        storeMemory(leaf.lane, kept);
        emit Taken(leaf.lane, received, head.height);
    }

    /// Freezes the link, and the client where that itself has been contradicted. No revert: what was
    /// proved must stay.
    function freeze(Client client, bool clientToo, bytes32 sentence, uint64 received)
        internal
        returns (uint64)
    {
        frozenSince = nowMs();
        storeClient(client.withStatus(FROZEN).withFlag(CONTRADICTED, clientToo));
        emit Frozen(clientToo, sentence);
        return received;
    }

    /// Step 3: refuses a leaf that was made under another view of this chain.
    /// @dev Where the EVM does not know the block any more, the hub's own certificate has to do.
    function ensureViewOfUs(LaneLeaf calldata leaf) private view {
        ensure(leaf.peerHeight < block.number, E_PROOF, "hub follows a block to come");
        bytes32 known = blockhash(leaf.peerHeight);
        ensure(known == 0 || known == leaf.peerId, E_PROOF, "hub follows another block");
        ensure(leaf.trustEpoch == 0, E_STATE, "trust epoch is not approved");
    }

    /// Steps 5 and 6: how the leaf contradicts what was proved, taken or sent of its lane before; zero
    /// where it does not.
    function contradicts(
        LaneLeaf calldata leaf,
        uint64 height,
        LaneHead lane,
        LaneMemory memory kept
    ) internal view returns (bytes32) {
        if (height > kept.provedHeight) {
            if (leaf.size < kept.provedSize) return "size falls";
            if (leaf.received < kept.provedReceived) return "received falls";
        } else if (height < kept.provedHeight) {
            if (leaf.size > kept.provedSize) return "size falls";
            if (leaf.received > kept.provedReceived) return "received falls";
        }
        if (leaf.size == lane.received()) {
            bytes32 taken = lane.received() == 0 ? Log.EMPTY_ROOT : receivedRoot(leaf.lane);
            if (leaf.root != taken) return "another log was taken";
        }
        if (leaf.received > lane.size()) return "more received than sent";
        if (leaf.received == lane.size() && leaf.received > kept.taken) {
            if (leaf.receivedRoot != sentRoot(leaf.lane, lane.size())) return "another log was sent";
        }
        return 0;
    }

    /// Step 7: proves the range, and that what was taken is a prefix of it.
    function proveRange(Delivery calldata delivery, LaneHead lane)
        private
        view
        returns (Range memory range, bytes32 contradiction)
    {
        LaneLeaf calldata leaf = delivery.leaf;
        if (delivery.lengths.length == 0) {
            bool empty = delivery.messages.length == 0 && delivery.range.left.length == 0 && delivery.range.right.length == 0;
            ensure(empty, E_FORMAT, "range proof without messages");
            range.end = lane.received();
            return (range, 0);
        }
        ensure(delivery.first <= lane.received(), E_STATE, "a gap before the first message");
        range.leaves = receivedLeaves(leaf, delivery.first, delivery.lengths, delivery.messages);
        range.end = delivery.first + uint64(range.leaves.length);
        bool holds;
        bytes32 rootAt;
        (holds, rootAt, range.rootAtEnd) = Log.range(
            delivery.first, range.leaves, leaf.size, leaf.root, delivery.range, lane.received()
        );
        ensure(holds, E_PROOF, "range proof fails");
        if (range.end >= lane.received() && lane.received() > 0 && rootAt != receivedRoot(leaf.lane)) {
            contradiction = "another log was taken";
        }
    }

    /// Keeps how far the lane was taken, and the root of that. Answers have changed the lane's word
    /// meanwhile, so it is read again.
    function storeReceived(Delivery calldata delivery, Range memory range, uint64 received) private {
        LaneLeaf calldata leaf = delivery.leaf;
        storeHead(leaf.lane, loadHead(leaf.lane).withReceived(received));
        bytes32 root = received == range.end
            ? range.rootAtEnd
            : Log.prefix(delivery.first, range.leaves, delivery.range.left, received);
        storeReceivedRoot(leaf.lane, root);
    }

    /// Step 9: acknowledges, frees room, and notes as of when the lane is known.
    function acknowledge(LaneLeaf calldata leaf, Head memory head, LaneMemory memory kept, uint64 received)
        private
        pure
    {
        if (head.height >= kept.provedHeight) {
            kept.provedHeight = head.height;
            kept.provedSize = leaf.size;
            kept.provedReceived = leaf.received;
        }
        if (leaf.received > kept.taken) {
            kept.taken = leaf.received;
            if (kept.markReceived == 0) (kept.markSize, kept.markReceived) = (leaf.size, leaf.received);
        }
        if (received >= leaf.size && head.time > kept.currentAt) kept.currentAt = head.time;
        // What the hub had answered when it had received so many stands in its log below this size.
        while (kept.markReceived > 0 && kept.markSize <= received) {
            kept.freed = kept.markReceived;
            bool more = kept.provedReceived > kept.markReceived;
            (kept.markSize, kept.markReceived) = more ? (kept.provedSize, kept.provedReceived) : (0, 0);
        }
    }
}
