// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Client, FROZEN, SUCCEEDED} from "./gateway/Client.sol";
import {Head} from "./gateway/Deliveries.sol";
import {GatewayBase} from "./gateway/GatewayBase.sol";
import {HubClient} from "./gateway/HubClient.sol";
import {Link} from "./gateway/Link.sol";
import {IHubGateway} from "./interfaces/IGateway.sol";
import {Digests} from "./protocol/Digests.sol";
import {Log} from "./protocol/Log.sol";
import {E_PROOF, E_REPLAY, E_STATE, ensure} from "./protocol/Refusals.sol";
import {
    Anchor, CertifiedHeader, Delivery, GatewayConfig, Header, HubProof, ValidatorSet
} from "./protocol/Structs.sol";

/// @notice The gateway of this chain to one hub, mode 1: it believes the hub's own consensus.
/// docs/protocol.md section 21.
contract Gateway is HubClient, GatewayBase {
    constructor(GatewayConfig memory config) Link(config, 1) {
        storeClient(beginWith(Client.wrap(0), config.anchor));
    }

    /// @inheritdoc IHubGateway
    function deliver(Delivery calldata delivery, HubProof calldata proof)
        external
        returns (uint64 received)
    {
        Client client = loadClient();
        admit(client, delivery);
        Header calldata header = proof.certified.header;
        (bytes32 id, bool contradicts) = believe(client, proof.certified);
        if (contradicts) {
            return freeze(client, true, "the hub contradicts itself", loadHead(delivery.leaf.lane).received());
        }
        bytes32 leaf = Digests.laneLeaf(delivery.leaf);
        bool stands = Log.includes(leaf, proof.index, proof.count, proof.path, header.lanesRoot);
        ensure(stands, E_PROOF, "leaf is not in the lanes tree");
        Head memory head = Head({
            height: header.height,
            time: header.time,
            blockId: id,
            moves: header.height > client.height(),
            succeeded: header.nextValidatorsRoot != header.validatorsRoot
        });
        return takeDelivery(client, delivery, head);
    }

    /// @inheritdoc IHubGateway
    function updateClient(CertifiedHeader calldata certified, ValidatorSet calldata next) external {
        Client client = loadIdle();
        // Nothing outruns the act of the council that a frozen link waits for.
        ensure(client.status() != FROZEN, E_STATE, "the link is frozen");
        (bytes32 id, bool contradicts) = believe(client, certified);
        if (contradicts) {
            freeze(client, true, "the hub contradicts itself", 0);
            return;
        }
        Header calldata header = certified.header;
        bool moves = header.height > client.height();
        bool succeeds = header.nextValidatorsRoot != header.validatorsRoot;
        ensure(moves || succeeds, E_REPLAY, "the client stays where it is");
        if (moves) client = remember(client, header.height, header.time, id);
        if (succeeds) client = succeed(client, header, id, next);
        storeClient(client);
    }

    /// @inheritdoc IHubGateway
    function misbehaviour(CertifiedHeader calldata a, CertifiedHeader calldata b) external {
        Client client = loadIdle();
        ensure(client.status() != FROZEN, E_REPLAY, "the link is frozen already");
        ensure(contradict(client, a, b), E_PROOF, "these do not contradict");
        freeze(client, true, "evidence of contradiction", 0);
    }

    function ensureBegins(Anchor memory anchor) internal view override(HubClient, GatewayBase) {
        HubClient.ensureBegins(anchor);
    }

    function beginWith(Client client, Anchor memory anchor)
        internal
        override(HubClient, GatewayBase)
        returns (Client)
    {
        return HubClient.beginWith(client, anchor);
    }
}
