// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRefusal} from "../protocol/Refusals.sol";

/// @notice Who takes lane messages of some kinds from the gateway.
/// @dev Called with exactly the gas that the message's weight grants. A refusal is a revert with
/// `Refuse`; nothing else that is returned or reverted with is read beyond three words.
interface ILaneReceiver is IRefusal {
    /// @param kind The message's kind.
    /// @param number The message's number in the hub's lane; of an answer, the number that it answers.
    /// @param body The message's body, not yet checked to be canonical.
    /// @return xid For kinds 6, 7 and 8: the two-phase commit; else zero.
    /// @return class For kind 6: 0 for a yes, else why it is a no.
    /// @return sentence For kind 6: the sentence of a no.
    function takeRequest(uint256 kind, uint256 number, bytes calldata body)
        external
        returns (bytes32 xid, uint8 class, bytes32 sentence);
}
