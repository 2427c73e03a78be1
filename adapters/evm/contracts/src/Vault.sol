// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IGateway} from "./interfaces/IGateway.sol";
import {ILaneReceiver} from "./interfaces/ILaneReceiver.sol";
import {COMMIT, PREPARE} from "./protocol/Kinds.sol";
import {E_DENIED, E_STATE, ensure} from "./protocol/Refusals.sol";
import {Calls} from "./vault/Calls.sol";
import {Participants} from "./vault/Participants.sol";
import {VaultBase} from "./vault/VaultBase.sol";

/// @notice What two-phase commit locks on this chain: assets, closed items, calls. docs/protocol.md
/// sections 11 and 21, ADR 0009
contract Vault is Participants {
    constructor(IGateway gateway_, address[] memory callees) VaultBase(gateway_) Calls(callees) {}

    /// @inheritdoc ILaneReceiver
    /// @dev While a stranger's code runs in a call of this vault, nothing is taken: the gateway knows
    /// `E_STATE` for it and lets the lane wait, lest whoever delivers from there decide a vote.
    function takeRequest(uint256 kind, uint256, bytes calldata body)
        external
        returns (bytes32, uint8, bytes32)
    {
        ensure(!_reentrancyGuardEntered(), E_STATE, "the vault is at work");
        return take(kind, body);
    }

    function take(uint256 kind, bytes calldata body) private nonReentrant returns (bytes32, uint8, bytes32) {
        ensure(msg.sender == address(gateway), E_DENIED, "for the gateway alone");
        if (kind == PREPARE) return prepare(body);
        return (decide(body, kind == COMMIT), 0, 0);
    }
}
