//! The result, as a section of `docs/benchmarks.md` and as JSON.

use super::{
    evm::{ChainUse, Hearing, Quiet},
    load::{Measured, percentile},
    machine::Machine,
};
use crate::evm::RawProof;
use serde_json::{Value, json};
use std::{fmt::Write as _, time::Duration};
use tombolo_evm::Finality;

/// All that was measured in one run.
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) phases: Vec<Measured>,
    /// Of a chain beside the islets.
    pub(super) chain: Option<ChainReport>,
}

/// What was measured of a chain beside the islets, apart from the loads.
pub(super) struct ChainReport {
    /// How it is linked, how its heads are proved, and when they are final.
    pub(super) mode: u8,
    pub(super) proof: RawProof,
    pub(super) finality: Finality,
    /// How its blocks were followed.
    pub(super) hearing: Hearing,
    /// How much gas a block holds.
    pub(super) gas_limit: u64,
    pub(super) between_blocks: Duration,
    pub(super) quiet: Vec<Quiet>,
}

/// Numbers of a build without optimisation say nothing of the product.
const BUILD: &str =
    if cfg!(debug_assertions) { "debug build, not to be compared" } else { "release build" };
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Report {
    pub(super) fn to_json(&self) -> Value {
        let Machine { cores, model, memory_mib, kernel, file_system } = &self.machine;
        json!({
            "schema": 1,
            "version": VERSION,
            "build": BUILD,
            "machine": {
                "cores": cores, "model": model, "memory_mib": memory_mib, "kernel": kernel,
                "file_system": file_system,
            },
            "phases": self.phases.iter().map(phase_json).collect::<Vec<_>>(),
            "chain": self.chain.as_ref().map(ChainReport::to_json),
        })
    }

    pub(super) fn to_markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Machine { cores, model, memory_mib, kernel, file_system } = &self.machine;
        writeln!(text, "### {cores} cores, {model}\n")?;
        writeln!(
            text,
            "Version {VERSION}, {BUILD}; {memory_mib} MiB of memory, Linux {kernel}, ledgers on \
             {file_system}. Load, hub, both islets and the relayer share these cores.\n"
        )?;
        writeln!(
            text,
            "| what | finished | under way at a time | seconds | per second | p50 ms | p99 ms | longest ms |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|---|---|")?;
        for phase in &self.phases {
            writeln!(
                text,
                "| {} | {} of {} | {} | {:.2} | **{:.0}** | {:.0} | {:.0} | {:.0} |",
                phase.what,
                phase.finished(),
                phase.asked,
                phase.in_flight,
                phase.took.as_secs_f64(),
                phase.per_second(),
                millis(phase.percentile(50)),
                millis(phase.percentile(99)),
                millis(phase.percentile(100)),
            )?;
        }
        if let Some(chain) = &self.chain {
            chain.write(text)?;
        }
        for phase in &self.phases {
            self.write_usage(text, phase)?;
        }
        Ok(())
    }

    fn write_usage(&self, text: &mut String, phase: &Measured) -> std::fmt::Result {
        writeln!(text, "\nWhere the processor time went, {}:\n", phase.what)?;
        writeln!(text, "| process | CPU s | CPU ms per piece | resident MiB |\n|---|---|---|---|")?;
        for usage in &phase.usage {
            writeln!(
                text,
                "| {} | {:.2} | {:.3} | {} |",
                usage.process,
                usage.cpu_seconds,
                usage.cpu_seconds * 1_000.0 / phase.finished() as f64,
                usage.memory_mib
            )?;
        }
        let all: f64 = phase.usage.iter().map(|usage| usage.cpu_seconds).sum();
        let had = phase.took.as_secs_f64() * self.machine.cores as f64;
        let blocks: Vec<String> =
            phase.blocks.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(
            text,
            "\nTogether {all:.2} s, {:.3} ms per piece, {:.0} % of what {} cores had. Blocks made: {}.",
            all * 1_000.0 / phase.finished() as f64,
            if had > 0.0 { 100.0 * all / had } else { 0.0 },
            self.machine.cores,
            blocks.join(", ")
        )?;
        match &phase.chain {
            Some(used) => write_chain_use(text, used, phase.finished()),
            None => Ok(()),
        }
    }
}

