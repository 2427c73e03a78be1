//! The participant: what a gateway keeps of each transaction that it was asked to prepare.
//!
//! After a yes nothing but a decision, or the recovery council's recorded release, frees the
//! lock: no function here takes a time and releases. A transaction that is not known is answered
//! and not stored, so strangers cannot fill the state.

use super::authorisation::{check_no_surplus, check_none_missing};
use super::{Answer, Outcome};
use crate::deadline;
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::{digest, secp256k1};
use tombolo_types::{
    Address, Hash, MessageNumber, Refusal, UnixMillis,
    action::{ACTIONS_MAX, Action, Authorisation, Branch, Terms},
    ensure,
    id::{ChainId, LinkId, Xid},
    message::{Prepare, Vote},
    refuse,
};

/// What a gateway offers to be locked. Only [`Locks::lock`] may fail.
pub trait Locks {
    /// Does all of the action that can fail: takes into escrow, reserves, counts, asks policies.
    ///
    /// # Errors
    /// One class; `E_STATE` where another transaction holds the lock. Nothing of this action is
    /// locked then.
    fn lock(&mut self, xid: Xid, action: &Action) -> Result<(), Refusal>;

    /// Makes all that is locked for the xid happen, and frees the locks.
    fn apply(&mut self, xid: Xid);

    /// Frees all that is locked for the xid, and gives back what was taken. Nothing may be
    /// locked.
    fn release(&mut self, xid: Xid);
}

/// Who may sign for whom on this ledger.
pub trait Authority {
    /// Whether `signer` is a key of the identity whose binding to `account` this ledger has seen
    /// signed by the account's key. The account's own key is always accepted and not asked for.
    fn signs_for(&self, account: Address, signer: Address) -> bool;
}

/// Who the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// The only coordinator it follows.
    pub hub: ChainId,
    /// Its own link to it.
    pub link: LinkId,
}

/// Where a transaction stands on this ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Standing {
    /// Voted yes; everything is locked until the decision.
    Prepared,
    /// Voted no; nothing is locked.
    Refused,
    /// Applied.
    Committed,
    /// Released by decision.
    Aborted,
    /// Released by the recovery council before a decision came: a heuristic outcome.
    Released {
        /// The trust epoch to which the release led.
        trust_epoch: u32,
        /// What the hub had decided, once that is known.
        decided: Option<Outcome>,
    },
}

/// A gateway's state of one two-phase commit. Absent where nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Participant {
    deadline: UnixMillis,
    answer: Answer,
    standing: Standing,
}

impl Participant {
    /// The deadline in the terms.
    #[must_use]
    pub fn deadline(&self) -> UnixMillis {
        self.deadline
    }

    /// What was voted.
    #[must_use]
    pub fn answer(&self) -> Answer {
        self.answer
    }

    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether the state may be dropped at this ledger's block time `at`.
    ///
    /// Never while something is locked, and not before the deadline, from which on an unknown xid
    /// is refused with `E_TIMEOUT`. A release by the council stays for ever.
    #[must_use]
    pub fn forgettable(&self, at: UnixMillis) -> bool {
        let settled = match self.standing {
            Standing::Refused | Standing::Committed | Standing::Aborted => true,
            Standing::Prepared | Standing::Released { .. } => false,
        };
        settled && deadline::passed(self.deadline, at)
    }
}

/// A Prepare that could be read. Its xid is computed here, not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    xid: Xid,
    terms: Terms,
    index: u32,
    link: LinkId,
    branch_digest: Hash,
    actions: Vec<Action>,
    authorisations: Vec<Authorisation>,
}

impl Request {
    /// Reads a Prepare.
    ///
    /// # Errors
    /// `E_FORMAT` where terms, branch or an action are not canonical. There is no xid to vote on
    /// then; the message is answered with the refusal, which the hub counts as a no.
    pub fn read(prepare: &Prepare) -> Result<Self, Refusal> {
        let terms = Terms::decode(&prepare.terms)?;
        let branch = Branch::decode(&prepare.branch)?;
        Ok(Self {
            xid: digest::xid(&terms),
            terms,
            index: prepare.index,
            link: branch.link,
            branch_digest: digest::branch(&branch),
            actions: branch.actions()?,
            authorisations: prepare.authorisations.clone(),
        })
    }

    /// What the transaction is known by.
    #[must_use]
    pub fn xid(&self) -> Xid {
        self.xid
    }

    /// What this ledger shall do.
    #[must_use]
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }
}

