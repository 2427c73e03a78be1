// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICallee} from "../interfaces/ICallee.sol";
import {CALL} from "../protocol/Kinds.sol";
import "../protocol/Refusals.sol";
import {Call} from "../protocol/Structs.sol";
import {Hold} from "./Hold.sol";
import {VaultBase} from "./VaultBase.sol";

/// @notice Contracts that take part by action kind 5. Which, is said at creation and never changes.
/// @dev A decision does not call them: it is marked, and anybody carries it out.
abstract contract Calls is VaultBase {
    mapping(address callee => bool) public isCallee;

    constructor(address[] memory callees) {
        for (uint256 i = 0; i < callees.length; ++i) {
            bool suits = callees[i].code.length > 0 && !isOwn(callees[i]);
            ensure(suits, E_FORMAT, "not a callee");
            isCallee[callees[i]] = true;
        }
    }

    /// Lets a callee prepare. Its refusal is a refusal here, whatever it reverts with.
    function lockCall(bytes32 xid, uint256 index, Call calldata it) internal {
        ensure(isCallee[it.target], E_DENIED, "not a callee of this vault");
        for (uint256 i = 0; i < index; ++i) {
            bool again = holdAt(xid, i).kind == CALL && holdAt(xid, i).account == it.target;
            ensure(!again, E_FORMAT, "one callee twice");
        }
        Hold storage hold = holdAt(xid, index);
        (hold.kind, hold.account) = (CALL, it.target);
        bytes memory data = abi.encodeCall(ICallee.prepare, (xid, it.from, it.payload));
        ensure(callBare(it.target, data), E_DENIED, "the callee refuses");
    }

    /// Carries out a decided call.
    function carryOut(bytes32 xid, uint256 index, bool committed) internal {
        Hold memory hold = holdAt(xid, index);
        ensure(hold.kind == CALL, E_NOTFOUND, "no call to carry out");
        delete holdAt(xid, index).kind;
        delete holdAt(xid, index).account;
        bytes memory data =
            committed ? abi.encodeCall(ICallee.commit, (xid)) : abi.encodeCall(ICallee.abort, (xid));
        ensure(callBare(hold.account, data), E_STATE, "the callee fails; try again");
        emit Called(xid, index, hold.account, committed);
    }
}
