// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {IControl} from "../interfaces/IControl.sol";
import {IGateway} from "../interfaces/IGateway.sol";
import {IRegistry} from "../interfaces/IRegistry.sol";
import {IVault} from "../interfaces/IVault.sol";
import {Items} from "../Items.sol";
import {E_STATE, ensure} from "../protocol/Refusals.sol";
import {Hold} from "./Hold.sol";

/// @notice What the parts of the vault share: whom it belongs to, and what is on hold.
abstract contract VaultBase is IVault, ReentrancyGuard {
    IGateway public immutable gateway;
    IControl internal immutable control;
    IRegistry internal immutable registry;
    /// @notice Closed items that are here and are no tokens of another contract.
    Items public immutable items;
    bytes32 internal immutable chain;
    bytes32 internal immutable link;

    mapping(bytes32 xid => mapping(uint256 index => Hold)) private holds;

    constructor(IGateway gateway_) {
        ensure(gateway_.vault() == address(this), E_STATE, "gateway names another");
        gateway = gateway_;
        control = IControl(gateway_.control());
        registry = IRegistry(gateway_.registry());
        chain = gateway_.chain();
        link = gateway_.link();
        items = new Items();
    }

    /// What action `index` of a two-phase commit holds.
    function holdAt(bytes32 xid, uint256 index) internal view returns (Hold storage) {
        return holds[xid][index];
    }

    /// Forgets a hold, and of it no more than it has.
    function clear(bytes32 xid, uint256 index, Hold memory hold) internal {
        Hold storage it = holds[xid][index];
        (it.kind, it.account, it.version, it.subject) = (0, address(0), 0, 0);
        if (hold.other != address(0)) it.other = address(0);
        if (hold.value != 0) it.value = 0;
    }

    /// Whether a contract is one of this gateway's: never an asset, never a callee (attack A12).
    function isOwn(address contract_) internal view returns (bool) {
        return contract_ == address(gateway) || contract_ == address(control)
            || contract_ == address(registry) || contract_ == address(this) || contract_ == address(items);
    }

    /// Who owns a token of an ERC-721 contract; zero where it does not say.
    function ownerAt(address token, uint256 id) internal view returns (address owner) {
        bytes4 selector = IERC721.ownerOf.selector;
        assembly ("memory-safe") {
            mstore(0, selector)
            mstore(4, id)
            let done := staticcall(gas(), token, 0, 36, 0, 32)
            if and(done, gt(returndatasize(), 31)) { owner := mload(0) }
        }
    }

    /// Calls without reading a byte of what comes back.
    function callBare(address target, bytes memory data) internal returns (bool done) {
        assembly ("memory-safe") {
            done := call(gas(), target, 0, add(data, 32), mload(data), 0, 0)
        }
    }

    /// Notes consent that an account gives by its own transaction, or takes back.
    function setConsent(bytes32 xid, address account, bool given) internal virtual;
}
