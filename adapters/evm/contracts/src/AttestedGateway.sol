// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AttestedClient} from "./gateway/AttestedClient.sol";
import {Client, FROZEN} from "./gateway/Client.sol";
import {Head} from "./gateway/Deliveries.sol";
import {GatewayBase} from "./gateway/GatewayBase.sol";
import {LaneHead} from "./gateway/LaneHead.sol";
import {DATA_LANE, HUB_TO_CHAIN} from "./gateway/Lanes.sol";
import {Link} from "./gateway/Link.sol";
import {IAttestedGateway} from "./interfaces/IGateway.sol";
import {E_DENIED, E_FORMAT, E_PROOF, E_REPLAY, ensure} from "./protocol/Refusals.sol";
import {Anchor, AttestedProof, Delivery, GatewayConfig, LaneLeaf} from "./protocol/Structs.sol";

/// @notice The gateway of this chain to one hub, modes 2 and 3: it believes registered nodes. ADR 0010,
/// docs/protocol.md section 21.
/// @dev Mode 2 is one key that delivers itself; mode 3 is at least two, of which more than half agree. Of
/// an anchor the block counts and the validator set is not read.
contract AttestedGateway is AttestedClient, GatewayBase {
    constructor(GatewayConfig memory config, uint8 mode_, address[] memory keys, uint32 threshold_)
        Link(config, mode_)
    {
        ensure(mode_ == 2 || mode_ == 3, E_FORMAT, "mode 2 or 3");
        Client client = setKeys(Client.wrap(0), keys, threshold_);
        ensureBegins(config.anchor);
        storeClient(beginAt(client, config.anchor));
    }

    /// @inheritdoc IAttestedGateway
    function deliver(Delivery calldata delivery, AttestedProof calldata proof)
        external
        returns (uint64 received)
    {
        Client client = loadClient();
        admit(client, delivery);
        ensureUsable(client);
        ensureNotAhead(proof.time);
        address[] memory signers = signersOf(client, delivery.leaf, proof);
        ensure(signers.length >= threshold, E_PROOF, "too few nodes signed");
        ensure(mode != 2 || msg.sender == signers[0], E_DENIED, "the trusted node alone delivers");
        if (contradictsRemembered(client, proof.height, proof.time, proof.blockId)) {
            received = loadHead(delivery.leaf.lane).received();
            return freeze(client, true, "nodes contradict themselves", received);
        }
        Head memory head = Head({
            height: proof.height,
            time: proof.time,
            blockId: proof.blockId,
            moves: proof.height > client.height(),
            succeeded: false
        });
        return takeDelivery(client, delivery, head);
    }

    /// @inheritdoc IAttestedGateway
    function deviation(LaneLeaf calldata leaf, AttestedProof calldata statement) external {
        Client client = loadIdle();
        ensure(client.status() != FROZEN, E_REPLAY, "the link is frozen already");
        bool ours = leaf.link == link && leaf.direction == HUB_TO_CHAIN && leaf.lane <= DATA_LANE;
        ensure(ours, E_PROOF, "not a leaf of this link");
        address[] memory signers = signersOf(client, leaf, statement);
        bool inBlocks =
            contradictsRemembered(client, statement.height, statement.time, statement.blockId);
        LaneHead lane = loadHead(leaf.lane);
        bool inLane = leaf.epoch == lane.peerEpoch() && leaf.peerEpoch == lane.epoch()
            && contradicts(leaf, statement.height, lane, loadMemory(leaf.lane)) != 0;
        ensure(inBlocks || inLane, E_PROOF, "nothing deviates");
        if (signers.length >= threshold) {
            freeze(client, inBlocks, "nodes contradict themselves", 0);
            return;
        }
        for (uint256 i = 0; i < signers.length; ++i) suspend(client, signers[i]);
    }

    /// @inheritdoc IAttestedGateway
    function rotate(address[] calldata next, uint32 nextThreshold) external {
        ensureControl();
        storeClient(setKeys(loadIdle(), next, nextThreshold).withNextTrustEpoch());
    }

    function ensureBegins(Anchor memory anchor) internal view override {
        ensureStarts(anchor);
    }

    function beginWith(Client client, Anchor memory anchor) internal override returns (Client) {
        ensureStarts(anchor);
        return beginAt(client, anchor);
    }
}
