// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Where a link stands.
uint8 constant PROPOSED = 0;
uint8 constant OPEN = 1;
uint8 constant FROZEN = 2;

// Where a client stands.
uint8 constant CLIENT_ACTIVE = 0;
uint8 constant CLIENT_EXPIRING = 1;
uint8 constant CLIENT_EXPIRED = 2;
uint8 constant CLIENT_FROZEN = 3;

// Flags of a client.
// The client itself is frozen, not just the link.
uint8 constant CONTRADICTED = 1;
// The newest header names another validator set than its own.
uint8 constant SUCCEEDED = 2;
// A delivery is under way: nothing that it calls may change what it stands on (attack A16).
uint8 constant BUSY = 4;
// The hub has said Hello.
uint8 constant GREETED = 8;
// A lane that was reopened has yet to send again.
uint8 constant RESUMING = 16;
// Of the hub's answers to the data lane's former epoch some may still come.
uint8 constant UNANSWERED = 32;

/// @notice The word `C` of a gateway: ADR 0008, docs/protocol.md section 21. From high to low height
/// (64), time (64), trust epoch (32), status (8), flags (8), headers accepted (32), key epoch (32), the
/// hub's weight_max (16).
type Client is uint256;

using ClientWord for Client global;

/// @notice Reads and changes the fields of the word.
library ClientWord {
    /// @notice Height of the newest accepted header.
    function height(Client self) internal pure returns (uint64) {
        return uint64(Client.unwrap(self) >> 192);
    }

    /// @notice Time of the newest accepted header, in milliseconds.
    function time(Client self) internal pure returns (uint64) {
        return uint64(Client.unwrap(self) >> 128);
    }

    /// @notice Raised by every act of the council.
    function trustEpoch(Client self) internal pure returns (uint32) {
        return uint32(Client.unwrap(self) >> 96);
    }

    /// @notice Where the link stands.
    function status(Client self) internal pure returns (uint8) {
        return uint8(Client.unwrap(self) >> 88);
    }

    /// @notice Whether a flag is set.
    function has(Client self, uint8 flag) internal pure returns (bool) {
        return Client.unwrap(self) >> 80 & flag != 0;
    }

    /// @notice Headers accepted since the last anchor, that included.
    function accepted(Client self) internal pure returns (uint32) {
        return uint32(Client.unwrap(self) >> 48);
    }

    /// @notice Of node keys, in modes 2 and 3.
    function keyEpoch(Client self) internal pure returns (uint32) {
        return uint32(Client.unwrap(self) >> 16);
    }

    /// @notice The heaviest message that the hub takes.
    function weightMax(Client self) internal pure returns (uint16) {
        return uint16(Client.unwrap(self));
    }

    /// @notice With another newest header, one more accepted.
    function withNewest(Client self, uint64 height_, uint64 time_) internal pure returns (Client) {
        uint256 word = uint256(uint128(Client.unwrap(self))) + (1 << 48);
        return Client.wrap(uint256(height_) << 192 | uint256(time_) << 128 | word);
    }

    /// @notice With no header accepted yet.
    function withNoneAccepted(Client self) internal pure returns (Client) {
        return Client.wrap(Client.unwrap(self) & ~(uint256(type(uint32).max) << 48));
    }

    /// @notice In the next trust epoch.
    function withNextTrustEpoch(Client self) internal pure returns (Client) {
        return Client.wrap(Client.unwrap(self) + (1 << 96));
    }

    /// @notice With the link standing elsewhere.
    function withStatus(Client self, uint8 status_) internal pure returns (Client) {
        return Client.wrap(Client.unwrap(self) & ~(uint256(0xff) << 88) | uint256(status_) << 88);
    }

    /// @notice With a flag set, or not.
    function withFlag(Client self, uint8 flag, bool set) internal pure returns (Client) {
        uint256 bit = uint256(flag) << 80;
        uint256 word = Client.unwrap(self);
        return Client.wrap(set ? word | bit : word & ~bit);
    }

    /// @notice In the next key epoch.
    function withNextKeyEpoch(Client self) internal pure returns (Client) {
        return Client.wrap(Client.unwrap(self) + (1 << 16));
    }

    /// @notice With another heaviest message that the hub takes.
    function withWeightMax(Client self, uint16 weightMax_) internal pure returns (Client) {
        return Client.wrap(Client.unwrap(self) & ~uint256(type(uint16).max) | weightMax_);
    }
}
