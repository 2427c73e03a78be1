// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ShareOrder} from "../src/interfaces/IRegistry.sol";
import "../src/protocol/Kinds.sol";
import "../src/protocol/Refusals.sol";
import "../src/protocol/Structs.sol";
import {HubLane} from "./support/Hub.sol";
import {Commits} from "./support/Commits.sol";
import {Model} from "./support/Model.sol";
import {GoodToken} from "./support/Tokens.sol";
import {Log_} from "./support/Vm.sol";

/// The recovery council: what it may do, when, and what that leaves behind.
contract CouncilTest is Commits {
    bytes32 private constant SENT_TOPIC = keccak256("Sent(uint32,uint64,uint32,uint64,bytes)");
    address private alice = vm.addr(ALICE);
    address private bob = vm.addr(BOB);
    GoodToken private token = new GoodToken();
    bytes32 private asset = bytes32(uint256(uint160(address(token))));
    bytes32[] private sentLeaves_;
    bytes[] private sentMessages;

    function setUp() public override {
        super.setUp();
        open();
        token.mint(alice, 1_000);
        vm.prank(alice);
        token.approve(address(vault), 1_000);
    }

    // --- Acts ------------------------------------------------------------------------------------

    function signAct(uint8 act, uint32 epoch, bytes memory data, uint256 from, uint256 count)
        private
        view
        returns (bytes memory signatures)
    {
        bytes32 digest =
            keccak256(abi.encode(keccak256("tombolo/1/council"), gateway.chain(), act, epoch, keccak256(data)));
        for (uint256 i = 0; i < count; ++i) {
            signatures = bytes.concat(signatures, signed(councilKeys[from + i], digest));
        }
    }

    function announce(uint8 act, uint32 epoch, bytes memory data) private {
        control.announceAct(act, epoch, data, signAct(act, epoch, data, 0, 2));
    }

    function refusesAct(uint8 act, uint32 epoch, bytes memory data, uint8 class, bytes32 sentence) private {
        bytes memory signatures = signAct(act, epoch, data, 0, 2);
        refuses(class, sentence);
        control.announceAct(act, epoch, data, signatures);
    }

    function carry(uint8 kind, uint32 epoch, bytes memory data) private {
        announce(kind, epoch, data);
        later(1 days);
        control.takeEffect(data);
    }

    function anchorNow() private returns (bytes memory) {
        nextHeader(keccak256("lanes"));
        return fields(abi.encode(anchorOfHub()));
    }

    function expire() private {
        later(14 days + 1);
    }

    /// The hub contradicts itself.
    function fork() private {
        Header memory header = nextHeader(keccak256("lanes"));
        ValidatorSet memory unread;
        gateway.updateClient(certify(header), unread);
        header.logRoot = keccak256("another");
        gateway.updateClient(certify(header), unread);
        stands(2, 3);
    }

    /// One lane contradicts itself; the client is well.
    function freezeLane() private {
        hubLanes[CONTROL].received = 99;
        deliver(CONTROL, 0, 0);
        hubLanes[CONTROL].received = 0;
        stands(2, 0);
    }

    function stands(uint8 status, uint8 client) private view {
        (uint8 foundStatus, uint8 foundClient,,) = gateway.standing();
        equal(foundStatus, status, "status of the link");
        equal(foundClient, client, "status of the client");
    }

    function trustEpochIs(uint32 expected) private view {
        (,,, uint32 epoch) = gateway.standing();
        equal(epoch, expected, "trust epoch");
        equal(gateway.laneLeaf(CONTROL).trustEpoch, expected, "trust epoch of a leaf");
    }

    // --- Act 1: a new trusted header -------------------------------------------------------------

    function test_a29_an_expired_client_is_recovered_after_the_delay() external {
        expire();
        stands(1, 2);
        bytes memory anchor = anchorNow();
        vm.recordLogs();
        announce(1, 1, anchor);
        CouncilAct memory announced = announcement();
        equal(announced.act, 1, "act");
        equal(announced.trustEpoch, 1, "trust epoch");
        equal(announced.holdsFrom, timeMs() + 1 days * 1000, "holds from");
        equal(announced.subject, keccak256(anchor), "subject");
        equal(announced.signers.length, 2, "signers");
        trustEpochIs(0);
        refuses(E_STATE, "the delay is not over");
        control.takeEffect(anchor);
        refuses(E_NOTFOUND, "no such act waits");
        control.takeEffect("another");
        later(1 days);
        control.takeEffect(anchor);
        stands(1, 0);
        trustEpochIs(1);
        (uint64 height,,) = gateway.newest();
        equal(height, hubHeight, "the anchor");
        refuses(E_NOTFOUND, "no such act waits");
        control.takeEffect(anchor);
        // After mere expiry a lane goes on in its epoch.
        hubAppend(DATA, shareMessage(shareOf(0, 100)));
        equal(deliverAll(DATA), 1, "taken");
    }

    function announcement() private returns (CouncilAct memory) {
        Log_[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != SENT_TOPIC) continue;
            equal(uint256(logs[i].topics[1]), CONTROL, "over the control lane");
            (,, bytes memory encoded) = abi.decode(logs[i].data, (uint32, uint64, bytes));
            Message memory it = abi.decode(bytes.concat(bytes32(uint256(32)), encoded), (Message));
            equal(it.kind, COUNCIL_ACT, "kind");
            return abi.decode(bytes.concat(bytes32(uint256(32)), it.body), (CouncilAct));
        }
        revert Fails("not announced");
    }

    function test_a_frozen_client_is_recovered_and_its_link_thawed() external {
        fork();
        // After a freeze the anchor may lie below what was accepted: that is the point of it.
        hubHeight -= 1;
        Anchor memory anchor = anchorOfHub();
        anchor.blockId = keccak256("the true block");
        carry(1, 1, fields(abi.encode(anchor)));
        stands(1, 0);
        (uint64 height,,) = gateway.newest();
        equal(height, anchor.height, "below");
        ValidatorSet memory unread;
        gateway.updateClient(certify(nextHeader(keccak256("lanes"))), unread);
        stands(1, 0);
    }

    function test_a_link_frozen_over_a_lane_is_thawed_and_forgets_what_was_proved() external {
        hubTakes(CONTROL);
        deliver(CONTROL, 0, 0);
        freezeLane();
        bytes memory anchor = anchorNow();
        // Nothing outruns the act while it waits.
        ValidatorSet memory unread;
        CertifiedHeader memory header = certify(nextHeader(keccak256("lanes")));
        refuses(E_STATE, "the link is frozen");
        gateway.updateClient(header, unread);
        carry(1, 1, anchor);
        stands(1, 0);
        // What was proved is forgotten, what was acknowledged stays.
        hubLanes[CONTROL].received = 1;
        deliver(CONTROL, 0, 0);
        stands(1, 0);
    }

    function test_a15_a_council_acts_only_where_there_is_something_to_recover() external {
        refusesAct(1, 1, anchorNow(), E_STATE, "there is nothing to recover");
        vm.warp(START + 10 days);
        refusesAct(1, 1, anchorNow(), E_STATE, "there is nothing to recover");
    }

    function test_an_anchor_follows_what_a_client_accepted_that_is_not_frozen() external {
        expire();
        Anchor memory anchor = anchorOfHub();
        anchor.chainId = keccak256("another hub");
        refusesAct(1, 1, fields(abi.encode(anchor)), E_PROOF, "anchor: another chain");
        anchor = anchorOfHub();
        anchor.height -= 1;
        refusesAct(1, 1, fields(abi.encode(anchor)), E_PROOF, "anchor: against what is known");
        anchor = anchorOfHub();
        anchor.blockId = keccak256("another block");
        refusesAct(1, 1, fields(abi.encode(anchor)), E_PROOF, "anchor: against what is known");
        anchor = anchorOfHub();
        anchor.height += 1;
        refusesAct(1, 1, fields(abi.encode(anchor)), E_PROOF, "anchor: against what is known");
        refusesAct(1, 1, fields(abi.encode(anchorOfHub())), E_PROOF, "anchor: older than trusted");
        bytes memory data = anchorNow();
        anchor = abi.decode(bytes.concat(bytes32(uint256(32)), data), (Anchor));
        anchor.validators.validators = new Validator[](0);
        refusesAct(1, 1, fields(abi.encode(anchor)), E_FORMAT, "set: 1 to 100 members");
        refusesAct(1, 1, hex"00", E_FORMAT, "not an anchor");
    }

    function test_an_act_that_cannot_hold_any_more_gives_way_to_the_next() external {
        expire();
        bytes memory old = anchorNow();
        announce(1, 1, old);
        refusesAct(1, 1, old, E_STATE, "another act waits");
        later(14 days);
        refuses(E_PROOF, "anchor: older than trusted");
        control.takeEffect(old);
        bytes memory fresh = anchorNow();
        carry(1, 1, fresh);
        stands(1, 0);
        trustEpochIs(1);
    }

    // --- Signatures ------------------------------------------------------------------------------

    function test_a09_an_act_needs_distinct_members_in_order() external {
        expire();
        bytes memory data = anchorNow();
        bytes memory one_ = signAct(1, 1, data, 0, 1);
        bytes memory second = signAct(1, 1, data, 1, 1);
        refusesSigned(data, one_, E_QUORUM, "too few members signed");
        refusesSigned(data, "", E_QUORUM, "too few members signed");
        refusesSigned(data, bytes.concat(one_, one_), E_AUTH, "no signature of a next member");
        refusesSigned(data, bytes.concat(second, one_), E_AUTH, "no signature of a next member");
        refusesSigned(data, bytes.concat(one_, second, hex"00"), E_FORMAT, "surplus or broken signatures");
        bytes memory stranger = signed(uint256(keccak256("stranger")), keccak256("digest"));
        refusesSigned(data, bytes.concat(one_, stranger), E_AUTH, "no signature of a next member");
        refusesSigned(data, bytes.concat(one_, new bytes(65)), E_AUTH, "no signature of a next member");
    }

    function refusesSigned(bytes memory data, bytes memory signatures, uint8 class, bytes32 sentence) private {
        refuses(class, sentence);
        control.announceAct(1, 1, data, signatures);
    }

    function test_a17_signatures_are_good_for_one_act_epoch_and_chain() external {
        expire();
        bytes memory data = anchorNow();
        refusesSigned(data, signAct(2, 1, data, 0, 2), E_AUTH, "no signature of a next member");
        refusesSigned(data, signAct(1, 2, data, 0, 2), E_AUTH, "no signature of a next member");
        bytes memory other = bytes.concat(data);
        other[31] ^= 0x01;
        refusesSigned(data, signAct(1, 1, other, 0, 2), E_AUTH, "no signature of a next member");
        refusesAct(1, 2, data, E_STATE, "trust epoch is not the next");
        refusesAct(1, 0, data, E_STATE, "trust epoch is not the next");
        refusesAct(9, 1, data, E_UNSUPPORTED, "no such act");
        carry(1, 1, data);
        later(15 days);
        refusesAct(1, 1, anchorNow(), E_STATE, "trust epoch is not the next");
    }

    // --- Act 2 has no object here ----------------------------------------------------------------

    function test_mode_1_has_no_node_keys() external {
        bytes memory data = fields(abi.encode(NodeKeys(hubLink, keyList(ALICE), 1)));
        refusesAct(2, 1, data, E_UNSUPPORTED, "mode 1 has no node keys");
        data = fields(abi.encode(NodeKeys(keccak256("another link"), keyList(ALICE), 1)));
        refusesAct(2, 1, data, E_FORMAT, "another link");
        refusesAct(2, 1, hex"00", E_FORMAT, "not node keys");
    }

    // --- Act 3: a lane goes on in its next epoch -------------------------------------------------

    function test_a_lane_goes_on_in_its_next_epoch() external {
        // Three messages of this chain, of which the hub truly has one: a share, a vote, a share.
        vm.recordLogs();
        share("a");
        Deal memory deal = dealOf(one(pay(ALICE, bob, asset, 100)), by(ALICE));
        hubAppend(DATA, prepareMessage(deal));
        deliverAll(DATA);
        share("b");
        collectSent();
        freezeLane();
        bytes memory data = abi.encode(hubLink, DATA, uint32(2), uint32(2), uint64(1));
        carry(3, 1, data);
        trustEpochIs(1);
        LaneLeaf memory leaf = gateway.laneLeaf(DATA);
        equal(leaf.epoch, 2, "epoch");
        equal(leaf.peerEpoch, 2, "peer epoch");
        equal(leaf.size, 0, "size");
        equal(leaf.received, 0, "received");
        equal(leaf.root, Model.root(new bytes32[](0)), "root");
        equal(leaf.receivedRoot, leaf.root, "received root");
        stands(2, 0);

        // What was sent after the common point goes again, in order, before anything else.
        refusesAct(3, 2, abi.encode(hubLink, CONTROL, uint32(2), uint32(2), uint64(0)), E_STATE, "former epoch comes first");
        refusesAgain(2, E_PROOF, "message is not in the log");
        vm.recordLogs();
        sendAgain(1);
        refusesAgain(1, E_PROOF, "message is not in the log");
        sendAgain(2);
        Log_[] memory logs = vm.getRecordedLogs();
        equal(logs.length, 1, "the vote alone");
        (uint32 epoch,, bytes memory again) = abi.decode(logs[0].data, (uint32, uint64, bytes));
        equal(epoch, 2, "in the new epoch");
        equal(keccak256(again), keccak256(sentMessages[1]), "as it was");
        refusesAgain(2, E_STATE, "nothing to send again");

        // The link thaws with a new trusted header, and the decision comes over the new epoch.
        carry(1, 2, anchorNow());
        stands(1, 0);
        nextEpochOfHub(DATA);
        decide(deal.xid, true);
        equal(vault.balanceOf(bob, asset), 100, "the lock was held throughout");
    }

    /// So a head that acknowledges anything of an epoch holds all that was sent again.
    function test_nothing_is_taken_before_all_has_gone_again() external {
        vm.recordLogs();
        share("a");
        collectSent();
        freezeLane();
        carry(3, 1, abi.encode(hubLink, DATA, uint32(2), uint32(2), uint64(0)));
        carry(1, 2, anchorNow());
        stands(1, 0);
        nextEpochOfHub(DATA);
        (Delivery memory it, HubProof memory proof) = delivery(DATA, 0, 0);
        refuses(E_STATE, "former epoch comes first");
        gateway.deliver(it, proof);
        sendAgain(0);
        gateway.deliver(it, proof);
    }

    /// The hub has reopened its end: this one stands still, so that it can follow. One that is behind
    /// is only refused.
    function test_a29_a_head_of_the_next_epoch_freezes_the_link() external {
        (hubLanes[DATA].epoch, hubLanes[DATA].peerEpoch) = (2, 1);
        (Delivery memory it, HubProof memory proof) = delivery(DATA, 0, 0);
        refuses(E_STATE, "another epoch");
        gateway.deliver(it, proof);
        stands(1, 0);
        nextEpochOfHub(DATA);
        deliver(DATA, 0, 0);
        stands(2, 0);
        carry(3, 1, abi.encode(hubLink, DATA, uint32(2), uint32(2), uint64(0)));
        carry(1, 2, anchorNow());
        deliver(DATA, 0, 0);
        deliver(CONTROL, 0, 0);
        share("a");
        stands(1, 0);
    }

    /// What a council announced and the hub does not hold is announced again, and Hello with it.
    function test_announcements_of_the_council_go_again() external {
        vm.recordLogs();
        freezeLane();
        bytes memory data = abi.encode(hubLink, CONTROL, uint32(2), uint32(2), uint64(1));
        bytes32 hello = gateway.laneLeaf(CONTROL).root;
        announce(3, 1, data);
        (,, bytes memory act) = abi.decode(vm.getRecordedLogs()[2].data, (uint32, uint64, bytes));
        later(1 days);
        control.takeEffect(data);
        bytes32[] memory path = new bytes32[](1);
        path[0] = hello;
        vm.recordLogs();
        control.sendAgain(CONTROL, act, path);
        (uint32 epoch,, bytes memory again) =
            abi.decode(vm.getRecordedLogs()[0].data, (uint32, uint64, bytes));
        equal(epoch, 2, "in the new epoch");
        equal(keccak256(again), keccak256(act), "as it was");
        equal(gateway.laneLeaf(CONTROL).size, 1, "and nothing else");
    }

    /// An answer of the epoch that ended names a number that means another message now. It frees what it
    /// was meant for, and nothing is begun before all of those have come.
    function test_a42_a_refusal_of_the_former_epoch_frees_nothing_of_the_next() external {
        bytes32 first = begin("first");
        freezeLane();
        carry(3, 1, abi.encode(hubLink, DATA, uint32(2), uint32(2), uint64(1)));
        carry(1, 2, anchorNow());
        nextEpochOfHub(DATA);
        (bytes memory terms, bytes[] memory branches, Authorisation[] memory authorisations) = draft("second");
        vm.prank(alice);
        refuses(E_STATE, "answers are still to come");
        vault.begin(terms, branches, authorisations);
        hubAppend(DATA, message(REFUSED, 1, abi.encode(uint64(0), E_POLICY, "no")));
        hubAppend(DATA, message(REFUSED, 1, abi.encode(uint64(9), E_POLICY, "no")));
        deliver(DATA, 0, 1);
        vault.free(first);
        // There is more to come.
        vm.prank(alice);
        refuses(E_STATE, "answers are still to come");
        vault.begin(terms, branches, authorisations);
        deliverAll(DATA);
        bytes32 second = begin("second");
        refuses(E_STATE, "no refused Begin holds a lock");
        vault.free(second);
        hubAppend(DATA, message(REFUSED, 1, abi.encode(uint64(0), E_POLICY, "no")));
        deliverAll(DATA);
        vault.free(second);
    }

    /// The hub's end of a lane in its next epoch, with nothing in it.
    function nextEpochOfHub(uint32 lane) private {
        HubLane storage it = hubLanes[lane];
        (it.epoch, it.peerEpoch, it.received) = (2, 2, 0);
        it.receivedRoot = Model.root(new bytes32[](0));
        delete it.messages;
        delete it.leaves;
    }

    function draft(bytes32 salt)
        private
        view
        returns (bytes memory terms, bytes[] memory branches, Authorisation[] memory authorisations)
    {
        branches = new bytes[](1);
        branches[0] = abi.encode(hubLink, one(pay(ALICE, bob, asset, 100)));
        bytes32[] memory hashes = new bytes32[](1);
        hashes[0] = branchHash(branches[0]);
        bytes32 who = keccak256(abi.encode(keccak256("tombolo/1/account-beginner"), hubLink, alice));
        terms = abi.encode(HUB, who, salt, timeMs() + 60_000, hashes);
        authorisations = new Authorisation[](1);
        authorisations[0] = Authorisation(0, alice, new bytes(65));
    }

    function begin(bytes32 salt) private returns (bytes32) {
        (bytes memory terms, bytes[] memory branches, Authorisation[] memory authorisations) = draft(salt);
        vm.prank(alice);
        return vault.begin(terms, branches, authorisations);
    }

    function test_a_begin_that_the_hub_never_had_counts_as_refused() external {
        vm.recordLogs();
        bytes32 xid = begin("salt");
        collectSent();
        freezeLane();
        carry(3, 1, abi.encode(hubLink, DATA, uint32(2), uint32(2), uint64(0)));
        refuses(E_STATE, "no refused Begin holds a lock");
        vault.free(xid);
        sendAgain(0);
        vault.free(xid);
        equal(vault.balanceOf(alice, asset), 100, "alice's again");
    }

    function share(string memory localId) private {
        ShareOrder memory it;
        it.owner = keccak256("owner");
        it.localId = localId;
        it.itemVersion = 1;
        it.envelope = bytes(localId);
        bytes32 digest = keccak256(abi.encode(keccak256("tombolo/1/envelope"), keccak256(bytes(localId))));
        it.signature = signed(ALICE, digest);
        it.destination = ELSEWHERE;
        vm.prank(alice);
        registry.share(it);
    }

    function collectSent() private {
        Log_[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != SENT_TOPIC) continue;
            (,, bytes memory encoded) = abi.decode(logs[i].data, (uint32, uint64, bytes));
            sentLeaves_.push(
                keccak256(
                    abi.encode(
                        keccak256("tombolo/1/message"), hubLink, 1, DATA, 1, sentMessages.length, keccak256(encoded)
                    )
                )
            );
            sentMessages.push(encoded);
        }
    }

    function sendAgain(uint256 number) private {
        control.sendAgain(DATA, sentMessages[number], Model.path(sentLeaves_, number));
    }

    function refusesAgain(uint256 number, uint8 class, bytes32 sentence) private {
        bytes32[] memory path = Model.path(sentLeaves_, number);
        refuses(class, sentence);
        control.sendAgain(DATA, sentMessages[number], path);
    }

    function test_a_lane_is_reopened_only_as_it_stands_and_while_the_link_is_frozen() external {
        refusesAct(3, 1, abi.encode(hubLink, DATA, uint32(2), uint32(2), uint64(0)), E_STATE, "the link is not frozen");
        freezeLane();
        refusesAct(3, 1, abi.encode(keccak256("l"), DATA, uint32(2), uint32(2), uint64(0)), E_FORMAT, "another link");
        refusesAct(3, 1, abi.encode(hubLink, uint32(2), uint32(2), uint32(2), uint64(0)), E_NOTFOUND, "no such lane");
        refusesAct(3, 1, abi.encode(hubLink, DATA, uint32(3), uint32(2), uint64(0)), E_STATE, "epochs are not the next");
        refusesAct(3, 1, abi.encode(hubLink, DATA, uint32(2), uint32(1), uint64(0)), E_STATE, "epochs are not the next");
        refusesAct(3, 1, abi.encode(hubLink, DATA, uint32(2), uint32(2), uint64(1)), E_STATE, "more received than sent");
        refusesAct(3, 1, hex"00", E_FORMAT, "not a reopening");
        // With nothing to send again the lane is ready at once.
        carry(3, 1, abi.encode(hubLink, DATA, uint32(2), uint32(2), uint64(0)));
        carry(1, 2, anchorNow());
        (hubLanes[DATA].epoch, hubLanes[DATA].peerEpoch) = (2, 2);
        deliver(CONTROL, 0, 0);
        share("a");
        equal(gateway.laneLeaf(DATA).size, 1, "a request");
    }

    // --- Act 4: a lock is freed without a decision -----------------------------------------------

    function prepared() private returns (Deal memory deal) {
        deal = dealUntil(one(pay(ALICE, bob, asset, 100)), by(ALICE), timeMs() + 60_000);
        votesYes(deal);
    }

    function test_s4_a_lock_is_released_only_after_the_release_period_of_a_dead_client() external {
        Deal memory deal = prepared();
        bytes memory data = abi.encode(hubLink, deal.xid);
        refusesAct(4, 1, data, E_STATE, "the release period is not over");
        expire();
        refusesAct(4, 1, data, E_STATE, "the release period is not over");
        later(13 days);
        refusesAct(4, 1, data, E_STATE, "the release period is not over");
        later(1 days);
        refusesAct(4, 1, abi.encode(hubLink, keccak256("x")), E_STATE, "it holds no lock");
        refusesAct(4, 1, abi.encode(keccak256("l"), deal.xid), E_FORMAT, "another link");
        refusesAct(4, 1, hex"00", E_FORMAT, "not a release");
        announce(4, 1, data);
        later(1 days);
        control.takeEffect(data);
        trustEpochIs(1);
        (uint8 standing,,, uint32 epoch, uint8 decided) = vault.participant(deal.xid);
        equal(standing, 5, "released");
        equal(epoch, 1, "recorded with its trust epoch");
        equal(decided, 0, "not decided");
        equal(vault.balanceOf(alice, asset), 100, "alice's again");

        // Recorded for ever: no time makes it forgotten, and the hub's decision makes it disputed.
        carry(1, 2, anchorNow());
        votesYesAgain(deal);
        decide(deal.xid, true);
        (standing,,,, decided) = vault.participant(deal.xid);
        equal(standing, 5, "still released");
        equal(decided, 3, "and committed by the hub: disputed");
        equal(vault.balanceOf(bob, asset), 0, "nothing was applied");
        decide(deal.xid, false);
        (,,,, decided) = vault.participant(deal.xid);
        equal(decided, 3, "the first decision stands");
    }

    /// A Prepare that is known gets the answer that it had, released or not.
    function votesYesAgain(Deal memory deal) private {
        Vote memory vote = prepare(deal);
        isTrue(vote.yes, vote.message);
    }

    function test_s4_a_frozen_client_counts_from_its_freeze() external {
        Deal memory deal = prepared();
        bytes memory data = abi.encode(hubLink, deal.xid);
        fork();
        later(14 days - 1);
        refusesAct(4, 1, data, E_STATE, "the release period is not over");
        later(1);
        carry(4, 1, data);
        (uint8 standing,,,,) = vault.participant(deal.xid);
        equal(standing, 5, "released");
    }

    /// A client that recovers while the act waits keeps its locks.
    function test_s4_a_release_does_not_hold_for_a_client_that_lives_again() external {
        Deal memory deal = prepared();
        bytes memory data = abi.encode(hubLink, deal.xid);
        expire();
        later(14 days);
        announce(4, 1, data);
        later(1 days);
        bytes memory anchor = anchorNow();
        // The act's time has come and nobody let it hold: the next takes its place.
        announce(1, 1, anchor);
        later(1 days);
        control.takeEffect(anchor);
        refuses(E_NOTFOUND, "no such act waits");
        control.takeEffect(data);
        decide(deal.xid, true);
        equal(vault.balanceOf(bob, asset), 100, "decided");
    }

    // --- What only the council's contract may do -------------------------------------------------

    function test_a12_a_gateway_obeys_nobody_but_its_control() external {
        Anchor memory anchor = anchorOfHub();
        refuses(E_DENIED, "for control alone");
        gateway.recover(anchor);
        refuses(E_DENIED, "for control alone");
        gateway.reopen(DATA);
        refuses(E_DENIED, "for control alone");
        gateway.raiseTrust();
        refuses(E_DENIED, "for control alone");
        gateway.resume();
        refuses(E_DENIED, "for control alone");
        gateway.open(64);
        refuses(E_DENIED, "for control alone");
        gateway.sendControl(CONTROL, "");
        refuses(E_DENIED, "for the gateway");
        vault.refused(0);
        refuses(E_DENIED, "for the vault alone");
        vault.lockAll(0, "");
        refuses(E_DENIED, "for the gateway alone");
        vault.takeRequest(COMMIT, 0, abi.encode(bytes32("xid")));
    }

    function test_a11_a_council_is_more_than_half_of_its_members() external {
        ControlConfig memory config = controlConfig(address(gateway));
        config.councilThreshold = 1;
        refusesBirth(config, E_FORMAT, "not more than half of the keys");
        config.councilThreshold = 4;
        refusesBirth(config, E_FORMAT, "not more than half of the keys");
        config.council = new address[](0);
        config.councilThreshold = 0;
        refusesBirth(config, E_FORMAT, "not more than half of the keys");
        config = controlConfig(address(gateway));
        (config.council[0], config.council[1]) = (config.council[1], config.council[0]);
        refusesBirth(config, E_FORMAT, "keys do not ascend");
        config.council[0] = address(0);
        refusesBirth(config, E_FORMAT, "keys do not ascend");
        config = controlConfig(address(gateway));
        config.council = new address[](101);
        refusesBirth(config, E_LIMIT, "more than 100 keys");
        config = controlConfig(address(gateway));
        config.councilDelayMs = type(uint64).max;
        refusesBirth(config, E_FORMAT, "council delay out of range");
        config = controlConfig(address(gateway));
        config.releasePeriodMs = 0;
        refusesBirth(config, E_FORMAT, "release period out of range");
        refusesBirth(controlConfig(address(gateway)), E_STATE, "gateway names another");
    }

    function refusesBirth(ControlConfig memory config, uint8 class, bytes32 sentence) private {
        bytes memory code = bytes.concat(creationCode("Control"), abi.encode(config));
        refusesCode(code, class, sentence);
    }
}
