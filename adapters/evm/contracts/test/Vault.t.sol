// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/protocol/Kinds.sol";
import "../src/protocol/Refusals.sol";
import "../src/protocol/Structs.sol";
import {Commits} from "./support/Commits.sol";
import {Collection, Counter, GoodToken} from "./support/Tokens.sol";

/// The participant of two-phase commit: what it locks, how that ends, what it refuses.
contract VaultTest is Commits {
    GoodToken private token = new GoodToken();
    Collection private collection = new Collection();
    Counter private counter = new Counter();
    address private alice = vm.addr(ALICE);
    address private bob = vm.addr(BOB);
    bytes32 private asset = bytes32(uint256(uint160(address(token))));

    function callees() internal view override returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(counter);
    }

    function setUp() public override {
        super.setUp();
        open();
        token.mint(alice, 1_000);
        vm.prank(alice);
        token.approve(address(vault), 1_000);
    }

    function payDeal(uint128 amount) private returns (Deal memory) {
        return dealOf(one(pay(ALICE, bob, asset, amount)), by(ALICE));
    }

    // --- Prepare, Commit, Abort ------------------------------------------------------------------

    function test_a_payment_is_escrowed_and_credited_once() external {
        Deal memory it = payDeal(300);
        votesYes(it);
        equal(token.balanceOf(address(vault)), 300, "escrow");
        equal(vault.balanceOf(bob, asset), 0, "not yet bob's");
        decide(it.xid, true);
        standsAt(it.xid, 3);
        equal(vault.balanceOf(bob, asset), 300, "bob's");
        decide(it.xid, true);
        equal(vault.balanceOf(bob, asset), 300, "once");
        decide(it.xid, false);
        equal(vault.balanceOf(bob, asset), 300, "no abort after commit");
        standsAt(it.xid, 3);
        vm.prank(bob);
        vault.withdraw(asset, 300, bob);
        equal(token.balanceOf(bob), 300, "paid out");
    }

    function test_an_abort_gives_back() external {
        Deal memory it = payDeal(300);
        votesYes(it);
        decide(it.xid, false);
        standsAt(it.xid, 4);
        equal(vault.balanceOf(alice, asset), 300, "alice's again");
        decide(it.xid, true);
        equal(vault.balanceOf(bob, asset), 0, "no commit after abort");
        standsAt(it.xid, 4);
    }

    function test_all_or_nothing_is_locked() external {
        EncodedAction memory first = pay(ALICE, bob, asset, 300);
        EncodedAction memory second = pay(ALICE, bob, asset, 701);
        Deal memory it = dealOf(two(first, second), by(ALICE));
        votesNo(it, E_FUNDS, "the token does not pay in");
        standsAt(it.xid, 2);
        equal(token.balanceOf(address(vault)), 0, "nothing in escrow");
        equal(vault.balanceOf(alice, asset), 0, "nothing booked");
        decide(it.xid, false);
        standsAt(it.xid, 4);
    }

    function test_a_known_prepare_gets_the_answer_that_it_had() external {
        Deal memory yes = payDeal(300);
        votesYes(yes);
        votesYes(yes);
        equal(token.balanceOf(address(vault)), 300, "escrowed once");
        Deal memory no = payDeal(800);
        votesNo(no, E_FUNDS, "the token does not pay in");
        token.mint(alice, 1_000);
        vm.prank(alice);
        token.approve(address(vault), 2_000);
        votesNo(no, E_FUNDS, "refused here before");
    }

    function test_decisions_that_do_not_fit_are_answered_and_not_applied() external {
        Deal memory it = payDeal(300);
        decide(it.xid, true);
        standsAt(it.xid, 0);
        decide(it.xid, false);
        standsAt(it.xid, 0);
        it = payDeal(2_000);
        votesNo(it, E_FUNDS, "the token does not pay in");
        decide(it.xid, true);
        standsAt(it.xid, 2);
    }

    function test_a43_no_time_releases_a_lock() external {
        Deal memory it = payDeal(300);
        votesYes(it);
        later(5 days);
        rollTo(50_000);
        standsAt(it.xid, 1);
        refuses(E_STATE, "no refused Begin holds a lock");
        vault.free(it.xid);
        refuses(E_DENIED, "for control alone");
        vault.release(it.xid, 1);
        vm.prank(alice);
        refuses(E_FUNDS, "more than the balance");
        vault.withdraw(asset, 300, alice);
        decide(it.xid, true);
        equal(vault.balanceOf(bob, asset), 300, "the decision still comes");
    }

    function test_a20_a_deadline_is_over_from_its_millisecond_on() external {
        uint64 present = timeMs();
        votesNo(dealUntil(one(pay(ALICE, bob, asset, 1)), by(ALICE), present), E_TIMEOUT, "the deadline has passed");
        Deal memory it = dealUntil(one(pay(ALICE, bob, asset, 1)), by(ALICE), present + 1);
        votesYes(it);
        decide(it.xid, false);
        // What is settled and over cannot begin again.
        later(1);
        votesNo(it, E_TIMEOUT, "the deadline has passed");
    }

    // --- What a Prepare is refused for -----------------------------------------------------------

    function test_each_fault_of_a_prepare_has_its_class() external {
        Deal memory it = payDeal(1);
        it.authorisations = new Authorisation[](0);
        votesNo(it, E_AUTH, "an authorisation is missing");

        it = payDeal(1);
        it.authorisations[0].signature = authorise(BOB, it.xid);
        votesNo(it, E_AUTH, "not signed for the account");

        it = dealOf(one(pay(ALICE, bob, asset, 1)), two(ALICE, BOB));
        votesNo(it, E_FORMAT, "a surplus authorisation");

        it = dealOf(one(pay(ALICE, bob, asset, 1)), two(ALICE, ALICE));
        votesNo(it, E_FORMAT, "an account authorises twice");

        it = payDeal(1);
        it.authorisations[0].branch = 0;
        votesNo(it, E_FORMAT, "authorisation of another branch");

        it = dealOf(new EncodedAction[](0), byNobody());
        votesNo(it, E_FORMAT, "no action");

        EncodedAction[] memory nine = new EncodedAction[](9);
        for (uint256 i = 0; i < 9; ++i) nine[i] = pay(ALICE, bob, asset, 1);
        it = dealOf(nine, by(ALICE));
        votesNo(it, E_LIMIT, "more than 8 actions");

        it = payDeal(1);
        it.branch = abi.encode(keccak256("another link"), one(pay(ALICE, bob, asset, 1)));
        votesNo(it, E_FORMAT, "a branch of another link");

        it = payDeal(1);
        it.branch = abi.encode(hubLink, one(pay(ALICE, bob, asset, 2)));
        votesNo(it, E_TAMPER, "another branch");

        votesNo(payDeal(0), E_FORMAT, "a payment of nothing");
        votesNo(dealOf(one(pay(ALICE, address(0), asset, 1)), by(ALICE)), E_FORMAT, "a payment to nobody");
        votesNo(dealOf(one(pay(ALICE, bob, 0, 1)), by(ALICE)), E_FUNDS, "too little of the asset");
    }

    function two(uint256 a, uint256 b) private pure returns (uint256[] memory keys) {
        keys = new uint256[](2);
        (keys[0], keys[1]) = (a, b);
    }

    function test_a17_consent_is_good_for_one_xid_here() external {
        Deal memory it = payDeal(1);
        Deal memory other = payDeal(1);
        it.authorisations[0].signature = other.authorisations[0].signature;
        votesNo(it, E_AUTH, "not signed for the account");
        // Another kind of digest under the same key.
        it = payDeal(1);
        it.authorisations[0].signature = signed(ALICE, it.xid);
        votesNo(it, E_AUTH, "not signed for the account");
        // Another hub's terms.
        it = payDeal(1);
        bytes32[] memory branches = new bytes32[](1);
        branches[0] = branchHash(it.branch);
        it.terms = abi.encode(keccak256("another hub"), bytes32("b"), bytes32("s"), type(uint64).max, branches);
        hubAppend(DATA, message(PREPARE, 16, abi.encode(it.terms, uint32(0), it.branch, it.authorisations)));
        Vote memory vote = abi.decode(bytes.concat(bytes32(uint256(32)), theAnswer().body), (Vote));
        equal(vote.class, E_FORMAT, vote.message);
        equal(keccak256(bytes(vote.message)), keccak256("another hub"), vote.message);
    }

    function test_what_cannot_be_read_has_no_xid_and_is_refused() external {
        Deal memory it = payDeal(1);
        bytes[4] memory bodies = [
            abi.encode(bytes.concat(it.terms, bytes32(0)), uint32(1), it.branch, it.authorisations),
            abi.encode(it.terms, uint32(1), bytes.concat(it.branch, hex"00"), it.authorisations),
            abi.encode(
                it.terms, uint32(1), abi.encode(hubLink, one(EncodedAction(8, ""))), it.authorisations
            ),
            hex"00"
        ];
        for (uint256 i = 0; i < 4; ++i) {
            uint64 number = hubAppend(DATA, message(PREPARE, 16, bodies[i]));
            Message memory answer = theAnswer();
            equal(answer.kind, REFUSED, "refused");
            Refused memory refused = abi.decode(bytes.concat(bytes32(uint256(32)), answer.body), (Refused));
            equal(refused.request, number, "request");
            equal(refused.class, E_FORMAT, refused.message);
        }
    }

    // --- Consent ---------------------------------------------------------------------------------

    function test_consent_by_eip712_and_by_transaction() external {
        Deal memory it = payDeal(1);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Tombolo"),
                keccak256("1"),
                block.chainid,
                address(gateway)
            )
        );
        bytes32 typed = keccak256(abi.encode(keccak256("Authorisation(bytes32 xid)"), it.xid));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, typed));
        it.authorisations[0].signature = signed(ALICE, digest);
        votesYes(it);

        it = payDeal(1);
        it.authorisations[0].signature = new bytes(65);
        Deal memory revoked = payDeal(1);
        revoked.authorisations[0].signature = new bytes(65);
        vm.prank(alice);
        vault.consent(it.xid);
        votesYes(it);
        vm.prank(alice);
        vault.consent(revoked.xid);
        vm.prank(alice);
        vault.revoke(revoked.xid);
        votesNo(revoked, E_AUTH, "not signed for the account");
    }

    function test_a_deposit_consents_and_can_be_taken_back_until_prepare() external {
        Deal memory it = dealOf(one(pay(ALICE, bob, 0, 5 ether)), by(ALICE));
        it.authorisations[0].signature = new bytes(65);
        vm.deal(alice, 10 ether);
        vm.prank(alice);
        vault.deposit{value: 10 ether}(0, 10 ether, it.xid);
        vm.prank(alice);
        vault.withdraw(0, 5 ether, alice);
        equal(alice.balance, 5 ether, "taken back");
        votesYes(it);
        vm.prank(alice);
        refuses(E_FUNDS, "more than the balance");
        vault.withdraw(0, 1, alice);
        decide(it.xid, true);
        vm.prank(bob);
        vault.withdraw(0, 5 ether, bob);
        equal(bob.balance, 5 ether, "bob's");
    }

    function test_a_key_of_the_bound_identity_consents_while_it_is_active() external {
        uint256 key = uint256(keccak256("alice's device"));
        Deal memory it = payDeal(1);
        it.authorisations[0].signature = authorise(key, it.xid);
        votesNo(it, E_AUTH, "not signed for the account");

        bindAccount(keccak256("alice"), ALICE, keyList(key));
        it = payDeal(1);
        it.authorisations[0].signature = authorise(key, it.xid);
        votesYes(it);

        IdentityUpdate memory update = updateOf(keccak256("alice"), ALICE, keyList(key));
        update.status = 2;
        hubAppend(CONTROL, message(IDENTITY_UPDATE, 1, fields(abi.encode(update))));
        deliverAll(CONTROL);
        it = payDeal(1);
        it.authorisations[0].signature = authorise(key, it.xid);
        votesNo(it, E_AUTH, "not signed for the account");
        // The account's own key speaks always.
        votesYes(payDeal(1));
    }

    // --- Fungible assets -------------------------------------------------------------------------

    function test_an_asset_leaves_and_comes_home() external {
        bytes32 home = gateway.chain();
        Deal memory out = dealOf(one(tokenOut(home, asset, ALICE, 400)), by(ALICE));
        votesYes(out);
        equal(vault.outstanding(asset), 0, "not yet away");
        decide(out.xid, true);
        equal(vault.outstanding(asset), 400, "away");

        votesNo(dealOf(one(tokenIn(home, asset, bob, 401)), byNobody()), E_FUNDS, "more than is away");
        Deal memory back = dealOf(one(tokenIn(home, asset, bob, 150)), byNobody());
        votesYes(back);
        votesNo(dealOf(one(tokenIn(home, asset, bob, 251)), byNobody()), E_FUNDS, "more than is away");
        decide(back.xid, false);
        equal(vault.outstanding(asset), 400, "still away");
        back = dealOf(one(tokenIn(home, asset, bob, 400)), byNobody());
        votesYes(back);
        decide(back.xid, true);
        equal(vault.outstanding(asset), 0, "home");
        equal(vault.balanceOf(bob, asset), 400, "bob's");
        equal(token.balanceOf(address(vault)), 400, "holdings");
    }

    function test_a_foreign_asset_is_a_voucher() external {
        bytes32 home = keccak256("its home");
        bytes32 voucher = keccak256(abi.encode(keccak256("tombolo/1/voucher"), home, bytes32("coin")));
        Deal memory come = dealOf(one(tokenIn(home, "coin", alice, 90)), byNobody());
        votesYes(come);
        equal(vault.outstanding(voucher), 90, "reserved");
        decide(come.xid, true);
        equal(vault.balanceOf(alice, voucher), 90, "alice's");

        Deal memory paid = dealOf(one(pay(ALICE, bob, voucher, 40)), by(ALICE));
        votesYes(paid);
        decide(paid.xid, true);
        equal(vault.balanceOf(bob, voucher), 40, "bob's");
        vm.prank(bob);
        refuses(E_UNSUPPORTED, "a voucher cannot be paid out");
        vault.withdraw(voucher, 40, bob);

        Deal memory go = dealOf(one(tokenOut(home, "coin", BOB, 40)), by(BOB));
        votesYes(go);
        equal(vault.outstanding(voucher), 90, "still here");
        decide(go.xid, true);
        equal(vault.outstanding(voucher), 50, "burnt");
        equal(vault.balanceOf(bob, voucher), 0, "gone");

        Deal memory aborted = dealOf(one(tokenIn(home, "coin", alice, 7)), byNobody());
        votesYes(aborted);
        decide(aborted.xid, false);
        equal(vault.outstanding(voucher), 50, "unreserved");
    }

    function test_no_sum_of_an_asset_overflows() external {
        bytes32 home = keccak256("its home");
        Deal memory most = dealOf(one(tokenIn(home, "coin", alice, type(uint128).max)), byNobody());
        votesYes(most);
        votesNo(dealOf(one(tokenIn(home, "coin", bob, 1)), byNobody()), E_LIMIT, "more than 2^128 - 1 in all");
        decide(most.xid, true);
        votesNo(dealOf(one(tokenIn(home, "coin", alice, 1)), byNobody()), E_LIMIT, "more than 2^128 - 1 in all");
    }

    function test_what_leaves_needs_a_fresh_view_of_identities() external {
        later(1 hours);
        Deal memory it = dealOf(one(tokenOut(gateway.chain(), asset, ALICE, 4)), by(ALICE));
        later(1);
        // The data lane moves the client; the view of identities is the control lane's.
        it = dealOf(one(tokenOut(gateway.chain(), asset, ALICE, 4)), by(ALICE));
        votesNo(it, E_IDENT, "view of identities is too old");
        deliver(CONTROL, 0, 0);
        it = dealOf(one(tokenOut(gateway.chain(), asset, ALICE, 4)), by(ALICE));
        votesYes(it);
        // What stays is not stopped.
        later(2 hours);
        votesYes(payDeal(1));
    }

    // --- Closed items ----------------------------------------------------------------------------

    function test_an_item_comes_lives_and_leaves() external {
        bytes32 item = keccak256("an item");
        Deal memory come = dealOf(one(moveIn(item, 1, alice)), byNobody());
        votesYes(come);
        itemIs(item, 0, 0, address(0));
        votesNo(dealOf(one(moveIn(item, 1, bob)), byNobody()), E_STATE, "reserved by another commit");
        decide(come.xid, true);
        itemIs(item, 1, 1, alice);
        equal(vault.items().ownerOf(uint256(item)), alice, "a token of alice");

        votesNo(dealOf(one(moveIn(item, 2, bob)), byNobody()), E_STATE, "the item is here");
        votesNo(dealOf(one(moveOut(item, BOB)), by(BOB)), E_DENIED, "held by another account");
        Deal memory go = dealOf(one(moveOut(item, ALICE)), by(ALICE));
        votesYes(go);
        equal(vault.items().ownerOf(uint256(item)), address(vault), "in escrow");
        votesNo(dealOf(one(moveOut(item, ALICE)), by(ALICE)), E_STATE, "the item is locked or away");
        decide(go.xid, false);
        itemIs(item, 1, 1, alice);

        go = dealOf(one(moveOut(item, ALICE)), by(ALICE));
        votesYes(go);
        decide(go.xid, true);
        itemIs(item, 4, 1, address(0));
        votesNo(dealOf(one(moveOut(item, ALICE)), by(ALICE)), E_STATE, "the item is locked or away");
        // It comes back as it left, or later; not otherwise.
        MoveIn memory other = moveInOf(item, 1, bob);
        other.envelope = "another content";
        other.fingerprint = fingerprintOf(other.envelope);
        EncodedAction memory action = EncodedAction(MOVE_IN, fields(abi.encode(other)));
        votesNo(dealOf(one(action), byNobody()), E_REPLAY, "no version after that which left");
        come = dealOf(one(moveIn(item, 1, bob)), byNobody());
        votesYes(come);
        decide(come.xid, true);
        itemIs(item, 1, 1, bob);
    }

    function itemIs(bytes32 item, uint8 standing, uint32 version, address holder) private view {
        (uint8 found, uint32 itemVersion,, address held) = vault.closedItem(item);
        equal(found, standing, "standing");
        equal(itemVersion, version, "version");
        equal(held, holder, "holder");
    }

    function test_a_token_of_another_contract_is_an_item_by_its_name() external {
        collection.mint(alice, 77);
        vm.prank(alice);
        refuses(E_IDENT, "the caller is bound to nobody");
        vault.enroll(address(collection), 77);
        bindAccount(keccak256("alice"), ALICE, keyList(ALICE));
        vm.prank(alice);
        bytes32 item = vault.enroll(address(collection), 77);
        bytes memory name = abi.encodePacked("erc721:", lower(address(collection)), ":77");
        equal(
            item,
            keccak256(
                abi.encode(keccak256("tombolo/1/data"), gateway.chain(), keccak256("alice"), keccak256(name))
            ),
            "data id"
        );
        itemIs(item, 1, 0, alice);
        (, uint8 class) = registry.item(item);
        equal(class, 3, "closed");
        vm.prank(alice);
        refuses(E_STATE, "the item is known");
        vault.enroll(address(collection), 77);
        vm.prank(alice);
        refuses(E_LIMIT, "local id above 64 characters");
        vault.enroll(address(collection), 10 ** 16);

        votesNo(dealOf(one(moveOut(item, ALICE)), by(ALICE)), E_DENIED, "the token does not move");
        vm.prank(alice);
        collection.approve(address(vault), 77);
        Deal memory go = dealOf(one(moveOut(item, ALICE)), by(ALICE));
        votesYes(go);
        equal(collection.ownerOf(77), address(vault), "in escrow");
        decide(go.xid, false);
        itemIs(item, 2, 0, alice);
        vault.claim(item);
        equal(collection.ownerOf(77), alice, "pulled");

        vm.prank(alice);
        collection.approve(address(vault), 77);
        go = dealOf(one(moveOut(item, ALICE)), by(ALICE));
        votesYes(go);
        decide(go.xid, true);
        itemIs(item, 4, 0, address(0));
        refuses(E_STATE, "nothing in custody");
        vault.claim(item);
        Deal memory come = dealOf(one(moveIn(item, 2, bob)), byNobody());
        votesYes(come);
        decide(come.xid, true);
        itemIs(item, 2, 2, bob);
        // It may leave again out of custody.
        go = dealOf(one(moveOut(item, BOB)), by(BOB));
        votesYes(go);
        decide(go.xid, false);
        vault.claim(item);
        equal(collection.ownerOf(77), bob, "bob's");
    }

    function lower(address account) private pure returns (bytes memory digits) {
        bytes memory alphabet = "0123456789abcdef";
        digits = new bytes(40);
        for (uint256 i = 0; i < 20; ++i) {
            uint8 byte_ = uint8(bytes20(account)[i]);
            (digits[2 * i], digits[2 * i + 1]) = (alphabet[byte_ >> 4], alphabet[byte_ & 15]);
        }
    }

    function test_a_write_is_a_new_item_or_its_next_version() external {
        bytes32 item = keccak256("written here");
        votesNo(dealOf(one(write(item, 2, alice)), by(ALICE)), E_STATE, "the first version is 1");
        Deal memory it = dealOf(one(write(item, 1, alice)), by(ALICE));
        votesYes(it);
        decide(it.xid, true);
        itemIs(item, 1, 1, alice);
        votesNo(dealOf(one(write(item, 2, bob)), by(BOB)), E_DENIED, "held by another account");
        votesNo(dealOf(one(write(item, 1, alice)), by(ALICE)), E_REPLAY, "this very content is here");
        votesNo(dealOf(one(write(item, 3, alice)), by(ALICE)), E_STATE, "a version is left out");
        it = dealOf(one(write(item, 2, alice)), by(ALICE));
        votesYes(it);
        equal(vault.items().ownerOf(uint256(item)), address(vault), "locked");
        decide(it.xid, false);
        itemIs(item, 1, 1, alice);
        it = dealOf(one(write(item, 2, alice)), by(ALICE));
        votesYes(it);
        decide(it.xid, true);
        itemIs(item, 1, 2, alice);
        // A new one that is aborted leaves nothing.
        it = dealOf(one(write(keccak256("never"), 1, alice)), by(ALICE));
        votesYes(it);
        decide(it.xid, false);
        (uint8 standing,, bytes32 fingerprint,) = vault.closedItem(keccak256("never"));
        equal(standing, 0, "unknown");
        equal(fingerprint, 0, "nothing kept");
    }

    function test_each_fault_of_an_item_has_its_class() external {
        bytes32 item = keccak256("an item");
        votesNo(dealOf(one(moveIn(item, 1, address(0))), byNobody()), E_FORMAT, "held by the zero address");
        MoveIn memory it = moveInOf(item, 1, alice);
        it.fingerprint ^= bytes32(uint256(1));
        EncodedAction memory action = EncodedAction(MOVE_IN, fields(abi.encode(it)));
        votesNo(dealOf(one(action), byNobody()), E_TAMPER, "another fingerprint");
        it = moveInOf(item, 1, alice);
        it.fromChain = gateway.chain();
        action = EncodedAction(MOVE_IN, fields(abi.encode(it)));
        votesNo(dealOf(one(action), byNobody()), E_FORMAT, "a move from this chain");
        action = EncodedAction(MOVE_OUT, abi.encode(item, alice, gateway.chain()));
        votesNo(dealOf(one(action), by(ALICE)), E_FORMAT, "a move to this chain");
        votesNo(dealOf(one(moveOut(item, ALICE)), by(ALICE)), E_NOTFOUND, "no such item here");
        bindAccount(keccak256("alice"), ALICE, keyList(ALICE));
        votesNo(dealOf(one(moveIn(item, 1, alice)), byNobody()), E_DENIED, "holder is bound to another");
    }

    function test_a46_the_class_of_an_item_never_changes() external {
        // An open copy never becomes a closed item.
        Share memory share = shareOf(0, 100);
        hubAppend(DATA, shareMessage(share));
        deliverAll(DATA);
        votesNo(dealOf(one(moveIn(share.dataId, 1, alice)), byNobody()), E_STATE, "the item is open");
        votesNo(dealOf(one(write(share.dataId, 1, alice)), by(ALICE)), E_STATE, "the item is open");
        // A closed item never gets an open copy.
        share = shareOf(1, 100);
        Deal memory come = dealOf(one(moveIn(share.dataId, 1, alice)), byNobody());
        votesYes(come);
        hubAppend(DATA, shareMessage(share));
        Message memory answer = theAnswer();
        Refused memory refused = abi.decode(bytes.concat(bytes32(uint256(32)), answer.body), (Refused));
        equal(refused.class, E_CLOSED_COPY, refused.message);
    }

    // --- Calls -----------------------------------------------------------------------------------

    function test_a_call_is_decided_once_and_carried_out_by_anybody() external {
        votesNo(dealOf(one(call(address(token), ALICE, "")), by(ALICE)), E_DENIED, "not a callee of this vault");
        Deal memory it = dealOf(one(call(address(counter), ALICE, "do it")), by(ALICE));
        votesYes(it);
        equal(counter.prepared(), 1, "prepared");
        refuses(E_STATE, "it is not decided");
        vault.retry(it.xid, 0);
        decide(it.xid, true);
        equal(counter.committed(), 0, "a decision calls nobody");
        counter.breakDown(true);
        refuses(E_STATE, "the callee fails; try again");
        vault.retry(it.xid, 0);
        counter.breakDown(false);
        vault.retry(it.xid, 0);
        equal(counter.committed(), 1, "committed");
        refuses(E_NOTFOUND, "no call to carry out");
        vault.retry(it.xid, 0);

        it = dealOf(one(call(address(counter), ALICE, "do it")), by(ALICE));
        votesYes(it);
        decide(it.xid, false);
        vault.retry(it.xid, 0);
        equal(counter.aborted(), 1, "aborted");

        counter.breakDown(true);
        it = dealOf(one(call(address(counter), ALICE, "do it")), by(ALICE));
        votesNo(it, E_DENIED, "the callee refuses");
        counter.breakDown(false);
        // A callee that uses up what there is costs the vote, not the lane.
        it = dealOf(one(call(address(counter), ALICE, hex"01")), by(ALICE));
        Vote memory vote = prepare(it);
        isTrue(!vote.yes, "a no");
        it = dealOf(two(call(address(counter), ALICE, ""), call(address(counter), ALICE, "")), by(ALICE));
        votesNo(it, E_FORMAT, "one callee twice");
    }

    /// What cannot fail must have the gas that it takes: the dearest branch that there is.
    function test_decisions_fit_their_weight_at_their_dearest() external {
        EncodedAction[] memory come = new EncodedAction[](8);
        EncodedAction[] memory go = new EncodedAction[](8);
        for (uint256 i = 0; i < 8; ++i) {
            bytes32 item = keccak256(abi.encode("item", i));
            come[i] = moveIn(item, 1, vm.addr(i + 1));
            go[i] = moveOut(item, i + 1);
        }
        uint256[] memory holders = new uint256[](8);
        for (uint256 i = 0; i < 8; ++i) holders[i] = i + 1;
        Deal memory aborted = dealOf(come, byNobody());
        votesYes(aborted);
        decide(aborted.xid, false);
        Deal memory it = dealOf(come, byNobody());
        votesYes(it);
        decide(it.xid, true);
        it = dealOf(go, holders);
        votesYes(it);
        decide(it.xid, false);
        it = dealOf(go, holders);
        votesYes(it);
        decide(it.xid, true);
        for (uint256 i = 0; i < 8; ++i) itemIs(keccak256(abi.encode("item", i)), 4, 1, address(0));

        bytes32 home = keccak256("its home");
        for (uint256 i = 0; i < 8; ++i) come[i] = tokenIn(home, bytes32(i), vm.addr(i + 1), 5);
        it = dealOf(come, byNobody());
        votesYes(it);
        decide(it.xid, true);
        for (uint256 i = 0; i < 8; ++i) go[i] = pay(i + 1, vm.addr(i + 100), voucherOf(home, bytes32(i)), 5);
        it = dealOf(go, holders);
        votesYes(it);
        decide(it.xid, true);
        standsAt(it.xid, 3);
    }

    function voucherOf(bytes32 home, bytes32 id) private pure returns (bytes32) {
        return keccak256(abi.encode(keccak256("tombolo/1/voucher"), home, id));
    }
}
