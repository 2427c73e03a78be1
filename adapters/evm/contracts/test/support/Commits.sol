// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../../src/protocol/Kinds.sol";
import "../../src/protocol/Refusals.sol";
import "../../src/protocol/Structs.sol";
import {Log_} from "./Vm.sol";
import {World} from "./World.sol";

/// Two-phase commits as the hub coordinates them.
abstract contract Commits is World {
    bytes32 private constant SENT = keccak256("Sent(uint32,uint64,uint32,uint64,bytes)");

    /// A commit with one branch here and one elsewhere.
    struct Deal {
        bytes32 xid;
        bytes terms;
        bytes branch;
        Authorisation[] authorisations;
    }

    uint256 internal constant ALICE = uint256(keccak256("alice"));
    uint256 internal constant BOB = uint256(keccak256("bob"));
    uint256 private salts;

    function addressOf(uint256 key) internal pure returns (address) {
        return vm.addr(key);
    }

    /// A deal of these actions, authorised by these keys.
    function dealOf(EncodedAction[] memory actions, uint256[] memory keys) internal returns (Deal memory it) {
        return dealUntil(actions, keys, timeMs() + 60_000);
    }

    function dealUntil(EncodedAction[] memory actions, uint256[] memory keys, uint64 deadline)
        internal
        returns (Deal memory it)
    {
        it.branch = abi.encode(hubLink, actions);
        bytes32[] memory branches = new bytes32[](2);
        branches[0] = keccak256("a branch elsewhere");
        branches[1] = branchHash(it.branch);
        bytes32 salt = keccak256(abi.encode("deal", ++salts));
        it.terms = abi.encode(HUB, keccak256("beginner"), salt, deadline, branches);
        it.xid = keccak256(
            abi.encodePacked(
                keccak256("tombolo/1/xid"), HUB, keccak256("beginner"), salt, uint256(deadline), branches
            )
        );
        it.authorisations = new Authorisation[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            it.authorisations[i] = Authorisation(1, vm.addr(keys[i]), authorise(keys[i], it.xid));
        }
    }

    function branchHash(bytes memory branch) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256("tombolo/1/branch"), keccak256(branch)));
    }

    function authorise(uint256 key, bytes32 xid) internal pure returns (bytes memory) {
        return signed(key, keccak256(abi.encode(keccak256("tombolo/1/authorisation"), xid)));
    }

    function prepareMessage(Deal memory it) internal pure returns (bytes memory) {
        bytes memory body = abi.encode(it.terms, uint32(1), it.branch, it.authorisations);
        return message(PREPARE, 16, body);
    }

    /// Delivers a Prepare and gives the vote.
    function prepare(Deal memory it) internal returns (Vote memory) {
        uint64 number = hubAppend(DATA, prepareMessage(it));
        return voteOn(number, it.xid);
    }

    function voteOn(uint64 number, bytes32 xid) internal returns (Vote memory vote) {
        Message memory answer = theAnswer();
        equal(answer.kind, VOTE, "a vote");
        vote = abi.decode(bytes.concat(bytes32(uint256(32)), answer.body), (Vote));
        equal(vote.request, number, "of this Prepare");
        equal(vote.xid, xid, "on this xid");
        isTrue(vote.yes == (vote.class == 0), "yes without a class");
    }

    function votesYes(Deal memory it) internal {
        Vote memory vote = prepare(it);
        isTrue(vote.yes, vote.message);
        standsAt(it.xid, 1);
    }

    function votesNo(Deal memory it, uint8 class, string memory sentence) internal {
        Vote memory vote = prepare(it);
        isTrue(!vote.yes, "a no");
        equal(vote.class, class, vote.message);
        equal(keccak256(bytes(vote.message)), keccak256(bytes(sentence)), vote.message);
    }

    /// Delivers a decision, which is answered with Done.
    function decide(bytes32 xid, bool commit) internal {
        uint64 number = hubAppend(DATA, message(commit ? COMMIT : ABORT, 8, abi.encode(xid)));
        Message memory answer = theAnswer();
        equal(answer.kind, DONE, "done");
        Done memory done = abi.decode(answer.body, (Done));
        equal(done.request, number, "of this decision");
        equal(done.xid, xid, "on this xid");
    }

    function theAnswer() internal returns (Message memory answer) {
        vm.recordLogs();
        deliverAll(DATA);
        Log_[] memory logs = vm.getRecordedLogs();
        uint256 count = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != SENT) continue;
            (,, bytes memory encoded) = abi.decode(logs[i].data, (uint32, uint64, bytes));
            answer = abi.decode(bytes.concat(bytes32(uint256(32)), encoded), (Message));
            ++count;
        }
        equal(count, 1, "one answer");
    }

    function standsAt(bytes32 xid, uint8 expected) internal view {
        (uint8 standing,,,,) = vault.participant(xid);
        equal(standing, expected, "standing");
    }

    // --- Actions ---------------------------------------------------------------------------------

    function one(EncodedAction memory action) internal pure returns (EncodedAction[] memory actions) {
        actions = new EncodedAction[](1);
        actions[0] = action;
    }

    function two(EncodedAction memory a, EncodedAction memory b)
        internal
        pure
        returns (EncodedAction[] memory actions)
    {
        actions = new EncodedAction[](2);
        (actions[0], actions[1]) = (a, b);
    }

    function by(uint256 key) internal pure returns (uint256[] memory keys) {
        keys = new uint256[](1);
        keys[0] = key;
    }

    function byNobody() internal pure returns (uint256[] memory) {
        return new uint256[](0);
    }

    function pay(uint256 from, address to, bytes32 asset, uint128 amount)
        internal
        pure
        returns (EncodedAction memory)
    {
        return EncodedAction(PAY, abi.encode(vm.addr(from), to, asset, amount));
    }

    function tokenOut(bytes32 home, bytes32 asset, uint256 from, uint128 amount)
        internal
        pure
        returns (EncodedAction memory)
    {
        return EncodedAction(TOKEN_OUT, abi.encode(home, asset, vm.addr(from), amount, ELSEWHERE));
    }

    function tokenIn(bytes32 home, bytes32 asset, address to, uint128 amount)
        internal
        pure
        returns (EncodedAction memory)
    {
        return EncodedAction(TOKEN_IN, abi.encode(home, asset, ELSEWHERE, to, amount));
    }

    function moveOut(bytes32 item, uint256 from) internal pure returns (EncodedAction memory) {
        return EncodedAction(MOVE_OUT, abi.encode(item, vm.addr(from), ELSEWHERE));
    }

    function moveIn(bytes32 item, uint32 version, address holder) internal pure returns (EncodedAction memory) {
        MoveIn memory it = moveInOf(item, version, holder);
        return EncodedAction(MOVE_IN, fields(abi.encode(it)));
    }

    function moveInOf(bytes32 item, uint32 version, address holder) internal pure returns (MoveIn memory it) {
        it.item = item;
        it.fromChain = ELSEWHERE;
        it.itemVersion = version;
        it.owner = keccak256("owner");
        it.holder = holder;
        it.envelope = abi.encode("envelope", item, version);
        it.fingerprint = fingerprintOf(it.envelope);
        it.signature = new bytes(65);
    }

    function write(bytes32 item, uint32 version, address holder) internal pure returns (EncodedAction memory) {
        Write memory it;
        it.item = item;
        it.itemVersion = version;
        it.owner = keccak256("owner");
        it.holder = holder;
        it.envelope = abi.encode("envelope", item, version);
        it.fingerprint = fingerprintOf(it.envelope);
        it.signature = new bytes(65);
        return EncodedAction(WRITE, fields(abi.encode(it)));
    }

    function call(address target, uint256 from, bytes memory payload) internal pure returns (EncodedAction memory) {
        return EncodedAction(CALL, abi.encode(target, vm.addr(from), payload));
    }

    function fingerprintOf(bytes memory envelope) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256("tombolo/1/fingerprint"), keccak256(envelope)));
    }

    bytes32 internal constant ELSEWHERE = keccak256("another chain");

    // --- Identities ------------------------------------------------------------------------------

    /// The hub says that an account here is bound to an identity.
    function bindAccount(bytes32 identity, uint256 account, address[] memory keys) internal {
        IdentityUpdate memory it = updateOf(identity, account, keys);
        hubAppend(CONTROL, message(IDENTITY_UPDATE, 1, fields(abi.encode(it))));
        deliverAll(CONTROL);
    }

    function updateOf(bytes32 identity, uint256 account, address[] memory keys)
        internal
        view
        returns (IdentityUpdate memory it)
    {
        it.identity = identity;
        it.roles = 1;
        it.status = 1;
        it.keys = keys;
        it.account = vm.addr(account);
        it.bindingNonce = 1;
        it.accountSignature = signed(account, bindingOf(identity, it.account, 1));
        it.since = 5;
    }

    function bindingOf(bytes32 identity, address account, uint64 nonce) internal view returns (bytes32) {
        return keccak256(
            abi.encode(keccak256("tombolo/1/binding"), HUB, gateway.chain(), account, identity, nonce)
        );
    }

    function keyList(uint256 a) internal pure returns (address[] memory keys) {
        keys = new address[](1);
        keys[0] = vm.addr(a);
    }
}
