//! At most one signature per height, round and step, across crash, restore and second instance.
//!
//! What was signed is on disk before the signature leaves. The file has two areas, each a
//! ring of fixed slots; a new height begins in the area that does not hold the height signed
//! before, so that a torn write never loses what was last signed. What the
//! ring has forgotten lies before what it holds, and nothing is signed there. The file is locked
//! while it is open: a second process with the same home does not start.
//!
//! Spec: S13. Attack: A13.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};
use tombolo_crypto::keccak256::keccak256;
use tombolo_types::{Hash, Height, Round};

const SLOT: usize = 64;
const PAYLOAD: usize = 46;
/// Slots of one area: the last twenty rounds of a height.
const SLOTS: u64 = 64;
/// Distance of the two areas.
const AREA: u64 = SLOTS * SLOT as u64;

/// What a signature is for, within a round; ordered as they are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Propose = 0,
    Prevote = 1,
    Precommit = 2,
}

impl Step {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Propose, Self::Prevote, Self::Precommit].into_iter().find(|s| *s as u8 == number)
    }
}

/// The place of a signature; one is given for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) step: Step,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "height {}, round {}, {:?}", self.height, self.round, self.step)
    }
}

/// What may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// What was asked.
    Sign,
    /// The vote for no block that was signed at this position before. It may always be given, and
    /// a node that crashed between this file and the log must not stumble over it for ever.
    Nil,
}

/// Why no signature is given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// Something else was signed there.
    #[error(
        "refused to sign a second, different vote at height {height}, round {round}: the node \
         abstains there; where it happens again, the data folder was restored from a copy or \
         another process holds this key: make sure that only one does"
    )]
    SignedBefore {
        /// The height.
        height: Height,
        /// The round.
        round: Round,
    },
    /// Something later was signed.
    #[error(
        "refused to sign at height {height}, round {round}: height {last_height}, round \
         {last_round} was signed already; the node abstains until the chain is beyond that"
    )]
    Earlier {
        /// The height asked for.
        height: Height,
        /// The round asked for.
        round: Round,
        /// The newest signed height.
        last_height: Height,
        /// The newest signed round.
        last_round: Round,
    },
    /// Another process has the file.
    #[error("{} is in use by another process with the same home", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signed {
    position: Position,
    digest: Hash,
    nil: bool,
}

impl Signed {
    fn encode(&self) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(&self.position.height.0.to_be_bytes());
        slot[8..12].copy_from_slice(&self.position.round.0.to_be_bytes());
        slot[12] = self.position.step as u8;
        slot[13] = u8::from(self.nil);
        slot[14..PAYLOAD].copy_from_slice(&self.digest.0);
        let check = keccak256(&slot[..PAYLOAD]);
        slot[PAYLOAD..].copy_from_slice(&check.0[..SLOT - PAYLOAD]);
        slot
    }

    /// `None` for an empty or torn slot.
    fn decode(slot: &[u8; SLOT]) -> Option<Self> {
        let (payload, check) = slot.split_at(PAYLOAD);
        if keccak256(payload).0[..SLOT - PAYLOAD] != *check {
            return None;
        }
        let height = Height(u64::from_be_bytes(payload[..8].try_into().ok()?));
        let round = Round(u32::from_be_bytes(payload[8..12].try_into().ok()?));
        let step = Step::from_number(payload[12])?;
        let digest = Hash(payload[14..].try_into().ok()?);
        Some(Self { position: Position { height, round, step }, digest, nil: payload[13] != 0 })
    }
}

/// Where the slots are kept.
pub(crate) trait Disk: Send + 'static {
    /// All slots of both areas.
    fn read(&self) -> io::Result<Vec<u8>>;

    /// Writes one slot, and returns once it would survive a crash.
    fn write(&mut self, slot: &[u8; SLOT], offset: u64) -> io::Result<()>;
}

impl Disk for File {
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 2 * SLOTS as usize * SLOT];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn write(&mut self, slot: &[u8; SLOT], offset: u64) -> io::Result<()> {
        self.write_all_at(slot, offset)?;
        self.sync_data()
    }
}

