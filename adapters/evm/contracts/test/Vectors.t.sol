// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HubClient} from "../src/gateway/HubClient.sol";
import {Digests, TAG_NODE, TAG_VALIDATORS} from "../src/protocol/Digests.sol";
import {Log} from "../src/protocol/Log.sol";
import {Signatures} from "../src/protocol/Signatures.sol";
import "../src/protocol/Structs.sol";
import {Check} from "./support/Check.sol";

/// What is private to libraries, with calldata as the contracts have it.
contract Subject {
    function range(
        uint256 start,
        bytes32[] memory leaves,
        uint256 size,
        bytes32 root,
        RangeProof calldata proof,
        uint256 within
    ) external pure returns (bool, bytes32, bytes32) {
        return Log.range(start, leaves, size, root, proof, within);
    }

    function includes(bytes32 leaf, uint256 index, uint256 size, bytes32[] calldata path, bytes32 root)
        external
        pure
        returns (bool)
    {
        return Log.includes(leaf, index, size, path, root);
    }

    function blockId(Header calldata header) external pure returns (bytes32) {
        return Digests.blockId(header);
    }

    function laneLeaf(LaneLeaf calldata leaf) external pure returns (bytes32) {
        return Digests.laneLeaf(leaf);
    }

    function fingerprint(bytes calldata envelope) external pure returns (bytes32) {
        return Digests.fingerprint(envelope);
    }

    function signedEnvelope(bytes calldata envelope) external pure returns (bytes32) {
        return Digests.signedEnvelope(envelope);
    }

    function branch(bytes calldata encoded) external pure returns (bytes32) {
        return Digests.branch(encoded);
    }

    function xid(bytes calldata terms) external pure returns (bytes32) {
        return Digests.xid(terms);
    }

    function recover(bytes32 digest, bytes calldata signature) external pure returns (address) {
        return Signatures.recover(digest, signature);
    }
}

