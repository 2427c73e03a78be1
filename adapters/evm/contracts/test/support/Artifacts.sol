// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRefusal} from "../../src/protocol/Refusals.sol";
import {Check} from "./Check.sol";

/// The tests run the very bytes that are committed: `tools/artifacts.js` writes them.
abstract contract Artifacts is Check {
    /// Creates a contract from its artifact; a refusal of its constructor is passed on.
    function create(string memory name, bytes memory arguments) internal returns (address made) {
        bytes memory code = bytes.concat(creationCode(name), arguments);
        assembly ("memory-safe") {
            made := create(0, add(code, 32), mload(code))
            if iszero(made) {
                returndatacopy(code, 0, returndatasize())
                revert(code, returndatasize())
            }
        }
    }

    /// A constructor refuses with exactly this class and sentence.
    function refusesCode(bytes memory code, uint8 class, bytes32 sentence) internal {
        address made;
        bytes memory why = new bytes(68);
        uint256 size;
        assembly ("memory-safe") {
            made := create(0, add(code, 32), mload(code))
            size := returndatasize()
            if eq(size, 68) { returndatacopy(add(why, 32), 0, 68) }
        }
        isTrue(made == address(0) && size == 68, "not refused");
        bytes memory expected = abi.encodeWithSelector(IRefusal.Refuse.selector, class, sentence);
        if (keccak256(why) != keccak256(expected)) {
            assembly ("memory-safe") {
                revert(add(why, 32), 68)
            }
        }
    }

    function creationCode(string memory name) internal view returns (bytes memory) {
        return vm.parseJsonBytes(vm.readFile(string.concat("artifacts/", name, ".json")), ".bytecode");
    }
}
