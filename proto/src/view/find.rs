//! The search for audit records.

use super::{entries, read_entries, read_id};
use crate::{limits::QUERY_TEXT_BYTES_MAX, wire};
use tombolo_types::{
    Class, Hash, Refusal, UnixMillis, ensure,
    message::DataClass,
    record::{End, RecordFilter, SaltedRecord},
    refuse,
};

/// Which records are asked for, and from where on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordQuery {
    /// What they must be.
    pub filter: RecordFilter,
    /// The first position that is looked at.
    pub from: u64,
    /// How many at most; 0 leaves it to the server.
    pub limit: u32,
}

impl From<RecordQuery> for wire::FindRecordsRequest {
    fn from(it: RecordQuery) -> Self {
        Self { filter: Some(it.filter.into()), from: it.from, limit: it.limit }
    }
}

impl TryFrom<wire::FindRecordsRequest> for RecordQuery {
    type Error = Refusal;

    fn try_from(it: wire::FindRecordsRequest) -> Result<Self, Refusal> {
        let filter = it.filter.map_or_else(|| Ok(RecordFilter::default()), TryInto::try_into)?;
        Ok(Self { filter, from: it.from, limit: it.limit })
    }
}

impl From<RecordFilter> for wire::RecordFilter {
    fn from(it: RecordFilter) -> Self {
        let (ending, class) = match it.end {
            None => (wire::Ending::Unspecified, None),
            Some(End::Done) => (wire::Ending::Done, None),
            Some(End::Refused) => (wire::Ending::Refused, None),
            Some(End::RefusedAs(class)) => (wire::Ending::Refused, Some(u32::from(class as u8))),
        };
        Self {
            global_id: it.global_id.map(|id| id.0.to_vec()),
            tx_id: it.tx_id.map(|id| id.0.to_vec()),
            chain_id: it.chain.map(|id| id.0.to_vec()),
            party: it.party.map(|id| id.0.to_vec()),
            data_id: it.data_id.map(|id| id.0.to_vec()),
            data_class: it.data_class.map(|class| class.number().into()),
            link: it.link.map(|id| id.0.to_vec()),
            mode: it.mode.map(Into::into),
            operation: it.operation,
            ending: ending.into(),
            class,
            since_ms: it.since.map(|at| at.0),
            until_ms: it.until.map(|at| at.0),
        }
    }
}

impl TryFrom<wire::RecordFilter> for RecordFilter {
    type Error = Refusal;

    fn try_from(it: wire::RecordFilter) -> Result<Self, Refusal> {
        let bytes = it.operation.as_ref().map_or(0, String::len);
        ensure!(
            bytes <= QUERY_TEXT_BYTES_MAX,
            Limit,
            "the operation's name of {bytes} bytes is above {QUERY_TEXT_BYTES_MAX}"
        );
        let class = some_number("class", it.class, Class::from_number)?;
        let end = match (wire::Ending::try_from(it.ending), class) {
            (Ok(wire::Ending::Unspecified), None) => None,
            (Ok(wire::Ending::Done), None) => Some(End::Done),
            (Ok(wire::Ending::Refused), None) => Some(End::Refused),
            (Ok(wire::Ending::Refused), Some(class)) => Some(End::RefusedAs(class)),
            (Ok(_), Some(class)) => refuse!(Format, "{class} is asked for without refusals"),
            (Err(_), _) => refuse!(Format, "there is no ending {}", it.ending),
        };
        Ok(Self {
            global_id: some_id("the global id", it.global_id)?,
            tx_id: some_id("the transaction id", it.tx_id)?,
            chain: some_id("the chain id", it.chain_id)?,
            party: some_id("the party", it.party)?,
            data_id: some_id("the data id", it.data_id)?,
            data_class: some_number("class of data", it.data_class, DataClass::from_number)?,
            link: some_id("the link", it.link)?,
            mode: some_number("mode", it.mode, Some)?,
            operation: it.operation,
            end,
            since: it.since_ms.map(UnixMillis),
            until: it.until_ms.map(UnixMillis),
        })
    }
}

