// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A contract that takes part in two-phase commit by action kind 5 (Call).
/// @dev `prepare` does all that can fail. After it, `commit` or `abort` is called until it succeeds.
interface ICallee {
    function prepare(bytes32 xid, address from, bytes calldata payload) external;
    function commit(bytes32 xid) external;
    function abort(bytes32 xid) external;
}
