//! Starts a real network by hand, says how to use it, and keeps it until it is asked to end:
//! `cargo run -p tombolo-test-nodes --example network -- clique|beacon`.

use std::{fs, io, path::Path, process::ExitCode};
use tempfile::TempDir;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tombolo_test_nodes::{Beacon, Clique, Rpc, Sender};

/// Seconds between two blocks of the Clique network.
const PERIOD: u64 = 1;
/// Blocks between two of its checkpoints, as `chain add evm` assumes.
const EPOCH: u64 = 30_000;
/// Blocks on top that make its blocks final: more than half of its three signers have built on them.
const DEPTH: u64 = 2;
/// Something of a slot after this one is final once a light client can start from it.
const FINAL_SLOT: u64 = 8;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let kind = std::env::args().nth(1);
    let folder = TempDir::new()?;
    // Held until the end: what they start stops with them.
    let (mut clique, mut beacon) = (None, None);
    match kind.as_deref() {
        Some("clique") => clique = Clique::start(PERIOD, EPOCH),
        Some("beacon") => beacon = Beacon::start(),
        _ => {
            eprintln!("say which: clique, or beacon");
            return Ok(ExitCode::from(2));
        }
    }
    match (&clique, &beacon) {
        (Some(network), _) => {
            let (period, depth) = (network.period, DEPTH);
            let words = format!("--proof clique --clique-period {period} --finality-depth {depth}");
            say(folder.path(), network.rpc(), &network.sender(), &words)?;
        }
        (_, Some(network)) => {
            eprintln!("waiting until the chain has finalised something, about a minute");
            let _ = network.finality_update(FINAL_SLOT);
            let words = format!("--proof beacon --beacon {}", network.consensus.url());
            say(folder.path(), &network.execution, &network.sender(), &words)?;
        }
        // Said already, with what to do.
        (None, None) => return Ok(ExitCode::FAILURE),
    }
    let (to, input_ended) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = to.send(());
    });
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = input_ended => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Says where the network is, and the words with which it is linked and measured.
fn say(folder: &Path, rpc: &Rpc, sender: &Sender, words: &str) -> io::Result<()> {
    let key = folder.join("key.hex");
    fs::write(&key, sender.key())?;
    let (key, http) = (key.display(), rpc.url());
    // Its nodes serve both on one port.
    let told = http.replacen("http", "ws", 1);
    println!("rpc  {http}");
    println!("     {told}");
    println!("key  {key}, of {}, which holds funds\n", sender.address());
    println!(
        "tombolo chain add evm --home net --name harbour --rpc {http} --key-file {key} {words}"
    );
    println!(
        "tombolo bench --with evm --shares 0 --commits 0 --evm-rpc {told} --evm-key-file {key} {words}"
    );
    println!("\nit runs until ctrl-c, or until its input ends");
    Ok(())
}
