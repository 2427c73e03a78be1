//! What people and programs read: results on stdout, refusals and progress on stderr.

use serde_json::json;
use std::{io::IsTerminal as _, process::ExitCode};
use tombolo_adapter::AdapterError;
use tombolo_audit::Fault;
use tombolo_proto::client::ClientError;
use tombolo_swap_service::{HandError, JournalError};
use tombolo_types::{Class, Refusal};

/// Prints an error once: on a terminal as sentences, else as one object.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    let class = known_class_of(error);
    if std::io::stderr().is_terminal() {
        eprintln!("error: {error:#}{}", class.map_or(String::new(), |class| format!(" ({class})")));
    } else {
        let object = json!({
            "class": class_of(error),
            "message": format!("{error:#}"),
            "ref": reference_of(error),
        });
        eprintln!("{object}");
    }
    ExitCode::FAILURE
}

/// The class that programs are told.
pub(crate) fn class_of(error: &anyhow::Error) -> &'static str {
    known_class_of(error).unwrap_or(Class::State.code())
}

fn known_class_of(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        cause
            .downcast_ref::<Refusal>()
            .map(|refusal| refusal.class)
            .or_else(|| cause.downcast_ref::<ClientError>().map(ClientError::class))
            .or_else(|| cause.downcast_ref::<Fault>().map(Fault::class))
            .or_else(|| cause.downcast_ref::<AdapterError>().map(AdapterError::class))
            .or_else(|| cause.downcast_ref::<HandError>().map(HandError::class))
            .or_else(|| cause.downcast_ref::<JournalError>().map(JournalError::class))
            .map(|class| class.code())
    })
}

/// What the error is about: for an audit fault the position of the record.
fn reference_of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| match cause.downcast_ref::<Fault>() {
        Some(Fault::Record { position, .. }) => Some(format!("record {position}")),
        Some(Fault::Range { first, end, .. }) => Some(format!("records {first} to {end}")),
        Some(Fault::Header { height, .. }) => Some(format!("height {height}")),
        _ => None,
    })
}

/// Prints a value as one line of JSON on stdout.
pub(crate) fn json(value: &serde_json::Value) {
    println!("{value}");
}

/// The body of a page that a part of ours serves on this machine.
pub(crate) async fn fetch(address: std::net::SocketAddr, path: &str) -> anyhow::Result<String> {
    use anyhow::Context as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    /// No page of ours is larger.
    const PAGE_BYTES_MAX: u64 = 16 << 20;
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(PAGE_BYTES_MAX).read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(std::time::Duration::from_secs(5), asked)
        .await
        .with_context(|| format!("{address} gave no answer within 5 s"))??;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    anyhow::ensure!(head.contains(" 200 "), "{}", head.lines().next().unwrap_or_default());
    Ok(body.to_owned())
}
