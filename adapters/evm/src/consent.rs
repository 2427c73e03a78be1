//! Consent to a two-phase commit as wallets sign it: typed data of EIP-712.
//!
//! What an account signs is `Authorisation(bytes32 xid)` in the domain of the gateway on its own
//! chain, so that a signature is good for one commit at one gateway. docs/protocol.md section 21.

use serde_json::{Value, json};
use tombolo_crypto::keccak256::keccak256;
use tombolo_types::{Address, Hash, id::Xid};

const DOMAIN: &[u8] =
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const AUTHORISATION: &[u8] = b"Authorisation(bytes32 xid)";
const NAME: &str = "Tombolo";
const VERSION: &str = "1";

/// The gateway whose vault is consented to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consents {
    /// The chain's EIP-155 id.
    pub evm_chain_id: u64,
    /// The gateway contract.
    pub gateway: Address,
}

impl Consents {
    /// What the key of an account signs to consent.
    #[must_use]
    pub fn digest(&self, xid: Xid) -> Hash {
        let mut chain = [0; 32];
        chain[24..].copy_from_slice(&self.evm_chain_id.to_be_bytes());
        let mut gateway = [0; 32];
        gateway[12..].copy_from_slice(&self.gateway.0);
        let hash = |bytes: &[u8]| keccak256(bytes).0;
        let domain =
            [hash(DOMAIN), hash(NAME.as_bytes()), hash(VERSION.as_bytes()), chain, gateway];
        let consent = [hash(AUTHORISATION), xid.0];
        let parts =
            [&[0x19, 0x01][..], &hash(domain.as_flattened()), &hash(consent.as_flattened())];
        keccak256(&parts.concat())
    }

    /// The same as a wallet takes it: what `eth_signTypedData_v4` is given.
    #[must_use]
    pub fn typed_data(&self, xid: Xid) -> Value {
        let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
        json!({
            "types": {
                "EIP712Domain": [
                    field("name", "string"),
                    field("version", "string"),
                    field("chainId", "uint256"),
                    field("verifyingContract", "address"),
                ],
                "Authorisation": [field("xid", "bytes32")],
            },
            "primaryType": "Authorisation",
            "domain": {
                "name": NAME,
                "version": VERSION,
                "chainId": self.evm_chain_id,
                "verifyingContract": self.gateway.to_string(),
            },
            "message": { "xid": xid.to_string() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::sol_types::{SolStruct as _, eip712_domain};

    alloy::sol! {
        struct Authorisation { bytes32 xid; }
    }

    /// Another implementation of the standard makes the same digest.
    #[test]
    fn a_consent_is_typed_data_as_the_standard_has_it() {
        let consents = Consents { evm_chain_id: 31_337, gateway: Address([7; 20]) };
        let xid = Xid([9; 32]);
        let domain = eip712_domain! {
            name: "Tombolo",
            version: "1",
            chain_id: 31_337,
            verifying_contract: [7; 20].into(),
        };
        let signed = Authorisation { xid: [9; 32].into() }.eip712_signing_hash(&domain);
        assert_eq!(consents.digest(xid), Hash(signed.0));
        let elsewhere = Consents { gateway: Address([8; 20]), ..consents };
        assert_ne!(elsewhere.digest(xid), consents.digest(xid));
    }
}
