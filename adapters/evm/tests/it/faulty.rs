//! A fake in front of a real node: it passes on what it is asked, and alters what is answered.

use alloy::{
    consensus::{Transaction as _, TxEnvelope},
    eips::eip2718::Decodable2718 as _,
};
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tombolo_test_nodes::bytes;

/// What a node does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Gives no answer.
    Silent,
    /// Takes what it is asked, and never says anything.
    Hangs,
    /// Shows the chain as it was so many blocks ago.
    Lags(u64),
    /// Has fallen off the chain after this block: hears of nothing more, takes what it is sent.
    Stands(u64),
    /// Knows nothing of what this method asks for.
    Null(&'static str),
    /// Shows another hash of every block.
    Equivocates,
    /// Alters what contracts answer.
    Forges,
    /// Leaves out every event.
    Withholds,
    /// Alters what events tell.
    ForgesEvents,
    /// Refuses questions for events of more blocks, or with more answers.
    Bounds { blocks: u64, events: usize },
    /// Serves a chain with another id.
    OtherChain,
    /// Dates its newest block at this second.
    Dates(u64),
    /// Shows no contract, and nothing in any, under its newest block, which it dates at this second.
    Hides(u64),
    /// Says of whatever is tried that it is refused.
    Refuses,
    /// Counts more transactions of every account than there are.
    Counts,
    /// Asks for this base fee, in wei for one gas.
    Prices(u64),
    /// No fault: replaces what waits only for a tenth more of both, as most nodes do and anvil does not.
    Demands,
}

/// A node's fake front.
pub(crate) struct Faulty {
    pub(crate) url: String,
    fault: Arc<Mutex<Fault>>,
    sent: Arc<AtomicUsize>,
    unanswered: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Front {
    node: String,
    http: reqwest::Client,
    fault: Arc<Mutex<Fault>>,
    sent: Arc<AtomicUsize>,
    unanswered: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Faulty {
    /// Listens until the runtime ends.
    pub(crate) async fn in_front_of(node: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fault = Arc::new(Mutex::new(Fault::None));
        let [sent, unanswered, asked] = <[Arc<AtomicUsize>; 3]>::default();
        let front = Front {
            node: node.to_owned(),
            http: reqwest::Client::new(),
            fault: fault.clone(),
            sent: sent.clone(),
            unanswered: unanswered.clone(),
            asked: asked.clone(),
        };
        let app = Router::new().route("/", post(answer)).with_state(front);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, fault, sent, unanswered, asked }
    }

    /// Three of them.
    pub(crate) async fn three(node: &str) -> [Self; 3] {
        let front = || Self::in_front_of(node);
        [front().await, front().await, front().await]
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// How many transactions went through it, repeated ones included.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// How often it was asked for anything but a block.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// How often it was asked while it was silent.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::Relaxed)
    }
}

async fn answer(
    State(front): State<Front>,
    Json(request): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let fault = *front.fault.lock().unwrap();
    let method = request["method"].as_str().unwrap_or_default().to_owned();
    if method != "eth_getBlockByNumber" {
        front.asked.fetch_add(1, Ordering::Relaxed);
    }
    let newest = request["params"][0] == "latest";
    let spans = blocks_of(&request["params"][0]);
    let mut answer = match fault {
        Fault::Silent => {
            front.unanswered.fetch_add(1, Ordering::Relaxed);
            return Err(StatusCode::BAD_GATEWAY);
        }
        Fault::Hangs => std::future::pending().await,
        Fault::Lags(blocks) => {
            let tip = number(&front.ask("eth_blockNumber", json!([])).await).unwrap();
            front.as_of(request, &method, tip.saturating_sub(blocks)).await
        }
        Fault::Stands(tip) => front.as_of(request, &method, tip).await,
        Fault::Refuses if is_tried(&request, &method) => json!({
            "jsonrpc": "2.0",
            "id": request["id"],
            "error": { "code": 3, "message": "execution reverted", "data": "0x" },
        }),
        Fault::Demands
            if method == "eth_sendRawTransaction" && front.is_underpriced(&request).await =>
        {
            json!({
                "jsonrpc": "2.0",
                "id": request["id"],
                "error": { "code": -32_000, "message": "replacement transaction underpriced" },
            })
        }
        Fault::Hides(_) if method == "eth_call" || method == "eth_getCode" => {
            let newest = front.ask("eth_getBlockByNumber", json!(["latest", false])).await;
            let hides = request["params"][1] == newest["hash"];
            let mut answer = front.pass_on(request).await;
            if hides && method == "eth_getCode" {
                answer["result"] = json!("0x");
            } else if let Some(words) = answer["result"].as_str().filter(|_| hides) {
                answer["result"] = json!(format!("0x{}", "0".repeat(words.len() - 2)));
            }
            answer
        }
        _ => front.pass_on(request).await,
    };
    if method == "eth_sendRawTransaction" {
        front.sent.fetch_add(1, Ordering::Relaxed);
    }
    match (fault, method.as_str()) {
        (Fault::Null(nothing), _) if nothing == method => answer["result"] = Value::Null,
        (Fault::Equivocates, "eth_getBlockByNumber") if answer["result"].is_object() => {
            answer["result"]["hash"] = json!(format!("0x{}", "66".repeat(32)));
        }
        (Fault::Forges, "eth_call") => {
            let forged =
                answer["result"].as_str().map(|words| format!("{}1", &words[..words.len() - 1]));
            answer["result"] = json!(forged);
        }
        (Fault::Withholds, "eth_getLogs") => answer["result"] = json!([]),
        (Fault::Dates(second) | Fault::Hides(second), "eth_getBlockByNumber") if newest => {
            answer["result"]["timestamp"] = json!(format!("{second:#x}"));
        }
        (Fault::Prices(wei), "eth_getBlockByNumber") if newest => {
            answer["result"]["baseFeePerGas"] = json!(format!("{wei:#x}"));
        }
        (Fault::Counts, "eth_getTransactionCount") => {
            let count = number(&answer["result"]).unwrap_or_default();
            answer["result"] = json!(format!("{:#x}", count + 5));
        }
        (Fault::ForgesEvents, "eth_getLogs") => {
            for event in answer["result"].as_array_mut().unwrap() {
                let data = event["data"].as_str().unwrap();
                let (data, last) = data.split_at(data.len() - 1);
                event["data"] = json!(format!("{data}{}", if last == "0" { 1 } else { 0 }));
            }
        }
        (Fault::Bounds { blocks, events }, "eth_getLogs") => {
            let found = answer["result"].as_array().map_or(0, Vec::len);
            let blocks = spans.is_none_or(|spans| spans > blocks);
            if blocks || found > events {
                let why = format!("{} are too many", if blocks { "blocks" } else { "results" });
                let error = json!({ "code": -32_602, "message": why });
                answer = json!({ "jsonrpc": "2.0", "id": answer["id"], "error": error });
            }
        }
        (Fault::OtherChain, "eth_chainId") => answer["result"] = json!("0x1"),
        _ => {}
    }
    Ok(Json(answer))
}

/// Whether a call is tried, rather than something read at a block.
fn is_tried(request: &Value, method: &str) -> bool {
    match method {
        "eth_estimateGas" => true,
        "eth_call" => ["pending", "latest"].iter().any(|tag| request["params"][1] == *tag),
        _ => false,
    }
}

/// How many blocks a question for events spans; `None` where it names no end.
fn blocks_of(filter: &Value) -> Option<u64> {
    Some(number(&filter["toBlock"])? - number(&filter["fromBlock"])? + 1)
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.trim_start_matches("0x"), 16).ok()
}

