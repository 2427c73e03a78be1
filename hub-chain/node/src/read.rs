//! What a ledger shows of itself: every read of the interface, bounded in entries, bytes and work.
//!
//! All of it blocks on the store; the interface calls it off the async threads.

use crate::chain::Chain;
use tombolo_crypto::{digest, log::range_proof, tree};
use tombolo_explorer::{Found, Log};
use tombolo_ledger::{
    Machine, Parameters, block,
    lanes::{self, Lane, LaneNodes, Link},
    principal::Use,
    records::{self, RecordNodes},
    validators,
};
use tombolo_proto::{
    limits::{
        LOG_PROOF_RECORDS_MAX, MESSAGES_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_DEFAULT, PAGE_ENTRIES_MAX,
    },
    view::{
        BlockEvent, FoundRecords, HeaderView, Heads, LaneView, LinkStatus, LinkView, Links,
        LogProof, Messages, MessagesQuery, ProvedLeaf, Receipt, RecordPage, ValidatorChange,
        ValidatorChanges,
    },
};
use tombolo_types::{
    Class, Hash, Height, LaneNumber, MessageNumber, Refusal, UnixMillis, ensure,
    header::{Certificate, Header},
    id::{ChainId, IdentityId, LinkId, TxId},
    record::{RecordFilter, SaltedRecord},
    refuse,
    store::{StoreError, View},
    transaction::{ClientUpdate, HeadProof, NONCE_LANES},
    verifier::{ClientStatus, ClientView},
};

/// How many bodies are read at a time, so that a page of large ones is not read whole.
const CHUNK: usize = 32;

/// The number of entries of a page: what was asked for within the limits.
#[must_use]
pub(crate) fn page(limit: u32) -> usize {
    match usize::try_from(limit).unwrap_or(usize::MAX) {
        0 => PAGE_ENTRIES_DEFAULT,
        limit => limit.min(PAGE_ENTRIES_MAX),
    }
}

