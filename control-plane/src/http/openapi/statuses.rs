//! Which errors an operation may answer: those of its class, added here for all, and those that its own documentation
//! names under `# Errors`. So a refusal is written down once, in words, beside the handler; the document has these words at the
//! status, beside what leads to it everywhere.
//!
//! `# Errors` is a sentence of types in backticks, each followed by when it is answered. Nothing else is in backticks there: a type
//! that is misspelt would be missing from the document, and a test refuses it.

use crate::http::error::ApiError;
use dgon_protocol::error::{ErrorBody, ErrorType};
use http::Method;
use std::collections::BTreeMap;
use utoipa::ToSchema as _;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::{Content, Ref, RefOr, Response};

/// What errors are.
const JSON: &str = "application/json";

/// Who calls an operation, which decides what a refusal of them means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Also somebody who has not signed in.
    Anybody,
    /// Somebody who is signed in, or a program with a key.
    Person,
    /// A node, by its headers.
    Node,
    /// A machine that is no node yet.
    NewNode,
}

/// What of an operation decides which errors are everybody's.
pub(super) struct Class<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) who: Who,
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
        let mut errors = match self.who {
            Who::Anybody | Who::Person => self.of_people(),
            Who::Node | Who::NewNode => self.of_nodes(),
        };
        if crate::http::csrf::changes(self.method) {
            let meaning = match self.who {
                Who::Anybody | Who::Person => {
                    "the request comes from another site, or lacks the token of its session"
                }
                Who::Node | Who::NewNode => {
                    "a browser sends the request from the page of another site"
                }
            };
            errors.push((ErrorType::InvalidCsrf, meaning));
        }
        errors
    }

    fn of_people(&self) -> Vec<(ErrorType, &'static str)> {
        let unauthorized = match self.who {
            Who::Anybody => "the session has ended, or the API key that was sent does not work",
            _ => {
                "nobody has proven who they are, the session has ended, or the API key does not work"
            }
        };
        vec![
            (ErrorType::Unauthorized, unauthorized),
            (
                ErrorType::Forbidden,
                "who asks may not do this, or sent an API key where none is taken or that lacks the scope",
            ),
            (
                ErrorType::RateLimited,
                "who asks did so too often; ask again after Retry-After",
            ),
        ]
    }

    fn of_nodes(&self) -> Vec<(ErrorType, &'static str)> {
        let mut errors = vec![
            (
                ErrorType::Forbidden,
                "an API key was sent, and none is taken here",
            ),
            (
                ErrorType::RateLimited,
                "the node or its network asked too often, or named too much that is not known here; ask again after Retry-After",
            ),
        ];
        errors.extend_from_slice(match self.who {
            Who::Node => &[
                (
                    ErrorType::Unauthorized,
                    "the headers of the node are missing or do not prove it, or it is not enrolled here",
                ),
                (
                    ErrorType::StaleTimestamp,
                    "the time in the headers is over 120 s from the server's clock, which the details tell",
                ),
                (
                    ErrorType::ReplayedRequest,
                    "these headers came before; send new ones",
                ),
            ],
            _ => &[(
                ErrorType::Unauthorized,
                "an API key was sent that does not work",
            )],
        });
        errors
    }
}

/// Adds them. What an operation says itself of a status stays before them, and gets the body of errors.
pub(super) fn add(class: &Class<'_>, operation: &mut Operation) {
    let description = operation.description.as_deref().unwrap_or_default();
    let of_class = class.errors(operation.request_body.is_some());
    let told = told(of_class, named(description));
    let responses = &mut operation.responses.responses;
    for (status, sentences) in told {
        let sentences = sentences.join(" ");
        match responses.get_mut(&status.to_string()) {
            Some(RefOr::T(own)) => add_to(own, &sentences),
            // No handler refers to one that is written elsewhere.
            Some(RefOr::Ref(_)) | None => {
                responses.insert(status.to_string(), Response::new(sentences).into());
            }
        }
    }
    for (status, response) in responses {
        if let (true, RefOr::T(response)) = (status.as_str() >= "400", response) {
            finish(status, response);
        }
    }
}

