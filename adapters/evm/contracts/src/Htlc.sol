// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {IHtlc} from "./interfaces/IHtlc.sol";
import "./protocol/Refusals.sol";

/// @notice Hash-timelocks: ADR 0012, docs/protocol.md section 21. Stands alone; nobody owns it.
/// @dev A claim or a refund only credits: it calls no stranger's code, so neither a recipient nor a token
/// can make it fail while the deadline passes. What is credited is pulled.
contract Htlc is IHtlc, ReentrancyGuard {
    using SafeERC20 for IERC20;

    uint8 private constant LOCKED = 1;
    uint8 private constant CLAIMED = 2;
    uint8 private constant REFUNDED = 3;

    uint256 private constant PREIMAGE_BYTES = 32;

    struct Lock {
        address recipient;
        uint64 deadline; // milliseconds
        uint8 state;
        bool isToken;
        address asset; // zero for the native coin
        uint256 value; // an amount, or the id of a token
    }

    /// A locker uses a hash once, for ever: a lock under a hash whose secret was shown would be anybody's.
    /// By the locker too, lest a stranger's lock of one unit shut out the real one (attack A38).
    mapping(address locker => mapping(bytes32 hash => Lock)) private locks;
    mapping(address account => mapping(address asset => uint256)) private credits;
    mapping(address token => mapping(uint256 id => address)) private owners;

    /// @inheritdoc IHtlc
    function lockCoin(bytes32 hash, address recipient, uint64 deadline) external payable {
        ensure(msg.value > 0, E_FORMAT, "a lock of nothing");
        open(hash, recipient, deadline, address(0), msg.value, false);
    }

    /// @inheritdoc IHtlc
    /// @dev What arrives must be what is locked: a token that keeps a part of it is refused (attack A19).
    function lockTokens(bytes32 hash, address recipient, uint64 deadline, address token, uint128 amount)
        external
        nonReentrant
    {
        ensure(amount > 0, E_FORMAT, "a lock of nothing");
        ensure(token.code.length > 0, E_FUNDS, "not a token");
        open(hash, recipient, deadline, token, amount, false);
        uint256 before = IERC20(token).balanceOf(address(this));
        bool paid = IERC20(token).trySafeTransferFrom(msg.sender, address(this), amount);
        ensure(paid, E_FUNDS, "the token does not pay in");
        uint256 present = IERC20(token).balanceOf(address(this));
        ensure(present >= before && present - before == amount, E_FUNDS, "another amount arrived");
    }

    /// @inheritdoc IHtlc
    function lockItem(bytes32 hash, address recipient, uint64 deadline, address token, uint256 id)
        external
        nonReentrant
    {
        ensure(token.code.length > 0, E_FUNDS, "not a token");
        open(hash, recipient, deadline, token, id, true);
        ensure(IERC721(token).ownerOf(id) == msg.sender, E_DENIED, "the token is another's");
        IERC721(token).transferFrom(msg.sender, address(this), id);
        ensure(IERC721(token).ownerOf(id) == address(this), E_FUNDS, "the token does not move");
    }

    /// @inheritdoc IHtlc
    function claim(address locker, bytes32 hash, bytes calldata preimage) external {
        Lock storage it = locks[locker][hash];
        ensure(it.state != 0, E_NOTFOUND, "no such lock");
        ensure(it.state == LOCKED, E_STATE, "the lock has ended");
        // On every chain the same length: unequal limits are a known theft (attack A36).
        ensure(preimage.length == PREIMAGE_BYTES, E_PROOF, "not 32 bytes");
        ensure(sha256(preimage) == hash, E_PROOF, "another hash");
        ensure(nowMs() < it.deadline, E_TIMEOUT, "the deadline has come");
        it.state = CLAIMED;
        credit(it.recipient, it);
        emit Claimed(locker, hash, bytes32(preimage));
    }

    /// @inheritdoc IHtlc
    function refund(address locker, bytes32 hash) external {
        Lock storage it = locks[locker][hash];
        ensure(it.state != 0, E_NOTFOUND, "no such lock");
        ensure(it.state == LOCKED && nowMs() >= it.deadline, E_STATE, "ended, or before the deadline");
        it.state = REFUNDED;
        credit(locker, it);
        emit Refunded(locker, hash);
    }

    /// @inheritdoc IHtlc
    function withdraw(address account, address asset) external nonReentrant {
        uint256 amount = credits[account][asset];
        ensure(amount > 0, E_FUNDS, "nothing to pay out");
        credits[account][asset] = 0;
        if (asset == address(0)) {
            (bool paid,) = account.call{value: amount}("");
            ensure(paid, E_FUNDS, "the account takes no coins");
        } else {
            IERC20 token = IERC20(asset);
            uint256 before = token.balanceOf(address(this));
            bool paid = token.trySafeTransfer(account, amount);
            ensure(paid && before - token.balanceOf(address(this)) <= amount, E_FUNDS, "the token does not pay out");
        }
        emit Withdrawn(account, bytes32(uint256(uint160(asset))), amount, false);
    }

    /// @inheritdoc IHtlc
    function withdrawItem(address token, uint256 id) external nonReentrant {
        address account = owners[token][id];
        ensure(account != address(0), E_FUNDS, "nothing to hand over");
        delete owners[token][id];
        IERC721(token).transferFrom(address(this), account, id);
        emit Withdrawn(account, bytes32(uint256(uint160(token))), id, true);
    }

    /// @inheritdoc IHtlc
    function lockOf(address locker, bytes32 hash)
        external
        view
        returns (uint8 state, address recipient, address asset, bool isToken, uint64 deadline, uint256 value)
    {
        Lock memory it = locks[locker][hash];
        return (it.state, it.recipient, it.asset, it.isToken, it.deadline, it.value);
    }

    /// @inheritdoc IHtlc
    function creditOf(address account, address asset) external view returns (uint256) {
        return credits[account][asset];
    }

    /// @inheritdoc IHtlc
    function ownerOf(address token, uint256 id) external view returns (address) {
        return owners[token][id];
    }

    function open(
        bytes32 hash,
        address recipient,
        uint64 deadline,
        address asset,
        uint256 value,
        bool isToken
    ) private {
        ensure(hash != 0, E_FORMAT, "the zero hash");
        bool suits = recipient != address(0) && recipient != address(this);
        ensure(suits, E_FORMAT, "nobody as recipient");
        ensure(locks[msg.sender][hash].state == 0, E_REPLAY, "the hash was used before");
        ensure(nowMs() < deadline, E_TIMEOUT, "the deadline has passed");
        locks[msg.sender][hash] = Lock(recipient, deadline, LOCKED, isToken, asset, value);
        bytes32 word = bytes32(uint256(uint160(asset)));
        emit Locked(msg.sender, hash, recipient, word, value, isToken, deadline);
    }

    function credit(address account, Lock storage it) private {
        if (it.isToken) {
            owners[it.asset][it.value] = account;
        } else {
            credits[account][it.asset] += it.value;
        }
    }

    /// This chain's block time, in milliseconds.
    function nowMs() private view returns (uint64) {
        return uint64(block.timestamp * 1000);
    }
}
