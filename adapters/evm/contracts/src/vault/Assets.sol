// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Digests} from "../protocol/Digests.sol";
import {PAY, TOKEN_IN, TOKEN_OUT} from "../protocol/Kinds.sol";
import "../protocol/Refusals.sol";
import {Pay, TokenIn, TokenOut} from "../protocol/Structs.sol";
import {Hold} from "./Hold.sol";
import {VaultBase} from "./VaultBase.sol";

/// @notice Fungible assets: the native coin, ERC-20 tokens, vouchers of what is at home elsewhere.
/// @dev An asset is a word: zero, a token's address right-aligned, or a voucher's id. Credit is the
/// observed difference of balances, never what a token says (attack A19).
abstract contract Assets is VaultBase {
    using SafeERC20 for IERC20;

    /// What an account may take out, or spend in a two-phase commit.
    mapping(address account => mapping(bytes32 asset => uint128)) private balances;
    /// Of each asset all that is in the vault's books: balances, holds, and what is away. So no later
    /// sum of them overflows, and no decision fails for one.
    mapping(bytes32 asset => uint128) private booked;
    /// Of an asset whose home this is, how much is away.
    mapping(bytes32 asset => uint128) private away;

    function balanceOf(address account, bytes32 asset) external view returns (uint128) {
        return balances[account][asset];
    }

    function outstanding(bytes32 asset) external view returns (uint128) {
        return isVoucher(asset) ? booked[asset] : away[asset];
    }

    function deposit(bytes32 asset, uint128 amount, bytes32 xid)
        external
        payable
        nonReentrant
        returns (uint128 credited)
    {
        ensure(!isVoucher(asset), E_UNSUPPORTED, "a voucher cannot be deposited");
        if (asset == 0) {
            ensure(amount == msg.value, E_FUNDS, "another value than the amount");
            credited = amount;
        } else {
            ensure(msg.value == 0, E_FORMAT, "coins with a deposit of tokens");
            credited = pull(asset, msg.sender, amount);
        }
        ensure(credited > 0, E_FUNDS, "nothing arrived");
        book(asset, credited);
        credit(msg.sender, asset, credited);
        if (xid != 0) setConsent(xid, msg.sender, true);
    }

    function withdraw(bytes32 asset, uint128 amount, address to) external nonReentrant {
        ensure(!isVoucher(asset), E_UNSUPPORTED, "a voucher cannot be paid out");
        ensure(to != address(0), E_FORMAT, "the zero address as payee");
        ensure(balances[msg.sender][asset] >= amount, E_FUNDS, "more than the balance");
        balances[msg.sender][asset] -= amount;
        booked[asset] -= amount;
        emit Withdrawn(msg.sender, asset, amount, to);
        if (asset == 0) {
            (bool paid,) = to.call{value: amount}("");
            ensure(paid, E_FUNDS, "the payee takes no coins");
        } else {
            IERC20 token = tokenOf(asset);
            uint256 before = holdings(token);
            bool paid = token.trySafeTransfer(to, amount);
            // A token that takes more than it pays would take it from what belongs to others.
            ensure(paid && before - holdings(token) <= amount, E_FUNDS, "the token does not pay out");
        }
    }

    /// Takes a payment into escrow.
    function lockPay(bytes32 xid, uint256 index, Pay calldata it) internal {
        ensure(it.amount > 0, E_FORMAT, "a payment of nothing");
        ensure(it.to != address(0), E_FORMAT, "a payment to nobody");
        debit(it.from, it.asset, it.amount);
        Hold storage hold = holdAt(xid, index);
        (hold.kind, hold.account, hold.other) = (PAY, it.from, it.to);
        (hold.subject, hold.value) = (it.asset, it.amount);
    }

    /// Takes what leaves into escrow. At home it stays in the vault for good measure; else it is burnt.
    function lockTokenOut(bytes32 xid, uint256 index, TokenOut calldata it) internal {
        ensure(it.amount > 0, E_FORMAT, "a transfer of nothing");
        ensure(it.toChain != chain, E_FORMAT, "a transfer to this chain");
        control.requireFreshView();
        (bytes32 asset, uint32 isHome) = here(it.home, it.asset);
        debit(it.from, asset, it.amount);
        Hold storage hold = holdAt(xid, index);
        (hold.kind, hold.account, hold.version) = (TOKEN_OUT, it.from, isHome);
        (hold.subject, hold.value) = (asset, it.amount);
    }

    /// Reserves what comes: at home out of what is away, else as new vouchers.
    function lockTokenIn(bytes32 xid, uint256 index, TokenIn calldata it) internal {
        ensure(it.amount > 0, E_FORMAT, "a transfer of nothing");
        ensure(it.to != address(0), E_FORMAT, "a transfer to nobody");
        ensure(it.fromChain != chain, E_FORMAT, "a transfer from this chain");
        (bytes32 asset, uint32 isHome) = here(it.home, it.asset);
        if (isHome == 1) {
            ensure(away[asset] >= it.amount, E_FUNDS, "more than is away");
            away[asset] -= it.amount;
        } else {
            book(asset, it.amount);
        }
        Hold storage hold = holdAt(xid, index);
        (hold.kind, hold.account, hold.version) = (TOKEN_IN, it.to, isHome);
        (hold.subject, hold.value) = (asset, it.amount);
    }

    /// Ends a hold of an asset. Nothing here can fail: every sum is below what is booked.
    function endAsset(Hold memory hold, bool committed) internal {
        bytes32 asset = hold.subject;
        uint128 amount = uint128(hold.value);
        if (hold.kind == PAY) {
            credit(committed ? hold.other : hold.account, asset, amount);
            return;
        }
        bool isHome = hold.version == 1;
        unchecked {
            if (hold.kind == TOKEN_OUT) {
                if (!committed) credit(hold.account, asset, amount);
                else if (isHome) away[asset] += amount;
                else booked[asset] -= amount;
            } else {
                if (committed) credit(hold.account, asset, amount);
                else if (isHome) away[asset] += amount;
                else booked[asset] -= amount;
            }
        }
    }

    /// Takes from an account: what it has in the vault, and of an ERC-20 the rest by its allowance.
    function debit(address from, bytes32 asset, uint128 amount) private {
        uint128 balance = balances[from][asset];
        if (balance < amount) {
            ensure(asset != 0 && !isVoucher(asset), E_FUNDS, "too little of the asset");
            uint128 missing = amount - balance;
            uint128 arrived = pull(asset, from, missing);
            ensure(arrived >= missing, E_FUNDS, "less arrived than was asked for");
            book(asset, arrived);
            balance += arrived;
        }
        balances[from][asset] = balance - amount;
    }

    function credit(address account, bytes32 asset, uint128 amount) private {
        unchecked {
            balances[account][asset] += amount;
        }
        emit Credited(account, asset, amount);
    }

    /// Adds to the books. Refuses more than they hold.
    function book(bytes32 asset, uint128 amount) private {
        ensure(amount <= type(uint128).max - booked[asset], E_LIMIT, "more than 2^128 - 1 in all");
        booked[asset] += amount;
    }

    /// Pulls tokens, and says how many arrived. A token that says no, or takes without giving, gives none.
    function pull(bytes32 asset, address from, uint128 amount) private returns (uint128 arrived) {
        IERC20 token = tokenOf(asset);
        uint256 before = holdings(token);
        bool done = token.trySafeTransferFrom(from, address(this), amount);
        ensure(done, E_FUNDS, "the token does not pay in");
        // ERC-721 calls the id what ERC-20 calls the amount. Some such contracts have `transfer` too, by
        // which whoever brought one token would take out another that is in escrow here.
        ensure(ownerAt(address(token), amount) != address(this), E_UNSUPPORTED, "not a fungible token");
        uint256 present = holdings(token);
        ensure(present >= before, E_FUNDS, "the token takes");
        uint256 difference = present - before;
        ensure(difference <= type(uint128).max, E_LIMIT, "more than 2^128 - 1 at once");
        return uint128(difference);
    }

    /// What a token says that the vault has.
    function holdings(IERC20 token) private view returns (uint256 amount) {
        bytes4 selector = IERC20.balanceOf.selector;
        bool done;
        assembly ("memory-safe") {
            mstore(0, selector)
            mstore(4, address())
            done := staticcall(gas(), token, 0, 36, 0, 32)
            done := and(done, gt(returndatasize(), 31))
            amount := mload(0)
        }
        ensure(done, E_FUNDS, "not a token");
    }

    /// The token contract of an asset; refuses what is none, and this gateway's own contracts.
    function tokenOf(bytes32 asset) private view returns (IERC20) {
        address token = address(uint160(uint256(asset)));
        ensure(token.code.length > 0, E_FUNDS, "not a token");
        ensure(!isOwn(token), E_UNSUPPORTED, "a contract of the gateway");
        return IERC20(token);
    }

    /// An asset as it is known here: 1 where this is its home, else 0 and a voucher.
    function here(bytes32 home, bytes32 asset) private view returns (bytes32, uint32) {
        if (home != chain) return (Digests.voucher(home, asset), 0);
        ensure(!isVoucher(asset), E_FORMAT, "not an asset of this chain");
        return (asset, 1);
    }

    function isVoucher(bytes32 asset) private pure returns (bool) {
        return uint256(asset) >> 160 != 0;
    }
}
