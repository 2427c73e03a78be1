// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IGateway} from "../interfaces/IGateway.sol";
import {Digests} from "../protocol/Digests.sol";
import {BEGIN, BEGIN_WEIGHT, SHARE, SHARE_WEIGHT} from "../protocol/Kinds.sol";
import {Log} from "../protocol/Log.sol";
import {E_DENIED, E_LIMIT, E_STATE, ensure} from "../protocol/Refusals.sol";
import {Anchor, LaneLeaf} from "../protocol/Structs.sol";
import {
    CLIENT_EXPIRED, CLIENT_FROZEN, Client, FROZEN, GREETED, OPEN, PROPOSED, RESUMING, UNANSWERED
} from "./Client.sol";
import {Deliveries} from "./Deliveries.sol";
import {LaneHead, LaneHeadWord} from "./LaneHead.sol";
import {CHAIN_TO_HUB, CONTROL_LANE, DATA_LANE, LaneMemory} from "./Lanes.sol";

/// @notice What gateways of all modes have in common: what registry, vault and control may ask of them,
/// and what can be read.
abstract contract GatewayBase is Deliveries {
    /// @inheritdoc IGateway
    function send(uint16 kind, uint64 notAfter, bytes32 salt, bytes calldata body)
        external
        returns (uint64)
    {
        bool allowed = (kind == SHARE && msg.sender == registry) || (kind == BEGIN && msg.sender == vault);
        ensure(allowed, E_DENIED, "for registry and vault alone");
        Client client = loadIdle();
        uint64 weight = kind == SHARE ? SHARE_WEIGHT : BEGIN_WEIGHT;
        ensure(weight <= client.weightMax(), E_LIMIT, "heavier than the hub takes");
        ensure(client.status() == OPEN, E_STATE, "the link is not open");
        ensure(!client.has(RESUMING), E_STATE, "former epoch comes first");
        // A refusal still on its way must never meet another Begin under the same number.
        ensure(kind != BEGIN || !client.has(UNANSWERED), E_STATE, "answers are still to come");
        ensureRoom(DATA_LANE);
        return append(DATA_LANE, abi.encode(kind, weight, notAfter, salt, body));
    }

    /// @inheritdoc IGateway
    function sendControl(uint32 lane, bytes calldata message) external {
        ensureControl();
        loadIdle();
        append(lane, message);
    }

    /// @inheritdoc IGateway
    function open(uint64 hubWeightMax) external {
        ensureControl();
        Client client = loadClient();
        ensure(!client.has(GREETED), E_STATE, "the hub has said Hello before");
        uint16 bounded = hubWeightMax > type(uint16).max ? type(uint16).max : uint16(hubWeightMax);
        if (client.status() == PROPOSED) client = client.withStatus(OPEN);
        storeClient(client.withFlag(GREETED, true).withWeightMax(bounded));
        emit Opened();
    }

    /// @inheritdoc IGateway
    function checkAnchor(Anchor calldata anchor) public view {
        ensureFollows(loadClient(), anchor);
        ensureBegins(anchor);
    }

    /// @inheritdoc IGateway
    function recover(Anchor calldata anchor) external {
        ensureControl();
        checkAnchor(anchor);
        Client client = loadIdle();
        if (client.status() == FROZEN) {
            client = client.withStatus(client.has(GREETED) ? OPEN : PROPOSED);
            forgetProved();
        }
        client = beginWith(client.withNextTrustEpoch(), anchor);
        storeClient(client);
        emit Recovered(client.trustEpoch(), anchor.height, anchor.blockId);
    }

    /// @inheritdoc IGateway
    function reopen(uint32 lane) external {
        ensureControl();
        Client client = loadIdle();
        ensure(client.status() == FROZEN, E_STATE, "the link is not frozen");
        ensure(!client.has(RESUMING), E_STATE, "former epoch comes first");
        LaneHead head = loadHead(lane);
        storeHead(lane, LaneHeadWord.begin(head.epoch() + 1, head.peerEpoch() + 1, head.newestBlock()));
        storeReceivedRoot(lane, 0);
        LaneMemory memory nothing;
        nothing.currentAt = loadMemory(lane).currentAt;
        storeMemory(lane, nothing);
        if (lane == DATA_LANE && !client.has(UNANSWERED)) {
            answersEpoch = head.epoch();
            client = client.withFlag(UNANSWERED, true);
        }
        storeClient(client.withNextTrustEpoch().withFlag(RESUMING, true));
        emit Reopened(lane, head.epoch() + 1, head.peerEpoch() + 1);
    }

    /// @inheritdoc IGateway
    function resume() external {
        ensureControl();
        storeClient(loadIdle().withFlag(RESUMING, false));
    }

    /// @inheritdoc IGateway
    function raiseTrust() external {
        ensureControl();
        storeClient(loadIdle().withNextTrustEpoch());
    }

    /// @inheritdoc IGateway
    function standing()
        external
        view
        returns (uint8 status, uint8 client, uint64 since, uint32 trustEpoch)
    {
        Client it = loadClient();
        client = statusOf(it);
        if (client == CLIENT_FROZEN) since = frozenSince;
        if (client == CLIENT_EXPIRED) since = it.time() + trustingPeriodMs;
        return (it.status(), client, since, it.trustEpoch());
    }

    /// @inheritdoc IGateway
    function newest() external view returns (uint64 height, uint64 time, bytes32 blockId) {
        Client client = loadClient();
        return (client.height(), client.time(), newestId());
    }

    /// @inheritdoc IGateway
    function laneLeaf(uint32 lane) external view returns (LaneLeaf memory leaf) {
        LaneHead head = loadHead(lane);
        Client client = loadClient();
        leaf.link = link;
        leaf.direction = CHAIN_TO_HUB;
        leaf.lane = lane;
        leaf.epoch = head.epoch();
        leaf.size = head.size();
        leaf.root = sentRoot(lane, head.size());
        leaf.peerEpoch = head.peerEpoch();
        leaf.received = head.received();
        leaf.receivedRoot = head.received() == 0 ? Log.EMPTY_ROOT : receivedRoot(lane);
        leaf.peerHeight = client.height();
        leaf.peerId = newestId();
        leaf.trustEpoch = client.trustEpoch();
    }

    /// @inheritdoc IGateway
    function identityViewTime() external view returns (uint64) {
        return loadMemory(CONTROL_LANE).currentAt;
    }

    /// @inheritdoc IGateway
    function nextOperation(uint32 lane) external view returns (bytes32) {
        LaneHead head = loadHead(lane);
        return Digests.operation(link, CHAIN_TO_HUB, lane, head.epoch(), head.size());
    }

    /// Refuses an anchor from which no client of this mode can start.
    function ensureBegins(Anchor memory anchor) internal view virtual;

    /// Starts the client anew from an anchor. The word is not kept here.
    function beginWith(Client client, Anchor memory anchor) internal virtual returns (Client);
}