impl ChainReport {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "\nThe chain is linked in mode {}; its heads are {}, and final {}. Its blocks come {:.1} s \
             apart and hold {} gas each. Its node {}.",
            self.mode,
            match self.proof {
                RawProof::None => "attested by one node",
                RawProof::Clique => "proved by the seals of Clique",
                RawProof::Beacon => "proved by sync committees",
            },
            match self.finality {
                Finality::Tag => "as it says itself".to_owned(),
                Finality::Depth(0) => "at once".to_owned(),
                Finality::Depth(depth) => format!("under {depth} blocks"),
            },
            self.between_blocks.as_secs_f64(),
            self.gas_limit,
            match self.hearing {
                Hearing::Told => "tells of its blocks over a WebSocket",
                Hearing::Asked => "is asked for its newest block 20 times a second",
            }
        )?;
        if self.quiet.is_empty() {
            return Ok(());
        }
        writeln!(text, "\nOne at a time, beyond what the ledgers take for themselves:\n")?;
        writeln!(
            text,
            "| hop | shares | p50 ms | p99 ms | longest ms | whole p50 ms | whole p99 ms |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|---|")?;
        for Quiet { hop, counted, added, whole } in &self.quiet {
            writeln!(
                text,
                "| {hop}, {counted} | {} | **{:.0}** | {:.0} | {:.0} | {:.0} | {:.0} |",
                added.len(),
                millis(percentile(added, 50)),
                millis(percentile(added, 99)),
                millis(percentile(added, 100)),
                millis(percentile(whole, 50)),
                millis(percentile(whole, 99)),
            )?;
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        let quiet = self.quiet.iter().map(|Quiet { hop, counted, added, whole }| {
            json!({
                "hop": hop, "counted": counted, "shares": added.len(),
                "added_ms": latency_json(added), "whole_ms": latency_json(whole),
            })
        });
        let depth = match self.finality {
            Finality::Tag => None,
            Finality::Depth(depth) => Some(depth),
        };
        let followed_by = match self.hearing {
            Hearing::Told => "notifications",
            Hearing::Asked => "polling",
        };
        json!({
            "mode": self.mode, "proof": self.proof, "finality_depth": depth,
            "followed_by": followed_by,
            "gas_limit": self.gas_limit, "block_ms": millis(self.between_blocks),
            "one_at_a_time": quiet.collect::<Vec<_>>(),
        })
    }
}

fn write_chain_use(text: &mut String, used: &ChainUse, pieces: usize) -> std::fmt::Result {
    let ChainUse {
        blocks,
        deliveries,
        delivery_gas,
        reverted,
        in_one_block,
        sent,
        sent_gas,
        requests,
    } = used;
    let each = |whole: &u64, of: u64| *whole as f64 / of.max(1) as f64;
    write!(
        text,
        "On the chain, in {blocks} blocks: {deliveries} deliveries ({in_one_block} in one block at the \
         most, {reverted} reverted), {:.0} gas a piece",
        each(delivery_gas, pieces as u64)
    )?;
    if *sent > 0 {
        write!(text, "; {sent} shares sent, {:.0} gas each", each(sent_gas, *sent))?;
    }
    if let Some(requests) = requests {
        write!(text, "; {requests} requests, {:.2} a piece", each(requests, pieces as u64))?;
    }
    writeln!(text, ".")
}

fn latency_json(ascending: &[Duration]) -> Value {
    let at = |percent| millis(percentile(ascending, percent));
    json!({ "p50": at(50), "p99": at(99), "longest": at(100) })
}

fn millis(latency: Duration) -> f64 {
    latency.as_secs_f64() * 1_000.0
}

fn phase_json(phase: &Measured) -> Value {
    let usage = phase.usage.iter().map(|usage| {
        json!({
            "process": usage.process, "cpu_seconds": usage.cpu_seconds,
            "memory_mib": usage.memory_mib,
        })
    });
    let blocks: serde_json::Map<String, Value> =
        phase.blocks.iter().map(|(name, count)| (name.clone(), (*count).into())).collect();
    json!({
        "what": phase.what,
        "asked": phase.asked,
        "finished": phase.finished(),
        "in_flight": phase.in_flight,
        "seconds": phase.took.as_secs_f64(),
        "per_second": phase.per_second(),
        "latency_ms": latency_json(&phase.latencies),
        "usage": usage.collect::<Vec<_>>(),
        "blocks": blocks,
        "chain": phase.chain.as_ref().map(chain_use_json),
    })
}

fn chain_use_json(used: &ChainUse) -> Value {
    let mut json = json!({
        "blocks": used.blocks, "deliveries": used.deliveries, "delivery_gas": used.delivery_gas,
        "reverted": used.reverted, "in_one_block": used.in_one_block, "sent": used.sent,
        "sent_gas": used.sent_gas,
    });
    if let Some(requests) = used.requests {
        json["requests"] = requests.into();
    }
    json
}