/// A vote, with the sentence that goes with a no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Yes.
    Yes,
    /// No, for one class.
    No(Refusal),
}

impl Reply {
    /// The answer alone.
    #[must_use]
    pub fn answer(&self) -> Answer {
        match self {
            Self::Yes => Answer::Yes,
            Self::No(refusal) => Answer::No(refusal.class),
        }
    }

    /// The message that answers Prepare number `of`.
    #[must_use]
    pub fn vote(self, of: MessageNumber, xid: Xid) -> Vote {
        match self {
            Self::Yes => Vote { of, xid, yes: true, class: 0, message: String::new() },
            Self::No(Refusal { class, message }) => {
                Vote { of, xid, yes: false, class: class as u8, message }
            }
        }
    }
}

/// What becomes of a Prepare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// To be kept from now on in place of what was known; `None` where nothing is to be kept.
    pub state: Option<Participant>,
    /// To be sent, in the block that keeps the state.
    pub reply: Reply,
}

/// Prepares: checks, locks, remembers, votes. `known` is what is kept under the request's xid,
/// `at` this ledger's block time, `world` the ledger.
///
/// A transaction that is known gets the answer that it had. One that is not known is refused with
/// `E_TIMEOUT` from its deadline on and not kept, so what was forgotten cannot begin again.
/// Otherwise a no is given for the first of
/// - `E_FORMAT`: another hub, another link, an index without branch, no action, a surplus
///   authorisation;
/// - `E_LIMIT`: too many actions;
/// - `E_AUTH`: an authorisation that is missing, or not by the account's key or a bound one;
/// - `E_TAMPER`: another branch than the one in the terms;
/// - the class with which the first lock that failed was refused; the others are released.
///
/// Req: PRJ-5-1
pub fn prepare(
    known: Option<&Participant>,
    request: &Request,
    own: Own,
    at: UnixMillis,
    world: &mut (impl Authority + Locks),
) -> Answered {
    if let Some(known) = known {
        return Answered { state: Some(*known), reply: answer_again(request.xid, known) };
    }
    if let Err(refusal) = deadline::check_not_passed(request.terms.deadline, at) {
        return Answered { state: None, reply: Reply::No(refusal) };
    }
    let reply = match check(request, own, world).and_then(|()| lock_all(request, world)) {
        Ok(()) => Reply::Yes,
        Err(refusal) => Reply::No(refusal),
    };
    let standing = match reply {
        Reply::Yes => Standing::Prepared,
        Reply::No(_) => Standing::Refused,
    };
    let deadline = request.terms.deadline;
    Answered { state: Some(Participant { deadline, answer: reply.answer(), standing }), reply }
}

fn answer_again(xid: Xid, known: &Participant) -> Reply {
    match known.answer {
        Answer::Yes => Reply::Yes,
        Answer::No(class) => Reply::No(Refusal::new(
            class,
            format!("{xid} was refused here before, with {class}; begin again with another salt"),
        )),
    }
}

/// All that can be checked without the gateway's items and accounts. The hub's word is not
/// enough: what is taken here is authorised here.
fn check(request: &Request, own: Own, authority: &impl Authority) -> Result<(), Refusal> {
    let Request { xid, terms, index, link, branch_digest, actions, authorisations } = request;
    ensure!(
        terms.hub == own.hub,
        Format,
        "{xid} is coordinated by hub {}, this gateway follows {}",
        terms.hub,
        own.hub
    );
    ensure!(*link == own.link, Format, "branch {index} is for link {link}, this is {}", own.link);
    let named = usize::try_from(*index).ok().and_then(|index| terms.branches.get(index));
    let Some(named) = named else {
        refuse!(Format, "there is no branch {index} among the {} of {xid}", terms.branches.len());
    };
    ensure!(!actions.is_empty(), Format, "branch {index} of {xid} has no action");
    for given in authorisations {
        ensure!(
            given.branch == *index,
            Format,
            "the authorisation of account {} is for branch {}, this is branch {index}",
            given.account,
            given.branch
        );
    }
    let given: Vec<&Authorisation> = authorisations.iter().collect();
    check_no_surplus(*index, actions, &given)?;
    ensure!(
        actions.len() <= ACTIONS_MAX,
        Limit,
        "branch {index} of {xid} has {} actions, a branch holds at most {}",
        actions.len(),
        ACTIONS_MAX
    );
    check_none_missing(*index, actions, &given)?;
    for given in authorisations {
        check_signature(*xid, given, authority)?;
    }
    ensure!(
        branch_digest == named,
        Tamper,
        "branch {index} of {xid} has hash {branch_digest}, the terms name {named}"
    );
    Ok(())
}

