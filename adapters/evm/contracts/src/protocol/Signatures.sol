// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice ECDSA over secp256k1 as `r ‖ s ‖ v`: docs/protocol.md section 3.
/// @dev Stricter than `ecrecover`, which takes high `s`: one signature has one spelling (attack A08).
library Signatures {
    uint256 internal constant BYTES = 65;
    /// Half of the group's order.
    uint256 private constant S_MAX = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// @notice The signer of a digest; the zero address where the 65 bytes at `offset` of the
    /// calldata are no signature. The caller sees to it that they lie in its own argument.
    function recoverAt(bytes32 digest, uint256 offset) internal pure returns (address signer) {
        bytes32 r;
        bytes32 s;
        uint8 v;
        assembly ("memory-safe") {
            r := calldataload(offset)
            s := calldataload(add(offset, 32))
            v := byte(0, calldataload(add(offset, 64)))
        }
        // The precompile refuses r and s that are zero or not below the order.
        return uint256(s) > S_MAX || (v != 27 && v != 28) ? address(0) : ecrecover(digest, v, r, s);
    }

    /// @notice The signer of a digest; the zero address where this is no signature.
    function recover(bytes32 digest, bytes calldata signature) internal pure returns (address) {
        if (signature.length != BYTES) return address(0);
        uint256 offset;
        assembly ("memory-safe") {
            offset := signature.offset
        }
        return recoverAt(digest, offset);
    }

    /// @notice The signer of a digest; the zero address where this is no signature.
    function recoverCopied(bytes32 digest, bytes memory signature) internal pure returns (address) {
        if (signature.length != BYTES) return address(0);
        bytes32 r;
        bytes32 s;
        assembly ("memory-safe") {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
        }
        uint8 v = uint8(signature[64]);
        if (uint256(s) > S_MAX || (v != 27 && v != 28)) return address(0);
        return ecrecover(digest, v, r, s);
    }
}
