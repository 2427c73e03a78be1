// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IControl} from "../interfaces/IControl.sol";
import {IAttestedGateway} from "../interfaces/IGateway.sol";
import {IVault} from "../interfaces/IVault.sol";
import {CLIENT_EXPIRED, FROZEN} from "../gateway/Client.sol";
import {CHAIN_TO_HUB, CONTROL_LANE, DATA_LANE} from "../gateway/Lanes.sol";
import {Canonical} from "../protocol/Canonical.sol";
import {Digests} from "../protocol/Digests.sol";
import {ANSWER_BIT, BEGIN, COUNCIL_ACT, COUNCIL_ACT_WEIGHT, HELLO} from "../protocol/Kinds.sol";
import {Log} from "../protocol/Log.sol";
import {Majority} from "../protocol/Majority.sol";
import "../protocol/Refusals.sol";
import {Signatures} from "../protocol/Signatures.sol";
import {Anchor, ControlConfig, LaneLeaf, NodeKeys, Release, Reopening} from "../protocol/Structs.sol";
import {Identities} from "./Identities.sol";

// The acts of a recovery council.
uint8 constant NEW_TRUSTED_HEADER = 1;
uint8 constant NODE_KEYS = 2;
uint8 constant REOPEN_LANE = 3;
uint8 constant RELEASE_LOCK = 4;

