//! What differs between networks and forks, as data.

use borsh::{BorshDeserialize, BorshSerialize};
use std::num::NonZeroU64;
use tombolo_types::{Hash, Refusal, abi_struct, ensure, refuse};

/// The most forks that a schedule holds.
pub const FORKS_MAX: usize = 16;
/// The longest slot, in seconds.
const SECONDS_PER_SLOT_MAX: u64 = 3_600;

/// Sizes that a network is built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Preset {
    /// Of public networks.
    Mainnet = 1,
    /// Of test networks.
    Minimal = 2,
}

impl Preset {
    fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Mainnet),
            2 => Some(Self::Minimal),
            _ => None,
        }
    }

    /// Slots of an epoch.
    #[must_use]
    pub fn slots_per_epoch(self) -> NonZeroU64 {
        match self {
            Self::Mainnet => const { NonZeroU64::new(32).unwrap() },
            Self::Minimal => const { NonZeroU64::new(8).unwrap() },
        }
    }

    /// Slots of the period for which a sync committee signs.
    #[must_use]
    pub fn slots_per_period(self) -> NonZeroU64 {
        match self {
            Self::Mainnet => const { NonZeroU64::new(32 * 256).unwrap() },
            Self::Minimal => const { NonZeroU64::new(8 * 8).unwrap() },
        }
    }

    /// Seats of a sync committee, as a power of two.
    #[must_use]
    pub fn committee_depth(self) -> u32 {
        match self {
            Self::Mainnet => 9,
            Self::Minimal => 5,
        }
    }

    /// Seats of a sync committee.
    #[must_use]
    pub fn committee_size(self) -> u32 {
        1 << self.committee_depth()
    }
}

/// How the headers and states of a fork are laid out. Forks that keep a layout share it; the light
/// client sees Fulu as it sees Electra.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Layout {
    /// Altair and Bellatrix: a light client is told of no execution block.
    Altair = 1,
    /// Capella.
    Capella = 2,
    /// Deneb: two more fields in the execution header.
    Deneb = 3,
    /// Electra: a deeper state.
    Electra = 4,
}

/// The generalised index of the execution payload in the body of a block. Capella to Electra.
pub(super) const EXECUTION_INDEX: u64 = 25;
/// The length of the way to it.
pub(super) const EXECUTION_DEPTH: usize = 4;

impl Layout {
    fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Altair),
            2 => Some(Self::Capella),
            3 => Some(Self::Deneb),
            4 => Some(Self::Electra),
            _ => None,
        }
    }

    /// The generalised index in the state of the root of the finalised checkpoint.
    pub(super) fn finalized_index(self) -> u64 {
        match self {
            Self::Altair | Self::Capella | Self::Deneb => 105,
            Self::Electra => 169,
        }
    }

    /// The generalised index in the state of the present sync committee; the next one follows.
    pub(super) fn committee_index(self) -> u64 {
        match self {
            Self::Altair | Self::Capella | Self::Deneb => 54,
            Self::Electra => 86,
        }
    }

    /// How many fields an execution header has, and the depth of their tree; `None` where a light
    /// client is told of none.
    pub(super) fn execution_fields(self) -> Option<(usize, u32)> {
        match self {
            Self::Altair => None,
            Self::Capella => Some((15, 4)),
            Self::Deneb | Self::Electra => Some((17, 5)),
        }
    }
}

abi_struct! {
    /// From when on a chain follows other rules.
    pub struct BeaconFork {
        /// The first epoch.
        pub epoch: u64,
        /// The four bytes of the fork's version, as a number, the first byte highest.
        pub version: u32,
        /// The number of its [`Layout`].
        pub layout: u8,
    }
}

/// One line of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Fork {
    pub(super) epoch: u64,
    pub(super) version: u32,
    pub(super) layout: Layout,
}

/// What never changes while a client follows a network.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Spec {
    pub(super) preset: Preset,
    pub(super) genesis_time: u64,
    pub(super) seconds_per_slot: u64,
    pub(super) genesis_validators_root: Hash,
    /// Ascending by epoch; the first begins at epoch 0.
    pub(super) forks: Vec<Fork>,
}

