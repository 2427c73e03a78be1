// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {Digests} from "../protocol/Digests.sol";
import {MOVE_IN, MOVE_OUT, WRITE} from "../protocol/Kinds.sol";
import "../protocol/Refusals.sol";
import {MoveIn, MoveOut, Write} from "../protocol/Structs.sol";
import {Hold} from "./Hold.sol";
import {VaultBase} from "./VaultBase.sol";

/// @notice Closed items: each is live on at most one ledger at every moment. ADR 0009
/// @dev An item here is a token, of `Items` or of another ERC-721 contract that was enrolled. What is
/// locked is in escrow: the token belongs to the vault. Envelopes are not read.
abstract contract ClosedItems is VaultBase {
    uint8 private constant HERE = 1;
    uint8 private constant CUSTODY = 2;
    uint8 private constant LOCKED = 3;
    uint8 private constant AWAY = 4;

    uint256 private constant LOCAL_ID_BYTES_MAX = 64;

    struct Item {
        address holder; // while it is in custody or locked
        uint32 version; // 0 for an enrolled token that has not moved yet
        uint8 standing;
        bool reserved; // for what comes
        bytes32 fingerprint;
        address token; // of an enrolled item; else zero
        uint256 tokenId;
    }

    mapping(bytes32 dataId => Item) private known;

    function closedItem(bytes32 dataId)
        external
        view
        returns (uint8 standing, uint32 itemVersion, bytes32 fingerprint, address holder)
    {
        Item storage it = known[dataId];
        holder = it.standing == HERE ? ownerOf(dataId, it) : it.holder;
        return (it.standing, it.version, it.fingerprint, holder);
    }

    function enroll(address token, uint256 tokenId) external nonReentrant returns (bytes32 dataId) {
        bytes32 owner = control.identityOf(msg.sender);
        ensure(owner != 0, E_IDENT, "the caller is bound to nobody");
        ensure(!isOwn(token), E_UNSUPPORTED, "a contract of the gateway");
        bytes memory localId = bytes.concat(
            "erc721:", hexOf(token), ":", bytes(Strings.toString(tokenId))
        );
        ensure(localId.length <= LOCAL_ID_BYTES_MAX, E_LIMIT, "local id above 64 characters");
        dataId = Digests.dataId(chain, owner, localId);
        Item storage it = known[dataId];
        ensure(it.standing == 0 && !it.reserved, E_STATE, "the item is known");
        (it.token, it.tokenId) = (token, tokenId);
        ensure(ownerOf(dataId, it) == msg.sender, E_DENIED, "the token is another's");
        it.standing = HERE;
        registry.close(dataId);
        emit Enrolled(dataId, token, tokenId, owner);
    }

    function claim(bytes32 dataId) external nonReentrant {
        Item storage it = known[dataId];
        ensure(it.standing == CUSTODY, E_STATE, "nothing in custody");
        address holder = it.holder;
        (it.standing, it.holder) = (HERE, address(0));
        IERC721(it.token).transferFrom(address(this), holder, it.tokenId);
    }

    /// Takes an item that leaves into escrow. Req: Y4560-6.3-2
    function lockMoveOut(bytes32 xid, uint256 index, MoveOut calldata it) internal {
        ensure(it.toChain != chain, E_FORMAT, "a move to this chain");
        control.requireFreshView();
        ensure(known[it.item].standing != 0, E_NOTFOUND, "no such item here");
        escrow(it.item, it.from);
        Hold storage hold = holdAt(xid, index);
        (hold.kind, hold.account, hold.subject) = (MOVE_OUT, it.from, it.item);
    }

    /// Reserves an item that comes.
    function lockMoveIn(bytes32 xid, uint256 index, MoveIn calldata it) internal {
        ensure(it.fromChain != chain, E_FORMAT, "a move from this chain");
        checkHolder(it.holder, it.owner);
        ensure(Digests.fingerprint(it.envelope) == it.fingerprint, E_TAMPER, "another fingerprint");
        Item storage item = known[it.item];
        ensure(item.standing == 0 || item.standing == AWAY, E_STATE, "the item is here");
        bool follows = it.itemVersion > item.version
            || (it.itemVersion == item.version && it.fingerprint == item.fingerprint);
        ensure(follows, E_REPLAY, "no version after that which left");
        reserve(it.item, item, it.fingerprint);
        Hold storage hold = holdAt(xid, index);
        (hold.kind, hold.account, hold.version) = (MOVE_IN, it.holder, it.itemVersion);
        hold.subject = it.item;
        if (item.standing == AWAY) hold.value = uint256(it.fingerprint);
    }

    /// Reserves a new item, or locks one for its next version.
    function lockWrite(bytes32 xid, uint256 index, Write calldata it) internal {
        checkHolder(it.holder, it.owner);
        ensure(Digests.fingerprint(it.envelope) == it.fingerprint, E_TAMPER, "another fingerprint");
        Item storage item = known[it.item];
        Hold storage hold = holdAt(xid, index);
        (hold.kind, hold.account, hold.version) = (WRITE, it.holder, it.itemVersion);
        hold.subject = it.item;
        if (item.standing == 0) {
            ensure(it.itemVersion == 1, E_STATE, "the first version is 1");
            reserve(it.item, item, it.fingerprint);
        } else {
            escrow(it.item, it.holder);
            ensure(it.fingerprint != item.fingerprint, E_REPLAY, "this very content is here");
            ensure(it.itemVersion == item.version + 1, E_STATE, "a version is left out");
            hold.value = uint256(it.fingerprint);
        }
    }

    /// Ends a hold of an item. No stranger's code is called, and nothing here can fail: the token is in
    /// escrow, or there is none yet.
    function endItem(Hold memory hold, bool committed) internal {
        bytes32 dataId = hold.subject;
        Item storage it = known[dataId];
        if (hold.kind == MOVE_OUT) {
            if (!committed) return giveBack(dataId, it, hold.account);
            (it.standing, it.holder) = (AWAY, address(0));
            if (it.token == address(0)) items.burn(dataId);
            emit Left(dataId);
            return;
        }
        bool comes = it.reserved;
        it.reserved = false;
        if (committed) {
            it.version = hold.version;
            if (hold.value != 0) it.fingerprint = bytes32(hold.value);
            emit Arrived(dataId, hold.version, it.fingerprint, hold.account);
        }
        if (!comes) return giveBack(dataId, it, hold.account);
        if (!committed) {
            if (hold.value == 0) it.fingerprint = 0;
            return;
        }
        if (it.token != address(0)) {
            (it.standing, it.holder) = (CUSTODY, hold.account);
        } else {
            it.standing = HERE;
            items.mint(hold.account, dataId);
        }
    }

    /// Takes the token of an item that its holder gives.
    function escrow(bytes32 dataId, address from) private {
        Item storage it = known[dataId];
        uint8 standing = it.standing;
        address holder = standing == HERE ? ownerOf(dataId, it) : it.holder;
        ensure(holder == from || standing == AWAY, E_DENIED, "held by another account");
        ensure(standing == HERE || standing == CUSTODY, E_STATE, "the item is locked or away");
        (it.standing, it.holder) = (LOCKED, from);
        if (standing == CUSTODY) return;
        if (it.token == address(0)) {
            items.move(from, address(this), dataId);
        } else {
            // What counts is whose the token is afterwards, whatever its contract says.
            callBare(it.token, abi.encodeCall(IERC721.transferFrom, (from, address(this), it.tokenId)));
            ensure(ownerOf(dataId, it) == address(this), E_DENIED, "the token does not move");
        }
    }

    /// Gives an item in escrow back to its holder: a token of another contract into custody.
    function giveBack(bytes32 dataId, Item storage it, address holder) private {
        if (it.token != address(0)) {
            (it.standing, it.holder) = (CUSTODY, holder);
        } else {
            (it.standing, it.holder) = (HERE, address(0));
            items.move(address(this), holder, dataId);
        }
    }

    /// Keeps an id for an item that comes. The fingerprint of one that was never here is kept at once,
    /// for a decision has less gas than a Prepare; of one that is away the hold keeps it.
    function reserve(bytes32 dataId, Item storage it, bytes32 fingerprint) private {
        ensure(!it.reserved, E_STATE, "reserved by another commit");
        registry.close(dataId);
        it.reserved = true;
        if (it.standing == 0) it.fingerprint = fingerprint;
    }

    /// Refuses nobody as holder, and an account that is bound to another identity than the owner.
    function checkHolder(address holder, bytes32 owner) private view {
        ensure(holder != address(0), E_FORMAT, "held by the zero address");
        bytes32 bound = control.identityOf(holder);
        ensure(bound == 0 || bound == owner, E_DENIED, "holder is bound to another");
    }

    /// Who owns the token of an item; zero where its contract does not say.
    function ownerOf(bytes32 dataId, Item storage it) private view returns (address) {
        if (it.token == address(0)) return ownerAt(address(items), uint256(dataId));
        return ownerAt(it.token, it.tokenId);
    }

    /// An address in 40 lower-case hexadecimal digits.
    function hexOf(address account) private pure returns (bytes memory digits) {
        bytes memory prefixed = bytes(Strings.toHexString(account));
        digits = new bytes(40);
        for (uint256 i = 0; i < 40; ++i) digits[i] = prefixed[i + 2];
    }
}