fn check_signature(
    xid: Xid,
    given: &Authorisation,
    authority: &impl Authority,
) -> Result<(), Refusal> {
    let account = given.account;
    let Ok(signer) = secp256k1::recover(digest::authorisation(xid), &given.signature) else {
        refuse!(Auth, "the authorisation of account {account} for {xid} is not a signature");
    };
    ensure!(
        signer == account || authority.signs_for(account, signer),
        Auth,
        "the authorisation of account {account} for {xid} is signed by {signer}, whose key is \
         not bound to it; let the owner sign this very transaction"
    );
    Ok(())
}

/// Locks all or nothing.
fn lock_all(request: &Request, locks: &mut impl Locks) -> Result<(), Refusal> {
    for action in &request.actions {
        if let Err(refusal) = locks.lock(request.xid, action) {
            locks.release(request.xid);
            return Err(refusal);
        }
    }
    Ok(())
}

/// A decision that does not fit what is known here: a broken invariant somewhere. It is answered
/// all the same, applied in no case, and goes into the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strange {
    /// Commit of a transaction that is not known here.
    CommitOfUnknown,
    /// Commit of a transaction to which this ledger said no.
    CommitAgainstNo,
    /// Commit after Abort.
    CommitAfterAbort,
    /// Abort after Commit.
    AbortAfterCommit,
    /// Commit of what the council has released: the hub's decision stands, the copy here is
    /// disputed.
    CommitAfterRelease,
}

/// What becomes of a decision. Done is the answer in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// To be kept from now on; `None` where nothing is known and nothing is to be kept.
    pub state: Option<Participant>,
    /// To be recorded.
    pub strange: Option<Strange>,
}

/// Takes a proved decision. Total and idempotent: it cannot be refused, it touches the locks only
/// where they are held, and twice is once.
///
/// Req: PRJ-5-2
pub fn decide(
    known: Option<&Participant>,
    xid: Xid,
    decision: Outcome,
    locks: &mut impl Locks,
) -> Applied {
    let Some(known) = known else {
        let strange = match decision {
            Outcome::Commit => Some(Strange::CommitOfUnknown),
            // Prepare was refused before it could be kept, or all is long over.
            Outcome::Abort => None,
        };
        return Applied { state: None, strange };
    };
    let (standing, strange) = match (known.standing, decision) {
        (Standing::Prepared, Outcome::Commit) => {
            locks.apply(xid);
            (Standing::Committed, None)
        }
        (Standing::Prepared, Outcome::Abort) => {
            locks.release(xid);
            (Standing::Aborted, None)
        }
        (Standing::Refused, Outcome::Abort) => (Standing::Aborted, None),
        (Standing::Refused, Outcome::Commit) => (Standing::Refused, Some(Strange::CommitAgainstNo)),
        (Standing::Committed, Outcome::Commit) => (Standing::Committed, None),
        (Standing::Committed, Outcome::Abort) => {
            (Standing::Committed, Some(Strange::AbortAfterCommit))
        }
        (Standing::Aborted, Outcome::Abort) => (Standing::Aborted, None),
        (Standing::Aborted, Outcome::Commit) => {
            (Standing::Aborted, Some(Strange::CommitAfterAbort))
        }
        (Standing::Released { trust_epoch, decided }, _) => {
            let decided = Some(decided.unwrap_or(decision));
            let strange = (decision == Outcome::Commit).then_some(Strange::CommitAfterRelease);
            (Standing::Released { trust_epoch, decided }, strange)
        }
    };
    Applied { state: Some(Participant { standing, ..*known }), strange }
}

/// Releases a lock without a decision, as the recovery council orders. The gateway has checked
/// that the act is the council's, that its delay is over, and that its client of the hub has been
/// expired or frozen for the release period.
///
/// # Errors
/// `E_STATE` where nothing is locked for the xid.
pub fn release(
    known: &Participant,
    xid: Xid,
    trust_epoch: u32,
    locks: &mut impl Locks,
) -> Result<Participant, Refusal> {
    ensure!(
        known.standing == Standing::Prepared,
        State,
        "{xid} holds no lock here that could be released"
    );
    locks.release(xid);
    Ok(Participant { standing: Standing::Released { trust_epoch, decided: None }, ..*known })
}
