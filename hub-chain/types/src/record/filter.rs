//! Which records are asked for.

use super::Record;
use crate::{
    Class, UnixMillis,
    id::{ChainId, DataId, GlobalId, IdentityId, LinkId, TxId},
    message::DataClass,
};

/// What a record must be; what is [`None`], it may be. Req: PRJ-4-5
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Of this operation.
    pub global_id: Option<GlobalId>,
    /// Caused by this transaction on the ledger that is asked: the local id.
    pub tx_id: Option<TxId>,
    /// From or to this chain.
    pub chain: Option<ChainId>,
    /// With this identity among its parties, or brought by it.
    pub party: Option<IdentityId>,
    /// About this item.
    pub data_id: Option<DataId>,
    /// About an item of this class.
    pub data_class: Option<DataClass>,
    /// Over this link.
    pub link: Option<LinkId>,
    /// Over a link of this deployment mode.
    pub mode: Option<u8>,
    /// Of this kind, e.g. `share`.
    pub operation: Option<String>,
    /// Ended so.
    pub end: Option<End>,
    /// Not before this block time.
    pub since: Option<UnixMillis>,
    /// Before this block time.
    pub until: Option<UnixMillis>,
}

/// How an operation ended, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Done.
    Done,
    /// Refused with any class.
    Refused,
    /// Refused with this class.
    RefusedAs(Class),
}

impl RecordFilter {
    /// Whether the record is asked for.
    #[must_use]
    pub fn accepts(&self, record: &Record) -> bool {
        let chains = [record.source_chain, record.destination_chain];
        fits(self.global_id, record.global_id)
            && fits(self.tx_id, record.tx_id)
            && self.chain.is_none_or(|chain| chains.contains(&chain))
            && self.party.is_none_or(|id| record.parties.contains(&id) || record.relayer == id)
            && fits(self.data_id, record.data_id)
            && fits(self.data_class.map(DataClass::number), record.data_class)
            && fits(self.link, record.link)
            && fits(self.mode, record.mode)
            && self.operation.as_ref().is_none_or(|name| *name == record.operation)
            && self.end.is_none_or(|end| end.is_of(record.outcome))
            && self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time < until)
    }
}

fn fits<T: PartialEq>(wanted: Option<T>, found: T) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

impl End {
    /// Whether a record with this outcome ended so.
    fn is_of(self, outcome: u8) -> bool {
        match self {
            Self::Done => outcome == 0,
            Self::Refused => outcome != 0,
            Self::RefusedAs(class) => outcome == class as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hash, Height, LaneNumber, MessageNumber, id::Fingerprint};

    fn record() -> Record {
        Record {
            global_id: GlobalId([1; 32]),
            operation: "share".into(),
            outcome: Class::Denied as u8,
            remark: String::new(),
            height: Height(7),
            time: UnixMillis(5_000),
            tx_id: TxId([8; 32]),
            link: LinkId([9; 32]),
            mode: 1,
            lane: LaneNumber(1),
            number: MessageNumber(0),
            source_chain: ChainId([2; 32]),
            source_height: Height(3),
            destination_chain: ChainId([3; 32]),
            data_id: DataId([4; 32]),
            data_class: DataClass::Open.number(),
            fingerprint: Fingerprint::ZERO,
            parties: vec![IdentityId([5; 32]), IdentityId([6; 32])],
            policy_hash: Hash::ZERO,
            protocol: "lane".into(),
            relayer: IdentityId([7; 32]),
            evidence: Hash::ZERO,
            link_policy: Hash::ZERO,
            unbounded: false,
        }
    }

    /// Each criterion alone: one that fits, one that does not.
    ///
    /// Req: PRJ-4-5
    #[test]
    fn each_criterion_accepts_and_rejects() {
        type Set = fn(&mut RecordFilter, bool);
        let rows: [(&str, Set); 14] = [
            ("global id", |it, fit| it.global_id = Some(GlobalId([if fit { 1 } else { 2 }; 32]))),
            ("local id", |it, fit| it.tx_id = Some(TxId([if fit { 8 } else { 1 }; 32]))),
            ("source", |it, fit| it.chain = Some(ChainId([if fit { 2 } else { 4 }; 32]))),
            ("destination", |it, fit| it.chain = Some(ChainId([if fit { 3 } else { 0 }; 32]))),
            ("party", |it, fit| it.party = Some(IdentityId([if fit { 6 } else { 1 }; 32]))),
            ("relayer", |it, fit| it.party = Some(IdentityId([if fit { 7 } else { 4 }; 32]))),
            ("item", |it, fit| it.data_id = Some(DataId([if fit { 4 } else { 5 }; 32]))),
            ("class of data", |it, fit| {
                it.data_class = Some(if fit { DataClass::Open } else { DataClass::Closed });
            }),
            ("link", |it, fit| it.link = Some(LinkId([if fit { 9 } else { 0 }; 32]))),
            ("mode", |it, fit| it.mode = Some(if fit { 1 } else { 2 })),
            ("operation", |it, fit| {
                it.operation = Some(if fit { "share" } else { "shares" }.into());
            }),
            ("class of refusal", |it, fit| {
                it.end = Some(End::RefusedAs(if fit { Class::Denied } else { Class::Policy }));
            }),
            ("status", |it, fit| it.end = Some(if fit { End::Refused } else { End::Done })),
            ("since", |it, fit| it.since = Some(UnixMillis(if fit { 5_000 } else { 5_001 }))),
        ];
        assert!(RecordFilter::default().accepts(&record()));
        for (name, set) in rows {
            for fit in [true, false] {
                let mut filter = RecordFilter::default();
                set(&mut filter, fit);
                assert_eq!(filter.accepts(&record()), fit, "{name}");
            }
        }
        for (until, fit) in [(5_001, true), (5_000, false)] {
            let filter = RecordFilter { until: Some(UnixMillis(until)), ..Default::default() };
            assert_eq!(filter.accepts(&record()), fit);
        }
        let done = Record { outcome: 0, ..record() };
        let filter = |end| RecordFilter { end: Some(end), ..Default::default() };
        assert!(filter(End::Done).accepts(&done));
        assert!(!filter(End::Refused).accepts(&done));
    }
}