/// Remembers on disk what this validator signed last.
pub(crate) struct Guard {
    disk: Box<dyn Disk>,
    path: PathBuf,
    /// What the ring holds of the newest height.
    signed: Vec<Signed>,
    /// The area that holds it, 0 or 1.
    area: u64,
    /// The slot of the area that is written next, while the height stays.
    next: u64,
    /// Nothing is signed any more: a write failed, so that it is unknown what the disk holds, or
    /// the engine ends.
    retired: bool,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("path", &self.path).field("last", &self.last()).finish()
    }
}

impl Guard {
    /// Opens or creates the file, and takes its lock.
    pub(crate) fn open(path: &Path) -> Result<Self, GuardError> {
        let failed = |source| GuardError::File { path: path.to_owned(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => GuardError::Locked { path: path.to_owned() },
            TryLockError::Error(source) => failed(source),
        })?;
        if file.metadata().map_err(failed)?.len() < 2 * AREA {
            file.set_len(2 * AREA).map_err(failed)?;
            file.sync_all().map_err(failed)?;
        }
        Self::on(Box::new(file), path)
    }

    /// The guard of what a disk holds.
    fn on(disk: Box<dyn Disk>, path: &Path) -> Result<Self, GuardError> {
        let bytes =
            disk.read().map_err(|source| GuardError::File { path: path.to_owned(), source })?;
        let (signed, area, next) = newest(&bytes);
        Ok(Self { disk, path: path.to_owned(), signed, area, next, retired: false })
    }

    /// The newest position that was signed.
    pub(crate) fn last(&self) -> Option<Position> {
        self.signed.iter().map(|signed| signed.position).max()
    }

    /// From now on nothing is signed.
    pub(crate) fn retire(&mut self) {
        self.retired = true;
    }

    /// Decides whether `digest` may be signed at `position`, and remembers it durably first.
    pub(crate) fn release(
        &mut self,
        position: Position,
        digest: Hash,
        nil: bool,
    ) -> Result<Release, GuardError> {
        let Position { height, round, .. } = position;
        if self.retired {
            let source = io::Error::other("an earlier write failed, or the engine ends");
            return Err(GuardError::File { path: self.path.clone(), source });
        }
        if let Some(before) = self.signed.iter().find(|signed| signed.position == position) {
            return match before {
                _ if before.digest == digest => Ok(Release::Sign),
                Signed { nil: true, .. } => Ok(Release::Nil),
                _ => Err(GuardError::SignedBefore { height, round }),
            };
        }
        if let Some(last) = self.last().filter(|last| *last > position) {
            let (last_height, last_round) = (last.height, last.round);
            return Err(GuardError::Earlier { height, round, last_height, last_round });
        }
        self.remember(Signed { position, digest, nil })?;
        Ok(Release::Sign)
    }

    fn remember(&mut self, signed: Signed) -> Result<(), GuardError> {
        let height = signed.position.height;
        if self.signed.first().is_some_and(|first| first.position.height != height) {
            self.signed.clear();
            self.area = 1 - self.area;
            self.next = 0;
        }
        let offset = self.area * AREA + self.next * SLOT as u64;
        let written = self.disk.write(&signed.encode(), offset);
        self.retired = written.is_err();
        written.map_err(|source| GuardError::File { path: self.path.clone(), source })?;
        if self.signed.len() as u64 == SLOTS {
            self.signed.remove(0);
        }
        self.signed.push(signed);
        self.next = (self.next + 1) % SLOTS;
        Ok(())
    }
}

/// What was signed at the newest height, in order; its area, and the slot after the last of it.
/// Slots of older heights that stand behind them in the same area are left over.
fn newest(bytes: &[u8]) -> (Vec<Signed>, u64, u64) {
    let slots: Vec<(u64, Signed)> = (0..)
        .zip(bytes.chunks_exact(SLOT))
        .filter_map(|(slot, bytes)| Some((slot, Signed::decode(bytes.try_into().ok()?)?)))
        .collect();
    let height = slots.iter().map(|(_, signed)| signed.position.height).max();
    let mut newest: Vec<(u64, Signed)> =
        slots.into_iter().filter(|(_, signed)| Some(signed.position.height) == height).collect();
    newest.sort_by_key(|(_, signed)| signed.position);
    let last = newest.last().map(|(slot, _)| *slot);
    let area = last.map_or(0, |slot| slot / SLOTS);
    let next = last.map_or(0, |slot| (slot + 1) % SLOTS);
    (newest.into_iter().map(|(_, signed)| signed).collect(), area, next)
}

#[cfg(test)]
mod tests;
