// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/protocol/Structs.sol";
import {Check} from "./support/Check.sol";
import {Commits} from "./support/Commits.sol";
import {GoodToken} from "./support/Tokens.sol";

/// Plays two-phase commits at random over deliveries, beside a naive model of what must be so.
contract CommitPlayer is Commits {
    GoodToken private token = new GoodToken();
    bytes32 private asset = bytes32(uint256(uint160(address(token))));
    bytes32 private constant HOME = keccak256("another home");
    bytes32 private voucher = keccak256(abi.encode(keccak256("tombolo/1/voucher"), HOME, bytes32("coin")));

    struct Open {
        Deal deal;
        uint8 kind; // 0 pay, 1 token out, 2 token in, 3 voucher in, 4 voucher pay, 5 move in, 6 move out
        uint256 subject; // an amount, or the number of an item
        uint256 who;
    }

    uint256[3] private keys = [uint256(101), 102, 103];
    Open[] private prepared;
    mapping(bytes32 xid => uint8) private decided;
    bytes32[] private ended;
    uint256 private inHolds; // of the token
    uint256 private vouchersInHolds; // those that come, and those that are being paid
    uint256 private away;
    uint8[4] private itemAt; // 0 elsewhere, 1 here, 2 moving
    uint256[4] private itemHolder;
    uint32[4] private itemVersion;
    uint64 private received;
    uint256 public commits;
    uint256 public aborts;

    function begin() external {
        setUp();
        open();
        for (uint256 i = 0; i < 3; ++i) {
            token.mint(vm.addr(keys[i]), 1_000_000);
            vm.prank(vm.addr(keys[i]));
            token.approve(address(vault), type(uint256).max);
        }
    }

    function asset_(uint256 kind) private view returns (bytes32) {
        return kind >= 3 ? voucher : asset;
    }

    // --- Moves -----------------------------------------------------------------------------------

    function start(uint8 kind, uint256 who, uint256 subject) external {
        deliver(CONTROL, 0, 0);
        kind = kind % 7;
        who = who % 3;
        subject = kind >= 5 ? subject % 4 : subject % 900 + 1;
        (EncodedAction memory action, bool takes) = actionOf(kind, who, subject);
        Deal memory deal = dealOf(one(action), takes ? by(keys[who]) : byNobody());
        bool expected = canLock(kind, who, subject);
        Vote memory vote = prepare(deal);
        isTrue(vote.yes == expected, vote.message);
        if (!vote.yes) return;
        prepared.push(Open(deal, kind, subject, who));
        note(kind, subject, 1);
    }

    function actionOf(uint8 kind, uint256 who, uint256 subject)
        private
        view
        returns (EncodedAction memory, bool takes)
    {
        uint256 key = keys[who];
        address other = vm.addr(keys[(who + 1) % 3]);
        bytes32 item = keccak256(abi.encode("item", subject));
        if (kind == 0) return (pay(key, other, asset, uint128(subject)), true);
        if (kind == 1) return (tokenOut(gateway.chain(), asset, key, uint128(subject)), true);
        if (kind == 2) return (tokenIn(gateway.chain(), asset, other, uint128(subject)), false);
        if (kind == 3) return (tokenIn(HOME, "coin", other, uint128(subject)), false);
        if (kind == 4) return (pay(key, other, voucher, uint128(subject)), true);
        if (kind == 5) return (moveIn(item, itemVersion[subject] + 1, other), false);
        return (moveOut(item, key), true);
    }

    function canLock(uint8 kind, uint256 who, uint256 subject) private view returns (bool) {
        address account = vm.addr(keys[who]);
        if (kind <= 1) return vault.balanceOf(account, asset) + token.balanceOf(account) >= subject;
        if (kind == 2) return away >= subject;
        if (kind == 3) return true;
        if (kind == 4) return vault.balanceOf(account, voucher) >= subject;
        if (kind == 5) return itemAt[subject] == 0;
        return itemAt[subject] == 1 && itemHolder[subject] == who;
    }

    /// What a lock changes in the model, `sign` 1, and its abort takes back, 0.
    function note(uint8 kind, uint256 subject, uint256 sign) private {
        if (kind == 2) away = sign == 1 ? away - subject : away + subject;
        if (kind <= 2) inHolds = sign == 1 ? inHolds + subject : inHolds - subject;
        if (kind == 3 || kind == 4) {
            vouchersInHolds = sign == 1 ? vouchersInHolds + subject : vouchersInHolds - subject;
        }
        if (kind >= 5) itemAt[subject] = sign == 1 ? 2 : kind == 5 ? 0 : 1;
    }

    function decide(uint256 which, bool commit) external {
        if (prepared.length == 0) return;
        which = which % prepared.length;
        Open memory it = prepared[which];
        prepared[which] = prepared[prepared.length - 1];
        prepared.pop();
        decide(it.deal.xid, commit);
        note(it.kind, it.subject, 0);
        decided[it.deal.xid] = commit ? 3 : 4;
        ended.push(it.deal.xid);
        if (!commit) {
            ++aborts;
            return;
        }
        ++commits;
        if (it.kind == 1) away += it.subject;
        if (it.kind == 2) away -= it.subject;
        if (it.kind == 5) {
            (itemAt[it.subject], itemHolder[it.subject]) = (1, (it.who + 1) % 3);
            itemVersion[it.subject] += 1;
        }
        if (it.kind == 6) itemAt[it.subject] = 0;
    }

    function decideAgain(uint256 which, bool commit) external {
        if (ended.length > 0) decide(ended[which % ended.length], commit);
    }

    function putIn(uint256 who, uint128 amount) external {
        vm.prank(vm.addr(keys[who % 3]));
        try vault.deposit(asset, amount % 500 + 1, 0) {} catch {}
    }

    function takeOut(uint256 who, uint128 amount) external {
        address account = vm.addr(keys[who % 3]);
        vm.prank(account);
        try vault.withdraw(asset, amount % 500 + 1, account) {} catch {}
    }

    // --- What must be so -------------------------------------------------------------------------

    function check() external {
        uint256 tokens = 0;
        uint256 vouchers = 0;
        for (uint256 i = 0; i < 3; ++i) {
            tokens += vault.balanceOf(vm.addr(keys[i]), asset);
            vouchers += vault.balanceOf(vm.addr(keys[i]), voucher);
        }
        equal(token.balanceOf(address(vault)), tokens + inHolds + away, "balances, escrow and what is away");
        equal(vault.outstanding(asset), away, "what is away");
        equal(vault.outstanding(voucher), vouchers + vouchersInHolds, "vouchers");
        for (uint256 i = 0; i < prepared.length; ++i) standsAt(prepared[i].deal.xid, 1);
        for (uint256 i = 0; i < ended.length; ++i) standsAt(ended[i], decided[ended[i]]);
        for (uint256 i = 0; i < 4; ++i) checkItem(i);
        uint64 now_ = gateway.laneLeaf(DATA).received;
        isTrue(now_ >= received, "received never falls");
        received = now_;
        equal(gateway.laneLeaf(DATA).receivedRoot, laneLeafOf(DATA).root, "the log that was taken");
    }

    /// Live here, or not here: a token exists exactly while the item is here or locked.
    function checkItem(uint256 i) private view {
        bytes32 item = keccak256(abi.encode("item", i));
        (uint8 standing,,, address holder) = vault.closedItem(item);
        if (itemAt[i] == 1) {
            equal(standing, 1, "here");
            equal(holder, vm.addr(keys[itemHolder[i]]), "holder");
        } else if (itemAt[i] == 0) {
            isTrue(standing == 0 || standing == 4, "not here");
        }
        bool exists = true;
        try vault.items().ownerOf(uint256(item)) {} catch {
            exists = false;
        }
        isTrue(exists == (standing == 1 || standing == 3), "one token, or none");
    }
}

/// forge-config: default.invariant.runs = 12
/// forge-config: default.invariant.depth = 40
/// forge-config: default.invariant.fail-on-revert = true
contract VaultInvariantsTest is Check {
    CommitPlayer private player;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() external {
        player = new CommitPlayer();
        player.begin();
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(player);
        targets[0].selectors = new bytes4[](7);
        // Starting and deciding are what counts: they come twice as often.
        targets[0].selectors[0] = CommitPlayer.start.selector;
        targets[0].selectors[1] = CommitPlayer.start.selector;
        targets[0].selectors[2] = bytes4(keccak256("decide(uint256,bool)"));
        targets[0].selectors[3] = bytes4(keccak256("decide(uint256,bool)"));
        targets[0].selectors[4] = CommitPlayer.decideAgain.selector;
        targets[0].selectors[5] = CommitPlayer.putIn.selector;
        targets[0].selectors[6] = CommitPlayer.takeOut.selector;
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(player);
    }

    function invariant_supply_is_constant_and_each_item_lives_once() external {
        player.check();
    }

    /// A history that decides nothing would show nothing.
    function afterInvariant() external view {
        isTrue(player.commits() + player.aborts() > 0, "something was decided");
    }
}
