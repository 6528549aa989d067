//! `network.websocket`: the way of the link up to the control plane's challenge. It disturbs no session that stands.

use super::{HERE, chain};
use crate::config::BaseUrl;
use crate::doctor::examine::Reporter;
use crate::doctor::{Check, CheckId, Subject};
use crate::link::{self, DialError, HandshakeProbeError};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{LINK_PATH, SUBPROTOCOL};
use std::time::{Duration, Instant};

/// How long the upgrade may take, and then the challenge, where the steps before left time for it.
const UPGRADE: Duration = Duration::from_millis(1_600);
const CHALLENGE: Duration = Duration::from_millis(900);

/// Tries the handshake up to the challenge, and ends by `end`.
pub(super) async fn handshake(subject: &Subject, api: &BaseUrl, reporter: &Reporter, end: Instant) {
    let check = Check::new(CheckId::NetworkWebsocket, api.at(LINK_PATH));
    let Some(settings) = subject.link_settings() else {
        return reporter.tell(check.skip("this machine is not enrolled"));
    };
    let began = Instant::now();
    let left = end.saturating_duration_since(began);
    let (upgrade, challenge) = (UPGRADE.min(left * 2 / 3), CHALLENGE.min(left / 3));
    reporter.tell(
        match link::probe_handshake(&settings, upgrade, challenge).await {
            Ok(_) => check.ok(format!(
                "upgraded and challenged in {} ms",
                began.elapsed().as_millis()
            )),
            Err(error) => judge(check, &error, subject, api),
        },
    );
}

fn judge(check: Check, error: &HandshakeProbeError, subject: &Subject, api: &BaseUrl) -> Check {
    let finding = chain(error);
    let look = HERE.upgrade(&api.at(LINK_PATH), SUBPROTOCOL);
    match error {
        HandshakeProbeError::Dial(DialError::Unknown { .. }) => {
            check.skip("the secret is not accepted, see control_plane.credentials")
        }
        HandshakeProbeError::Dial(DialError::Refused { kind, .. }) => match kind {
            Some(ErrorType::StaleTimestamp) => check.fail(finding, HERE.set_clock()),
            Some(ErrorType::Forbidden) => {
                check.skip("the secret is not accepted, see control_plane.credentials")
            }
            Some(ErrorType::RateLimited | ErrorType::Unavailable) => check.warn(
                format!("{finding}; the agent tries again by itself"),
                subject.command("doctor"),
            ),
            _ => check.fail(
                format!(
                    "{finding}; a gateway before the control plane may let no WebSocket through"
                ),
                look,
            ),
        },
        HandshakeProbeError::Dial(DialError::NotOurs { stranger })
            if stranger.looks_like_a_portal() =>
        {
            check.fail(
                format!(
                    "{finding}; the network may want somebody to sign in first (captive portal)"
                ),
                look,
            )
        }
        HandshakeProbeError::Dial(DialError::NotOurs { .. } | DialError::NotAWebSocket(_)) => check
            .fail(
                format!("{finding}; a gateway or proxy in between may pass HTTP and no WebSocket"),
                look,
            ),
        HandshakeProbeError::Dial(DialError::Address { .. }) => {
            check.fail(finding, subject.command("config show"))
        }
        HandshakeProbeError::Dial(
            DialError::Connect(_) | DialError::Broken { .. } | DialError::OtherProtocol,
        )
        | HandshakeProbeError::Late(_)
        | HandshakeProbeError::Talk(_) => check.fail(finding, look),
    }
}