fn number(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A store that cannot be read is no refusal; the thread ends, as for state.
fn kept<T>(read: Result<T, StoreError>) -> T {
    match read {
        Ok(value) => value,
        Err(error) => panic!("{error}; check the disk, then start the node again"),
    }
}

impl<M: Machine> Chain<M> {
    /// How a transaction ended, if it has.
    #[must_use]
    pub fn ended(&self, id: TxId) -> Option<Receipt> {
        kept(self.receipt(id)).map(|receipt| Receipt {
            height: receipt.height,
            time: receipt.time,
            refusal: receipt.refusal,
            record: receipt.record,
        })
    }

    /// The first nonce of each series that neither was used nor waits here.
    ///
    /// # Errors
    /// `E_IDENT` for an identity that is not known.
    pub fn nonces(&self, identity: IdentityId) -> Result<Vec<u64>, Refusal> {
        let view = self.view();
        ensure!(
            tombolo_ledger::Principal::of(view, identity).is_some(),
            Ident,
            "identity {identity} is not known here"
        );
        let used = Use::of(view, identity);
        let waiting = self.waiting();
        let next = |lane| waiting.next_nonce(identity, lane, used.nonce(lane));
        Ok((0..NONCE_LANES).map(next).collect())
    }

    /// All links.
    #[must_use]
    pub fn links(&self) -> Links {
        self.at_one_block(|view| {
            let tip = block::tip(view);
            let (height, now) = tip.map_or_else(Default::default, |tip| (tip.height, tip.time));
            let links = lanes::links(view);
            let links = links.iter().map(|link| self.link_view(view, link, now)).collect();
            Links { height, links }
        })
    }

    fn link_view(&self, view: &dyn View, link: &Link, now: UnixMillis) -> LinkView {
        let verifier = self.ledger().machine().verifier(&link.verifier);
        let client = verifier.and_then(|verifier| verifier.view(&link.client, now).ok());
        // A verifier that is gone or cannot read its client accepts nothing.
        let client = client.unwrap_or(ClientView {
            chain: link.chain,
            height: link.peer_height,
            block_id: link.peer_id,
            newest_time: link.peer_time,
            set_since: Height::ZERO,
            validators_root: Hash::ZERO,
            key_epoch: 0,
            status: ClientStatus::Frozen,
            trusting_period_ms: Parameters::of(view).trusting_period_ms,
        });
        LinkView {
            id: link.id,
            chain_id: link.chain,
            mode: link.mode,
            status: match link.status {
                lanes::LinkStatus::Proposed => LinkStatus::Proposed,
                lanes::LinkStatus::Open => LinkStatus::Open,
                lanes::LinkStatus::Paused { until } => LinkStatus::Paused { until },
                lanes::LinkStatus::Frozen => LinkStatus::Frozen,
                lanes::LinkStatus::Closed => LinkStatus::Closed,
            },
            verifier: link.verifier.clone(),
            client,
            greeted: link.greeted,
            trust_epoch: link.trust_epoch,
            peer_trust_epoch: link.peer_trust_epoch,
            lanes: lanes::lanes(view, link.id)
                .into_iter()
                .map(|(number, lane)| lane_view(number, &lane))
                .collect(),
        }
    }

    /// All lane leaves of a link with their proofs, at the newest block: one consistent cut.
    ///
    /// # Errors
    /// `E_NOTFOUND` for a link that is not here, `E_FINALITY` before the first block.
    pub fn heads(&self, id: LinkId) -> Result<Heads, Refusal> {
        self.at_one_block(|view| {
            let (header, certificate) = self.newest(view)?;
            let Some(link) = lanes::link(view, id) else {
                refuse!(NotFound, "this ledger has no link {id}");
            };
            let hashes = lanes::leaf_hashes(view);
            let prove = |(lane_number, lane): (LaneNumber, Lane)| {
                let leaf = lanes::leaf(&link, lane_number, &lane, M::DIRECTION);
                let index = usize::try_from(lane.position).unwrap_or(usize::MAX);
                ensure!(
                    hashes.get(index) == Some(&digest::lane_leaf(&leaf)),
                    Tamper,
                    "lane {lane_number} of link {id} is not what block {} commits to; the store \
                     is damaged: restore it from a peer",
                    header.height
                );
                let head_proof = HeadProof {
                    header: header.clone(),
                    certificate: certificate.clone(),
                    index: lane.position,
                    count: number(hashes.len()),
                    path: tree::lane_path(&hashes, index),
                };
                Ok(ProvedLeaf { leaf, head_proof: head_proof.encode() })
            };
            let leaves = lanes::lanes(view, id).into_iter().map(prove);
            let leaves = leaves.collect::<Result<_, Refusal>>()?;
            Ok(Heads { height: header.height, time: header.time, leaves })
        })
    }

    fn newest(&self, view: &dyn View) -> Result<(Header, Certificate), Refusal> {
        let height = block::tip(view).map_or(Height::ZERO, |tip| tip.height);
        kept(self.certified(height)).ok_or_else(|| {
            Refusal::new(Class::Finality, "this ledger has no final block yet; ask again")
        })
    }

    /// Messages that this ledger sent over a lane, with their proof.
    ///
    /// # Errors
    /// `E_NOTFOUND` for a lane or messages that are not here, `E_STATE` for another epoch,
    /// `E_FORMAT` for a range that ends after the lane.
    pub fn messages(&self, query: MessagesQuery) -> Result<Messages, Refusal> {
        let MessagesQuery { link, lane: lane_number, epoch, from, .. } = query;
        self.at_one_block(|view| {
            let Some(lane) = lanes::lane(view, link, lane_number) else {
                refuse!(NotFound, "this ledger has no lane {lane_number} of link {link}");
            };
            ensure!(
                epoch == lane.epoch,
                State,
                "lane {lane_number} of link {link} is in epoch {}, not {epoch}",
                lane.epoch
            );
            let size = if query.size == 0 { lane.sent.size() } else { query.size };
            ensure!(
                from <= size,
                Format,
                "message {from} of the first {size} of lane {lane_number} of link {link} is asked \
                 for; there is none"
            );
            ensure!(
                size <= lane.sent.size(),
                Finality,
                "lane {lane_number} of link {link} holds {} final messages, not {size}; ask again \
                 later",
                lane.sent.size()
            );
            ensure!(
                from >= lane.taken,
                NotFound,
                "the messages below {} of lane {lane_number} of link {link} were taken and are no \
                 longer kept; ask from there",
                lane.taken
            );
            let messages = bodies(view, &lane, size, query);
            let nodes = LaneNodes { view, link, lane: lane_number, epoch };
            let Some(range) = range_proof(&nodes, from, number(messages.len()), size) else {
                refuse!(
                    Tamper,
                    "the nodes of lane {lane_number} of link {link} are not all here; the store \
                     is damaged: restore it from a peer"
                );
            };
            Ok(Messages { messages, range, size })
        })
    }

    /// The header at a height with all that certifies it; the newest for `None`.
    ///
    /// # Errors
    /// `E_FINALITY` before the first block, `E_NOTFOUND` for a height that is not there yet.
    pub fn header(&self, height: Option<Height>) -> Result<HeaderView, Refusal> {
        let view = self.view();
        let (header, certificate) = match height {
            None => self.newest(view)?,
            Some(height) => kept(self.certified(height)).ok_or_else(|| no_block(height))?,
        };
        let Some(validators) = validators::at(view, header.height) else {
            return Err(no_block(header.height));
        };
        Ok(HeaderView { header, certificate, validators })
    }

    /// What moves a light client that stands at `from`: to the next change of the validator set,
    /// else to the newest header; `None` where neither lies ahead.
    ///
    /// The header that names a change may stand at `from` itself: a client that took it with a
    /// head has not left its set. One that has left asks from one higher.
    ///
    /// # Errors
    /// `E_NOTFOUND` where the store lacks a header.
    pub fn client_update(&self, from: Height) -> Result<Option<ClientUpdate>, Refusal> {
        self.at_one_block(|view| {
            let tip = block::tip(view).map_or(Height::ZERO, |tip| tip.height);
            let changes = validators::changes(view);
            let change = changes.into_iter().find(|first| *first > Height(1) && *first > from);
            let height = match change.and_then(|first| first.checked_sub(1)) {
                Some(naming) if naming <= tip => naming,
                _ if tip > from => tip,
                _ => return Ok(None),
            };
            let (header, certificate) =
                kept(self.certified(height)).ok_or_else(|| no_block(height))?;
            let next_validators =
                validators::at(view, height.next()).ok_or_else(|| no_block(height))?;
            Ok(Some(ClientUpdate { header, certificate, next_validators }))
        })
    }

    /// What is told of the block at a height; `None` where it is not there yet.
    #[must_use]
    pub fn event(&self, height: Height) -> Option<BlockEvent> {
        let (header, certificate) = kept(self.certified(height))?;
        let transactions = kept(self.transactions(height)).map_or(0, |all| all.len());
        Some(BlockEvent {
            height,
            block_id: certificate.block_id,
            time: header.time,
            transactions: u32::try_from(transactions).unwrap_or(u32::MAX),
            log_size: header.log_size,
        })
    }

    /// A page of the audit log.
    #[must_use]
    pub fn records(&self, from: u64, limit: u32) -> RecordPage {
        let view = self.view();
        let log_size = records::log(view).size();
        let (limit, mut bytes) = (page(limit), 0);
        let mut page = Vec::new();
        while page.len() < limit {
            let next = from.saturating_add(number(page.len()));
            let chunk = records::range(view, next, CHUNK.min(limit - page.len()));
            let end = chunk.len() < CHUNK.min(limit - page.len());
            for (position, salted) in chunk {
                bytes += salted.encode().len();
                if bytes > PAGE_BYTES_MAX && !page.is_empty() {
                    return RecordPage { records: page, log_size };
                }
                page.push((position, salted));
            }
            if end {
                break;
            }
        }
        RecordPage { records: page, log_size }
    }

    /// The records that the index found at these positions, as they stand in the log. What does not
    /// fit the filter there is left out: the index is not believed.
    #[must_use]
    pub fn found(&self, filter: &RecordFilter, found: &Found) -> FoundRecords {
        let mut page = FoundRecords { records: Vec::new(), next: found.next };
        let mut bytes = 0;
        for position in &found.positions {
            let stands = records::range(self.view(), *position, 1).pop();
            let Some((_, salted)) =
                stands.filter(|(at, salted)| at == position && filter.accepts(&salted.record))
            else {
                continue;
            };
            bytes += salted.encode().len();
            if bytes > PAGE_BYTES_MAX && !page.records.is_empty() {
                page.next = Some(*position);
                return page;
            }
            page.records.push((*position, salted));
        }
        page
    }

    /// That the records `from .. to` stand in the log of `size` records; the newest for 0.
    ///
    /// # Errors
    /// `E_FORMAT` for a range that is none, `E_LIMIT` for one that is too long, `E_NOTFOUND` where
    /// no block ended with that size.
    pub fn log_proof(&self, from: u64, to: u64, size: u64) -> Result<LogProof, Refusal> {
        self.at_one_block(|view| {
            let (newest, _) = self.newest(view)?;
            let size = if size == 0 { newest.log_size } else { size };
            ensure!(
                from < to && to <= size,
                Format,
                "records {from} to {to} of {size} are no range"
            );
            ensure!(
                to.saturating_sub(from) <= LOG_PROOF_RECORDS_MAX,
                Limit,
                "{} records are above the {LOG_PROOF_RECORDS_MAX} of one proof; ask for parts",
                to.saturating_sub(from)
            );
            let height = self.first_with_log_size(newest.height, size)?;
            let header = self.header(Some(height))?;
            let count = to.saturating_sub(from);
            let Some(range) = range_proof(&RecordNodes(view), from, count, size) else {
                refuse!(
                    Tamper,
                    "the nodes of the audit log up to {size} are not all here; the store is \
                     damaged: restore it from a peer"
                );
            };
            Ok(LogProof { range, header })
        })
    }

    /// The first height whose header has this log size. Log sizes never fall with the height.
    fn first_with_log_size(&self, newest: Height, size: u64) -> Result<Height, Refusal> {
        let log_size = |height: u64| {
            let found = kept(self.certified(Height(height)));
            found.map(|(header, _)| header.log_size).ok_or_else(|| no_block(Height(height)))
        };
        let (mut low, mut high) = (1, newest.0);
        while low < high {
            let middle = low + (high - low) / 2;
            if log_size(middle)? < size {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let found = log_size(low)?;
        ensure!(
            found == size,
            NotFound,
            "no block ended with a log of {size} records; block {low} ended with {found}"
        );
        Ok(Height(low))
    }

    /// Headers at `from` and above that named another validator set.
    ///
    /// # Errors
    /// `E_NOTFOUND` where the store lacks one of them.
    pub fn validator_changes(&self, from: Height) -> Result<ValidatorChanges, Refusal> {
        let view = self.view();
        let tip = block::tip(view).map_or(Height::ZERO, |tip| tip.height);
        let naming = validators::changes(view)
            .into_iter()
            .filter_map(|first| first.checked_sub(1))
            .filter(|height| *height > Height::ZERO && *height >= from && *height <= tip);
        let (mut changes, mut bytes) = (Vec::new(), 0);
        for height in naming {
            let found = kept(self.certified(height));
            let (header, certificate) = found.ok_or_else(|| no_block(height))?;
            let next_validators =
                validators::at(view, height.next()).ok_or_else(|| no_block(height))?;
            bytes += certificate.encode().len() + next_validators.encode().len();
            let full = changes.len() >= PAGE_ENTRIES_MAX || bytes > PAGE_BYTES_MAX;
            if full && !changes.is_empty() {
                return Ok(ValidatorChanges { changes, more: true });
            }
            changes.push(ValidatorChange { header, certificate, next_validators });
        }
        Ok(ValidatorChanges { changes, more: false })
    }
}

/// What the auditors' index is filled from.
impl<M: Machine> Log for Chain<M> {
    fn chain_id(&self) -> ChainId {
        self.tip().map_or(ChainId::ZERO, |tip| tip.chain_id)
    }

    fn read(&self, from: u64, limit: usize) -> Vec<(u64, SaltedRecord)> {
        records::range(self.view(), from, limit)
    }
}

fn no_block(height: Height) -> Refusal {
    Refusal::new(Class::NotFound, format!("block {height} is not final here yet; ask again"))
}

fn lane_view(number: LaneNumber, lane: &Lane) -> LaneView {
    LaneView {
        lane: number,
        epoch: lane.epoch,
        size: lane.sent.size(),
        taken: lane.taken,
        freed: lane.freed,
        current_at: lane.current_at,
        peer_epoch: lane.peer_epoch,
        received: lane.received.size(),
        bytes: lane.bytes,
    }
}

/// Bodies from the first one asked for, within count, size and bytes; one in any case.
fn bodies(view: &dyn View, lane: &Lane, size: u64, query: MessagesQuery) -> Vec<Vec<u8>> {
    let count = usize::try_from(query.count).unwrap_or(usize::MAX).min(MESSAGES_MAX);
    let left = usize::try_from(size.saturating_sub(query.from)).unwrap_or(usize::MAX);
    let count = count.min(left);
    let bytes_max = match usize::try_from(query.bytes_max).unwrap_or(usize::MAX) {
        0 => PAGE_BYTES_MAX,
        bytes => bytes.min(PAGE_BYTES_MAX),
    };
    let (mut messages, mut bytes) = (Vec::new(), 0usize);
    while messages.len() < count {
        let from = MessageNumber(query.from.saturating_add(number(messages.len())));
        let want = CHUNK.min(count - messages.len());
        let chunk = lanes::bodies(view, query.link, query.lane, lane.epoch, from, want);
        let short = chunk.len() < want;
        for body in chunk {
            bytes = bytes.saturating_add(body.len());
            if bytes > bytes_max && !messages.is_empty() {
                return messages;
            }
            messages.push(body);
        }
        if short {
            break;
        }
    }
    messages
}
