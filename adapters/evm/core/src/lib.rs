//! How the hub believes what a gateway contract on an Ethereum chain says of its lanes.
//!
//! A contract has no say in its chain's headers; it is proved by its storage. So a head is proved in
//! two steps: a final block's state root, which the chain's consensus vouches for, and under it the
//! gateway's account and the slots that the lane leaf is rebuilt from ([`storage`]).
//!
//! Two kinds of consensus are followed ([`follow`] says what they have in common):
//! - [`clique`], the proof of authority of geth. Assumed: no more than half of the signers seal on
//!   two branches at once, and they seal what they have executed.
//! - [`beacon`], Ethereum's proof of stake, by its sync committees. Assumed: the block root in the
//!   anchor is that of a final block, and less than two thirds of each sync committee are corrupt
//!   while it signs. What a committee signs is not slashed.
//!
//! Of both: some relayer brings what is new within the trusting period.
//!
//! Invariants: a verdict depends on nothing but its arguments; every byte of a proof is hashed, or
//! compared, or the proof is refused; what must be proved is never zero; a client holds nothing that
//! is not final.
//!
//! Deliberately absent: proofs of absence; execution of transactions; anything that reads a node.

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::cast_possible_truncation
    )
)]

pub mod beacon;
pub mod clique;
pub mod follow;
pub mod proof;
mod rlp;
pub mod storage;
pub mod trie;

pub use rlp::RlpError;
