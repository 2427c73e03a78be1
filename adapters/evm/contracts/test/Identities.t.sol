// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/protocol/Kinds.sol";
import "../src/protocol/Refusals.sol";
import "../src/protocol/Structs.sol";
import {Commits} from "./support/Commits.sol";
import {Log_} from "./support/Vm.sol";

/// Identities with an account here, as the hub says they stand.
contract IdentitiesTest is Commits {
    bytes32 private constant SENT_TOPIC = keccak256("Sent(uint32,uint64,uint32,uint64,bytes)");
    bytes32 private constant WHO = keccak256("alice");
    address private alice = vm.addr(ALICE);
    address private bob = vm.addr(BOB);

    function setUp() public override {
        super.setUp();
        open();
    }

    function take(IdentityUpdate memory it) private {
        hubAppend(CONTROL, message(IDENTITY_UPDATE, 1, fields(abi.encode(it))));
        vm.recordLogs();
        deliverAll(CONTROL);
        Log_[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) isTrue(logs[i].topics[0] != SENT_TOPIC, "no answer");
    }

    function refusesBody(uint16 kind, bytes memory body, uint8 class, string memory sentence) private {
        hubAppend(CONTROL, message(kind, 1, body));
        vm.recordLogs();
        deliverAll(CONTROL);
        Log_[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != SENT_TOPIC) continue;
            (,, bytes memory encoded) = abi.decode(logs[i].data, (uint32, uint64, bytes));
            Message memory answer = abi.decode(bytes.concat(bytes32(uint256(32)), encoded), (Message));
            Refused memory refused = abi.decode(bytes.concat(bytes32(uint256(32)), answer.body), (Refused));
            equal(refused.class, class, refused.message);
            equal(keccak256(bytes(refused.message)), keccak256(bytes(sentence)), refused.message);
            return;
        }
        revert Fails("not refused");
    }

    function refusesUpdate(IdentityUpdate memory it, uint8 class, string memory sentence) private {
        refusesBody(IDENTITY_UPDATE, fields(abi.encode(it)), class, sentence);
    }

    function plain() private view returns (IdentityUpdate memory) {
        return updateOf(WHO, ALICE, keyList(BOB));
    }

    function test_an_account_is_bound_by_its_own_signature() external {
        take(plain());
        equal(control.identityOf(alice), WHO, "bound");
        isTrue(control.signsFor(alice, bob), "its key signs");
        isTrue(!control.signsFor(alice, alice), "the account's own key is not asked for");
        isTrue(!control.signsFor(bob, bob), "another account");
        isTrue(!control.signsFor(alice, address(0)), "nobody");
    }

    function test_a47_a_binding_that_the_account_did_not_sign_is_refused() external {
        IdentityUpdate memory it = plain();
        it.accountSignature = signed(BOB, bindingOf(WHO, alice, 1));
        refusesUpdate(it, E_AUTH, "not signed by the account");
        it = plain();
        it.bindingNonce = 2;
        refusesUpdate(it, E_AUTH, "not signed by the account");
        it = plain();
        it.identity = keccak256("another identity");
        refusesUpdate(it, E_AUTH, "not signed by the account");
        it = plain();
        bytes32 elsewhere = keccak256(
            abi.encode(keccak256("tombolo/1/binding"), HUB, keccak256("another chain"), alice, WHO, 1)
        );
        it.accountSignature = signed(ALICE, elsewhere);
        refusesUpdate(it, E_AUTH, "not signed by the account");
        it.accountSignature = new bytes(65);
        refusesUpdate(it, E_AUTH, "not signed by the account");
        equal(control.identityOf(alice), 0, "not bound");
    }

    function test_a47_a_former_binding_does_not_come_back() external {
        take(plain());
        IdentityUpdate memory newer = plain();
        newer.bindingNonce = 5;
        newer.accountSignature = signed(ALICE, bindingOf(WHO, alice, 5));
        take(newer);
        refusesUpdate(plain(), E_REPLAY, "an older binding");
        // Unbound and bound again: still not by the old proof.
        IdentityUpdate memory none = plain();
        none.account = address(0);
        none.bindingNonce = 0;
        none.accountSignature = new bytes(65);
        take(none);
        equal(control.identityOf(alice), 0, "unbound");
        refusesUpdate(plain(), E_REPLAY, "an older binding");
        take(newer);
        equal(control.identityOf(alice), WHO, "bound again");
    }

    function test_each_fault_of_an_update_has_its_class() external {
        IdentityUpdate memory it = plain();
        it.status = 0;
        refusesUpdate(it, E_FORMAT, "no such status");
        it.status = 4;
        refusesUpdate(it, E_FORMAT, "no such status");
        it = plain();
        it.identity = 0;
        refusesUpdate(it, E_FORMAT, "the zero identity is nobody's");
        it = plain();
        it.keys[0] = address(0);
        refusesUpdate(it, E_FORMAT, "the zero address as a key");
        it = plain();
        it.keys = new address[](9);
        for (uint160 i = 0; i < 9; ++i) it.keys[i] = address(i + 1);
        refusesUpdate(it, E_LIMIT, "more than 8 keys");
        it = plain();
        it.account = address(0);
        refusesUpdate(it, E_FORMAT, "a binding without an account");
        it.bindingNonce = 0;
        refusesUpdate(it, E_FORMAT, "a binding without an account");
        it = plain();
        it.accountSignature = new bytes(64);
        refusesUpdate(it, E_FORMAT, "not an identity update");
        refusesBody(IDENTITY_UPDATE, "", E_FORMAT, "not an identity update");
    }

    function test_a48_revocation_holds_in_the_block_that_takes_it_and_for_ever() external {
        take(plain());
        IdentityUpdate memory it = plain();
        it.status = 2;
        take(it);
        isTrue(!control.signsFor(alice, bob), "suspended");
        it.status = 1;
        take(it);
        isTrue(control.signsFor(alice, bob), "active again");
        it.status = 3;
        take(it);
        isTrue(!control.signsFor(alice, bob), "revoked");
        refusesUpdate(plain(), E_STATE, "revoked for ever");
        it.status = 2;
        refusesUpdate(it, E_STATE, "revoked for ever");
    }

    function test_an_account_has_one_identity() external {
        take(plain());
        IdentityUpdate memory other = updateOf(keccak256("other"), ALICE, keyList(uint256(9)));
        take(other);
        equal(control.identityOf(alice), keccak256("other"), "the newer one");
        isTrue(!control.signsFor(alice, bob), "the former one's key does not sign");
        isTrue(control.signsFor(alice, vm.addr(9)), "the newer one's does");
        // The identity moves to another account and leaves this one.
        IdentityUpdate memory moved = updateOf(keccak256("other"), BOB, keyList(uint256(9)));
        take(moved);
        equal(control.identityOf(alice), 0, "left");
        equal(control.identityOf(bob), keccak256("other"), "moved");
    }

    function test_several_keys_speak_once_their_list_is_shown() external {
        IdentityUpdate memory it = plain();
        it.keys = new address[](8);
        for (uint256 i = 0; i < 8; ++i) it.keys[i] = vm.addr(100 + i);
        take(it);
        isTrue(!control.signsFor(alice, it.keys[3]), "not yet");
        address[] memory wrong = keyList(uint256(100));
        refuses(E_NOTFOUND, "not the keys of the identity");
        control.showKeys(WHO, wrong);
        control.showKeys(WHO, it.keys);
        for (uint256 i = 0; i < 8; ++i) isTrue(control.signsFor(alice, it.keys[i]), "each of them");
        isTrue(!control.signsFor(alice, bob), "nobody else");
        // A list that is left is left at once.
        take(plain());
        isTrue(!control.signsFor(alice, it.keys[3]), "no more");
    }

    function test_who_has_no_account_here_has_no_effect() external {
        IdentityUpdate memory it = plain();
        it.account = address(0);
        it.bindingNonce = 0;
        it.accountSignature = new bytes(65);
        take(it);
        equal(control.identityOf(alice), 0, "nothing");
    }

    /// The dearest update there is fits the weight of one.
    function test_the_dearest_update_fits_its_weight() external {
        IdentityUpdate memory first = updateOf(keccak256("first"), ALICE, keyList(BOB));
        take(first);
        IdentityUpdate memory second = updateOf(keccak256("second"), BOB, keyList(BOB));
        take(second);
        // A known identity leaves its account, takes another's, and has eight keys; and a new one.
        second = updateOf(keccak256("second"), ALICE, keyList(BOB));
        second.keys = new address[](8);
        for (uint256 i = 0; i < 8; ++i) second.keys[i] = vm.addr(100 + i);
        second.bindingNonce = 2;
        second.accountSignature = signed(ALICE, bindingOf(keccak256("second"), alice, 2));
        take(second);
        IdentityUpdate memory fresh = updateOf(keccak256("third"), ALICE, second.keys);
        fresh.accountSignature = signed(ALICE, bindingOf(keccak256("third"), alice, 1));
        take(fresh);
        equal(control.identityOf(alice), keccak256("third"), "taken");
    }

    function test_a_schema_is_its_definition() external {
        bytes memory definition = new bytes(16_384);
        bytes32 id = keccak256(abi.encode(keccak256("tombolo/1/schema"), keccak256(definition)));
        hubAppend(CONTROL, message(SCHEMA_UPDATE, 1, abi.encode(id, definition)));
        vm.recordLogs();
        deliverAll(CONTROL);
        Log_[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) isTrue(logs[i].topics[0] != SENT_TOPIC, "no answer");
        refusesBody(SCHEMA_UPDATE, abi.encode(keccak256("another"), definition), E_TAMPER, "another definition");
        refusesBody(SCHEMA_UPDATE, "", E_FORMAT, "not a schema update");
    }

    function test_the_view_of_identities_is_as_old_as_the_control_lane() external {
        control.requireFreshView();
        equal(gateway.identityViewTime(), hubTime, "as of the newest header");
        later(1 hours);
        control.requireFreshView();
        later(1);
        refuses(E_IDENT, "view of identities is too old");
        control.requireFreshView();
        // A header that leaves something on the lane does not renew it.
        hubAppend(CONTROL, message(IDENTITY_UPDATE, 1, fields(abi.encode(plain()))));
        deliver(CONTROL, 0, 0);
        refuses(E_IDENT, "view of identities is too old");
        control.requireFreshView();
        deliverAll(CONTROL);
        control.requireFreshView();
    }
}
