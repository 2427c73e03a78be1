//! What a contract says when it refuses, and what a node says that lets nobody in.

use crate::contract::Refuse;
use alloy::{
    primitives::Bytes,
    sol_types::SolError,
    transports::{RpcError, TransportError},
};
use tombolo_types::{Class, Refusal};

/// The refusal in what a call reverted with.
///
/// A contract that runs out of gas, or reverts with nothing, has reached a limit.
#[must_use]
pub(crate) fn of_revert(data: &[u8]) -> Refusal {
    match Refuse::abi_decode(data) {
        Ok(Refuse { class, sentence }) => {
            let text: Vec<u8> = sentence.iter().copied().take_while(|byte| *byte != 0).collect();
            let message = String::from_utf8_lossy(&text).into_owned();
            Refusal::new(Class::from_number(class).unwrap_or(Class::Format), message)
        }
        Err(_) => {
            let message = format!("the call reverted with {}", Bytes::copy_from_slice(data));
            Refusal::new(Class::Limit, message)
        }
    }
}

/// The refusal in an error of a node, where a call reverted; `None` where the node failed.
#[must_use]
pub(crate) fn of_error(error: &TransportError) -> Option<Refusal> {
    let payload = error.as_error_resp()?;
    if let Some(data) = payload.as_revert_data() {
        return Some(of_revert(&data));
    }
    let message = payload.message.to_lowercase();
    let reverted = message.contains("revert") || message.contains("out of gas");
    if reverted {
        return Some(Refusal::new(Class::Limit, payload.message.to_string()));
    }
    let funds = message.contains("insufficient funds");
    funds.then(|| Refusal::new(Class::Funds, payload.message.to_string()))
}

/// Whether a node takes a transaction only for more: than what waits under its nonce offers, or than
/// the node asks for at all.
#[must_use]
pub(crate) fn wants_more(error: &TransportError) -> bool {
    let message = error.as_error_resp().map(|payload| payload.message.to_lowercase());
    message
        .is_some_and(|message| ["underpriced", "replac"].iter().any(|word| message.contains(word)))
}

/// The refusal in an error of a node that lets only others in.
#[must_use]
pub(crate) fn of_shut_door(error: &TransportError) -> Option<Refusal> {
    let RpcError::Transport(kind) = error else { return None };
    of_status(kind.as_http_error()?.status)
}

/// The same by the HTTP status of its answer.
#[must_use]
pub(crate) fn of_status(status: u16) -> Option<Refusal> {
    /// Unauthorized, Forbidden.
    const SHUT: [u16; 2] = [401, 403];
    SHUT.contains(&status).then(|| {
        let message = format!(
            "a node lets only its members in (HTTP {status}); is the password in its address right, as \
             in https://user:password@host?"
        );
        Refusal::new(Class::Auth, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::B256;

    #[test]
    fn a_refusal_is_read_and_anything_else_is_a_limit() {
        let mut sentence = [0; 32];
        sentence[..16].copy_from_slice(b"the lane is full");
        let data = Refuse { class: Class::State as u8, sentence: B256::from(sentence) };
        let refusal = of_revert(&data.abi_encode());
        assert_eq!((refusal.class, refusal.message.as_str()), (Class::State, "the lane is full"));
        for data in [&[][..], &[1, 2, 3, 4]] {
            assert_eq!(of_revert(data).class, Class::Limit);
        }
    }
}
