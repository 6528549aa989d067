//! Playing one exchange with a simulated runtime, and the shapes that it is compared by.

use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};
use std::path::Path;

/// Members whose text is part of the shape.
const FIXED: [&str; 10] = [
    "object",
    "role",
    "owned_by",
    "type",
    "done_reason",
    "router",
    "stop_type",
    "error_type",
    "finish_reason",
    "max_concurrent_requests",
];

pub(crate) fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("exchanges")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// The shape of JSON text; keeps the order of its members.
struct Shaper<'a> {
    rest: &'a [u8],
}

impl Shaper<'_> {
    fn string(&mut self) -> String {
        let mut end = 1;
        while self.rest[end] != b'"' {
            end += if self.rest[end] == b'\\' { 2 } else { 1 };
        }
        let text = String::from_utf8(self.rest[1..end].to_vec()).unwrap();
        self.rest = &self.rest[end + 1..];
        text
    }

    fn value(&mut self, member: &str) -> String {
        match self.rest[0] {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => {
                let text = self.string();
                if FIXED.contains(&member) {
                    format!("\"{text}\"")
                } else {
                    "s".to_owned()
                }
            }
            _ => {
                let end = self
                    .rest
                    .iter()
                    .position(|b| b",]}".contains(b))
                    .unwrap_or(self.rest.len());
                let word = String::from_utf8(self.rest[..end].to_vec()).unwrap();
                self.rest = &self.rest[end..];
                match word.as_str() {
                    "null" => word,
                    "true" | "false" => "b".to_owned(),
                    _ => "n".to_owned(),
                }
            }
        }
    }

    fn object(&mut self) -> String {
        let mut out = String::from("{");
        self.rest = &self.rest[1..];
        while self.rest[0] != b'}' {
            if self.rest[0] == b',' {
                self.rest = &self.rest[1..];
                out.push(',');
            }
            let key = self.string();
            assert_eq!(self.rest[0], b':', "no space after a key");
            self.rest = &self.rest[1..];
            out.push_str(&format!("{key}:{}", self.value(&key)));
        }
        self.rest = &self.rest[1..];
        out + "}"
    }

    fn array(&mut self) -> String {
        let mut items: Vec<String> = Vec::new();
        self.rest = &self.rest[1..];
        while self.rest[0] != b']' {
            if self.rest[0] == b',' {
                self.rest = &self.rest[1..];
            }
            items.push(self.value(""));
        }
        self.rest = &self.rest[1..];
        items.dedup();
        format!("[{}]", items.join(","))
    }
}

pub(crate) fn json_shape(text: &str) -> String {
    let mut shaper = Shaper {
        rest: text.as_bytes(),
    };
    let shape = shaper.value("");
    shape
        + &String::from_utf8_lossy(shaper.rest)
            .escape_debug()
            .to_string()
}

/// Splits where `separator` ends a piece; every piece keeps it.
fn stream_shape(text: &str) -> Vec<String> {
    let separator = if text.contains("\n\n") { "\n\n" } else { "\n" };
    let mut shapes: Vec<String> = text
        .split_inclusive(separator)
        .map(|piece| match piece.find('{') {
            Some(start) => piece[..start].to_owned() + &json_shape(&piece[start..]),
            None => piece.escape_debug().to_string(),
        })
        .collect();
    shapes.dedup();
    shapes
}

pub(crate) struct Case {
    kind: Kind,
    set: fn(&mut SimConfig),
    method: &'static str,
    path: &'static str,
    body: String,
    fixture: &'static str,
}

pub(crate) fn case(
    kind: Kind,
    method: &'static str,
    path: &'static str,
    body: &str,
    fixture: &'static str,
) -> Case {
    Case {
        kind,
        set: |_| {},
        method,
        path,
        body: body.to_owned(),
        fixture,
    }
}

impl Case {
    pub(crate) fn with(mut self, set: fn(&mut SimConfig)) -> Self {
        self.set = set;
        self
    }
}

pub(crate) async fn send(url: &str, case: &Case) -> (u16, String) {
    // Fails only where a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let method = reqwest::Method::from_bytes(case.method.as_bytes()).unwrap();
    let request = client
        .request(method, format!("{url}{}", case.path))
        .body(case.body.clone());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The status that the name of a fixture tells.
pub(crate) fn expected_status(name: &str) -> u16 {
    if name == "triton_error_unknown_model.json" {
        return 404;
    }
    let stem = name.rsplit_once('.').unwrap().0.trim_end_matches("_legacy");
    let last = stem.rsplit('_').next().unwrap().trim_start_matches("err");
    last.parse()
        .ok()
        .filter(|status| *status >= 200)
        .unwrap_or(200)
}

pub(crate) async fn check(case: Case) {
    let mut config = SimConfig::new(case.kind);
    config.answer_tokens = Some(5);
    // A seed whose five tokens are five whole characters.
    config.seed = 3;
    (case.set)(&mut config);
    let runtime = SimRuntime::start(config).await.unwrap();
    let (status, answer) = send(&runtime.url(), &case).await;
    let wanted = fixture(case.fixture);
    let what = format!("{} {} against {}", case.kind, case.path, case.fixture);
    assert_eq!(status, expected_status(case.fixture), "{what}: {answer}");
    if case.fixture.ends_with(".txt") {
        assert_eq!(answer, wanted, "{what}");
    } else if case.fixture.ends_with(".json") {
        assert_eq!(json_shape(&answer), json_shape(&wanted), "{what}");
    } else {
        assert_eq!(stream_shape(&answer), stream_shape(&wanted), "{what}");
    }
}

pub(crate) fn chat(model: &str, rest: &str) -> String {
    format!(
        "{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"What is it?\"}}]{rest}}}"
    )
}

pub(crate) const USAGE: &str = ",\"stream\":true,\"stream_options\":{\"include_usage\":true}";
