//! The one table from classes of refusal to gRPC status codes, and the way back.

use crate::{limits::REFUSAL_BYTES_MAX, wire};
use prost::Message as _;
use tombolo_types::{Class, Refusal};
use tonic::{Code, Status};

/// The status code that stands for a class.
#[must_use]
pub fn code_of(class: Class) -> Code {
    match class {
        Class::Version | Class::Format => Code::InvalidArgument,
        Class::Limit => Code::ResourceExhausted,
        Class::Auth | Class::Ident => Code::Unauthenticated,
        Class::ClosedCopy | Class::Denied | Class::Policy => Code::PermissionDenied,
        Class::NotFound => Code::NotFound,
        Class::Unsupported => Code::Unimplemented,
        Class::Replay => Code::AlreadyExists,
        Class::Timeout => Code::DeadlineExceeded,
        Class::Tamper => Code::DataLoss,
        Class::IdMethod
        | Class::Quorum
        | Class::State
        | Class::Funds
        | Class::Finality
        | Class::Proof => Code::FailedPrecondition,
    }
}

/// A refusal as a status; the class and the sentence stand in its details.
#[must_use]
pub fn refusal_to_status(refusal: &Refusal) -> Status {
    let message = cut(&refusal.message);
    let details = wire::Refusal { class: u32::from(refusal.class as u8), message: message.into() };
    Status::with_details(
        code_of(refusal.class),
        format!("{}: {message}", refusal.class),
        details.encode_to_vec().into(),
    )
}

/// The refusal that a status carries; `None` where it comes from the transport, not from a ledger.
///
/// What the library below the server refuses by itself carries no details; it is given its class
/// here, so that a caller sees one class for one fault whichever layer found it.
#[must_use]
pub fn status_to_refusal(status: &Status) -> Option<Refusal> {
    if let Some(refusal) = from_details(status) {
        return Some(refusal);
    }
    let class = match status.code() {
        // The decoder of the transport says so of a message above its limit.
        Code::OutOfRange | Code::ResourceExhausted => Class::Limit,
        Code::InvalidArgument => Class::Format,
        // Undecodable protobuf is `Internal` in this gRPC library.
        Code::Internal if status.message().contains("decode") => Class::Format,
        Code::Unimplemented => Class::Unsupported,
        _ => return None,
    };
    Some(Refusal::new(class, cut(status.message())))
}

fn from_details(status: &Status) -> Option<Refusal> {
    if status.details().is_empty() {
        return None;
    }
    let details = wire::Refusal::decode(status.details()).ok()?;
    let class = Class::from_number(u8::try_from(details.class).ok()?)?;
    Some(Refusal::new(class, details.message))
}

/// The longest beginning of the sentence that fits, ending at a character.
fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(REFUSAL_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_comes_back_as_it_went() {
        for class in Class::ALL {
            let refusal = Refusal::new(*class, "lane 1 of link 0xab is full — wait");
            assert_eq!(status_to_refusal(&refusal_to_status(&refusal)), Some(refusal));
        }
    }

    #[test]
    fn a51_a_long_sentence_is_cut_at_a_character() {
        let refusal = Refusal::new(Class::State, "é".repeat(REFUSAL_BYTES_MAX));
        let back = status_to_refusal(&refusal_to_status(&refusal)).unwrap();
        assert_eq!((back.class, back.message.len()), (Class::State, REFUSAL_BYTES_MAX));
    }

    #[test]
    fn a53_details_that_are_none_are_not_believed() {
        for details in
            [vec![0xff; 8], wire::Refusal { class: 77, message: "x".into() }.encode_to_vec()]
        {
            let status = Status::with_details(Code::NotFound, "gone", details.into());
            assert_eq!(status_to_refusal(&status), None);
        }
    }

    #[test]
    fn what_the_transport_refuses_has_a_class_or_is_no_refusal() {
        for (status, class) in [
            (Status::out_of_range("message length too large"), Some(Class::Limit)),
            (Status::internal("failed to decode Protobuf message"), Some(Class::Format)),
            (Status::unimplemented(""), Some(Class::Unsupported)),
            (Status::internal("stream ended"), None),
            (Status::unavailable("connection refused"), None),
        ] {
            assert_eq!(status_to_refusal(&status).map(|refusal| refusal.class), class);
        }
    }
}
