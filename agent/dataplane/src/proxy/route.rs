//! Which requests are work that gets a receipt, and which runtime a request is for.

use crate::runtime::{FoundRuntime, RuntimeKind};
use dgon_agent_core::meter::Dialect;
use http::Method;

/// Work that gets a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Work {
    /// Language of the answer.
    pub(super) dialect: Dialect,
    /// Whether a stream of this route tells usage only where it is asked to.
    pub(super) usage_on_demand: bool,
    /// The model, where the path names it.
    pub(super) model: Option<String>,
}

impl Work {
    /// The work that a request names; `None` for everything that is only passed through.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        if method != Method::POST {
            return None;
        }
        let (dialect, usage_on_demand) = match path {
            "/v1/chat/completions" | "/chat/completions" | "/v1/completions" => {
                (Dialect::OpenAi, true)
            }
            "/v1/embeddings" => (Dialect::OpenAi, false),
            "/v1/responses" => (Dialect::Responses, false),
            "/v1/messages" => (Dialect::Messages, false),
            "/api/chat" | "/api/generate" | "/api/embed" | "/api/embeddings" => {
                (Dialect::Ollama, false)
            }
            "/" | "/generate" | "/generate_stream" => (Dialect::Tgi, false),
            "/completion" | "/completions" | "/infill" | "/embedding" | "/embeddings" => {
                (Dialect::Llama, false)
            }
            _ => return Self::of_triton(path),
        };
        Some(Self {
            dialect,
            usage_on_demand,
            model: None,
        })
    }

    /// `/v2/models/NAME[/versions/N]/generate[_stream]`
    fn of_triton(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/v2/models/")?;
        let rest = rest
            .strip_suffix("/generate")
            .or_else(|| rest.strip_suffix("/generate_stream"))?;
        let name = rest.split('/').next().filter(|name| !name.is_empty())?;
        Some(Self {
            dialect: Dialect::Triton,
            usage_on_demand: false,
            model: Some(name.to_owned()),
        })
    }
}

/// Picks the runtime for a request: one that speaks the route, has the model and is ready, in that order of
/// weight; the first listed among equals. A runtime that has none of these still gets the request, for its own
/// answer tells the client more than ours could.
pub(super) fn choose<'f>(
    found: &'f [FoundRuntime],
    work: Option<&Work>,
    path: &str,
    model: Option<&str>,
) -> Option<&'f FoundRuntime> {
    let mut best: Option<(&FoundRuntime, (bool, bool, bool))> = None;
    for runtime in found {
        let rank = (
            speaks(runtime.kind, work.map(|work| work.dialect), path),
            model.is_some_and(|name| runtime.model(name).is_some()),
            runtime.is_ready(),
        );
        if best.is_none_or(|(_, seen)| rank > seen) {
            best = Some((runtime, rank));
        }
    }
    best.map(|(runtime, _)| runtime)
}

fn speaks(kind: RuntimeKind, dialect: Option<Dialect>, path: &str) -> bool {
    let spoken = kind.behaviour().speaks;
    match dialect {
        Some(dialect) => spoken.contains(&dialect),
        None if path.starts_with("/v1/") => spoken.contains(&Dialect::OpenAi),
        None => kind.answers(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Endpoint, Readiness};
    use dgon_protocol::frame::Model;

    fn runtime(kind: RuntimeKind, port: u16, ready: bool, models: &[&str]) -> FoundRuntime {
        let mut runtime = FoundRuntime::new(kind, Endpoint::new("127.0.0.1", port));
        if !ready {
            runtime.readiness = Readiness::Loading;
        }
        runtime.models = models.iter().map(|id| model(id)).collect();
        runtime
    }

    fn model(id: &str) -> Model {
        Model {
            id: id.to_owned(),
            digest: None,
            size_bytes: None,
            loaded: None,
        }
    }

    fn port_for(found: &[FoundRuntime], path: &str, model: Option<&str>) -> Option<u16> {
        let work = Work::of(&Method::POST, path);
        choose(found, work.as_ref(), path, model).map(|runtime| runtime.endpoint.port())
    }

    #[test]
    fn only_posts_that_make_a_runtime_work_are_metered() {
        for path in [
            "/v1/chat/completions",
            "/v1/embeddings",
            "/api/chat",
            "/generate_stream",
            "/completion",
            "/v2/models/m/generate",
            "/v2/models/m/versions/1/generate_stream",
        ] {
            assert!(Work::of(&Method::POST, path).is_some(), "{path}");
            assert!(Work::of(&Method::GET, path).is_none(), "{path}");
        }
        for path in [
            "/v1/models",
            "/api/tags",
            "/api/show",
            "/api/pull",
            "/v2/models/m",
            "/v2/models//generate",
        ] {
            assert!(Work::of(&Method::POST, path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_request_goes_where_its_model_is() {
        let found = [
            runtime(RuntimeKind::Ollama, 1, true, &["llama3.1:latest"]),
            runtime(RuntimeKind::Vllm, 2, true, &["acme/tiny", "shared"]),
            runtime(RuntimeKind::Vllm, 3, false, &["late", "shared"]),
        ];
        let chat = "/v1/chat/completions";
        assert_eq!(port_for(&found, chat, Some("llama3.1")), Some(1));
        assert_eq!(port_for(&found, chat, Some("acme/tiny")), Some(2));
        assert_eq!(port_for(&found, chat, Some("shared")), Some(2));
        assert_eq!(port_for(&found, chat, Some("late")), Some(3));
        assert_eq!(port_for(&found, chat, Some("nobody has it")), Some(1));
        assert_eq!(port_for(&found, "/api/chat", Some("acme/tiny")), Some(1));
        assert_eq!(port_for(&found, "/generate", None), Some(1));
        assert_eq!(port_for(&[], chat, None), None);
    }
}
