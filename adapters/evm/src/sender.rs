//! How a transaction gets into a block: which nonce, which fee, when again.
//!
//! Pure: from what the chain says of the account and of the attempts so far to the next step. The
//! loop that asks and sends is in `submit`. Nothing is kept on disk: after a crash the chain says
//! which nonce is next, and what was on its way either counts or does not; every call of a gateway
//! may be repeated. What still waits then is found out by offering more than it.

use alloy::primitives::TxHash;

/// A fee as EIP-1559 has it, in wei for one gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fee {
    /// The most that is paid, base fee included.
    pub max: u128,
    /// What the block's maker gets at the most.
    pub tip: u128,
}

/// How much is paid, and how patiently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeePolicy {
    /// The tip to begin with, in wei for one gas.
    pub tip: u128,
    /// The most that is ever paid, in wei for one gas.
    pub max: u128,
    /// Blocks without inclusion after which more is offered.
    pub bump_after_blocks: u64,
    /// Blocks without inclusion after which the transaction is given up.
    pub give_up_after_blocks: u64,
}

impl Default for FeePolicy {
    /// A tip of 1 gwei, at the most 500 gwei; more after 3 blocks, an end after 60.
    fn default() -> Self {
        Self {
            tip: 1_000_000_000,
            max: 500_000_000_000,
            bump_after_blocks: 3,
            give_up_after_blocks: 60,
        }
    }
}

/// An eighth more, as nodes demand at the least where one transaction replaces another.
fn raise(value: u128) -> u128 {
    value.saturating_add(value / 8).saturating_add(1)
}

impl FeePolicy {
    /// The fee of a first attempt: room for the base fee to double.
    #[must_use]
    pub fn first(&self, base_fee: u128) -> Fee {
        let tip = self.tip.min(self.max);
        Fee { tip, max: base_fee.saturating_mul(2).saturating_add(tip).min(self.max) }
    }

    /// The fee that replaces `before`: an eighth more of both, as nodes demand at the least, and
    /// what the base fee asks for by now. `None` where the most is reached.
    #[must_use]
    pub fn raised(&self, before: Fee, base_fee: u128) -> Option<Fee> {
        let wanted = self.first(base_fee);
        let least = Fee { max: raise(before.max), tip: raise(before.tip) };
        let fee = Fee {
            max: least.max.max(wanted.max.min(self.max)),
            tip: least.tip.max(wanted.tip.min(self.max)),
        };
        (fee.max <= self.max && fee.tip <= fee.max).then_some(fee)
    }
}

impl FeePolicy {
    /// The fee after so many raises, each as a node demands at the least, up to the most.
    #[must_use]
    pub fn raised_by(&self, raises: u32, base_fee: u128) -> Fee {
        let first = self.first(base_fee);
        let raised = |fee: Fee, _| self.raised(fee, base_fee).ok_or(fee);
        (0..raises).try_fold(first, raised).unwrap_or_else(|highest| highest)
    }

    /// What to offer after nodes have asked for more than `refused`: something that is not known any
    /// more waits under the same nonce, and they want more of both than that. `None` where nothing is
    /// left to raise.
    #[must_use]
    pub fn outbid(&self, refused: Fee) -> Option<Fee> {
        let max = raise(refused.max).min(self.max);
        // What waits may have offered less at the most, and the same tip.
        let fee = Fee { max, tip: raise(refused.tip).min(max) };
        (fee != refused).then_some(fee)
    }
}

/// One attempt that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its hash.
    pub hash: TxHash,
    /// What it offers.
    pub fee: Fee,
    /// The newest block when it was sent.
    pub at_block: u64,
}

/// All attempts with one nonce; at most one of them can count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The nonce.
    pub nonce: u64,
    /// In the order in which they were sent; one at least.
    pub attempts: Vec<Attempt>,
}

