//! Which records are asked for, on the command line.

use super::moment::Moment;
use std::str::FromStr;
use tombolo_crypto::digest;
use tombolo_types::{
    Class, Refusal,
    id::{ChainId, DataId, GlobalId, IdentityId, LinkId, TxId},
    message::DataClass,
    record::{End, Record, RecordFilter},
    refuse,
};

/// What a record must be; what is not given, it may be. Req: PRJ-4-5. No record holds a closed
/// field, so there is none to hide.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Filter {
    /// Of this operation, by its global id: the same on all ledgers.
    #[arg(long, value_name = "GLOBAL_ID")]
    id: Option<GlobalId>,
    /// Caused by this transaction on the ledger that is asked, by its local id.
    #[arg(long, value_name = "TX_ID")]
    local: Option<TxId>,
    /// From or to this chain.
    #[arg(long, value_name = "CHAIN_ID")]
    chain: Option<ChainId>,
    /// With this identity among its parties, or brought by it.
    #[arg(long, value_name = "IDENTITY")]
    party: Option<IdentityId>,
    /// About this item.
    #[arg(long, value_name = "DATA_ID", conflicts_with = "item")]
    data: Option<DataId>,
    /// About the item that its owner calls so; with --owner and --home. No record holds such a
    /// name: it is turned into the data id here and not sent.
    #[arg(long, value_name = "NAME", requires_all = ["owner", "home"])]
    item: Option<String>,
    /// The item's first owner.
    #[arg(long, value_name = "IDENTITY", requires = "item")]
    owner: Option<IdentityId>,
    /// The chain on which the item was first written.
    #[arg(long, value_name = "CHAIN_ID", requires = "item")]
    home: Option<ChainId>,
    /// About open or about closed data.
    #[arg(long, value_name = "CLASS", value_parser = data_class)]
    data_class: Option<DataClass>,
    /// Over this link.
    #[arg(long, value_name = "LINK_ID")]
    link: Option<LinkId>,
    /// Over a link of this deployment mode.
    #[arg(long)]
    mode: Option<u8>,
    /// Of this kind, as records name it, e.g. `share`.
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// Done, or refused with any class.
    #[arg(long)]
    status: Option<Status>,
    /// Ended so: `done`, or a class of refusal such as E_DENIED.
    #[arg(long)]
    class: Option<Ended>,
    /// Not before this block time (RFC 3339, or milliseconds since 1970).
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Before this block time.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

/// How an operation ended, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended(Option<Class>);

impl FromStr for Ended {
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

fn data_class(text: &str) -> Result<DataClass, String> {
    let found = [DataClass::Open, DataClass::Closed].into_iter().find(|it| it.name() == text);
    found.ok_or_else(|| "write open or closed".to_owned())
}

/// How a record says that it ended; `None` is done.
pub(crate) fn end_of(record: &Record) -> Option<Class> {
    Class::from_number(record.outcome)
}

impl TryFrom<Filter> for RecordFilter {
    type Error = Refusal;

    fn try_from(it: Filter) -> Result<Self, Refusal> {
        let end = match (it.status, it.class) {
            (None, None) => None,
            (Some(Status::Done), None) | (Some(Status::Done) | None, Some(Ended(None))) => {
                Some(End::Done)
            }
            (Some(Status::Refused), None) => Some(End::Refused),
            (Some(Status::Refused) | None, Some(Ended(Some(class)))) => Some(End::RefusedAs(class)),
            (Some(Status::Done), Some(Ended(Some(class)))) => {
                refuse!(Format, "--status done and --class {class} contradict each other");
            }
            (Some(Status::Refused), Some(Ended(None))) => {
                refuse!(Format, "--status refused and --class done contradict each other");
            }
        };
        let named = it.home.zip(it.owner).zip(it.item);
        let item = named.map(|((home, owner), name)| digest::data_id(home, owner, &name));
        Ok(Self {
            global_id: it.id,
            tx_id: it.local,
            chain: it.chain,
            party: it.party,
            data_id: it.data.or(item),
            data_class: it.data_class,
            link: it.link,
            mode: it.mode,
            operation: it.operation,
            end,
            since: it.since.map(|moment| moment.0),
            until: it.until.map(|moment| moment.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use tombolo_types::{Hash, UnixMillis};

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        filter: Filter,
    }

    fn read(words: &[&str]) -> Option<Result<RecordFilter, Class>> {
        let line = Line::try_parse_from(["query"].iter().chain(words)).ok()?;
        Some(RecordFilter::try_from(line.filter).map_err(|refusal| refusal.class))
    }

    /// What an auditor may ask for, alone and together.
    ///
    /// Req: PRJ-4-5
    #[test]
    fn words_become_a_filter() {
        let id = |byte: u8| Hash([byte; 32]).to_string();
        let (one, two) = (id(1), id(2));
        let any = RecordFilter::default;
        let item = digest::data_id(ChainId([2; 32]), IdentityId([1; 32]), "lamp-7");
        let rows: [(&[&str], RecordFilter); 17] = [
            (&[], any()),
            (&["--id", &one], RecordFilter { global_id: Some(GlobalId([1; 32])), ..any() }),
            (&["--local", &one], RecordFilter { tx_id: Some(TxId([1; 32])), ..any() }),
            (&["--chain", &one], RecordFilter { chain: Some(ChainId([1; 32])), ..any() }),
            (&["--party", &one], RecordFilter { party: Some(IdentityId([1; 32])), ..any() }),
            (&["--data", &one], RecordFilter { data_id: Some(DataId([1; 32])), ..any() }),
            (
                &["--item", "lamp-7", "--owner", &one, "--home", &two],
                RecordFilter { data_id: Some(item), ..any() },
            ),
            (
                &["--data-class", "closed"],
                RecordFilter { data_class: Some(DataClass::Closed), ..any() },
            ),
            (&["--link", &one], RecordFilter { link: Some(LinkId([1; 32])), ..any() }),
            (&["--mode", "1"], RecordFilter { mode: Some(1), ..any() }),
            (&["--operation", "share"], RecordFilter { operation: Some("share".into()), ..any() }),
            (&["--status", "done"], RecordFilter { end: Some(End::Done), ..any() }),
            (&["--class", "done"], RecordFilter { end: Some(End::Done), ..any() }),
            (&["--status", "refused"], RecordFilter { end: Some(End::Refused), ..any() }),
            (
                &["--class", "e_denied"],
                RecordFilter { end: Some(End::RefusedAs(Class::Denied)), ..any() },
            ),
            (
                &["--class", "E_STATE", "--status", "refused"],
                RecordFilter { end: Some(End::RefusedAs(Class::State)), ..any() },
            ),
            (
                &["--since", "1970-01-01T00:00:05Z", "--until", "6000"],
                RecordFilter {
                    since: Some(UnixMillis(5_000)),
                    until: Some(UnixMillis(6_000)),
                    ..any()
                },
            ),
        ];
        for (words, filter) in rows {
            assert_eq!(read(words), Some(Ok(filter)), "{words:?}");
        }
        for words in
            [["--status", "done", "--class", "E_STATE"], ["--status", "refused", "--class", "done"]]
        {
            assert_eq!(read(&words), Some(Err(Class::Format)), "{words:?}");
        }
    }

    #[test]
    fn a_wrong_word_is_refused_by_the_command_line() {
        for words in [
            &["--class", "E_WRONG"][..],
            &["--data-class", "secret"],
            &["--id", "0x12"],
            &["--since", "soon"],
            &["--item", "lamp-7"],
            &["--owner", "0x01"],
        ] {
            assert_eq!(read(words), None, "{words:?}");
        }
    }
}
