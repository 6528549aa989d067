//! Which runtime a request is for.

use crate::runtime::{FoundRuntime, RuntimeKind};
use dgon_agent_core::meter::Dialect;
use dgon_agent_core::request::{Body, Model, Path, Route};

/// Work that was read.
pub(super) struct WorkRequest<'a> {
    pub(super) route: &'a Route,
    pub(super) body: &'a Body,
}

impl WorkRequest<'_> {
    /// The model that a kind of runtime reads in the request; what the path names comes first.
    pub(super) fn model(&self, kind: RuntimeKind) -> Model {
        match &self.route.model {
            Some(name) => Model::Named(name.clone()),
            None => self.body.model(kind.behaviour().keys).clone(),
        }
    }

    /// The runtime that the work, which was asked for under this path, is for.
    pub(super) fn choose<'f>(
        &self,
        found: &'f [FoundRuntime],
        path: &str,
    ) -> Option<&'f FoundRuntime> {
        let is_known = self.route.spoken_by.is_some();
        let path = (!is_known).then(|| Path::read(path)).flatten();
        choose(found, |runtime| Criteria {
            speaks: match self.route.spoken_by {
                Some(_) => self.is_spoken_by(runtime.kind),
                None => path
                    .as_ref()
                    .is_none_or(|path| runtime.kind.answers(path.as_str())),
            },
            model: self.model(runtime.kind).name().map(str::to_owned),
        })
    }

    /// Whether a kind of runtime is known to serve the route.
    pub(super) fn is_spoken_by(&self, kind: RuntimeKind) -> bool {
        let dialect = self.route.spoken_by;
        dialect.is_some_and(|dialect| kind.behaviour().speaks.contains(&dialect))
    }
}

/// The runtime for a request that is no work.
pub(super) fn choose_to_pass<'f>(
    found: &'f [FoundRuntime],
    path: &str,
) -> Option<&'f FoundRuntime> {
    choose(found, |runtime| Criteria {
        speaks: if path.starts_with("/v1/") {
            let spoken = runtime.kind.behaviour().speaks;
            spoken.contains(&Dialect::OpenAi)
        } else {
            runtime.kind.answers(path)
        },
        model: path.strip_prefix("/v1/models/").map(str::to_owned),
    })
}

/// What a request wants of a runtime.
struct Criteria {
    /// Whether the runtime has the route.
    speaks: bool,
    /// The model that the runtime reads in it.
    model: Option<String>,
}

/// Picks the runtime for a request: one that speaks the route, has the model and is ready, in that order of
/// weight; the first listed among equals. A runtime that has none of these still gets the request, for its own
/// answer tells the client more than ours could. Where a runtime has the model served elsewhere, only runtimes that
/// have the model are asked: such a request is never turned into work of another.
fn choose(
    found: &[FoundRuntime],
    criteria: impl Fn(&FoundRuntime) -> Criteria,
) -> Option<&FoundRuntime> {
    let mut best: Option<(&FoundRuntime, [bool; 4])> = None;
    for runtime in found {
        let criteria = criteria(runtime);
        let named = |has: &dyn Fn(&str) -> bool| criteria.model.as_deref().is_some_and(has);
        let lists = named(&|name| runtime.model(name).is_some());
        let rank = [
            // The same for all where the model is nowhere served elsewhere.
            named(&|name| runtime.is_remote(name))
                || lists && named(&|name| found.iter().any(|one| one.is_remote(name))),
            criteria.speaks,
            lists || named(&|name| runtime.lists_remote(name)),
            runtime.is_ready(),
        ];
        if best.is_none_or(|(_, seen)| rank > seen) {
            best = Some((runtime, rank));
        }
    }
    best.map(|(runtime, _)| runtime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Endpoint, Readiness};
    use dgon_agent_core::request::Class;

    fn runtime(kind: RuntimeKind, port: u16, ready: bool, models: &[&str]) -> FoundRuntime {
        let mut runtime = FoundRuntime::new(kind, Endpoint::new("127.0.0.1", port));
        if !ready {
            runtime.readiness = Readiness::Loading;
        }
        runtime.models = models.iter().map(|id| model(id)).collect();
        runtime
    }

    fn model(id: &str) -> dgon_protocol::frame::Model {
        dgon_protocol::frame::Model {
            id: id.to_owned(),
            digest: None,
            size_bytes: None,
            loaded: None,
        }
    }

    fn port_for(found: &[FoundRuntime], path: &str, model: Option<&str>) -> Option<u16> {
        let Class::Work(route) = Class::of("POST", path) else {
            panic!("{path} is work");
        };
        let body = serde_json::json!({ "model": model }).to_string();
        let asked = WorkRequest {
            route: &route,
            body: &Body::read(body.as_bytes(), None, None),
        };
        let runtime = asked.choose(found, path);
        runtime.map(|runtime| runtime.endpoint.port())
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

    #[test]
    fn a_model_that_is_elsewhere_goes_to_none_but_who_has_it() {
        let mut ollama = runtime(RuntimeKind::Ollama, 2, false, &["local"]);
        ollama.remote_models = vec!["far:latest".to_owned()];
        let found = [
            runtime(RuntimeKind::Vllm, 1, true, &["m"]),
            ollama,
            runtime(RuntimeKind::LlamaCpp, 3, true, &["shared:cloud"]),
        ];
        for path in ["/v1/chat/completions", "/api/chat", "/generate", "/new"] {
            assert_eq!(port_for(&found, path, Some("far")), Some(2), "{path}");
            assert_eq!(port_for(&found, path, Some("x:cloud")), Some(2), "{path}");
        }
        let chat = "/v1/chat/completions";
        assert_eq!(port_for(&found, chat, Some("shared:cloud")), Some(3));
        assert_eq!(port_for(&found, chat, Some("m")), Some(1));
    }
}
