// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVault} from "../src/interfaces/IVault.sol";
import "../src/protocol/Kinds.sol";
import "../src/protocol/Refusals.sol";
import "../src/protocol/Structs.sol";
import {Commits} from "./support/Commits.sol";
import {
    BombToken, ChargingToken, Collection, Counter, DreamToken, EndlessToken, FalseToken, FeeToken, GoodToken,
    HookToken, LyingToken, SilentToken, StickyCollection, TransferableCollection
} from "./support/Tokens.sol";

/// Withdraws again while it is paid.
contract Greedy {
    IVault private vault;
    uint256 public paid;

    constructor(IVault vault_) payable {
        vault = vault_;
        vault.deposit{value: msg.value}(0, uint128(msg.value), 0);
    }

    function take(uint128 amount) external {
        vault.withdraw(0, amount, address(this));
    }

    receive() external payable {
        ++paid;
        try vault.withdraw(0, 1, address(this)) {} catch {}
    }
}

/// Makes a call while it is paid.
contract Courier {
    IVault private vault;
    address private target;
    bytes private data;
    bool public succeeded;

    constructor(IVault vault_) payable {
        vault = vault_;
        vault.deposit{value: msg.value}(0, uint128(msg.value), 0);
    }

    function carry(address target_, bytes calldata data_) external {
        (target, data, succeeded) = (target_, data_, false);
        vault.withdraw(0, 1, address(this));
    }

    receive() external payable {
        (succeeded,) = target.call(data);
    }
}

