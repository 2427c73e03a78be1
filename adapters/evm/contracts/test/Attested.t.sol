// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AttestedGateway} from "../src/AttestedGateway.sol";
import {Control} from "../src/Control.sol";
import {Registry} from "../src/Registry.sol";
import "../src/protocol/Kinds.sol";
import "../src/protocol/Refusals.sol";
import "../src/protocol/Structs.sol";
import {Hub} from "./support/Hub.sol";

/// Gateways that believe registered nodes: mode 3 with three nodes of which two agree, mode 2 with one.
contract AttestedTest is Hub {
    AttestedGateway private gateway;
    Control private control;
    Registry private registry;
    uint256[] private nodes;
    uint256[] private council;
    uint32 private keyEpoch = 1;

    function setUp() external {
        vm.warp(1_800_000_000);
        vm.roll(1_000);
        vm.setBlockhash(999, keccak256("block 999"));
        beginHub(1);
        for (uint256 i = 0; i < 3; ++i) {
            nodes.push(uint256(keccak256(abi.encode("node", i))));
            council.push(uint256(keccak256(abi.encode("council", i))));
        }
        sortByAddress(nodes);
        sortByAddress(council);
        birth(3, addresses(nodes), 2);
        open();
    }

    function config() private view returns (GatewayConfig memory it) {
        it.genesis = keccak256("block 0");
        it.incarnation = 1;
        it.anchor = anchorOfHub();
        it.trustingPeriodMs = 14 days * 1000;
        it.weightMax = 64;
        it.backlogMax = 1_000;
        (it.control, it.registry, it.vault) = (address(1), address(2), address(3));
    }

    function birth(uint8 mode, address[] memory keys, uint32 threshold) private {
        GatewayConfig memory it = config();
        uint256 nonce = vm.getNonce(address(this));
        it.control = vm.computeCreateAddress(address(this), nonce + 1);
        it.registry = vm.computeCreateAddress(address(this), nonce + 2);
        it.vault = vm.computeCreateAddress(address(this), nonce + 3);
        gateway = AttestedGateway(create("AttestedGateway", abi.encode(it, mode, keys, threshold)));
        ControlConfig memory born;
        born.gateway = address(gateway);
        born.council = addresses(council);
        born.councilThreshold = 2;
        born.councilDelayMs = 1 days * 1000;
        born.releasePeriodMs = 14 days * 1000;
        born.identityViewMs = 1 hours * 1000;
        control = Control(create("Control", abi.encode(born)));
        registry = Registry(create("Registry", abi.encode(gateway)));
        create("Vault", abi.encode(gateway, new address[](0)));
        hubLink = gateway.link();
    }

    function addresses(uint256[] memory keys) private pure returns (address[] memory list) {
        list = new address[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) list[i] = vm.addr(keys[i]);
    }

    /// What these nodes state of a leaf at the next height.
    function attest(LaneLeaf memory leaf, uint256 first, uint256 count) private returns (AttestedProof memory) {
        hubHeight += 1;
        uint64 time = timeMs();
        hubTime = time > hubTime ? time : hubTime + 1;
        return statement(leaf, hubHeight, hubTime, keccak256(abi.encode("block", hubHeight)), first, count);
    }

    function statement(
        LaneLeaf memory leaf,
        uint64 height,
        uint64 time,
        bytes32 id,
        uint256 first,
        uint256 count
    ) private view returns (AttestedProof memory it) {
        (it.height, it.time, it.blockId, it.keyEpoch) = (height, time, id, keyEpoch);
        bytes32 digest =
            keccak256(abi.encode(keccak256("tombolo/1/head"), keyEpoch, hashOf(leaf), height, id, time));
        for (uint256 i = 0; i < count; ++i) {
            it.signatures = bytes.concat(it.signatures, signed(nodes[first + i], digest));
        }
    }

    function deliveryOf(uint32 lane, uint64 first, uint64 count) private view returns (Delivery memory it) {
        it.leaf = laneLeafOf(lane);
        (it.first, it.lengths, it.messages, it.range) = batch(lane, first, count);
    }

    function open() private {
        control.hello();
        Hello memory it;
        (it.versionMin, it.versionMax, it.chain, it.mode) = (1, 1, HUB, gateway.mode());
        it.identificationMethod = "tombolo-identity/1";
        it.weightMax = 64;
        it.anchorHeight = 999;
        it.anchorId = blockhash(999);
        hubAppend(CONTROL, message(HELLO, HELLO_WEIGHT, fields(abi.encode(it))));
        Delivery memory first = deliveryOf(CONTROL, 0, 1);
        AttestedProof memory proof = attest(first.leaf, 0, gateway.mode() == 2 ? 1 : 2);
        vm.prank(vm.addr(nodes[0]));
        gateway.deliver(first, proof);
        stands(1, 0);
    }

    function stands(uint8 status, uint8 client) private view {
        (uint8 foundStatus, uint8 foundClient,,) = gateway.standing();
        equal(foundStatus, status, "status of the link");
        equal(foundClient, client, "status of the client");
    }

    function refusesProof(Delivery memory it, AttestedProof memory proof, uint8 class, bytes32 sentence) private {
        refuses(class, sentence);
        gateway.deliver(it, proof);
    }

    function aShare() private returns (Delivery memory) {
        Share memory it;
        it.destinationChain = gateway.chain();
        it.class = CLASS_OPEN;
        it.dataId = keccak256("item");
        it.itemVersion = 1;
        it.fingerprint = keccak256(abi.encode(keccak256("tombolo/1/fingerprint"), keccak256("")));
        it.signature = new bytes(65);
        hubAppend(DATA, message(SHARE, SHARE_WEIGHT, fields(abi.encode(it))));
        return deliveryOf(DATA, 0, 1);
    }

    // --- What is believed ------------------------------------------------------------------------

    function test_two_of_three_nodes_are_believed_whoever_brings_it() external {
        Delivery memory it = aShare();
        equal(gateway.deliver(it, attest(it.leaf, 1, 2)), 1, "taken");
        (uint32 version,) = registry.item(keccak256("item"));
        equal(version, 1, "the same above the waist");
        (uint64 height,, bytes32 id) = gateway.newest();
        equal(height, hubHeight, "height");
        equal(id, keccak256(abi.encode("block", hubHeight)), "block");
    }

    function test_a09_fewer_nodes_or_others_are_not() external {
        Delivery memory it = aShare();
        AttestedProof memory proof = attest(it.leaf, 0, 1);
        refusesProof(it, proof, E_PROOF, "too few nodes signed");
        bytes memory one = proof.signatures;
        proof.signatures = bytes.concat(one, one);
        refusesProof(it, proof, E_PROOF, "no signature of a next key");
        proof.signatures = "";
        refusesProof(it, proof, E_PROOF, "surplus or broken signatures");
        proof.signatures = bytes.concat(one, hex"00");
        refusesProof(it, proof, E_PROOF, "surplus or broken signatures");
        proof = statement(it.leaf, hubHeight, hubTime, proof.blockId, 0, 2);
        bytes memory good = proof.signatures;
        proof.signatures = bytes.concat(slice(good, 65, 65), slice(good, 0, 65));
        refusesProof(it, proof, E_PROOF, "no signature of a next key");
        bytes memory stranger = signed(uint256(keccak256("stranger")), keccak256("digest"));
        proof.signatures = bytes.concat(good, stranger);
        refusesProof(it, proof, E_PROOF, "no signature of a next key");
        proof.signatures = good;
        equal(gateway.deliver(it, proof), 1, "taken");
    }

    function test_a06_every_word_of_a_statement_is_signed() external {
        Delivery memory it = aShare();
        AttestedProof memory proof = attest(it.leaf, 0, 2);
        proof.height += 1;
        refusesProof(it, proof, E_PROOF, "no signature of a next key");
        proof.height -= 1;
        proof.time += 1;
        refusesProof(it, proof, E_PROOF, "no signature of a next key");
        proof.time -= 1;
        proof.blockId ^= bytes32(uint256(1));
        refusesProof(it, proof, E_PROOF, "no signature of a next key");
        proof.blockId ^= bytes32(uint256(1));
        it.leaf.received += 1;
        refusesProof(it, proof, E_PROOF, "no signature of a next key");
        it.leaf.received -= 1;
        proof.keyEpoch = 2;
        refusesProof(it, proof, E_PROOF, "another key epoch");
        proof.keyEpoch = 1;
        proof.blockId = 0;
        refusesProof(it, proof, E_PROOF, "the zero block");
    }

    function test_a_mode_2_node_delivers_itself() external {
        delete nodes;
        nodes.push(uint256(keccak256("the node")));
        delete hubLanes[CONTROL].messages;
        delete hubLanes[CONTROL].leaves;
        birth(2, addresses(nodes), 1);
        open();
        Delivery memory it = aShare();
        AttestedProof memory proof = attest(it.leaf, 0, 1);
        refusesProof(it, proof, E_DENIED, "the trusted node alone delivers");
        vm.prank(vm.addr(nodes[0]));
        equal(gateway.deliver(it, proof), 1, "taken");
    }

    function test_a29_statements_expire_too() external {
        later(14 days + 1);
        stands(1, 2);
        Delivery memory it = aShare();
        refusesProof(it, attest(it.leaf, 0, 2), E_PROOF, "the client is expired or frozen");
        vm.warp(1_800_000_000);
        AttestedProof memory ahead = statement(it.leaf, 20, timeMs() + 600_001, keccak256("ahead"), 0, 2);
        refusesProof(it, ahead, E_PROOF, "more than 10 min ahead");
    }

    // --- What deviates ---------------------------------------------------------------------------

    function test_a28_two_blocks_at_one_height_freeze() external {
        Delivery memory it = aShare();
        gateway.deliver(it, attest(it.leaf, 0, 2));
        AttestedProof memory other = statement(it.leaf, hubHeight, hubTime, keccak256("another"), 1, 2);
        gateway.deliver(it, other);
        stands(2, 3);
        refusesProof(it, other, E_STATE, "the link is frozen");
    }

    function test_a28_enough_nodes_that_deviate_freeze_the_link() external {
        Delivery memory it = aShare();
        gateway.deliver(it, attest(it.leaf, 0, 2));
        AttestedProof memory other = statement(it.leaf, hubHeight, hubTime, keccak256("another"), 1, 2);
        gateway.deviation(it.leaf, other);
        stands(2, 3);
        refuses(E_REPLAY, "the link is frozen already");
        gateway.deviation(it.leaf, other);
    }

    function test_a_lone_node_that_deviates_is_suspended() external {
        Delivery memory it = aShare();
        gateway.deliver(it, attest(it.leaf, 0, 2));
        AttestedProof memory honest = statement(it.leaf, hubHeight, hubTime, keccak256(abi.encode("block", hubHeight)), 2, 1);
        refuses(E_PROOF, "nothing deviates");
        gateway.deviation(it.leaf, honest);
        AttestedProof memory other = statement(it.leaf, hubHeight, hubTime, keccak256("another"), 2, 1);
        gateway.deviation(it.leaf, other);
        stands(1, 0);
        isTrue(gateway.isSuspended(vm.addr(nodes[2])), "suspended");
        isTrue(!gateway.isSuspended(vm.addr(nodes[1])), "the others are not");
        Delivery memory next = deliveryOf(CONTROL, 0, 0);
        refusesProof(next, attest(next.leaf, 1, 2), E_PROOF, "signed by a suspended key");
        gateway.deliver(next, attest(next.leaf, 0, 2));
    }

    function test_a_lone_node_that_lies_of_a_lane_is_suspended() external {
        Delivery memory it = aShare();
        gateway.deliver(it, attest(it.leaf, 0, 2));
        LaneLeaf memory lie = laneLeafOf(DATA);
        lie.root = keccak256("another log");
        gateway.deviation(lie, attest(lie, 1, 1));
        isTrue(gateway.isSuspended(vm.addr(nodes[1])), "suspended");
        stands(1, 0);
        lie.link = keccak256("another link");
        AttestedProof memory proof = attest(lie, 2, 1);
        refuses(E_PROOF, "not a leaf of this link");
        gateway.deviation(lie, proof);
    }

    // --- Keys ------------------------------------------------------------------------------------

    function signAct(uint8 act, uint32 epoch, bytes memory data) private view returns (bytes memory) {
        bytes32 digest =
            keccak256(abi.encode(keccak256("tombolo/1/council"), gateway.chain(), act, epoch, keccak256(data)));
        return bytes.concat(signed(council[0], digest), signed(council[1], digest));
    }

    function test_a11_keys_rotate_by_the_council_and_the_old_ones_are_dead() external {
        Delivery memory it = aShare();
        AttestedProof memory old = attest(it.leaf, 0, 2);
        AttestedProof memory lone = statement(laneLeafOf(CONTROL), 10, hubTime, keccak256("another"), 2, 1);
        gateway.deviation(laneLeafOf(CONTROL), lone);
        uint256[] memory former = nodes;
        delete nodes;
        for (uint256 i = 0; i < 4; ++i) nodes.push(uint256(keccak256(abi.encode("new node", i))));
        nodes.push(former[2]);
        sortByAddress(nodes);
        bytes memory data = fields(abi.encode(NodeKeys(hubLink, addresses(nodes), 3)));
        control.announceAct(2, 1, data, signAct(2, 1, data));
        later(1 days);
        control.takeEffect(data);
        (address[] memory keys, uint32 threshold, uint32 epoch) = gateway.nodeKeys();
        equal(keys.length, 5, "keys");
        equal(threshold, 3, "threshold");
        equal(epoch, 2, "key epoch");
        (,,, uint32 trustEpoch) = gateway.standing();
        equal(trustEpoch, 1, "trust epoch");
        refusesProof(it, old, E_PROOF, "another key epoch");
        old.keyEpoch = 2;
        refusesProof(it, old, E_PROOF, "no signature of a next key");
        keyEpoch = 2;
        // A suspension ends with its key epoch.
        equal(gateway.deliver(it, attest(it.leaf, 0, 3)), 1, "taken");
        gateway.deliver(deliveryOf(CONTROL, 0, 0), attest(laneLeafOf(CONTROL), 2, 3));
    }

    function test_a_recovered_client_goes_on_from_its_anchor() external {
        later(14 days + 1);
        hubHeight += 1;
        hubTime = timeMs();
        Anchor memory anchor = Anchor(HUB, hubHeight, keccak256("anchor"), hubTime, validatorSet());
        bytes memory data = fields(abi.encode(anchor));
        control.announceAct(1, 1, data, signAct(1, 1, data));
        later(1 days);
        control.takeEffect(data);
        stands(1, 0);
        Delivery memory it = aShare();
        equal(gateway.deliver(it, attest(it.leaf, 0, 2)), 1, "taken");
    }

    function test_a62_a_mode_has_its_number_of_keys() external {
        refusesBirth(3, 1, 1, E_STATE, "another mode's number of keys");
        refusesBirth(2, 3, 2, E_STATE, "another mode's number of keys");
        refusesBirth(3, 2, 1, E_FORMAT, "not more than half of the keys");
        refusesBirth(3, 2, 3, E_FORMAT, "not more than half of the keys");
        refusesBirth(1, 3, 2, E_FORMAT, "mode 2 or 3");
        bytes memory data = fields(abi.encode(NodeKeys(hubLink, addresses(cut(1)), 1)));
        bytes memory signatures = signAct(2, 1, data);
        refuses(E_STATE, "another mode's number of keys");
        control.announceAct(2, 1, data, signatures);
        refuses(E_DENIED, "for control alone");
        gateway.rotate(addresses(nodes), 2);
    }

    function cut(uint256 count) private view returns (uint256[] memory keys) {
        keys = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) keys[i] = nodes[i];
    }

    function refusesBirth(uint8 mode, uint256 count, uint32 threshold, uint8 class, bytes32 sentence) private {
        address[] memory keys = addresses(cut(count));
        GatewayConfig memory it = config();
        bytes memory code = bytes.concat(creationCode("AttestedGateway"), abi.encode(it, mode, keys, threshold));
        refusesCode(code, class, sentence);
    }
}
