// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Canonical} from "../src/protocol/Canonical.sol";
import {TAG_EMPTY_LOG, TAG_LANE_LEAF, TAG_MESSAGE, TAG_NODE} from "../src/protocol/Digests.sol";
import {Log} from "../src/protocol/Log.sol";
import "../src/protocol/Structs.sol";
import {Check} from "./support/Check.sol";
import {Model} from "./support/Model.sol";

contract LogSubject {
    function range(
        uint256 start,
        bytes32[] memory leaves,
        uint256 size,
        bytes32 root,
        RangeProof calldata proof,
        uint256 within
    ) external pure returns (bool holds, bytes32 rootAt, bytes32 rootAtEnd) {
        return Log.range(start, leaves, size, root, proof, within);
    }

    function prefix(uint256 start, bytes32[] memory leaves, bytes32[] calldata left, uint256 count)
        external
        pure
        returns (bytes32)
    {
        return Log.prefix(start, leaves, left, count);
    }

    function includes(bytes32 leaf, uint256 index, uint256 size, bytes32[] calldata path, bytes32 root)
        external
        pure
        returns (bool)
    {
        return Log.includes(leaf, index, size, path, root);
    }

    function matches(bytes calldata data, uint256 count, bytes memory shape) external pure returns (bool) {
        return Canonical.matches(data, count, shape);
    }
}

