//! The two real series, and envelopes of them.

use anyhow::Context as _;
use tombolo_crypto::digest;
use tombolo_islet::signer::random;
use tombolo_islet_core::{IsletCall, ShareOrder};
use tombolo_types::{
    Hash, UnixMillis,
    envelope::{
        Canonical, Decimal, ENVELOPE_VERSION, Envelope, HashAlgorithm, Reading, SignatureAlgorithm,
        Value,
    },
    id::{ChainId, DataId, IdentityId, SchemaId},
    message::DataClass,
};

use crate::party::{Ledger, Party};

const WEATHER: &str = include_str!("../../data/seattle-weather.csv");
const CO2: &str = include_str!("../../data/mauna-loa-co2.csv");

/// One measurement: what a device has to say at one time.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    pub(crate) local_id: String,
    pub(crate) at: UnixMillis,
    pub(crate) values: Vec<(&'static str, Value)>,
}

/// Daily readings of the station in Seattle.
pub(crate) fn weather() -> anyhow::Result<Vec<Measurement>> {
    WEATHER
        .lines()
        .skip(1)
        .map(|line| {
            let columns: Vec<&str> = line.split(',').collect();
            let [date, precipitation, temp_max, temp_min, wind, _] = columns[..] else {
                anyhow::bail!("a line of the weather has {} columns", columns.len());
            };
            let day: jiff::civil::Date = date.parse()?;
            let at = day.at(12, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC)?.timestamp();
            Ok(Measurement {
                local_id: format!("station/{date}"),
                at: UnixMillis(u64::try_from(at.as_millisecond())?),
                values: vec![
                    ("precipitation", number(precipitation)?),
                    ("temp_max", number(temp_max)?),
                    ("temp_min", number(temp_min)?),
                    ("wind", number(wind)?),
                ],
            })
        })
        .collect()
}

/// Weekly means of Mauna Loa, and how many weeks have none.
///
/// The series begins before 1970, where the format's clock does: the week is text, and the reading
/// is of the time at which it was entered.
pub(crate) fn co2(entered: UnixMillis) -> anyhow::Result<(Vec<Measurement>, usize)> {
    let mut gaps = 0;
    let mut found = Vec::new();
    for line in CO2.lines().skip(1) {
        let (week, value) =
            line.split_once(',').context("a line of the carbon dioxide has no comma")?;
        if value.is_empty() {
            // A gap is an absent reading, never a number.
            gaps += 1;
            continue;
        }
        found.push(Measurement {
            local_id: format!("air/{week}"),
            at: entered,
            values: vec![("co2", number(value)?), ("week", Value::Text(week.to_owned()))],
        });
    }
    Ok((found, gaps))
}

pub(crate) fn number(text: &str) -> anyhow::Result<Value> {
    let decimal: Decimal = text.parse().with_context(|| format!("`{text}` is no number"))?;
    Ok(Value::Number(decimal))
}

/// Whose an item is, what it is, and who speaks for it.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'p> {
    pub(crate) ledger: &'p Ledger,
    pub(crate) owner: IdentityId,
    pub(crate) device: &'p Party,
    pub(crate) schema: SchemaId,
    pub(crate) class: DataClass,
}

impl Origin<'_> {
    /// The canonical envelope of a measurement.
    pub(crate) fn envelope(&self, measurement: &Measurement) -> anyhow::Result<Canonical> {
        let mut readings: Vec<Reading> = measurement
            .values
            .iter()
            .map(|(name, value)| Reading {
                name: (*name).into(),
                at: measurement.at,
                value: value.clone(),
            })
            .collect();
        readings.sort_by(|one, other| one.name.cmp(&other.name));
        let envelope = Envelope {
            version: ENVELOPE_VERSION,
            home: self.ledger.chain,
            owner: self.owner,
            local_id: measurement.local_id.clone(),
            item_version: 1,
            class: self.class,
            schema: self.schema,
            device: self.device.identity(),
            terms: if self.class == DataClass::Open { "CC-BY-4.0".into() } else { String::new() },
            policy_hash: Hash::ZERO,
            hash_algorithm: HashAlgorithm::Keccak256,
            signature_algorithm: SignatureAlgorithm::Secp256k1,
            salt: random().0,
            time: measurement.at,
            readings,
            extensions: std::collections::BTreeMap::new(),
        };
        Ok(envelope.canonical()?)
    }

    /// The item's id, the same on all chains.
    pub(crate) fn data_id(&self, measurement: &Measurement) -> DataId {
        digest::data_id(self.ledger.chain, self.owner, &measurement.local_id)
    }

    /// The device-signed call that enters an envelope, and shares it where `to` names a chain.
    pub(crate) fn submission(&self, envelope: &Canonical, to: Option<ChainId>) -> IsletCall {
        let signature = self.device.key().sign(digest::envelope(envelope.bytes()));
        let share = to.map(|destination| ShareOrder { destination, not_after: UnixMillis::ZERO });
        IsletCall::Submit { envelope: envelope.bytes().to_vec(), signature, share }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_series_are_whole() {
        assert_eq!(weather().unwrap().len(), 1_461);
        let (weeks, gaps) = co2(UnixMillis(1)).unwrap();
        assert_eq!((weeks.len(), gaps), (2_225, 59));
    }
}
