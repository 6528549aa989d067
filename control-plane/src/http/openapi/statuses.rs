//! Which errors an operation may answer: those of its class, added here for all, and those that its own documentation
//! names under `# Errors`. So a refusal is written down once, in words, beside the handler.

use crate::http::error::ApiError;
use dgon_protocol::error::{ErrorBody, ErrorType};
use http::Method;
use std::collections::BTreeMap;
use utoipa::ToSchema as _;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Content, Ref, RefOr, Response};

/// What of an operation decides which errors are everybody's.
pub(super) struct Class<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    /// Somebody who has not signed in may call it.
    pub(super) is_open: bool,
}

impl Class<'_> {
    /// The errors of the layers that every such request passes, each with what leads to it.
    fn errors(&self, has_body: bool) -> Vec<(ErrorType, &'static str)> {
        let mut errors = vec![
            (
                ErrorType::InvalidRequest,
                if has_body {
                    "a parameter is unknown, repeated or wrong, or the body is not what is described"
                } else {
                    "a parameter is unknown, repeated or wrong"
                },
            ),
            (
                ErrorType::Unavailable,
                "there is no answer now; ask again after Retry-After",
            ),
        ];
        if self.path.contains('{') {
            errors.push((
                ErrorType::NotFound,
                "there is nothing with this name, or it is not yours to see",
            ));
        }
        if has_body {
            errors.push((ErrorType::TooLarge, "the body is larger than this takes"));
        }
        if self.path.starts_with("/api/") {
            errors.extend(self.of_api());
        }
        errors
    }

    fn of_api(&self) -> Vec<(ErrorType, &'static str)> {
        let unauthorized = if self.is_open {
            "the session has ended, or the API key that was sent does not work"
        } else {
            "nobody has proven who they are, the session has ended, or the API key does not work"
        };
        let mut errors = vec![
            (ErrorType::Unauthorized, unauthorized),
            (
                ErrorType::Forbidden,
                "who asks may not do this, or sent an API key where none is taken or that lacks the scope",
            ),
            (
                ErrorType::RateLimited,
                "who asks did so too often; ask again after Retry-After",
            ),
        ];
        if crate::http::csrf::changes(self.method) {
            errors.push((
                ErrorType::InvalidCsrf,
                "the request comes from another site, or lacks the token of its session",
            ));
        }
        errors
    }
}

/// Adds them. What an operation says itself of a status stays as it is, and gets the body of errors.
pub(super) fn add(class: &Class<'_>, operation: &mut Operation) {
    let named = operation
        .description
        .as_deref()
        .map(named)
        .unwrap_or_default();
    let of_class = class.errors(operation.request_body.is_some());
    let own = named.into_iter().map(|kind| (kind, ""));
    let mut told: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    let mut seen: Vec<ErrorType> = Vec::new();
    for (kind, meaning) in of_class.into_iter().chain(own) {
        if seen.contains(&kind) {
            continue;
        }
        seen.push(kind);
        let sentence = match meaning {
            "" => format!("`{kind}`: see above."),
            meaning => format!("`{kind}`: {meaning}."),
        };
        let status = ApiError::new(kind, "").status().as_u16();
        told.entry(status).or_default().push(sentence);
    }
    let responses = &mut operation.responses.responses;
    for (status, sentences) in told {
        responses
            .entry(status.to_string())
            .or_insert_with(|| Response::new(sentences.join(" ")).into());
    }
    for (status, response) in responses {
        if let (true, RefOr::T(response)) = (status.as_str() >= "400", response) {
            finish(status, response);
        }
    }
}

/// Error types that the documentation of a handler names under `# Errors`.
fn named(description: &str) -> Vec<ErrorType> {
    let Some((_, errors)) = description.split_once("# Errors") else {
        return Vec::new();
    };
    let quoted = errors.split('`').skip(1).step_by(2);
    let kinds =
        quoted.filter_map(|quote| ErrorType::ALL.iter().find(|kind| kind.as_str() == quote));
    // A fault of ours is not part of the contract.
    kinds
        .copied()
        .filter(|kind| *kind != ErrorType::Internal)
        .collect()
}

fn finish(status: &str, response: &mut Response) {
    if response.content.is_empty() {
        let body = Ref::from_schema_name(ErrorBody::name());
        let content = Content::new(Some(body));
        response
            .content
            .insert("application/json".to_owned(), content.into());
    }
    if matches!(status, "429" | "503") {
        let seconds = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::UInt32)))
            .minimum(Some(0));
        let header = HeaderBuilder::new()
            .schema(Some(seconds))
            .description(Some("When to ask again, s."));
        response
            .headers
            .insert("retry-after".to_owned(), header.build().into());
    }
}
