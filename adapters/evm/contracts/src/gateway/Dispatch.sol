// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILaneReceiver} from "../interfaces/ILaneReceiver.sol";
import {IVault} from "../interfaces/IVault.sol";
import {Digests} from "../protocol/Digests.sol";
import "../protocol/Kinds.sol";
import {E_FORMAT, E_LIMIT, E_STATE, E_TIMEOUT, E_UNSUPPORTED, E_VERSION, IRefusal} from "../protocol/Refusals.sol";
import {Delivery} from "../protocol/Structs.sol";
import {OPEN, UNANSWERED} from "./Client.sol";
import {CHAIN_TO_HUB, DATA_LANE, Lanes} from "./Lanes.sol";

/// @notice Taking messages that were proved: docs/protocol.md section 8.
/// @dev Every message is its own unit, called with exactly the gas that its weight grants. A relayer's
/// gas limit never decides an outcome: where it does not suffice, the batch ends before the message.
/// What is done for each message is in assembly where that halves it.
abstract contract Dispatch is Lanes {
    /// Gas of one unit of weight. ADR 0009
    uint256 private constant WEIGHT_GAS = 100_000;
    /// What is left after a message's call: an answer that opens a new level of the log (87,000), and
    /// the words of lane and client at the end, all of them new (100,000).
    uint256 private constant RESERVE_GAS = 200_000;
    /// For each message left: pushing its leaf once more where the batch ends early.
    uint256 private constant RESERVE_GAS_EACH = 400;

    /// The kinds that a gateway takes as requests, each as its bit.
    uint256 private constant TAKEN = 1 << HELLO | 1 << IDENTITY_UPDATE | 1 << SCHEMA_UPDATE | 1 << SHARE
        | 1 << PREPARE | DECISIONS;
    uint256 private constant DECISIONS = 1 << COMMIT | 1 << ABORT;

    /// A message as it is taken.
    struct Incoming {
        uint32 lane;
        uint256 number;
        uint256 reserve; // gas that must be left after its call
        uint256 kind;
        uint256 weight;
        uint256 notAfter;
        bytes32 salt;
        uint256 body; // where it begins in calldata
        uint256 bodyBytes;
    }

    /// Takes the messages of a proved delivery from number `from` on, in order. Says up to where it came.
    function run(uint32 lane, uint64 from, Delivery calldata delivery) internal returns (uint64) {
        (uint256 start, uint256 lengthAt, uint256 left) = skip(delivery, from - delivery.first);
        Incoming memory it;
        it.lane = lane;
        it.number = from;
        bool isOpen = false;
        uint256 free;
        assembly ("memory-safe") {
            free := mload(0x40)
        }
        // Numbers are below 2^62, and there are at most 1,000 messages.
        unchecked {
            for (; left > 0; --left) {
                uint256 length;
                assembly ("memory-safe") {
                    length := shr(232, calldataload(lengthAt))
                    // Nothing of a message is needed once it was taken; without this a thousand refusals
                    // would pay for each other's memory.
                    mstore(0x40, free)
                }
                it.reserve = RESERVE_GAS + RESERVE_GAS_EACH * left;
                // A link that was open stays so while its messages are taken.
                if (!isOpen) isOpen = loadClient().status() == OPEN;
                if (!takeMessage(it, start, length, isOpen)) break;
                it.number += 1;
                start += length;
                lengthAt += LENGTH_BYTES;
            }
        }
        return uint64(it.number);
    }

    /// Where in calldata the message behind the first `count` begins, where its length stands, and how
    /// many there are from it on.
    function skip(Delivery calldata delivery, uint256 count)
        private
        pure
        returns (uint256 start, uint256 lengthAt, uint256 left)
    {
        bytes calldata lengths = delivery.lengths;
        bytes calldata messages = delivery.messages;
        left = lengths.length / LENGTH_BYTES - count;
        assembly ("memory-safe") {
            start := messages.offset
            lengthAt := lengths.offset
            for { let end := add(lengthAt, mul(3, count)) } lt(lengthAt, end) { lengthAt := add(lengthAt, 3) } {
                start := add(start, shr(232, calldataload(lengthAt)))
            }
        }
    }

    /// Takes one message, or says that there is too little gas for it.
    function takeMessage(Incoming memory it, uint256 start, uint256 length, bool isOpen)
        private
        returns (bool)
    {
        if (!read(it, start, length)) return gasleft() >= it.reserve && takeUnreadable(it, length);
        // The kind's bit among all kinds; no bit where it is none.
        uint256 kind = 1 << it.kind;
        if (kind & TAKEN == 0) return gasleft() >= it.reserve && takeOther(it);
        (uint8 class, bytes32 sentence) = admitMessage(it, kind, isOpen);
        if (class == 0) {
            uint256 granted;
            unchecked {
                // A weight is at most 1,000 here.
                granted = it.weight * WEIGHT_GAS;
                if (kind & DECISIONS != 0 && it.weight < DECISION_WEIGHT) {
                    granted = DECISION_WEIGHT * WEIGHT_GAS;
                }
                if (gasleft() < granted * 64 / 63 + it.reserve) return false;
            }
            (bool done, uint256 result) = callReceiver(it, granted);
            if (done) {
                // A share ends here, and with it most messages.
                if (kind >= 1 << PREPARE) answerResult(it, kind & DECISIONS != 0, result);
                return true;
            }
            (class, sentence) = refusalAt(result);
            // A decision that can be read is never taken without being applied: the lane waits. So it
            // does while the vault is at work for whoever delivers from within (attack A16).
            bool waits = kind & DECISIONS != 0 ? class != E_FORMAT : class == E_STATE;
            if (kind >= 1 << PREPARE && waits) return false;
        } else if (gasleft() < it.reserve) {
            return false;
        }
        answerRefusal(it, class, sentence);
        return true;
    }

    /// What a request is refused for before anybody reads its body; class 0 where it is not.
    function admitMessage(Incoming memory it, uint256 kind, bool isOpen)
        private
        view
        returns (uint8, bytes32)
    {
        if (it.weight > weightMax) return (E_LIMIT, "heavier than weight max");
        if (kind & DECISIONS != 0) return (0, 0);
        if (!isOpen && kind != 1 << HELLO) return (E_STATE, "the link is not open");
        if (it.notAfter != 0 && nowMs() > it.notAfter) return (E_TIMEOUT, "not_after has passed");
        return (0, 0);
    }

    /// Takes a message of a kind that nobody here takes as a request.
    function takeOther(Incoming memory it) private returns (bool) {
        if (it.kind & ANSWER_BIT != 0) return takeAnswer(it);
        bool known = it.kind == COUNCIL_ACT || it.kind == BEGIN;
        if (known) answerRefusal(it, E_UNSUPPORTED, "a gateway takes none of these");
        else answerRefusal(it, E_VERSION, "unknown message kind");
        return true;
    }

    /// Takes a message that is too large or not canonical. The latter is not answered, for nothing says
    /// that it is a request; of the former its first word does.
    function takeUnreadable(Incoming memory it, uint256 length) private returns (bool) {
        if (length <= MESSAGE_BYTES_MAX) {
            emit Unreadable(it.lane, uint64(it.number));
        } else if (it.kind & ANSWER_BIT == 0) {
            it.salt = 0;
            answerRefusal(it, E_LIMIT, "message above 64 KiB");
        }
        return true;
    }

    /// Takes an answer. It is never answered, and only the refusal of a Begin has an effect, for which
    /// one word in the vault is flipped: of its body no more is read than which request it answers.
    function takeAnswer(Incoming memory it) private returns (bool) {
        if (it.kind != REFUSED || it.bodyBytes < 32) {
            if (it.kind != VOTE && it.kind != DONE) emit Unreadable(it.lane, uint64(it.number));
            return true;
        }
        if (it.lane != DATA_LANE) return true;
        if (gasleft() < WEIGHT_GAS * 64 / 63 + it.reserve) return false;
        uint256 request;
        uint256 body = it.body;
        assembly ("memory-safe") {
            request := calldataload(body)
        }
        uint32 epoch = loadClient().has(UNANSWERED) ? answersEpoch : loadHead(it.lane).epoch();
        bytes32 operation = Digests.operation(link, CHAIN_TO_HUB, it.lane, epoch, uint64(request));
        try IVault(vault).refused{gas: WEIGHT_GAS}(operation) {} catch {}
        return true;
    }

    /// Reads a message and says whether it is canonical and not too large: kind, weight, not_after, salt,
    /// offset of the body; its length, itself, zeros up to a whole word.
    /// @param start Where the message begins in calldata.
    /// @param bytes_ Its length.
    function read(Incoming memory it, uint256 start, uint256 bytes_) private pure returns (bool) {
        uint256 fault;
        assembly ("memory-safe") {
            let kind := calldataload(start)
            let weight := calldataload(add(start, 32))
            let notAfter := calldataload(add(start, 64))
            let length := calldataload(add(start, 160))
            mstore(add(it, 96), kind)
            mstore(add(it, 128), weight)
            mstore(add(it, 160), notAfter)
            mstore(add(it, 192), calldataload(add(start, 96)))
            mstore(add(it, 224), add(start, 192))
            mstore(add(it, 256), length)
            let end := add(192, and(add(length, 31), not(31)))
            // A length above what any message has must not wrap around to one that fits.
            fault := or(or(shr(16, kind), shr(64, or(or(weight, notAfter), length))), gt(bytes_, 65536))
            fault := or(fault, or(xor(calldataload(add(start, 128)), 160), xor(end, bytes_)))
            // What stands between the body's end and that of its last word, of which so many bits are left.
            let behind := add(192, length)
            let kept := sub(256, shl(3, sub(end, behind)))
            fault := or(fault, shr(kept, calldataload(add(start, behind))))
        }
        return fault == 0;
    }

    /// Calls `takeRequest` of the receiver with exactly `granted` gas, which the caller has made sure of.
    /// @dev In assembly: the body is copied once, nothing is allocated, and of what comes back no more
    /// is copied than three words of a result or the 68 bytes of a refusal. A callee that returns or
    /// reverts with megabytes costs nobody but itself.
    /// @return done Whether it returned.
    /// @return result Where in memory its three words, or its refusal, stand until something is allocated.
    function callReceiver(Incoming memory it, uint256 granted) private returns (bool done, uint256 result) {
        address receiver = it.kind == SHARE ? registry : it.kind > SHARE ? vault : control;
        bytes4 selector = ILaneReceiver.takeRequest.selector;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            let length := mload(add(it, 256))
            let padded := and(add(length, 31), not(31))
            mstore(buffer, selector)
            mstore(add(buffer, 4), mload(add(it, 96)))
            mstore(add(buffer, 36), mload(add(it, 32)))
            mstore(add(buffer, 68), 96)
            mstore(add(buffer, 100), length)
            // The padding of the body is zero in the message, so it is copied with it.
            calldatacopy(add(buffer, 132), mload(add(it, 224)), padded)
            done := call(granted, receiver, 0, buffer, add(132, padded), buffer, 96)
            // A receiver without code returns nothing.
            done := and(done, gt(returndatasize(), 95))
            result := buffer
        }
    }

    /// Why the receiver that was just called took nothing.
    function refusalAt(uint256 result) private pure returns (uint8 class, bytes32 sentence) {
        bytes4 refusal = IRefusal.Refuse.selector;
        bool refused;
        assembly ("memory-safe") {
            class := and(mload(add(result, 4)), 0xff)
            sentence := mload(add(result, 36))
            refused := and(eq(returndatasize(), 68), eq(shr(224, mload(result)), shr(224, refusal)))
        }
        if (!refused) (class, sentence) = (E_LIMIT, "the message used up its weight");
    }

    /// Answers a Prepare with the vote, or a decision with its having been applied.
    function answerResult(Incoming memory it, bool decided, uint256 result) private {
        bytes32 xid;
        uint8 class;
        bytes32 sentence;
        assembly ("memory-safe") {
            xid := mload(result)
            class := and(mload(add(result, 32)), 0xff)
            sentence := mload(add(result, 64))
        }
        if (decided) answer(it, DONE, abi.encode(it.number, xid));
        else answer(it, VOTE, abi.encode(it.number, xid, class == 0, class, text(sentence)));
    }

    function answerRefusal(Incoming memory it, uint8 class, bytes32 sentence) private {
        answer(it, REFUSED, abi.encode(it.number, class, text(sentence)));
    }

    /// Appends an answer over the lane of the request, with its salt.
    function answer(Incoming memory it, uint16 kind, bytes memory body) private {
        append(it.lane, abi.encode(kind, ANSWER_WEIGHT, uint64(0), it.salt, body));
    }

    /// A sentence without its padding.
    function text(bytes32 sentence) private pure returns (string memory) {
        uint256 length = 0;
        while (length < 32 && sentence[length] != 0) ++length;
        bytes memory bytes_ = new bytes(length);
        for (uint256 i = 0; i < length; ++i) bytes_[i] = sentence[i];
        return string(bytes_);
    }
}
