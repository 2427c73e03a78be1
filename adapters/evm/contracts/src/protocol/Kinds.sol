// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// The kinds of lane message and action, and their weights: docs/protocol.md sections 8 and 11.

uint16 constant HELLO = 1;
uint16 constant IDENTITY_UPDATE = 2;
uint16 constant SCHEMA_UPDATE = 3;
uint16 constant COUNCIL_ACT = 4;
uint16 constant SHARE = 5;
uint16 constant PREPARE = 6;
uint16 constant COMMIT = 7;
uint16 constant ABORT = 8;
uint16 constant BEGIN = 9;

// Marks an answer. Answers are never answered.
uint16 constant ANSWER_BIT = 0x8000;
uint16 constant REFUSED = 0x8001;
uint16 constant VOTE = 0x8002;
uint16 constant DONE = 0x8003;

uint64 constant HELLO_WEIGHT = 4;
uint64 constant COUNCIL_ACT_WEIGHT = 1;
uint64 constant SHARE_WEIGHT = 2;
uint64 constant DECISION_WEIGHT = 8;
uint64 constant BEGIN_WEIGHT = 16;
uint64 constant ANSWER_WEIGHT = 1;

uint8 constant MOVE_OUT = 1;
uint8 constant MOVE_IN = 2;
uint8 constant WRITE = 3;
uint8 constant PAY = 4;
uint8 constant CALL = 5;
uint8 constant TOKEN_OUT = 6;
uint8 constant TOKEN_IN = 7;

// Whether data may be copied across ledgers.
uint8 constant CLASS_OPEN = 1;
uint8 constant CLASS_CLOSED = 2;

// The protocol version that these contracts speak.
uint16 constant PROTOCOL_VERSION = 1;
