// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILaneReceiver} from "./ILaneReceiver.sol";

/// @notice An open item as its owner shares it. Its home is this chain.
struct ShareOrder {
    bytes32 owner; // identity that owns the item; its id follows from owner and local id
    string localId; // 1 to 64 bytes, printable ASCII
    uint32 itemVersion; // from 1
    bytes32 schema;
    string terms; // printable ASCII, at most 256 bytes
    bytes envelope; // canonical, at most 16 KiB
    bytes32 device; // identity that signed the envelope
    bytes signature; // 65 bytes over envelope(bytes)
    bytes32 destination; // chain that gets the copy
    uint64 notAfter; // hub block time in milliseconds; 0 is never
    bytes32 salt; // random; salts the records
}

/// @notice Open data: copies in, shares out, and the class of every item. docs/protocol.md section 21.
interface IRegistry is ILaneReceiver {
    /// @notice An item of this chain was shared.
    event Shared(bytes32 indexed dataId, uint32 itemVersion, bytes32 fingerprint, uint64 number);

    /// @notice Sends a copy of an open item on its way.
    /// @dev By the key that signed the envelope, or by an account bound to the owner.
    function share(ShareOrder calldata order) external returns (uint64 number);
    /// @notice What is known of an item: its version, and 1 copy, 2 open and at home, 3 closed.
    function item(bytes32 dataId) external view returns (uint32 itemVersion, uint8 standing);
    /// @notice Whether this very copy is here.
    function isAnchored(bytes32 dataId, uint32 itemVersion, bytes32 fingerprint, bytes32 sourceChain)
        external
        view
        returns (bool);
    /// @notice Notes that an item is closed, for ever; `E_STATE` where it is open. Vault only.
    function close(bytes32 dataId) external;
}
