// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttestedGateway} from "../interfaces/IGateway.sol";
import {Digests} from "../protocol/Digests.sol";
import {Majority} from "../protocol/Majority.sol";
import {E_PROOF, E_STATE, ensure} from "../protocol/Refusals.sol";
import {Signatures} from "../protocol/Signatures.sol";
import {AttestedProof, LaneLeaf} from "../protocol/Structs.sol";
import {Client} from "./Client.sol";
import {ClientState} from "./ClientState.sol";

/// @notice The client of modes 2 and 3: it believes what enough registered nodes have signed. ADR 0010
abstract contract AttestedClient is IAttestedGateway, ClientState {
    address[] private keys;
    uint32 internal threshold;
    /// Keys that signed what is not so, by key epoch: they count no more in it.
    mapping(uint32 keyEpoch => mapping(address key => bool)) private suspended;

    /// @inheritdoc IAttestedGateway
    function nodeKeys() external view returns (address[] memory, uint32, uint32) {
        return (keys, threshold, loadClient().keyEpoch());
    }

    /// @inheritdoc IAttestedGateway
    function isSuspended(address key) external view returns (bool) {
        return suspended[loadClient().keyEpoch()][key];
    }

    /// Sets who attests from now on, in the next key epoch: the old keys are dead in this very block. The
    /// word is not kept here.
    function setKeys(Client client, address[] memory next, uint32 nextThreshold) internal returns (Client) {
        Majority.check(next, nextThreshold);
        bool suits = mode == 2 ? next.length == 1 : next.length >= 2;
        ensure(suits, E_STATE, "another mode's number of keys");
        keys = next;
        threshold = nextThreshold;
        client = client.withNextKeyEpoch();
        emit KeysChanged(client.keyEpoch(), next, nextThreshold);
        return client;
    }

    /// Who signed a statement about a leaf: present keys, ascending, none twice, none suspended. One bad
    /// signature voids all.
    function signersOf(Client client, LaneLeaf calldata leaf, AttestedProof calldata proof)
        internal
        view
        returns (address[] memory signers)
    {
        ensure(proof.keyEpoch == client.keyEpoch(), E_PROOF, "another key epoch");
        ensure(proof.blockId != 0, E_PROOF, "the zero block");
        uint256 count = proof.signatures.length / Signatures.BYTES;
        bool whole = count * Signatures.BYTES == proof.signatures.length && count <= keys.length;
        ensure(whole && count > 0, E_PROOF, "surplus or broken signatures");
        bytes32 digest = Digests.head(
            proof.keyEpoch, Digests.laneLeaf(leaf), proof.height, proof.blockId, proof.time
        );
        signers = new address[](count);
        uint256 place = 0;
        for (uint256 i = 0; i < count; ++i) {
            address signer = Signatures.recover(digest, proof.signatures[65 * i:65 * i + 65]);
            while (place < keys.length && keys[place] < signer) ++place;
            bool found = signer != address(0) && place < keys.length && keys[place] == signer;
            ensure(found, E_PROOF, "no signature of a next key");
            ensure(!suspended[proof.keyEpoch][signer], E_PROOF, "signed by a suspended key");
            signers[i] = signer;
            ++place;
        }
    }

    /// Counts a key no more.
    function suspend(Client client, address key) internal {
        suspended[client.keyEpoch()][key] = true;
        emit KeySuspended(key);
    }
}