/// Tokens, callees and payees that lie, keep, charge, call back, use up or blow up.
contract HostileTest is Commits {
    address private alice = vm.addr(ALICE);
    address private bob = vm.addr(BOB);
    Counter private counter = new Counter();

    function callees() internal view override returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(counter);
    }

    function setUp() public override {
        super.setUp();
        open();
    }

    function assetOf(address token) private pure returns (bytes32) {
        return bytes32(uint256(uint160(token)));
    }

    function fund(GoodToken token) private returns (bytes32) {
        token.mint(alice, 1_000);
        vm.prank(alice);
        token.approve(address(vault), type(uint256).max);
        return assetOf(address(token));
    }

    function payDeal(bytes32 asset) private returns (Deal memory) {
        return dealOf(one(pay(ALICE, bob, asset, 100)), by(ALICE));
    }

    // --- A19: credit is the observed difference --------------------------------------------------

    function test_a19_what_arrives_is_what_counts_at_prepare() external {
        votesNo(payDeal(fund(new FalseToken())), E_FUNDS, "the token does not pay in");
        votesNo(payDeal(fund(new LyingToken())), E_FUNDS, "less arrived than was asked for");
        votesNo(payDeal(fund(new FeeToken())), E_FUNDS, "less arrived than was asked for");
        votesNo(payDeal(fund(new BombToken())), E_FUNDS, "the token does not pay in");
        votesNo(payDeal(fund(new EndlessToken())), E_FUNDS, "the token does not pay in");
        votesNo(payDeal(assetOf(address(0x1234))), E_FUNDS, "not a token");
        votesNo(payDeal(assetOf(address(new Collection()))), E_FUNDS, "the token does not pay in");
        votesNo(payDeal(assetOf(address(gateway))), E_UNSUPPORTED, "a contract of the gateway");
        votesNo(payDeal(assetOf(address(vault.items()))), E_UNSUPPORTED, "a contract of the gateway");
        votesNo(payDeal(0), E_FUNDS, "too little of the asset");
    }

    function test_a19_what_arrives_is_what_counts_at_a_deposit() external {
        SilentToken silent = new SilentToken();
        silent.mint(alice, 100);
        FeeToken fee = new FeeToken();
        bytes32 asset = fund(fee);
        vm.startPrank(alice);
        silent.approve(address(vault), 100);
        equal(vault.deposit(assetOf(address(silent)), 100, 0), 100, "a token without an answer is a token");
        vault.withdraw(assetOf(address(silent)), 100, bob);
        equal(silent.balanceOf(bob), 100, "paid out");
        equal(vault.deposit(asset, 100, 0), 90, "less the token's part");
        equal(vault.balanceOf(alice, asset), 90, "credited");
        vm.stopPrank();

        bytes32 lying = fund(new LyingToken());
        vm.startPrank(alice);
        refuses(E_FUNDS, "nothing arrived");
        vault.deposit(lying, 100, 0);
        refuses(E_FUNDS, "not a token");
        vault.deposit(assetOf(address(0x1234)), 100, 0);
        refuses(E_FUNDS, "another value than the amount");
        vault.deposit(0, 100, 0);
        refuses(E_UNSUPPORTED, "a voucher cannot be deposited");
        vault.deposit(keccak256("voucher"), 100, 0);
        refuses(E_UNSUPPORTED, "a contract of the gateway");
        vault.deposit(assetOf(address(vault)), 100, 0);
        vm.deal(alice, 1);
        refuses(E_FORMAT, "coins with a deposit of tokens");
        vault.deposit{value: 1}(lying, 100, 0);
        vm.stopPrank();
    }

    function test_a19_a_token_that_charges_more_than_it_pays_is_not_paid_out() external {
        ChargingToken token = new ChargingToken();
        bytes32 asset = fund(token);
        vm.startPrank(alice);
        vault.deposit(asset, 100, 0);
        vm.stopPrank();
        token.charge(address(vault));
        vm.startPrank(alice);
        refuses(E_FUNDS, "the token does not pay out");
        vault.withdraw(asset, 50, alice);
        token.charge(address(0));
        vault.withdraw(asset, 100, alice);
        vm.stopPrank();
    }

    function test_a19_a_dreamt_balance_fails_no_decision() external {
        DreamToken token = new DreamToken();
        bytes32 asset = fund(token);
        token.dream(address(vault), type(uint128).max);
        Deal memory it = dealOf(one(pay(ALICE, bob, asset, type(uint128).max)), by(ALICE));
        votesYes(it);
        // No sum overflows, so the next one is refused and the first can be decided.
        votesNo(payDeal(asset), E_LIMIT, "more than 2^128 - 1 in all");
        decide(it.xid, true);
        equal(vault.balanceOf(bob, asset), type(uint128).max, "worthless, and bob's");
    }

    function test_a19_an_item_that_does_not_move_is_not_locked() external {
        StickyCollection sticky = new StickyCollection();
        sticky.mint(alice, 1);
        bindAccount(keccak256("alice"), ALICE, keyList(ALICE));
        vm.startPrank(alice);
        bytes32 item = vault.enroll(address(sticky), 1);
        sticky.approve(address(vault), 1);
        vm.stopPrank();
        votesNo(dealOf(one(moveOut(item, ALICE)), by(ALICE)), E_DENIED, "the token does not move");
    }

    /// Else alice would bring one token as "an amount of 2" and take out bob's number 1 as "an amount of 1".
    function test_a19_a_collectible_is_no_fungible_asset() external {
        TransferableCollection both = new TransferableCollection();
        both.mint(bob, 1);
        both.mint(alice, 2);
        bindAccount(keccak256("bob"), BOB, keyList(BOB));
        vm.startPrank(bob);
        bytes32 item = vault.enroll(address(both), 1);
        both.approve(address(vault), 1);
        vm.stopPrank();
        votesYes(dealOf(one(moveOut(item, BOB)), by(BOB)));
        bytes32 asset = assetOf(address(both));
        vm.startPrank(alice);
        both.approve(address(vault), 2);
        refuses(E_UNSUPPORTED, "not a fungible token");
        vault.deposit(asset, 2, 0);
        vm.stopPrank();
        Deal memory it = dealOf(one(pay(ALICE, alice, asset, 2)), by(ALICE));
        votesNo(it, E_UNSUPPORTED, "not a fungible token");
        equal(both.ownerOf(1), address(vault), "in escrow");
        equal(both.ownerOf(2), alice, "as before");
    }

    // --- A07: a proved message is no proof of value ---------------------------------------------

    /// Credit follows what was locked and decided, never what a message looks like.
    function test_a07_what_looks_like_a_transfer_credits_nobody() external {
        bytes32 foreign = keccak256("an asset");
        bytes32 voucher = keccak256(abi.encode(keccak256("tombolo/1/voucher"), ELSEWHERE, foreign));
        Deal memory it = dealOf(one(tokenIn(ELSEWHERE, foreign, bob, 1e15)), byNobody());
        // A genuine share, the content of which is a Prepare.
        Share memory item = shareOf(0, 0);
        item.envelope = prepareMessage(it);
        item.fingerprint = fingerprintOf(item.envelope);
        hubAppend(DATA, shareMessage(item));
        deliverAll(DATA);
        bool here = registry.isAnchored(item.dataId, 1, item.fingerprint, item.sourceChain);
        isTrue(here, "the share is here");
        standsAt(it.xid, 0);
        // A decision on what was never prepared.
        decide(it.xid, true);
        standsAt(it.xid, 0);
        equal(vault.balanceOf(bob, voucher), 0, "no vouchers");
        equal(vault.outstanding(voucher), 0, "none in the books");
        // Tokens that were sent without a deposit, and more coming home than ever left.
        GoodToken token = new GoodToken();
        bytes32 asset = fund(token);
        vm.prank(alice);
        token.transfer(address(vault), 500);
        votesNo(
            dealOf(one(tokenIn(gateway.chain(), asset, bob, 500)), byNobody()), E_FUNDS, "more than is away"
        );
        equal(vault.balanceOf(alice, asset), 0, "credited to nobody");
    }

    // --- A16: no way back in ---------------------------------------------------------------------

    /// Whatever a token calls back while it is pulled, it finds every door closed.
    function test_a16_a_token_cannot_call_back_while_a_prepare_locks() external {
        HookToken token = new HookToken();
        bytes32 asset = fund(token);
        (Delivery memory again, HubProof memory proof) = delivery(CONTROL, 0, 0);
        ValidatorSet memory unread;
        bytes[9] memory calls = [
            abi.encodeCall(vault.deposit, (asset, 1, 0)),
            abi.encodeCall(vault.withdraw, (asset, 1, alice)),
            abi.encodeCall(vault.begin, ("", new bytes[](0), new Authorisation[](0))),
            abi.encodeCall(vault.free, (bytes32("xid"))),
            abi.encodeCall(vault.retry, (bytes32("xid"), 0)),
            abi.encodeCall(vault.claim, (bytes32("item"))),
            abi.encodeCall(gateway.deliver, (again, proof)),
            abi.encodeCall(gateway.updateClient, (proof.certified, unread)),
            abi.encodeCall(control.hello, ())
        ];
        for (uint256 i = 0; i < 9; ++i) {
            token.hook(i < 6 ? address(vault) : i < 8 ? address(gateway) : address(control), calls[i]);
            Deal memory it = payDeal(asset);
            votesYes(it);
            isTrue(token.called() && !token.succeeded(), "no way back in");
            decide(it.xid, false);
        }
        token.hook(address(0), "");
        equal(token.balanceOf(address(vault)), vault.balanceOf(alice, asset), "books and holdings");
    }

    function test_a16_a_callee_cannot_call_back() external {
        (Delivery memory again, HubProof memory proof) = delivery(CONTROL, 0, 0);
        counter.hook(address(gateway), abi.encodeCall(gateway.deliver, (again, proof)));
        Deal memory it = dealOf(one(call(address(counter), ALICE, "")), by(ALICE));
        votesYes(it);
        isTrue(!counter.succeeded(), "no way back into the gateway");
        counter.hook(address(vault), abi.encodeCall(vault.retry, (it.xid, 0)));
        decide(it.xid, true);
        vault.retry(it.xid, 0);
        isTrue(!counter.succeeded(), "no way back into the vault");
        equal(counter.committed(), 1, "once");
    }

    function test_a16_a_payee_that_calls_back_is_paid_once() external {
        vm.deal(address(this), 3 ether);
        Greedy greedy = new Greedy{value: 2 ether}(vault);
        vault.deposit{value: 1 ether}(0, 1 ether, 0);
        greedy.take(1 ether);
        equal(address(greedy).balance, 1 ether, "what it asked for");
        equal(greedy.paid(), 1, "once");
        equal(address(vault).balance, 2 ether, "the rest is here");
    }

    /// Whoever is paid may deliver meanwhile: no vote and no decision is taken from there, and none lost.
    function test_a16_who_delivers_from_within_the_vault_decides_nothing() external {
        Courier courier = new Courier{value: 2}(vault);
        Deal memory it = payDeal(fund(new GoodToken()));
        uint64 number = hubAppend(DATA, prepareMessage(it));
        bringFromWithin(courier, number);
        standsAt(it.xid, 0);
        isTrue(voteOn(number, it.xid).yes, "the vote that it always had");
        number = hubAppend(DATA, message(COMMIT, 8, abi.encode(it.xid)));
        bringFromWithin(courier, number);
        standsAt(it.xid, 1);
        equal(theAnswer().kind, DONE, "done");
        standsAt(it.xid, 3);
    }

    function bringFromWithin(Courier courier, uint64 number) private {
        (Delivery memory next, HubProof memory proof) = delivery(DATA, number, 1);
        LaneLeaf memory before = gateway.laneLeaf(DATA);
        courier.carry(address(gateway), abi.encodeCall(gateway.deliver, (next, proof)));
        isTrue(courier.succeeded(), "the header is taken");
        LaneLeaf memory leaf = gateway.laneLeaf(DATA);
        equal(leaf.received, before.received, "no message is");
        equal(leaf.size, before.size, "and none is answered");
    }

    // --- Gas and returned bytes ------------------------------------------------------------------

    /// Uses up all that a Prepare has, and still gets a no that is remembered: the lane goes on.
    function test_a21_a_poisonous_token_costs_its_own_vote_alone() external {
        Deal memory it = dealOf(one(call(address(counter), ALICE, hex"01")), by(ALICE));
        votesNo(it, E_DENIED, "the callee refuses");
        votesNo(it, E_DENIED, "refused here before");
        EncodedAction[] memory many = new EncodedAction[](8);
        bytes32 asset = fund(new EndlessToken());
        for (uint256 i = 0; i < 8; ++i) many[i] = pay(ALICE, bob, asset, 1);
        it = dealOf(many, by(ALICE));
        Vote memory vote = prepare(it);
        isTrue(!vote.yes, "a no");
        standsAt(it.xid, 2);
    }

    /// A Prepare is heavy: no gas limit may turn its yes into a no.
    ///
    /// forge-config: default.fuzz.runs = 100
    function testFuzz_a_gas_limit_never_turns_a_yes_into_a_no(uint32 limit) external {
        bytes32 asset = fund(new GoodToken());
        EncodedAction[] memory many = new EncodedAction[](6);
        for (uint256 i = 0; i < 6; ++i) many[i] = pay(ALICE, bob, asset, 1);
        Deal memory it = dealOf(many, by(ALICE));
        hubAppend(DATA, prepareMessage(it));
        (Delivery memory next, HubProof memory proof) = delivery(DATA, 0, 1);
        bytes memory data = abi.encodeCall(gateway.deliver, (next, proof));
        (bool done,) = address(gateway).call{gas: 150_000 + uint256(limit) % 2_500_000}(data);
        (uint8 standing,,,,) = vault.participant(it.xid);
        uint64 taken = gateway.laneLeaf(DATA).received;
        isTrue(standing == taken && taken <= 1, "a yes, or not yet");
        if (!done) equal(taken, 0, "all or nothing");
    }

    /// A decision with a weight that cannot suffice is granted what it takes.
    function test_a_decision_of_no_weight_is_applied_all_the_same() external {
        bytes32 asset = fund(new GoodToken());
        Deal memory it = payDeal(asset);
        votesYes(it);
        hubAppend(DATA, message(COMMIT, 0, abi.encode(it.xid)));
        equal(theAnswer().kind, DONE, "done");
        standsAt(it.xid, 3);
        // One that cannot be read says no xid: it is refused, and the lane goes on.
        hubAppend(DATA, message(COMMIT, 8, ""));
        equal(theAnswer().kind, REFUSED, "refused");
    }
}