impl Spec {
    /// What an anchor says, checked.
    ///
    /// # Errors
    /// `E_VERSION` for an unknown preset or layout; `E_FORMAT`; `E_LIMIT` for a long schedule.
    pub(super) fn new(
        preset: u8,
        genesis_time: u64,
        seconds_per_slot: u64,
        genesis_validators_root: Hash,
        forks: &[BeaconFork],
    ) -> Result<Self, Refusal> {
        let Some(preset) = Preset::from_number(preset) else {
            refuse!(Version, "preset {preset} is neither 1, mainnet, nor 2, minimal");
        };
        let mut schedule = Vec::new();
        for BeaconFork { epoch, version, layout } in forks {
            let Some(layout) = Layout::from_number(*layout) else {
                refuse!(Version, "layout {layout} of fork {version:#010x} is none from 1 to 4");
            };
            schedule.push(Fork { epoch: *epoch, version: *version, layout });
        }
        ensure!(
            schedule.first().is_some_and(|fork| fork.epoch == 0)
                && schedule.is_sorted_by(|one, next| {
                    one.epoch <= next.epoch && one.layout <= next.layout
                }),
            Format,
            "the fork schedule does not begin at epoch 0, or goes back"
        );
        ensure!(
            (1..=SECONDS_PER_SLOT_MAX).contains(&seconds_per_slot),
            Format,
            "a slot has {seconds_per_slot} seconds, which is not from 1 to {SECONDS_PER_SLOT_MAX}"
        );
        ensure!(!genesis_validators_root.is_zero(), Format, "the genesis validators root is zero");
        ensure!(
            schedule.len() <= FORKS_MAX,
            Limit,
            "{} forks are above {FORKS_MAX}",
            schedule.len()
        );
        Ok(Self {
            preset,
            genesis_time,
            seconds_per_slot,
            genesis_validators_root,
            forks: schedule,
        })
    }

    /// The fork of a slot.
    pub(super) fn fork_at(&self, slot: u64) -> Option<Fork> {
        let epoch = self.epoch_of(slot);
        self.forks.iter().rfind(|fork| fork.epoch <= epoch).copied()
    }

    fn epoch_of(&self, slot: u64) -> u64 {
        slot / self.preset.slots_per_epoch()
    }

    /// The period of a slot: each has its own sync committee.
    pub(super) fn period_of(&self, slot: u64) -> u64 {
        slot / self.preset.slots_per_period()
    }

    /// The second in which a slot begins.
    pub(super) fn time_of(&self, slot: u64) -> u64 {
        self.genesis_time.saturating_add(slot.saturating_mul(self.seconds_per_slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_types::Class;

    fn fork(epoch: u64, version: u32, layout: u8) -> BeaconFork {
        BeaconFork { epoch, version, layout }
    }

    fn spec(preset: u8, seconds: u64, root: Hash, forks: &[BeaconFork]) -> Result<Spec, Class> {
        Spec::new(preset, 7, seconds, root, forks).map_err(|refusal| refusal.class)
    }

    /// The fork schedule of the public network.
    #[test]
    fn slots_of_the_public_network() {
        let forks = [
            fork(0, 0, 1),
            fork(74_240, 0x0100_0000, 1),
            fork(144_896, 0x0200_0000, 1),
            fork(194_048, 0x0300_0000, 2),
            fork(269_568, 0x0400_0000, 3),
            fork(364_032, 0x0500_0000, 4),
        ];
        let spec = spec(1, 12, Hash([1; 32]), &forks).unwrap();
        let version = |slot| spec.fork_at(slot).unwrap().version;
        assert_eq!(version(0), 0);
        assert_eq!(version(194_048 * 32 - 1), 0x0200_0000);
        assert_eq!(version(194_048 * 32), 0x0300_0000);
        assert_eq!(version(u64::MAX), 0x0500_0000);
        assert_eq!((spec.period_of(8191), spec.period_of(8192)), (0, 1));
        assert_eq!(spec.time_of(100), 1207);
        assert_eq!(spec.time_of(u64::MAX), u64::MAX);
        assert_eq!(Preset::Mainnet.committee_size(), 512);
        assert_eq!(Preset::Minimal.committee_size(), 32);
    }

    #[test]
    fn a_schedule_that_is_none_is_refused() {
        let root = Hash([1; 32]);
        let good = [fork(0, 1, 2), fork(5, 2, 3)];
        assert!(spec(2, 2, root, &good).is_ok());
        let rows = [
            (spec(0, 2, root, &good), Class::Version),
            (spec(3, 2, root, &good), Class::Version),
            (spec(2, 2, root, &[fork(0, 1, 0)]), Class::Version),
            (spec(2, 2, root, &[fork(0, 1, 5)]), Class::Version),
            (spec(2, 2, root, &[]), Class::Format),
            (spec(2, 2, root, &[fork(1, 1, 2)]), Class::Format),
            (spec(2, 2, root, &[fork(0, 1, 2), fork(9, 2, 3), fork(8, 3, 3)]), Class::Format),
            (spec(2, 2, root, &[fork(0, 1, 3), fork(9, 2, 2)]), Class::Format),
            (spec(2, 0, root, &good), Class::Format),
            (spec(2, 3_601, root, &good), Class::Format),
            (spec(2, 2, Hash::ZERO, &good), Class::Format),
            (spec(2, 2, root, &vec![fork(0, 1, 2); FORKS_MAX + 1]), Class::Limit),
        ];
        for (result, class) in rows {
            assert_eq!(result.unwrap_err(), class);
        }
    }
}
