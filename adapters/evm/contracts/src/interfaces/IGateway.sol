// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    AttestedProof, CertifiedHeader, Delivery, HubProof, LaneLeaf, ValidatorSet
} from "../protocol/Structs.sol";

/// @notice What every gateway offers, whatever the mode of its link. docs/protocol.md section 21.
/// @dev Each function refuses with `Refuse(uint8 class, bytes32 sentence)`.
interface IGateway {
    /// @notice A message was appended; its body is kept nowhere else.
    /// @param previousBlock The block of the message before it in this lane; 0 for the first.
    /// @param message ABI(Message).
    event Sent(
        uint32 indexed lane, uint64 indexed number, uint32 epoch, uint64 previousBlock, bytes message
    );
    /// @notice A delivery was taken.
    /// @param height The height of the hub's header that proved it.
    event Taken(uint32 indexed lane, uint64 received, uint64 height);
    /// @notice A message was taken that cannot be read, and so cannot be answered.
    event Unreadable(uint32 indexed lane, uint64 number);
    /// @notice Two proved things contradict: the link takes nothing until the council has acted.
    /// @param client Whether the client of the hub is frozen with the link.
    event Frozen(bool client, bytes32 sentence);
    /// @notice The hub has said Hello and the link is open.
    event Opened();
    /// @notice An act of the council was announced.
    event ActAnnounced(uint8 act, uint32 trustEpoch, uint64 holdsFrom, bytes32 subject, bytes data);
    /// @notice An announced act holds, or was dropped where `class` is not 0.
    event ActEnded(uint8 act, uint32 trustEpoch, uint8 class);

    /// @notice The id of this chain.
    function chain() external view returns (bytes32);
    /// @notice The id of the hub.
    function hub() external view returns (bytes32);
    /// @notice The id of the link between them.
    function link() external view returns (bytes32);
    /// @notice The deployment mode, 1 to 3.
    function mode() external view returns (uint8);
    function registry() external view returns (address);
    function vault() external view returns (address);

    /// @notice 0 proposed, 1 open, 2 frozen.
    function status() external view returns (uint8);
    /// @notice 0 active, 1 expiring, 2 expired, 3 frozen.
    function clientStatus() external view returns (uint8);
    /// @notice The newest accepted header of the hub.
    function newest() external view returns (uint64 height, uint64 time, bytes32 blockId);
    function trustEpoch() external view returns (uint32);
    /// @notice The leaf of a lane of this gateway as it stands now.
    function laneLeaf(uint32 lane) external view returns (LaneLeaf memory);
    /// @notice Since when, in milliseconds, all of the hub's control lane is known here.
    function identityViewTime() external view returns (uint64);

    /// @notice Says Hello: message 0 of lane 0. Once, by anybody.
    function hello() external;
    /// @notice Appends a request. Only for the registry and the vault.
    function send(uint16 kind, uint64 notAfter, bytes32 salt, bytes calldata body)
        external
        returns (uint64 number);
    /// @notice Refuses with `E_IDENT` where the view of identities is too old for what leaves.
    function requireFreshView() external view;

    /// @notice Announces an act of the recovery council and starts its delay.
    /// @param act 1 new trusted header, 2 node keys, 3 reopen a lane, 4 release a lock.
    /// @param data The ABI encoding whose keccak256 is the act's subject.
    /// @param signatures 65 bytes for each member, in ascending order of signer.
    function announceAct(uint8 act, uint32 nextTrustEpoch, bytes calldata data, bytes calldata signatures)
        external;
    /// @notice Lets the announced act hold whose delay is over. By anybody.
    function takeEffect(bytes calldata data) external;
    /// @notice Sends the next message of a lane's former epoch again, where it is an answer.
    function sendAgain(uint32 lane, bytes calldata message, bytes32[] calldata path) external;
}

/// @notice A gateway of mode 1.
interface IHubGateway is IGateway {
    /// @notice A set of the hub's validators that the client holds from now on.
    event ValidatorsChanged(bytes32 indexed root, ValidatorSet validators);

    /// @notice Takes messages of one lane. Returns how many were taken of it in all.
    function deliver(Delivery calldata delivery, HubProof calldata proof)
        external
        returns (uint64 received);
    /// @notice Moves the client, and to the next set where the header names another.
    function updateClient(CertifiedHeader calldata certified, ValidatorSet calldata next) external;
    /// @notice Freezes link and client on two certified headers that contradict.
    function misbehaviour(CertifiedHeader calldata a, CertifiedHeader calldata b) external;
    /// @notice The root of the set held now.
    function validatorsRoot() external view returns (bytes32);
}

/// @notice A gateway of mode 2 (one trusted node) or 3 (several shared nodes). ADR 0010.
interface IAttestedGateway is IGateway {
    /// @notice Who attests from now on.
    event KeysChanged(uint32 keyEpoch, address[] keys, uint32 threshold);
    /// @notice A key signed what is not so; it counts no more until keys are rotated.
    event KeySuspended(address key);

    function deliver(Delivery calldata delivery, AttestedProof calldata proof)
        external
        returns (uint64 received);
    /// @notice Suspends the signers of a statement that contradicts what was accepted; freezes the
    /// link where there are enough of them.
    function deviation(LaneLeaf calldata leaf, AttestedProof calldata statement) external;
    function keys() external view returns (address[] memory keys, uint32 threshold, uint32 keyEpoch);
    function isSuspended(address key) external view returns (bool);
}