/// For each status a sentence for each type: what leads to it everywhere, and what here.
fn told(
    of_class: Vec<(ErrorType, &'static str)>,
    named: Vec<(ErrorType, String)>,
) -> BTreeMap<u16, Vec<String>> {
    let mut kinds: Vec<ErrorType> = of_class.iter().map(|(kind, _)| *kind).collect();
    for (kind, _) in &named {
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    let mut told: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for kind in kinds {
        let meaning = of_class.iter().find(|(of, _)| *of == kind);
        let meaning = meaning.map_or("", |(_, meaning)| meaning);
        let here = named
            .iter()
            .filter(|(of, when)| *of == kind && !when.is_empty());
        let here: Vec<&str> = here.map(|(_, when)| when.as_str()).collect();
        let here = here.join("; ");
        let sentence = match (meaning, here.as_str()) {
            ("", "") => format!("`{kind}`."),
            (meaning, "") => format!("`{kind}`: {meaning}."),
            ("", here) => format!("`{kind}`: {here}."),
            (meaning, here) => format!("`{kind}`: {meaning}; here {here}."),
        };
        let status = ApiError::new(kind, "").status().as_u16();
        told.entry(status).or_default().push(sentence);
    }
    told
}

/// What a handler says of a status itself hides nothing of it: neither the words nor the body.
fn add_to(own: &mut Response, sentences: &str) {
    own.description = format!("{} {sentences}", own.description.trim_end());
    if let Some(RefOr::T(content)) = own.content.get_mut(JSON)
        && let Some(schema) = content.schema.take()
    {
        let either = OneOfBuilder::new().item(schema);
        let either = either.item(Ref::from_schema_name(ErrorBody::name()));
        content.schema = Some(either.into());
    }
}

/// Error types that the documentation of a handler names under `# Errors`, each with its words.
fn named(description: &str) -> Vec<(ErrorType, String)> {
    let Some((_, errors)) = description.split_once("# Errors") else {
        return Vec::new();
    };
    // Between backticks and beside them in turn, beginning with what is before the first.
    let mut parts = errors.split('`').skip(1);
    let mut found = Vec::new();
    while let Some(quoted) = parts.next() {
        let when = parts.next().map(words).unwrap_or_default();
        let kind = ErrorType::ALL.iter().find(|kind| kind.as_str() == quoted);
        // A fault of ours is not part of the contract.
        found.extend(
            kind.filter(|kind| **kind != ErrorType::Internal)
                .map(|kind| (*kind, when)),
        );
    }
    found
}

/// What stands between two types, without what joins it to them.
fn words(between: &str) -> String {
    let words: Vec<&str> = between.split_whitespace().collect();
    let is_join = |c: char| matches!(c, ',' | ';' | '.') || c.is_whitespace();
    let text = words.join(" ");
    let text = text.trim_matches(is_join);
    let text = [" or", " and"]
        .iter()
        .find_map(|join| text.strip_suffix(join))
        .unwrap_or(text);
    match text {
        "or" | "and" => String::new(),
        text => text.trim_end_matches(is_join).to_owned(),
    }
}

fn finish(status: &str, response: &mut Response) {
    if !response.content.contains_key(JSON) {
        let body = Ref::from_schema_name(ErrorBody::name());
        let content = Content::new(Some(body));
        response.content.insert(JSON.to_owned(), content.into());
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

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa::openapi::path::OperationBuilder;

    const DESCRIPTION: &str = "More of it.\n\n# Errors\n`unauthorized`, `forbidden`, or `not_found` for the pool, also\n\
        for one that is closed; `conflict` for a name that is taken. `rate_limited`, too; `internal`.";

    fn of(who: Who, own: Option<(&str, Response)>) -> Operation {
        let mut operation = OperationBuilder::new()
            .description(Some(DESCRIPTION))
            .build();
        if let Some((status, response)) = own {
            let responses = &mut operation.responses.responses;
            responses.insert(status.to_owned(), response.into());
        }
        let class = Class {
            method: &Method::POST,
            path: "/api/v1/pools/{pool_id}",
            who,
        };
        add(&class, &mut operation);
        operation
    }

    fn response<'a>(operation: &'a Operation, status: &str) -> &'a Response {
        match &operation.responses.responses[status] {
            RefOr::T(response) => response,
            RefOr::Ref(_) => panic!("{status} is written elsewhere"),
        }
    }

    #[test]
    fn the_words_of_a_handler_stay_with_their_type() {
        let named = named(DESCRIPTION);
        let named: Vec<(&str, &str)> = named
            .iter()
            .map(|(kind, when)| (kind.as_str(), when.as_str()))
            .collect();
        let expected = [
            ("unauthorized", ""),
            ("forbidden", ""),
            ("not_found", "for the pool, also for one that is closed"),
            ("conflict", "for a name that is taken"),
            ("rate_limited", "too"),
        ];
        assert_eq!(named, expected);
        let operation = of(Who::Person, None);
        assert_eq!(
            response(&operation, "409").description,
            "`conflict`: for a name that is taken."
        );
        assert_eq!(
            response(&operation, "404").description,
            "`not_found`: there is nothing with this name, or it is not yours to see; here for the pool, also for one that is \
             closed."
        );
    }

    #[test]
    fn what_a_handler_says_of_a_status_hides_nothing() {
        let body = Content::new(Some(Ref::from_schema_name("Own")));
        let mut own = Response::new("Not this one.");
        own.content.insert(JSON.to_owned(), body.into());
        let operation = of(Who::Person, Some(("403", own)));
        let response = response(&operation, "403");
        assert!(
            response
                .description
                .starts_with("Not this one. `forbidden`: who asks")
        );
        assert!(response.description.contains("`invalid_csrf`: "));
        let schema = serde_json::to_value(&response.content).expect("json");
        let either = &schema[JSON]["schema"]["oneOf"];
        assert_eq!(either[0]["$ref"], "#/components/schemas/Own");
        assert_eq!(either[1]["$ref"], "#/components/schemas/ErrorBody");
    }

    #[test]
    fn nodes_are_refused_for_their_headers_and_not_for_a_session() {
        for (who, told) in [
            (Who::Node, "`unauthorized`: the headers of the node"),
            (Who::NewNode, "`unauthorized`: an API key was sent"),
        ] {
            let operation = of(who, None);
            let text = &response(&operation, "401").description;
            assert!(text.starts_with(told), "{text}");
            assert!(!text.contains("session"), "{text}");
            assert_eq!(
                who == Who::Node,
                text.contains("`replayed_request`"),
                "{text}"
            );
        }
    }
}
