//! What the gateway takes.

use super::EvmAdapter;
use crate::{
    contract::{AttestedProof, HubProof, IAttestedGateway, IGateway, IHubGateway},
    convert,
    submit::ContractCall,
};
use alloy::{primitives::U256, sol_types::SolCall};
use async_trait::async_trait;
use tombolo_adapter::{AdapterError, ClientView, Landing, Settling, Sink, SubmitOutcome};
use tombolo_types::{
    Class, Hash, Height, Refusal, UnixMillis, attested,
    header::ValidatorSet,
    id::LinkId,
    lane::{Delivery, Message},
    transaction::{ClientUpdate, HeadProof, Misbehaviour},
    verifier::ClientStatus,
};

/// Gas of one unit of weight. docs/protocol.md section 21.
const GAS_PER_WEIGHT: u64 = 100_000;
/// Gas of a delivery besides its messages: proof, certificate, bookkeeping.
const GAS_OF_DELIVERY: u64 = 1_500_000;
/// Gas of a message besides its weight: calldata and hashing.
const GAS_OF_MESSAGE: u64 = 25_000;
/// The part of a block's gas that one delivery may ask for.
const PART_OF_BLOCK: u64 = 2;

/// The most gas that a transaction may ask for. EIP-7825
const GAS_OF_TRANSACTION_MAX: u64 = 1 << 24;

impl EvmAdapter {
    fn contract_call(&self, data: Vec<u8>, gas: Option<u64>) -> ContractCall {
        let to = Some(self.config.gateway);
        ContractCall { to, data: data.into(), value: U256::ZERO, gas }
    }

    async fn call(&self, data: Vec<u8>) -> Result<SubmitOutcome, AdapterError> {
        self.submitter.submit(&self.endpoints, self.contract_call(data, None)).await
    }

    /// The set behind a root, as the gateway has named it.
    async fn set(&self, root: Hash) -> Result<ValidatorSet, AdapterError> {
        let mut sets = self.sets.lock().await;
        if let Some(found) = sets.get(root) {
            return Ok(found.clone());
        }
        sets.find(&self.endpoints, &self.endpoints.newest().await?, root).await
    }

    /// How much gas a delivery may use. Asking a node would find the least with which it succeeds,
    /// and a delivery succeeds too where it takes only part of its messages.
    async fn gas(&self, delivery: &Delivery) -> Result<u64, AdapterError> {
        let weights = delivery.messages.iter().map(|message| {
            let weight = Message::decode(message).map_or(0, |message| message.weight.0);
            weight.saturating_mul(GAS_PER_WEIGHT).saturating_add(GAS_OF_MESSAGE)
        });
        let wanted = weights.fold(GAS_OF_DELIVERY, |sum, weight| sum.saturating_add(weight));
        let block = self.endpoints.tip().await?.gas_limit / PART_OF_BLOCK;
        Ok(wanted.min(block).min(GAS_OF_TRANSACTION_MAX))
    }

    async fn deliver_proved(&self, delivery: &Delivery) -> Result<Vec<u8>, AdapterError> {
        let HeadProof { header, certificate, index, count, path } =
            HeadProof::decode(&delivery.head_proof).map_err(|error| self.refused(error.into()))?;
        let set = match self.set(header.validators_root).await {
            Ok(set) => set,
            Err(AdapterError::NotFound { what, .. }) => {
                let refusal = Refusal::new(Class::Proof, format!("the gateway holds no {what}"));
                return Err(self.refused(refusal));
            }
            Err(error) => return Err(error),
        };
        let proof = HubProof {
            certified: convert::certified(&header, &certificate, &set),
            index,
            count,
            path: path.iter().map(|node| convert::word(*node)).collect(),
        };
        let delivery = convert::delivery(delivery).map_err(|refusal| self.refused(refusal))?;
        Ok(IHubGateway::deliverCall { delivery, proof }.abi_encode())
    }

    fn deliver_attested(&self, delivery: &Delivery) -> Result<Vec<u8>, AdapterError> {
        let proof = attested::AttestedProof::decode(&delivery.head_proof)
            .map_err(|error| self.refused(error.into()))?;
        let proof = attested_proof(&proof);
        let delivery = convert::delivery(delivery).map_err(|refusal| self.refused(refusal))?;
        Ok(IAttestedGateway::deliverCall { delivery, proof }.abi_encode())
    }
}

