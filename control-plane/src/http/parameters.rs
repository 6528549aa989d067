//! The query of every address, held against the OpenAPI document: what the document does not name is refused.
//!
//! One place for all routes, so that a mistyped filter never answers as if it had been none. The document is made
//! from the handlers; a route that is not in it takes no parameters.

use super::account::oidc::CALLBACK;
use super::error::ApiError;
use super::openapi;
use crate::nearest::nearest;
use axum::extract::{MatchedPath, Query, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, Uri};
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use utoipa::Number;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::schema::Schema;

/// Edits that make a known name of a mistyped one: `node` becomes `node_id` by three.
const EDITS_MAX: usize = 3;
/// Characters of a foreign name that an answer repeats.
const NAME_SHOWN: usize = 64;

/// A parameter that an address takes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    name: String,
    /// What a number may be.
    bounds: Option<RangeInclusive<i64>>,
}

/// Parameters by path, as the router writes it, and method.
static KNOWN: LazyLock<HashMap<(String, Method), Vec<Known>>> = LazyLock::new(|| {
    let mut known = HashMap::new();
    for (path, item) in openapi::document().paths.paths {
        for (method, operation) in by_method(item) {
            let parameters = operation.parameters.unwrap_or_default();
            let taken = parameters.into_iter().filter_map(of_query).collect();
            known.insert((path.clone(), method), taken);
        }
    }
    known
});

fn by_method(item: PathItem) -> impl Iterator<Item = (Method, Operation)> {
    let all = [
        (Method::GET, item.get),
        (Method::PUT, item.put),
        (Method::POST, item.post),
        (Method::DELETE, item.delete),
        (Method::PATCH, item.patch),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation?)))
}

fn of_query(parameter: RefOr<Parameter>) -> Option<Known> {
    // The document names its parameters where they stand, none by reference.
    let RefOr::T(parameter) = parameter else {
        return None;
    };
    let is_ours = parameter.parameter_in == ParameterIn::Query;
    let bounds = match &parameter.schema {
        Some(RefOr::T(Schema::Object(schema))) => {
            let (least, most) = (schema.minimum.as_ref(), schema.maximum.as_ref());
            least
                .and_then(whole)
                .zip(most.and_then(whole))
                .map(|(least, most)| least..=most)
        }
        _ => None,
    };
    is_ours.then_some(Known {
        name: parameter.name,
        bounds,
    })
}

fn whole(number: &Number) -> Option<i64> {
    match number {
        Number::Int(number) => i64::try_from(*number).ok(),
        Number::UInt(number) => i64::try_from(*number).ok(),
        Number::Float(_) => None,
    }
}

/// The layer. Addresses without a route are the console's, whose pages have queries of their own.
pub(super) async fn layer(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let checked = match (route, request.uri().query()) {
        // What an issuer says beside its answer is for others.
        (Some(route), Some(_)) if route.as_str() == CALLBACK => Ok(()),
        (Some(route), Some(_)) => {
            let method = match request.method() {
                &Method::HEAD => Method::GET,
                method => method.clone(),
            };
            match KNOWN.get(&(route.as_str().to_owned(), method)) {
                Some(known) => check(request.uri(), known),
                // The router says that the address does not take this method.
                None if KNOWN.keys().any(|(path, _)| path == route.as_str()) => Ok(()),
                None => check(request.uri(), &[]),
            }
        }
        _ => Ok(()),
    };
    // PostgreSQL has no text with NUL, and nothing here has such a name.
    let is_no_name = request.uri().path().contains("%00");
    let checked = match is_no_name {
        true => Err(ApiError::not_found("there is nothing with this name")),
        false => checked,
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check(uri: &Uri, known: &[Known]) -> Result<(), ApiError> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| ApiError::invalid("the query of the address cannot be read"))?;
    let mut seen = HashSet::new();
    for (name, value) in &pairs.0 {
        let Some(parameter) = known.iter().find(|known| known.name == *name) else {
            return Err(unknown(name, known));
        };
        if !seen.insert(name) {
            return Err(refusal(
                name,
                format!("{name} is given more than once; give it once"),
            ));
        }
        if value.contains('\0') {
            let message = format!("{name} holds a character that no text has");
            return Err(refusal(name, message));
        }
        if let Some(bounds) = &parameter.bounds
            && !value
                .parse()
                .is_ok_and(|number: i64| bounds.contains(&number))
        {
            let (least, most) = (*bounds.start(), *bounds.end());
            let message = format!("{name} must be a whole number from {least} to {most}");
            return Err(refusal(name, message)
                .with("minimum", least)
                .with("maximum", most));
        }
    }
    Ok(())
}

fn refusal(name: &str, message: String) -> ApiError {
    ApiError::invalid(message).with("parameter", name)
}

fn unknown(name: &str, known: &[Known]) -> ApiError {
    let name: String = name.chars().take(NAME_SHOWN).collect();
    let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
    // A name of one letter is one edit from every other; what is changed wholly is not like it.
    let edits = EDITS_MAX.min(name.chars().count().saturating_sub(1));
    let like = nearest(&name, names.iter().copied(), edits);
    let hint = like.map_or_else(String::new, |like| format!("did you mean {like}? "));
    let message = match names.is_empty() {
        true => format!("there is no parameter {name:?} here; this address takes none"),
        false => format!(
            "there is no parameter {name:?} here; {hint}this address takes {}",
            names.join(", ")
        ),
    };
    let error = refusal(&name, message).with("known", names);
    match like {
        Some(like) => error.with("nearest", like),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(query: &str) -> Result<(), String> {
        let known = [
            Known {
                name: "node_id".into(),
                bounds: None,
            },
            Known {
                name: "limit".into(),
                bounds: Some(1..=200),
            },
        ];
        let uri: Uri = format!("/x?{query}").parse().expect("address");
        check(&uri, &known).map_err(|error| error.body("").error.message)
    }

    #[test]
    fn what_is_unknown_repeated_or_out_of_bounds_is_named() {
        for good in ["", "node_id=", "node_id=a&limit=1", "limit=200"] {
            assert_eq!(answer(good), Ok(()), "{good}");
        }
        for (query, told) in [
            ("node=a", "did you mean node_id?"),
            ("zzz=1", "this address takes node_id, limit"),
            ("node_id=a&node_id=a", "node_id is given more than once"),
            ("limit=0", "from 1 to 200"),
            ("limit=201", "from 1 to 200"),
            ("limit=", "from 1 to 200"),
            ("limit=9223372036854775808", "from 1 to 200"),
            ("=1", "no parameter \"\""),
        ] {
            let message = answer(query).expect_err(query);
            assert!(message.contains(told), "{query}: {message}");
        }
        assert!(!answer("x=1").expect_err("unknown").contains("did you mean"));
    }

    #[test]
    fn every_limit_of_the_document_has_the_one_bound() {
        let limits = KNOWN
            .values()
            .flatten()
            .filter(|known| known.name == "limit");
        let bounds: Vec<_> = limits.map(|known| known.bounds.clone()).collect();
        assert!(bounds.len() >= 3, "{bounds:?}");
        assert!(
            bounds.iter().all(|bound| *bound == Some(1..=200)),
            "{bounds:?}"
        );
    }
}
