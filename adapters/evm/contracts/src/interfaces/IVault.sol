// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authorisation} from "../protocol/Structs.sol";
import {ILaneReceiver} from "./ILaneReceiver.sol";

/// @notice What two-phase commit locks on this chain. docs/protocol.md sections 11 and 21.
interface IVault is ILaneReceiver {
    /// @notice A two-phase commit holds something here.
    event Prepared(bytes32 indexed xid, uint64 deadline);
    /// @notice A decision came, or the recovery council released.
    /// @param standing 3 committed, 4 aborted, 5 released.
    /// @param strange Whether it does not fit what is known here; nothing was applied then.
    event Ended(bytes32 indexed xid, uint8 standing, bool strange);
    /// @notice The hub committed what the recovery council had released: for ever in dispute.
    event Disputed(bytes32 indexed xid);
    /// @notice A balance rose: by deposit, by a decision.
    event Credited(address indexed account, bytes32 indexed asset, uint128 amount);
    /// @notice A balance was paid out.
    event Withdrawn(address indexed account, bytes32 indexed asset, uint128 amount, address to);
    /// @notice A token of another contract is an item from now on.
    event Enrolled(bytes32 indexed dataId, address indexed token, uint256 tokenId, bytes32 owner);
    /// @notice An item lives here in this version, held by this account.
    event Arrived(bytes32 indexed dataId, uint32 itemVersion, bytes32 fingerprint, address holder);
    /// @notice An item has gone to another chain.
    event Left(bytes32 indexed dataId);
    /// @notice An account consents to a two-phase commit, or does so no more.
    event Consent(bytes32 indexed xid, address indexed account, bool given);
    /// @notice A decided call was carried out.
    event Called(bytes32 indexed xid, uint256 index, address target, bool committed);

    /// @notice Begins a two-phase commit from this chain: locks its own branch and tells the hub.
    /// @dev The beginner of the terms is `account-beginner(link, msg.sender)`.
    function begin(bytes calldata terms, bytes[] calldata branches, Authorisation[] calldata authorisations)
        external
        returns (bytes32 xid);
    /// @notice Notes that the hub refused a request of this vault. Gateway only.
    /// @param operation The global id of the request.
    function refused(bytes32 operation) external;
    /// @notice Frees what a refused Begin has locked. By anybody.
    function free(bytes32 xid) external;
    /// @notice Consents to a two-phase commit by one's own transaction.
    function consent(bytes32 xid) external;
    /// @notice Takes a consent back, until Prepare.
    function revoke(bytes32 xid) external;
    /// @notice Adds to the caller's balance what arrives; consents to `xid` where it is not zero.
    /// @param amount Of the native coin it is the value that comes with the call.
    function deposit(bytes32 asset, uint128 amount, bytes32 xid) external payable returns (uint128 credited);
    /// @notice Pays out of the caller's balance.
    function withdraw(bytes32 asset, uint128 amount, address to) external;
    /// @notice Makes an ERC-721 token of the caller an item of the caller's identity.
    function enroll(address token, uint256 tokenId) external returns (bytes32 dataId);
    /// @notice Hands the token of an item that is in custody here to its holder. By anybody.
    function claim(bytes32 dataId) external;
    /// @notice Carries out a decided call. By anybody, until it has succeeded.
    function retry(bytes32 xid, uint256 index) external;
    /// @notice Frees a lock without decision, as the recovery council orders. Control only.
    function release(bytes32 xid, uint32 trustEpoch) external;

    /// @return standing 0 unknown, 1 prepared, 2 refused, 3 committed, 4 aborted, 5 released.
    /// @return class Why it was refused.
    /// @return deadline Of its terms, in milliseconds.
    /// @return trustEpoch Of a release: to which it led.
    /// @return decided Of a release: what the hub decided since, 3 or 4; 0 while it is not known.
    function participant(bytes32 xid)
        external
        view
        returns (uint8 standing, uint8 class, uint64 deadline, uint32 trustEpoch, uint8 decided);
    function balanceOf(address account, bytes32 asset) external view returns (uint128);
    /// @notice Of an asset of this chain: what is away. Of a voucher: its supply here.
    function outstanding(bytes32 asset) external view returns (uint128);
    /// @notice Of an item: 0 unknown, 1 here, 2 here and in custody, 3 locked, 4 away.
    function closedItem(bytes32 dataId)
        external
        view
        returns (uint8 standing, uint32 itemVersion, bytes32 fingerprint, address holder);
}
