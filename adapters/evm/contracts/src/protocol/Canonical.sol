// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Whether bytes are *the* ABI encoding of a value of a given shape: docs/protocol.md
/// section 1. After a yes `abi.decode` cannot fail, and encoding again gives the same bytes.
/// @dev A shape is written in bytes, one type after the other:
///  - `01 … 20`  a number or word of so many bytes, left-padded with zeros; `14` is an address
///  - `b0`       bytes or string; `b1` bytes of length 65, a signature
///  - `a0 l …`   an array; its element's shape has `l` bytes
///  - `c0 n …`   a tuple of `n` fields that holds bytes or arrays, as a field or an element
///  - `d0 n …`   a tuple of `n` numbers or words, as an element
/// Text is not checked to be UTF-8 (ADR 0009).
library Canonical {
    uint256 private constant BYTES = 0xb0;
    uint256 private constant SIGNATURE = 0xb1;
    uint256 private constant ARRAY = 0xa0;
    uint256 private constant TUPLE = 0xc0;
    uint256 private constant FLAT_TUPLE = 0xd0;
    /// No valid encoding ends here: what is wrong stays wrong.
    uint256 private constant WRONG = type(uint256).max;

    /// What is walked over: `offset` and `length` of the data, the shape and the place in it.
    struct Walk {
        uint256 offset;
        uint256 length;
        bytes shape;
        uint256 place;
    }

    /// @notice Whether `data` encodes `fields` parameters of this shape, and nothing else.
    function matches(bytes calldata data, uint256 fields, bytes memory shape) internal pure returns (bool) {
        uint256 offset;
        assembly ("memory-safe") {
            offset := data.offset
        }
        Walk memory walk = Walk(offset, data.length, shape, 0);
        return tuple(walk, 0, fields) == data.length;
    }

    /// The end of a tuple whose head begins at `base`, or `WRONG`.
    function tuple(Walk memory walk, uint256 base, uint256 fields) private pure returns (uint256 tail) {
        tail = base + 32 * fields;
        if (tail > walk.length) return WRONG;
        for (uint256 i = 0; i < fields; ++i) {
            uint256 kind = next(walk);
            uint256 word = load(walk, base + 32 * i);
            if (kind <= 32) {
                if (!fits(word, kind)) return WRONG;
            } else {
                if (word != tail - base) return WRONG;
                tail = dynamic(walk, kind, tail);
                if (tail == WRONG) return WRONG;
            }
        }
    }

    /// The end of bytes, an array or a tuple that begins at `place`, or `WRONG`.
    function dynamic(Walk memory walk, uint256 kind, uint256 place) private pure returns (uint256) {
        if (kind == TUPLE) return tuple(walk, place, next(walk));
        if (place + 32 > walk.length) return WRONG;
        uint256 count = load(walk, place);
        // No count that fits the data overflows what is computed with it.
        if (count > walk.length) return WRONG;
        if (kind == ARRAY) return array(walk, place + 32, count);
        uint256 end = place + 32 + ((count + 31) & ~uint256(31));
        if (end > walk.length || (kind == SIGNATURE && count != 65)) return WRONG;
        uint256 padding = end - place - 32 - count;
        if (padding > 0 && load(walk, end - 32) << (8 * (32 - padding)) != 0) return WRONG;
        return end;
    }

    /// The end of the elements of an array that begin at `base`, or `WRONG`.
    function array(Walk memory walk, uint256 base, uint256 count) private pure returns (uint256 tail) {
        uint256 length = next(walk);
        uint256 element = walk.place;
        uint256 kind = next(walk);
        uint256 words = kind == FLAT_TUPLE ? next(walk) : 1;
        uint256 inner = walk.place;
        tail = base + 32 * words * count;
        if (tail > walk.length) return WRONG;
        for (uint256 i = 0; i < count; ++i) {
            walk.place = inner;
            if (kind == FLAT_TUPLE) {
                for (uint256 j = 0; j < words; ++j) {
                    if (!fits(load(walk, base + 32 * (i * words + j)), next(walk))) return WRONG;
                }
            } else if (kind <= 32) {
                if (!fits(load(walk, base + 32 * i), kind)) return WRONG;
            } else {
                if (load(walk, base + 32 * i) != tail - base) return WRONG;
                tail = dynamic(walk, kind, tail);
                if (tail == WRONG) return WRONG;
            }
        }
        walk.place = element + length;
    }

    function next(Walk memory walk) private pure returns (uint256) {
        return uint8(walk.shape[walk.place++]);
    }

    function fits(uint256 word, uint256 size) private pure returns (bool) {
        return size == 32 || word >> (8 * size) == 0;
    }

    /// The word at a place that has been found to lie in the data.
    function load(Walk memory walk, uint256 place) private pure returns (uint256 word) {
        uint256 offset = walk.offset + place;
        assembly ("memory-safe") {
            word := calldataload(offset)
        }
    }
}
