// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {E_DENIED, IRefusal, ensure} from "./protocol/Refusals.sol";

/// @notice Closed items that are here and are no tokens of another contract. A token's id is the data id.
/// ADR 0009
/// @dev The vault mints without asking the receiver: a decision calls no stranger's code.
contract Items is ERC721, IRefusal {
    address public immutable vault;

    constructor() ERC721("Tombolo items", "TOMBOLO") {
        vault = msg.sender;
    }

    /// @notice An item has come here. Vault only.
    function mint(address holder, bytes32 dataId) external {
        ensureVault();
        _mint(holder, uint256(dataId));
    }

    /// @notice An item has gone. Vault only.
    function burn(bytes32 dataId) external {
        ensureVault();
        _burn(uint256(dataId));
    }

    /// @notice Into escrow and back, by consent to a two-phase commit. Vault only.
    function move(address from, address to, bytes32 dataId) external {
        ensureVault();
        _transfer(from, to, uint256(dataId));
    }

    function ensureVault() private view {
        ensure(msg.sender == vault, E_DENIED, "for the vault alone");
    }
}
