// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CHAIN_TO_HUB, DATA_LANE} from "./gateway/Lanes.sol";
import {IControl} from "./interfaces/IControl.sol";
import {IGateway} from "./interfaces/IGateway.sol";
import {ILaneReceiver} from "./interfaces/ILaneReceiver.sol";
import {IRegistry, ShareOrder} from "./interfaces/IRegistry.sol";
import {Digests} from "./protocol/Digests.sol";
import {CLASS_CLOSED, CLASS_OPEN, SHARE} from "./protocol/Kinds.sol";
import "./protocol/Refusals.sol";
import {Signatures} from "./protocol/Signatures.sol";

/// @notice Open data, and the class of every item that is known here: docs/protocol.md sections 12, 21.
/// @dev Envelopes are not read: the hub judges them when they cross. One word for each item, from high
/// to low version (32), standing (8), hash of its content (216).
contract Registry is IRegistry {
    struct Item {
        uint256 word;
    }

    /// A copy of an open item that lives elsewhere.
    uint8 private constant COPY = 1;
    /// An open item whose home this is.
    uint8 private constant OWN = 2;
    /// A closed item, wherever it is now.
    uint8 private constant CLOSED = 3;

    uint256 private constant ENVELOPE_BYTES_MAX = 16 * 1024;
    uint256 private constant LOCAL_ID_BYTES_MAX = 64;
    uint256 private constant TERMS_BYTES_MAX = 256;

    // Where fields stand in the body of a share.
    uint256 private constant SOURCE_CHAIN = 32;
    uint256 private constant DESTINATION_CHAIN = 96;
    uint256 private constant DATA_ID = 128;
    uint256 private constant ITEM_VERSION = 160;
    uint256 private constant CLASS = 192;
    uint256 private constant FINGERPRINT = 256;

    IGateway public immutable gateway;
    IControl private immutable control;
    address private immutable vault;
    bytes32 private immutable chain;
    mapping(bytes32 dataId => Item) private items;

    constructor(IGateway gateway_) {
        ensure(gateway_.registry() == address(this), E_STATE, "gateway names another");
        gateway = gateway_;
        control = IControl(gateway_.control());
        vault = gateway_.vault();
        chain = gateway_.chain();
    }

    /// @inheritdoc ILaneReceiver
    /// @dev The copy of an open item. What is read of the body is read in place, because this is what
    /// most deliveries are made of.
    function takeRequest(uint256, uint256, bytes calldata body) external returns (bytes32, uint8, bytes32) {
        ensure(msg.sender == address(gateway), E_DENIED, "for the gateway alone");
        bytes calldata envelope = readShare(body);
        ensure(wordAt(body, DESTINATION_CHAIN) == chain, E_FORMAT, "for another chain");
        uint256 class = uint256(wordAt(body, CLASS));
        if (class != CLASS_OPEN) {
            // Both ends check, grant or not. Req: Y4560-6.3-2
            ensure(class == CLASS_CLOSED, E_FORMAT, "no such class");
            refuse(E_CLOSED_COPY, "a closed item is never copied");
        }
        bytes32 fingerprint = wordAt(body, FINGERPRINT);
        ensure(Digests.fingerprint(envelope) == fingerprint, E_TAMPER, "another fingerprint");
        uint256 version = uint256(wordAt(body, ITEM_VERSION));
        uint256 copy = word(version, COPY, content(fingerprint, wordAt(body, SOURCE_CHAIN)));
        Item storage item_ = items[wordAt(body, DATA_ID)];
        uint256 known = item_.word;
        if (known != 0) {
            if (known == copy) return (0, 0, 0);
            uint8 standing = standingOf(known);
            ensure(standing != CLOSED, E_CLOSED_COPY, "the item is closed");
            ensure(standing == COPY, E_STATE, "the item lives here");
            ensure(version > versionOf(known), E_REPLAY, "no version after the one here");
        }
        item_.word = copy;
        return (0, 0, 0);
    }

    /// @inheritdoc IRegistry
    function share(ShareOrder calldata order) external returns (uint64 number) {
        ensure(printable(bytes(order.localId)) && bytes(order.localId).length > 0, E_FORMAT, "local id");
        ensure(printable(bytes(order.terms)), E_FORMAT, "terms are not printable ASCII");
        ensure(order.destination != chain, E_FORMAT, "the item is on this chain");
        ensure(bytes(order.localId).length <= LOCAL_ID_BYTES_MAX, E_LIMIT, "local id above 64 bytes");
        ensure(bytes(order.terms).length <= TERMS_BYTES_MAX, E_LIMIT, "terms above 256 bytes");
        ensure(order.envelope.length <= ENVELOPE_BYTES_MAX, E_LIMIT, "envelope above 16 KiB");
        address signer = Signatures.recover(Digests.signedEnvelope(order.envelope), order.signature);
        ensure(signer != address(0), E_AUTH, "envelope is not signed");
        control.requireFreshView();
        // Whoever else got hold of a signed envelope must not decide where it goes.
        bool allowed = msg.sender == signer || control.identityOf(msg.sender) == order.owner;
        ensure(allowed && order.owner != 0, E_DENIED, "neither device nor owner");
        bytes32 dataId = Digests.dataId(chain, order.owner, bytes(order.localId));
        bytes32 fingerprint = Digests.fingerprint(order.envelope);
        enter(dataId, order.itemVersion, fingerprint);
        number = gateway.send(SHARE, order.notAfter, order.salt, encode(order, dataId, fingerprint));
        emit Shared(dataId, order.itemVersion, fingerprint, number);
    }

    /// @inheritdoc IRegistry
    function close(bytes32 dataId) external {
        ensure(msg.sender == vault, E_DENIED, "for the vault alone");
        uint256 known = items[dataId].word;
        if (known == 0) {
            items[dataId].word = word(0, CLOSED, 0);
        } else {
            // The class of an item never changes (attack A46).
            ensure(standingOf(known) == CLOSED, E_STATE, "the item is open");
        }
    }

    /// @inheritdoc IRegistry
    function item(bytes32 dataId) external view returns (uint32 itemVersion, uint8 standing) {
        uint256 known = items[dataId].word;
        return (versionOf(known), standingOf(known));
    }

    /// @inheritdoc IRegistry
    function isAnchored(bytes32 dataId, uint32 itemVersion, bytes32 fingerprint, bytes32 sourceChain)
        external
        view
        returns (bool)
    {
        return items[dataId].word == word(itemVersion, COPY, content(fingerprint, sourceChain));
    }

    /// Enters a version of an item whose home this is: the first, the one that is here, or the next.
    function enter(bytes32 dataId, uint32 itemVersion, bytes32 fingerprint) private {
        uint256 known = items[dataId].word;
        uint256 entered = word(itemVersion, OWN, content(fingerprint, chain));
        if (known == entered) return;
        uint8 standing = standingOf(known);
        ensure(standing != CLOSED, E_CLOSED_COPY, "a closed item is never copied");
        ensure(standing != COPY, E_DENIED, "a copy; share it from its home");
        ensure(itemVersion > versionOf(known), E_REPLAY, "another content of that version");
        ensure(itemVersion == versionOf(known) + 1, E_STATE, "a version is left out");
        items[dataId].word = entered;
    }

    function encode(ShareOrder calldata order, bytes32 dataId, bytes32 fingerprint)
        private
        view
        returns (bytes memory)
    {
        return abi.encode(
            gateway.nextOperation(DATA_LANE),
            chain,
            uint64(block.number),
            order.destination,
            dataId,
            order.itemVersion,
            CLASS_OPEN,
            order.schema,
            fingerprint,
            order.owner,
            order.terms,
            order.envelope,
            order.device,
            order.signature
        );
    }

    /// The envelope in the body of a share, or `E_FORMAT` where that is not canonical: fourteen words, of
    /// which four are offsets and three are numbers; then terms, envelope and signature, each with its
    /// length before it and zeros behind it.
    function readShare(bytes calldata body) private pure returns (bytes calldata envelope) {
        uint256 fault;
        assembly ("memory-safe") {
            // What stands between bytes that end at `behind` and the end of their last word.
            function dirt(behind, end) -> found {
                found := shr(sub(256, shl(3, sub(end, behind))), calldataload(behind))
            }
            let base := body.offset
            fault := or(shr(64, calldataload(add(base, 64))), shr(32, calldataload(add(base, 160))))
            fault := or(fault, or(shr(8, calldataload(add(base, 192))), xor(calldataload(add(base, 320)), 448)))
            // Terms. Where a length is more than any message has, it is a fault, whatever follows.
            let length := calldataload(add(base, 448))
            let end := add(add(base, 480), and(add(length, 31), not(31)))
            fault := or(fault, or(shr(17, length), dirt(add(add(base, 480), length), end)))
            // Envelope.
            fault := or(fault, xor(calldataload(add(base, 352)), sub(end, base)))
            length := calldataload(end)
            envelope.offset := add(end, 32)
            envelope.length := length
            end := add(envelope.offset, and(add(length, 31), not(31)))
            fault := or(fault, or(shr(17, length), dirt(add(envelope.offset, length), end)))
            // Signature: its length, two words, and one byte with zeros behind it, with which the body ends.
            fault := or(fault, xor(calldataload(add(base, 416)), sub(end, base)))
            fault := or(fault, or(xor(calldataload(end), 65), shl(8, calldataload(add(end, 96)))))
            fault := or(fault, xor(sub(add(end, 128), base), body.length))
        }
        ensure(fault == 0, E_FORMAT, "not a share");
    }

    /// A word of the body of a share.
    function wordAt(bytes calldata body, uint256 place) private pure returns (bytes32 found) {
        assembly ("memory-safe") {
            found := calldataload(add(body.offset, place))
        }
    }

    function content(bytes32 fingerprint, bytes32 source) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            mstore(0, fingerprint)
            mstore(32, source)
            hash := keccak256(0, 64)
        }
    }

    /// The word of an item. The version is below 2^32.
    function word(uint256 version, uint256 standing, bytes32 hash) private pure returns (uint256) {
        return version << 224 | standing << 216 | uint256(hash) >> 40;
    }

    function versionOf(uint256 known) private pure returns (uint32) {
        return uint32(known >> 224);
    }

    function standingOf(uint256 known) private pure returns (uint8) {
        return uint8(known >> 216);
    }

    function printable(bytes calldata text) private pure returns (bool) {
        for (uint256 i = 0; i < text.length; ++i) {
            if (text[i] < 0x20 || text[i] > 0x7e) return false;
        }
        return true;
    }
}
