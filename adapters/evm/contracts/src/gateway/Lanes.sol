// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Digests, TAG_EVM_LANE, TAG_MESSAGE} from "../protocol/Digests.sol";
import {Log} from "../protocol/Log.sol";
import {E_FORMAT, E_LIMIT, ensure} from "../protocol/Refusals.sol";
import {LaneLeaf} from "../protocol/Structs.sol";
import {ClientState} from "./ClientState.sol";
import {LaneHead, LaneHeadWord} from "./LaneHead.sol";

// Which way a lane's messages go.
uint8 constant HUB_TO_CHAIN = 0;
uint8 constant CHAIN_TO_HUB = 1;

// The lane of Hello, identities, schemas and council acts.
uint32 constant CONTROL_LANE = 0;
// The lane of shares and two-phase commit.
uint32 constant DATA_LANE = 1;

/// @notice What a gateway remembers of a lane besides what it commits to: docs/protocol.md section 21.
struct LaneMemory {
    uint64 taken; // of those sent, how many the hub has
    uint64 freed; // how many oblige nothing any more
    uint64 markSize; // once the hub's log up to here has come,
    uint64 markReceived; // so many of those sent oblige nothing more; 0 for no mark
    uint64 provedHeight; // of the hub's header that last proved something of the lane
    uint64 provedSize;
    uint64 provedReceived;
    uint64 currentAt; // time of the newest header under which all of the lane was taken
}