/// What the chain says, at its newest block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The newest block.
    pub block: u64,
    /// Its base fee, in wei for one gas; 0 where there is none.
    pub base_fee: u128,
    /// How many transactions of the account are in blocks.
    pub nonce: u64,
    /// Which attempt is in a block.
    pub included: Option<Included>,
    /// Whether the node still knows the newest attempt.
    pub known: bool,
}

/// An attempt that is in a block, which may not be final yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Included {
    /// Which.
    pub hash: TxHash,
    /// The height of its block.
    pub height: u64,
    /// It did there what it said.
    pub succeeded: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing before the next block.
    Wait,
    /// Send the newest attempt again: the node has dropped it.
    SendAgain,
    /// Offer more with the same nonce.
    Replace(Fee),
    /// An attempt is in a block.
    Included(Included),
    /// Another transaction of the same account took the nonce: none of the attempts will count.
    Overtaken,
    /// Not included for too long, at the highest fee that is allowed.
    GiveUp,
}

impl Sending {
    /// The newest attempt.
    #[must_use]
    pub fn newest(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The next step.
    #[must_use]
    pub fn next(&self, sight: &Sight, policy: &FeePolicy) -> Next {
        if let Some(included) = sight.included {
            return Next::Included(included);
        }
        if sight.nonce > self.nonce {
            return Next::Overtaken;
        }
        let (Some(first), Some(newest)) = (self.attempts.first(), self.newest()) else {
            return Next::GiveUp;
        };
        let waited = sight.block.saturating_sub(newest.at_block);
        // Below the base fee it enters no block, and a node that drops it takes it no more.
        let cannot = waited > 0 && newest.fee.max < sight.base_fee;
        // As long as an earlier nonce is open, no offer helps.
        let is_next = sight.nonce == self.nonce;
        if is_next
            && (cannot || waited >= policy.bump_after_blocks)
            && let Some(fee) = policy.raised(newest.fee, sight.base_fee)
        {
            return Next::Replace(fee);
        }
        if sight.block.saturating_sub(first.at_block) >= policy.give_up_after_blocks {
            return Next::GiveUp;
        }
        if sight.known { Next::Wait } else { Next::SendAgain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: FeePolicy =
        FeePolicy { tip: 10, max: 1_000, bump_after_blocks: 3, give_up_after_blocks: 20 };

    fn hash(number: u8) -> TxHash {
        TxHash::repeat_byte(number)
    }

    fn sending() -> Sending {
        let fee = POLICY.first(100);
        Sending { nonce: 7, attempts: vec![Attempt { hash: hash(1), fee, at_block: 50 }] }
    }

    fn at(height: u64) -> Included {
        Included { hash: hash(1), height, succeeded: true }
    }

    fn sight(block: u64) -> Sight {
        Sight { block, base_fee: 100, nonce: 7, included: None, known: true }
    }

    /// Req: D35-I.2-1
    #[test]
    fn what_the_chain_says_decides_the_next_step() {
        let first = POLICY.first(100);
        let raised = POLICY.raised(first, 100).unwrap();
        let included = Sight { included: Some(at(51)), nonce: 8, ..sight(52) };
        let rows = [
            ("just sent", sight(50), Next::Wait),
            ("two blocks later", sight(52), Next::Wait),
            ("three blocks later more is offered", sight(53), Next::Replace(raised)),
            (
                "the base fee has passed the offer",
                Sight { base_fee: 900, ..sight(51) },
                Next::Replace(POLICY.raised(first, 900).unwrap()),
            ),
            ("in a block", included, Next::Included(at(51))),
            (
                "as long as an earlier one is open, more helps nothing",
                Sight { nonce: 6, ..sight(53) },
                Next::Wait,
            ),
            ("dropped", Sight { known: false, ..sight(51) }, Next::SendAgain),
            ("the nonce went to another", Sight { nonce: 8, ..sight(51) }, Next::Overtaken),
        ];
        for (sentence, sight, expected) in rows {
            assert_eq!(sending().next(&sight, &POLICY), expected, "{sentence}");
        }
    }

    #[test]
    fn at_the_highest_fee_it_waits_and_then_gives_up() {
        let fee = Fee { max: 1_000, tip: 950 };
        let sending =
            Sending { attempts: vec![Attempt { hash: hash(1), fee, at_block: 50 }], ..sending() };
        assert_eq!(sending.next(&sight(60), &POLICY), Next::Wait);
        assert_eq!(sending.next(&sight(70), &POLICY), Next::GiveUp);
    }

    /// An earlier attempt may be the one that counts. Attack: A37
    #[test]
    fn a37_any_attempt_may_be_the_one_that_counts() {
        let mut sending = sending();
        let fee = POLICY.raised(POLICY.first(100), 100).unwrap();
        sending.attempts.push(Attempt { hash: hash(2), fee, at_block: 53 });
        let sight = Sight { included: Some(at(54)), nonce: 8, ..sight(54) };
        let expected = Next::Included(at(54));
        assert_eq!(sending.next(&sight, &POLICY), expected);
    }

    /// After a crash nobody knows what was offered, but how often. Attack: A37
    #[test]
    fn a37_an_offer_that_follows_others_is_higher_than_they_were() {
        let first = POLICY.first(100);
        assert_eq!(POLICY.raised_by(0, 100), first);
        let second = POLICY.raised(first, 100).unwrap();
        assert_eq!(POLICY.raised_by(1, 100), second);
        assert_eq!(POLICY.raised_by(2, 100), POLICY.raised(second, 100).unwrap());
        let highest = POLICY.raised_by(u32::MAX, 100);
        assert!(highest.max <= POLICY.max && POLICY.raised(highest, 100).is_none());
    }

    /// After a crash nobody knows what waits: an offer that is refused for it goes up to the most, even
    /// where the most is all that could be offered at first. Attack: A37
    #[test]
    fn a37_an_offer_that_is_too_little_is_raised_up_to_the_most() {
        let table = [
            ("both are raised", Fee { max: 210, tip: 10 }, Some(Fee { max: 237, tip: 12 })),
            ("up to the most", Fee { max: 950, tip: 10 }, Some(Fee { max: 1_000, tip: 12 })),
            ("the tip alone", Fee { max: 1_000, tip: 10 }, Some(Fee { max: 1_000, tip: 12 })),
            (
                "no tip above all",
                Fee { max: 1_000, tip: 950 },
                Some(Fee { max: 1_000, tip: 1_000 }),
            ),
            ("nothing is left", Fee { max: 1_000, tip: 1_000 }, None),
        ];
        for (sentence, refused, expected) in table {
            assert_eq!(POLICY.outbid(refused), expected, "{sentence}");
        }
        // As much as a policy allows at all is reached.
        let offers = std::iter::successors(Some(POLICY.first(1)), |fee| POLICY.outbid(*fee));
        let offers: Vec<Fee> = offers.collect();
        assert_eq!(offers.last(), Some(&Fee { max: 1_000, tip: 1_000 }));
        assert!(offers.len() < 50, "{} offers", offers.len());
    }

    proptest! {
        /// A fee spike is followed, up to the most that is allowed. Attack: A37
        #[test]
        fn a37_a_replacement_is_an_eighth_more_and_never_above_the_most(
            base in 0u128..2_000,
            later in 0u128..2_000,
        ) {
            let mut fee = POLICY.first(base);
            prop_assert!(fee.max <= POLICY.max && fee.tip <= fee.max);
            let mut replaced = 0;
            while let Some(next) = POLICY.raised(fee, later) {
                prop_assert!(next.max * 8 > fee.max * 9 && next.tip * 8 > fee.tip * 9);
                prop_assert!(next.max <= POLICY.max && next.tip <= next.max);
                fee = next;
                replaced += 1;
                prop_assert!(replaced < 100);
            }
        }
    }
}
