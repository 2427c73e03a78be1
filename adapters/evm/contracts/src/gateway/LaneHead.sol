// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The word `L(n)` of a lane: ADR 0008. From high to low epoch (32), size (64), peer epoch (32),
/// received (64), newest block (64).
type LaneHead is uint256;

using LaneHeadWord for LaneHead global;

/// @notice Reads and changes the fields of the word.
library LaneHeadWord {
    /// @notice A lane without messages, in these epochs.
    function begin(uint32 epoch_, uint32 peerEpoch_, uint64 newestBlock_) internal pure returns (LaneHead) {
        return LaneHead.wrap(uint256(epoch_) << 224 | uint256(peerEpoch_) << 128 | newestBlock_);
    }

    /// @notice Of what is sent; from 1.
    function epoch(LaneHead self) internal pure returns (uint32) {
        return uint32(LaneHead.unwrap(self) >> 224);
    }

    /// @notice Messages sent in the epoch.
    function size(LaneHead self) internal pure returns (uint64) {
        return uint64(LaneHead.unwrap(self) >> 160);
    }

    /// @notice Of what is received; from 1.
    function peerEpoch(LaneHead self) internal pure returns (uint32) {
        return uint32(LaneHead.unwrap(self) >> 128);
    }

    /// @notice Messages taken in the peer's epoch.
    function received(LaneHead self) internal pure returns (uint64) {
        return uint64(LaneHead.unwrap(self) >> 64);
    }

    /// @notice The block of the message sent last; 0 before the first.
    function newestBlock(LaneHead self) internal pure returns (uint64) {
        return uint64(LaneHead.unwrap(self));
    }

    /// @notice With one message more, sent in this block.
    function withSent(LaneHead self, uint64 block_) internal pure returns (LaneHead) {
        uint256 word = LaneHead.unwrap(self) & ~uint256(type(uint64).max);
        return LaneHead.wrap((word + (1 << 160)) | block_);
    }

    /// @notice With so many messages taken.
    function withReceived(LaneHead self, uint64 received_) internal pure returns (LaneHead) {
        uint256 mask = uint256(type(uint64).max) << 64;
        return LaneHead.wrap(LaneHead.unwrap(self) & ~mask | uint256(received_) << 64);
    }
}
