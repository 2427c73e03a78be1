// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IControl} from "../interfaces/IControl.sol";
import {IGateway} from "../interfaces/IGateway.sol";
import {Canonical} from "../protocol/Canonical.sol";
import {Digests} from "../protocol/Digests.sol";
import "../protocol/Refusals.sol";
import {Signatures} from "../protocol/Signatures.sol";
import {IdentityUpdate} from "../protocol/Structs.sol";

/// @notice Identities with an account here, as the hub says they stand: docs/protocol.md section 13.
/// @dev Keys and status are the hub's word. A binding is not: the account's own key has signed it, and
/// that signature is checked here, so that a hub that colludes cannot bind what is not its own.
abstract contract Identities is IControl {
    uint8 private constant ACTIVE = 1;
    uint8 private constant REVOKED = 3;
    uint256 private constant KEYS_MAX = 8;

    /// How an identity stands; kept for those that have or had an account here.
    struct Standing {
        address account; // zero where none is bound any more
        uint64 nonce; // of the newest binding that was taken
        uint8 status;
    }

    IGateway public immutable gateway;
    mapping(bytes32 identity => Standing) private standings;
    /// The one key of an identity, or the hash of the list of several.
    mapping(bytes32 identity => bytes32) private keysOf;
    /// Which keys a list holds, once somebody has shown it. A list's hash says so for ever.
    mapping(bytes32 list => mapping(address key => bool)) private shown;
    /// @inheritdoc IControl
    mapping(address account => bytes32) public override identityOf;

    constructor(IGateway gateway_) {
        gateway = gateway_;
    }

    /// @inheritdoc IControl
    function showKeys(bytes32 identity, address[] calldata keys) external {
        bytes32 list = keccak256(abi.encodePacked(keys));
        ensure(keysOf[identity] == list, E_NOTFOUND, "not the keys of the identity");
        for (uint256 i = 0; i < keys.length; ++i) shown[list][keys[i]] = true;
    }

    /// @inheritdoc IControl
    function signsFor(address account, address signer) external view returns (bool) {
        bytes32 identity = identityOf[account];
        Standing memory it = standings[identity];
        if (it.status != ACTIVE || it.account != account || signer == address(0)) return false;
        bytes32 keys = keysOf[identity];
        return keys == bytes32(uint256(uint160(signer))) || shown[keys][signer];
    }

    /// Takes the present standing of an identity from the hub.
    function takeUpdate(bytes calldata body) internal {
        ensure(Canonical.matches(body, 9, hex"20020120a001141408b108"), E_FORMAT, "not an identity update");
        IdentityUpdate memory it = abi.decode(bytes.concat(bytes32(uint256(32)), body), (IdentityUpdate));
        ensure(it.status >= ACTIVE && it.status <= REVOKED, E_FORMAT, "no such status");
        ensure(it.identity != 0, E_FORMAT, "the zero identity is nobody's");
        for (uint256 i = 0; i < it.keys.length; ++i) {
            ensure(it.keys[i] != address(0), E_FORMAT, "the zero address as a key");
        }
        ensure(it.keys.length <= KEYS_MAX, E_LIMIT, "more than 8 keys");
        Standing memory known = standings[it.identity];
        bool rises = known.status == REVOKED && it.status != REVOKED;
        ensure(!rises, E_STATE, "revoked for ever");
        checkBinding(it, known);
        // Who has no account here, and never had one, has nothing to say here.
        if (it.account == address(0) && known.status == 0) return;
        bind(it, known);
        uint64 nonce = it.account == address(0) ? known.nonce : it.bindingNonce;
        standings[it.identity] = Standing(it.account, nonce, it.status);
        keysOf[it.identity] = it.keys.length == 1
            ? bytes32(uint256(uint160(it.keys[0])))
            : keccak256(abi.encodePacked(it.keys));
        emit Bound(it.identity, it.account, it.status);
    }

    /// Refuses a binding that the account's key has not signed, or one older than the newest taken.
    /// Attack A47.
    function checkBinding(IdentityUpdate memory it, Standing memory known) private view {
        if (it.account == address(0)) {
            bool nothing = it.bindingNonce == 0
                && keccak256(it.accountSignature) == keccak256(new bytes(Signatures.BYTES));
            ensure(nothing, E_FORMAT, "a binding without an account");
            return;
        }
        bytes32 digest =
            Digests.binding(gateway.hub(), gateway.chain(), it.account, it.identity, it.bindingNonce);
        address signer = Signatures.recoverCopied(digest, it.accountSignature);
        ensure(signer == it.account, E_AUTH, "not signed by the account");
        ensure(it.bindingNonce >= known.nonce, E_REPLAY, "an older binding");
    }

    /// An account has one identity: whoever had it before loses it.
    function bind(IdentityUpdate memory it, Standing memory known) private {
        if (it.account == known.account) return;
        if (known.account != address(0)) delete identityOf[known.account];
        if (it.account == address(0)) return;
        bytes32 other = identityOf[it.account];
        if (other != 0) standings[other].account = address(0);
        identityOf[it.account] = it.identity;
    }
}
