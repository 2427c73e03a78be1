// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILaneReceiver} from "./ILaneReceiver.sol";

/// @notice What passes over the control lane: Hello, identities, acts of the recovery council.
/// docs/protocol.md sections 10, 13, 14 and 21.
interface IControl is ILaneReceiver {
    /// @notice How an identity with an account here stands now.
    event Bound(bytes32 indexed identity, address indexed account, uint8 status);
    /// @notice An act of the council was announced.
    event ActAnnounced(uint8 act, uint32 trustEpoch, uint64 holdsFrom, bytes32 subject, bytes data);
    /// @notice An announced act holds, or gave way to another where `class` is not 0.
    event ActEnded(uint8 act, uint32 trustEpoch, uint8 class);

    /// @notice Says Hello: message 0 of lane 0. Once, by anybody.
    function hello() external;

    /// @notice Announces an act of the recovery council and starts its delay.
    /// @param act 1 new trusted header, 2 node keys, 3 reopen a lane, 4 release a lock.
    /// @param data The ABI encoding whose keccak256 is the act's subject.
    /// @param signatures 65 bytes for each member, in ascending order of signer.
    function announceAct(uint8 act, uint32 trustEpoch, bytes calldata data, bytes calldata signatures)
        external;
    /// @notice Lets the announced act hold whose delay is over. By anybody.
    function takeEffect(bytes calldata data) external;
    /// @notice Sends the next message of a lane's former epoch again, where it is an answer. By anybody.
    function sendAgain(uint32 lane, bytes calldata message, bytes32[] calldata path) external;
    /// @notice The members of the council, ascending, and how many must agree.
    function council() external view returns (address[] memory members, uint32 threshold);
    /// @notice The act that waits; `act` is 0 where there is none.
    function pendingAct()
        external
        view
        returns (uint8 act, uint32 trustEpoch, uint64 holdsFrom, bytes32 subject);

    /// @notice Opens the key list of an identity with more than one key. By anybody.
    function showKeys(bytes32 identity, address[] calldata keys) external;
    /// @notice Whether `signer` is a present key of the active identity bound to `account`.
    function signsFor(address account, address signer) external view returns (bool);
    /// @notice The identity bound to an account; zero where there is none.
    function identityOf(address account) external view returns (bytes32);
    /// @notice Refuses with `E_IDENT` where the view of identities is too old for what leaves.
    function requireFreshView() external view;
}
