// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRefusal} from "../protocol/Refusals.sol";

/// @notice Hash-timelocks for swaps without coordinator. ADR 0012, docs/protocol.md section 21.
/// @dev A lock is known by its locker and its hash. Times are milliseconds, as everywhere.
interface IHtlc is IRefusal {
    /// @param asset Token address right-aligned; zero for the native coin.
    /// @param value An amount, or the id of an ERC-721 token where `isToken` says so.
    event Locked(
        address indexed locker, bytes32 indexed hash, address indexed recipient,
        bytes32 asset, uint256 value, bool isToken, uint64 deadline
    );
    /// @notice The secret is public from here on.
    event Claimed(address indexed locker, bytes32 indexed hash, bytes32 preimage);
    event Refunded(address indexed locker, bytes32 indexed hash);
    event Withdrawn(address indexed account, bytes32 asset, uint256 value, bool isToken);

    function lockCoin(bytes32 hash, address recipient, uint64 deadline) external payable;
    function lockTokens(bytes32 hash, address recipient, uint64 deadline, address token, uint128 amount) external;
    function lockItem(bytes32 hash, address recipient, uint64 deadline, address token, uint256 id) external;
    /// @notice Gives the locked to its recipient. By anybody, strictly before the deadline.
    /// @param preimage Exactly 32 bytes whose SHA-256 is the hash.
    function claim(address locker, bytes32 hash, bytes calldata preimage) external;
    /// @notice Gives the locked back to its locker. By anybody, from the deadline on.
    function refund(address locker, bytes32 hash) external;
    /// @notice Pays out what an account may have of an asset, to that account. By anybody.
    function withdraw(address account, address asset) external;
    /// @notice Hands over an ERC-721 token to the account that may have it. By anybody.
    function withdrawItem(address token, uint256 id) external;
    /// @return state 0 unknown, 1 locked, 2 claimed, 3 refunded.
    function lockOf(address locker, bytes32 hash)
        external
        view
        returns (uint8 state, address recipient, address asset, bool isToken, uint64 deadline, uint256 value);
    /// @notice What an account may have of an asset; the zero address is the native coin.
    function creditOf(address account, address asset) external view returns (uint256);
    /// @notice Who may have an ERC-721 token that is here; zero where it is locked or not here.
    function ownerOf(address token, uint256 id) external view returns (address);
}
