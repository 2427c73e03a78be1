// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Gateway} from "../src/Gateway.sol";
import "../src/protocol/Refusals.sol";
import "../src/protocol/Structs.sol";
import {World} from "./support/World.sol";

/// The light client of the hub: what it believes, what it refuses, what freezes it.
contract HubClientTest is World {
    ValidatorSet private unread;

    function setUp() public override {
        super.setUp();
        open();
    }

    /// A header that is in order, of this height and time.
    function plain(uint64 height, uint64 time) private view returns (Header memory) {
        return headerAt(height, time, keccak256("lanes"));
    }

    function next() private returns (Header memory) {
        return nextHeader(keccak256("lanes"));
    }

    function update(Header memory header) private {
        gateway.updateClient(certify(header), unread);
    }

    function refusesHeader(CertifiedHeader memory it, uint8 class, bytes32 sentence) private {
        refuses(class, sentence);
        gateway.updateClient(it, unread);
    }

    function isFrozen() private view {
        (uint8 status, uint8 client, uint64 since,) = gateway.standing();
        equal(status, 2, "link frozen");
        equal(client, 3, "client frozen");
        equal(since, timeMs(), "since now");
    }

    function newestHeight() private view returns (uint64 height) {
        (height,,) = gateway.newest();
    }

    // --- What is believed ------------------------------------------------------------------------

    function test_a_certified_header_moves_the_client() external {
        Header memory header = next();
        update(header);
        (uint64 height, uint64 time, bytes32 id) = gateway.newest();
        equal(height, header.height, "height");
        equal(time, header.time, "time");
        equal(id, keccak256(abi.encode(header)), "block");
        refusesHeader(certify(header), E_REPLAY, "the client stays where it is");
    }

    function test_a01_nothing_certifies_nothing() external {
        CertifiedHeader memory empty;
        refusesHeader(empty, E_VERSION, "header version is not 1");
        Header memory header = next();
        CertifiedHeader memory it = certify(header);
        it.signatures = "";
        refusesHeader(it, E_PROOF, "not more than two thirds");
        it.validators = ValidatorSet(0, new Validator[](0));
        refusesHeader(it, E_PROOF, "validators have another root");
        it.signatures = new bytes(65);
        it.validators = ValidatorSet(1, new Validator[](1));
        refusesHeader(it, E_PROOF, "validators have another root");
        header.validatorsRoot = 0;
        refusesHeader(certify(header), E_FORMAT, "root is zero");
    }

    function test_words_of_this_version_are_held_to() external {
        Header memory header = next();
        header.version = 2;
        refusesHeader(certify(header), E_VERSION, "header version is not 1");
        header.version = 1;
        header.stateRoot = bytes32(uint256(1));
        refusesHeader(certify(header), E_FORMAT, "word is not zero");
        header.stateRoot = 0;
        header.extensionsRoot = bytes32(uint256(1));
        refusesHeader(certify(header), E_FORMAT, "word is not zero");
        header.extensionsRoot = 0;
        header.reserved = bytes32(uint256(1));
        refusesHeader(certify(header), E_FORMAT, "word is not zero");
        header.reserved = 0;
        header.lanesRoot = 0;
        refusesHeader(certify(header), E_FORMAT, "root is zero");
        header.lanesRoot = keccak256("lanes");
        header.nextValidatorsRoot = 0;
        refusesHeader(certify(header), E_FORMAT, "root is zero");
    }

    /// Every bit of a header is signed.
    function test_a02_no_word_of_a_header_can_be_another() external {
        CertifiedHeader memory it = certify(next());
        bytes memory words = abi.encode(it.header);
        for (uint256 i = 0; i < 15; ++i) {
            words[32 * i + 31] ^= 0x01;
            it.header = abi.decode(words, (Header));
            words[32 * i + 31] ^= 0x01;
            (bool done,) = address(gateway).call(abi.encodeCall(gateway.updateClient, (it, unread)));
            isTrue(!done, "refused");
        }
        it.header = abi.decode(words, (Header));
        it.round += 1;
        refusesHeader(it, E_PROOF, "no signature of a next member");
    }

    function test_a09_a_certificate_is_distinct_members_in_order_and_nothing_else() external {
        Header memory header = next();
        bytes32 digest = precommit(header, 2);
        bytes[4] memory good;
        for (uint256 i = 0; i < 4; ++i) good[i] = signed(validatorKeys[i], digest);
        bytes memory bad = signed(validatorKeys[3], keccak256("another digest"));
        bytes memory stranger = signed(uint256(keccak256("stranger")), digest);
        CertifiedHeader memory it = certify(header);

        it.signatures = bytes.concat(good[0], good[1]);
        refusesHeader(it, E_PROOF, "not more than two thirds");
        it.signatures = bytes.concat(good[0], good[0], good[0]);
        refusesHeader(it, E_PROOF, "no signature of a next member");
        it.signatures = bytes.concat(good[1], good[0], good[2]);
        refusesHeader(it, E_PROOF, "no signature of a next member");
        it.signatures = bytes.concat(good[0], good[1], good[2], bad);
        refusesHeader(it, E_PROOF, "no signature of a next member");
        it.signatures = bytes.concat(good[0], good[1], good[2], stranger);
        refusesHeader(it, E_PROOF, "no signature of a next member");
        it.signatures = bytes.concat(good[0], good[1], good[2], good[3], good[3]);
        refusesHeader(it, E_PROOF, "surplus or broken signatures");
        it.signatures = bytes.concat(good[0], good[1], good[2], hex"00");
        refusesHeader(it, E_PROOF, "surplus or broken signatures");
        it.signatures = bytes.concat(good[0], good[1], new bytes(65));
        refusesHeader(it, E_PROOF, "no signature of a next member");
        it.signatures = bytes.concat(good[0], good[2], good[3]);
        gateway.updateClient(it, unread);
    }

    function test_a08_one_signature_has_one_spelling() external {
        Header memory header = next();
        bytes32 digest = precommit(header, 2);
        CertifiedHeader memory it = certify(header);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(validatorKeys[2], digest);
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        bytes memory first = bytes.concat(signed(validatorKeys[0], digest), signed(validatorKeys[1], digest));
        it.signatures = bytes.concat(first, abi.encodePacked(r, bytes32(order - uint256(s)), uint8(55 - v)));
        refusesHeader(it, E_PROOF, "no signature of a next member");
        it.signatures = bytes.concat(first, abi.encodePacked(r, s, v - 27));
        refusesHeader(it, E_PROOF, "no signature of a next member");
        it.signatures = bytes.concat(first, abi.encodePacked(r, s, v));
        gateway.updateClient(it, unread);
    }

    function test_a17_a_vote_is_good_for_one_kind_chain_height_and_round() external {
        Header memory header = next();
        CertifiedHeader memory it = certify(header);
        bytes32 id = keccak256(abi.encode(header));
        bytes32[5] memory digests = [
            keccak256(abi.encode(keccak256("tombolo/1/prevote"), HUB, header.height, 2, id)),
            keccak256(abi.encode(keccak256("tombolo/1/precommit"), keccak256("b"), header.height, 2, id)),
            keccak256(abi.encode(keccak256("tombolo/1/precommit"), HUB, header.height + 1, 2, id)),
            keccak256(abi.encode(keccak256("tombolo/1/precommit"), HUB, header.height, 3, id)),
            id
        ];
        for (uint256 i = 0; i < 5; ++i) {
            it.signatures = "";
            for (uint256 j = 0; j < 4; ++j) {
                it.signatures = bytes.concat(it.signatures, signed(validatorKeys[j], digests[i]));
            }
            refusesHeader(it, E_PROOF, "no signature of a next member");
        }
        header.chainId = keccak256("another hub");
        refusesHeader(certify(header), E_PROOF, "header of another chain");
    }

    function test_a05_no_word_of_a_caller_stands_for_a_proof() external {
        // The set that comes with a header is believed for its root alone.
        uint256[] memory own = new uint256[](1);
        own[0] = uint256(keccak256("own key"));
        Header memory header = next();
        CertifiedHeader memory it = certifyBy(header, own, 1, 1);
        refusesHeader(it, E_PROOF, "validators have another root");
        header.validatorsRoot = rootOf(it.validators);
        it = certifyBy(header, own, 1, 1);
        refusesHeader(it, E_PROOF, "set is not held");
    }

    function test_a_header_from_too_far_ahead_is_refused() external {
        uint64 ahead = timeMs() + 10 * 60 * 1000;
        refusesHeader(certify(plain(20, ahead + 1)), E_PROOF, "more than 10 min ahead");
        gateway.updateClient(certify(plain(20, ahead)), unread);
    }

    function testFuzz_more_than_two_thirds_exactly(uint8[5] memory powers, uint8 signers) external {
        uint256[] memory keys = new uint256[](5);
        for (uint256 i = 0; i < 5; ++i) keys[i] = uint256(keccak256(abi.encode("fuzzed", i)));
        for (uint256 i = 1; i < 5; ++i) {
            for (uint256 j = i; j > 0 && vm.addr(keys[j]) < vm.addr(keys[j - 1]); --j) {
                (keys[j], keys[j - 1]) = (keys[j - 1], keys[j]);
            }
        }
        Header memory header = headerAt(11, timeMs(), keccak256("lanes"));
        CertifiedHeader memory it = certifyBy(header, keys, 1, 0);
        uint256 total = 0;
        uint256 power = 0;
        for (uint256 i = 0; i < 5; ++i) {
            it.validators.validators[i].power = uint64(powers[i]) + 1;
            total += uint256(powers[i]) + 1;
            if (signers >> i & 1 == 1) power += uint256(powers[i]) + 1;
        }
        header.validatorsRoot = rootOf(it.validators);
        header.nextValidatorsRoot = header.validatorsRoot;
        GatewayConfig memory config = gatewayConfig();
        config.anchor = Anchor(HUB, 10, keccak256("block 10"), timeMs() - 1, it.validators);
        Gateway fresh = Gateway(create("Gateway", abi.encode(config)));
        it.header = header;
        for (uint256 i = 0; i < 5; ++i) {
            if (signers >> i & 1 == 1) {
                it.signatures = bytes.concat(it.signatures, signed(keys[i], precommit(header, 2)));
            }
        }
        if (power * 3 <= total * 2) refuses(E_PROOF, "not more than two thirds");
        fresh.updateClient(it, unread);
    }

    // --- Changes of the set ----------------------------------------------------------------------

    /// New keys for the set that begins at a height.
    function nextSet(uint64 from) private returns (ValidatorSet memory set) {
        uint256[] memory keys = new uint256[](3);
        for (uint256 i = 0; i < 3; ++i) keys[i] = uint256(keccak256(abi.encode("next", from, i)));
        delete validatorKeys;
        for (uint256 i = 0; i < 3; ++i) validatorKeys.push(keys[i]);
        sortByAddress(validatorKeys);
        setFrom = from;
        return validatorSet();
    }

    /// The set changes behind a header, which the old one certifies.
    function change() private returns (CertifiedHeader memory certified, ValidatorSet memory set) {
        uint256[] memory keys = validatorKeys;
        uint64 from = setFrom;
        Header memory header = next();
        set = nextSet(header.height + 1);
        header.nextValidatorsRoot = rootOf(set);
        certified = certifyBy(header, keys, from, keys.length);
    }

    function test_a_set_is_left_through_a_header_that_names_the_next() external {
        (CertifiedHeader memory certified, ValidatorSet memory set) = change();
        refuses(E_PROOF, "not the set that header names");
        gateway.updateClient(certified, certified.validators);
        gateway.updateClient(certified, set);
        equal(gateway.validatorsRoot(), rootOf(set), "the next set is held");
        update(next());
        refusesHeader(certified, E_PROOF, "set has been left");
    }

    function test_a_next_set_is_well_formed_and_begins_at_the_next_height() external {
        uint256[] memory keys = validatorKeys;
        Header memory header = next();
        ValidatorSet memory set = nextSet(header.height + 2);
        header.nextValidatorsRoot = rootOf(set);
        refuses(E_PROOF, "set begins at another height");
        gateway.updateClient(certifyBy(header, keys, 1, 4), set);

        set = nextSet(header.height + 1);
        set.validators[1].power = 0;
        header.nextValidatorsRoot = rootOf(set);
        refuses(E_FORMAT, "set: power out of range");
        gateway.updateClient(certifyBy(header, keys, 1, 4), set);
        set.validators[1].power = uint64(1 << 40);
        header.nextValidatorsRoot = rootOf(set);
        refuses(E_FORMAT, "set: power out of range");
        gateway.updateClient(certifyBy(header, keys, 1, 4), set);
        set.validators[1].power = 1;
        (set.validators[0], set.validators[1]) = (set.validators[1], set.validators[0]);
        header.nextValidatorsRoot = rootOf(set);
        refuses(E_FORMAT, "set: members do not ascend");
        gateway.updateClient(certifyBy(header, keys, 1, 4), set);
        set.validators = new Validator[](0);
        header.nextValidatorsRoot = rootOf(set);
        refuses(E_FORMAT, "set: 1 to 100 members");
        gateway.updateClient(certifyBy(header, keys, 1, 4), set);
    }

    function test_a_header_below_its_set_is_refused() external {
        (CertifiedHeader memory certified, ValidatorSet memory set) = change();
        gateway.updateClient(certified, set);
        Header memory header = plain(certified.header.height, timeMs());
        refusesHeader(certify(header), E_PROOF, "header below its set");
    }

    // --- A28: contradictions ---------------------------------------------------------------------

    function test_a28_two_blocks_at_one_height_freeze() external {
        Header memory header = next();
        update(header);
        header.logRoot = keccak256("another");
        gateway.updateClient(certify(header), unread);
        isFrozen();
        equal(newestHeight(), header.height, "the client stays");
        refusesHeader(certify(plain(header.height + 1, timeMs())), E_STATE, "the link is frozen");
    }

    function test_a28_two_blocks_below_the_newest_freeze() external {
        Header memory early = next();
        update(early);
        for (uint256 i = 0; i < 5; ++i) update(next());
        early.logRoot = keccak256("another");
        gateway.updateClient(certify(early), unread);
        isFrozen();
    }

    function test_a28_a_time_that_does_not_rise_freezes() external {
        Header memory header = next();
        update(header);
        gateway.updateClient(certify(plain(header.height + 1, header.time)), unread);
        isFrozen();
    }

    function test_a28_a_lower_header_with_a_later_time_freezes() external {
        update(next());
        hubHeight += 3;
        Header memory header = next();
        update(header);
        // Between the two in height, and not in time.
        gateway.updateClient(certify(plain(header.height - 1, header.time)), unread);
        isFrozen();
    }

    function test_a28_a_header_that_suits_its_neighbours_freezes_nothing() external {
        Header memory low = next();
        update(low);
        hubHeight += 3;
        hubTime += 3_000;
        later(4);
        Header memory high = next();
        update(high);
        refusesHeader(
            certify(plain(high.height - 1, high.time - 1)), E_REPLAY, "the client stays where it is"
        );
        (uint8 status,,,) = gateway.standing();
        equal(status, 1, "open");
    }

    function test_a28_a_header_above_the_one_that_named_a_successor_freezes() external {
        uint256[] memory keys = validatorKeys;
        uint64 from = setFrom;
        (CertifiedHeader memory certified,) = change();
        // The set is not yet left: a delivery or update saw the header alone.
        (LaneLeaf memory leaf, HubProof memory proof) = underHeader(certified);
        Delivery memory it;
        it.leaf = leaf;
        gateway.deliver(it, proof);
        Header memory above = certified.header;
        above.height += 1;
        above.time += 1;
        above.nextValidatorsRoot = above.validatorsRoot;
        gateway.updateClient(certifyBy(above, keys, from, 4), unread);
        isFrozen();
    }

    /// The same header over a lanes tree in which this link's lanes stand.
    function underHeader(CertifiedHeader memory certified)
        private
        view
        returns (LaneLeaf memory leaf, HubProof memory proof)
    {
        leaf = laneLeafOf(CONTROL);
        proof.count = 1;
        proof.path = new bytes32[](0);
        certified.header.lanesRoot = hashOf(leaf);
        uint256[] memory keys = new uint256[](4);
        for (uint256 i = 0; i < 4; ++i) keys[i] = uint256(keccak256(abi.encode("key", i)));
        for (uint256 i = 1; i < 4; ++i) {
            for (uint256 j = i; j > 0 && vm.addr(keys[j]) < vm.addr(keys[j - 1]); --j) {
                (keys[j], keys[j - 1]) = (keys[j - 1], keys[j]);
            }
        }
        proof.certified = certifyBy(certified.header, keys, 1, 4);
        certified.signatures = proof.certified.signatures;
    }

    function test_a28_a_left_set_that_goes_on_freezes_within_the_trusting_period() external {
        uint256[] memory keys = validatorKeys;
        uint64 from = setFrom;
        (CertifiedHeader memory certified, ValidatorSet memory set) = change();
        gateway.updateClient(certified, set);
        Header memory fork = certified.header;
        fork.height += 1;
        fork.time += 1;
        later(7 days);
        update(next());
        uint256 before = vm.snapshotState();
        gateway.updateClient(certifyBy(fork, keys, from, 4), unread);
        isFrozen();
        vm.revertToState(before);
        later(7 days + 1);
        refusesHeader(certifyBy(fork, keys, from, 4), E_PROOF, "set is not held");
    }

    function test_a28_evidence_freezes_where_two_headers_cannot_both_be() external {
        Header memory a = next();
        Header memory b = abi.decode(abi.encode(a), (Header));
        b.logRoot = keccak256("another");
        uint256 before = vm.snapshotState();
        gateway.misbehaviour(certify(a), certify(b));
        isFrozen();
        refuses(E_REPLAY, "the link is frozen already");
        gateway.misbehaviour(certify(a), certify(b));
        vm.revertToState(before);

        b = abi.decode(abi.encode(a), (Header));
        b.height += 1;
        gateway.misbehaviour(certify(b), certify(a));
        isFrozen();
        vm.revertToState(before);

        // One that names a successor and one above it, under one set.
        b.time += 1;
        a.nextValidatorsRoot = keccak256("a successor");
        gateway.misbehaviour(certify(a), certify(b));
        isFrozen();
        vm.revertToState(before);

        // Either against what is remembered.
        update(a = next());
        b = abi.decode(abi.encode(a), (Header));
        b.logRoot = keccak256("another");
        gateway.misbehaviour(certify(b), certify(b));
        isFrozen();
    }

    function test_evidence_that_shows_nothing_is_refused() external {
        Header memory a = next();
        Header memory b = next();
        refuses(E_PROOF, "these do not contradict");
        gateway.misbehaviour(certify(a), certify(b));
        refuses(E_PROOF, "these do not contradict");
        gateway.misbehaviour(certify(a), certify(a));
        CertifiedHeader memory half = certifyBy(b, validatorKeys, setFrom, 2);
        refuses(E_PROOF, "not more than two thirds");
        gateway.misbehaviour(certify(a), half);
    }

    function test_a28_a_delivery_under_a_fork_freezes_and_takes_nothing() external {
        hubAppend(DATA, shareMessage(shareOf(0, 100)));
        (Delivery memory it, HubProof memory proof) = delivery(DATA, 0, 1);
        Header memory fork = abi.decode(abi.encode(proof.certified.header), (Header));
        fork.logRoot = keccak256("another");
        update(fork);
        equal(gateway.deliver(it, proof), 0, "nothing was taken");
        isFrozen();
        refuses(E_STATE, "the link is frozen");
        gateway.deliver(it, proof);
    }

    /// Beyond the ring's 64 entries a contradiction is not seen in passing; evidence of two still is.
    function test_the_newest_64_headers_are_remembered() external {
        Header memory old = next();
        update(old);
        Header memory kept = next();
        update(kept);
        for (uint256 i = 0; i < 63; ++i) update(next());
        old.logRoot = keccak256("another");
        refusesHeader(certify(old), E_REPLAY, "the client stays where it is");
        kept.logRoot = keccak256("another");
        gateway.updateClient(certify(kept), unread);
        isFrozen();
    }

    // --- Lanes that contradict themselves --------------------------------------------------------

    function lane(uint64 size, uint64 received) private returns (uint64) {
        LaneLeaf memory leaf = laneLeafOf(DATA);
        leaf.size = size;
        leaf.root = keccak256(abi.encode("root", size));
        leaf.received = received;
        Delivery memory it;
        HubProof memory proof;
        (it.leaf, proof) = proveLeaves(DATA, laneLeafOf(CONTROL), leaf);
        return gateway.deliver(it, proof);
    }

    function linkIsFrozenAlone() private view {
        (uint8 status, uint8 client,,) = gateway.standing();
        equal(status, 2, "link frozen");
        equal(client, 0, "client well");
    }

    function test_a_size_that_falls_freezes_the_link() external {
        lane(9, 0);
        lane(8, 0);
        linkIsFrozenAlone();
    }

    function test_more_received_than_sent_freezes_the_link() external {
        lane(9, 1);
        linkIsFrozenAlone();
    }

    function test_another_root_of_what_was_taken_freezes_the_link() external {
        hubAppend(DATA, shareMessage(shareOf(0, 100)));
        deliverAll(DATA);
        lane(1, 0);
        linkIsFrozenAlone();
    }

    function test_another_prefix_than_was_taken_freezes_the_link() external {
        hubAppend(DATA, shareMessage(shareOf(0, 100)));
        deliverAll(DATA);
        delete hubLanes[DATA].messages;
        delete hubLanes[DATA].leaves;
        hubAppend(DATA, shareMessage(shareOf(1, 100)));
        hubAppend(DATA, shareMessage(shareOf(2, 100)));
        equal(deliver(DATA, 0, 2), 1, "nothing new was taken");
        linkIsFrozenAlone();
    }

    function test_another_root_of_what_was_sent_freezes_the_link() external {
        LaneLeaf memory leaf = laneLeafOf(CONTROL);
        leaf.received = 1;
        leaf.receivedRoot = keccak256("another Hello");
        Delivery memory it;
        HubProof memory proof;
        (it.leaf, proof) = proveLeaves(CONTROL, leaf, laneLeafOf(DATA));
        gateway.deliver(it, proof);
        linkIsFrozenAlone();
    }

    function test_received_that_falls_freezes_the_link() external {
        hubTakes(CONTROL);
        deliver(CONTROL, 0, 0);
        hubLanes[CONTROL].received = 0;
        deliver(CONTROL, 0, 0);
        linkIsFrozenAlone();
    }

    function test_of_two_heights_the_lower_has_the_smaller_log() external {
        hubAppend(DATA, shareMessage(shareOf(0, 100)));
        (Delivery memory low, HubProof memory proofOfLow) = delivery(DATA, 0, 1);
        delete hubLanes[DATA].messages;
        delete hubLanes[DATA].leaves;
        deliver(DATA, 0, 0);
        gateway.deliver(low, proofOfLow);
        linkIsFrozenAlone();
    }

    // --- A29: expiry -----------------------------------------------------------------------------

    function test_a29_an_expired_client_accepts_nothing() external {
        (, uint8 client,,) = gateway.standing();
        equal(client, 0, "active");
        vm.warp(START + 14 days * 2 / 3 + 1);
        (, client,,) = gateway.standing();
        equal(client, 1, "expiring");
        // The newest header is one millisecond younger than this chain's first block.
        vm.warp(START + 14 days);
        (, client,,) = gateway.standing();
        equal(client, 1, "expiring");
        vm.warp(START + 14 days + 1);
        uint64 since;
        (, client, since,) = gateway.standing();
        equal(client, 2, "expired");
        equal(since, uint64((START + 14 days) * 1000 + 1), "since then");
        refusesHeader(certify(next()), E_PROOF, "the client is expired or frozen");
        (Delivery memory it, HubProof memory proof) = delivery(CONTROL, 0, 0);
        refuses(E_PROOF, "the client is expired or frozen");
        gateway.deliver(it, proof);
    }

    // --- A62: what a gateway is born with --------------------------------------------------------

    function test_a62_a_gateway_is_not_born_of_nonsense() external {
        GatewayConfig memory config = gatewayConfig();
        config.trustingPeriodMs = 0;
        refusesBirth(config, E_FORMAT, "trusting period out of range");
        config = gatewayConfig();
        config.trustingPeriodMs = type(uint64).max;
        refusesBirth(config, E_FORMAT, "trusting period out of range");
        config = gatewayConfig();
        config.weightMax = 15;
        refusesBirth(config, E_FORMAT, "weight max out of range");
        config = gatewayConfig();
        config.backlogMax = 0;
        refusesBirth(config, E_FORMAT, "backlog max out of range");
        config = gatewayConfig();
        config.genesis = 0;
        refusesBirth(config, E_FORMAT, "genesis hash is zero");
        config = gatewayConfig();
        config.vault = config.registry;
        refusesBirth(config, E_FORMAT, "control, registry, vault");
        config = gatewayConfig();
        config.control = address(0);
        refusesBirth(config, E_FORMAT, "control, registry, vault");
        config = gatewayConfig();
        config.anchor.chainId = 0;
        refusesBirth(config, E_FORMAT, "anchor: no block of a chain");
        config = gatewayConfig();
        config.anchor.blockId = 0;
        refusesBirth(config, E_FORMAT, "anchor: no block of a chain");
        config = gatewayConfig();
        config.anchor.height = 0;
        refusesBirth(config, E_FORMAT, "anchor: no block of a chain");
        config = gatewayConfig();
        config.anchor.time = timeMs() + 600_001;
        refusesBirth(config, E_PROOF, "more than 10 min ahead");
        config = gatewayConfig();
        config.anchor.time = timeMs() - config.trustingPeriodMs;
        refusesBirth(config, E_PROOF, "anchor: older than trusted");
        config = gatewayConfig();
        config.anchor.validators.firstHeight = config.anchor.height + 2;
        refusesBirth(config, E_FORMAT, "anchor: set begins later");
        config = gatewayConfig();
        config.anchor.validators.firstHeight = 0;
        refusesBirth(config, E_FORMAT, "set: begins at height 0");
        config = gatewayConfig();
        config.anchor.validators.validators = new Validator[](101);
        refusesBirth(config, E_FORMAT, "set: 1 to 100 members");
    }

    function refusesBirth(GatewayConfig memory config, uint8 class, bytes32 sentence) private {
        bytes memory code = bytes.concat(creationCode("Gateway"), abi.encode(config));
        refusesCode(code, class, sentence);
    }
}