/// @notice Lanes as storage, and appending to them.
/// @dev The places are fixed by ADR 0008, so that a verifier needs no layout from a compiler.
abstract contract Lanes is ClientState {
    uint256 private constant ROOT = 1;
    uint256 private constant PEAKS = 2;
    uint256 private constant MEMORY = 64;
    /// Bytes in which a delivery says how long a message is.
    uint256 internal constant LENGTH_BYTES = 3;
    /// The largest encoded message.
    uint256 internal constant MESSAGE_BYTES_MAX = 64 * 1024;

    constructor() {
        LaneHead head = LaneHeadWord.begin(1, 1, 0);
        storeHead(CONTROL_LANE, head);
        storeHead(DATA_LANE, head);
    }

    /// Where a lane begins.
    function slotOf(uint32 lane) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(TAG_EVM_LANE, lane)));
    }

    function loadHead(uint32 lane) internal view returns (LaneHead) {
        return LaneHead.wrap(read(slotOf(lane)));
    }

    function storeHead(uint32 lane, LaneHead head) internal {
        write(slotOf(lane), LaneHead.unwrap(head));
    }

    /// The root of what was taken; zero where that is nothing.
    function receivedRoot(uint32 lane) internal view returns (bytes32) {
        return bytes32(read(slotOf(lane) + ROOT));
    }

    function storeReceivedRoot(uint32 lane, bytes32 root) internal {
        write(slotOf(lane) + ROOT, uint256(root));
    }

    /// Reads what is remembered besides.
    function loadMemory(uint32 lane) internal view returns (LaneMemory memory remembered) {
        uint256 slot = slotOf(lane) + MEMORY;
        uint256 word = read(slot);
        remembered.taken = uint64(word >> 192);
        remembered.freed = uint64(word >> 128);
        remembered.markSize = uint64(word >> 64);
        remembered.markReceived = uint64(word);
        word = read(slot + 1);
        remembered.provedHeight = uint64(word >> 192);
        remembered.provedSize = uint64(word >> 128);
        remembered.provedReceived = uint64(word >> 64);
        remembered.currentAt = uint64(word);
    }

    function storeMemory(uint32 lane, LaneMemory memory remembered) internal {
        uint256 slot = slotOf(lane) + MEMORY;
        write(
            slot,
            uint256(remembered.taken) << 192 | uint256(remembered.freed) << 128
                | uint256(remembered.markSize) << 64 | remembered.markReceived
        );
        write(
            slot + 1,
            uint256(remembered.provedHeight) << 192 | uint256(remembered.provedSize) << 128
                | uint256(remembered.provedReceived) << 64 | remembered.currentAt
        );
    }

    /// The root of what was sent: the fold of the peaks that the size selects.
    function sentRoot(uint32 lane, uint256 size) internal view returns (bytes32 root) {
        uint256 peaks = slotOf(lane) + PEAKS;
        for (uint256 i = 0; size >> i != 0; ++i) {
            if (size >> i & 1 == 0) continue;
            bytes32 peak = bytes32(read(peaks + i));
            root = root == 0 ? peak : Log.node(peak, root);
        }
        if (root == 0) root = Log.EMPTY_ROOT;
    }

    /// Appends a message to a lane: its leaf to the peaks, its body to an event that names the
    /// block of the one before, so that a reader walks back without an index.
    function append(uint32 lane, bytes memory message) internal returns (uint64 number) {
        ensure(message.length <= MESSAGE_BYTES_MAX, E_LIMIT, "message above 64 KiB");
        LaneHead head = loadHead(lane);
        number = head.size();
        bytes32 carry =
            Digests.messageLeaf(link, CHAIN_TO_HUB, lane, head.epoch(), number, keccak256(message));
        uint256 peaks = slotOf(lane) + PEAKS;
        uint256 level = 0;
        for (; number >> level & 1 == 1; ++level) {
            carry = Log.node(bytes32(read(peaks + level)), carry);
        }
        write(peaks + level, uint256(carry));
        emit Sent(lane, number, head.epoch(), head.newestBlock(), message);
        storeHead(lane, head.withSent(uint64(block.number)));
    }

    /// The leaves of messages that came, from number `first` on. Refuses lengths that do not cover the
    /// messages exactly.
    /// @dev In assembly: nothing but number and hash differs from leaf to leaf, and each message is hashed
    /// from the same place in memory, which is not allocated.
    function receivedLeaves(
        LaneLeaf calldata leaf,
        uint64 first,
        bytes calldata lengths,
        bytes calldata messages
    ) internal view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](lengths.length / LENGTH_BYTES);
        bytes memory preimage =
            abi.encode(TAG_MESSAGE, link, HUB_TO_CHAIN, leaf.lane, leaf.epoch, first, bytes32(0));
        bool covers;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            let start := messages.offset
            let from := lengths.offset
            let to := add(leaves, 32)
            for { let end := add(to, mul(mload(leaves), 32)) } lt(to, end) { to := add(to, 32) } {
                let length := shr(232, calldataload(from))
                // One that reaches too far is hashed over strange bytes, and refused in the end.
                calldatacopy(buffer, start, length)
                mstore(add(preimage, 224), keccak256(buffer, length))
                mstore(to, keccak256(add(preimage, 32), 224))
                mstore(add(preimage, 192), add(mload(add(preimage, 192)), 1))
                start := add(start, length)
                from := add(from, 3)
            }
            covers := and(
                eq(start, add(messages.offset, messages.length)),
                eq(from, add(lengths.offset, lengths.length))
            )
        }
        ensure(covers, E_FORMAT, "lengths do not suit messages");
    }

    /// Refuses a request where too many are unfinished.
    function ensureRoom(uint32 lane) internal view {
        uint64 unfinished = loadHead(lane).size() - loadMemory(lane).freed;
        ensure(unfinished < backlogMax, E_LIMIT, "the lane is full");
    }

    /// Forgets under which of the hub's headers lanes were proved: a false one may have been among
    /// them. What was taken and acknowledged stays. docs/protocol.md section 14.
    function forgetProved() internal {
        for (uint32 lane = CONTROL_LANE; lane <= DATA_LANE; ++lane) {
            LaneMemory memory remembered = loadMemory(lane);
            remembered.provedHeight = 0;
            remembered.provedSize = 0;
            remembered.provedReceived = 0;
            storeMemory(lane, remembered);
        }
    }

    function read(uint256 slot) private view returns (uint256 word) {
        assembly ("memory-safe") {
            word := sload(slot)
        }
    }

    function write(uint256 slot, uint256 word) private {
        assembly ("memory-safe") {
            sstore(slot, word)
        }
    }
}
