//! How often a node was asked: anvil says each method on a line of its own.

use std::{fs, path::Path};

/// How many requests stand in what an anvil has said.
pub(super) fn of(log: &Path) -> u64 {
    let log = fs::read(log).unwrap_or_default();
    log.split(|byte| *byte == b'\n').filter(|line| is_method(line)).count() as u64
}

fn is_method(line: &[u8]) -> bool {
    [&b"eth_"[..], b"net_", b"web3_", b"anvil_"].iter().any(|kind| line.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_methods_are_counted() {
        let lines = [
            ("eth_call", true),
            ("anvil_setBalance", true),
            ("    Block Number: 7", false),
            ("", false),
        ];
        for (line, expected) in lines {
            assert_eq!(is_method(line.as_bytes()), expected, "{line}");
        }
    }
}
