//! Shares that begin on the chain: a device's account calls the registry contract.

use super::Harbour;
use crate::{
    bench::share::{Station, TERMS},
    evm::BACKLOG_MAX,
    party::Party,
};
use alloy::{
    consensus::{SignableTransaction as _, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718 as _,
    primitives::{Address, B256, Bytes, TxKind, U256},
    providers::Provider as _,
    rpc::client::BatchRequest,
    signers::{SignerSync as _, local::PrivateKeySigner},
    sol_types::SolCall as _,
};
use anyhow::Context as _;
use std::sync::atomic::{AtomicU64, Ordering};
use tombolo_evm::contract::{IRegistry, ShareOrder};
use tombolo_evm_core::storage::{LaneWord, lane_slot, taken_slot};
use tombolo_types::{
    Hash,
    header::Signature,
    id::{ChainId, GlobalId},
    lane::DATA_LANE,
};

/// Gas that one share may use, in place of asking for each.
pub(super) const GAS: u64 = 300_000;
/// Transactions that are handed in by one request.
const AT_ONCE: usize = 50;
/// No more wait for a block at a time: enough for several blocks, and less than nodes keep (geth keeps
/// 5,120 in all, `txpool.globalslots`).
const WAITING_MAX: u64 = 2_048;

/// A device that shares readings from the chain.
pub(super) struct Sender<'h> {
    harbour: &'h Harbour,
    station: Station,
    account: PrivateKeySigner,
    readings: Vec<(Vec<u8>, Signature)>,
    destination: ChainId,
    nonce: AtomicU64,
}

impl<'h> Sender<'h> {
    /// With one reading more than `count`.
    pub(super) async fn new(
        harbour: &'h Harbour,
        station: Station,
        device: &Party,
        destination: ChainId,
        count: u32,
    ) -> anyhow::Result<Self> {
        let account = tombolo_evm::account(device.key())?;
        let nonce = harbour.provider.get_transaction_count(account.address()).await?;
        harbour.asked.fetch_add(1, Ordering::Relaxed);
        let readings = station.readings(device, 0..=count)?;
        Ok(Self { harbour, station, account, readings, destination, nonce: nonce.into() })
    }

    /// What the operation is followed by.
    pub(super) fn known_as(&self, number: u32) -> GlobalId {
        GlobalId(self.station.data_id(number).0)
    }

    /// How many shares the gateway takes now.
    pub(super) async fn room(&self) -> anyhow::Result<u32> {
        let head = self.word(lane_slot(DATA_LANE)).await?;
        let sent = LaneWord::read(head).size;
        let memory = self.word(taken_slot(DATA_LANE)).await?;
        // taken (64 bits), freed (64): docs/protocol.md section 21.
        let freed = memory.0[8..].first_chunk().map_or(0, |freed| u64::from_be_bytes(*freed));
        let waiting = self.nonce.load(Ordering::Relaxed).saturating_sub(self.confirmed().await?);
        let kept = sent.saturating_sub(freed).saturating_add(waiting);
        let room = BACKLOG_MAX.saturating_sub(kept).min(WAITING_MAX.saturating_sub(waiting));
        Ok(u32::try_from(room).unwrap_or(u32::MAX))
    }

    async fn word(&self, slot: Hash) -> anyhow::Result<Hash> {
        self.harbour.asked.fetch_add(1, Ordering::Relaxed);
        let provider = &self.harbour.provider;
        let word = provider.get_storage_at(self.harbour.gateway, B256::from(slot.0).into()).await?;
        Ok(Hash(word.to_be_bytes()))
    }

    async fn confirmed(&self) -> anyhow::Result<u64> {
        self.harbour.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.harbour.provider.get_transaction_count(self.account.address()).await?)
    }

    /// Signs and hands in some shares; `waits` is told of each before.
    pub(super) async fn send(
        &self,
        numbers: std::ops::RangeInclusive<u32>,
        waits: impl Fn(u32),
    ) -> anyhow::Result<Vec<B256>> {
        let numbers: Vec<u32> = numbers.collect();
        let mut ids = Vec::new();
        for numbers in numbers.chunks(AT_ONCE) {
            let mut batch = BatchRequest::new(self.harbour.provider.client());
            let mut answers = Vec::new();
            for number in numbers {
                let raw = self.sign(*number)?;
                waits(*number);
                answers.push(batch.add_call("eth_sendRawTransaction", &(raw,))?);
            }
            self.harbour.asked.fetch_add(numbers.len() as u64, Ordering::Relaxed);
            batch.send().await.context("handing in shares")?;
            for answer in answers {
                let id: B256 = answer.await.context("handing in a share")?;
                ids.push(id);
            }
        }
        Ok(ids)
    }

    fn sign(&self, number: u32) -> anyhow::Result<Bytes> {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        let (envelope, signature) = self.readings.get(at).context("there is no such reading")?;
        let mut salt = [0; 32];
        salt[..4].copy_from_slice(&number.to_be_bytes());
        let order = ShareOrder {
            owner: self.station.owner.0.into(),
            localId: self.station.local_id(number),
            itemVersion: 1,
            schema: self.station.schema.0.into(),
            terms: TERMS.into(),
            envelope: envelope.clone().into(),
            device: self.station.device.0.into(),
            signature: signature.0.into(),
            destination: self.destination.0.into(),
            notAfter: 0,
            salt: salt.into(),
        };
        let registry: Address = self.harbour.registry;
        let transaction = TxEip1559 {
            chain_id: self.harbour.evm_chain_id,
            nonce: self.nonce.fetch_add(1, Ordering::Relaxed),
            gas_limit: GAS,
            max_fee_per_gas: self.harbour.fee.max,
            max_priority_fee_per_gas: self.harbour.fee.tip,
            to: TxKind::Call(registry),
            value: U256::ZERO,
            access_list: Default::default(),
            input: IRegistry::shareCall { order }.abi_encode().into(),
        };
        let signature = self.account.sign_hash_sync(&transaction.signature_hash())?;
        Ok(TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into())
    }
}
