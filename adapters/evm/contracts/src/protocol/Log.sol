// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TAG_EMPTY_LOG, TAG_NODE} from "./Digests.sol";
import {RangeProof} from "./Structs.sol";

/// @notice The Merkle log of lanes and lanes tree: docs/protocol.md section 4.
/// @dev A log is known by its *peaks*: the roots of the complete trees that its size is made of,
/// the highest first. Here they are a stack in memory, and a leaf is pushed onto it as one is added to
/// a binary counter. In assembly, because fifty leaves in plain Solidity cost a thousand gas each.
library Log {
    /// The largest number of leaves; positions then never overflow.
    uint256 internal constant SIZE_MAX = 1 << 62;
    /// The root of the log without leaves.
    bytes32 internal constant EMPTY_ROOT = keccak256(abi.encode(TAG_EMPTY_LOG));

    /// @notice The node above two others.
    function node(bytes32 left, bytes32 right) internal pure returns (bytes32 hash) {
        bytes32 tag = TAG_NODE;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, tag)
            mstore(add(buffer, 32), left)
            mstore(add(buffer, 64), right)
            hash := keccak256(buffer, 96)
        }
    }

    /// @notice Whether `leaves` stand at `start` in the log of `size` leaves under `root`.
    /// @param within A position from `start` to the end of the range; else no prefix is computed.
    /// @return holds Whether the proof holds, every node of it used.
    /// @return rootAt The root of the first `within` leaves.
    /// @return rootAtEnd The root of the leaves up to the end of the range.
    function range(
        uint256 start,
        bytes32[] memory leaves,
        uint256 size,
        bytes32 root,
        RangeProof calldata proof,
        uint256 within
    ) internal pure returns (bool holds, bytes32 rootAt, bytes32 rootAtEnd) {
        if (size > SIZE_MAX || start > size || leaves.length > size - start || root == 0) {
            return (false, 0, 0);
        }
        if (proof.left.length != popcount(start) || !noneZero(proof.left) || !noneZero(proof.right)) {
            return (false, 0, 0);
        }
        (uint256 bottom, uint256 top) = stack(proof.left);
        uint256 position = start;
        uint256 end = start + leaves.length;
        if (within >= start && within <= end) {
            top = pushLeaves(bottom, top, leaves, 0, position, within);
            rootAt = fold(bottom, top);
            position = within;
        }
        top = pushLeaves(bottom, top, leaves, position - start, position, end);
        rootAtEnd = fold(bottom, top);
        (holds, top) = pushRight(bottom, top, end, size, proof.right);
        holds = holds && fold(bottom, top) == root;
    }

    /// @notice The root of the first `count` leaves, of which those from `start` on are given.
    /// @dev For a batch that ended early. The proof has been checked by `range`.
    function prefix(uint256 start, bytes32[] memory leaves, bytes32[] calldata left, uint256 count)
        internal
        pure
        returns (bytes32)
    {
        (uint256 bottom, uint256 top) = stack(left);
        return fold(bottom, pushLeaves(bottom, top, leaves, 0, start, count));
    }

    /// @notice Whether `leaf` stands at `index` in the log of `size` leaves under `root`.
    function includes(bytes32 leaf, uint256 index, uint256 size, bytes32[] calldata path, bytes32 root)
        internal
        pure
        returns (bool)
    {
        if (size > SIZE_MAX || index >= size || leaf == 0 || root == 0) return false;
        uint256 used = 0;
        bytes32 reached = leaf;
        for (uint256 last = size - 1; last > 0; last >>= 1) {
            // A node that is last in its row and a left child has no sibling: it rises as it is.
            if (index & 1 == 1 || index < last) {
                if (used == path.length) return false;
                bytes32 sibling = path[used];
                if (sibling == 0) return false;
                reached = index & 1 == 1 ? node(sibling, reached) : node(reached, sibling);
                unchecked {
                    ++used;
                }
            }
            index >>= 1;
        }
        return used == path.length && reached == root;
    }

    /// @notice How many one-bits a number has.
    function popcount(uint256 number) internal pure returns (uint256 ones) {
        for (; number != 0; number &= number - 1) ++ones;
    }

    function noneZero(bytes32[] calldata nodes) private pure returns (bool none) {
        none = true;
        assembly ("memory-safe") {
            let place := nodes.offset
            for { let end := add(place, mul(nodes.length, 32)) } lt(place, end) { place := add(place, 32) } {
                none := and(none, gt(calldataload(place), 0))
            }
        }
    }

    /// A stack of these peaks, at most 62. The three words before its bottom are the preimage of a
    /// node, of which the tag is laid once. A log below `SIZE_MAX` never has more than 62 peaks; one
    /// word more is for the ragged rest.
    function stack(bytes32[] calldata peaks) private pure returns (uint256 bottom, uint256 top) {
        bytes32 tag = TAG_NODE;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, tag)
            bottom := add(buffer, 96)
            let length := mul(peaks.length, 32)
            calldatacopy(bottom, peaks.offset, length)
            top := add(bottom, length)
            mstore(0x40, add(bottom, mul(64, 32)))
        }
    }

    /// Pushes leaves number `from …` so that the log grows from `position` to `until` leaves.
    function pushLeaves(
        uint256 bottom,
        uint256 top,
        bytes32[] memory leaves,
        uint256 from,
        uint256 position,
        uint256 until
    ) private pure returns (uint256) {
        assembly ("memory-safe") {
            let buffer := sub(bottom, 96)
            let left := sub(bottom, 64)
            let right := sub(bottom, 32)
            let leaf := add(add(leaves, 32), mul(from, 32))
            for {} lt(position, until) {} {
                let carry := mload(leaf)
                // Each trailing one-bit of the position is a complete tree of equal size to the left.
                for { let counter := position } and(counter, 1) { counter := shr(1, counter) } {
                    top := sub(top, 32)
                    mstore(left, mload(top))
                    mstore(right, carry)
                    carry := keccak256(buffer, 96)
                }
                mstore(top, carry)
                top := add(top, 32)
                leaf := add(leaf, 32)
                position := add(position, 1)
            }
        }
        return top;
    }

    /// Pushes what lies right of `position` up to `size`; false where nodes are missing or left over.
    function pushRight(
        uint256 bottom,
        uint256 top,
        uint256 position,
        uint256 size,
        bytes32[] calldata right
    ) private pure returns (bool, uint256) {
        uint256 used = 0;
        while (position < size) {
            if (used == right.length) return (false, top);
            bytes32 carry = right[used++];
            // The complete tree of as many leaves as the lowest one-bit of the position says.
            uint256 width;
            unchecked {
                width = position & (0 - position);
            }
            if (width == 0 || width > size - position) {
                // The ragged rest stands right of all peaks.
                assembly ("memory-safe") {
                    mstore(top, carry)
                    top := add(top, 32)
                }
                position = size;
            } else {
                assembly ("memory-safe") {
                    let buffer := sub(bottom, 96)
                    for { let counter := div(position, width) } and(counter, 1) { counter := shr(1, counter) } {
                        top := sub(top, 32)
                        mstore(add(buffer, 32), mload(top))
                        mstore(add(buffer, 64), carry)
                        carry := keccak256(buffer, 96)
                    }
                    mstore(top, carry)
                    top := add(top, 32)
                }
                position += width;
            }
        }
        return (used == right.length, top);
    }

    /// The root over the peaks between `bottom` and `top`, which stay as they are.
    function fold(uint256 bottom, uint256 top) private pure returns (bytes32 root) {
        if (bottom == top) return EMPTY_ROOT;
        assembly ("memory-safe") {
            let buffer := sub(bottom, 96)
            let peak := sub(top, 32)
            root := mload(peak)
            for {} gt(peak, bottom) {} {
                peak := sub(peak, 32)
                mstore(add(buffer, 32), mload(peak))
                mstore(add(buffer, 64), root)
                root := keccak256(buffer, 96)
            }
        }
    }
}
