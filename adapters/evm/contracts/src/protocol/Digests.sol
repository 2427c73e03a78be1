// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Header, LaneLeaf, ValidatorSet} from "./Structs.sol";

// What is hashed, and how: docs/protocol.md section 2. Every preimage is a tag and 32-byte words.

bytes32 constant TAG_ACCOUNT_BEGINNER = keccak256("tombolo/1/account-beginner");
bytes32 constant TAG_AUTHORISATION = keccak256("tombolo/1/authorisation");
bytes32 constant TAG_BINDING = keccak256("tombolo/1/binding");
bytes32 constant TAG_BRANCH = keccak256("tombolo/1/branch");
bytes32 constant TAG_COUNCIL = keccak256("tombolo/1/council");
bytes32 constant TAG_DATA = keccak256("tombolo/1/data");
bytes32 constant TAG_EMPTY_LOG = keccak256("tombolo/1/empty-log");
bytes32 constant TAG_ENVELOPE = keccak256("tombolo/1/envelope");
bytes32 constant TAG_EVM_CHAIN = keccak256("tombolo/1/evm-chain");
bytes32 constant TAG_EVM_CLIENT = keccak256("tombolo/1/evm-client");
bytes32 constant TAG_EVM_LANE = keccak256("tombolo/1/evm-lane");
bytes32 constant TAG_FINGERPRINT = keccak256("tombolo/1/fingerprint");
bytes32 constant TAG_HEAD = keccak256("tombolo/1/head");
bytes32 constant TAG_LANE_LEAF = keccak256("tombolo/1/lane-leaf");
bytes32 constant TAG_LINK = keccak256("tombolo/1/link");
bytes32 constant TAG_MESSAGE = keccak256("tombolo/1/message");
bytes32 constant TAG_NODE = keccak256("tombolo/1/node");
bytes32 constant TAG_OPERATION = keccak256("tombolo/1/operation");
bytes32 constant TAG_PRECOMMIT = keccak256("tombolo/1/precommit");
bytes32 constant TAG_SCHEMA = keccak256("tombolo/1/schema");
bytes32 constant TAG_VALIDATORS = keccak256("tombolo/1/validators");
bytes32 constant TAG_VOUCHER = keccak256("tombolo/1/voucher");
bytes32 constant TAG_XID = keccak256("tombolo/1/xid");