fn some_id<T: From<Hash>>(what: &str, bytes: Option<Vec<u8>>) -> Result<Option<T>, Refusal> {
    let Some(bytes) = bytes else { return Ok(None) };
    let id: Hash = read_id(what, &bytes)?;
    ensure!(!id.is_zero(), Format, "{what} is zero, which stands for none; leave it out");
    Ok(Some(id.into()))
}

fn some_number<T>(
    what: &str,
    number: Option<u32>,
    read: impl FnOnce(u8) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    let Some(number) = number else { return Ok(None) };
    match u8::try_from(number).ok().and_then(read) {
        Some(value) => Ok(Some(value)),
        None => refuse!(Format, "there is no {what} {number}"),
    }
}

/// A page of what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundRecords {
    /// Records with their positions, ascending.
    pub records: Vec<(u64, SaltedRecord)>,
    /// Where to go on; `None` where the search is at its end.
    pub next: Option<u64>,
}

impl From<FoundRecords> for wire::FindRecordsResponse {
    fn from(it: FoundRecords) -> Self {
        Self { records: entries(it.records), next: it.next }
    }
}

impl TryFrom<wire::FindRecordsResponse> for FoundRecords {
    type Error = Refusal;

    fn try_from(it: wire::FindRecordsResponse) -> Result<Self, Refusal> {
        Ok(Self { records: read_entries(it.records)?, next: it.next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_types::id::{ChainId, DataId, GlobalId, IdentityId, LinkId, TxId};

    fn filter(end: Option<End>) -> RecordFilter {
        RecordFilter {
            global_id: Some(GlobalId([1; 32])),
            tx_id: Some(TxId([2; 32])),
            chain: Some(ChainId([3; 32])),
            party: Some(IdentityId([4; 32])),
            data_id: Some(DataId([5; 32])),
            data_class: Some(DataClass::Closed),
            link: Some(LinkId([6; 32])),
            mode: Some(1),
            operation: Some("share".into()),
            end,
            since: Some(UnixMillis(7)),
            until: Some(UnixMillis(8)),
        }
    }

    #[test]
    fn a_query_comes_back_as_it_went() {
        let ends = [Some(End::Done), Some(End::Refused), Some(End::RefusedAs(Class::Tamper)), None];
        let filters = ends.map(filter).into_iter().chain([RecordFilter::default()]);
        for filter in filters {
            let query = RecordQuery { filter, from: 9, limit: 10 };
            assert_eq!(
                RecordQuery::try_from(wire::FindRecordsRequest::from(query.clone())),
                Ok(query)
            );
        }
        let none = wire::FindRecordsRequest { filter: None, from: 3, limit: 0 };
        assert_eq!(
            RecordQuery::try_from(none),
            Ok(RecordQuery { from: 3, ..RecordQuery::default() })
        );
    }

    #[test]
    fn a53_what_a_filter_cannot_be_is_refused() {
        type Spoil = fn(&mut wire::RecordFilter);
        let spoils: [(&str, Spoil, Class); 9] = [
            ("an id of 31 bytes", |it| it.party = Some(vec![1; 31]), Class::Format),
            ("an empty id", |it| it.link = Some(Vec::new()), Class::Format),
            ("a zero id", |it| it.data_id = Some(vec![0; 32]), Class::Format),
            ("an unknown class of data", |it| it.data_class = Some(3), Class::Format),
            ("an unknown ending", |it| it.ending = 3, Class::Format),
            ("an unknown class", |it| it.class = Some(20), Class::Format),
            ("a class of what is done", |it| it.ending = wire::Ending::Done.into(), Class::Format),
            ("a mode above a byte", |it| it.mode = Some(256), Class::Format),
            ("a long name", |it| it.operation = Some("x".repeat(513)), Class::Limit),
        ];
        for (what, spoil, class) in spoils {
            let mut it = wire::RecordFilter::from(filter(Some(End::RefusedAs(Class::Denied))));
            spoil(&mut it);
            let found = RecordFilter::try_from(it).map_err(|refusal| refusal.class);
            assert_eq!(found, Err(class), "{what}");
        }
    }
}
