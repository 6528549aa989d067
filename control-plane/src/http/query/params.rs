//! Reading the query of list addresses: closed lists, times, and empty values that mean "all".

use crate::http::auth::Actor;
use crate::http::error::ApiError;
use dgon_control_plane_store::assignments::Assigned;
use dgon_control_plane_store::node_queries::NodeOrder;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::LifecycleStatus;
use dgon_protocol::receipt::{Source, Status};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Longest value of a text filter.
const TEXT_MAX: usize = 256;

/// `blake3:` and 64 hex digits: longer than any request id.
const BLAKE3_TEXT: usize = 71;

fn wrong(name: &str, rule: &str) -> ApiError {
    ApiError::new(ErrorType::InvalidRequest, format!("{name} must be {rule}"))
        .with("parameter", name)
}

/// A text filter; empty is none.
pub(in crate::http) fn text(name: &str, value: Option<String>) -> Result<Option<String>, ApiError> {
    match value {
        Some(value) if value.len() > TEXT_MAX => Err(wrong(name, "at most 256 bytes")),
        // PostgreSQL has no NUL in texts, so nothing can match it.
        Some(value) if value.contains('\0') => Err(wrong(name, "text without NUL")),
        value => Ok(value.filter(|value| !value.is_empty())),
    }
}

fn closed<T: Copy>(
    name: &str,
    value: Option<String>,
    all: &[(&str, T)],
) -> Result<Option<T>, ApiError> {
    let Some(value) = text(name, value)? else {
        return Ok(None);
    };
    let found = all.iter().find(|(known, _)| *known == value);
    found.map(|(_, known)| Some(*known)).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(known, _)| *known).collect();
        wrong(name, &format!("one of {}", names.join(", ")))
    })
}

/// Statuses of nodes with commas between them.
pub(super) fn statuses(value: Option<String>) -> Result<Vec<LifecycleStatus>, ApiError> {
    const ALL: [LifecycleStatus; 4] = [
        LifecycleStatus::Pending,
        LifecycleStatus::Active,
        LifecycleStatus::Quarantine,
        LifecycleStatus::Offline,
    ];
    let Some(value) = text("status", value)? else {
        return Ok(Vec::new());
    };
    let mut statuses = Vec::new();
    for part in value.split(',') {
        let known = ALL.map(|status| (status.as_str(), status));
        if let Some(status) = closed("status", Some(part.to_owned()), &known)?
            && !statuses.contains(&status)
        {
            statuses.push(status);
        }
    }
    Ok(statuses)
}

/// How a request ended.
pub(super) fn receipt_status(value: Option<String>) -> Result<Option<Status>, ApiError> {
    let all = [Status::Ok, Status::Error, Status::Cancelled];
    closed(
        "status",
        value,
        &all.map(|status| (status.as_str(), status)),
    )
}

/// Who asked for the work.
pub(super) fn source(value: Option<String>) -> Result<Option<Source>, ApiError> {
    let all = [Source::Local, Source::Gateway, Source::Probe, Source::Job];
    closed(
        "source",
        value,
        &all.map(|source| (source.as_str(), source)),
    )
}

/// Yes or no.
pub(in crate::http) fn flag(name: &str, value: Option<String>) -> Result<Option<bool>, ApiError> {
    closed(name, value, &[("true", true), ("false", false)])
}

/// What a search box takes: no id and no name begins or ends with blanks, and what is pasted often does.
pub(in crate::http) fn search(value: Option<String>) -> Result<Option<String>, ApiError> {
    text("q", value.map(|value| value.trim().to_owned()))
}

/// What the search box of receipts takes.
pub(super) fn receipt_search(value: Option<String>) -> Result<Option<String>, ApiError> {
    let value = search(value)?;
    // No receipt would be found, and that would read as if there were none.
    if value
        .as_deref()
        .is_some_and(|text| text.starts_with("blake3:") && text.len() == BLAKE3_TEXT)
    {
        let message = "hashes of prompts and outputs are not searched for; q takes a request id, a node, a model or the \
             sha256 hash of a receipt";
        return Err(ApiError::invalid(message).with("parameter", "q"));
    }
    Ok(value)
}

