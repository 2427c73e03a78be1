// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IHubGateway} from "../interfaces/IGateway.sol";
import {Digests, TAG_VALIDATORS} from "../protocol/Digests.sol";
import {E_FORMAT, E_PROOF, E_VERSION, ensure} from "../protocol/Refusals.sol";
import {Signatures} from "../protocol/Signatures.sol";
import {Anchor, CertifiedHeader, Header, Validator, ValidatorSet} from "../protocol/Structs.sol";
import {Client, SUCCEEDED} from "./Client.sol";
import {ClientState} from "./ClientState.sol";

/// @notice The light client of the hub: docs/protocol.md section 6.
/// @dev Held are roots of validator sets; the sets themselves are calldata. A set is left only
/// through a header under it that names the next, one header per change.
abstract contract HubClient is IHubGateway, ClientState {
    uint256 private constant VALIDATORS_MAX = 100;
    uint256 private constant POWER_MAX = 1 << 40;

    /// @inheritdoc IHubGateway
    bytes32 public override validatorsRoot;
    /// By trust epoch and root of a set that was left: the header that named its successor, as a
    /// word of first 128 bits of its block id, height and time. It is the last that the set certifies.
    mapping(uint32 trustEpoch => mapping(bytes32 root => bytes32)) private left;

    /// Refuses an anchor from which no client of the hub can start.
    function ensureBegins(Anchor memory anchor) internal view virtual {
        checked(anchor.validators);
        bool suits = anchor.validators.firstHeight <= anchor.height + 1;
        ensure(suits, E_FORMAT, "anchor: set begins later");
        ensureStarts(anchor);
    }

    /// Starts anew from an anchor and holds its set.
    function beginWith(Client client, Anchor memory anchor) internal virtual returns (Client) {
        ensureBegins(anchor);
        hold(anchor.validators);
        return beginAt(client, anchor);
    }

    /// Believes a header certified by the set held now: steps 1 to 7 of docs/protocol.md section 6.
    /// @return id The header's block.
    /// @return contradicts Whether it contradicts what is remembered; then nothing else holds of it.
    function believe(Client client, CertifiedHeader calldata certified)
        internal
        view
        returns (bytes32 id, bool contradicts)
    {
        id = certify(client, certified);
        Header calldata header = certified.header;
        bool current = header.validatorsRoot == validatorsRoot;
        contradicts = contradictsRemembered(client, header.height, header.time, id)
            || contradictsSuccession(client, header, id, current);
        ensure(contradicts || current, E_PROOF, "set has been left");
    }

    /// Leaves the set held now through a believed header that names another.
    function succeed(Client client, Header calldata header, bytes32 id, ValidatorSet memory next)
        internal
        returns (Client)
    {
        ensure(checked(next) == header.nextValidatorsRoot, E_PROOF, "not the set that header names");
        ensure(next.firstHeight == header.height + 1, E_PROOF, "set begins at another height");
        left[client.trustEpoch()][header.validatorsRoot] = entry(header.height, header.time, id);
        hold(next);
        return client.withFlag(SUCCEEDED, false);
    }

    /// Whether two headers, each certified by a set held within the trusting period, show that the
    /// hub contradicts itself or what is remembered.
    function contradict(Client client, CertifiedHeader calldata a, CertifiedHeader calldata b)
        internal
        view
        returns (bool)
    {
        bytes32 idA = certify(client, a);
        bytes32 idB = certify(client, b);
        return contradictEachOther(a.header, idA, b.header, idB) || contradictsHeld(client, a.header, idA)
            || contradictsHeld(client, b.header, idB);
    }

    function contradictsHeld(Client client, Header calldata header, bytes32 id)
        private
        view
        returns (bool)
    {
        bool current = header.validatorsRoot == validatorsRoot;
        return contradictsRemembered(client, header.height, header.time, id)
            || contradictsSuccession(client, header, id, current);
    }

    function contradictEachOther(Header calldata a, bytes32 idA, Header calldata b, bytes32 idB)
        private
        pure
        returns (bool)
    {
        if (a.height > b.height) return contradictEachOther(b, idB, a, idA);
        if (a.height == b.height) return idA != idB;
        if (b.time <= a.time) return true;
        return a.validatorsRoot == b.validatorsRoot && a.nextValidatorsRoot != a.validatorsRoot;
    }

    /// Whether a set certified a header above the one in which it named its successor (rule c), or
    /// one that does not suit the end of a set that was left (rules a and b).
    function contradictsSuccession(
        Client client,
        Header calldata header,
        bytes32 id,
        bool current
    ) private view returns (bool) {
        bool names = header.nextValidatorsRoot != header.validatorsRoot;
        if (current) {
            // Below the newest header, whose set this is too: no height of it lies below its first.
            if (header.height < client.height()) return names;
            return header.height > client.height() && client.has(SUCCEEDED);
        }
        bytes32 end = left[client.trustEpoch()][header.validatorsRoot];
        uint64 endHeight = uint64(uint256(end) >> 64);
        if (header.height > endHeight) return true;
        if (header.height == endHeight) return entry(header.height, header.time, id) != end;
        return names || header.time >= uint64(uint256(end));
    }

    /// Certifies a header under a set held now or left within the trusting period.
    function certify(Client client, CertifiedHeader calldata certified)
        private
        view
        returns (bytes32 id)
    {
        Header calldata header = certified.header;
        ensure(header.version == 1, E_VERSION, "header version is not 1");
        ensure(
            header.stateRoot | header.extensionsRoot | header.reserved == 0, E_FORMAT, "word is not zero"
        );
        ensure(
            header.lanesRoot != 0 && header.validatorsRoot != 0 && header.nextValidatorsRoot != 0,
            E_FORMAT,
            "root is zero"
        );
        ensure(header.chainId == hub, E_PROOF, "header of another chain");
        ensureUsable(client);
        ensure(isHeld(client, header.validatorsRoot), E_PROOF, "set is not held");
        ensureNotAhead(header.time);
        ensure(header.height >= certified.validators.firstHeight, E_PROOF, "header below its set");
        id = Digests.blockId(header);
        bytes32 digest = Digests.precommit(hub, header.height, certified.round, id);
        checkPrecommits(certified, digest, header.validatorsRoot);
    }

    function isHeld(Client client, bytes32 root) private view returns (bool) {
        if (root == validatorsRoot) return true;
        bytes32 end = left[client.trustEpoch()][root];
        return end != 0 && nowMs() < uint64(uint256(end)) + trustingPeriodMs;
    }

    /// Refuses unless members of more than two thirds of the power signed, each once, in ascending
    /// order of address, and nobody else: one bad signature voids the certificate (attack A09).
    /// @dev One pass over the members' two words each, which are copied once, for the root and for
    /// the walk. The root says that they ascend, are not zero and do not sum up too high, for only
    /// checked sets are held.
    function checkPrecommits(CertifiedHeader calldata certified, bytes32 digest, bytes32 root)
        private
        pure
    {
        bytes calldata signatures = certified.signatures;
        uint256 members = certified.validators.validators.length;
        uint256 signers = signatures.length / Signatures.BYTES;
        ensure(members <= VALIDATORS_MAX, E_PROOF, "too many members");
        ensure(
            signers <= members && signers * Signatures.BYTES == signatures.length,
            E_PROOF,
            "surplus or broken signatures"
        );
        uint256 member = copyMembers(certified.validators, root);
        uint256 end = member + 64 * members;
        uint256 signed = 0;
        uint256 total = 0;
        uint256 offset;
        assembly ("memory-safe") {
            offset := signatures.offset
        }
        // Neither places nor sums of a checked set overflow.
        unchecked {
            for (uint256 i = 0; i < signers; ++i) {
                address signer = Signatures.recoverAt(digest, offset);
                offset += Signatures.BYTES;
                bool found = false;
                while (!found && member < end) {
                    uint256 power;
                    assembly ("memory-safe") {
                        found := eq(mload(member), signer)
                        power := mload(add(member, 32))
                    }
                    total += power;
                    if (found) signed += power;
                    member += 64;
                }
                ensure(found, E_PROOF, "no signature of a next member");
            }
            for (; member < end; member += 64) {
                uint256 power;
                assembly ("memory-safe") {
                    power := mload(add(member, 32))
                }
                total += power;
            }
            ensure(signed * 3 > total * 2, E_PROOF, "not more than two thirds");
        }
    }

    /// Copies address and power of each member to memory and gives the place; refuses a set whose
    /// root is another.
    function copyMembers(ValidatorSet calldata set, bytes32 root) private pure returns (uint256 words) {
        // The elements of an array of flat structs lie one after the other, two words each.
        Validator[] calldata members = set.validators;
        bytes32 tag = TAG_VALIDATORS;
        uint256 firstHeight = set.firstHeight;
        bytes32 found;
        assembly ("memory-safe") {
            let length := mul(members.length, 64)
            let buffer := mload(0x40)
            words := add(buffer, 64)
            mstore(0x40, add(words, length))
            mstore(buffer, tag)
            mstore(add(buffer, 32), firstHeight)
            calldatacopy(words, members.offset, length)
            found := keccak256(buffer, add(64, length))
        }
        ensure(found == root, E_PROOF, "validators have another root");
    }

    function hold(ValidatorSet memory set) private {
        bytes32 root = checked(set);
        validatorsRoot = root;
        emit ValidatorsChanged(root, set);
    }

    /// The root of a well-formed set. docs/protocol.md section 5.
    function checked(ValidatorSet memory set) private pure returns (bytes32) {
        uint256 members = set.validators.length;
        ensure(members > 0 && members <= VALIDATORS_MAX, E_FORMAT, "set: 1 to 100 members");
        ensure(set.firstHeight > 0, E_FORMAT, "set: begins at height 0");
        address before = address(0);
        uint256 total = 0;
        for (uint256 i = 0; i < members; ++i) {
            address member = set.validators[i].validator;
            uint64 power = set.validators[i].power;
            ensure(member > before, E_FORMAT, "set: members do not ascend");
            before = member;
            total += power;
            ensure(power > 0 && total <= POWER_MAX, E_FORMAT, "set: power out of range");
        }
        return Digests.validatorsRoot(set);
    }
}
