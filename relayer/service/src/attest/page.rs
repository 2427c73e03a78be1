//! A node asked over HTTP, and the one that asks.

use super::{Attest, AttestError, EndName, Node, Statement, Word};
use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::{get, post},
    serve::Listener,
};
use serde::{Deserialize, Serialize};
use std::{fmt::Debug, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tombolo_adapter::ChainHead;
use tombolo_relayer_core::End;
use tombolo_types::{
    Class, Hash, Height, Refusal, UnixMillis, attested::INTERWORKING, header::Signature,
    lane::LaneLeaf, transaction::TRANSACTION_BYTES_MAX,
};

/// The largest question: a proof that a transaction would hold, in hexadecimal.
const QUESTION_BYTES_MAX: usize = 2 * TRANSACTION_BYTES_MAX + 4_096;
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A statement on the wire. Bytes are in hexadecimal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireStatement {
    link: String,
    of: EndName,
    leaf: String,
    height: u64,
    block_id: String,
    time_ms: u64,
    key_epoch: u32,
    proof: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<WireWord>,
}

/// A word on the wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct WireWord {
    signer: String,
    signature: String,
}

/// A refusal on the wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct WireRefusal {
    class: String,
    message: String,
}

/// What a node says that it can do. Req: Y4560-10.2-3.2
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Capabilities {
    /// The link that it serves.
    pub link: String,
    /// The key by which the hub knows it.
    pub hub_key: String,
    /// The key by which the chain's gateway knows it.
    pub chain_key: String,
    /// Bits; 1 is the interworking function.
    pub capabilities: u32,
}

impl From<&Statement> for WireStatement {
    fn from(it: &Statement) -> Self {
        Self {
            link: it.link.to_string(),
            of: it.of.into(),
            leaf: hex::encode(it.leaf.encode()),
            height: it.head.height.0,
            block_id: it.head.block_id.to_string(),
            time_ms: it.head.time.0,
            key_epoch: it.key_epoch,
            proof: hex::encode(&it.proof),
            by: it.by.as_ref().map(WireWord::from),
        }
    }
}

impl From<&Word> for WireWord {
    fn from(it: &Word) -> Self {
        Self { signer: it.signer.to_string(), signature: hex::encode(it.signature.0) }
    }
}

impl WireWord {
    fn word(&self) -> Option<Word> {
        let signature = hex::decode(&self.signature).ok()?.try_into().ok()?;
        Some(Word { signer: self.signer.parse().ok()?, signature: Signature(signature) })
    }
}

impl TryFrom<WireStatement> for Statement {
    type Error = Refusal;

    fn try_from(it: WireStatement) -> Result<Self, Refusal> {
        let malformed = |what: &str| Refusal::new(Class::Format, format!("{what} is malformed"));
        let bytes = |what: &str, text: &str| hex::decode(text).map_err(|_| malformed(what));
        Ok(Self {
            link: it.link.parse().map_err(|_| malformed("link"))?,
            of: it.of.into(),
            leaf: LaneLeaf::decode(&bytes("leaf", &it.leaf)?)?,
            head: ChainHead {
                height: Height(it.height),
                block_id: it.block_id.parse().map_err(|_| malformed("block_id"))?,
                time: UnixMillis(it.time_ms),
                validators_root: Hash::ZERO,
            },
            key_epoch: it.key_epoch,
            proof: bytes("proof", &it.proof)?,
            by: match &it.by {
                None => None,
                Some(word) => Some(word.word().ok_or_else(|| malformed("by"))?),
            },
        })
    }
}

/// Serves a node: `POST /attest`, `GET /capabilities`, `GET /alive`, until cancelled. How many may
/// connect, and for how long, is the listener's matter.
///
/// # Errors
/// What the system says.
pub async fn serve_node<L: Listener<Addr: Debug>>(
    listener: L,
    node: Arc<Node>,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let pages = Router::new()
        .route("/attest", post(attest))
        .route("/capabilities", get(capabilities))
        .route("/alive", get(|| async { "alive\n" }))
        .layer(DefaultBodyLimit::max(QUESTION_BYTES_MAX))
        .with_state(node);
    axum::serve(listener, pages).with_graceful_shutdown(cancel.cancelled_owned()).await?;
    Ok(())
}

async fn capabilities(State(node): State<Arc<Node>>) -> Json<Capabilities> {
    Json(Capabilities {
        link: node.link().to_string(),
        hub_key: node.key_of(End::Chain).to_string(),
        chain_key: node.key_of(End::Hub).to_string(),
        capabilities: INTERWORKING,
    })
}

async fn attest(
    State(node): State<Arc<Node>>,
    Json(asked): Json<WireStatement>,
) -> Result<Json<WireWord>, (StatusCode, Json<WireRefusal>)> {
    let statement = Statement::try_from(asked).map_err(refused)?;
    match node.attest(&statement).await {
        Ok(word) => Ok(Json(WireWord::from(&word))),
        Err(error) => {
            tracing::warn!(link = %statement.link, %error, "statement not attested");
            let class = match &error {
                AttestError::Unconfirmed { source, .. } => source.class(),
                AttestError::Refused { class, .. } => *class,
                AttestError::NoAnswer { .. } => Class::Timeout,
            };
            Err(refused(Refusal::new(class, error.to_string())))
        }
    }
}

fn refused(refusal: Refusal) -> (StatusCode, Json<WireRefusal>) {
    let body = WireRefusal { class: refusal.class.code().to_owned(), message: refusal.message };
    (StatusCode::UNPROCESSABLE_ENTITY, Json(body))
}

/// A node elsewhere.
pub struct RemoteNode {
    url: String,
    client: reqwest::Client,
}

impl RemoteNode {
    /// A node that serves at `url`, such as `http://127.0.0.1:7500`.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).build()?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), client })
    }

    fn no_answer(&self, why: impl std::fmt::Display) -> AttestError {
        AttestError::NoAnswer { node: self.url.clone(), why: why.to_string() }
    }

    /// What the node says that it can do.
    ///
    /// # Errors
    /// [`AttestError::NoAnswer`].
    pub async fn capabilities(&self) -> Result<Capabilities, AttestError> {
        let answer = self.client.get(format!("{}/capabilities", self.url)).send().await;
        answer
            .map_err(|error| self.no_answer(error))?
            .json()
            .await
            .map_err(|error| self.no_answer(error))
    }
}

#[async_trait]
impl Attest for RemoteNode {
    fn name(&self) -> &str {
        &self.url
    }

    async fn attest(&self, statement: &Statement) -> Result<Word, AttestError> {
        let asked = WireStatement::from(statement);
        let answer = self.client.post(format!("{}/attest", self.url)).json(&asked).send().await;
        let answer = answer.map_err(|error| self.no_answer(error))?;
        if !answer.status().is_success() {
            let status = answer.status();
            let refusal: WireRefusal = answer
                .json()
                .await
                .map_err(|error| self.no_answer(format!("{status}, and {error}")))?;
            let class = Class::ALL.iter().find(|class| class.code() == refusal.class);
            return Err(AttestError::Refused {
                node: self.url.clone(),
                class: class.copied().unwrap_or(Class::Format),
                message: refusal.message,
            });
        }
        let word: WireWord = answer.json().await.map_err(|error| self.no_answer(error))?;
        word.word().ok_or_else(|| self.no_answer("the word is malformed"))
    }
}
