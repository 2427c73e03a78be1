// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TAG_EVM_CLIENT} from "../protocol/Digests.sol";
import {E_FORMAT, E_PROOF, E_STATE, ensure} from "../protocol/Refusals.sol";
import {Anchor} from "../protocol/Structs.sol";
import {
    BUSY, CLIENT_ACTIVE, CLIENT_EXPIRED, CLIENT_EXPIRING, CLIENT_FROZEN, CONTRADICTED, Client, SUCCEEDED
} from "./Client.sol";
import {Link} from "./Link.sol";

/// @notice What the gateway's client of the hub remembers, whatever makes it believe a header.
/// @dev Time is this chain's own block time. docs/protocol.md section 6.
abstract contract ClientState is Link {
    /// How far a header's time may be ahead of this chain's, in milliseconds.
    uint64 private constant AHEAD_MS_MAX = 10 * 60 * 1000;
    /// How many accepted headers are remembered.
    uint256 private constant RING = 64;
    /// `C` of ADR 0008.
    uint256 private constant SLOT = uint256(keccak256(abi.encode(TAG_EVM_CLIENT)));

    /// The newest accepted headers: first 128 bits of the block id, height, time. Entries ascend in
    /// height and in time.
    bytes32[RING] private ring;
    /// Since when link or client are frozen, in milliseconds.
    uint64 internal frozenSince;
    /// The epoch of the data lane that the hub's answers are to, while `UNANSWERED` is set.
    uint32 internal answersEpoch;

    function loadClient() internal view returns (Client client) {
        uint256 slot = SLOT;
        assembly ("memory-safe") {
            client := sload(slot)
        }
    }

    function storeClient(Client client) internal {
        uint256 slot = SLOT;
        assembly ("memory-safe") {
            sstore(slot, client)
        }
    }

    /// The client, unless a delivery is under way.
    function loadIdle() internal view returns (Client client) {
        client = loadClient();
        ensure(!client.has(BUSY), E_STATE, "a delivery is under way");
    }

    /// The block of the newest accepted header.
    function newestId() internal view returns (bytes32 id) {
        uint256 slot = SLOT + 1;
        assembly ("memory-safe") {
            id := sload(slot)
        }
    }

    /// Starts anew from an anchor that was checked. The word is not kept here.
    function beginAt(Client client, Anchor memory anchor) internal returns (Client) {
        client = client.withNoneAccepted().withFlag(CONTRADICTED | SUCCEEDED, false);
        return remember(client, anchor.height, anchor.time, anchor.blockId);
    }

    /// Makes a header the newest accepted one. The word is not kept here.
    function remember(Client client, uint64 height, uint64 time, bytes32 blockId) internal returns (Client) {
        // After 2^32 headers the ring would seem short; at one a second that takes 136 years.
        ring[client.accepted() % RING] = entry(height, time, blockId);
        uint256 slot = SLOT + 1;
        assembly ("memory-safe") {
            sstore(slot, blockId)
        }
        return client.withNewest(height, time);
    }

    /// Whether a proved header contradicts a remembered one: (a) two blocks at one height, (b) a
    /// greater height whose time is not greater. docs/protocol.md section 6, step 6.
    /// @dev Entries ascend, so the neighbours of the header decide.
    function contradictsRemembered(Client client, uint64 height, uint64 time, bytes32 blockId)
        internal
        view
        returns (bool)
    {
        if (height > client.height()) return time <= client.time();
        if (height == client.height()) return blockId != newestId();
        uint64 timeAbove = client.time();
        uint256 accepted = client.accepted();
        uint256 held = accepted < RING ? accepted : RING;
        for (uint256 back = 2; back <= held; ++back) {
            bytes32 known = ring[(accepted - back) % RING];
            (uint64 knownHeight, uint64 knownTime) = (uint64(uint256(known) >> 64), uint64(uint256(known)));
            if (knownHeight == height) return known != entry(height, time, blockId);
            if (knownHeight < height) return time <= knownTime || time >= timeAbove;
            timeAbove = knownTime;
        }
        return time >= timeAbove;
    }

    /// Where the client stands now.
    function statusOf(Client client) internal view returns (uint8) {
        if (client.has(CONTRADICTED)) return CLIENT_FROZEN;
        uint64 time = nowMs();
        uint256 age = time > client.time() ? time - client.time() : 0;
        if (age >= trustingPeriodMs) return CLIENT_EXPIRED;
        return 3 * age > 2 * uint256(trustingPeriodMs) ? CLIENT_EXPIRING : CLIENT_ACTIVE;
    }

    /// Refuses a client that accepts nothing any more.
    function ensureUsable(Client client) internal view {
        ensure(statusOf(client) < CLIENT_EXPIRED, E_PROOF, "the client is expired or frozen");
    }

    /// Refuses a time too far ahead: it would stretch the trusting period by as much.
    function ensureNotAhead(uint64 time) internal view {
        ensure(time <= nowMs() + AHEAD_MS_MAX, E_PROOF, "more than 10 min ahead");
    }

    /// Refuses an anchor from which no client can start; its validator set is checked elsewhere.
    function ensureStarts(Anchor memory anchor) internal view {
        bool formed = anchor.chainId != 0 && anchor.blockId != 0
            && (anchor.height > 0 || anchor.blockId == anchor.chainId);
        ensure(formed, E_FORMAT, "anchor: no block of a chain");
        ensureNotAhead(anchor.time);
        uint64 time = nowMs();
        bool young = anchor.time >= time || time - anchor.time < trustingPeriodMs;
        ensure(young, E_PROOF, "anchor: older than trusted");
    }

    /// Refuses an anchor that goes against what a client accepted that is not frozen itself.
    /// docs/protocol.md section 14.
    function ensureFollows(Client client, Anchor memory anchor) internal view {
        ensure(anchor.chainId == hub, E_PROOF, "anchor: another chain");
        if (client.has(CONTRADICTED)) return;
        bool follows = anchor.height == client.height()
            ? anchor.blockId == newestId()
            : anchor.height > client.height() && anchor.time > client.time();
        ensure(follows, E_PROOF, "anchor: against what is known");
    }

    /// A header as one word.
    function entry(uint64 height, uint64 time, bytes32 blockId) internal pure returns (bytes32) {
        return bytes32(uint256(blockId) >> 128 << 128 | uint256(height) << 64 | time);
    }
}
