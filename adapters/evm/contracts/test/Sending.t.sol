// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ShareOrder} from "../src/interfaces/IRegistry.sol";
import "../src/protocol/Kinds.sol";
import "../src/protocol/Refusals.sol";
import "../src/protocol/Structs.sol";
import {Commits} from "./support/Commits.sol";
import {Model} from "./support/Model.sol";
import {Log_} from "./support/Vm.sol";

/// What leaves this chain: shares, the lanes' storage, room.
contract SendingTest is Commits {
    bytes32 private constant SENT_TOPIC = keccak256("Sent(uint32,uint64,uint32,uint64,bytes)");
    bytes32 private constant MESSAGE_TAG = keccak256("tombolo/1/message");
    uint256 private constant DEVICE = uint256(keccak256("device"));
    bytes32[] private sent;

    function setUp() public override {
        super.setUp();
        open();
    }

    function orderOf(string memory localId, uint32 version) private view returns (ShareOrder memory it) {
        it.owner = keccak256("owner");
        it.localId = localId;
        it.itemVersion = version;
        it.schema = keccak256("schema");
        it.terms = "CC0";
        it.envelope = abi.encode("envelope", localId, version);
        it.device = keccak256("device");
        it.signature = signEnvelope(DEVICE, it.envelope);
        it.destination = ELSEWHERE;
        it.salt = keccak256("salt");
        it.notAfter = timeMs() + 60_000;
    }

    function signEnvelope(uint256 key, bytes memory envelope) private pure returns (bytes memory) {
        return signed(key, keccak256(abi.encode(keccak256("tombolo/1/envelope"), keccak256(envelope))));
    }

    function share(ShareOrder memory order) private returns (uint64) {
        vm.prank(vm.addr(DEVICE));
        return registry.share(order);
    }

    function refusesShare(ShareOrder memory order, uint8 class, bytes32 sentence) private {
        vm.prank(vm.addr(DEVICE));
        refuses(class, sentence);
        registry.share(order);
    }

    function test_a_share_says_what_its_envelope_is() external {
        ShareOrder memory order = orderOf("greenhouse-7", 1);
        vm.recordLogs();
        equal(share(order), 0, "number");
        Log_[] memory logs = vm.getRecordedLogs();
        equal(logs[0].topics[0], SENT_TOPIC, "sent");
        equal(uint256(logs[0].topics[1]), DATA, "lane");
        equal(uint256(logs[0].topics[2]), 0, "number");
        (uint32 epoch, uint64 previous, bytes memory encoded) = abi.decode(logs[0].data, (uint32, uint64, bytes));
        equal(epoch, 1, "epoch");
        equal(previous, 0, "no block before");
        Message memory sentMessage = abi.decode(bytes.concat(bytes32(uint256(32)), encoded), (Message));
        equal(sentMessage.kind, SHARE, "kind");
        equal(sentMessage.weight, 2, "weight");
        equal(sentMessage.notAfter, order.notAfter, "not after");
        equal(sentMessage.salt, order.salt, "salt");
        Share memory it = abi.decode(bytes.concat(bytes32(uint256(32)), sentMessage.body), (Share));
        equal(keccak256(fields(abi.encode(it))), keccak256(sentMessage.body), "canonical");
        bytes32 operation = keccak256(abi.encode(keccak256("tombolo/1/operation"), hubLink, 1, 1, 1, 0));
        equal(it.globalId, operation, "global id");
        equal(it.sourceChain, gateway.chain(), "source");
        equal(it.sourceHeight, vm.getBlockNumber(), "height");
        equal(it.destinationChain, ELSEWHERE, "destination");
        bytes32 dataId = keccak256(
            abi.encode(keccak256("tombolo/1/data"), gateway.chain(), order.owner, keccak256("greenhouse-7"))
        );
        equal(it.dataId, dataId, "data id");
        equal(it.fingerprint, fingerprintOf(order.envelope), "fingerprint");
        equal(it.class, CLASS_OPEN, "class");
        equal(keccak256(it.envelope), keccak256(order.envelope), "envelope");
        equal(keccak256(bytes(it.terms)), keccak256("CC0"), "terms");
        (uint32 version, uint8 standing) = registry.item(dataId);
        equal(version, 1, "version");
        equal(standing, 2, "open and at home");
    }

    function test_versions_of_an_item_follow_each_other() external {
        share(orderOf("a", 1));
        share(orderOf("a", 1));
        refusesShare(orderOf("a", 3), E_STATE, "a version is left out");
        share(orderOf("a", 2));
        refusesShare(orderOf("a", 1), E_REPLAY, "another content of that version");
        ShareOrder memory other = orderOf("a", 2);
        other.envelope = "another content";
        other.signature = signEnvelope(DEVICE, other.envelope);
        refusesShare(other, E_REPLAY, "another content of that version");
        refusesShare(orderOf("b", 2), E_STATE, "a version is left out");
        refusesShare(orderOf("b", 0), E_REPLAY, "another content of that version");
    }

    function test_each_fault_of_a_share_has_its_class() external {
        refusesShare(orderOf("", 1), E_FORMAT, "local id");
        refusesShare(orderOf(unicode"grün", 1), E_FORMAT, "local id");
        refusesShare(orderOf(string(filled(65)), 1), E_LIMIT, "local id above 64 bytes");
        ShareOrder memory order = orderOf("a", 1);
        order.terms = unicode"©";
        refusesShare(order, E_FORMAT, "terms are not printable ASCII");
        order.terms = string(filled(257));
        refusesShare(order, E_LIMIT, "terms above 256 bytes");
        order = orderOf("a", 1);
        order.destination = gateway.chain();
        refusesShare(order, E_FORMAT, "the item is on this chain");
        order = orderOf("a", 1);
        order.envelope = new bytes(16_385);
        refusesShare(order, E_LIMIT, "envelope above 16 KiB");
        order = orderOf("a", 1);
        order.signature = new bytes(65);
        refusesShare(order, E_AUTH, "envelope is not signed");
        order = orderOf("a", 1);
        refuses(E_DENIED, "neither device nor owner");
        registry.share(order);
        order.owner = 0;
        refuses(E_DENIED, "neither device nor owner");
        registry.share(order);
    }

    function filled(uint256 length) private pure returns (bytes memory text) {
        text = new bytes(length);
        for (uint256 i = 0; i < length; ++i) text[i] = "x";
    }

    function test_the_owner_may_share_what_a_device_signed() external {
        bindAccount(keccak256("owner"), ALICE, keyList(ALICE));
        vm.prank(vm.addr(ALICE));
        registry.share(orderOf("a", 1));
        equal(gateway.laneLeaf(DATA).size, 1, "sent");
    }

    function test_a_copy_is_not_shared_from_here_and_a_closed_item_never() external {
        ShareOrder memory order = orderOf("a", 1);
        bytes32 dataId = keccak256(
            abi.encode(keccak256("tombolo/1/data"), gateway.chain(), order.owner, keccak256("a"))
        );
        Share memory copy = shareOf(0, 100);
        copy.dataId = dataId;
        hubAppend(DATA, shareMessage(copy));
        deliverAll(DATA);
        refusesShare(order, E_DENIED, "a copy; share it from its home");

        order = orderOf("b", 1);
        dataId = keccak256(
            abi.encode(keccak256("tombolo/1/data"), gateway.chain(), order.owner, keccak256("b"))
        );
        Deal memory come = dealOf(one(moveIn(dataId, 1, vm.addr(ALICE))), byNobody());
        votesYes(come);
        refusesShare(order, E_CLOSED_COPY, "a closed item is never copied");
    }

    function test_nothing_leaves_on_an_old_view_or_a_link_that_is_not_open() external {
        later(1 hours + 1);
        refusesShare(orderOf("a", 1), E_IDENT, "view of identities is too old");
        deliver(CONTROL, 0, 0);
        share(orderOf("a", 1));
        // A lane that contradicts itself freezes the link.
        hubLanes[CONTROL].received = 99;
        deliver(CONTROL, 0, 0);
        refusesShare(orderOf("b", 1), E_STATE, "the link is not open");
    }

    // --- Lanes -----------------------------------------------------------------------------------

    /// Every peak, root and word where ADR 0008 puts it, at every size.
    function test_the_log_and_its_storage_follow_the_model() external {
        bytes32 slot = keccak256(abi.encode(keccak256("tombolo/1/evm-lane"), uint256(DATA)));
        for (uint64 i = 0; i < 40; ++i) {
            if (i % 3 == 0) rollTo(2_000 + i);
            vm.recordLogs();
            share(orderOf(vm.toString(i), 1));
            remember(vm.getRecordedLogs(), i);
            LaneLeaf memory leaf = gateway.laneLeaf(DATA);
            equal(leaf.size, i + 1, "size");
            equal(leaf.root, Model.root(sent), "root");
            uint256 word = uint256(vm.load(address(gateway), slot));
            equal(word >> 224, 1, "epoch");
            equal(uint64(word >> 160), i + 1, "size in storage");
            equal(uint32(word >> 128), 1, "peer epoch");
            equal(uint64(word >> 64), 0, "received");
            equal(uint64(word), vm.getBlockNumber(), "newest block");
            checkPeaks(slot, i + 1);
        }
    }

    function remember(Log_[] memory logs, uint64 number) private {
        (, uint64 previous, bytes memory encoded) = abi.decode(logs[0].data, (uint32, uint64, bytes));
        if (number > 0) equal(previous, 2_000 + (number - 1) / 3 * 3, "the block before");
        sent.push(keccak256(abi.encode(MESSAGE_TAG, hubLink, 1, DATA, 1, number, keccak256(encoded))));
    }

    function checkPeaks(bytes32 slot, uint64 size) private view {
        uint256 position = 0;
        for (uint256 level = 8; level > 0; --level) {
            uint256 width = 1 << (level - 1);
            if (size & width == 0) continue;
            bytes32 peak = vm.load(address(gateway), bytes32(uint256(slot) + 2 + level - 1));
            equal(peak, Model.root(sent, position, position + width), "peak");
            position += width;
        }
    }

    function test_the_client_stands_where_a_verifier_looks() external view {
        bytes32 slot = keccak256(abi.encode(keccak256("tombolo/1/evm-client")));
        (uint64 height, uint64 time, bytes32 id) = gateway.newest();
        uint256 word = uint256(vm.load(address(gateway), slot));
        equal(word >> 192, height, "height");
        equal(uint64(word >> 128), time, "time");
        equal(uint32(word >> 96), 0, "trust epoch");
        equal(uint8(word >> 88), 1, "status");
        equal(vm.load(address(gateway), bytes32(uint256(slot) + 1)), id, "block id");
    }

    function test_the_received_root_stands_where_a_verifier_looks() external {
        bytes32 slot = keccak256(abi.encode(keccak256("tombolo/1/evm-lane"), uint256(DATA)));
        equal(vm.load(address(gateway), bytes32(uint256(slot) + 1)), 0, "nothing");
        hubAppend(DATA, shareMessage(shareOf(0, 100)));
        hubAppend(DATA, shareMessage(shareOf(1, 100)));
        deliverAll(DATA);
        bytes32 root = vm.load(address(gateway), bytes32(uint256(slot) + 1));
        equal(root, Model.root(hubLanes[DATA].leaves), "root of what was taken");
    }

    // --- Room ------------------------------------------------------------------------------------

    function fill(uint256 count) private {
        for (uint256 i = 0; i < count; ++i) share(orderOf("same", 1));
    }

    function test_a_full_lane_takes_no_request_until_its_answers_came() external {
        fill(1_000);
        refusesShare(orderOf("a", 1), E_LIMIT, "the lane is full");
        // The hub has taken all, and has answered one of them: its log then had one message.
        hubTakes(DATA);
        hubAppend(DATA, message(REFUSED, 1, abi.encode(uint64(3), E_POLICY, "no")));
        deliver(DATA, 0, 0);
        refusesShare(orderOf("a", 1), E_LIMIT, "the lane is full");
        // That answer comes: everything that the requests could cause has come.
        deliverAll(DATA);
        share(orderOf("a", 1));
    }

    function test_answers_need_no_room() external {
        fill(1_000);
        hubAppend(DATA, message(77, 1, ""));
        deliverAll(DATA);
        equal(gateway.laneLeaf(DATA).size, 1_001, "the answer was sent");
    }
}
