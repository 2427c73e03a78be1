// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Digests} from "../protocol/Digests.sol";
import {Signatures} from "../protocol/Signatures.sol";
import {VaultBase} from "./VaultBase.sol";

/// @notice Who has consented to a two-phase commit: docs/protocol.md section 21.
abstract contract Consents is VaultBase {
    bytes32 private constant AUTHORISATION = keccak256("Authorisation(bytes32 xid)");
    bytes32 private immutable domain;

    mapping(bytes32 xid => mapping(address account => bool)) private consents;

    constructor() {
        domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Tombolo"),
                keccak256("1"),
                block.chainid,
                address(gateway)
            )
        );
    }

    function consent(bytes32 xid) external {
        setConsent(xid, msg.sender, true);
    }

    function revoke(bytes32 xid) external {
        setConsent(xid, msg.sender, false);
    }

    function setConsent(bytes32 xid, address account, bool given) internal override {
        consents[xid][account] = given;
        emit Consent(xid, account, given);
    }

    /// Whether an account consents: by its own transaction where the signature is 65 zero bytes; else by
    /// its key, or a key of the identity bound to it, over the protocol's digest or that of EIP-712.
    function hasConsent(bytes32 xid, address account, bytes calldata signature) internal view returns (bool) {
        if (isZero(signature)) return consents[xid][account];
        if (isBy(account, Signatures.recover(Digests.authorisation(xid), signature))) return true;
        bytes32 typed = keccak256(abi.encode(AUTHORISATION, xid));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, typed));
        return isBy(account, Signatures.recover(digest, signature));
    }

    function isBy(address account, address signer) private view returns (bool) {
        return signer != address(0) && (signer == account || control.signsFor(account, signer));
    }

    function isZero(bytes calldata signature) private pure returns (bool) {
        return signature.length == Signatures.BYTES
            && bytes32(signature[:32]) | bytes32(signature[32:64]) | bytes32(signature[33:65]) == 0;
    }
}
