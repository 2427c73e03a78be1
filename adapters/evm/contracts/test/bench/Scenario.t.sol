// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Control} from "../../src/Control.sol";
import {Gateway} from "../../src/Gateway.sol";
import {Htlc} from "../../src/Htlc.sol";
import {Registry} from "../../src/Registry.sol";
import {ShareOrder} from "../../src/interfaces/IRegistry.sol";
import {Digests} from "../../src/protocol/Digests.sol";
import "../../src/protocol/Kinds.sol";
import "../../src/protocol/Structs.sol";
import {Commits} from "../support/Commits.sol";
import {GoodToken} from "../support/Tokens.sol";

/// Says the chain's id to what makes messages.
contract Stub {
    bytes32 public chain;

    constructor(bytes32 chain_) {
        chain = chain_;
    }
}

/// Writes the transactions that `tools/gas.js` sends to a real node, each with a label. They are made for
/// a node whose first account creates the contracts with its first nonces, under the rules that all tests
/// follow; nothing of a receipt is made here.
contract ScenarioTest is Commits {
    /// The first account of a development node; it is deployer, device and party.
    uint256 private constant FIRST = 0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80;
    address private constant SENDER = 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266;
    /// A real envelope of one reading, as `tests/vectors/envelope.json` has it.
    bytes private envelope;

    string private file;
    uint256 private written;
    address private gateway_;
    address private control_;
    address private registry_;
    address private vault_;
    address private token;
    address private htlc;

    function setUp() public override {
        vm.createDir("out/bench", true);
        vm.warp(START);
        // A block so old that a node does not know its hash any more once it has made 300.
        vm.roll(2);
        vm.setBlockhash(1, keccak256("block 1"));
        string memory json = vm.readFile("../../../tests/vectors/envelope.json");
        envelope = vm.parseJsonBytes(json, ".accepted[0].bytes");
        for (uint256 i = 0; i < 3; ++i) councilKeys.push(uint256(keccak256(abi.encode("council", i))));
        sortByAddress(councilKeys);
    }

    function test_write_the_scenario_of_4_validators() external {
        scenario(4);
    }

    function test_write_the_scenario_of_7_validators() external {
        scenario(7);
    }

    function test_write_the_scenario_of_20_validators() external {
        scenario(20);
    }

    function scenario(uint256 validators) private {
        file = string.concat("out/bench/", vm.toString(validators), ".json");
        vm.writeFile(file, "[");
        beginHub(validators);
        for (uint256 i = otherLeaves.length; i < 62; ++i) otherLeaves.push(keccak256(abi.encode("other lane", i)));
        create();
        opening();
        sending();
        commits();
        shares();
        swaps();
        write("]");
    }

    // --- Writing -----------------------------------------------------------------------------------

    function write(string memory text) private {
        vm.writeLine(file, text);
    }

    function transaction(string memory label, address to, uint256 value, bytes memory data) private {
        string memory target = to == address(0) ? "" : vm.toString(abi.encodePacked(to));
        write(
            string.concat(
                written++ == 0 ? "" : ",",
                '{"label":"', label, '","to":"', target, '","value":', vm.toString(value), ',"data":"',
                vm.toString(data), '"}'
            )
        );
    }

    // --- Steps -------------------------------------------------------------------------------------

    function create() private {
        GatewayConfig memory config = gatewayConfig();
        gateway_ = vm.computeCreateAddress(SENDER, 0);
        control_ = config.control = vm.computeCreateAddress(SENDER, 1);
        registry_ = config.registry = vm.computeCreateAddress(SENDER, 2);
        vault_ = config.vault = vm.computeCreateAddress(SENDER, 3);
        token = vm.computeCreateAddress(SENDER, 4);
        htlc = vm.computeCreateAddress(SENDER, 5);
        bytes memory born = abi.encode(controlConfig(gateway_));
        deploy("Gateway", abi.encode(config));
        deploy("Control", born);
        deploy("Registry", abi.encode(gateway_));
        deploy("Vault", abi.encode(gateway_, new address[](0)));
        transaction("-", address(0), 0, type(GoodToken).creationCode);
        deploy("Htlc", "");
        bytes32 chain = Digests.evmChain(block.chainid, GENESIS);
        hubLink = Digests.link(HUB, chain, gateway_, 1);
        gateway = Gateway(address(new Stub(chain)));
    }

    function deploy(string memory name, bytes memory arguments) private {
        transaction(string.concat("create ", name), address(0), 0, bytes.concat(creationCode(name), arguments));
    }

    function opening() private {
        transaction("hello", control_, 0, abi.encodeCall(Control.hello, ()));
        hubAppend(CONTROL, message(HELLO, HELLO_WEIGHT, fields(abi.encode(hubHello()))));
        next("take the hub's Hello", CONTROL, 1);
        // The ring of remembered headers is full, as it is after a minute of any deployment.
        ValidatorSet memory unread;
        for (uint256 i = 0; i < 64; ++i) {
            Header memory header = nextHeader(keccak256("lanes"));
            bytes memory data = abi.encodeCall(Gateway.updateClient, (certify(header), unread));
            transaction(i < 63 ? "-" : "update the client", gateway_, 0, data);
        }
        IdentityUpdate memory it = updateOf(keccak256("owner"), FIRST, keyList(FIRST));
        hubAppend(CONTROL, message(IDENTITY_UPDATE, 1, fields(abi.encode(it))));
        next("bind an identity", CONTROL, 1);
    }

    uint64[2] private taken;

    /// A delivery of the next messages of a lane under the next header.
    function next(string memory label, uint32 lane, uint64 count) private {
        (Delivery memory it, HubProof memory proof) = delivery(lane, taken[lane], count);
        taken[lane] += count;
        transaction(label, gateway_, 0, abi.encodeCall(Gateway.deliver, (it, proof)));
    }

    function shares() private {
        for (uint256 i = 0; i < 61; ++i) hubAppend(DATA, aShare(i));
        for (uint256 i = 0; i < 10; ++i) hubAppend(DATA, message(77, 1, ""));
        // A backlog: what the lane holds besides counts by its leaf alone.
        hubLanes[DATA].leaves = manyLeaves(hubLanes[DATA].leaves, 1_000);
        next("shares x1", DATA, 1);
        next("shares x10", DATA, 10);
        next("shares x50", DATA, 50);
        next("refusals x10", DATA, 10);
    }

    function manyLeaves(bytes32[] memory leaves, uint256 size) private pure returns (bytes32[] memory all) {
        all = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            all[i] = i < leaves.length ? leaves[i] : keccak256(abi.encode("leaf", i));
        }
    }

    function aShare(uint256 i) private view returns (bytes memory) {
        Share memory it = shareOf(i, 0);
        it.envelope = envelope;
        it.fingerprint = fingerprintOf(envelope);
        return shareMessage(it);
    }

    function sending() private {
        for (uint256 i = 0; i < 33; ++i) {
            ShareOrder memory it;
            it.owner = keccak256("owner");
            it.localId = string.concat("greenhouse-", vm.toString(i));
            it.itemVersion = 1;
            it.schema = keccak256("schema");
            it.envelope = envelope;
            it.device = keccak256("device");
            bytes32 digest = keccak256(abi.encode(keccak256("tombolo/1/envelope"), keccak256(envelope)));
            it.signature = signed(FIRST, digest);
            it.destination = ELSEWHERE;
            it.salt = keccak256("salt");
            // The first opens the lane's words.
            transaction(i == 0 ? "-" : "share out", registry_, 0, abi.encodeCall(Registry.share, (it)));
        }
    }

    function commits() private {
        bytes32 asset = bytes32(uint256(uint160(token)));
        transaction("-", token, 0, abi.encodeCall(GoodToken.mint, (SENDER, 1_000_000)));
        bytes memory approval = abi.encodeWithSignature("approve(address,uint256)", vault_, type(uint256).max);
        transaction("-", token, 0, approval);
        // The first opens the lane's words.
        hubAppend(DATA, aShare(1_000));
        next("-", DATA, 1);
        bytes32 item = keccak256("an item");
        legs("Pay of an ERC-20", one(pay(FIRST, vm.addr(BOB), asset, 100)), by(FIRST), true);
        legs("Pay of an ERC-20", one(pay(FIRST, vm.addr(BOB), asset, 100)), by(FIRST), false);
        legs("TokenOut", one(tokenOut(gateway.chain(), asset, FIRST, 50)), by(FIRST), true);
        legs("TokenIn", one(tokenIn(gateway.chain(), asset, vm.addr(BOB), 50)), byNobody(), true);
        legs("MoveIn", one(moveIn(item, 1, SENDER)), byNobody(), true);
        legs("MoveOut", one(moveOut(item, FIRST)), by(FIRST), true);
    }

    function legs(string memory what, EncodedAction[] memory actions, uint256[] memory keys, bool commit) private {
        Deal memory it = dealOf(actions, keys);
        hubAppend(DATA, prepareMessage(it));
        next(string.concat("prepare ", what), DATA, 1);
        hubAppend(DATA, message(commit ? COMMIT : ABORT, 8, abi.encode(it.xid)));
        next(string.concat(commit ? "commit " : "abort ", what), DATA, 1);
    }

    function swaps() private {
        bytes memory secret = abi.encode(keccak256("secret"));
        bytes32 hash = sha256(secret);
        uint64 deadline = uint64(START * 1000 + 86_400_000);
        address bob = vm.addr(BOB);
        transaction("lock coins", htlc, 100, abi.encodeCall(Htlc.lockCoin, (hash, bob, deadline)));
        transaction("claim", htlc, 0, abi.encodeCall(Htlc.claim, (SENDER, hash, secret)));
        transaction("pay out coins", htlc, 0, abi.encodeCall(Htlc.withdraw, (bob, address(0))));
        bytes memory approval = abi.encodeWithSignature("approve(address,uint256)", htlc, type(uint256).max);
        transaction("-", token, 0, approval);
        bytes32 other = sha256("another");
        transaction("lock an ERC-20", htlc, 0, abi.encodeCall(Htlc.lockTokens, (other, bob, deadline, token, 100)));
        // `tools/gas.js` lets a day go by before this one.
        transaction("refund", htlc, 0, abi.encodeCall(Htlc.refund, (SENDER, other)));
        transaction("pay out an ERC-20", htlc, 0, abi.encodeCall(Htlc.withdraw, (SENDER, token)));
    }
}
