//! What the gateway's contracts offer, as far as the adapter uses it. docs/protocol.md section 21.
//!
//! A test holds every selector here against the artifacts.

// The macro writes the types; their fields are explained in the protocol.
#![allow(missing_docs, clippy::too_many_arguments)]

use alloy::sol;

sol! {
    #[derive(Debug, PartialEq, Eq)]
    struct Header {
        uint32 version;
        bytes32 chainId;
        uint64 height;
        uint64 time;
        bytes32 parent;
        bytes32 transactionsRoot;
        bytes32 lanesRoot;
        bytes32 logRoot;
        uint64 logSize;
        bytes32 writesDigest;
        bytes32 stateRoot;
        bytes32 validatorsRoot;
        bytes32 nextValidatorsRoot;
        bytes32 extensionsRoot;
        bytes32 reserved;
    }
    #[derive(Debug, PartialEq, Eq)]
    struct Validator { address validator; uint64 power; }
    #[derive(Debug, PartialEq, Eq)]
    struct ValidatorSet { uint64 firstHeight; Validator[] validators; }
    #[derive(Debug, PartialEq, Eq)]
    struct Anchor {
        bytes32 chainId;
        uint64 height;
        bytes32 blockId;
        uint64 time;
        ValidatorSet validators;
    }
    #[derive(Debug, PartialEq, Eq)]
    struct LaneLeaf {
        bytes32 link;
        uint8 direction;
        uint32 lane;
        uint32 epoch;
        uint64 size;
        bytes32 root;
        uint32 peerEpoch;
        uint64 received;
        bytes32 receivedRoot;
        uint64 peerHeight;
        bytes32 peerId;
        uint32 trustEpoch;
    }
    #[derive(Debug, PartialEq, Eq)]
    struct RangeProof { bytes32[] left; bytes32[] right; }
    #[derive(Debug, PartialEq, Eq)]
    struct Delivery {
        LaneLeaf leaf;
        uint64 first;
        bytes lengths;
        bytes messages;
        RangeProof range;
    }
    #[derive(Debug, PartialEq, Eq)]
    struct CertifiedHeader {
        Header header;
        uint32 round;
        bytes signatures;
        ValidatorSet validators;
    }
    #[derive(Debug, PartialEq, Eq)]
    struct HubProof {
        CertifiedHeader certified;
        uint64 index;
        uint64 count;
        bytes32[] path;
    }
    #[derive(Debug, PartialEq, Eq)]
    struct AttestedProof {
        uint64 height;
        bytes32 blockId;
        uint64 time;
        uint32 keyEpoch;
        bytes signatures;
    }

    /// Why a call was refused.
    #[derive(Debug, PartialEq, Eq)]
    error Refuse(uint8 class, bytes32 sentence);

    /// Every gateway, whatever its mode.
    interface IGateway {
        event Sent(
            uint32 indexed lane, uint64 indexed number, uint32 epoch, uint64 previousBlock,
            bytes message
        );
        event Taken(uint32 indexed lane, uint64 received, uint64 height);
        event Frozen(bool client, bytes32 sentence);

        function chain() external view returns (bytes32);
        function hub() external view returns (bytes32);
        function link() external view returns (bytes32);
        function mode() external view returns (uint8);
        function control() external view returns (address);
        function registry() external view returns (address);
        function vault() external view returns (address);
        function trustingPeriodMs() external view returns (uint64);
        function standing()
            external view
            returns (uint8 status, uint8 client, uint64 since, uint32 trustEpoch);
        function newest() external view returns (uint64 height, uint64 time, bytes32 blockId);
        function laneLeaf(uint32 lane) external view returns (LaneLeaf memory);
        function identityViewTime() external view returns (uint64);
    }

    /// A gateway of mode 1.
    interface IHubGateway {
        event ValidatorsChanged(bytes32 indexed root, ValidatorSet validators);

        function deliver(Delivery calldata delivery, HubProof calldata proof)
            external returns (uint64 received);
        function updateClient(CertifiedHeader calldata certified, ValidatorSet calldata next)
            external;
        function misbehaviour(CertifiedHeader calldata a, CertifiedHeader calldata b) external;
        function validatorsRoot() external view returns (bytes32);
    }

    /// A gateway of mode 2 or 3.
    interface IAttestedGateway {
        function deliver(Delivery calldata delivery, AttestedProof calldata proof)
            external returns (uint64 received);
        function deviation(LaneLeaf calldata leaf, AttestedProof calldata statement) external;
        function nodeKeys()
            external view
            returns (address[] memory keys, uint32 threshold, uint32 keyEpoch);
    }

    /// What passes over the control lane.
    interface IControl {
        function hello() external;
    }

    /// An open item as its owner shares it; its home is the chain. IRegistry.sol explains each field.
    #[derive(Debug, PartialEq, Eq)]
    struct ShareOrder {
        bytes32 owner;
        string localId;
        uint32 itemVersion;
        bytes32 schema;
        string terms;
        bytes envelope;
        bytes32 device;
        bytes signature;
        bytes32 destination;
        uint64 notAfter;
        bytes32 salt;
    }

    /// Open data.
    interface IRegistry {
        function share(ShareOrder calldata order) external returns (uint64 number);
        function item(bytes32 dataId) external view returns (uint32 itemVersion, uint8 standing);
        function isAnchored(
            bytes32 dataId, uint32 itemVersion, bytes32 fingerprint, bytes32 sourceChain
        ) external view returns (bool);
    }

    /// What two-phase commit locks, and balances for it, as a wallet uses them.
    interface IVault {
        function deposit(bytes32 asset, uint128 amount, bytes32 xid)
            external payable returns (uint128 credited);
        function balanceOf(address account, bytes32 asset) external view returns (uint128);
        function closedItem(bytes32 dataId) external view returns (
            uint8 standing, uint32 itemVersion, bytes32 fingerprint, address holder
        );
    }

    /// What a gateway is born with.
    #[derive(Debug, PartialEq, Eq)]
    struct GatewayConfig {
        bytes32 genesis;
        uint32 incarnation;
        Anchor anchor;
        uint64 trustingPeriodMs;
        uint64 weightMax;
        uint64 backlogMax;
        address control;
        address registry;
        address vault;
    }
    /// What the control contract is born with.
    #[derive(Debug, PartialEq, Eq)]
    struct ControlConfig {
        address gateway;
        address[] council;
        uint32 councilThreshold;
        uint64 councilDelayMs;
        uint64 releasePeriodMs;
        uint64 identityViewMs;
        bytes32 policyHash;
    }

    /// Births; what each contract offers stands in its interface.
    contract Gateway { constructor(GatewayConfig memory config); }
    contract AttestedGateway {
        constructor(
            GatewayConfig memory config, uint8 mode, address[] memory keys, uint32 threshold
        );
    }
    contract Control { constructor(ControlConfig memory config); }
    contract Registry { constructor(address gateway); }
    contract Vault { constructor(address gateway, address[] memory callees); }
}
