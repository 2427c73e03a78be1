//! JSON over HTTP on loopback: JSON-RPC of execution nodes, REST of consensus nodes.

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use std::time::Duration;
use tombolo_types::Hash;

/// A client of one node.
#[derive(Clone, Debug)]
pub struct Rpc {
    url: String,
    agent: ureq::Agent,
}

impl Rpc {
    /// A client of the node that listens on this port of loopback.
    pub(crate) fn new(port: u16) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(20)))
            .http_status_as_error(false)
            .build();
        Self { url: format!("http://127.0.0.1:{port}"), agent: config.into() }
    }

    /// Where the node listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls a method.
    ///
    /// # Errors
    /// No answer, or the error that is answered.
    pub fn try_call(&self, method: &str, params: Value) -> anyhow::Result<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut response = self.agent.post(&self.url).send_json(request)?;
        let mut body: Value = response.body_mut().with_config().limit(1 << 26).read_json()?;
        match body.get("error") {
            Some(error) => Err(anyhow!("{method}: {error}")),
            None => Ok(body["result"].take()),
        }
    }

    /// Calls a method that must be answered.
    #[must_use]
    pub fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Reads a path of a REST interface.
    ///
    /// # Errors
    /// No answer, or another status than 200.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut response = self.agent.get(format!("{}{path}", self.url)).call()?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(1 << 26).read_to_string()?;
        anyhow::ensure!(status == 200, "{path}: {status} {body}");
        serde_json::from_str(&body).with_context(|| format!("{path} is no JSON"))
    }
}

/// Text of a JSON answer.
#[must_use]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Bytes in hexadecimal.
#[must_use]
pub fn bytes(value: &Value) -> Vec<u8> {
    let digits = text(value).trim_start_matches("0x");
    hex::decode(digits).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// A 32-byte hash in hexadecimal.
#[must_use]
pub fn hash(value: &Value) -> Hash {
    text(value).parse().unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// A number as execution nodes write it: hexadecimal without leading zeros.
#[must_use]
pub fn quantity(value: &Value) -> u64 {
    let digits = text(value).trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// A number as consensus nodes write it: decimal text.
#[must_use]
pub fn number(value: &Value) -> u64 {
    text(value).parse().unwrap_or_else(|error| panic!("{value}: {error}"))
}
