// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Gateway} from "../src/Gateway.sol";
import {Client} from "../src/gateway/Client.sol";
import {TAG_LANE_LEAF} from "../src/protocol/Digests.sol";
import {Log} from "../src/protocol/Log.sol";
import {E_PROOF} from "../src/protocol/Refusals.sol";
import "../src/protocol/Structs.sol";
import {Check} from "./support/Check.sol";

struct CommitSignature {
    address signer;
    bytes signature;
}

/// As the protocol encodes it; a gateway takes the signatures one after the other.
struct Certificate {
    uint64 height;
    uint32 round;
    bytes32 blockId;
    CommitSignature[] signatures;
}

struct HeadProof {
    Header header;
    Certificate certificate;
    uint64 index;
    uint64 count;
    bytes32[] path;
}

struct ClientUpdate {
    Header header;
    Certificate certificate;
    ValidatorSet nextValidators;
}

/// A gateway whose client can be asked by itself.
contract OpenClient is Gateway {
    constructor(GatewayConfig memory config) Gateway(config) {}

    function head(bytes32 leaf, HubProof calldata proof) external view returns (bytes32 id, bool included) {
        bool contradicts;
        (id, contradicts) = believe(loadClient(), proof.certified);
        assert(!contradicts);
        bytes32 root = proof.certified.header.lanesRoot;
        included = Log.includes(leaf, proof.index, proof.count, proof.path, root);
    }
}

/// The vectors of the light client: certificates with a verdict on each, and a client that goes from
/// genesis over a change of validators to a proved head.
contract ClientVectorsTest is Check {
    function test_a09_certificate_vectors() external {
        string memory json = vm.readFile("../../../tests/vectors/certificate.json");
        ValidatorSet memory set = setIn(vm.parseJsonBytes(json, ".validators"));
        string memory headers = vm.readFile("../../../tests/vectors/header.json");
        Header memory header = abi.decode(vm.parseJsonBytes(headers, ".cases[0].bytes"), (Header));
        OpenClient client = clientAt(Anchor(header.chainId, 6, header.parent, header.time - 1, set));
        vm.warp(header.time / 1000 + 10);
        uint256 i = 0;
        for (; vm.keyExistsJson(json, entry(i, "")); ++i) {
            Certificate memory certificate = abi.decode(
                bytes.concat(bytes32(uint256(32)), vm.parseJsonBytes(json, entry(i, ".bytes"))), (Certificate)
            );
            HubProof memory proof;
            proof.certified = CertifiedHeader(header, certificate.round, packed(certificate), set);
            string memory name = vm.parseJsonString(json, entry(i, ".name"));
            if (vm.parseJsonBool(json, entry(i, ".valid"))) {
                (bytes32 id,) = client.head(keccak256("leaf"), proof);
                equal(id, certificate.blockId, name);
            } else {
                try client.head(keccak256("leaf"), proof) {
                    revert Fails(name);
                } catch (bytes memory why) {
                    equal(classOf(why), E_PROOF, name);
                }
            }
        }
        equal(i, 9, "certificates");
    }

    function test_client_vectors() external {
        string memory json = vm.readFile("../../../tests/vectors/client.json");
        bytes memory anchor = vm.parseJsonBytes(json, ".anchor");
        OpenClient client = clientAt(abi.decode(bytes.concat(bytes32(uint256(32)), anchor), (Anchor)));
        vm.warp(vm.parseJsonUint(json, ".now") / 1000);
        bytes memory encoded = bytes.concat(bytes32(uint256(32)), vm.parseJsonBytes(json, ".update"));
        ClientUpdate memory update = abi.decode(encoded, (ClientUpdate));
        ValidatorSet memory first = abi.decode(bytes.concat(bytes32(uint256(32)), anchor), (Anchor)).validators;
        CertifiedHeader memory certified =
            CertifiedHeader(update.header, update.certificate.round, packed(update.certificate), first);
        client.updateClient(certified, update.nextValidators);
        equal(client.validatorsRoot(), update.header.nextValidatorsRoot, "root of the next set");

        encoded = bytes.concat(bytes32(uint256(32)), vm.parseJsonBytes(json, ".head_proof"));
        HeadProof memory given = abi.decode(encoded, (HeadProof));
        HubProof memory proof;
        proof.certified = CertifiedHeader(
            given.header, given.certificate.round, packed(given.certificate), update.nextValidators
        );
        (proof.index, proof.count, proof.path) = (given.index, given.count, given.path);
        // All fields of a lane leaf are static, so its encoding is what is hashed.
        bytes32 leaf = keccak256(bytes.concat(TAG_LANE_LEAF, vm.parseJsonBytes(json, ".head_leaf")));
        (bytes32 id, bool included) = client.head(leaf, proof);
        equal(id, vm.parseJsonBytes32(json, ".block_id"), "block id");
        equal(given.header.height, vm.parseJsonUint(json, ".height"), "height");
        isTrue(included, "the leaf stands in the lanes tree");
        (, included) = client.head(keccak256("another leaf"), proof);
        isTrue(!included, "another leaf does not");
    }

    function clientAt(Anchor memory anchor) private returns (OpenClient) {
        vm.warp(anchor.time / 1000 + 1);
        return new OpenClient(
            GatewayConfig({
                genesis: keccak256("block 0"),
                incarnation: 1,
                anchor: anchor,
                trustingPeriodMs: 14 days * 1000,
                weightMax: 64,
                backlogMax: 1_000,
                control: address(1),
                registry: address(2),
                vault: address(3)
            })
        );
    }

    function setIn(bytes memory encoded) private pure returns (ValidatorSet memory) {
        return abi.decode(bytes.concat(bytes32(uint256(32)), encoded), (ValidatorSet));
    }

    function packed(Certificate memory certificate) private pure returns (bytes memory signatures) {
        for (uint256 i = 0; i < certificate.signatures.length; ++i) {
            signatures = bytes.concat(signatures, certificate.signatures[i].signature);
        }
    }

    function entry(uint256 i, string memory field) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(i), "]", field);
    }
}
