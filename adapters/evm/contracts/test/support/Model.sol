// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RangeProof} from "../../src/protocol/Structs.sol";

/// The Merkle log as RFC 9162 writes it down: recursive, naive, and independent of the contract's own
/// code. What it makes are the proofs of these tests; `tests/vectors/log.json` says that the rules are
/// those of the other implementations.
library Model {
    bytes32 private constant NODE = keccak256("tombolo/1/node");
    bytes32 private constant EMPTY = keccak256("tombolo/1/empty-log");

    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        return root(leaves, 0, leaves.length);
    }

    /// The root over leaves `lo … hi - 1`.
    function root(bytes32[] memory leaves, uint256 lo, uint256 hi) internal pure returns (bytes32) {
        if (hi == lo) return keccak256(abi.encode(EMPTY));
        if (hi - lo == 1) return leaves[lo];
        uint256 split = 1;
        while (split * 2 < hi - lo) split *= 2;
        return keccak256(abi.encode(NODE, root(leaves, lo, lo + split), root(leaves, lo + split, hi)));
    }

    /// The proof that leaves `start … start + count - 1` stand in the log of all.
    function range(bytes32[] memory leaves, uint256 start, uint256 count)
        internal
        pure
        returns (RangeProof memory proof)
    {
        bytes32[] memory nodes = new bytes32[](128);
        uint256 used = 0;
        uint256 position = 0;
        for (uint256 level = 64; level > 0; --level) {
            uint256 width = 1 << (level - 1);
            if (start & width == 0) continue;
            nodes[used++] = root(leaves, position, position + width);
            position += width;
        }
        proof.left = cut(nodes, used);
        used = 0;
        position = start + count;
        while (position < leaves.length) {
            uint256 width = position == 0 ? 0 : position & (~position + 1);
            if (width == 0 || position + width > leaves.length) width = leaves.length - position;
            nodes[used++] = root(leaves, position, position + width);
            position += width;
        }
        proof.right = cut(nodes, used);
    }

    /// The siblings of a leaf, from the leaf up.
    function path(bytes32[] memory leaves, uint256 index) internal pure returns (bytes32[] memory) {
        return path(leaves, 0, leaves.length, index);
    }

    function path(bytes32[] memory leaves, uint256 lo, uint256 hi, uint256 index)
        private
        pure
        returns (bytes32[] memory nodes)
    {
        if (hi - lo == 1) return new bytes32[](0);
        uint256 split = 1;
        while (split * 2 < hi - lo) split *= 2;
        bool isLeft = index < lo + split;
        bytes32[] memory inner =
            isLeft ? path(leaves, lo, lo + split, index) : path(leaves, lo + split, hi, index);
        nodes = new bytes32[](inner.length + 1);
        for (uint256 i = 0; i < inner.length; ++i) nodes[i] = inner[i];
        nodes[inner.length] = isLeft ? root(leaves, lo + split, hi) : root(leaves, lo, lo + split);
    }

    function cut(bytes32[] memory nodes, uint256 length) private pure returns (bytes32[] memory kept) {
        kept = new bytes32[](length);
        for (uint256 i = 0; i < length; ++i) kept[i] = nodes[i];
    }
}
