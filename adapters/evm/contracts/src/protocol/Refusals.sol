// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// The classes of refusal: docs/protocol.md section 19.

/// @notice How every contract here refuses.
interface IRefusal {
    /// @notice Why something was refused.
    /// @param class One of the nineteen classes.
    /// @param sentence At most 32 ASCII characters, right-padded with zeros.
    error Refuse(uint8 class, bytes32 sentence);
}

uint8 constant E_VERSION = 1;
uint8 constant E_FORMAT = 2;
uint8 constant E_LIMIT = 3;
uint8 constant E_AUTH = 4;
uint8 constant E_IDENT = 5;
uint8 constant E_IDMETHOD = 6;
uint8 constant E_CLOSED_COPY = 7;
uint8 constant E_DENIED = 8;
uint8 constant E_POLICY = 9;
uint8 constant E_QUORUM = 10;
uint8 constant E_NOTFOUND = 11;
uint8 constant E_UNSUPPORTED = 12;
uint8 constant E_REPLAY = 13;
uint8 constant E_STATE = 14;
uint8 constant E_TIMEOUT = 15;
uint8 constant E_FUNDS = 16;
uint8 constant E_PROOF = 18;
uint8 constant E_TAMPER = 19;

/// @notice Refuses unless the condition holds.
function ensure(bool condition, uint8 class, bytes32 sentence) pure {
    if (!condition) refuse(class, sentence);
}

/// @notice Reverts with `Refuse`.
/// @dev In assembly: written a hundred times into one contract, it is what code size goes into. What
/// stands in the scratch space and the free-memory pointer is not needed any more.
function refuse(uint8 class, bytes32 sentence) pure {
    bytes32 selector = IRefusal.Refuse.selector;
    assembly ("memory-safe") {
        mstore(0, selector)
        mstore(4, class)
        mstore(36, sentence)
        revert(0, 68)
    }
}
