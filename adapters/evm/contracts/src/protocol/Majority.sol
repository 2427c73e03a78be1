// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {E_FORMAT, E_LIMIT, ensure} from "./Refusals.sol";

/// @notice Keys of which more than half must agree: a council, the nodes of mode 3.
library Majority {
    uint256 private constant KEYS_MAX = 100;

    /// @notice Refuses keys that do not ascend, or of which not more than half must agree: two groups
    /// that may both act would let them contradict themselves.
    function check(address[] memory keys, uint32 threshold) internal pure {
        ensure(keys.length <= KEYS_MAX, E_LIMIT, "more than 100 keys");
        address before = address(0);
        for (uint256 i = 0; i < keys.length; ++i) {
            ensure(keys[i] > before, E_FORMAT, "keys do not ascend");
            before = keys[i];
        }
        bool majority = threshold <= keys.length && 2 * uint256(threshold) > keys.length;
        ensure(majority, E_FORMAT, "not more than half of the keys");
    }
}
