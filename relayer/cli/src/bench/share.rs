//! Open shares: a new item of one reading, submitted and shared by one device-signed transaction.

use super::load::{Load, Measured, Piece, Source, run};
use crate::{party::Party, setup::Running};
use anyhow::Context as _;
use std::sync::Arc;
use tombolo_crypto::digest;
use tombolo_hub::govern::Act;
use tombolo_islet::signer::{now, random};
use tombolo_islet_core::{IsletCall, ShareOrder};
use tombolo_types::{
    Hash, UnixMillis,
    envelope::{
        Decimal, ENVELOPE_VERSION, Envelope, HashAlgorithm, Reading, SignatureAlgorithm, Value,
    },
    header::Signature,
    id::{ChainId, DataId, IdentityId, SchemaId},
    message::DataClass,
    schema::{Field, FieldKind, Schema},
};

/// The envelope of one reading is at most this large, or it is not what is to be measured.
const ENVELOPE_BYTES_MAX: usize = 300;
const NAME: &str = "bench-reading";
const FIELD: &str = "temperature";
/// Under which terms the readings are open.
pub(super) const TERMS: &str = "CC-BY-4.0";
const RECORDED: u8 = 0b01;
const COPIED: u8 = 0b10;

/// Registers a structure of one field, and lets it pass.
pub(super) async fn set_up(running: &Running) -> anyhow::Result<SchemaId> {
    let definition = schema().encode()?;
    let id = digest::schema_id(&definition);
    running.govern(Act::SetSchema { definition }).await?;
    let text = format!(
        r#"permit(principal, action == Action::"share", resource in Type::"{NAME}") when {{ resource.class == "open" }};"#
    );
    running.govern(Act::SetPolicy { id: "open-readings".into(), text }).await?;
    Ok(id)
}

fn schema() -> Schema {
    let field = Field {
        name: FIELD.into(),
        kind: FieldKind::Number,
        unit: "Cel".into(),
        minimum: Decimal::new(-100, 0),
        maximum: Decimal::new(100, 0),
        length_max: 0,
        required: true,
        decimals: Some(2),
    };
    Schema { name: NAME.into(), version: 1, fields: vec![field] }
}

/// Measures shares from one islet over the hub to the other.
pub(super) async fn measure(
    running: &Running,
    load: &Load,
    schema: SchemaId,
) -> anyhow::Result<Measured> {
    let (from, to) = (&running.mauna_loa, &running.seattle);
    let (device, owner) = (&running.parties.co2_analyser, &running.parties.observatory);
    eprintln!("signing {} readings", load.count);
    let station = Station::new("bench", from.chain, owner, device, schema);
    // One more than is counted: the first goes alone.
    let readings = Arc::new(station.readings(device, 0..=load.count)?);
    let make = calls(readings, to.chain);
    let source = Source { ledger: from, party: device, awaited: RECORDED | COPIED, make };
    run(running, load, source, &[&running.hub, to], |flights, ledger, record| {
        if record.outcome != 0 && flights.is_open(record.global_id) {
            flights.fail(format!("a share was refused: {}", record.remark));
        }
        flights.seen(record.global_id, if ledger == 0 { RECORDED } else { COPIED });
    })
    .await
}

/// The calls that enter readings and share them with another ledger.
pub(super) fn calls(
    readings: Arc<Vec<(Vec<u8>, Signature)>>,
    destination: ChainId,
) -> impl Fn(u32) -> anyhow::Result<Piece<IsletCall>> + Clone + Send + 'static {
    let order = ShareOrder { destination, not_after: UnixMillis::ZERO };
    move |number| {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        let (envelope, signature) = readings.get(at).context("there is no such reading")?.clone();
        let call = IsletCall::Submit { envelope, signature, share: Some(order) };
        Ok(Piece { call, known_as: None })
    }
}

/// A device and what is the same in all its readings.
pub(super) struct Station {
    /// What its items are called, before their number.
    prefix: &'static str,
    home: ChainId,
    pub(super) owner: IdentityId,
    pub(super) device: IdentityId,
    pub(super) schema: SchemaId,
}

impl Station {
    pub(super) fn new(
        prefix: &'static str,
        home: ChainId,
        owner: &Party,
        device: &Party,
        schema: SchemaId,
    ) -> Self {
        Self { prefix, home, owner: owner.identity(), device: device.identity(), schema }
    }

    pub(super) fn local_id(&self, number: u32) -> String {
        format!("{}-{number}", self.prefix)
    }

    /// The item that a reading is, on every ledger.
    pub(super) fn data_id(&self, number: u32) -> DataId {
        digest::data_id(self.home, self.owner, &self.local_id(number))
    }

    /// Readings with the device's signatures.
    pub(super) fn readings(
        &self,
        device: &Party,
        numbers: impl Iterator<Item = u32>,
    ) -> anyhow::Result<Vec<(Vec<u8>, Signature)>> {
        let sign = |number| {
            let envelope = self.reading(number)?;
            let signature = device.key().sign(digest::envelope(&envelope));
            Ok((envelope, signature))
        };
        numbers.map(sign).collect()
    }

    fn reading(&self, number: u32) -> anyhow::Result<Vec<u8>> {
        let time = now();
        let value = Decimal::new(i128::from(number % 10_000), -2);
        let envelope = Envelope {
            version: ENVELOPE_VERSION,
            home: self.home,
            owner: self.owner,
            local_id: self.local_id(number),
            item_version: 1,
            class: DataClass::Open,
            schema: self.schema,
            device: self.device,
            terms: TERMS.into(),
            policy_hash: Hash::ZERO,
            hash_algorithm: HashAlgorithm::Keccak256,
            signature_algorithm: SignatureAlgorithm::Secp256k1,
            salt: random().0,
            time,
            readings: vec![Reading {
                name: FIELD.into(),
                at: time,
                value: Value::Number(value.context("a reading has no value")?),
            }],
            extensions: Default::default(),
        };
        let bytes = envelope.canonical()?.into_bytes();
        anyhow::ensure!(
            bytes.len() <= ENVELOPE_BYTES_MAX,
            "an envelope of {} bytes is above {ENVELOPE_BYTES_MAX}",
            bytes.len()
        );
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_suit_their_structure_and_are_small() {
        let schema = schema();
        let station = Station {
            prefix: "bench",
            home: ChainId([0xff; 32]),
            owner: IdentityId([0xff; 32]),
            device: IdentityId([0xff; 32]),
            schema: digest::schema_id(&schema.encode().unwrap()),
        };
        for number in [0, 9_999, 10_000, 999_999] {
            let bytes = station.reading(number).unwrap();
            let read = Envelope::parse(&bytes).unwrap();
            assert_eq!(schema.validate(read.envelope()), Ok(()), "{number}");
        }
    }
}