/// The Merkle log beside its naive model, and what is no proof.
contract LogTest is Check {
    LogSubject private log = new LogSubject();

    function leavesOf(uint256 size) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) leaves[i] = keccak256(abi.encode("leaf", i));
    }

    function part(bytes32[] memory leaves, uint256 start, uint256 count)
        private
        pure
        returns (bytes32[] memory chosen)
    {
        chosen = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) chosen[i] = leaves[start + i];
    }

    function testFuzz_range_agrees_with_the_model(uint8 a, uint8 b, uint8 c, uint8 d) external view {
        uint256 size = uint256(a) % 150;
        uint256 start = size == 0 ? 0 : uint256(b) % (size + 1);
        uint256 count = uint256(c) % (size - start + 1);
        uint256 within = start + uint256(d) % (count + 1);
        bytes32[] memory leaves = leavesOf(size);
        RangeProof memory proof = Model.range(leaves, start, count);
        bytes32[] memory chosen = part(leaves, start, count);
        bytes32 root = Model.root(leaves);
        (bool holds, bytes32 rootAt, bytes32 rootAtEnd) = log.range(start, chosen, size, root, proof, within);
        isTrue(holds, "the proof holds");
        equal(rootAt, Model.root(leaves, 0, within), "root within");
        equal(rootAtEnd, Model.root(leaves, 0, start + count), "root at the end");
        equal(log.prefix(start, chosen, proof.left, within), rootAt, "prefix");
    }

    function testFuzz_inclusion_agrees_with_the_model(uint8 a, uint8 b) external view {
        uint256 size = uint256(a) % 150 + 1;
        uint256 index = uint256(b) % size;
        bytes32[] memory leaves = leavesOf(size);
        bytes32 root = Model.root(leaves);
        isTrue(log.includes(leaves[index], index, size, Model.path(leaves, index), root), "it stands there");
    }

    /// One node more, fewer, changed, swapped, or zero: refused, on each side.
    function test_a02_every_node_of_a_range_proof_counts() external view {
        bytes32[] memory leaves = leavesOf(37);
        bytes32 root = Model.root(leaves);
        bytes32[] memory chosen = part(leaves, 15, 2);
        RangeProof memory proof = Model.range(leaves, 15, 2);
        for (uint256 side = 0; side < 2; ++side) {
            bytes32[] memory nodes = side == 0 ? proof.left : proof.right;
            for (uint256 i = 0; i < nodes.length; ++i) {
                bytes32 kept = nodes[i];
                nodes[i] = kept ^ bytes32(uint256(1));
                refused(15, chosen, 37, root, proof);
                nodes[i] = 0;
                refused(15, chosen, 37, root, proof);
                nodes[i] = kept;
                if (i > 0) {
                    (nodes[i], nodes[i - 1]) = (nodes[i - 1], nodes[i]);
                    refused(15, chosen, 37, root, proof);
                    (nodes[i], nodes[i - 1]) = (nodes[i - 1], nodes[i]);
                }
            }
            bytes32[] memory more = new bytes32[](nodes.length + 1);
            for (uint256 i = 0; i < nodes.length; ++i) more[i] = nodes[i];
            more[nodes.length] = keccak256("surplus");
            bytes32[] memory fewer = part(nodes, 0, nodes.length - 1);
            RangeProof memory long = side == 0 ? RangeProof(more, proof.right) : RangeProof(proof.left, more);
            RangeProof memory short = side == 0 ? RangeProof(fewer, proof.right) : RangeProof(proof.left, fewer);
            refused(15, chosen, 37, root, long);
            refused(15, chosen, 37, root, short);
        }
    }

    function test_a04_a_range_must_lie_in_the_log() external view {
        bytes32[] memory leaves = leavesOf(8);
        bytes32 root = Model.root(leaves);
        RangeProof memory none = RangeProof(new bytes32[](0), new bytes32[](0));
        refused(8, leavesOf(1), 8, root, Model.range(leaves, 8, 0));
        refused(9, new bytes32[](0), 8, root, none);
        refused(0, leavesOf(9), 8, root, none);
        refused(0, leaves, 7, root, none);
        refused(0, leaves, 9, root, none);
        refused(type(uint256).max, leavesOf(1), 8, root, none);
        refused(0, leavesOf(1), (1 << 62) + 1, leavesOf(1)[0], none);
    }

    /// A node where a leaf should be: the size says how deep leaves stand. Where it is whoever proves that
    /// says the size, as of the lanes tree, the leaf's own tag keeps nodes out.
    function test_a03_no_node_passes_for_a_leaf() external view {
        bytes32[] memory leaves = leavesOf(8);
        bytes32 root = Model.root(leaves);
        bytes32[] memory path = Model.path(leaves, 0);
        RangeProof memory proof = Model.range(leaves, 0, 1);
        bytes32[] memory chosen = new bytes32[](1);
        for (uint256 level = 1; level < 3; ++level) {
            chosen[0] = Model.root(leaves, 0, 1 << level);
            bytes32[] memory rest = part(path, level, path.length - level);
            isTrue(!log.includes(chosen[0], 0, 8, rest, root), "inclusion");
            isTrue(log.includes(chosen[0], 0, 8 >> level, rest, root), "but for the size it would be one");
            rest = part(proof.right, level, proof.right.length - level);
            refused(0, chosen, 8, root, RangeProof(proof.left, rest));
        }
        bool distinct = TAG_NODE != TAG_LANE_LEAF && TAG_NODE != TAG_MESSAGE && TAG_NODE != TAG_EMPTY_LOG;
        isTrue(distinct, "no leaf is hashed as a node");
    }

    function test_a04_an_index_must_be_below_the_count() external view {
        bytes32[] memory leaves = leavesOf(5);
        bytes32 root = Model.root(leaves);
        bytes32[] memory path = Model.path(leaves, 4);
        isTrue(log.includes(leaves[4], 4, 5, path, root), "the last one");
        isTrue(!log.includes(leaves[4], 5, 5, path, root), "index at the count");
        isTrue(!log.includes(leaves[4], 4, 4, path, root), "a smaller count");
        isTrue(!log.includes(leaves[4], 0, 0, path, root), "no leaves");
        isTrue(!log.includes(root, 0, 1, path, root), "a path left over");
        isTrue(!log.includes(leaves[4], type(uint256).max, 5, path, root), "an absurd index");
        isTrue(log.includes(root, 0, 1, new bytes32[](0), root), "a log of one");
    }

    function test_a01_zero_proves_nothing() external view {
        RangeProof memory none = RangeProof(new bytes32[](0), new bytes32[](0));
        refused(0, new bytes32[](0), 0, 0, none);
        refused(0, new bytes32[](1), 1, 0, none);
        isTrue(!log.includes(0, 0, 1, new bytes32[](0), 0), "zero leaf under zero root");
        isTrue(!log.includes(0, 0, 2, new bytes32[](1), 0), "zero sibling");
    }

    function refused(uint256 start, bytes32[] memory leaves, uint256 size, bytes32 root, RangeProof memory proof)
        private
        view
    {
        (bool holds,,) = log.range(start, leaves, size, root, proof, start);
        isTrue(!holds, "no proof");
    }

    /// `Canonical` beside what the compiler encodes: it takes that, and no byte otherwise.
    function testFuzz_canonical_takes_what_is_encoded_and_nothing_else(
        bytes32 word,
        uint64 number,
        bytes memory text,
        address[] memory list,
        Authorisation[] memory many,
        uint16 place
    ) external view {
        for (uint256 i = 0; i < many.length; ++i) {
            many[i].signature = i % 2 == 0 ? new bytes(65) : bytes("x");
        }
        bytes memory shape = hex"2008b0a00114a005c0030414b020";
        bytes memory data = abi.encode(word, number, text, list, many, word);
        isTrue(log.matches(data, 6, shape), "as encoded");
        isTrue(!log.matches(bytes.concat(data, bytes32(0)), 6, shape), "a word more");
        isTrue(!log.matches(bytes.concat(data, hex"00"), 6, shape), "a byte more");
        data[place % data.length] ^= 0x80;
        if (!log.matches(data, 6, shape)) return;
        // Then another value, spelled canonically.
        (bytes32 a, uint64 b, bytes memory c, address[] memory d, Authorisation[] memory e, bytes32 f) =
            abi.decode(data, (bytes32, uint64, bytes, address[], Authorisation[], bytes32));
        equal(keccak256(abi.encode(a, b, c, d, e, f)), keccak256(data), "encodes to the same bytes");
    }

    function test_canonical_refuses_other_spellings() external view {
        bytes memory shape = hex"20b1";
        bytes memory right = abi.encode(bytes32("a"), new bytes(65));
        isTrue(log.matches(right, 2, shape), "a signature");
        isTrue(!log.matches(abi.encode(bytes32("a"), new bytes(64)), 2, shape), "64 bytes");
        isTrue(!log.matches(abi.encodePacked(bytes32("a"), uint256(96), bytes32(0), right), 2, shape), "a gap");
        isTrue(!log.matches("", 2, shape), "nothing");
        bytes memory endless = abi.encode(bytes32("a"), uint256(64), type(uint256).max);
        isTrue(!log.matches(endless, 2, hex"20b0"), "an absurd length");
        isTrue(!log.matches(endless, 2, hex"20a00120"), "an absurd count");
        isTrue(!log.matches(abi.encode(uint256(256)), 1, hex"01"), "a number out of range");
        isTrue(log.matches(abi.encode(uint256(255)), 1, hex"01"), "a number in range");
    }
}
