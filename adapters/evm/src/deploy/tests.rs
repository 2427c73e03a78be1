//! What this crate calls is what the contracts offer.

use super::artifact;
use crate::{
    contract::{IAttestedGateway, IControl, IGateway, IHubGateway, IRegistry, IVault},
    htlc::abi::IHtlc,
};
use alloy::primitives::keccak256;
use serde_json::Value;
use std::collections::BTreeSet;

/// The first bytes of the hashes of all signatures of this kind in an artifact.
fn offered<const N: usize>(artifact: &str, kind: &str) -> BTreeSet<[u8; N]> {
    let artifact: Value = serde_json::from_str(artifact).unwrap();
    let all = artifact["abi"].as_array().unwrap().iter();
    let of_kind = all.filter(|entry| entry["type"] == kind);
    of_kind
        .map(|entry| {
            let signature = format!("{}{}", text(&entry["name"]), tuple(&entry["inputs"]));
            keccak256(signature)[..N].try_into().unwrap()
        })
        .collect()
}

/// The types of these inputs or components, as a signature has them.
fn tuple(parts: &Value) -> String {
    let parts = parts.as_array().unwrap().iter().map(|part| {
        match text(&part["type"]).strip_prefix("tuple") {
            Some(dimensions) => tuple(&part["components"]) + dimensions,
            None => text(&part["type"]).to_owned(),
        }
    });
    format!("({})", parts.collect::<Vec<_>>().join(","))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn whatever_is_called_is_offered() {
    let calls: [(&str, &[[u8; 4]], &str); 8] = [
        ("gateway", IGateway::IGatewayCalls::SELECTORS, artifact::GATEWAY),
        ("gateway", IHubGateway::IHubGatewayCalls::SELECTORS, artifact::GATEWAY),
        ("attested gateway", IGateway::IGatewayCalls::SELECTORS, artifact::ATTESTED_GATEWAY),
        (
            "attested gateway",
            IAttestedGateway::IAttestedGatewayCalls::SELECTORS,
            artifact::ATTESTED_GATEWAY,
        ),
        ("control", IControl::IControlCalls::SELECTORS, artifact::CONTROL),
        ("registry", IRegistry::IRegistryCalls::SELECTORS, artifact::REGISTRY),
        ("vault", IVault::IVaultCalls::SELECTORS, artifact::VAULT),
        ("hash-timelocks", IHtlc::IHtlcCalls::SELECTORS, artifact::HTLC),
    ];
    for (name, called, artifact) in calls {
        let missing: Vec<_> = (called.iter())
            .filter(|selector| !offered(artifact, "function").contains(*selector))
            .collect();
        assert!(!called.is_empty() && missing.is_empty(), "{name} offers no {missing:02x?}");
    }
}

#[test]
fn whatever_is_read_is_told() {
    let events: [(&str, &[[u8; 32]], &str); 4] = [
        ("gateway", IGateway::IGatewayEvents::SELECTORS, artifact::GATEWAY),
        ("gateway", IHubGateway::IHubGatewayEvents::SELECTORS, artifact::GATEWAY),
        ("attested gateway", IGateway::IGatewayEvents::SELECTORS, artifact::ATTESTED_GATEWAY),
        ("hash-timelocks", IHtlc::IHtlcEvents::SELECTORS, artifact::HTLC),
    ];
    for (name, read, artifact) in events {
        let missing: Vec<_> =
            (read.iter()).filter(|topic| !offered(artifact, "event").contains(*topic)).collect();
        assert!(!read.is_empty() && missing.is_empty(), "{name} tells no {missing:02x?}");
    }
}
