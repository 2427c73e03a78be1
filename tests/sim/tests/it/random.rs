//! Chance that a seed repeats.

/// SplitMix64: all that a simulation needs, and the same on every machine for ever.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^ (drawn >> 31)
    }

    /// Below `count`, which is not zero.
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.next() % count
    }

    /// From `least` up to and with `most`.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True `per_mille` times in a thousand.
    pub(crate) fn strikes(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of these; there must be one.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let position = usize::try_from(self.below(of.len() as u64)).unwrap();
        &of[position]
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next().to_be_bytes());
        }
        bytes
    }
}
