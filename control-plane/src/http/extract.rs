//! Extractors that answer in the API's error shape: JSON bodies, queries, path parameters.

use super::auth::Acting;
use super::body;
use super::client_ip::outside;
use super::error::ApiError;
use super::router::BODY_BYTES;
use super::state::HttpState;
use axum::body::Body;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use dgon_protocol::error::ErrorType;
use http::request::Parts;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

/// A JSON body of `application/json`. Of a caller who is not signed in it is read within the room that all such
/// bodies share.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<HttpState> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, ApiError> {
        let is_signed_in = matches!(
            request.extensions().get(),
            Some(Acting::Person(_) | Acting::Key(_))
        );
        // Held until the value is made.
        let mut _room = None;
        let request = match is_signed_in {
            true => request,
            false => {
                let (parts, body) = request.into_parts();
                let network = outside(&parts.extensions, &parts.headers);
                let held = body::read(&state.app, network, body, BODY_BYTES).await?;
                _room = Some(held.share);
                Request::from_parts(parts, Body::from(held.bytes))
            }
        };
        match axum::Json::<Object<T>>::from_request(request, state).await {
            Ok(axum::Json(Object(value))) => Ok(Self(value)),
            Err(rejection) => Err(json_error(rejection)),
        }
    }
}

/// A value that is read from a JSON object alone. Left to itself serde takes an array for a structure, too, its fields in their
/// order, which no API promises.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(OfMap(PhantomData)).map(Self)
    }
}

/// The same for a field. For `#[serde(deserialize_with)]`.
///
/// # Errors
/// Whatever is wrong with it.
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

fn json_error(rejection: JsonRejection) -> ApiError {
    match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            ApiError::invalid("send JSON with the header content-type: application/json")
        }
        JsonRejection::JsonDataError(error) => {
            ApiError::invalid(format!("a field is missing or wrong: {}", cause(&error)))
        }
        JsonRejection::JsonSyntaxError(error) => {
            ApiError::invalid(format!("the body is not JSON: {}", cause(&error)))
        }
        JsonRejection::BytesRejection(error) => match error.status().as_u16() {
            413 => ApiError::new(
                ErrorType::TooLarge,
                "the body is larger than this address takes",
            ),
            _ => ApiError::invalid("the body could not be read"),
        },
        other => ApiError::from_status(other.status()),
    }
}

/// The innermost cause: what the parser says, which names the field and the place.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The query of the address.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(query_error(&rejection)),
        }
    }
}

fn query_error(rejection: &QueryRejection) -> ApiError {
    ApiError::invalid(format!("a parameter is wrong: {}", cause(rejection)))
}

/// The parameters in the path.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(path_error(&rejection)),
        }
    }
}

fn path_error(rejection: &PathRejection) -> ApiError {
    match rejection.status().is_server_error() {
        true => ApiError::internal(rejection),
        // What cannot be the name of an object names none.
        false => ApiError::not_found("there is nothing with this name"),
    }
}
