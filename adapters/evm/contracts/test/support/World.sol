// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Control} from "../../src/Control.sol";
import {Gateway} from "../../src/Gateway.sol";
import {Registry} from "../../src/Registry.sol";
import {Vault} from "../../src/Vault.sol";
import "../../src/protocol/Kinds.sol";
import "../../src/protocol/Structs.sol";
import {Hub} from "./Hub.sol";
import {Model} from "./Model.sol";

/// A hub, and this chain with all contracts of a gateway of mode 1.
abstract contract World is Hub {
    uint256 internal constant START = 1_800_000_000;
    bytes32 internal constant GENESIS = keccak256("block 0");

    Gateway internal gateway;
    Control internal control;
    Registry internal registry;
    Vault internal vault;
    uint256[] internal councilKeys;
    /// What of the gateway's lanes the hub was told by the last `hubTakes`.
    bytes32[][2] internal sentLeaves;

    function setUp() public virtual {
        vm.warp(START);
        rollTo(1_000);
        beginHub(4);
        birth();
    }

    function birth() internal {
        for (uint256 i = 0; i < 3; ++i) councilKeys.push(uint256(keccak256(abi.encode("council", i))));
        sortByAddress(councilKeys);
        address[] memory called = callees();
        uint256 nonce = vm.getNonce(address(this));
        GatewayConfig memory config = gatewayConfig();
        config.control = vm.computeCreateAddress(address(this), nonce + 1);
        config.registry = vm.computeCreateAddress(address(this), nonce + 2);
        config.vault = vm.computeCreateAddress(address(this), nonce + 3);
        gateway = Gateway(create("Gateway", abi.encode(config)));
        control = Control(create("Control", abi.encode(controlConfig(address(gateway)))));
        registry = Registry(create("Registry", abi.encode(gateway)));
        vault = Vault(create("Vault", abi.encode(gateway, called)));
        hubLink = gateway.link();
    }

    /// Contracts that take part by action kind 5.
    function callees() internal virtual returns (address[] memory) {}

    function gatewayConfig() internal view returns (GatewayConfig memory) {
        return GatewayConfig({
            genesis: GENESIS,
            incarnation: 1,
            anchor: anchorOfHub(),
            trustingPeriodMs: 14 days * 1000,
            weightMax: 64,
            backlogMax: 1_000,
            control: address(1),
            registry: address(2),
            vault: address(3)
        });
    }

    function controlConfig(address gateway_) internal view returns (ControlConfig memory config) {
        config.gateway = gateway_;
        config.council = addressesOf(councilKeys);
        config.councilThreshold = 2;
        config.councilDelayMs = 1 days * 1000;
        config.releasePeriodMs = 14 days * 1000;
        config.identityViewMs = 1 hours * 1000;
    }

    function addressesOf(uint256[] memory keys) internal pure returns (address[] memory addresses) {
        addresses = new address[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) addresses[i] = vm.addr(keys[i]);
    }

    /// Goes to a block whose parent has a hash.
    function rollTo(uint256 number) internal {
        vm.roll(number);
        vm.setBlockhash(number - 1, keccak256(abi.encode("block", number - 1)));
    }

    /// Both Hellos have passed: the link is open.
    function open() internal {
        control.hello();
        hubAppend(CONTROL, message(HELLO, HELLO_WEIGHT, fields(abi.encode(hubHello()))));
        deliverAll(CONTROL);
    }

    function hubHello() internal view returns (Hello memory it) {
        it.versionMin = 1;
        it.versionMax = 1;
        it.chain = HUB;
        it.mode = 1;
        it.identificationMethod = "tombolo-identity/1";
        it.trustingPeriodMs = 14 days * 1000;
        it.weightMax = 64;
        it.backlogMax = 100_000;
        it.anchorHeight = uint64(vm.getBlockNumber() - 1);
        it.anchorId = blockhash(vm.getBlockNumber() - 1);
    }

    /// Delivers what a lane holds and the gateway has not.
    function deliverAll(uint32 lane) internal returns (uint64) {
        uint64 from = gateway.laneLeaf(lane).received;
        return deliver(lane, from, uint64(hubLanes[lane].messages.length) - from);
    }

    function deliver(uint32 lane, uint64 first, uint64 count) internal returns (uint64) {
        (Delivery memory it, HubProof memory proof) = delivery(lane, first, count);
        return gateway.deliver(it, proof);
    }

    /// The hub takes all that the gateway has sent on a lane.
    function hubTakes(uint32 lane) internal {
        LaneLeaf memory leaf = gateway.laneLeaf(lane);
        hubLanes[lane].received = leaf.size;
        hubLanes[lane].receivedRoot = leaf.root;
    }

    /// The share of an open item, number `i`, from another chain to this one.
    function shareOf(uint256 i, uint256 envelopeBytes) internal view returns (Share memory it) {
        it.envelope = new bytes(envelopeBytes);
        for (uint256 j = 0; j < envelopeBytes; j += 32) {
            bytes32 word = keccak256(abi.encode(i, j));
            for (uint256 k = 0; k < 32 && j + k < envelopeBytes; ++k) it.envelope[j + k] = word[k];
        }
        it.globalId = keccak256(abi.encode("share", i));
        it.sourceChain = keccak256("another chain");
        it.sourceHeight = uint64(100 + i);
        it.destinationChain = gateway.chain();
        it.dataId = keccak256(abi.encode("item", i));
        it.itemVersion = 1;
        it.class = CLASS_OPEN;
        it.schema = keccak256("schema");
        it.fingerprint =
            keccak256(abi.encode(keccak256("tombolo/1/fingerprint"), keccak256(it.envelope)));
        it.owner = keccak256("owner");
        it.device = keccak256("device");
        it.signature = signed(uint256(keccak256("device key")), keccak256(it.envelope));
    }

    function shareMessage(Share memory it) internal pure returns (bytes memory) {
        return message(SHARE, SHARE_WEIGHT, fields(abi.encode(it)));
    }
}
