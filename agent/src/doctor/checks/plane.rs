//! Groups `clock` and `control_plane`, and how long an answer takes: one signed request tells of all.

use super::{HERE, chain};
use crate::api::{Answer, Api, ApiError};
use crate::config::BaseUrl;
use crate::doctor::examine::Reporter;
use crate::doctor::subject::Asked as Running;
use crate::doctor::{Check, CheckId, Subject};
use crate::net::Stream;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::LifecycleStatus;
use dgon_protocol::limits::CLOCK_SKEW;
use dgon_protocol::node::{NodeSelf, SELF_PATH};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::timeout;

const ANSWER: Duration = Duration::from_millis(1_500);
/// Drift from which a person should know, well below what requests are refused for.
const DRIFT_WARN: Duration = Duration::from_secs(15);
/// An answer that takes longer than this makes interactive work over the network unpleasant.
const SLOW: Duration = Duration::from_millis(600);

/// Asks as this node, or as nobody where it is not enrolled: what answers tells of itself by refusing, too.
pub(super) async fn ask(subject: &Subject, api: &BaseUrl, stream: Stream, reporter: &Reporter) {
    let node = subject.enrolment.as_ref().ok();
    let client = Api::new(api.clone(), subject.network.clone());
    let began = Instant::now();
    let asked = timeout(ANSWER, client.get_over::<NodeSelf>(stream, SELF_PATH, node));
    let asked = asked.await.unwrap_or_else(|_| {
        Err(ApiError::TimedOut {
            url: api.at(SELF_PATH),
            within: ANSWER,
        })
    });
    reporter.tell(answer(subject, api, &asked));
    reporter.tell(latency(api, &asked, began.elapsed()));
    reporter.tell(clock(&asked));
    reporter.tell(credentials(subject, &asked).await);
    reporter.tell(standing(subject, &asked).await);
}

type Asked = Result<Answer<NodeSelf>, ApiError>;

/// A refusal is an answer too.
fn is_ours(asked: &Asked) -> bool {
    matches!(asked, Ok(_) | Err(ApiError::Refused { .. }))
}

fn answer(subject: &Subject, api: &BaseUrl, asked: &Asked) -> Check {
    let check = Check::new(CheckId::ControlPlaneAnswer, api.at(SELF_PATH));
    let look = HERE.steps(&api.at("/healthz"));
    let error = match asked {
        Ok(_) | Err(ApiError::Refused { .. }) => {
            return check.ok("a DGON control plane answers");
        }
        Err(error) => error,
    };
    match error {
        ApiError::NotOurs { unexpected, .. } if unexpected.looks_like_a_portal() => check.fail(
            format!(
                "{}; the network may want somebody to sign in first (captive portal): open any http:// page in \
                 a browser on this machine",
                chain(error)
            ),
            HERE.get_with_steps(&api.at("/healthz")),
        ),
        ApiError::TimedOut { .. } => check.fail(
            "the control plane takes connections, but does not answer within 1.5 s",
            look,
        ),
        ApiError::Entropy(_) => check.fail(chain(error), subject.bundle_command()),
        _ => check.fail(
            format!("{}; the address or port is of another program", chain(error)),
            look,
        ),
    }
}

fn latency(api: &BaseUrl, asked: &Asked, took: Duration) -> Check {
    let check = Check::new(CheckId::NetworkLatency, "the time from question to answer");
    let took_ms = took.as_millis();
    if !is_ours(asked) {
        return check.skip("the control plane does not answer");
    }
    if took > SLOW {
        check.warn(
            format!("{took_ms} ms; the control plane is far away or busy, or the line is full"),
            HERE.ping(api.host()),
        )
    } else {
        check.ok(format!("{took_ms} ms"))
    }
}

fn clock(asked: &Asked) -> Check {
    let check = Check::new(
        CheckId::ClockDrift,
        "this machine's clock against the control plane's",
    );
    let date = match asked {
        Ok(answer) => answer.date,
        Err(error) => error.date(),
    };
    match date {
        Some(server) => drift(check, server),
        None => check.skip("the control plane did not tell its time"),
    }
}