/// Whether the own organisation's are asked for.
pub(super) fn is_owner_self(value: Option<String>) -> Result<bool, ApiError> {
    Ok(closed("owner", value, &[("self", true)])?.unwrap_or(false))
}

/// Whose nodes: `me`, `nobody`, or a person's id. For whoever is signed in: who takes care of a node is not public.
pub(in crate::http) fn assigned(
    value: Option<String>,
    actor: &Actor,
) -> Result<Option<Assigned>, ApiError> {
    let Some(value) = text("assignee", value)? else {
        return Ok(None);
    };
    let person = actor.person()?;
    Ok(Some(match value.as_str() {
        "me" => Assigned::To(person.user_id.clone()),
        "nobody" => Assigned::ToNobody,
        _ => Assigned::To(value),
    }))
}

/// Refuses a filter by something that the network has no knowledge of: an answer without it would be a wrong one.
pub(super) fn not_known_yet(name: &str, value: Option<&str>, what: &str) -> Result<(), ApiError> {
    match value {
        None | Some("") => Ok(()),
        Some(_) => {
            let message = format!(
                "this network does not know {what} yet, so {name} cannot be answered; leave it out"
            );
            Err(ApiError::invalid(message).with("parameter", name))
        }
    }
}

/// An order and whether it falls: `p95`, `-p95`.
pub(super) fn order(value: Option<String>) -> Result<(NodeOrder, bool), ApiError> {
    let Some(value) = text("sort", value)? else {
        return Ok((NodeOrder::Id, false));
    };
    let (name, falling) = match value.strip_prefix('-') {
        Some(name) => (name, true),
        None => (value.as_str(), false),
    };
    let all = [
        ("id", NodeOrder::Id),
        ("status", NodeOrder::Status),
        ("region", NodeOrder::Region),
        ("p95", NodeOrder::P95),
        ("last_heartbeat", NodeOrder::LastHeartbeat),
    ];
    let order = closed("sort", Some(name.to_owned()), &all)?;
    Ok((order.unwrap_or_default(), falling))
}

/// A time in RFC 3339, or a date, which is its first moment in UTC; unix ms.
pub(super) fn moment(name: &str, value: Option<String>) -> Result<Option<i64>, ApiError> {
    let Some(value) = text(name, value)? else {
        return Ok(None);
    };
    let timestamp = value.parse::<Timestamp>().ok().or_else(|| {
        let start = value.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(start.timestamp())
    });
    timestamp
        .map(|timestamp| Some(timestamp.as_millisecond()))
        .ok_or_else(|| {
            wrong(
                name,
                "a time such as 2026-11-21T03:00:00Z or a date such as 2026-11-21",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn closed_lists_take_what_they_name_and_say_so_otherwise() {
        assert_eq!(
            receipt_status(some("error")).expect("known"),
            Some(Status::Error)
        );
        assert_eq!(source(some("")).expect("empty is all"), None);
        assert_eq!(flag("hedged", some("true")).expect("known"), Some(true));
        for refused in [
            receipt_status(some("OK")).err(),
            flag("hedged", some("1")).map(|_| None::<Status>).err(),
        ] {
            let refused = refused.expect("refused");
            assert_eq!(refused.kind(), ErrorType::InvalidRequest);
        }
        let both = statuses(some("active,offline,active")).expect("known");
        assert_eq!(both, [LifecycleStatus::Active, LifecycleStatus::Offline]);
        assert!(statuses(some("active,up")).is_err());
        assert!(text("q", some("a\0b")).is_err());
        assert!(text("q", Some("x".repeat(257))).is_err());
    }

    #[test]
    fn orders_fall_with_a_minus() {
        assert_eq!(order(None).expect("default"), (NodeOrder::Id, false));
        assert_eq!(order(some("-p95")).expect("known"), (NodeOrder::P95, true));
        assert!(order(some("--p95")).is_err());
    }

    #[test]
    fn moments_are_times_or_dates() {
        let ms = |text: &str| moment("from", some(text)).ok().flatten();
        assert_eq!(ms("2026-11-21T03:00:00Z"), Some(1_795_230_000_000));
        assert_eq!(ms("2026-11-21T04:00:00.5+01:00"), Some(1_795_230_000_500));
        assert_eq!(ms("2026-11-21"), Some(1_795_219_200_000));
        assert_eq!(ms("yesterday"), None);
    }
}
