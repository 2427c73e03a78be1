// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Htlc} from "../src/Htlc.sol";
import "../src/protocol/Refusals.sol";
import {Artifacts} from "./support/Artifacts.sol";
import {Check} from "./support/Check.sol";
import {
    BombToken, Collection, DreamToken, FalseToken, FeeToken, GoodToken, HookToken, LyingToken, SilentToken,
    StickyCollection
} from "./support/Tokens.sol";

/// Takes no coins.
contract Closed {}

/// Calls back when it is paid.
contract Greedy {
    Htlc private htlc;
    uint256 public paid;

    constructor(Htlc htlc_) {
        htlc = htlc_;
    }

    receive() external payable {
        ++paid;
        try htlc.withdraw(address(this), address(0)) {} catch {}
    }
}

/// Hash-timelocks: claim xor refund, for nobody but whom the lock names.
contract HtlcTest is Artifacts {
    Htlc private htlc = Htlc(create("Htlc", ""));
    GoodToken private token = new GoodToken();
    Collection private collection = new Collection();
    address private alice = address(0xA11CE);
    address private bob = address(0xB0B);
    address private stranger = address(0x57A);
    bytes private secret = abi.encode(keccak256("secret"));
    bytes32 private hash = sha256(secret);
    uint64 private deadline;

    function setUp() external {
        vm.warp(1_800_000_000);
        deadline = timeMs() + 60_000;
        vm.deal(alice, 10 ether);
        token.mint(alice, 1_000);
        collection.mint(alice, 7);
        vm.startPrank(alice);
        token.approve(address(htlc), 1_000);
        collection.approve(address(htlc), 7);
        vm.stopPrank();
    }

    function lockCoin() private {
        vm.prank(alice);
        htlc.lockCoin{value: 1 ether}(hash, bob, deadline);
    }

    function stands(uint8 expected) private view {
        (uint8 state,,,,,) = htlc.lockOf(alice, hash);
        equal(state, expected, "state");
    }

    function test_coins_are_claimed_for_the_recipient() external {
        lockCoin();
        stands(1);
        htlc.claim(alice, hash, secret);
        stands(2);
        equal(bob.balance, 0, "pulled, not pushed");
        vm.prank(stranger);
        htlc.withdraw(bob, address(0));
        equal(bob.balance, 1 ether, "bob's");
        refuses(E_FUNDS, "nothing to pay out");
        htlc.withdraw(bob, address(0));
    }

    function test_tokens_and_items_are_claimed_and_refunded() external {
        bytes memory other = abi.encode(keccak256("another"));
        vm.startPrank(alice);
        htlc.lockTokens(hash, bob, deadline, address(token), 400);
        htlc.lockItem(sha256(other), bob, deadline, address(collection), 7);
        vm.stopPrank();
        htlc.claim(alice, hash, secret);
        htlc.withdraw(bob, address(token));
        equal(token.balanceOf(bob), 400, "bob's");
        refuses(E_FUNDS, "nothing to hand over");
        htlc.withdrawItem(address(collection), 7);
        vm.warp(1_800_000_060);
        htlc.refund(alice, sha256(other));
        htlc.withdrawItem(address(collection), 7);
        equal(collection.ownerOf(7), alice, "alice's again");
    }

    function test_a35_whoever_brings_the_secret_the_recipient_is_paid() external {
        lockCoin();
        vm.prank(stranger);
        htlc.claim(alice, hash, secret);
        vm.prank(stranger);
        refuses(E_FUNDS, "nothing to pay out");
        htlc.withdraw(stranger, address(0));
        equal(htlc.creditOf(bob, address(0)), 1 ether, "bob's");
    }

    function testFuzz_a36_a_secret_has_exactly_32_bytes(bytes calldata any) external {
        lockCoin();
        if (any.length == 32) return;
        refuses(E_PROOF, "not 32 bytes");
        htlc.claim(alice, hash, any);
        bytes32 own = sha256(any);
        vm.prank(alice);
        htlc.lockCoin{value: 1}(own, bob, deadline);
        refuses(E_PROOF, "not 32 bytes");
        htlc.claim(alice, own, any);
    }

    function test_a36_sha256_and_no_other_hash() external {
        lockCoin();
        refuses(E_PROOF, "another hash");
        htlc.claim(alice, hash, abi.encode(keccak256("wrong")));
        bytes32 keccak = keccak256(secret);
        vm.prank(alice);
        htlc.lockCoin{value: 1}(keccak, bob, deadline);
        refuses(E_PROOF, "another hash");
        htlc.claim(alice, keccak, secret);
    }

    function test_a38_claim_xor_refund_at_every_second() external {
        for (uint256 offset = 0; offset < 4; ++offset) {
            uint256 before = vm.snapshotState();
            lockCoin();
            vm.warp(1_800_000_058 + offset);
            bool over = offset >= 2;
            if (over) refuses(E_TIMEOUT, "the deadline has come");
            htlc.claim(alice, hash, secret);
            if (over) {
                htlc.refund(alice, hash);
                stands(3);
                refuses(E_STATE, "the lock has ended");
                htlc.claim(alice, hash, secret);
            } else {
                stands(2);
                vm.warp(1_900_000_000);
                refuses(E_STATE, "ended, or before the deadline");
                htlc.refund(alice, hash);
                refuses(E_STATE, "the lock has ended");
                htlc.claim(alice, hash, secret);
            }
            uint256 sum = htlc.creditOf(alice, address(0)) + htlc.creditOf(bob, address(0));
            equal(sum, 1 ether, "exactly one of both");
            vm.revertToState(before);
        }
    }

    function test_a38_a_hash_is_used_once() external {
        lockCoin();
        vm.startPrank(alice);
        refuses(E_REPLAY, "the hash was used before");
        htlc.lockCoin{value: 1}(hash, bob, deadline);
        htlc.claim(alice, hash, secret);
        refuses(E_REPLAY, "the hash was used before");
        htlc.lockTokens(hash, bob, deadline, address(token), 1);
        vm.stopPrank();
        // Another locker's is another lock: a stranger shuts nobody out.
        vm.deal(stranger, 1 ether);
        vm.prank(stranger);
        htlc.lockCoin{value: 1}(hash, bob, deadline);
    }

    function test_each_fault_of_a_lock_has_its_class() external {
        vm.startPrank(alice);
        refuses(E_FORMAT, "a lock of nothing");
        htlc.lockCoin(hash, bob, deadline);
        refuses(E_FORMAT, "a lock of nothing");
        htlc.lockTokens(hash, bob, deadline, address(token), 0);
        refuses(E_FORMAT, "the zero hash");
        htlc.lockCoin{value: 1}(0, bob, deadline);
        refuses(E_FORMAT, "nobody as recipient");
        htlc.lockCoin{value: 1}(hash, address(0), deadline);
        refuses(E_FORMAT, "nobody as recipient");
        htlc.lockCoin{value: 1}(hash, address(htlc), deadline);
        refuses(E_TIMEOUT, "the deadline has passed");
        htlc.lockCoin{value: 1}(hash, bob, timeMs());
        refuses(E_FUNDS, "not a token");
        htlc.lockTokens(hash, bob, deadline, address(0), 1);
        refuses(E_FUNDS, "not a token");
        htlc.lockTokens(hash, bob, deadline, stranger, 1);
        refuses(E_FUNDS, "the token does not pay in");
        htlc.lockTokens(hash, bob, deadline, address(token), 1_001);
        vm.stopPrank();
        refuses(E_DENIED, "the token is another's");
        htlc.lockItem(hash, bob, deadline, address(collection), 7);
        refuses(E_NOTFOUND, "no such lock");
        htlc.claim(alice, hash, secret);
        refuses(E_NOTFOUND, "no such lock");
        htlc.refund(alice, hash);
    }

    function test_a19_a_token_that_does_not_give_what_it_says_is_refused() external {
        GoodToken[4] memory tokens = [
            GoodToken(new FalseToken()), GoodToken(new LyingToken()), GoodToken(new FeeToken()),
            GoodToken(new BombToken())
        ];
        for (uint256 i = 0; i < 4; ++i) {
            tokens[i].mint(alice, 100);
            vm.startPrank(alice);
            tokens[i].approve(address(htlc), 100);
            (bool done,) =
                address(htlc).call(abi.encodeCall(htlc.lockTokens, (hash, bob, deadline, address(tokens[i]), 100)));
            isTrue(!done, "refused");
            vm.stopPrank();
            stands(0);
        }
        SilentToken silent = new SilentToken();
        silent.mint(alice, 100);
        vm.startPrank(alice);
        silent.approve(address(htlc), 100);
        htlc.lockTokens(hash, bob, deadline, address(silent), 100);
        vm.stopPrank();
        htlc.claim(alice, hash, secret);
        htlc.withdraw(bob, address(silent));
        equal(silent.balanceOf(bob), 100, "a token without an answer is a token");
        StickyCollection sticky = new StickyCollection();
        sticky.mint(alice, 1);
        vm.prank(alice);
        refuses(E_FUNDS, "the token does not move");
        htlc.lockItem(keccak256("h"), bob, deadline, address(sticky), 1);
    }

    /// What was dreamt up is paid by nobody else: each token's own holdings stand for its own locks.
    function test_a19_a_dreamt_balance_buys_nothing_of_others() external {
        DreamToken dream = new DreamToken();
        vm.prank(alice);
        htlc.lockTokens(hash, bob, deadline, address(dream), 100);
        htlc.claim(alice, hash, secret);
        refuses(E_FUNDS, "the token does not pay out");
        htlc.withdraw(bob, address(dream));
    }

    function test_a16_a_payee_or_token_that_calls_back_gets_nothing_twice() external {
        Greedy greedy = new Greedy(htlc);
        vm.prank(alice);
        htlc.lockCoin{value: 1 ether}(hash, address(greedy), deadline);
        vm.deal(stranger, 5 ether);
        vm.prank(stranger);
        htlc.lockCoin{value: 5 ether}(hash, bob, deadline);
        htlc.claim(alice, hash, secret);
        htlc.withdraw(address(greedy), address(0));
        equal(address(greedy).balance, 1 ether, "its own");
        equal(greedy.paid(), 1, "once");
        equal(address(htlc).balance, 5 ether, "the others'");

        HookToken hook = new HookToken();
        hook.mint(alice, 100);
        bytes32 second = sha256("x");
        hook.hook(address(htlc), abi.encodeCall(htlc.lockTokens, (second, bob, deadline, address(hook), 1)));
        vm.startPrank(alice);
        hook.approve(address(htlc), 100);
        htlc.lockTokens(second, bob, deadline, address(hook), 100);
        vm.stopPrank();
        isTrue(hook.called() && !hook.succeeded(), "no way back in");
    }

    function test_a_recipient_that_takes_no_coins_stops_no_claim() external {
        Closed closed = new Closed();
        vm.prank(alice);
        htlc.lockCoin{value: 1 ether}(hash, address(closed), deadline);
        htlc.claim(alice, hash, secret);
        stands(2);
        refuses(E_FUNDS, "the account takes no coins");
        htlc.withdraw(address(closed), address(0));
        equal(htlc.creditOf(address(closed), address(0)), 1 ether, "still its own");
    }
}

