// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DATA_LANE} from "../gateway/Lanes.sol";
import {Canonical} from "../protocol/Canonical.sol";
import {Digests} from "../protocol/Digests.sol";
import "../protocol/Kinds.sol";
import "../protocol/Refusals.sol";
import "../protocol/Structs.sol";
import {Assets} from "./Assets.sol";
import {Calls} from "./Calls.sol";
import {ClosedItems} from "./ClosedItems.sol";
import {Consents} from "./Consents.sol";
import {Hold} from "./Hold.sol";

/// @notice The participant of two-phase commit: docs/protocol.md section 11.
/// @dev Prepare does all that can fail. After a yes nothing but a decision, or the recovery council's
/// recorded release, frees a lock: no function here takes a time and releases. Commit and Abort change
/// words of this vault and of `Items`, and call nobody else.
abstract contract Participants is Assets, ClosedItems, Calls, Consents {
    uint8 private constant PREPARED = 1;
    uint8 private constant REFUSED_HERE = 2;
    uint8 private constant COMMITTED = 3;
    uint8 private constant ABORTED = 4;
    uint8 private constant RELEASED = 5;

    uint256 private constant ACTIONS_MAX = 8;
    /// Gas that is kept from the locks of a Prepare, to remember that they could not be had.
    uint256 private constant KEPT_GAS = 100_000;

    struct Participant {
        uint64 deadline; // of its terms, in milliseconds
        uint8 standing;
        uint8 class; // of the no
        uint8 actions; // holds that it may have
        uint32 trustEpoch; // to which its release led
        uint8 decided; // what the hub decided of what was released
        bool refused; // the hub refused the Begin that prepared it
    }

    mapping(bytes32 xid => Participant) private participants;
    /// The two-phase commit that a Begin began, by the global id of that message.
    mapping(bytes32 operation => bytes32 xid) private begun;

    function participant(bytes32 xid)
        external
        view
        returns (uint8 standing, uint8 class, uint64 deadline, uint32 trustEpoch, uint8 decided)
    {
        Participant memory it = participants[xid];
        return (it.standing, it.class, it.deadline, it.trustEpoch, it.decided);
    }

    function begin(bytes calldata terms, bytes[] calldata branches, Authorisation[] calldata authorisations)
        external
        nonReentrant
        returns (bytes32 xid)
    {
        Terms calldata read = readTerms(terms);
        bytes32[] calldata hashes = read.branches;
        ensure(branches.length == hashes.length && branches.length <= 8, E_FORMAT, "branches of the terms");
        ensure(read.beginner == Digests.accountBeginner(link, msg.sender), E_AUTH, "another beginner");
        uint256 own = type(uint256).max;
        for (uint256 i = 0; i < branches.length; ++i) {
            ensure(Digests.branch(branches[i]) == hashes[i], E_TAMPER, "another branch");
            if (readBranch(branches[i]).link != link) continue;
            ensure(own == type(uint256).max, E_FORMAT, "two branches of this link");
            own = i;
        }
        ensure(own < branches.length, E_FORMAT, "no branch of this link");
        xid = Digests.xid(terms);
        uint64 deadline = read.deadline;
        ensure(participants[xid].standing == 0, E_REPLAY, "it has begun");
        ensure(nowMs() < deadline, E_TIMEOUT, "the deadline has passed");
        ensure(read.hub == gateway.hub(), E_FORMAT, "another hub");
        Branch calldata branch = readBranch(branches[own]);
        (uint8 class, bytes32 sentence) = checkParties(xid, uint32(own), branch, authorisations, true);
        ensure(class == 0, class, sentence);
        participants[xid] =
            Participant(deadline, PREPARED, 0, uint8(branch.actions.length), 0, 0, false);
        lockActions(xid, branch);
        emit Prepared(xid, deadline);
        begun[gateway.nextOperation(DATA_LANE)] = xid;
        gateway.send(BEGIN, deadline, read.salt, abi.encode(terms, branches, authorisations));
    }

    function refused(bytes32 operation) external {
        ensure(msg.sender == address(gateway) || msg.sender == address(control), E_DENIED, "for the gateway");
        Participant storage it = participants[begun[operation]];
        if (it.standing == PREPARED) it.refused = true;
    }

    function free(bytes32 xid) external nonReentrant {
        Participant storage it = participants[xid];
        ensure(it.refused && it.standing == PREPARED, E_STATE, "no refused Begin holds a lock");
        it.standing = ABORTED;
        end(xid, it.actions, false);
        emit Ended(xid, ABORTED, false);
    }

    function release(bytes32 xid, uint32 trustEpoch) external nonReentrant {
        ensure(msg.sender == address(control), E_DENIED, "for control alone");
        Participant storage it = participants[xid];
        ensure(it.standing == PREPARED, E_STATE, "it holds no lock");
        (it.standing, it.trustEpoch) = (RELEASED, trustEpoch);
        end(xid, it.actions, false);
        emit Ended(xid, RELEASED, false);
    }

    function retry(bytes32 xid, uint256 index) external nonReentrant {
        uint8 standing = participants[xid].standing;
        ensure(standing >= COMMITTED, E_STATE, "it is not decided");
        carryOut(xid, index, standing == COMMITTED);
    }

    /// @notice Locks all actions of a branch, or reverts. From this vault's own Prepare alone: what has
    /// been locked before an action that cannot be is undone with the call.
    function lockAll(bytes32 xid, bytes calldata branch) external {
        ensure(msg.sender == address(this), E_DENIED, "for the vault alone");
        lockActions(xid, asBranch(branch));
    }

    /// Takes a Prepare and votes. A known one gets the answer that it had.
    function prepare(bytes calldata body) internal returns (bytes32 xid, uint8 class, bytes32 sentence) {
        ensure(Canonical.matches(body, 4, hex"b004b0a005c0030414b1"), E_FORMAT, "not a prepare");
        Prepare calldata it;
        assembly ("memory-safe") {
            it := body.offset
        }
        Terms calldata terms = readTerms(it.terms);
        Branch calldata branch = readBranch(it.branch);
        xid = Digests.xid(it.terms);
        Participant memory known = participants[xid];
        uint64 deadline = terms.deadline;
        bool passed = nowMs() >= deadline;
        // What is settled and over is taken for unknown, so that it cannot begin again.
        bool forgotten = passed && (known.standing != PREPARED && known.standing != RELEASED);
        if (known.standing != 0 && !forgotten) {
            return (xid, known.class, known.class == 0 ? bytes32(0) : bytes32("refused here before"));
        }
        if (passed) return (xid, E_TIMEOUT, "the deadline has passed");
        uint256 actions = branch.actions.length;
        (class, sentence) = check(xid, it, terms, branch);
        if (class == 0) (class, sentence) = tryLock(xid, it.branch);
        uint8 standing = class == 0 ? PREPARED : REFUSED_HERE;
        participants[xid] =
            Participant(deadline, standing, class, class == 0 ? uint8(actions) : 0, 0, 0, false);
        if (class == 0) emit Prepared(xid, deadline);
    }

    /// Takes a decision. It cannot be refused, applies at most once, and twice is once. One that does not
    /// fit what is known here is applied in no case.
    function decide(bytes calldata body, bool commit) internal returns (bytes32 xid) {
        ensure(body.length == 32, E_FORMAT, "not a decision");
        xid = bytes32(body);
        Participant storage it = participants[xid];
        uint8 standing = it.standing;
        uint8 decision = commit ? COMMITTED : ABORTED;
        if (standing == PREPARED) {
            it.standing = decision;
            end(xid, it.actions, commit);
            emit Ended(xid, decision, false);
        } else if (standing == REFUSED_HERE && !commit) {
            it.standing = ABORTED;
            emit Ended(xid, ABORTED, false);
        } else if (standing == RELEASED) {
            if (it.decided == 0) it.decided = decision;
            // The hub's decision stands: the copy that was released here is in dispute for ever.
            if (commit) emit Disputed(xid);
        } else if (standing != decision && (standing != 0 || commit)) {
            emit Ended(xid, standing, true);
        }
    }

    /// Ends all holds. Calls are carried out later, by anybody.
    function end(bytes32 xid, uint256 actions, bool committed) private {
        for (uint256 i = 0; i < actions; ++i) {
            Hold memory hold = holdAt(xid, i);
            if (hold.kind == CALL) continue;
            clear(xid, i, hold);
            if (hold.kind == PAY || hold.kind == TOKEN_OUT || hold.kind == TOKEN_IN) {
                endAsset(hold, committed);
            } else {
                endItem(hold, committed);
            }
        }
    }

    /// Tries to lock, with so much gas that what comes back can be remembered.
    function tryLock(bytes32 xid, bytes calldata branch) private returns (uint8, bytes32) {
        bytes memory data = abi.encodeCall(this.lockAll, (xid, branch));
        bool done;
        bool isRefusal;
        uint8 class;
        bytes32 sentence;
        bytes4 refusal = IRefusal.Refuse.selector;
        assembly ("memory-safe") {
            let granted := sub(gas(), KEPT_GAS)
            if gt(granted, gas()) { granted := 0 }
            done := call(granted, address(), 0, add(data, 32), mload(data), 0, 0)
            if and(iszero(done), eq(returndatasize(), 68)) {
                let buffer := mload(0x40)
                returndatacopy(buffer, 0, 68)
                isRefusal := eq(shr(224, mload(buffer)), shr(224, refusal))
                class := and(mload(add(buffer, 4)), 0xff)
                sentence := mload(add(buffer, 36))
            }
        }
        if (done) return (0, 0);
        return isRefusal ? (class, sentence) : (E_LIMIT, bytes32("locking used up its gas"));
    }

    function lockActions(bytes32 xid, Branch calldata branch) private {
        EncodedAction[] calldata actions = branch.actions;
        for (uint256 i = 0; i < actions.length; ++i) {
            uint8 kind = actions[i].kind;
            bytes calldata body = actions[i].body;
            if (kind == MOVE_OUT) lockMoveOut(xid, i, asMoveOut(body));
            else if (kind == MOVE_IN) lockMoveIn(xid, i, asMoveIn(body));
            else if (kind == WRITE) lockWrite(xid, i, asWrite(body));
            else if (kind == PAY) lockPay(xid, i, asPay(body));
            else if (kind == CALL) lockCall(xid, i, asCall(body));
            else if (kind == TOKEN_OUT) lockTokenOut(xid, i, asTokenOut(body));
            else lockTokenIn(xid, i, asTokenIn(body));
        }
    }

    /// All that can be checked without the items and assets. The hub's word is not enough: what is taken
    /// here is authorised here. The first class of docs/protocol.md section 11 is given.
    function check(bytes32 xid, Prepare calldata it, Terms calldata terms, Branch calldata branch)
        private
        view
        returns (uint8 class, bytes32 sentence)
    {
        if (terms.hub != gateway.hub()) return (E_FORMAT, "another hub");
        if (branch.link != link) return (E_FORMAT, "a branch of another link");
        if (it.index >= terms.branches.length) return (E_FORMAT, "no such branch");
        (class, sentence) = checkParties(xid, it.index, branch, it.authorisations, false);
        if (class != 0) return (class, sentence);
        if (Digests.branch(it.branch) != terms.branches[it.index]) return (E_TAMPER, "another branch");
    }

    /// Whether exactly those accounts authorise the branch from which it takes.
    /// @param isOpening In a Begin the caller consents by calling, and other branches are none of ours.
    function checkParties(
        bytes32 xid,
        uint32 index,
        Branch calldata branch,
        Authorisation[] calldata given,
        bool isOpening
    ) private view returns (uint8, bytes32) {
        EncodedAction[] calldata actions = branch.actions;
        if (actions.length == 0) return (E_FORMAT, "no action");
        for (uint256 i = 0; i < given.length; ++i) {
            if (given[i].branch != index) {
                if (isOpening) continue;
                return (E_FORMAT, "authorisation of another branch");
            }
            address account = given[i].account;
            if (!takesFrom(actions, account)) return (E_FORMAT, "a surplus authorisation");
            for (uint256 j = 0; j < i; ++j) {
                bool twice = given[j].account == account && given[j].branch == index;
                if (twice) return (E_FORMAT, "an account authorises twice");
            }
        }
        if (actions.length > ACTIONS_MAX) return (E_LIMIT, "more than 8 actions");
        for (uint256 i = 0; i < actions.length; ++i) {
            (bool takes, address account) = takerOf(actions[i]);
            if (!takes) continue;
            bool found = false;
            for (uint256 j = 0; j < given.length && !found; ++j) {
                found = given[j].account == account && given[j].branch == index;
            }
            if (!found) return (E_AUTH, "an authorisation is missing");
        }
        for (uint256 i = 0; i < given.length; ++i) {
            if (given[i].branch != index) continue;
            bool consents = (isOpening && given[i].account == msg.sender)
                || hasConsent(xid, given[i].account, given[i].signature);
            if (!consents) return (E_AUTH, "not signed for the account");
        }
        return (0, 0);
    }

    function takesFrom(EncodedAction[] calldata actions, address account) private pure returns (bool) {
        for (uint256 i = 0; i < actions.length; ++i) {
            (bool takes, address taker) = takerOf(actions[i]);
            if (takes && taker == account) return true;
        }
        return false;
    }

    /// The account from which an action takes, and which must authorise it.
    function takerOf(EncodedAction calldata action) private pure returns (bool, address) {
        uint8 kind = action.kind;
        bytes calldata body = action.body;
        if (kind == MOVE_OUT) return (true, asMoveOut(body).from);
        if (kind == WRITE) return (true, asWrite(body).holder);
        if (kind == PAY) return (true, asPay(body).from);
        if (kind == CALL) return (true, asCall(body).from);
        if (kind == TOKEN_OUT) return (true, asTokenOut(body).from);
        return (false, address(0));
    }

    // --- Reading ---------------------------------------------------------------------------------
    // What is canonical is read where it lies: a struct's fields as parameters are that struct.

    function readTerms(bytes calldata terms) private pure returns (Terms calldata it) {
        ensure(Canonical.matches(terms, 5, hex"20202008a00120"), E_FORMAT, "not terms");
        assembly ("memory-safe") {
            it := terms.offset
        }
    }

    function readBranch(bytes calldata branch) private pure returns (Branch calldata it) {
        ensure(Canonical.matches(branch, 2, hex"20a004c00201b0"), E_FORMAT, "not a branch");
        it = asBranch(branch);
        EncodedAction[] calldata actions = it.actions;
        for (uint256 i = 0; i < actions.length; ++i) {
            (uint256 count, bytes memory shape) = shapeOf(actions[i].kind);
            bool canonical = count > 0 && Canonical.matches(actions[i].body, count, shape);
            ensure(canonical, E_FORMAT, "not an action");
        }
    }

    /// How many fields the body of an action has, and of which types; none where there is no such kind.
    function shapeOf(uint8 kind) private pure returns (uint256, bytes memory) {
        if (kind == MOVE_OUT) return (3, hex"201420");
        if (kind == MOVE_IN) return (10, hex"2020042020" hex"2014b020b1");
        if (kind == WRITE) return (9, hex"2004202020" hex"14b020b1");
        if (kind == PAY) return (4, hex"14142010");
        if (kind == CALL) return (3, hex"1414b0");
        if (kind == TOKEN_OUT) return (5, hex"2020141020");
        if (kind == TOKEN_IN) return (5, hex"2020201410");
        return (0, "");
    }

    function asBranch(bytes calldata body) private pure returns (Branch calldata it) {
        assembly ("memory-safe") {
            it := body.offset
        }
    }

    function asMoveOut(bytes calldata body) private pure returns (MoveOut calldata it) {
        assembly ("memory-safe") {
            it := body.offset
        }
    }

    function asMoveIn(bytes calldata body) private pure returns (MoveIn calldata it) {
        assembly ("memory-safe") {
            it := body.offset
        }
    }

    function asWrite(bytes calldata body) private pure returns (Write calldata it) {
        assembly ("memory-safe") {
            it := body.offset
        }
    }

    function asPay(bytes calldata body) private pure returns (Pay calldata it) {
        assembly ("memory-safe") {
            it := body.offset
        }
    }

    function asCall(bytes calldata body) private pure returns (Call calldata it) {
        assembly ("memory-safe") {
            it := body.offset
        }
    }

    function asTokenOut(bytes calldata body) private pure returns (TokenOut calldata it) {
        assembly ("memory-safe") {
            it := body.offset
        }
    }

    function asTokenIn(bytes calldata body) private pure returns (TokenIn calldata it) {
        assembly ("memory-safe") {
            it := body.offset
        }
    }

    /// This chain's block time, in milliseconds.
    function nowMs() private view returns (uint64) {
        return uint64(block.timestamp * 1000);
    }
}
