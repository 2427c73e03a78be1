// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IGateway} from "../interfaces/IGateway.sol";
import {Digests} from "../protocol/Digests.sol";
import {E_DENIED, E_FORMAT, ensure} from "../protocol/Refusals.sol";
import {GatewayConfig} from "../protocol/Structs.sol";

/// @notice What a gateway is born with and never changes: whom it ties to whom, and its limits.
/// @dev Immutable words are part of the code, so the code hash that the hub reads from a proof and
/// compares with what was registered covers them.
abstract contract Link is IGateway {
    bytes32 public immutable override chain;
    bytes32 public immutable override hub;
    bytes32 public immutable override link;
    uint8 public immutable override mode;
    address public immutable override control;
    address public immutable override registry;
    address public immutable override vault;
    uint64 public immutable override trustingPeriodMs;
    uint64 public immutable override weightMax;
    uint64 public immutable override backlogMax;

    /// @dev The ranges are those of a ledger's agreed parameters. What is set here can never be
    /// mended, so it is checked as if it were hostile (attack A62).
    constructor(GatewayConfig memory config, uint8 mode_) {
        inRange(config.trustingPeriodMs, 60_000, 31_536_000_000, "trusting period out of range");
        inRange(config.weightMax, 16, 1_000, "weight max out of range");
        inRange(config.backlogMax, 100, 10_000_000, "backlog max out of range");
        ensure(config.genesis != 0, E_FORMAT, "genesis hash is zero");
        bool distinct = config.control != config.registry && config.control != config.vault
            && config.registry != config.vault;
        bool named = config.control != address(0) && config.registry != address(0)
            && config.vault != address(0);
        ensure(distinct && named, E_FORMAT, "control, registry, vault");
        chain = Digests.evmChain(block.chainid, config.genesis);
        hub = config.anchor.chainId;
        link = Digests.link(hub, chain, address(this), config.incarnation);
        mode = mode_;
        control = config.control;
        registry = config.registry;
        vault = config.vault;
        trustingPeriodMs = config.trustingPeriodMs;
        weightMax = config.weightMax;
        backlogMax = config.backlogMax;
    }

    /// This chain's block time, in milliseconds.
    function nowMs() internal view returns (uint64) {
        return uint64(block.timestamp * 1000);
    }

    /// Refuses everybody but the control contract.
    function ensureControl() internal view {
        ensure(msg.sender == control, E_DENIED, "for control alone");
    }

    function inRange(uint64 value, uint64 min, uint64 max, bytes32 sentence) private pure {
        ensure(value >= min && value <= max, E_FORMAT, sentence);
    }
}