/// Locks, claims, refunds and pays out at random.
contract HtlcPlayer is Artifacts {
    Htlc public htlc = Htlc(create("Htlc", ""));
    GoodToken public token = new GoodToken();
    uint256 public deposited;
    uint256 public withdrawn;
    uint256[] private secrets;
    address[3] private players = [address(0x101), address(0x102), address(0x103)];

    constructor() {
        for (uint256 i = 0; i < 3; ++i) {
            token.mint(players[i], 1_000_000);
            vm.prank(players[i]);
            token.approve(address(htlc), type(uint256).max);
        }
    }

    function lock(uint256 who, uint256 secret, uint128 amount, uint64 length) external {
        amount = amount % 1_000 + 1;
        uint64 deadline = timeMs() + length % 100_000 + 1;
        // Outside of the call: SHA-256 is one, too.
        bytes32 hash = hashOf(secret % 8);
        vm.prank(players[who % 3]);
        try htlc.lockTokens(hash, players[(who % 3 + 1) % 3], deadline, address(token), amount) {
            deposited += amount;
        } catch {}
    }

    function claim(uint256 who, uint256 secret) external {
        try htlc.claim(players[who % 3], hashOf(secret % 8), abi.encode(secret % 8)) {} catch {}
    }

    function refund(uint256 who, uint256 secret) external {
        try htlc.refund(players[who % 3], hashOf(secret % 8)) {} catch {}
    }

    function withdraw(uint256 who) external {
        uint256 amount = htlc.creditOf(players[who % 3], address(token));
        try htlc.withdraw(players[who % 3], address(token)) {
            withdrawn += amount;
        } catch {}
    }

    function wait(uint8 seconds_) external {
        later(seconds_);
    }

    function hashOf(uint256 secret) public pure returns (bytes32) {
        return sha256(abi.encode(secret));
    }

    /// Credits and open locks of all players.
    function owed() external view returns (uint256 sum) {
        for (uint256 i = 0; i < 3; ++i) {
            sum += htlc.creditOf(players[i], address(token));
            for (uint256 secret = 0; secret < 8; ++secret) {
                (uint8 state,,,,, uint256 value) = htlc.lockOf(players[i], hashOf(secret));
                if (state == 1) sum += value;
            }
        }
    }
}

/// forge-config: default.invariant.runs = 30
/// forge-config: default.invariant.depth = 60
contract HtlcInvariantTest is Check {
    HtlcPlayer private player;

    function setUp() external {
        vm.warp(1_800_000_000);
        player = new HtlcPlayer();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(player);
    }

    /// A history in which nothing was locked would show nothing.
    function afterInvariant() external view {
        isTrue(player.deposited() > 0, "something was locked");
    }

    function invariant_holdings_are_what_is_owed() external view {
        uint256 holdings = player.token().balanceOf(address(player.htlc()));
        equal(holdings, player.owed(), "credits and open locks");
        equal(holdings, player.deposited() - player.withdrawn(), "in less out");
    }
}