/// @notice One function for each kind of thing that is hashed.
library Digests {
    /// @notice The id of an EVM chain.
    function evmChain(uint256 eip155, bytes32 genesis) internal pure returns (bytes32) {
        return keccak256(abi.encode(TAG_EVM_CHAIN, eip155, genesis));
    }

    /// @notice The relation of a chain's gateway to the hub.
    function link(bytes32 hub, bytes32 chain, address gateway, uint32 incarnation)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(TAG_LINK, hub, chain, gateway, incarnation));
    }

    /// @notice The block of a header. Its first word is its version; it needs no tag.
    function blockId(Header calldata header) internal pure returns (bytes32 id) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            calldatacopy(buffer, header, 480)
            id := keccak256(buffer, 480)
        }
    }

    /// @notice What a ledger commits to for a lane.
    function laneLeaf(LaneLeaf calldata leaf) internal pure returns (bytes32 hash) {
        bytes32 tag = TAG_LANE_LEAF;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, tag)
            calldatacopy(add(buffer, 32), leaf, 384)
            hash := keccak256(buffer, 416)
        }
    }

    /// @notice The leaf of one message in its lane.
    function messageLeaf(
        bytes32 link_,
        uint8 direction,
        uint32 lane,
        uint32 epoch,
        uint64 number,
        bytes32 messageHash
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(TAG_MESSAGE, link_, direction, lane, epoch, number, messageHash));
    }

    /// @notice What a validator signs to commit to a block.
    function precommit(bytes32 chain, uint64 height, uint32 round, bytes32 id)
        internal
        pure
        returns (bytes32 digest)
    {
        bytes32 tag = TAG_PRECOMMIT;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, tag)
            mstore(add(buffer, 32), chain)
            mstore(add(buffer, 64), height)
            mstore(add(buffer, 96), round)
            mstore(add(buffer, 128), id)
            digest := keccak256(buffer, 160)
        }
    }

    /// @notice The root that headers hold for a validator set. No root occurs twice on a chain.
    function validatorsRoot(ValidatorSet memory set) internal pure returns (bytes32) {
        uint256 members = set.validators.length;
        bytes32[] memory words = new bytes32[](2 + 2 * members);
        words[0] = TAG_VALIDATORS;
        words[1] = bytes32(uint256(set.firstHeight));
        for (uint256 i = 0; i < members; ++i) {
            words[2 + 2 * i] = bytes32(uint256(uint160(set.validators[i].validator)));
            words[3 + 2 * i] = bytes32(uint256(set.validators[i].power));
        }
        return keccak256(abi.encodePacked(words));
    }

    /// @notice What a node of mode 2 or 3 signs. ADR 0010.
    function head(uint32 keyEpoch, bytes32 leaf, uint64 height, bytes32 id, uint64 time)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(TAG_HEAD, keyEpoch, leaf, height, id, time));
    }

    /// @notice What members of a recovery council sign.
    function councilAct(bytes32 chain, uint8 act, uint32 trustEpoch, bytes32 subject)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(TAG_COUNCIL, chain, act, trustEpoch, subject));
    }

    /// @notice What both keys sign to bind an account on a chain to an identity.
    function binding(bytes32 hub, bytes32 chain, address account, bytes32 identity, uint64 nonce)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(TAG_BINDING, hub, chain, account, identity, nonce));
    }

    /// @notice A data item, from where and whose it first was.
    function dataId(bytes32 home, bytes32 owner, bytes memory localId) internal pure returns (bytes32) {
        return keccak256(abi.encode(TAG_DATA, home, owner, keccak256(localId)));
    }

    /// @notice The exact content of a canonical envelope, which holds its own salt.
    function fingerprint(bytes calldata envelope) internal pure returns (bytes32) {
        return ofBytes(TAG_FINGERPRINT, envelope);
    }

    /// @notice What a device signs of its canonical envelope.
    function signedEnvelope(bytes calldata envelope) internal pure returns (bytes32) {
        return ofBytes(TAG_ENVELOPE, envelope);
    }

    /// @notice A registered data structure.
    function schema(bytes memory definition) internal pure returns (bytes32) {
        return keccak256(abi.encode(TAG_SCHEMA, keccak256(definition)));
    }

    /// @notice One branch of a two-phase commit, without authorisations.
    function branch(bytes calldata encoded) internal pure returns (bytes32) {
        return ofBytes(TAG_BRANCH, encoded);
    }

    /// @notice A two-phase commit, from its canonically encoded terms.
    /// @dev The words of the preimage are the four first words of the encoding and the hashes of
    /// the branches, which stand behind their offset and their number.
    function xid(bytes calldata terms) internal pure returns (bytes32) {
        return keccak256(bytes.concat(TAG_XID, terms[:128], terms[192:]));
    }

    /// @notice What a party signs to authorise a two-phase commit.
    function authorisation(bytes32 id) internal pure returns (bytes32) {
        return keccak256(abi.encode(TAG_AUTHORISATION, id));
    }

    /// @notice The beginner of a two-phase commit that an account of this chain begins.
    function accountBeginner(bytes32 link_, address account) internal pure returns (bytes32) {
        return keccak256(abi.encode(TAG_ACCOUNT_BEGINNER, link_, account));
    }

    /// @notice The id of an asset away from its home.
    function voucher(bytes32 home, bytes32 asset) internal pure returns (bytes32) {
        return keccak256(abi.encode(TAG_VOUCHER, home, asset));
    }

    /// @notice What an operation is known by that a message of this chain begins.
    function operation(bytes32 link_, uint8 direction, uint32 lane, uint32 epoch, uint64 number)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(TAG_OPERATION, link_, direction, lane, epoch, number));
    }

    function ofBytes(bytes32 tag, bytes calldata content) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            calldatacopy(buffer, content.offset, content.length)
            let digest := keccak256(buffer, content.length)
            mstore(0, tag)
            mstore(32, digest)
            hash := keccak256(0, 64)
        }
    }
}
