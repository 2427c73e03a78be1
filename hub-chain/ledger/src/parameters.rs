//! Agreed parameters: all in genesis, changed by vote.

use crate::state::{Cell, State};
use borsh::{BorshDeserialize, BorshSerialize};
use tombolo_types::{Class, Refusal, ensure, header::Genesis, refuse, store::View};

macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident = $default:literal, $min:literal ..= $max:literal;)+) => {
        /// Every agreed parameter of a ledger.
        #[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
        pub struct Parameters {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Default for Parameters {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Parameters {
            /// Name, value and the least and greatest that is allowed, in order.
            #[must_use]
            pub fn list(&self) -> Vec<(&'static str, u64, u64, u64)> {
                vec![$((stringify!($name), self.$name, $min, $max),)+]
            }

            /// Sets one parameter; hostile values are refused, for a vote may be hostile (A62).
            ///
            /// # Errors
            /// `E_NOTFOUND` for an unknown name, `E_FORMAT` for a value outside its range.
            pub fn set(&mut self, name: &str, value: u64) -> Result<(), Refusal> {
                match name {
                    $(stringify!($name) => {
                        ensure!(
                            ($min..=$max).contains(&value),
                            Format,
                            "parameter {name}: {value} is not in {}..={}", $min as u64, $max as u64
                        );
                        self.$name = value;
                        Ok(())
                    })+
                    _ => refuse!(NotFound, "there is no parameter named {name}"),
                }
            }
        }
    };
}

parameters! {
    /// Milliseconds between blocks while there is no work.
    block_at_rest_ms = 250, 20..=60_000;
    /// Milliseconds between blocks while there is work, at the least.
    block_under_load_ms = 25, 5..=60_000;
    /// Propose time-out in milliseconds.
    propose_timeout_ms = 500, 50..=60_000;
    /// Prevote time-out in milliseconds.
    prevote_timeout_ms = 200, 20..=60_000;
    /// Precommit time-out in milliseconds.
    precommit_timeout_ms = 200, 20..=60_000;
    /// How far a proposer's time may be ahead of a validator's clock, in milliseconds.
    proposer_ahead_ms = 500, 0..=60_000;
    /// Milliseconds without a new height after which a connected node stops.
    no_height_limit_ms = 60_000, 1_000..=86_400_000;
    /// Trusting period of light clients, in milliseconds.
    trusting_period_ms = 1_209_600_000, 60_000..=31_536_000_000;
    /// How long an act of the recovery council waits, in milliseconds.
    council_delay_ms = 86_400_000, 0..=31_536_000_000;
    /// How long a gateway's client has been dead before the recovery council may release a lock.
    release_period_ms = 1_209_600_000, 60_000..=31_536_000_000;
    /// Age of a gateway's view of identities above which it takes nothing that leaves, in milliseconds.
    identity_view_ms = 3_600_000, 1_000..=31_536_000_000;
    /// Time from Begin to abort, where the beginner names none, in milliseconds.
    commit_deadline_ms = 60_000, 1_000..=86_400_000;
    /// The longest deadline of a two-phase commit, in milliseconds.
    commit_deadline_max_ms = 86_400_000, 1_000..=31_536_000_000;
    /// What a relayer may take for one trip, in milliseconds.
    relay_margin_ms = 10_000, 0..=3_600_000;
    /// What the slowest participant may take until a block is final, in milliseconds.
    finality_ms = 2_000, 0..=86_400_000;
    /// How long a hash lock may last; an ended one is remembered so long after its deadline.
    swap_deadline_max_ms = 604_800_000, 60_000..=31_536_000_000;
    /// How long an order of a swap may wait for acceptance: a free option meanwhile.
    swap_window_max_ms = 3_600_000, 1_000..=86_400_000;
    /// How long a party of a swap, and whoever watches for it, may be down.
    swap_outage_ms = 3_600_000, 0..=604_800_000;
    /// Open orders of swaps that one party may have.
    swap_orders_max = 100, 1..=1_000_000;
    /// Undecided commits and open hash locks that one owner may have.
    open_locks_max = 1_000, 1..=1_000_000;
    /// Deadline and revocation aborts worked off in one block.
    aborts_per_block = 100, 1..=10_000;
    /// How long a pause lasts, in milliseconds.
    pause_ms = 3_600_000, 1_000..=86_400_000;
    /// How far ahead a transaction may expire, in milliseconds.
    transaction_expiry_max_ms = 3_600_000, 60_000..=86_400_000;
    /// Weight that an identity gains in a second.
    rate_per_second = 1_000, 10..=1_000_000;
    /// Weight that an identity may save up.
    rate_burst = 10_000, 1_000..=10_000_000;
    /// Weight of all transactions of a block; never so little that a full delivery cannot enter.
    block_weight_max = 20_000, 2_000..=10_000_000;
    /// Weight of one lane message that is taken.
    message_weight_max = 64, 16..=1_000_000;
    /// Messages that a lane may hold before room is freed.
    lane_backlog_max = 100_000, 100..=10_000_000;
    /// Bytes that a lane may hold before they are taken.
    lane_backlog_bytes_max = 268_435_456, 1_048_576..=17_179_869_184;
    /// Bytes of an open body in a share.
    open_body_bytes_max = 16_384, 256..=60_000;
    /// Policies in the set.
    policies_max = 1_000, 1..=100_000;
    /// Bytes of one policy.
    policy_bytes_max = 65_536, 256..=1_048_576;
    /// Items that may pass a link in an hour, for each class.
    link_items_per_hour = 100_000_000, 1..=1_000_000_000_000;
    /// The same for a link that rests on one trusted node's word.
    unbounded_items_per_hour = 1_000, 0..=1_000_000_000_000;
}

const PARAMETERS: Cell<Parameters> = Cell::new(*b"kP");

impl Parameters {
    /// The parameters in force.
    pub fn of(view: &dyn View) -> Self {
        PARAMETERS.get(view).unwrap_or_default()
    }

    /// Puts these in force.
    pub fn put(&self, state: &mut State<'_>) {
        PARAMETERS.put(state, self);
    }

    /// The defaults with what genesis says otherwise.
    ///
    /// # Errors
    /// As [`Parameters::set`], and `E_FORMAT` where the names do not ascend.
    pub fn from_genesis(genesis: &Genesis) -> Result<Self, Refusal> {
        let mut parameters = Self::default();
        let mut before = "";
        for parameter in &genesis.parameters {
            if parameter.name.as_str() <= before {
                return Err(Refusal::new(
                    Class::Format,
                    format!("genesis parameter {} is not in ascending order", parameter.name),
                ));
            }
            before = &parameter.name;
            parameters.set(&parameter.name, parameter.value)?;
        }
        Ok(parameters)
    }
}
