// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// What crosses ledgers, field by field as in docs/protocol.md. The ABI encoding of these structs as
// the parameters of a call *is* the protocol; a field's name is not part of it.

// --- Headers and validator sets: docs/protocol.md section 5 ------------------------------------

/// @notice Fifteen words; keccak256 over them is the block id.
struct Header {
    uint32 version; // 1
    bytes32 chainId;
    uint64 height; // from 1
    uint64 time; // milliseconds, greater than the parent's
    bytes32 parent;
    bytes32 transactionsRoot;
    bytes32 lanesRoot;
    bytes32 logRoot;
    uint64 logSize;
    bytes32 writesDigest;
    bytes32 stateRoot; // zero in version 1
    bytes32 validatorsRoot;
    bytes32 nextValidatorsRoot;
    bytes32 extensionsRoot; // zero in version 1
    bytes32 reserved; // zero in version 1
}

struct Validator {
    address validator;
    uint64 power; // greater than zero
}

/// @notice 1 to 100 members in ascending order of address; the sum of powers is at most 2^40.
struct ValidatorSet {
    uint64 firstHeight;
    Validator[] validators;
}

/// @notice What a light client starts from.
struct Anchor {
    bytes32 chainId;
    uint64 height;
    bytes32 blockId;
    uint64 time;
    ValidatorSet validators;
}

// --- Lanes: docs/protocol.md sections 4 and 7 --------------------------------------------------

