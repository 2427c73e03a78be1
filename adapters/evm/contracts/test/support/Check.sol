// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRefusal} from "../../src/protocol/Refusals.sol";
import {Vm} from "./Vm.sol";

/// What all tests are made of: cheat codes and assertions that say both sides.
abstract contract Check {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    error Differs(string what, bytes32 found, bytes32 expected);
    error Fails(string what);

    /// This chain's block time in milliseconds. Asked of forge, not of the EVM: the optimizer takes the
    /// latter for constant, while a test changes it.
    function timeMs() internal view returns (uint64) {
        return uint64(vm.getBlockTimestamp() * 1000);
    }

    /// So many seconds go by.
    function later(uint256 seconds_) internal {
        vm.warp(vm.getBlockTimestamp() + seconds_);
    }

    function isTrue(bool condition, string memory what) internal pure {
        if (!condition) revert Fails(what);
    }

    function equal(uint256 found, uint256 expected, string memory what) internal pure {
        if (found != expected) revert Differs(what, bytes32(found), bytes32(expected));
    }

    function equal(bytes32 found, bytes32 expected, string memory what) internal pure {
        if (found != expected) revert Differs(what, found, expected);
    }

    function equal(address found, address expected, string memory what) internal pure {
        equal(uint160(found), uint160(expected), what);
    }

    /// The next call is refused with exactly this class and sentence.
    function refuses(uint8 class, bytes32 sentence) internal {
        vm.expectRevert(abi.encodeWithSelector(IRefusal.Refuse.selector, class, sentence));
    }

    /// The class of a refusal in revert data, or 255.
    function classOf(bytes memory data) internal pure returns (uint8) {
        if (data.length != 68 || bytes4(data) != IRefusal.Refuse.selector) return 255;
        return uint8(data[35]);
    }
}
