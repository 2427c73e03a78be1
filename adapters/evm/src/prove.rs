//! How a chain's heads are proved to the hub: one prover for each kind of consensus.
//!
//! A prover decides nothing: what it brings is judged by the verifier of the same kind on the hub.

pub(crate) mod beacon;
pub(crate) mod clique;

pub(crate) use beacon::BeaconProver;
pub(crate) use clique::CliqueProver;

use crate::endpoints::{Endpoints, SeenBlock};
use async_trait::async_trait;
use tombolo_adapter::{AdapterError, ClientView};
use tombolo_types::Hash;

/// Brings clients of one kind of chain forward.
#[async_trait]
pub(crate) trait Prover: Send + Sync {
    /// The newest block that a client can be shown, and the root of who vouches for what follows;
    /// zero where there is none.
    async fn newest(&self, endpoints: &Endpoints) -> Result<(SeenBlock, Hash), AdapterError>;

    /// What brings `follower` to `block`; empty where it is there already.
    async fn advance(
        &self,
        endpoints: &Endpoints,
        follower: &ClientView,
        block: &SeenBlock,
    ) -> Result<Vec<u8>, AdapterError>;

    /// A client update, where there is one.
    async fn update(
        &self,
        endpoints: &Endpoints,
        client: &ClientView,
    ) -> Result<Option<Vec<u8>>, AdapterError>;
}

/// Of a chain whose heads are attested: there is nothing to prove.
pub(crate) struct NoProver;

#[async_trait]
impl Prover for NoProver {
    async fn newest(&self, endpoints: &Endpoints) -> Result<(SeenBlock, Hash), AdapterError> {
        Ok((endpoints.newest().await?, Hash::ZERO))
    }

    async fn advance(
        &self,
        _: &Endpoints,
        _: &ClientView,
        _: &SeenBlock,
    ) -> Result<Vec<u8>, AdapterError> {
        Ok(Vec::new())
    }

    async fn update(&self, _: &Endpoints, _: &ClientView) -> Result<Option<Vec<u8>>, AdapterError> {
        Ok(None)
    }
}
