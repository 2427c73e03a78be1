//! Policies: who may do what with which type of data, in Cedar, closed by default.
//!
//! Cedar alone fails open: a `forbid` whose evaluation errs is ignored. So every policy is
//! validated strictly against one schema before it stands in the set, any evaluation error is
//! `E_POLICY`, and so is a request that no policy's scope covers. Policies are bounded in number,
//! bytes and depth, the depth of expressions included, because the evaluator's verdict must not
//! depend on how much stack a node has left. Req: Y4560-7.2.5-3, PRJ-6-1

mod bounds;
mod evaluate;
mod matrix;

pub use bounds::{DEPTH_MAX, OPERATORS_MAX};
pub(crate) use evaluate::ask;
pub use evaluate::{EVALUATOR, Memo, Question, Ruling, Subject};
pub use matrix::{MatrixCell, matrix};

use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_crypto::{digest::Preimage, keccak256::keccak256};
use tombolo_ledger::{Cell, Context, State, Table};
use tombolo_types::{Hash, Refusal, ensure, store::View};

/// A policy under which open data of every type may be shared: a beginning for a new network.
/// Without any policy nothing passes.
pub const SHARE_OPEN_DATA: &str = r#"permit (principal, action == Action::"share", resource)
when { resource.class == "open" };"#;

/// The longest name of a policy, in bytes.
pub const ID_BYTES_MAX: usize = 64;
/// The most bytes of all policies together: the set is compiled as a whole.
pub const SET_BYTES_MAX: u64 = 1_048_576;

/// What a policy may allow or forbid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Operation {
    /// Copies an item to another chain.
    Share,
    /// Takes an item from one chain to another.
    Move,
    /// Writes an item within a two-phase commit.
    Write,
    /// Shows a closed item to a grantee.
    Disclose,
    /// Calls a contract within a two-phase commit.
    Call,
    /// Takes an amount of a fungible asset from one chain to another.
    Transfer,
}

impl Operation {
    /// The name of the Cedar action.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Move => "move",
            Self::Write => "write",
            Self::Disclose => "disclose",
            Self::Call => "call",
            Self::Transfer => "transfer",
        }
    }
}

const POLICIES: Table<String, String> = Table::new(*b"hY");
/// Hash and bytes of the set.
const SET: Cell<(Hash, u64)> = Cell::new(*b"hZ");

/// All policies by name, ascending.
pub fn list(view: &dyn View, limit: usize) -> Vec<(String, String)> {
    let mut all = POLICIES.all(view, limit);
    // Keys sort by length first; people expect the names in order.
    all.sort();
    all
}

/// The hash of the whole set; zero where there is no policy.
pub fn set_hash(view: &dyn View) -> Hash {
    SET.get(view).unwrap_or_default().0
}

/// Sets a policy; it holds for whatever is asked after this transaction.
pub(crate) fn set(cx: &mut Context<'_, '_>, id: &str, text: &str) -> Result<(), Refusal> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    ensure!(
        (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed),
        Format,
        "a policy's name is 1 to {ID_BYTES_MAX} letters, digits, dashes, dots and underscores"
    );
    let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    ensure!(
        bytes <= cx.parameters.policy_bytes_max,
        Limit,
        "a policy of {bytes} bytes is above {}",
        cx.parameters.policy_bytes_max
    );
    bounds::check(text)?;
    evaluate::check(id, text)?;
    let count = u64::try_from(POLICIES.all(cx.state, usize::MAX).len()).unwrap_or(u64::MAX);
    let is_new = !POLICIES.has(cx.state, &id.to_owned());
    ensure!(
        !is_new || count < cx.parameters.policies_max,
        Limit,
        "the set holds {count} policies, the most that it may"
    );
    POLICIES.put(cx.state, &id.to_owned(), &text.to_owned());
    let total = seal(cx.state);
    ensure!(
        total <= SET_BYTES_MAX,
        Limit,
        "the policies have {total} bytes together, above {SET_BYTES_MAX}"
    );
    note(cx, id);
    Ok(())
}

/// Removes a policy.
pub(crate) fn remove(cx: &mut Context<'_, '_>, id: &str) -> Result<(), Refusal> {
    ensure!(POLICIES.has(cx.state, &id.to_owned()), NotFound, "there is no policy named {id}");
    POLICIES.delete(cx.state, &id.to_owned());
    seal(cx.state);
    note(cx, id);
    Ok(())
}

fn note(cx: &mut Context<'_, '_>, id: &str) {
    cx.record.policy_hash = set_hash(cx.state);
    cx.record.remark = format!("policy {id}; the set is now {}", cx.record.policy_hash);
}

/// Writes the hash of the set anew, and gives its bytes.
fn seal(state: &mut State<'_>) -> u64 {
    let all = POLICIES.all(state, usize::MAX);
    let total = all.iter().fold(0u64, |total, (_, text)| {
        total.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX))
    });
    let hash = if all.is_empty() {
        Hash::ZERO
    } else {
        all.iter()
            .fold(Preimage::tagged("policies"), |preimage, (id, text)| {
                preimage.word(keccak256(id.as_bytes())).bytes(text.as_bytes())
            })
            .finish()
    };
    SET.put(state, &(hash, total));
    total
}
