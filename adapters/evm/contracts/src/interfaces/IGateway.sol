// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRefusal} from "../protocol/Refusals.sol";
import {
    Anchor, AttestedProof, CertifiedHeader, Delivery, HubProof, LaneLeaf, ValidatorSet
} from "../protocol/Structs.sol";

/// @notice What every gateway offers, whatever the mode of its link. docs/protocol.md section 21.
/// @dev Each function refuses with `Refuse(uint8 class, bytes32 sentence)`.
interface IGateway is IRefusal {
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
    /// @notice The council has set a new trusted header.
    event Recovered(uint32 trustEpoch, uint64 height, bytes32 blockId);
    /// @notice The council has begun the next epoch of a lane, both ways.
    event Reopened(uint32 indexed lane, uint32 epoch, uint32 peerEpoch);

    /// @notice The id of this chain.
    function chain() external view returns (bytes32);
    /// @notice The id of the hub.
    function hub() external view returns (bytes32);
    /// @notice The id of the link between them.
    function link() external view returns (bytes32);
    /// @notice The deployment mode, 1 to 3.
    function mode() external view returns (uint8);
    /// @notice Hello, identities, council.
    function control() external view returns (address);
    /// @notice Open data.
    function registry() external view returns (address);
    /// @notice Two-phase commit.
    function vault() external view returns (address);
    function trustingPeriodMs() external view returns (uint64);
    /// @notice The heaviest message that is taken.
    function weightMax() external view returns (uint64);
    /// @notice How many messages a lane holds before room is freed.
    function backlogMax() external view returns (uint64);

    /// @notice Where the link and its client of the hub stand.
    /// @return status 0 proposed, 1 open, 2 frozen.
    /// @return client 0 active, 1 expiring, 2 expired, 3 frozen.
    /// @return since Of an expired or frozen client: since when, in milliseconds.
    /// @return trustEpoch Raised by every act of the council.
    function standing()
        external
        view
        returns (uint8 status, uint8 client, uint64 since, uint32 trustEpoch);
    /// @notice The newest accepted header of the hub.
    function newest() external view returns (uint64 height, uint64 time, bytes32 blockId);
    /// @notice The leaf of a lane of this gateway as it stands now.
    function laneLeaf(uint32 lane) external view returns (LaneLeaf memory);
    /// @notice Since when, in milliseconds, all of the hub's control lane is known here.
    function identityViewTime() external view returns (uint64);
    /// @notice The global id of the operation that the next message of a lane begins.
    function nextOperation(uint32 lane) external view returns (bytes32);

    /// @notice Appends a request to the data lane: shares of the registry, Begins of the vault.
    function send(uint16 kind, uint64 notAfter, bytes32 salt, bytes calldata body)
        external
        returns (uint64 number);

    /// @notice Appends a message as it is. For control alone: Hello, council acts, what is sent again.
    function sendControl(uint32 lane, bytes calldata message) external;
    /// @notice The hub has said Hello. For control alone, while a delivery is under way.
    function open(uint64 hubWeightMax) external;
    /// @notice Refuses an anchor at which the client cannot be recovered.
    function checkAnchor(Anchor calldata anchor) external view;
    /// @notice Recovers the client at an anchor and thaws the link. For control alone.
    function recover(Anchor calldata anchor) external;
    /// @notice Begins the next epoch of a lane, both ways. For control alone.
    function reopen(uint32 lane) external;
    /// @notice What the lane's former epoch had to send again is sent. For control alone.
    function resume() external;
    /// @notice Raises the trust epoch by one. For control alone, with every act that holds.
    function raiseTrust() external;
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
    /// @param next The set that the header names; not read where it names its own.
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

    /// @notice Takes messages of one lane. Returns how many were taken of it in all.
    function deliver(Delivery calldata delivery, AttestedProof calldata proof)
        external
        returns (uint64 received);
    /// @notice Suspends the signers of a statement that contradicts what was accepted; freezes the
    /// link where there are enough of them.
    function deviation(LaneLeaf calldata leaf, AttestedProof calldata statement) external;
    /// @notice Who attests now.
    function nodeKeys()
        external
        view
        returns (address[] memory keys, uint32 threshold, uint32 keyEpoch);
    /// @notice Whether a key counts no more.
    function isSuspended(address key) external view returns (bool);
    /// @notice Changes who attests. For control alone.
    function rotate(address[] calldata keys, uint32 threshold) external;
}