impl Front {
    async fn pass_on(&self, request: Value) -> Value {
        let sent = self.http.post(&self.node).json(&request).send().await.unwrap();
        sent.json().await.unwrap()
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.pass_on(request).await["result"].take()
    }

    /// Whether a transaction offers less than a tenth more than what waits under its nonce.
    async fn is_underpriced(&self, request: &Value) -> bool {
        let sent = TxEnvelope::decode_2718_exact(&bytes(&request["params"][0])).unwrap();
        let pool = self.ask("txpool_content", json!([])).await;
        let accounts = pool["pending"].as_object().unwrap().values();
        let mut waiting = accounts.flat_map(|account| account.as_object().unwrap().values());
        let same = waiting.find(|it| number(&it["nonce"]) == Some(sent.nonce()));
        same.filter(|it| it["hash"] != json!(sent.tx_hash().to_string())).is_some_and(|before| {
            let offers = [
                ("maxFeePerGas", sent.max_fee_per_gas()),
                ("maxPriorityFeePerGas", sent.max_priority_fee_per_gas().unwrap()),
            ];
            offers.iter().any(|(key, offer)| {
                let before = number(&before[key]).unwrap();
                *offer < u128::from(before) * 11 / 10
            })
        })
    }

    /// The answer of a node whose newest block is `tip`.
    async fn as_of(&self, mut request: Value, method: &str, tip: u64) -> Value {
        let (id, newest) = (request["id"].clone(), format!("{tip:#x}"));
        let reply = |result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result });
        let params = &mut request["params"];
        let last = params.as_array_mut().and_then(|params| params.last_mut());
        if let Some(at) = last.filter(|at| **at == "latest" || **at == "pending") {
            *at = json!(newest);
        }
        match method {
            "eth_blockNumber" => return reply(json!(newest)),
            "eth_getBlockByNumber" if params[0] == "latest" => params[0] = json!(newest),
            "eth_getLogs" => {
                if number(&params[0]["fromBlock"]).is_some_and(|from| from > tip) {
                    return reply(json!([]));
                }
                params[0]["toBlock"] = json!(newest);
            }
            "eth_call" | "eth_getStorageAt" | "eth_getProof" => {
                let at = params.as_array().and_then(|params| params.last()).cloned();
                let hash = at.map(|at| at["blockHash"].clone()).unwrap_or_default();
                let block = self.ask("eth_getBlockByHash", json!([hash, false])).await;
                if number(&block["number"]).is_some_and(|number| number > tip) {
                    let error = json!({ "code": -32_000, "message": "header not found" });
                    return json!({ "jsonrpc": "2.0", "id": id, "error": error });
                }
            }
            _ => {}
        }
        let mut answer = self.pass_on(request).await;
        let result = &mut answer["result"];
        let at = number(&result["number"]).or_else(|| number(&result["blockNumber"]));
        if at.is_some_and(|at| at > tip) {
            *result = Value::Null;
        }
        answer
    }
}
