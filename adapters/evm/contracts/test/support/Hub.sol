// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../../src/protocol/Kinds.sol";
import "../../src/protocol/Structs.sol";
import {Artifacts} from "./Artifacts.sol";
import {Model} from "./Model.sol";

/// One lane as the hub sees it.
struct HubLane {
    uint32 epoch;
    uint32 peerEpoch;
    uint64 received;
    bytes32 receivedRoot;
    bytes[] messages;
    bytes32[] leaves;
}

/// A hub that follows the rules of docs/protocol.md: it appends, seals headers that its validators sign,
/// and proves. Headers, lanes trees and proofs are generated here, not recorded from a hub; that the
/// rules are the hub's own is what the vectors show.
abstract contract Hub is Artifacts {
    bytes32 internal constant HUB = keccak256("a hub");
    bytes32 private constant MESSAGE = keccak256("tombolo/1/message");
    bytes32 private constant LEAF = keccak256("tombolo/1/lane-leaf");
    bytes32 private constant PRECOMMIT = keccak256("tombolo/1/precommit");
    bytes32 private constant VALIDATORS = keccak256("tombolo/1/validators");

    /// Keys of the validators, ascending by address; each has a power of 10.
    uint256[] internal validatorKeys;
    uint64 internal setFrom = 1;
    uint64 internal hubHeight = 10;
    uint64 internal hubTime;
    bytes32 internal parent = keccak256("block 10");
    bytes32 internal hubLink;
    HubLane[2] internal hubLanes;
    /// Leaves of other links that stand before this link's two in the lanes tree.
    bytes32[] internal otherLeaves;

    function beginHub(uint256 validators) internal {
        delete validatorKeys;
        for (uint256 i = 0; i < validators; ++i) validatorKeys.push(uint256(keccak256(abi.encode("key", i))));
        sortByAddress(validatorKeys);
        for (uint256 i = 0; i < 3; ++i) otherLeaves.push(keccak256(abi.encode("other lane", i)));
        for (uint256 i = 0; i < 2; ++i) {
            hubLanes[i].epoch = 1;
            hubLanes[i].peerEpoch = 1;
            hubLanes[i].receivedRoot = Model.root(new bytes32[](0));
        }
        hubTime = timeMs();
    }

    function sortByAddress(uint256[] storage keys) internal {
        for (uint256 i = 1; i < keys.length; ++i) {
            for (uint256 j = i; j > 0 && vm.addr(keys[j]) < vm.addr(keys[j - 1]); --j) {
                (keys[j], keys[j - 1]) = (keys[j - 1], keys[j]);
            }
        }
    }

    function validatorSet() internal view returns (ValidatorSet memory set) {
        return setOf(validatorKeys, setFrom);
    }

    function setOf(uint256[] memory keys, uint64 firstHeight) internal pure returns (ValidatorSet memory set) {
        set.firstHeight = firstHeight;
        set.validators = new Validator[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) set.validators[i] = Validator(vm.addr(keys[i]), 10);
    }

    function rootOf(ValidatorSet memory set) internal pure returns (bytes32) {
        bytes memory preimage = abi.encode(VALIDATORS, set.firstHeight);
        for (uint256 i = 0; i < set.validators.length; ++i) {
            preimage = abi.encodePacked(preimage, abi.encode(set.validators[i]));
        }
        return keccak256(preimage);
    }

    function anchorOfHub() internal view returns (Anchor memory) {
        return Anchor(HUB, hubHeight, parent, hubTime, validatorSet());
    }

    // --- Lanes ---------------------------------------------------------------------------------

    /// Appends a message to a lane of the hub.
    function hubAppend(uint32 lane, bytes memory encoded) internal returns (uint64 number) {
        HubLane storage it = hubLanes[lane];
        number = uint64(it.messages.length);
        it.messages.push(encoded);
        it.leaves.push(
            keccak256(abi.encode(MESSAGE, hubLink, 0, lane, it.epoch, number, keccak256(encoded)))
        );
    }

    function laneLeafOf(uint32 lane) internal view returns (LaneLeaf memory leaf) {
        HubLane storage it = hubLanes[lane];
        leaf.link = hubLink;
        leaf.lane = lane;
        leaf.epoch = it.epoch;
        leaf.size = uint64(it.leaves.length);
        leaf.root = Model.root(it.leaves);
        leaf.peerEpoch = it.peerEpoch;
        leaf.received = it.received;
        leaf.receivedRoot = it.receivedRoot;
        leaf.peerHeight = uint64(vm.getBlockNumber() - 1);
        leaf.peerId = blockhash(vm.getBlockNumber() - 1);
    }

    function hashOf(LaneLeaf memory leaf) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(LEAF, abi.encode(leaf)));
    }

    /// The leaves of the lanes tree, this link's two last.
    function lanesTree(LaneLeaf memory control, LaneLeaf memory data)
        internal
        view
        returns (bytes32[] memory tree)
    {
        tree = new bytes32[](otherLeaves.length + 2);
        for (uint256 i = 0; i < otherLeaves.length; ++i) tree[i] = otherLeaves[i];
        tree[otherLeaves.length] = hashOf(control);
        tree[otherLeaves.length + 1] = hashOf(data);
    }

    // --- Headers -------------------------------------------------------------------------------

    /// The next header over a lanes root, its time that of this chain or one later than before.
    function nextHeader(bytes32 lanesRoot) internal returns (Header memory header) {
        hubHeight += 1;
        uint64 time = timeMs();
        hubTime = time > hubTime ? time : hubTime + 1;
        header = headerAt(hubHeight, hubTime, lanesRoot);
        parent = keccak256(abi.encode(header));
    }

    function headerAt(uint64 height, uint64 time, bytes32 lanesRoot)
        internal
        view
        returns (Header memory header)
    {
        bytes32 root = rootOf(validatorSet());
        header.version = 1;
        header.chainId = HUB;
        header.height = height;
        header.time = time;
        header.parent = parent;
        header.transactionsRoot = keccak256("transactions");
        header.lanesRoot = lanesRoot;
        header.logRoot = keccak256("log");
        header.logSize = 7;
        header.writesDigest = keccak256("writes");
        header.validatorsRoot = root;
        header.nextValidatorsRoot = root;
    }

    /// Certifies a header by as few members as suffice.
    function certify(Header memory header) internal view returns (CertifiedHeader memory) {
        return certifyBy(header, validatorKeys, setFrom, validatorKeys.length * 2 / 3 + 1);
    }

    function certifyBy(Header memory header, uint256[] memory keys, uint64 from, uint256 signers)
        internal
        pure
        returns (CertifiedHeader memory certified)
    {
        certified.header = header;
        certified.round = 2;
        certified.validators = setOf(keys, from);
        bytes32 digest = precommit(header, 2);
        for (uint256 i = 0; i < signers; ++i) {
            certified.signatures = bytes.concat(certified.signatures, signed(keys[i], digest));
        }
    }

    function precommit(Header memory header, uint32 round) internal pure returns (bytes32) {
        bytes32 id = keccak256(abi.encode(header));
        return keccak256(abi.encode(PRECOMMIT, header.chainId, header.height, round, id));
    }

    function signed(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    // --- Deliveries ----------------------------------------------------------------------------

    /// Seals a header over all lanes, and proves a lane's leaf under it.
    function prove(uint32 lane) internal returns (LaneLeaf memory leaf, HubProof memory proof) {
        LaneLeaf memory control = laneLeafOf(CONTROL);
        LaneLeaf memory data = laneLeafOf(DATA);
        return proveLeaves(lane, control, data);
    }

    uint32 internal constant CONTROL = 0;
    uint32 internal constant DATA = 1;

    function proveLeaves(uint32 lane, LaneLeaf memory control, LaneLeaf memory data)
        internal
        returns (LaneLeaf memory leaf, HubProof memory proof)
    {
        bytes32[] memory tree = lanesTree(control, data);
        leaf = lane == CONTROL ? control : data;
        proof.certified = certify(nextHeader(Model.root(tree)));
        proof.index = otherLeaves.length + lane > 0 ? uint64(otherLeaves.length + lane) : 0;
        proof.count = uint64(tree.length);
        proof.path = Model.path(tree, proof.index);
    }

    /// A delivery of `count` messages from `first` on, and what proves it.
    function delivery(uint32 lane, uint64 first, uint64 count)
        internal
        returns (Delivery memory it, HubProof memory proof)
    {
        (it.leaf, proof) = prove(lane);
        (it.first, it.lengths, it.messages, it.range) = batch(lane, first, count);
    }

    function batch(uint32 lane, uint64 first, uint64 count)
        internal
        view
        returns (uint64, bytes memory lengths, bytes memory messages, RangeProof memory range)
    {
        for (uint64 i = 0; i < count; ++i) {
            bytes memory encoded = hubLanes[lane].messages[first + i];
            lengths = abi.encodePacked(lengths, uint24(encoded.length));
            messages = abi.encodePacked(messages, encoded);
        }
        if (count > 0) range = Model.range(hubLanes[lane].leaves, first, count);
        return (first, lengths, messages, range);
    }

    // --- Messages ------------------------------------------------------------------------------

    function message(uint16 kind, uint64 weight, bytes memory body) internal pure returns (bytes memory) {
        return abi.encode(kind, weight, uint64(0), keccak256("salt"), body);
    }

    /// A dynamic struct's fields as the parameters of a call: without the offset before it.
    function fields(bytes memory encoded) internal pure returns (bytes memory) {
        return slice(encoded, 32, encoded.length - 32);
    }

    function slice(bytes memory from, uint256 start, uint256 length) internal pure returns (bytes memory out) {
        out = new bytes(length);
        for (uint256 i = 0; i < length; ++i) out[i] = from[start + i];
    }
}