/// @notice The recovery council: keys of this chain's stakeholders. docs/protocol.md sections 14, 21.
/// @dev An act is announced on the control lane when its delay starts, holds once the delay is over
/// and somebody says so, and raises the trust epoch, so that the hub takes nothing under it before its
/// own quorum approves. What hangs on the link stays locked throughout, but for act 4.
abstract contract Council is Identities {
    uint64 private constant YEAR_MS = 31_536_000_000;

    /// An act that was announced and does not hold yet.
    struct Pending {
        uint8 act; // 0 for none
        uint32 trustEpoch;
        uint64 holdsFrom;
        bytes32 subject;
    }

    /// What the former epoch of a reopened lane still has to send again.
    struct Former {
        uint32 lane;
        uint32 epoch;
        uint64 next; // number of the message that comes next
        uint64 size; // of its log
        bytes32 root; // of its log
    }

    address[] private members;
    uint32 private immutable threshold;
    uint64 public immutable councilDelayMs;
    uint64 public immutable releasePeriodMs;
    /// @inheritdoc IControl
    Pending public override pendingAct;
    Former private former;

    /// @dev Checked as if it were hostile: it can never be mended (attack A62).
    constructor(ControlConfig memory config) {
        Majority.check(config.council, config.councilThreshold);
        ensure(config.councilDelayMs <= YEAR_MS, E_FORMAT, "council delay out of range");
        bool inRange = config.releasePeriodMs >= 60_000 && config.releasePeriodMs <= YEAR_MS;
        ensure(inRange, E_FORMAT, "release period out of range");
        members = config.council;
        threshold = config.councilThreshold;
        councilDelayMs = config.councilDelayMs;
        releasePeriodMs = config.releasePeriodMs;
    }

    /// @inheritdoc IControl
    function council() public view returns (address[] memory, uint32) {
        return (members, threshold);
    }

    /// @inheritdoc IControl
    /// @dev By anybody: the signatures decide. Refuses with `E_FORMAT`; `E_AUTH` for a signature of
    /// nobody in the council; `E_QUORUM`; `E_STATE` where another act waits, the trust epoch is not the
    /// next, or there is nothing to recover; and as the act itself. An act whose time has come, and that
    /// nobody let hold because it could not, gives way to the next.
    function announceAct(uint8 act, uint32 trustEpoch, bytes calldata data, bytes calldata signatures)
        external
    {
        bytes32 subject = keccak256(data);
        bytes32 digest = Digests.councilAct(gateway.chain(), act, trustEpoch, subject);
        address[] memory signers = signersOf(digest, signatures);
        ensure(signers.length >= threshold, E_QUORUM, "too few members signed");
        uint64 time = nowMs();
        if (pendingAct.act != 0) {
            ensure(time >= pendingAct.holdsFrom, E_STATE, "another act waits");
            emit ActEnded(pendingAct.act, pendingAct.trustEpoch, E_STATE);
        }
        ensure(gateway.laneLeaf(CONTROL_LANE).size > 0, E_STATE, "say Hello first");
        check(act, trustEpoch, data);
        uint64 holdsFrom = time + councilDelayMs;
        pendingAct = Pending(act, trustEpoch, holdsFrom, subject);
        emit ActAnnounced(act, trustEpoch, holdsFrom, subject, data);
        bytes memory body = abi.encode(act, trustEpoch, holdsFrom, subject, signers);
        bytes memory message = abi.encode(COUNCIL_ACT, COUNCIL_ACT_WEIGHT, uint64(0), subject, body);
        // It mends the lane: a full lane must not keep it out.
        gateway.sendControl(CONTROL_LANE, message);
    }

    /// @inheritdoc IControl
    function takeEffect(bytes calldata data) external {
        Pending memory it = pendingAct;
        ensure(it.act != 0 && keccak256(data) == it.subject, E_NOTFOUND, "no such act waits");
        ensure(nowMs() >= it.holdsFrom, E_STATE, "the delay is not over");
        delete pendingAct;
        check(it.act, it.trustEpoch, data);
        if (it.act == NEW_TRUSTED_HEADER) {
            gateway.recover(readAnchor(data));
        } else if (it.act == NODE_KEYS) {
            NodeKeys memory next = readNodeKeys(data);
            IAttestedGateway(address(gateway)).rotate(next.keys, next.threshold);
        } else if (it.act == REOPEN_LANE) {
            reopen(abi.decode(data, (Reopening)));
        } else {
            gateway.raiseTrust();
            IVault(gateway.vault()).release(abi.decode(data, (Release)).xid, it.trustEpoch);
        }
        emit ActEnded(it.act, it.trustEpoch, 0);
    }

    /// @inheritdoc IControl
    /// @dev Answers go again, and what says how things stand and asks for nothing; a Begin counts as
    /// refused; any other request is over.
    function sendAgain(uint32 lane, bytes calldata message, bytes32[] calldata path) external {
        Former memory it = former;
        ensure(it.next < it.size && lane == it.lane, E_STATE, "nothing to send again");
        bytes32 link = gateway.link();
        bytes32 leaf =
            Digests.messageLeaf(link, CHAIN_TO_HUB, lane, it.epoch, it.next, keccak256(message));
        ensure(Log.includes(leaf, it.next, it.size, path, it.root), E_PROOF, "message is not in the log");
        former.next = it.next + 1;
        uint16 kind = uint16(uint256(bytes32(message)));
        if (kind & ANSWER_BIT != 0 || kind == HELLO || kind == COUNCIL_ACT) {
            gateway.sendControl(lane, message);
        } else if (kind == BEGIN) {
            bytes32 operation = Digests.operation(link, CHAIN_TO_HUB, lane, it.epoch, it.next);
            IVault(gateway.vault()).refused(operation);
        }
        if (it.next + 1 == it.size) gateway.resume();
    }

    /// This chain's block time, in milliseconds.
    function nowMs() internal view returns (uint64) {
        return uint64(block.timestamp * 1000);
    }

    /// Refuses an act that cannot hold as things stand.
    function check(uint8 act, uint32 trustEpoch, bytes calldata data) private view {
        (uint8 status, uint8 client, uint64 since, uint32 present) = gateway.standing();
        ensure(trustEpoch == present + 1, E_STATE, "trust epoch is not the next");
        if (act == NEW_TRUSTED_HEADER) {
            Anchor memory anchor = readAnchor(data);
            ensure(status == FROZEN || client >= CLIENT_EXPIRED, E_STATE, "there is nothing to recover");
            gateway.checkAnchor(anchor);
        } else if (act == NODE_KEYS) {
            NodeKeys memory it = readNodeKeys(data);
            ensureOwn(it.link);
            Majority.check(it.keys, it.threshold);
            ensure(gateway.mode() != 1, E_UNSUPPORTED, "mode 1 has no node keys");
            bool suits = gateway.mode() == 2 ? it.keys.length == 1 : it.keys.length >= 2;
            ensure(suits, E_STATE, "another mode's number of keys");
        } else if (act == REOPEN_LANE) {
            ensure(Canonical.matches(data, 5, hex"2004040408"), E_FORMAT, "not a reopening");
            Reopening memory it = abi.decode(data, (Reopening));
            ensureOwn(it.link);
            ensure(it.lane <= DATA_LANE, E_NOTFOUND, "no such lane");
            LaneLeaf memory leaf = gateway.laneLeaf(it.lane);
            bool next = it.epoch == leaf.epoch + 1 && it.peerEpoch == leaf.peerEpoch + 1;
            ensure(next, E_STATE, "epochs are not the next");
            ensure(it.received <= leaf.size, E_STATE, "more received than sent");
            ensure(status == FROZEN, E_STATE, "the link is not frozen");
            ensure(former.next == former.size, E_STATE, "former epoch comes first");
        } else {
            ensure(act == RELEASE_LOCK, E_UNSUPPORTED, "no such act");
            ensure(Canonical.matches(data, 2, hex"2020"), E_FORMAT, "not a release");
            Release memory it = abi.decode(data, (Release));
            ensureOwn(it.link);
            bool dead = client >= CLIENT_EXPIRED && nowMs() >= since + releasePeriodMs;
            ensure(dead, E_STATE, "the release period is not over");
            (uint8 standing,,,,) = IVault(gateway.vault()).participant(it.xid);
            ensure(standing == 1, E_STATE, "it holds no lock");
        }
    }

    /// Ends a lane's epoch both ways and begins the next.
    function reopen(Reopening memory it) private {
        LaneLeaf memory leaf = gateway.laneLeaf(it.lane);
        former = Former(it.lane, leaf.epoch, it.received, leaf.size, leaf.root);
        gateway.reopen(it.lane);
        if (it.received == leaf.size) gateway.resume();
    }

    function ensureOwn(bytes32 link) private view {
        ensure(link == gateway.link(), E_FORMAT, "another link");
    }

    /// The members who signed, ascending and none twice.
    function signersOf(bytes32 digest, bytes calldata signatures)
        private
        view
        returns (address[] memory signers)
    {
        uint256 count = signatures.length / Signatures.BYTES;
        bool whole = count * Signatures.BYTES == signatures.length && count <= members.length;
        ensure(whole, E_FORMAT, "surplus or broken signatures");
        signers = new address[](count);
        uint256 member = 0;
        for (uint256 i = 0; i < count; ++i) {
            address signer = Signatures.recover(digest, signatures[65 * i:65 * i + 65]);
            while (member < members.length && members[member] < signer) ++member;
            bool found = signer != address(0) && member < members.length && members[member] == signer;
            ensure(found, E_AUTH, "no signature of a next member");
            signers[i] = signer;
            ++member;
        }
    }

    function readAnchor(bytes calldata data) private pure returns (Anchor memory) {
        ensure(Canonical.matches(data, 5, hex"20082008c00208a004d0021408"), E_FORMAT, "not an anchor");
        // A struct's fields as parameters have no offset before them; as an argument it has.
        return abi.decode(bytes.concat(bytes32(uint256(32)), data), (Anchor));
    }

    function readNodeKeys(bytes calldata data) private pure returns (NodeKeys memory) {
        ensure(Canonical.matches(data, 3, hex"20a0011404"), E_FORMAT, "not node keys");
        return abi.decode(bytes.concat(bytes32(uint256(32)), data), (NodeKeys));
    }
}
