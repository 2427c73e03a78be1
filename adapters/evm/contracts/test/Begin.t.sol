// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/protocol/Kinds.sol";
import "../src/protocol/Refusals.sol";
import "../src/protocol/Structs.sol";
import {Commits} from "./support/Commits.sol";
import {GoodToken} from "./support/Tokens.sol";
import {Log_} from "./support/Vm.sol";

/// Two-phase commits that an account of this chain begins.
contract BeginTest is Commits {
    bytes32 private constant SENT_TOPIC = keccak256("Sent(uint32,uint64,uint32,uint64,bytes)");
    address private alice = vm.addr(ALICE);
    address private bob = vm.addr(BOB);
    GoodToken private token = new GoodToken();
    bytes32 private asset = bytes32(uint256(uint160(address(token))));

    struct Draft {
        bytes32 xid;
        bytes terms;
        bytes[] branches;
        Authorisation[] authorisations;
    }

    function setUp() public override {
        super.setUp();
        open();
        token.mint(alice, 1_000);
        vm.prank(alice);
        token.approve(address(vault), 1_000);
    }

    function beginner(address account) private view returns (bytes32) {
        return keccak256(abi.encode(keccak256("tombolo/1/account-beginner"), hubLink, account));
    }

    /// Alice pays here, somebody elsewhere does something for it.
    function draftOf(uint128 amount) private view returns (Draft memory it) {
        it.branches = new bytes[](2);
        it.branches[0] = abi.encode(keccak256("another link"), one(pay(BOB, alice, 0, 1)));
        it.branches[1] = abi.encode(hubLink, one(pay(ALICE, bob, asset, amount)));
        it.authorisations = new Authorisation[](2);
        it.authorisations[0] = Authorisation(0, bob, new bytes(65));
        it.authorisations[1] = Authorisation(1, alice, new bytes(65));
        setTerms(it, HUB, beginner(alice), timeMs() + 60_000);
    }

    function setTerms(Draft memory it, bytes32 hub, bytes32 who, uint64 deadline) private pure {
        bytes32[] memory hashes = new bytes32[](it.branches.length);
        for (uint256 i = 0; i < hashes.length; ++i) hashes[i] = branchHash(it.branches[i]);
        bytes32 salt = keccak256(abi.encode(it.branches[1]));
        it.terms = abi.encode(hub, who, salt, deadline, hashes);
        it.xid = keccak256(abi.encodePacked(keccak256("tombolo/1/xid"), hub, who, salt, uint256(deadline), hashes));
    }

    function begin(Draft memory it) private returns (bytes32) {
        vm.prank(alice);
        return vault.begin(it.terms, it.branches, it.authorisations);
    }

    function refusesBegin(Draft memory it, uint8 class, bytes32 sentence) private {
        vm.prank(alice);
        refuses(class, sentence);
        vault.begin(it.terms, it.branches, it.authorisations);
    }

    function test_a_begin_locks_and_carries_its_own_yes() external {
        Draft memory it = draftOf(300);
        vm.recordLogs();
        equal(begin(it), it.xid, "xid");
        standsAt(it.xid, 1);
        equal(token.balanceOf(address(vault)), 300, "locked");
        Message memory sent = sentOne();
        equal(sent.kind, BEGIN, "kind");
        equal(sent.weight, 16, "weight");
        equal(sent.notAfter, timeMs() + 60_000, "not after its deadline");
        BeginRequest memory body = abi.decode(bytes.concat(bytes32(uint256(32)), sent.body), (BeginRequest));
        equal(keccak256(fields(abi.encode(body))), keccak256(sent.body), "canonical");
        equal(keccak256(body.terms), keccak256(it.terms), "terms");
        equal(body.branches.length, 2, "branches");
        equal(body.authorisations.length, 2, "authorisations");
        equal(sent.salt, keccak256(abi.encode(it.branches[1])), "the salt of the terms");
        // The hub need not ask; if it does, it gets the answer that it had.
        Vote memory vote = prepare(Deal(it.xid, it.terms, it.branches[1], new Authorisation[](0)));
        isTrue(vote.yes, "yes");
        decide(it.xid, true);
        equal(vault.balanceOf(bob, asset), 300, "bob's");
    }

    function sentOne() private returns (Message memory) {
        Log_[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != SENT_TOPIC) continue;
            (,, bytes memory encoded) = abi.decode(logs[i].data, (uint32, uint64, bytes));
            return abi.decode(bytes.concat(bytes32(uint256(32)), encoded), (Message));
        }
        revert Fails("nothing was sent");
    }

    function test_a_refused_begin_frees_its_lock_and_nothing_else() external {
        Draft memory it = draftOf(300);
        begin(it);
        refuses(E_STATE, "no refused Begin holds a lock");
        vault.free(it.xid);
        // The refusal of another message frees nothing.
        hubAppend(DATA, message(REFUSED, 1, abi.encode(uint64(7), E_POLICY, "no")));
        deliverAll(DATA);
        refuses(E_STATE, "no refused Begin holds a lock");
        vault.free(it.xid);
        hubAppend(DATA, message(REFUSED, 1, abi.encode(uint64(0), E_POLICY, "no")));
        deliverAll(DATA);
        standsAt(it.xid, 1);
        vault.free(it.xid);
        standsAt(it.xid, 4);
        equal(vault.balanceOf(alice, asset), 300, "alice's again");
        refuses(E_STATE, "no refused Begin holds a lock");
        vault.free(it.xid);
    }

    function test_a_refusal_that_comes_after_the_decision_frees_nothing() external {
        Draft memory it = draftOf(300);
        begin(it);
        decide(it.xid, true);
        hubAppend(DATA, message(REFUSED, 1, abi.encode(uint64(0), E_POLICY, "no")));
        deliverAll(DATA);
        refuses(E_STATE, "no refused Begin holds a lock");
        vault.free(it.xid);
    }

    function test_each_fault_of_a_begin_has_its_class() external {
        Draft memory it = draftOf(300);
        refuses(E_AUTH, "another beginner");
        vault.begin(it.terms, it.branches, it.authorisations);
        setTerms(it, HUB, beginner(alice), timeMs());
        refusesBegin(it, E_TIMEOUT, "the deadline has passed");
        setTerms(it, keccak256("another hub"), beginner(alice), timeMs() + 1);
        refusesBegin(it, E_FORMAT, "another hub");
        it = draftOf(300);
        it.branches[0] = abi.encode(keccak256("another link"), one(pay(BOB, alice, 0, 2)));
        refusesBegin(it, E_TAMPER, "another branch");
        setTerms(it, HUB, beginner(alice), timeMs() + 1);
        it.branches[0] = it.branches[1];
        setTerms(it, HUB, beginner(alice), timeMs() + 1);
        refusesBegin(it, E_FORMAT, "two branches of this link");
        it = draftOf(300);
        it.branches[1] = it.branches[0];
        setTerms(it, HUB, beginner(alice), timeMs() + 1);
        refusesBegin(it, E_FORMAT, "no branch of this link");
        it = draftOf(300);
        it.branches = new bytes[](1);
        refusesBegin(it, E_FORMAT, "branches of the terms");
        it = draftOf(300);
        it.terms = bytes.concat(it.terms, bytes32(0));
        refusesBegin(it, E_FORMAT, "not terms");
        refusesBegin(draftOf(1_001), E_FUNDS, "the token does not pay in");
        it = draftOf(300);
        it.authorisations = new Authorisation[](0);
        refusesBegin(it, E_AUTH, "an authorisation is missing");
        it = draftOf(300);
        it.branches[1] = abi.encode(hubLink, one(pay(BOB, alice, asset, 1)));
        it.authorisations[1] = Authorisation(1, bob, new bytes(65));
        setTerms(it, HUB, beginner(alice), timeMs() + 1);
        refusesBegin(it, E_AUTH, "not signed for the account");
        it = draftOf(300);
        begin(it);
        refusesBegin(it, E_REPLAY, "it has begun");
    }

    function test_nothing_begins_while_the_link_is_not_open() external {
        hubLanes[CONTROL].received = 99;
        deliver(CONTROL, 0, 0);
        refusesBegin(draftOf(300), E_STATE, "the link is not open");
        equal(token.balanceOf(address(vault)), 0, "nothing was locked");
    }
}
