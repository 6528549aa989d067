//! The control plane is asked to take a new key.

use super::files::{self, FilesError, Record};
use crate::api::{Api, ApiError};
use crate::config::StateDir;
use crate::identity::Enrolment;
use dgon_protocol::error::ErrorType;
use dgon_protocol::rotate::{ROTATE_PATH, Rotated};

/// What became of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The new key is valid since then, unix ms by the control plane's clock.
    Taken {
        /// Since when.
        valid_from_ms: i64,
    },
}

/// Why the key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The files of the change cannot be used.
    #[error("the change of keys cannot be kept on this machine")]
    Files(#[source] FilesError),
    /// The network will not have this key; another one is made the next time.
    #[error(
        "the control plane does not take the new key; run the command again to try with another"
    )]
    NewKeyRefused(#[source] ApiError),
    /// There is no answer that settles it. The change goes on by itself.
    #[error(
        "the control plane has not answered; the change is prepared, the old key stays in use, and a running agent \
         finishes it by itself (else run the command again)"
    )]
    NoAnswer(#[source] ApiError),
    /// The control plane says no.
    #[error("the control plane does not let this node change its key")]
    Refused(#[source] ApiError),
}

impl AskError {
    /// Whether it was asked too much in too short a time.
    pub(super) fn is_too_often(&self) -> bool {
        matches!(self, Self::Refused(ApiError::Refused { detail, .. }) if detail.kind == ErrorType::RateLimited)
    }
}

/// Posts the statement of `record` and keeps the answer. Asking again is safe.
///
/// # Errors
/// [`AskError`].
pub(crate) async fn ask(
    api: &Api,
    node: &Enrolment,
    state: &StateDir,
    record: &mut Record,
    now_s: u64,
) -> Result<Asked, AskError> {
    if let Some(valid_from_ms) = record.valid_from_ms {
        return Ok(Asked::Taken { valid_from_ms });
    }
    // Written before the first byte leaves: from then on the control plane may know the new key.
    if record.asked_s.is_none() {
        record.asked_s = Some(now_s);
        files::write_record(state, record).map_err(AskError::Files)?;
    }
    // Our own types always serialise; an empty body is refused by the server with a reason.
    let body = serde_json::to_vec(&record.rotation).unwrap_or_default();
    let answer: Result<Rotated, ApiError> = api.post_as_node(ROTATE_PATH, body, node).await;
    match answer {
        Ok(rotated) => {
            record.valid_from_ms = Some(rotated.valid_from_ms);
            files::write_record(state, record).map_err(AskError::Files)?;
            Ok(Asked::Taken {
                valid_from_ms: rotated.valid_from_ms,
            })
        }
        Err(error) => Err(judge(error)),
    }
}

fn judge(error: ApiError) -> AskError {
    match &error {
        ApiError::Refused { detail, .. } => match detail.kind {
            ErrorType::InvalidKey => AskError::NewKeyRefused(error),
            ErrorType::Unavailable | ErrorType::Internal => AskError::NoAnswer(error),
            // Too often, too: the new key is not taken, so nobody may sign with it. It is asked for again.
            _ => AskError::Refused(error),
        },
        _ => AskError::NoAnswer(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: ErrorType) -> AskError {
        let detail = serde_json::json!({
            "type": kind,
            "message": "no",
            "request_id": "q1",
        });
        judge(ApiError::Refused {
            status: 429,
            detail: serde_json::from_value(detail).expect("an error"),
            date: None,
        })
    }

    /// After half an hour without an answer an agent signs with its new key: not after a refusal.
    #[test]
    fn a_refusal_for_now_is_an_answer() {
        let too_often = refused(ErrorType::RateLimited);
        assert!(matches!(too_often, AskError::Refused(_)), "{too_often:?}");
        assert!(too_often.is_too_often());
        assert!(!refused(ErrorType::Forbidden).is_too_often());
        let away = refused(ErrorType::Unavailable);
        assert!(matches!(away, AskError::NoAnswer(_)), "{away:?}");
    }
}
