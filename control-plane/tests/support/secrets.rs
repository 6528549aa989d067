//! The secrets of a request and of its answer: each is noted for the gate, which searches the logs of all tests, and none
//! may be in the request's address or in an answer that is an error.

use super::Answer;
use dgon_testkit::kept;
use reqwest::{Request, header};
use serde_json::Value;

/// Fields that are secret wherever they are.
pub(crate) const FIELDS: [&str; 11] = [
    "client_secret",
    "code",
    "csrf_token",
    "current",
    "key",
    "node_secret",
    "password",
    "recovery_codes",
    "sealed",
    "secret",
    "token",
];
/// Headers that are.
const HEADERS: [&str; 3] = ["authorization", "cookie", "x-csrf-token"];
/// Most bytes of a cookie's name and value.
const COOKIE_MAX: usize = 4_096;
/// Shorter ones, such as the six digits of an app, are anywhere by chance.
const SHORTEST: usize = 10;

/// What a request has that nobody else may learn.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Those of a request, which may be in its headers and its body.
    pub(super) fn of(request: &Request) -> Self {
        let mut found = Self(Vec::new());
        for name in HEADERS {
            let values = request.headers().get_all(name).iter();
            for value in values.filter_map(|value| value.to_str().ok()) {
                // A cookie's value, or a key after its scheme.
                let parts = value.split("; ");
                let part = |part: &str| part.rsplit(['=', ' ']).next().map(str::to_owned);
                parts
                    .filter_map(part)
                    .for_each(|value| found.add(name, &value));
            }
        }
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let json = body.and_then(|body| serde_json::from_slice(body).ok());
        found.add_json(&json.unwrap_or(Value::Null));
        let address = request.url().as_str();
        assert!(!found.is_in(address), "an address has a secret: {address}");
        found
    }

    /// Nothing of them is told to whoever is refused.
    pub(super) fn are_not_told(&self, answer: &Answer) {
        let is_error = answer.status.is_client_error() || answer.status.is_server_error();
        let told = is_error && self.is_in(&answer.text);
        assert!(!told, "an error tells a secret: {}", answer.text);
    }

    fn is_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret.as_str()))
    }

    fn add(&mut self, kind: &str, value: &str) {
        if value.len() >= SHORTEST {
            kept::secret(kind, value);
            self.0.push(value.to_owned());
        }
    }

    fn add_json(&mut self, json: &Value) {
        match json {
            Value::Array(items) => items.iter().for_each(|item| self.add_json(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(text) if FIELDS.contains(&name.as_str()) => {
                            self.add(name, text);
                        }
                        Value::Array(texts) if FIELDS.contains(&name.as_str()) => {
                            let texts = texts.iter().filter_map(Value::as_str);
                            texts.for_each(|text| self.add(name, text));
                        }
                        other => self.add_json(other),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Notes what an answer gives its browser to keep, which is no more than browsers do.
pub(super) fn note(answer: &Answer) {
    let mut given = Secrets(Vec::new());
    if answer.status.is_success() {
        given.add_json(&answer.json);
    }
    for (name, value) in answer.cookies() {
        assert!(
            name.len() + value.len() <= COOKIE_MAX,
            "{name} is too large"
        );
        given.add(header::SET_COOKIE.as_str(), &value);
    }
}
