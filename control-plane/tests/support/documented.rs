//! Whether what a server answers is in its OpenAPI document: looked at for all answers that the tests get.

use dgon_control_plane::http::openapi::document;
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// An operation: its path in parts, and what it may answer.
struct Operation {
    parts: Vec<String>,
    /// What is told of each status.
    told: BTreeMap<u16, String>,
}

/// Operations by method.
static OPERATIONS: LazyLock<BTreeMap<String, Vec<Operation>>> = LazyLock::new(|| {
    let api = serde_json::to_value(document()).expect("document");
    let mut all: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("path item") {
            let of_method = all.entry(method.to_uppercase()).or_default();
            of_method.push(Operation::read(path, operation));
        }
    }
    all
});

impl Operation {
    fn read(path: &str, operation: &Value) -> Self {
        let responses = operation["responses"].as_object().expect("responses");
        let told = responses.iter().map(|(status, response)| {
            let status = status.parse::<u16>().expect("a status");
            (status, response["description"].to_string())
        });
        Self {
            parts: path.split('/').map(str::to_owned).collect(),
            told: told.collect(),
        }
    }

    /// How many parts are as they are written; `None` where it is another address.
    fn fits(&self, parts: &[&str]) -> Option<usize> {
        if parts.len() != self.parts.len() {
            return None;
        }
        let mut exact = 0;
        for (own, part) in self.parts.iter().zip(parts) {
            match own == part {
                true => exact += 1,
                false if own.starts_with('{') && !part.is_empty() => {}
                false => return None,
            }
        }
        Some(exact)
    }
}

/// Asserts that the document tells of this answer, and of the type where it is an error. What is at no address of the document
/// is passed over, and so is a method that an address does not take: the document says of all that it is 405.
pub(crate) fn assert_documented(method: &Method, path: &str, status: u16, body: &[u8]) {
    let parts: Vec<&str> = path.split('/').collect();
    // The address is the one that is written out most, whatever it takes.
    let all = OPERATIONS.values().flatten();
    let nearest = all.filter_map(|one| one.fits(&parts)).max();
    let of_method = OPERATIONS.get(method.as_str()).into_iter().flatten();
    let mut at_address = of_method.filter(|one| one.fits(&parts) == nearest);
    let Some(operation) = at_address.next().filter(|_| nearest.is_some()) else {
        return;
    };
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let kind = json["error"]["type"].as_str();
    // A fault of ours is no part of the contract. A test that brings one about looks for it.
    if status == 500 && kind == Some("internal") {
        return;
    }
    assert!(
        operation.told.contains_key(&status),
        "{method} {path} answered {status}, of which the OpenAPI document does not tell: {}",
        String::from_utf8_lossy(body)
    );
    if let Some(kind) = kind {
        let told = &operation.told[&status];
        assert!(
            told.contains(&format!("`{kind}`")),
            "{method} {path} answered {status} with {kind}, of which the OpenAPI document does not tell: {told}"
        );
    }
}
