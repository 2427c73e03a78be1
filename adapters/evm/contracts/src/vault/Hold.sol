// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What one action has locked, with all that its end needs.
/// | kind | account | other | version | subject | value |
/// |---|---|---|---|---|---|
/// | MoveOut | holder | | | item | |
/// | MoveIn, Write | holder | | of the item | item | fingerprint |
/// | Pay | payer | payee | | asset | amount |
/// | Call | callee | | | | |
/// | TokenOut | payer | | 1 at home | asset here | amount |
/// | TokenIn | payee | | 1 at home | asset here | amount |
struct Hold {
    uint8 kind; // of the action
    address account;
    uint32 version;
    address other;
    bytes32 subject;
    uint256 value;
}
