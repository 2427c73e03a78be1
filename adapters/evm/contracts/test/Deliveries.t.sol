// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/protocol/Kinds.sol";
import "../src/protocol/Refusals.sol";
import "../src/protocol/Structs.sol";
import {Log_} from "./support/Vm.sol";
import {Model} from "./support/Model.sol";
import {World} from "./support/World.sol";

/// Deliveries: what is taken, once and in order, and what is refused with which class.
contract DeliveriesTest is World {
    bytes32 private constant SENT = keccak256("Sent(uint32,uint64,uint32,uint64,bytes)");

    function shares(uint256 from, uint256 count) private {
        for (uint256 i = from; i < from + count; ++i) hubAppend(DATA, shareMessage(shareOf(i, 100)));
    }

    function isHere(uint256 i) private view returns (bool) {
        Share memory it = shareOf(i, 100);
        return registry.isAnchored(it.dataId, 1, it.fingerprint, it.sourceChain);
    }

    function received(uint32 lane) private view returns (uint64) {
        return gateway.laneLeaf(lane).received;
    }

    /// The answers that were sent since logs are recorded, without their heads.
    function answers() private returns (Message[] memory found) {
        Log_[] memory logs = vm.getRecordedLogs();
        uint256 count = 0;
        found = new Message[](logs.length);
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != SENT) continue;
            (,, bytes memory encoded) = abi.decode(logs[i].data, (uint32, uint64, bytes));
            found[count++] = abi.decode(bytes.concat(bytes32(uint256(32)), encoded), (Message));
        }
        assembly ("memory-safe") {
            mstore(found, count)
        }
    }

    function refusedWith(Message memory answer, uint64 request, uint8 class) private pure {
        equal(answer.kind, REFUSED, "a refusal");
        equal(answer.weight, 1, "weight");
        Refused memory body = abi.decode(bytes.concat(bytes32(uint256(32)), answer.body), (Refused));
        equal(body.request, request, "request");
        equal(body.class, class, body.message);
    }

    // --- What is taken -------------------------------------------------------------------------

    function test_hello_opens_the_link_once() external {
        open();
        (uint8 status, uint8 client,, uint32 trustEpoch) = gateway.standing();
        equal(status, 1, "open");
        equal(client, 0, "active");
        equal(trustEpoch, 0, "trust epoch");
        equal(gateway.laneLeaf(CONTROL).size, 1, "our Hello was sent");
        refuses(E_REPLAY, "Hello was said");
        control.hello();
        vm.recordLogs();
        hubAppend(CONTROL, message(HELLO, HELLO_WEIGHT, fields(abi.encode(hubHello()))));
        deliverAll(CONTROL);
        refusedWith(answers()[0], 1, E_STATE);
    }

    function test_our_hello_says_how_this_chain_is_linked() external {
        vm.recordLogs();
        control.hello();
        Message memory sent = answers()[0];
        equal(sent.kind, HELLO, "kind");
        equal(sent.weight, HELLO_WEIGHT, "weight");
        equal(sent.salt, gateway.chain(), "salt");
        Hello memory it = abi.decode(bytes.concat(bytes32(uint256(32)), sent.body), (Hello));
        equal(keccak256(fields(abi.encode(it))), keccak256(sent.body), "canonical");
        equal(it.chain, gateway.chain(), "chain");
        equal(it.mode, 1, "mode");
        equal(it.gatewayCodeHash, address(gateway).codehash, "code hash");
        equal(it.anchorHeight, 10, "anchor");
        equal(it.council.length, 3, "council");
        equal(it.councilThreshold, 2, "threshold");
        equal(it.trustingPeriodMs, 14 days * 1000, "trusting period");
    }

    function test_each_fault_of_a_hello_has_its_class() external {
        control.hello();
        Hello memory it = hubHello();
        it.versionMin = 2;
        it.versionMax = 3;
        refusesHello(it, E_VERSION);
        it = hubHello();
        it.chain = keccak256("another hub");
        refusesHello(it, E_FORMAT);
        it = hubHello();
        it.identificationMethod = "another/1";
        refusesHello(it, E_IDMETHOD);
        it = hubHello();
        it.mode = 3;
        refusesHello(it, E_STATE);
        it = hubHello();
        it.anchorId = keccak256("a block that never was");
        refusesHello(it, E_PROOF);
        it = hubHello();
        it.anchorHeight = uint64(vm.getBlockNumber());
        refusesHello(it, E_PROOF);
        (uint8 status,,,) = gateway.standing();
        equal(status, 0, "still proposed");
        hubAppend(CONTROL, message(HELLO, HELLO_WEIGHT, fields(abi.encode(hubHello()))));
        deliverAll(CONTROL);
        (status,,,) = gateway.standing();
        equal(status, 1, "open");
    }

    function refusesHello(Hello memory it, uint8 class) private {
        uint64 number = hubAppend(CONTROL, message(HELLO, HELLO_WEIGHT, fields(abi.encode(it))));
        vm.recordLogs();
        deliverAll(CONTROL);
        refusedWith(answers()[0], number, class);
    }

    function test_a_batch_is_taken_in_order_and_its_root_kept() external {
        open();
        shares(0, 23);
        equal(deliver(DATA, 0, 7), 7, "seven");
        equal(deliver(DATA, 7, 16), 23, "all");
        for (uint256 i = 0; i < 23; ++i) isTrue(isHere(i), "each copy is here");
        LaneLeaf memory leaf = gateway.laneLeaf(DATA);
        equal(leaf.receivedRoot, laneLeafOf(DATA).root, "root of what was taken");
        (uint64 height,, bytes32 id) = gateway.newest();
        equal(leaf.peerHeight, height, "height");
        equal(leaf.peerId, id, "block");
    }

    /// forge-config: default.fuzz.runs = 40
    function testFuzz_any_cut_into_batches_has_one_effect(uint8[6] memory cuts) external {
        open();
        shares(0, 20);
        for (uint256 i = 0; i < cuts.length; ++i) {
            uint64 had = received(DATA);
            // A range may begin before what was taken; that is skipped.
            uint64 first = had - uint64(cuts[i]) % (had + 1);
            uint64 count = uint64(cuts[i] / 7) % (20 - first + 1);
            if (first + count > had) deliver(DATA, first, count);
        }
        if (received(DATA) < 20) deliverAll(DATA);
        equal(received(DATA), 20, "all");
        equal(gateway.laneLeaf(DATA).receivedRoot, laneLeafOf(DATA).root, "root");
        for (uint256 i = 0; i < 20; ++i) isTrue(isHere(i), "each copy is here");
    }

    /// One head serves any number of batches, and a lower one still serves its proof.
    function test_a_lower_header_serves_its_proof_and_moves_nothing() external {
        open();
        shares(0, 4);
        (Delivery memory early, HubProof memory lower) = delivery(DATA, 0, 2);
        shares(4, 4);
        (Delivery memory late, HubProof memory higher) = delivery(CONTROL, 0, 0);
        gateway.deliver(late, higher);
        (uint64 height,,) = gateway.newest();
        equal(gateway.deliver(early, lower), 2, "two");
        (uint64 after_,,) = gateway.newest();
        equal(after_, height, "the client stays");
    }

    // --- What is refused -----------------------------------------------------------------------

    function test_a18_the_same_messages_twice_have_one_effect() external {
        open();
        shares(0, 3);
        (Delivery memory it, HubProof memory proof) = delivery(DATA, 0, 3);
        gateway.deliver(it, proof);
        refuses(E_REPLAY, "nothing new");
        gateway.deliver(it, proof);
        equal(received(DATA), 3, "once");
    }

    function test_a_gap_is_refused() external {
        open();
        shares(0, 3);
        (Delivery memory it, HubProof memory proof) = delivery(DATA, 1, 2);
        refuses(E_STATE, "a gap before the first message");
        gateway.deliver(it, proof);
    }

    function test_what_can_be_said_before_a_proof_is_said_first() external {
        open();
        shares(0, 1);
        (Delivery memory it, HubProof memory proof) = delivery(DATA, 0, 1);
        it.leaf.link = keccak256("another link");
        refuses(E_NOTFOUND, "no such link");
        gateway.deliver(it, proof);
        it.leaf.link = hubLink;
        it.leaf.lane = 2;
        refuses(E_NOTFOUND, "no such lane");
        gateway.deliver(it, proof);
        it.leaf.lane = DATA;
        it.leaf.direction = 1;
        refuses(E_STATE, "not the direction received");
        gateway.deliver(it, proof);
        it.lengths = new bytes(3 * 1_001);
        refuses(E_LIMIT, "more than 1,000 messages");
        gateway.deliver(it, proof);
    }

    /// What the hub says of this chain, and epochs: believed, and still refused.
    function test_a_leaf_of_another_view_is_refused() external {
        open();
        shares(0, 1);
        LaneLeaf memory leaf = laneLeafOf(DATA);
        leaf.peerId = keccak256("a block that never was");
        refusesLeaf(leaf, E_PROOF, "hub follows another block");
        leaf = laneLeafOf(DATA);
        leaf.peerHeight = uint64(vm.getBlockNumber());
        refusesLeaf(leaf, E_PROOF, "hub follows a block to come");
        leaf = laneLeafOf(DATA);
        leaf.trustEpoch = 1;
        refusesLeaf(leaf, E_STATE, "trust epoch is not approved");
        leaf = laneLeafOf(DATA);
        leaf.epoch = 2;
        refusesLeaf(leaf, E_STATE, "another epoch");
        leaf = laneLeafOf(DATA);
        leaf.peerEpoch = 2;
        refusesLeaf(leaf, E_STATE, "another epoch");
        // What the EVM does not know any more is left to the hub's certificate.
        leaf = laneLeafOf(DATA);
        leaf.peerHeight = 1;
        leaf.peerId = keccak256("long ago");
        (Delivery memory it, HubProof memory proof) = deliveryOf(leaf);
        equal(gateway.deliver(it, proof), 1, "taken");
    }

    function refusesLeaf(LaneLeaf memory leaf, uint8 class, bytes32 sentence) private {
        (Delivery memory it, HubProof memory proof) = deliveryOf(leaf);
        refuses(class, sentence);
        gateway.deliver(it, proof);
    }

    function deliveryOf(LaneLeaf memory leaf) private returns (Delivery memory it, HubProof memory proof) {
        (it.leaf, proof) = proveLeaves(DATA, laneLeafOf(CONTROL), leaf);
        (it.first, it.lengths, it.messages, it.range) = batch(DATA, 0, 1);
    }

    /// Every field of leaf and messages is covered by the proof.
    function test_a06_nothing_of_a_delivery_can_be_another() external {
        open();
        shares(0, 5);
        (Delivery memory it, HubProof memory proof) = delivery(DATA, 0, 2);
        bytes memory kept = abi.encode(it);
        for (uint256 word = 0; word < 12; ++word) {
            if (word < 3) continue; // link, direction and lane are refused before the proof
            bytes memory changed = abi.encode(it);
            changed[32 + 32 * word + 31] ^= 0x01;
            Delivery memory other = abi.decode(changed, (Delivery));
            refuses(E_PROOF, "leaf is not in the lanes tree");
            gateway.deliver(other, proof);
        }
        it.messages[200] ^= 0x01;
        refuses(E_PROOF, "range proof fails");
        gateway.deliver(it, proof);
        it = abi.decode(kept, (Delivery));
        (,, it.messages,) = batch(DATA, 1, 2);
        refuses(E_PROOF, "range proof fails");
        gateway.deliver(it, proof);
        it = abi.decode(kept, (Delivery));
        it.lengths = abi.encodePacked(uint24(it.messages.length), uint24(0));
        refuses(E_PROOF, "range proof fails");
        gateway.deliver(it, proof);
        it.lengths = abi.encodePacked(uint24(it.messages.length));
        refuses(E_PROOF, "range proof fails");
        gateway.deliver(it, proof);
        it.lengths = abi.encodePacked(uint24(it.messages.length - 1));
        refuses(E_FORMAT, "lengths do not suit messages");
        gateway.deliver(it, proof);
        it.lengths = abi.encodePacked(uint24(it.messages.length), uint8(0));
        refuses(E_FORMAT, "lengths do not suit messages");
        gateway.deliver(it, proof);
        it = abi.decode(kept, (Delivery));
        it.lengths = "";
        refuses(E_FORMAT, "range proof without messages");
        gateway.deliver(it, proof);
        equal(received(DATA), 0, "nothing was taken");
    }

    /// One bit of each byte of the whole call: refused, or, where a byte says nothing (padding, other
    /// offsets), the very same effect.
    function test_a02_no_byte_of_a_call_changes_an_outcome() external {
        open();
        shares(0, 3);
        (Delivery memory it, HubProof memory proof) = delivery(DATA, 0, 2);
        bytes memory call = abi.encodeCall(gateway.deliver, (it, proof));
        uint256 before = vm.snapshotState();
        gateway.deliver(it, proof);
        bytes32 honest = stateOf();
        vm.revertToState(before);
        bytes32 untouched = stateOf();
        uint256 passed = 0;
        uint256 free;
        assembly ("memory-safe") {
            free := mload(0x40)
        }
        for (uint256 i = 4; i < call.length; ++i) {
            assembly ("memory-safe") {
                mstore(0x40, free)
            }
            call[i] ^= bytes1(uint8(1 << (i % 8)));
            before = vm.snapshotState();
            (bool done,) = address(gateway).call{gas: 5_000_000}(call);
            equal(stateOf(), done ? honest : untouched, "the honest effect or none");
            if (done) ++passed;
            vm.revertToState(before);
            call[i] ^= bytes1(uint8(1 << (i % 8)));
        }
        isTrue(passed < 200, "only padding says nothing");
    }

    function stateOf() private view returns (bytes32) {
        (uint64 height, uint64 time, bytes32 id) = gateway.newest();
        (uint8 status, uint8 client, uint64 since, uint32 trustEpoch) = gateway.standing();
        return keccak256(
            abi.encode(
                gateway.laneLeaf(CONTROL), gateway.laneLeaf(DATA), height, time, id, status, client, since,
                trustEpoch, isHere(0), isHere(1)
            )
        );
    }

    // --- Messages ------------------------------------------------------------------------------

    function test_a_message_that_cannot_be_applied_is_answered_and_passed() external {
        open();
        Share memory it = shareOf(0, 100);
        it.fingerprint ^= bytes32(uint256(1));
        hubAppend(DATA, shareMessage(it)); // 0
        it = shareOf(1, 100);
        it.class = CLASS_CLOSED;
        hubAppend(DATA, shareMessage(it)); // 1
        it.class = 3;
        hubAppend(DATA, shareMessage(it)); // 2
        it = shareOf(2, 100);
        it.destinationChain = keccak256("elsewhere");
        hubAppend(DATA, shareMessage(it)); // 3
        hubAppend(DATA, message(77, 1, "")); // 4
        hubAppend(DATA, message(0, 1, "")); // 5
        hubAppend(DATA, message(BEGIN, 16, "")); // 6
        hubAppend(DATA, message(COUNCIL_ACT, 1, "")); // 7
        hubAppend(DATA, message(SHARE, 65, fields(abi.encode(shareOf(3, 100))))); // 8
        hubAppend(DATA, message(SHARE, 2, hex"00")); // 9
        hubAppend(DATA, abi.encodePacked(message(SHARE, 2, ""), bytes32(0))); // 10: not canonical
        hubAppend(DATA, message(0x8004, 1, "")); // 11: an answer of no known kind
        hubAppend(DATA, message(DONE, 1, "")); // 12: an answer that nobody asked for
        hubAppend(DATA, message(SHARE, 2, new bytes(65_536))); // 13: too large
        hubAppend(DATA, message(DONE, 1, new bytes(65_536))); // 14: too large, and an answer
        shares(20, 1); // 15
        vm.recordLogs();
        deliverAll(DATA);
        Message[] memory all = answers();
        uint8[11] memory classes = [
            E_TAMPER, E_CLOSED_COPY, E_FORMAT, E_FORMAT, E_VERSION, E_VERSION, E_UNSUPPORTED, E_UNSUPPORTED,
            E_LIMIT, E_FORMAT, E_LIMIT
        ];
        equal(all.length, 11, "answers");
        for (uint64 i = 0; i < 10; ++i) refusedWith(all[i], i, classes[i]);
        refusedWith(all[10], 13, E_LIMIT);
        equal(all[10].salt, 0, "the salt of what was not read");
        equal(all[0].salt, keccak256("salt"), "the salt of the request");
        equal(received(DATA), 16, "none blocks the lane");
        isTrue(isHere(20), "what follows is taken");
    }

    /// None is answered, for nothing says that it is a request; none stops what follows.
    function test_a53_a_message_of_another_form_is_passed() external {
        open();
        bytes memory good = shareMessage(shareOf(0, 100));
        uint256 size = good.length;
        bytes[9] memory bad;
        bad[0] = withWord(good, 0, uint256(SHARE) | 1 << 16); // kind
        bad[1] = withWord(good, 1, 1 << 64); // weight
        bad[2] = withWord(good, 2, 1 << 64); // not_after
        bad[3] = withWord(good, 4, 192); // offset of the body
        bad[4] = slice(good, 0, size - 32); // cut
        bad[5] = withWord(message(SHARE, 2, hex"01"), 6, 1); // something behind the body
        bad[6] = "";
        // The length stands in the message that follows, and wraps around to one that fits.
        bad[7] = slice(good, 0, 160);
        bad[8] = withWord(good, 0, type(uint256).max - 31);
        for (uint256 i = 0; i < bad.length; ++i) hubAppend(DATA, bad[i]);
        shares(1, 1);
        vm.recordLogs();
        deliverAll(DATA);
        Log_[] memory logs = vm.getRecordedLogs();
        uint256 passed = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            isTrue(logs[i].topics[0] != SENT, "no answer");
            if (logs[i].topics[0] == keccak256("Unreadable(uint32,uint64)")) ++passed;
        }
        equal(passed, bad.length, "each is recorded");
        equal(received(DATA), bad.length + 1, "all are taken");
        isTrue(isHere(1), "with what follows");
    }

    function withWord(bytes memory from, uint256 place, uint256 word) private pure returns (bytes memory to) {
        to = bytes.concat(from);
        assembly ("memory-safe") {
            mstore(add(add(to, 32), mul(place, 32)), word)
        }
    }

    function test_nothing_but_hello_is_taken_before_the_link_is_open() external {
        control.hello();
        shares(0, 1);
        vm.recordLogs();
        deliverAll(DATA);
        refusedWith(answers()[0], 0, E_STATE);
        isTrue(!isHere(0), "no copy");
    }

    function test_a20_not_after_is_a_boundary_with_two_sides() external {
        open();
        uint64[5] memory bounds =
            [0, timeMs() - 1, timeMs(), type(uint64).max, 1];
        bool[5] memory taken = [true, false, true, true, false];
        for (uint256 i = 0; i < 5; ++i) {
            bytes memory body = fields(abi.encode(shareOf(i, 100)));
            uint64 number = hubAppend(DATA, abi.encode(SHARE, SHARE_WEIGHT, bounds[i], bytes32("salt"), body));
            vm.recordLogs();
            deliverAll(DATA);
            isTrue(isHere(i) == taken[i], "taken or timed out, never both");
            Message[] memory all = answers();
            equal(all.length, taken[i] ? 0 : 1, "answers");
            if (!taken[i]) refusedWith(all[0], number, E_TIMEOUT);
        }
    }

    function test_copies_follow_their_versions() external {
        open();
        Share memory it = shareOf(0, 100);
        hubAppend(DATA, shareMessage(it)); // the first
        hubAppend(DATA, shareMessage(it)); // the same again: the one that is here
        Share memory next = shareOf(1, 100);
        next.dataId = it.dataId;
        hubAppend(DATA, shareMessage(next)); // another content of the same version
        next.itemVersion = 3;
        hubAppend(DATA, shareMessage(next)); // a later one
        hubAppend(DATA, shareMessage(it)); // the older one
        vm.recordLogs();
        deliverAll(DATA);
        Message[] memory all = answers();
        equal(all.length, 2, "answers");
        refusedWith(all[0], 2, E_REPLAY);
        refusedWith(all[1], 4, E_REPLAY);
        (uint32 version, uint8 standing) = registry.item(it.dataId);
        equal(version, 3, "the later one is here");
        equal(standing, 1, "as a copy");
    }

    function test_only_the_gateway_brings_messages() external {
        refuses(E_DENIED, "for the gateway alone");
        registry.takeRequest(SHARE, 0, "");
        refuses(E_DENIED, "for the gateway alone");
        control.takeRequest(HELLO, 0, "");
        refuses(E_DENIED, "for registry and vault alone");
        gateway.send(SHARE, 0, 0, "");
        refuses(E_DENIED, "for the vault alone");
        registry.close(0);
    }

    /// Without the rule a heavy message is refused where a relayer gave too little gas.
    ///
    /// forge-config: default.fuzz.runs = 100
    function testFuzz_a_gas_limit_never_decides_an_outcome(uint32 limit) external {
        open();
        for (uint256 i = 0; i < 6; ++i) hubAppend(DATA, shareMessage(shareOf(i, 4_000)));
        (Delivery memory it, HubProof memory proof) = delivery(DATA, 0, 6);
        bytes memory call = abi.encodeCall(gateway.deliver, (it, proof));
        uint256 gas = 100_000 + uint256(limit) % 1_300_000;
        vm.recordLogs();
        (bool done,) = address(gateway).call{gas: gas}(call);
        equal(answers().length, 0, "no refusal");
        uint64 taken = received(DATA);
        if (!done) equal(taken, 0, "all or nothing of a call");
        for (uint256 i = 0; i < 6; ++i) {
            Share memory share = shareOf(i, 4_000);
            bool here = registry.isAnchored(share.dataId, 1, share.fingerprint, share.sourceChain);
            isTrue(here == (i < taken), "a prefix");
        }
        if (taken < 6) deliverAll(DATA);
        equal(received(DATA), 6, "the rest comes another time");
        equal(gateway.laneLeaf(DATA).receivedRoot, laneLeafOf(DATA).root, "the root of where it stopped");
    }

    function test_too_little_gas_for_the_first_message_is_said() external {
        open();
        shares(0, 1);
        // Moves the client first, so that nothing else is new.
        (, HubProof memory proof) = delivery(DATA, 0, 1);
        (LaneLeaf memory leaf, HubProof memory same) = (laneLeafOf(DATA), proof);
        ValidatorSet memory unread;
        gateway.updateClient(proof.certified, unread);
        Delivery memory it;
        it.leaf = leaf;
        (it.first, it.lengths, it.messages, it.range) = batch(DATA, 0, 1);
        refuses(E_LIMIT, "too little gas for a message");
        gateway.deliver{gas: 350_000}(it, same);
        equal(gateway.deliver(it, same), 1, "with more");
    }
}
