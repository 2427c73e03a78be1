// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Council} from "./control/Council.sol";
import {Identities} from "./control/Identities.sol";
import {CONTROL_LANE} from "./gateway/Lanes.sol";
import {IControl} from "./interfaces/IControl.sol";
import {IGateway} from "./interfaces/IGateway.sol";
import {ILaneReceiver} from "./interfaces/ILaneReceiver.sol";
import {Canonical} from "./protocol/Canonical.sol";
import {Digests} from "./protocol/Digests.sol";
import {HELLO, HELLO_WEIGHT, IDENTITY_UPDATE, PROTOCOL_VERSION} from "./protocol/Kinds.sol";
import "./protocol/Refusals.sol";
import {ControlConfig, Hello, SchemaUpdate} from "./protocol/Structs.sol";

/// @notice What passes over the control lane: Hello, identities, schemas, acts of the council.
/// docs/protocol.md sections 10, 13, 14 and 21.
contract Control is Council {
    /// How parties are identified; both ends of a link must say the same.
    string private constant IDENTIFICATION_METHOD = "tombolo-identity/1";

    /// @notice Age of the view of identities above which nothing leaves this chain.
    uint64 public immutable identityViewMs;
    bytes32 public immutable policyHash;

    /// @dev Checked as if it were hostile: it can never be mended (attack A62).
    constructor(ControlConfig memory config) Identities(IGateway(config.gateway)) Council(config) {
        ensure(IGateway(config.gateway).control() == address(this), E_STATE, "gateway names another");
        bool inRange = config.identityViewMs >= 1_000 && config.identityViewMs <= 31_536_000_000;
        ensure(inRange, E_FORMAT, "identity view out of range");
        identityViewMs = config.identityViewMs;
        policyHash = config.policyHash;
    }

    /// @inheritdoc IControl
    function hello() external {
        ensure(gateway.laneLeaf(CONTROL_LANE).size == 0, E_REPLAY, "Hello was said");
        (uint64 height,, bytes32 blockId) = gateway.newest();
        (address[] memory members, uint32 threshold) = council();
        bytes32 chain = gateway.chain();
        Hello memory it = Hello({
            versionMin: PROTOCOL_VERSION,
            versionMax: PROTOCOL_VERSION,
            chain: chain,
            mode: gateway.mode(),
            gatewayCodeHash: address(gateway).codehash,
            identificationMethod: IDENTIFICATION_METHOD,
            policyHash: policyHash,
            council: members,
            councilThreshold: threshold,
            trustingPeriodMs: gateway.trustingPeriodMs(),
            councilDelayMs: councilDelayMs,
            weightMax: gateway.weightMax(),
            backlogMax: gateway.backlogMax(),
            anchorHeight: height,
            anchorId: blockId
        });
        bytes memory body = parameters(abi.encode(it));
        gateway.sendControl(CONTROL_LANE, abi.encode(HELLO, HELLO_WEIGHT, uint64(0), chain, body));
    }

    /// @inheritdoc ILaneReceiver
    function takeRequest(uint256 kind, uint256, bytes calldata body)
        external
        returns (bytes32, uint8, bytes32)
    {
        ensure(msg.sender == address(gateway), E_DENIED, "for the gateway alone");
        if (kind == HELLO) {
            takeHello(body);
        } else if (kind == IDENTITY_UPDATE) {
            takeUpdate(body);
        } else {
            takeSchema(body);
        }
        return (0, 0, 0);
    }

    /// @inheritdoc IControl
    function requireFreshView() external view {
        uint64 time = nowMs();
        uint64 viewTime = gateway.identityViewTime();
        bool fresh = viewTime >= time || time - viewTime <= identityViewMs;
        ensure(fresh, E_IDENT, "view of identities is too old");
    }

    /// Takes the hub's Hello: the link opens. That the hub trusts this chain is compared with its
    /// history as far back as the EVM knows it.
    function takeHello(bytes calldata body) private {
        bool canonical = Canonical.matches(body, 15, hex"0202200120b020a001140408080808" hex"0820");
        ensure(canonical, E_FORMAT, "not a Hello");
        Hello memory it = abi.decode(bytes.concat(bytes32(uint256(32)), body), (Hello));
        bool speaks = it.versionMin <= PROTOCOL_VERSION && PROTOCOL_VERSION <= it.versionMax;
        ensure(speaks, E_VERSION, "the hub speaks other versions");
        ensure(it.chain == gateway.hub(), E_FORMAT, "Hello of another chain");
        bytes32 method = keccak256(bytes(it.identificationMethod));
        ensure(method == keccak256(bytes(IDENTIFICATION_METHOD)), E_IDMETHOD, "another method");
        ensure(it.mode == gateway.mode(), E_STATE, "another mode");
        bytes32 known = blockhash(it.anchorHeight);
        bool follows = it.anchorHeight < block.number && (known == 0 || known == it.anchorId);
        ensure(follows, E_PROOF, "the hub trusts another block");
        gateway.open(it.weightMax);
    }

    /// Takes a structure of readings, which no contract reads: its id must be its hash.
    function takeSchema(bytes calldata body) private pure {
        ensure(Canonical.matches(body, 2, hex"20b0"), E_FORMAT, "not a schema update");
        SchemaUpdate memory it = abi.decode(bytes.concat(bytes32(uint256(32)), body), (SchemaUpdate));
        ensure(Digests.schema(it.definition) == it.schema, E_TAMPER, "another definition");
    }

    /// The encoding of a struct's fields as parameters: without the offset that goes before a struct.
    function parameters(bytes memory encoded) private pure returns (bytes memory fields) {
        assembly ("memory-safe") {
            let length := sub(mload(encoded), 32)
            fields := add(encoded, 32)
            mstore(fields, length)
        }
    }
}
