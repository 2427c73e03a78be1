//! Which records are asked for.

use super::moment::Moment;
use std::str::FromStr;
use tombolo_types::{
    Class,
    id::{ChainId, DataId, GlobalId, IdentityId},
    record::Record,
};

/// What a record must be; what is not given, it may be. Req: PRJ-4-5, without the hiding of closed
/// fields, which no record holds, and without a record of the query itself
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Filter {
    /// Of this operation, by its global id.
    #[arg(long, value_name = "GLOBAL_ID")]
    id: Option<GlobalId>,
    /// From or to this chain.
    #[arg(long, value_name = "CHAIN_ID")]
    chain: Option<ChainId>,
    /// With this identity among its parties, or brought by it.
    #[arg(long, value_name = "IDENTITY")]
    party: Option<IdentityId>,
    /// About this item.
    #[arg(long, value_name = "DATA_ID")]
    data: Option<DataId>,
    /// Ended so: `done`, or a class of refusal such as E_DENIED.
    #[arg(long)]
    class: Option<End>,
    /// Not before this block time (RFC 3339, or milliseconds since 1970).
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Before this block time.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Done, or refused with any class.
    #[arg(long)]
    status: Option<Status>,
    /// Of this kind, as records name it, e.g. `share`.
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// Over a link of this deployment mode.
    #[arg(long)]
    mode: Option<u8>,
}

/// How an operation ended, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End(Option<Class>);

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "done" {
            return Ok(Self(None));
        }
        let found = Class::ALL.iter().find(|class| class.code().eq_ignore_ascii_case(text));
        found.map(|class| Self(Some(*class))).ok_or_else(|| {
            let all: Vec<&str> = Class::ALL.iter().map(|class| class.code()).collect();
            format!("there is no such class; write done or one of {}", all.join(", "))
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Status {
    Done,
    Refused,
}

/// How a record says that it ended; `None` is done.
pub(crate) fn end_of(record: &Record) -> Option<Class> {
    Class::from_number(record.outcome)
}

impl Filter {
    /// Whether the record is asked for.
    pub(crate) fn accepts(&self, record: &Record) -> bool {
        let end = end_of(record);
        let ends_as = |status| (status == Status::Done) == end.is_none();
        self.id.is_none_or(|id| id == record.global_id)
            && self
                .chain
                .is_none_or(|id| id == record.source_chain || id == record.destination_chain)
            && self.party.is_none_or(|id| record.parties.contains(&id) || id == record.relayer)
            && self.data.is_none_or(|id| id == record.data_id)
            && self.class.is_none_or(|class| class.0 == end)
            && self.since.is_none_or(|since| record.time >= since.0)
            && !self.is_past(record)
            && self.status.is_none_or(ends_as)
            && self.operation.as_ref().is_none_or(|name| *name == record.operation)
            && self.mode.is_none_or(|mode| mode == record.mode)
    }

    /// Whether neither this record nor any after it is asked for: block times rise.
    pub(crate) fn is_past(&self, record: &Record) -> bool {
        self.until.is_some_and(|until| record.time >= until.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use tombolo_types::{
        Hash, Height, LaneNumber, MessageNumber, UnixMillis,
        id::{Fingerprint, LinkId, TxId},
    };

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        filter: Filter,
    }

    fn record() -> Record {
        Record {
            global_id: GlobalId([1; 32]),
            operation: "share".into(),
            outcome: Class::Denied as u8,
            remark: String::new(),
            height: Height(7),
            time: UnixMillis(5_000),
            tx_id: TxId::ZERO,
            link: LinkId::ZERO,
            mode: 1,
            lane: LaneNumber(1),
            number: MessageNumber(0),
            source_chain: ChainId([2; 32]),
            source_height: Height(3),
            destination_chain: ChainId([3; 32]),
            data_id: DataId([4; 32]),
            data_class: 1,
            fingerprint: Fingerprint::ZERO,
            parties: vec![IdentityId([5; 32]), IdentityId([6; 32])],
            policy_hash: Hash::ZERO,
            protocol: "lane".into(),
            relayer: IdentityId([7; 32]),
            evidence: Hash::ZERO,
        }
    }

    fn id(byte: u8) -> String {
        Hash([byte; 32]).to_string()
    }

    #[test]
    fn each_criterion_accepts_and_rejects() {
        let one = [("--id", id(1), id(2)), ("--data", id(4), id(5))];
        let chains = [("--chain", id(2), id(4)), ("--chain", id(3), id(1))];
        let parties = [("--party", id(6), id(1)), ("--party", id(7), id(4))];
        let words = [
            ("--class", "E_DENIED".into(), "done".into()),
            ("--class", "e_denied".into(), "E_STATE".into()),
            ("--status", "refused".into(), "done".into()),
            ("--since", "5000".into(), "5001".into()),
            ("--until", "5001".into(), "5000".into()),
            ("--since", "1970-01-01T00:00:05Z".into(), "1970-01-01T00:00:05.001Z".into()),
            ("--operation", "share".into(), "commit".into()),
            ("--mode", "1".into(), "2".into()),
        ];
        for (flag, fits, fails) in one.into_iter().chain(chains).chain(parties).chain(words) {
            for (value, expected) in [(fits, true), (fails, false)] {
                let line = Line::try_parse_from(["query", flag, &value]).unwrap();
                assert_eq!(line.filter.accepts(&record()), expected, "{flag} {value}");
            }
        }
        assert!(Filter::default().accepts(&record()));
    }

    #[test]
    fn a_wrong_word_is_refused_by_the_command_line() {
        for (flag, value) in [("--class", "E_WRONG"), ("--id", "0x12"), ("--since", "soon")] {
            assert!(Line::try_parse_from(["query", flag, value]).is_err(), "{flag} {value}");
        }
    }
}