/// The golden vectors that the Rust implementation reads too: what shows that both follow one protocol.
contract VectorsTest is Check {
    Subject private subject = new Subject();

    function test_log_vectors() external view {
        string memory json = read("log");
        equal(TAG_NODE, vm.parseJsonBytes32(json, ".node_tag"), "tag");
        equal(Log.EMPTY_ROOT, vm.parseJsonBytes32(json, ".empty_root"), "empty root");
        uint256 i = 0;
        for (; vm.keyExistsJson(json, path("ranges", i)); ++i) {
            string memory entry = path("ranges", i);
            RangeProof memory proof = RangeProof(
                vm.parseJsonBytes32Array(json, string.concat(entry, ".left")),
                vm.parseJsonBytes32Array(json, string.concat(entry, ".right"))
            );
            bytes32[] memory leaves = vm.parseJsonBytes32Array(json, string.concat(entry, ".leaves"));
            uint256 start = vm.parseJsonUint(json, string.concat(entry, ".start"));
            uint256 size = vm.parseJsonUint(json, string.concat(entry, ".size"));
            bytes32 root = vm.parseJsonBytes32(json, string.concat(entry, ".root"));
            (bool holds, bytes32 rootAt, bytes32 rootAtEnd) =
                subject.range(start, leaves, size, root, proof, start);
            isTrue(holds, entry);
            equal(rootAt, vm.parseJsonBytes32(json, string.concat(entry, ".prefix_root")), "prefix root");
            equal(rootAtEnd, vm.parseJsonBytes32(json, string.concat(entry, ".end_root")), "end root");
            bytes memory encoded = abi.encode(proof.left, proof.right);
            bytes memory expected = vm.parseJsonBytes(json, string.concat(entry, ".bytes"));
            equal(keccak256(encoded), keccak256(expected), "bytes of the proof");
        }
        equal(i, 14, "ranges");
        for (i = 0; vm.keyExistsJson(json, path("inclusions", i)); ++i) {
            string memory entry = path("inclusions", i);
            isTrue(
                subject.includes(
                    vm.parseJsonBytes32(json, string.concat(entry, ".leaf")),
                    vm.parseJsonUint(json, string.concat(entry, ".index")),
                    vm.parseJsonUint(json, string.concat(entry, ".size")),
                    vm.parseJsonBytes32Array(json, string.concat(entry, ".path")),
                    vm.parseJsonBytes32(json, string.concat(entry, ".root"))
                ),
                entry
            );
        }
        equal(i, 7, "inclusions");
    }

    function test_header_vectors() external view {
        string memory json = read("header");
        uint256 i = 0;
        for (; vm.keyExistsJson(json, path("cases", i)); ++i) {
            bytes memory encoded = vm.parseJsonBytes(json, string.concat(path("cases", i), ".bytes"));
            bytes32 id = subject.blockId(abi.decode(encoded, (Header)));
            equal(id, vm.parseJsonBytes32(json, string.concat(path("cases", i), ".block_id")), "block id");
        }
        equal(i, 3, "headers");
    }

    function test_validators_vectors() external view {
        string memory json = read("validators");
        equal(TAG_VALIDATORS, vm.parseJsonBytes32(json, ".tag"), "tag");
        uint256 i = 0;
        for (; vm.keyExistsJson(json, path("cases", i)); ++i) {
            bytes memory encoded = vm.parseJsonBytes(json, string.concat(path("cases", i), ".bytes"));
            ValidatorSet memory set = abi.decode(bytes.concat(bytes32(uint256(32)), encoded), (ValidatorSet));
            bytes32 root = vm.parseJsonBytes32(json, string.concat(path("cases", i), ".root"));
            equal(Digests.validatorsRoot(set), root, "validators root");
        }
        equal(i, 4, "sets");
    }

    function test_a08_signature_vectors() external view {
        string memory json = read("signature");
        uint256 i = 0;
        for (; vm.keyExistsJson(json, path("cases", i)); ++i) {
            string memory entry = path("cases", i);
            bytes32 digest = vm.parseJsonBytes32(json, string.concat(entry, ".digest"));
            bytes memory signature = vm.parseJsonBytes(json, string.concat(entry, ".signature"));
            address signer = vm.parseJsonAddress(json, string.concat(entry, ".address"));
            equal(subject.recover(digest, signature), signer, "signer");
            equal(Signatures.recoverCopied(digest, signature), signer, "signer of a copy");
            uint256 key = uint256(vm.parseJsonBytes32(json, string.concat(entry, ".secret_key")));
            equal(vm.addr(key), signer, "address");
        }
        equal(i, 8, "signatures");
        bytes32 over = vm.parseJsonBytes32(json, ".refused_over");
        for (i = 0; vm.keyExistsJson(json, path("refused", i)); ++i) {
            bytes memory signature = vm.parseJsonBytes(json, string.concat(path("refused", i), ".signature"));
            equal(subject.recover(over, signature), address(0), "refused");
            equal(Signatures.recoverCopied(over, signature), address(0), "refused copy");
        }
        equal(i, 7, "refused signatures");
    }

    function test_lane_vectors() external view {
        string memory json = read("lane");
        bytes memory encoded = vm.parseJsonBytes(json, ".lane_leaf.bytes");
        bytes32 hash = subject.laneLeaf(abi.decode(encoded, (LaneLeaf)));
        equal(hash, vm.parseJsonBytes32(json, ".lane_leaf.hash"), "lane leaf");
        bytes32 id = Digests.link(
            vm.parseJsonBytes32(json, ".link_id.hub"),
            vm.parseJsonBytes32(json, ".link_id.chain"),
            vm.parseJsonAddress(json, ".link_id.gateway"),
            uint32(vm.parseJsonUint(json, ".link_id.incarnation"))
        );
        equal(id, vm.parseJsonBytes32(json, ".link_id.id"), "link id");
        bytes memory message = vm.parseJsonBytes(json, ".message.bytes");
        bytes memory ours = abi.encode(
            uint16(vm.parseJsonUint(json, ".message.kind")),
            uint64(vm.parseJsonUint(json, ".message.weight")),
            uint64(vm.parseJsonUint(json, ".message.not_after")),
            vm.parseJsonBytes32(json, ".message.salt"),
            vm.parseJsonBytes(json, ".message.body")
        );
        equal(keccak256(ours), keccak256(message), "message");
        uint256 i = 0;
        for (; vm.keyExistsJson(json, path("message_leaves", i)); ++i) {
            string memory entry = path("message_leaves", i);
            bytes32 leaf = Digests.messageLeaf(
                vm.parseJsonBytes32(json, string.concat(entry, ".link")),
                uint8(vm.parseJsonUint(json, string.concat(entry, ".direction"))),
                uint32(vm.parseJsonUint(json, string.concat(entry, ".lane"))),
                uint32(vm.parseJsonUint(json, string.concat(entry, ".epoch"))),
                uint64(vm.parseJsonUint(json, string.concat(entry, ".number"))),
                keccak256(message)
            );
            equal(leaf, vm.parseJsonBytes32(json, string.concat(entry, ".leaf")), "message leaf");
        }
        equal(i, 3, "message leaves");
    }

    function test_data_vectors() external view {
        string memory json = read("data");
        uint256 i = 0;
        for (; vm.keyExistsJson(json, path("data_ids", i)); ++i) {
            string memory entry = path("data_ids", i);
            bytes32 id = Digests.dataId(
                vm.parseJsonBytes32(json, string.concat(entry, ".home")),
                vm.parseJsonBytes32(json, string.concat(entry, ".owner")),
                bytes(vm.parseJsonString(json, string.concat(entry, ".local_id")))
            );
            equal(id, vm.parseJsonBytes32(json, string.concat(entry, ".data_id")), "data id");
        }
        equal(i, 3, "data ids");
        bytes memory envelope = vm.parseJsonBytes(json, ".envelope.bytes");
        bytes32 expected = vm.parseJsonBytes32(json, ".envelope.fingerprint");
        equal(subject.fingerprint(envelope), expected, "fingerprint");
        expected = vm.parseJsonBytes32(json, ".envelope.signed_digest");
        equal(subject.signedEnvelope(envelope), expected, "signed envelope");
        bytes memory definition = vm.parseJsonBytes(json, ".schema.bytes");
        equal(Digests.schema(definition), vm.parseJsonBytes32(json, ".schema.id"), "schema");
        bytes32 binding = Digests.binding(
            vm.parseJsonBytes32(json, ".binding.hub"),
            vm.parseJsonBytes32(json, ".binding.chain"),
            vm.parseJsonAddress(json, ".binding.account"),
            vm.parseJsonBytes32(json, ".binding.identity"),
            uint64(vm.parseJsonUint(json, ".binding.nonce"))
        );
        equal(binding, vm.parseJsonBytes32(json, ".binding.digest"), "binding");
        bytes32 act = Digests.councilAct(
            vm.parseJsonBytes32(json, ".council_act.chain"),
            uint8(vm.parseJsonUint(json, ".council_act.act")),
            uint32(vm.parseJsonUint(json, ".council_act.trust_epoch")),
            vm.parseJsonBytes32(json, ".council_act.subject")
        );
        equal(act, vm.parseJsonBytes32(json, ".council_act.digest"), "council act");
    }

    function test_two_phase_vectors() external view {
        string memory json = read("two_phase");
        uint256 i = 0;
        for (; vm.keyExistsJson(json, path("branches", i)); ++i) {
            string memory entry = path("branches", i);
            bytes32 hash = subject.branch(vm.parseJsonBytes(json, string.concat(entry, ".bytes")));
            equal(hash, vm.parseJsonBytes32(json, string.concat(entry, ".hash")), "branch");
        }
        equal(i, 2, "branches");
        bytes32 xid = subject.xid(vm.parseJsonBytes(json, ".terms"));
        equal(xid, vm.parseJsonBytes32(json, ".xid"), "xid");
        bytes32 digest = Digests.authorisation(xid);
        equal(digest, vm.parseJsonBytes32(json, ".authorisation.digest"), "authorisation");
        address signer = subject.recover(digest, vm.parseJsonBytes(json, ".authorisation.signature"));
        equal(signer, vm.parseJsonAddress(json, ".authorisation.account"), "signer");
    }

    /// What a council signs is the same for a contract, an islet and the hub.
    function test_council_vectors() external view {
        string memory json = read("council");
        bytes32 chain = vm.parseJsonBytes32(json, ".chain");
        uint256 i = 0;
        for (; vm.keyExistsJson(json, path("cases", i)); ++i) {
            string memory entry = path("cases", i);
            bytes memory data = vm.parseJsonBytes(json, string.concat(entry, ".bytes"));
            uint8 act = uint8(vm.parseJsonUint(json, string.concat(entry, ".act")));
            uint32 epoch = uint32(vm.parseJsonUint(json, string.concat(entry, ".trust_epoch")));
            bytes32 digest = Digests.councilAct(chain, act, epoch, keccak256(data));
            equal(digest, vm.parseJsonBytes32(json, string.concat(entry, ".digest")), "digest");
            string memory fields = string.concat(entry, ".fields");
            bytes32 link = act == 1 ? bytes32(0) : vm.parseJsonBytes32(json, string.concat(fields, ".link"));
            bytes memory made = data;
            if (act == 3) {
                Reopening memory it;
                it.link = link;
                it.lane = uint32(vm.parseJsonUint(json, string.concat(fields, ".lane")));
                it.epoch = uint32(vm.parseJsonUint(json, string.concat(fields, ".epoch")));
                it.peerEpoch = uint32(vm.parseJsonUint(json, string.concat(fields, ".peer_epoch")));
                it.received = uint64(vm.parseJsonUint(json, string.concat(fields, ".received")));
                made = abi.encode(it);
            }
            if (act == 4) {
                made = abi.encode(Release(link, vm.parseJsonBytes32(json, string.concat(fields, ".xid"))));
            }
            equal(keccak256(made), keccak256(data), "bytes");
        }
        equal(i, 3, "cases");
    }

    function read(string memory name) private view returns (string memory) {
        return vm.readFile(string.concat("../../../tests/vectors/", name, ".json"));
    }

    function path(string memory array, uint256 i) private pure returns (string memory) {
        return string.concat(".", array, "[", vm.toString(i), "]");
    }
}