fn drift(check: Check, server: SystemTime) -> Check {
    let now = SystemTime::now();
    let (drift, direction) = match now.duration_since(server) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let seconds = drift.as_secs();
    let finding = format!("this machine's clock is {seconds} s {direction} the control plane's");
    if drift > CLOCK_SKEW {
        let limit = CLOCK_SKEW.as_secs();
        check.fail(
            format!("{finding}; requests are refused from {limit} s on"),
            HERE.set_clock(),
        )
    } else if drift > DRIFT_WARN {
        check.warn(finding, HERE.set_clock())
    } else {
        check.ok("within a few seconds of the control plane's")
    }
}

async fn credentials(subject: &Subject, asked: &Asked) -> Check {
    let check = Check::new(
        CheckId::ControlPlaneCredentials,
        "the node's secret, by a signed request",
    );
    if subject.enrolment.is_err() {
        return check.skip("this machine is not enrolled");
    }
    let detail = match asked {
        Ok(answer) => return check.ok(format!("accepted as {}", answer.body.node_id)),
        Err(ApiError::Refused { detail, .. }) => detail,
        Err(_) => return check.skip("the control plane does not answer"),
    };
    match detail.kind {
        ErrorType::StaleTimestamp => check.fail(
            "the control plane refuses requests with this machine's time",
            HERE.set_clock(),
        ),
        ErrorType::Unauthorized | ErrorType::Forbidden => check.fail(
            format!(
                "the control plane does not accept this node's secret: {}; the node may have been removed, or \
                 the state directory is of another network; enrolling again gives a new secret",
                detail.message
            ),
            subject.enrol_again_command().await,
        ),
        ErrorType::NotFound => check.skip("this control plane is too old to be asked"),
        ErrorType::RateLimited | ErrorType::Unavailable => check.warn(
            format!("the control plane does not answer this now: {}", detail.message),
            subject.command("doctor"),
        ),
        _ => check.fail(
            format!("the control plane refuses the request: {}", detail.message),
            subject.bundle_command(),
        ),
    }
}

async fn standing(subject: &Subject, asked: &Asked) -> Check {
    let check = Check::new(
        CheckId::ControlPlaneStatus,
        "the node's status at the control plane",
    );
    let Ok(Answer { body: node, .. }) = asked else {
        return check.skip("the control plane did not say");
    };
    let reason = if node.status_reason.is_empty() {
        String::new()
    } else {
        format!(": {}", node.status_reason)
    };
    match node.status {
        LifecycleStatus::Active => check.ok("the node is active"),
        LifecycleStatus::Pending => check.warn(
            format!("the node is pending{reason}; it becomes active when its first probe passes"),
            seen_by(subject).await,
        ),
        LifecycleStatus::Offline => check.warn(
            format!("the control plane takes the node for offline{reason}"),
            seen_by(subject).await,
        ),
        LifecycleStatus::Quarantine => check.fail(
            format!(
                "the node is in quarantine{reason}; only a person of the network can release it, and this is \
                 what to send them"
            ),
            subject.bundle_command(),
        ),
    }
}

/// How the control plane comes to see this node: by an agent that runs; why a running one is not seen says `status`.
async fn seen_by(subject: &Subject) -> String {
    match subject.asked().await.as_ref() {
        Running::Absent => subject.start_command().await,
        Running::Runs(_)
        | Running::OtherVersion
        | Running::Unsupported
        | Running::Closed(_)
        | Running::Silent { .. } => subject.command("status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn drift_is_judged_in_both_directions() {
        let outcome = |server: SystemTime| {
            let check = Check::new(CheckId::ClockDrift, "-");
            drift(check, server).outcome
        };
        let now = SystemTime::now();
        for (seconds, expected) in [(3, Outcome::Ok), (60, Outcome::Warn), (200, Outcome::Fail)] {
            assert_eq!(outcome(now + Duration::from_secs(seconds)), expected);
            assert_eq!(outcome(now - Duration::from_secs(seconds)), expected);
        }
    }
}