fn attested_proof(it: &attested::AttestedProof) -> AttestedProof {
    AttestedProof {
        height: it.height.0,
        blockId: convert::word(it.block_id),
        time: it.time.0,
        keyEpoch: it.key_epoch,
        signatures: it.signatures.clone().into(),
    }
}

#[async_trait]
impl Sink for EvmAdapter {
    async fn deliver(&self, delivery: Delivery) -> Result<SubmitOutcome, AdapterError> {
        self.hand_in(delivery).await?.await?.await
    }

    async fn hand_in(&self, delivery: Delivery) -> Result<Landing<'_>, AdapterError> {
        self.ensure_link(delivery.leaf.link)?;
        let data = match self.mode {
            1 => self.deliver_proved(&delivery).await?,
            _ => self.deliver_attested(&delivery)?,
        };
        let call = self.contract_call(data, Some(self.gas(&delivery).await?));
        let mut sent = self.submitter.hand_in(&self.endpoints, call).await?;
        Ok(Box::pin(async move {
            let included = self.submitter.until_done(&self.endpoints, &mut sent).await?;
            Ok(Box::pin(async move {
                let outcome = self.submitter.until_final(&self.endpoints, sent, included).await?;
                self.until_shown(outcome.height).await?;
                Ok(outcome)
            }) as Settling<'_>)
        }))
    }

    async fn update_client(
        &self,
        link: LinkId,
        update: Vec<u8>,
    ) -> Result<SubmitOutcome, AdapterError> {
        self.ensure_link(link)?;
        let ClientUpdate { header, certificate, next_validators } =
            ClientUpdate::decode(&update).map_err(|error| self.refused(error.into()))?;
        let set = self.set(header.validators_root).await?;
        let certified = convert::certified(&header, &certificate, &set);
        let next = convert::set(&next_validators);
        self.call(IHubGateway::updateClientCall { certified, next }.abi_encode()).await
    }

    async fn client_status(&self, link: LinkId) -> Result<ClientView, AdapterError> {
        self.ensure_link(link)?;
        let block = self.endpoints.newest().await?;
        let view = self.view(&block);
        let (newest, standing, hub) = tokio::try_join!(
            view.get(IGateway::newestCall {}),
            view.get(IGateway::standingCall {}),
            view.get(IGateway::hubCall {}),
        )?;
        let (validators_root, set_since, key_epoch) = match self.mode {
            1 => {
                let root = view.get(IHubGateway::validatorsRootCall {}).await?;
                let set = self.set(Hash(root.0)).await.map_err(|error| match error {
                    // The gateway holds it, so nodes leave it out.
                    AdapterError::NotFound { what, .. } => {
                        self.endpoints.no_answer("reading validator sets", format!("no {what}"))
                    }
                    other => other,
                })?;
                (Hash(root.0), set.first_height, 0)
            }
            _ => {
                let keys = view.get(IAttestedGateway::nodeKeysCall {}).await?;
                (Hash::ZERO, Height::ZERO, keys.keyEpoch)
            }
        };
        Ok(ClientView {
            chain: Hash(hub.0).into(),
            height: Height(newest.height),
            block_id: Hash(newest.blockId.0).into(),
            newest_time: UnixMillis(newest.time),
            set_since,
            validators_root,
            key_epoch,
            status: match standing.client {
                0 => ClientStatus::Active,
                1 => ClientStatus::Expiring,
                2 => ClientStatus::Expired,
                _ => ClientStatus::Frozen,
            },
            trusting_period_ms: self.trusting_period_ms,
        })
    }

    async fn report_misbehaviour(
        &self,
        link: LinkId,
        evidence: Vec<u8>,
    ) -> Result<SubmitOutcome, AdapterError> {
        self.ensure_link(link)?;
        let data = match self.mode {
            1 => {
                let it =
                    Misbehaviour::decode(&evidence).map_err(|error| self.refused(error.into()))?;
                let a = convert::certified(&it.header_a, &it.certificate_a, &it.validators_a);
                let b = convert::certified(&it.header_b, &it.certificate_b, &it.validators_b);
                IHubGateway::misbehaviourCall { a, b }.abi_encode()
            }
            _ => {
                let it = attested::Deviation::decode(&evidence)
                    .map_err(|error| self.refused(error.into()))?;
                let (leaf, statement) = (convert::leaf(&it.leaf_b), attested_proof(&it.proof_b));
                IAttestedGateway::deviationCall { leaf, statement }.abi_encode()
            }
        };
        self.call(data).await
    }
}