/// @notice What a ledger commits to for one lane; hashed as twelve words.
struct LaneLeaf {
    bytes32 link;
    uint8 direction; // 0 hub to chain, 1 chain to hub
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

struct RangeProof {
    bytes32[] left;
    bytes32[] right;
}

// --- Messages: docs/protocol.md section 8 ------------------------------------------------------

struct Message {
    uint16 kind; // answers have bit 0x8000
    uint64 weight;
    uint64 notAfter; // receiver's block time in milliseconds; 0 is never
    bytes32 salt;
    bytes body;
}

struct Hello {
    uint16 versionMin;
    uint16 versionMax;
    bytes32 chain;
    uint8 mode;
    bytes32 gatewayCodeHash;
    string identificationMethod;
    bytes32 policyHash;
    address[] council;
    uint32 councilThreshold;
    uint64 trustingPeriodMs;
    uint64 councilDelayMs;
    uint64 weightMax;
    uint64 backlogMax;
    uint64 anchorHeight;
    bytes32 anchorId;
}

struct IdentityUpdate {
    bytes32 identity;
    uint16 roles;
    uint8 status; // 1 active, 2 suspended, 3 revoked
    bytes32 owner;
    address[] keys;
    address account;
    uint64 bindingNonce;
    bytes accountSignature;
    uint64 since;
}

struct SchemaUpdate {
    bytes32 schema;
    bytes definition;
}

struct CouncilAct {
    uint8 act;
    uint32 trustEpoch;
    uint64 holdsFrom; // milliseconds
    bytes32 subject;
    address[] signers;
}

struct Share {
    bytes32 globalId;
    bytes32 sourceChain;
    uint64 sourceHeight;
    bytes32 destinationChain;
    bytes32 dataId;
    uint32 itemVersion;
    uint8 class; // 1 open, 2 closed
    bytes32 schema;
    bytes32 fingerprint;
    bytes32 owner;
    string terms;
    bytes envelope;
    bytes32 device;
    bytes signature;
}

struct Prepare {
    bytes terms; // ABI(Terms)
    uint32 index;
    bytes branch; // ABI(Branch)
    Authorisation[] authorisations;
}

struct BeginRequest {
    bytes terms; // ABI(Terms)
    bytes[] branches; // ABI(Branch) of each, in order
    Authorisation[] authorisations; // of all branches
}

struct Decision {
    bytes32 xid;
}

struct Refused {
    uint64 request; // number of the request
    uint8 class;
    string message;
}

struct Vote {
    uint64 request; // number of the request
    bytes32 xid;
    bool yes;
    uint8 class;
    string message;
}

struct Done {
    uint64 request; // number of the request
    bytes32 xid;
}

// --- Two-phase commit: docs/protocol.md section 11 ---------------------------------------------

struct EncodedAction {
    uint8 kind;
    bytes body;
}

struct Branch {
    bytes32 link;
    EncodedAction[] actions;
}

struct Terms {
    bytes32 hub;
    bytes32 beginner;
    bytes32 salt;
    uint64 deadline; // milliseconds
    bytes32[] branches;
}

struct Authorisation {
    uint32 branch;
    address account;
    bytes signature;
}

struct MoveOut {
    bytes32 item;
    address from;
    bytes32 toChain;
}

struct MoveIn {
    bytes32 item;
    bytes32 fromChain;
    uint32 itemVersion;
    bytes32 schema;
    bytes32 fingerprint;
    bytes32 owner;
    address holder;
    bytes envelope;
    bytes32 device;
    bytes signature;
}

struct Write {
    bytes32 item;
    uint32 itemVersion;
    bytes32 schema;
    bytes32 fingerprint;
    bytes32 owner;
    address holder;
    bytes envelope;
    bytes32 device;
    bytes signature;
}

struct Pay {
    address from;
    address to;
    bytes32 asset;
    uint128 amount;
}

struct Call {
    address target;
    address from;
    bytes payload;
}

struct TokenOut {
    bytes32 home;
    bytes32 asset;
    address from;
    uint128 amount;
    bytes32 toChain;
}

struct TokenIn {
    bytes32 home;
    bytes32 asset;
    bytes32 fromChain;
    address to;
    uint128 amount;
}

// --- The recovery council: docs/protocol.md sections 14 and 21 ---------------------------------

/// @notice Subject of act 2: who attests from the next key epoch on (modes 2 and 3).
struct NodeKeys {
    bytes32 link;
    address[] keys; // ascending
    uint32 threshold; // 2 * threshold > keys
}

/// @notice Subject of act 3: a lane goes on in its next epoch, both ways.
struct Reopening {
    bytes32 link;
    uint32 lane;
    uint32 epoch; // one above the lane's own
    uint32 peerEpoch; // one above the opposite lane's
    uint64 received; // what the hub truly holds of the epoch that ends
}

/// @notice Subject of act 4: a lock is freed without a decision.
struct Release {
    bytes32 link;
    bytes32 xid;
}

// --- How an EVM gateway is called: docs/protocol.md section 21 ---------------------------------

/// @notice Messages of one lane with all that the gateway needs to believe them, but for the head.
struct Delivery {
    LaneLeaf leaf;
    uint64 first; // number of the first message
    bytes lengths; // of each message, in 3 bytes; at most 1,000 of them, may be none
    bytes messages; // ABI(Message) of each, one after the other
    RangeProof range;
}

/// @notice A header of the hub with the precommits that certify it.
struct CertifiedHeader {
    Header header;
    uint32 round;
    bytes signatures; // 65 bytes for each signer, in ascending order of signer
    ValidatorSet validators; // the set whose root the header names
}

/// @notice Mode 1: that a lane leaf stands in the hub's lanes tree.
struct HubProof {
    CertifiedHeader certified;
    uint64 index; // of the leaf in the lanes tree
    uint64 count; // of lanes
    bytes32[] path; // siblings from the leaf up
}

/// @notice Modes 2 and 3: that nodes have read a lane leaf. ADR 0010.
struct AttestedProof {
    uint64 height;
    bytes32 blockId;
    uint64 time; // milliseconds
    uint32 keyEpoch;
    bytes signatures; // 65 bytes for each signer, in ascending order of signer
}

/// @notice What a gateway is born with.
struct GatewayConfig {
    bytes32 genesis; // hash of block 0 of this chain
    uint32 incarnation;
    Anchor anchor; // of the hub
    uint64 trustingPeriodMs;
    uint64 weightMax;
    uint64 backlogMax;
    address control;
    address registry;
    address vault;
}

/// @notice What the control contract is born with.
struct ControlConfig {
    address gateway;
    address[] council; // ascending
    uint32 councilThreshold; // 2 * councilThreshold > council
    uint64 councilDelayMs;
    uint64 releasePeriodMs;
    uint64 identityViewMs;
    bytes32 policyHash;
}
