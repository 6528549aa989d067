//! Which requests are work, and how their answers are read.
//!
//! The default is work: a `POST` to an inference server makes it work unless the route is known not to. `GET`, `HEAD`,
//! `OPTIONS`, `TRACE` and `DELETE` generate nothing on any server that is known, but for `/health_generate` of
//! TensorRT-LLM and SGLang: a health check that makes one token is not work that anybody pays.

use super::path::Path;
use crate::meter::Dialect;

/// What a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// Not work: it is passed on and leaves no receipt.
    Control,
    /// Work: it leaves one receipt.
    Work(Route),
}

/// Work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Language of the answer; `None` for a route that is not known, whose counts are looked for in every form.
    pub dialect: Option<Dialect>,
    /// Language of the servers that have this route; `None` for any.
    pub spoken_by: Option<Dialect>,
    /// Whether a stream of this route tells usage only where it is asked to.
    pub usage_on_demand: bool,
    /// The model, where the path names it.
    pub model: Option<String>,
    /// Whether it is work that nobody pays, such as counting tokens: no model runs.
    pub is_unpaid: bool,
    /// Whether servers read forms there. Elsewhere they read JSON whatever the content type says.
    pub takes_forms: bool,
}

impl Class {
    /// What a request of `method` to a request target, its query too, is. A path that cannot be read is work.
    pub fn of(method: &str, target: &str) -> Self {
        let path = Path::read(target);
        let is_read = matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "DELETE");
        if is_read || (!may_hide_a_path(target) && path.as_ref().is_some_and(is_control)) {
            return Self::Control;
        }
        let route = path.as_ref().map_or(Route::UNKNOWN, Route::of);
        if route.is_unpaid && may_hide_a_path(target) {
            return Self::Work(Route::UNKNOWN);
        }
        Self::Work(route)
    }
}

impl Route {
    /// A route that nothing is known of.
    pub const UNKNOWN: Self = Self {
        dialect: None,
        spoken_by: None,
        usage_on_demand: false,
        model: None,
        is_unpaid: false,
        takes_forms: true,
    };

    fn of(path: &Path) -> Self {
        let lower = path.lower();
        if let Some(route) = Self::of_triton(path) {
            return route;
        }
        Self::named(lower)
            .or_else(|| {
                // Behind a prefix of the owner's: `--api-prefix`, `--root-path`, a deployment's name.
                let starts = ["/v1/", "/api/", "/chat/completions"];
                let at = starts.iter().filter_map(|start| lower.rfind(start)).max()?;
                Self::named(lower.get(at..)?)
            })
            .unwrap_or(Self::UNKNOWN)
    }

    /// A route by its path in lower case.
    fn named(path: &str) -> Option<Self> {
        use Dialect::{Llama, Messages, Ollama, OpenAi, Responses, Tgi};
        Some(match path {
            "/v1/chat/completions" | "/chat/completions" | "/v1/completions" => Self {
                usage_on_demand: true,
                ..Self::spoken(OpenAi)
            },
            "/v1/embeddings"
            | "/rerank"
            | "/v1/rerank"
            | "/v2/rerank"
            | "/reranking"
            | "/v1/reranking"
            | "/score"
            | "/v1/score"
            | "/classify"
            | "/v1/classify"
            | "/pooling"
            | "/v1/pooling"
            | "/v1/moderations"
            | "/generative_scoring"
            | "/v1/generative_scoring" => Self::spoken(OpenAi),
            "/v1/audio/transcriptions" | "/v1/audio/translations" => Self {
                takes_forms: true,
                ..Self::spoken(OpenAi)
            },
            "/v1/images/edits" | "/v1/images/variations" => Self {
                spoken_by: Some(OpenAi),
                ..Self::UNKNOWN
            },
            "/v1/audio/speech"
            | "/v1/images/generations"
            | "/v2/embed"
            | "/inference/v1/generate" => Self {
                spoken_by: Some(OpenAi),
                takes_forms: false,
                ..Self::UNKNOWN
            },
            "/v1/responses" => Self::spoken(Responses),
            "/v1/messages" => Self::spoken(Messages),
            "/api/chat" | "/api/generate" | "/api/embed" | "/api/embeddings" => {
                Self::spoken(Ollama)
            }
            "/" | "/generate" | "/generate_stream" => Self::spoken(Tgi),
            "/completion" | "/completions" | "/infill" | "/embedding" | "/embeddings" => {
                Self::spoken(Llama)
            }
            "/invocations" => Self::UNKNOWN,
            "/v1/messages/count_tokens" => Self::unpaid(Some(Messages)),
            "/v1/chat/completions/render"
            | "/v1/completions/render"
            | "/v1/responses/input_tokens" => Self::unpaid(Some(OpenAi)),
            "/chat_tokenize" => Self::unpaid(Some(Tgi)),
            "/apply-template" => Self::unpaid(Some(Llama)),
            "/tokenize"
            | "/detokenize"
            | "/v1/tokenize"
            | "/v1/detokenize"
            | "/_internal/tokenize" => Self::unpaid(None),
            _ => return None,
        })
    }

    fn spoken(dialect: Dialect) -> Self {
        Self {
            dialect: Some(dialect),
            spoken_by: Some(dialect),
            takes_forms: false,
            ..Self::UNKNOWN
        }
    }

    fn unpaid(spoken_by: Option<Dialect>) -> Self {
        Self {
            spoken_by,
            is_unpaid: true,
            takes_forms: false,
            ..Self::UNKNOWN
        }
    }

    /// `/v2/models/NAME[/versions/N]/{generate,generate_stream,infer}`
    fn of_triton(path: &Path) -> Option<Self> {
        let mut parts = path.as_str().trim_start_matches('/').split('/');
        let is = |part: Option<&str>, wanted: &str| {
            part.is_some_and(|part| part.eq_ignore_ascii_case(wanted))
        };
        if !is(parts.next(), "v2") || !is(parts.next(), "models") {
            return None;
        }
        let name = parts.next().filter(|name| !name.is_empty())?;
        let last = parts.next_back()?;
        let rest: Vec<&str> = parts.collect();
        let is_version = matches!(rest[..], [word, _] if is(Some(word), "versions"));
        if !(rest.is_empty() || is_version) {
            return None;
        }
        let generates = is(Some(last), "generate") || is(Some(last), "generate_stream");
        (generates || is(Some(last), "infer")).then(|| Self {
            dialect: generates.then_some(Dialect::Triton),
            spoken_by: Some(Dialect::Triton),
            model: Some(name.to_owned()),
            takes_forms: false,
            ..Self::UNKNOWN
        })
    }
}

/// Whether there is a query that could be read as a path: some servers look at how the whole target ends.
fn may_hide_a_path(target: &str) -> bool {
    let query = target.split_once('?').map(|(_, query)| query);
    query.is_some_and(|query| query.contains(['/', '%', '\\']))
}

/// Routes that are known not to be work. Only a path that every server reads alike is one of them.
fn is_control(path: &Path) -> bool {
    const EXACT: [&str; 52] = [
        // Ollama
        "/api/show",
        "/api/pull",
        "/api/push",
        "/api/create",
        "/api/copy",
        "/api/delete",
        "/api/ps",
        "/api/tags",
        "/api/version",
        "/api/me",
        "/api/signin",
        "/api/signout",
        // vLLM
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        "/sleep",
        "/wake_up",
        "/is_sleeping",
        "/pause",
        "/resume",
        "/is_paused",
        "/reset_prefix_cache",
        "/reset_mm_cache",
        "/reset_encoder_cache",
        "/start_profile",
        "/stop_profile",
        "/scale_elastic_ep",
        "/is_scaling_elastic_ep",
        "/abort_requests",
        "/init_weight_transfer_engine",
        "/update_weights",
        "/get_world_size",
        // SGLang
        "/flush_cache",
        "/load_lora_adapter",
        "/unload_lora_adapter",
        "/abort_request",
        "/pause_generation",
        "/continue_generation",
        // TensorRT-LLM
        "/release_memory",
        "/resume_memory",
        "/kv_cache_events",
        "/steady_clock_offset",
        "/server_info",
        "/perf_metrics",
        // llama.cpp
        "/props",
        "/lora-adapters",
        "/models/load",
        "/models/unload",
        // Triton
        "/v2/repository/index",
        "/v2/logging",
        "/v2/trace/setting",
        // All
        "/v1/models",
        "/metrics",
    ];
    let text = path.as_str();
    path.is_plain() && (EXACT.contains(&text) || is_control_of_one(text))
}

/// Routes that name one thing: a blob, a slot, a model, a region of memory, a response. Their whole shape counts, for
/// some servers look only at how a path ends.
fn is_control_of_one(text: &str) -> bool {
    let parts: Vec<&str> = text.trim_start_matches('/').split('/').collect();
    let is_done_to_memory = |word| matches!(word, "status" | "register" | "unregister");
    match parts[..] {
        // Ollama
        ["api", "blobs", digest] => digest.starts_with("sha256"),
        // llama.cpp
        ["slots", number] => number.parse::<u32>().is_ok(),
        // Responses of vLLM and others
        ["v1", "responses", id, "cancel"] => !id.is_empty(),
        // Triton
        ["v2", "repository", "models", name, "load" | "unload"]
        | ["v2", "models", name, "trace", "setting"] => !name.is_empty(),
        ["v2", "systemsharedmemory" | "cudasharedmemory", word]
        | [
            "v2",
            "systemsharedmemory" | "cudasharedmemory",
            "region",
            _,
            word,
        ] => is_done_to_memory(word),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn work(path: &str) -> Route {
        match Class::of("POST", path) {
            Class::Work(route) => route,
            Class::Control => panic!("{path} is work"),
        }
    }

    #[test]
    fn a_post_is_work_unless_its_route_is_known_not_to_be() {
        for path in [
            "/api/show",
            "/api/pull",
            "//api/%70ull/",
            "/api/blobs/sha256%3Aab",
            "/v1/models",
            "/slots/0?action=save",
            "/v2/repository/models/m/load",
            "/v2/models/m/trace/setting",
            "/v1/responses/r-1/cancel",
        ] {
            assert_eq!(Class::of("POST", path), Class::Control, "{path}");
        }
        for path in [
            "/something/new",
            "/api/",
            "/api/SHOW",
            "/api/show/x",
            "/api/./show",
            "/api/show;x",
            "/v1/chat/completions/../../../api/show",
            "/api/%2573how",
            "/api/blobs/",
            "/slots/x",
            "/v1/models?/v1/chat/completions",
            "/api/show?x=%2Fv1%2Fchat%2Fcompletions",
            "/%zz",
            "*",
            "",
        ] {
            let route = work(path);
            assert_eq!((route.dialect, route.is_unpaid), (None, false), "{path}");
        }
    }

    #[test]
    fn methods_that_only_read_are_no_work_and_all_others_are() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "DELETE"] {
            assert_eq!(Class::of(method, "/v1/chat/completions"), Class::Control);
        }
        for method in ["POST", "PUT", "PATCH", "post", "get", "BREW"] {
            let class = Class::of(method, "/v1/chat/completions");
            assert!(matches!(class, Class::Work(route) if route.dialect == Some(Dialect::OpenAi)));
        }
    }

    #[test]
    fn routes_are_known_in_every_spelling() {
        for path in [
            "/v1/chat/completions",
            "/v1/chat/%63ompletions",
            "//v1/chat/completions",
            "/v1%2Fchat/completions",
            "/v1/chat/completions/",
            "/V1/Chat/Completions",
            "/x/../v1/chat/completions",
            "/prefix/v1/chat/completions",
            "/openai/deployments/m/chat/completions",
        ] {
            let route = work(path);
            assert_eq!(route.dialect, Some(Dialect::OpenAi), "{path}");
            assert!(route.usage_on_demand, "{path}");
        }
    }

    #[test]
    fn each_kind_of_work_is_read_in_its_language() {
        for (path, dialect, spoken_by) in [
            (
                "/v1/embeddings",
                Some(Dialect::OpenAi),
                Some(Dialect::OpenAi),
            ),
            ("/v1/rerank", Some(Dialect::OpenAi), Some(Dialect::OpenAi)),
            (
                "/v1/audio/transcriptions",
                Some(Dialect::OpenAi),
                Some(Dialect::OpenAi),
            ),
            ("/v1/images/generations", None, Some(Dialect::OpenAi)),
            (
                "/v1/responses",
                Some(Dialect::Responses),
                Some(Dialect::Responses),
            ),
            (
                "/v1/messages",
                Some(Dialect::Messages),
                Some(Dialect::Messages),
            ),
            ("/api/chat", Some(Dialect::Ollama), Some(Dialect::Ollama)),
            ("/", Some(Dialect::Tgi), Some(Dialect::Tgi)),
            ("/completion", Some(Dialect::Llama), Some(Dialect::Llama)),
            (
                "/v2/models/m/generate",
                Some(Dialect::Triton),
                Some(Dialect::Triton),
            ),
            (
                "/v2/models/m/versions/1/generate_stream",
                Some(Dialect::Triton),
                Some(Dialect::Triton),
            ),
            ("/v2/models/m/infer", None, Some(Dialect::Triton)),
            ("/invocations", None, None),
        ] {
            let route = work(path);
            assert_eq!(
                (route.dialect, route.spoken_by),
                (dialect, spoken_by),
                "{path}"
            );
            assert!(!route.is_unpaid, "{path}");
        }
        let model = |path| work(path).model;
        assert_eq!(
            model("/v2/models/M%2D1/versions/2/infer").as_deref(),
            Some("M-1")
        );
        for path in [
            "/v2/models/m",
            "/v2/models/infer",
            "/v2/models/m/x/1/infer",
            "/v2/models/m/versions/infer",
        ] {
            assert_eq!(model(path), None, "{path}");
        }
    }

    #[test]
    fn counting_tokens_is_work_that_nobody_pays() {
        for path in [
            "/tokenize",
            "/detokenize",
            "/v1/messages/count_tokens",
            "/apply-template",
            "/chat_tokenize",
        ] {
            assert!(work(path).is_unpaid, "{path}");
        }
    }

    proptest! {
        #[test]
        fn nothing_behind_a_control_path_makes_work_of_it_unseen(
            control in prop_oneof![
                Just("/v1/models"), Just("/api/show"), Just("/slots/0"), Just("/api/blobs/sha256:a"), Just("/tokenize"),
                Just("/v2/repository/models/m/load"), Just("/v1/responses/r/cancel"), Just("/sleep"),
            ],
            between in prop_oneof![Just(""), Just("/"), Just("?"), Just("?x="), Just("//"), Just("/x"), Just("?a&b=")],
            work in prop_oneof![Just("/v1/chat/completions"), Just("/api/generate"), Just("%2fv1%2fcompletions")],
        ) {
            let Class::Work(route) = Class::of("POST", &format!("{control}{between}{work}")) else {
                panic!("{control}{between}{work} is work");
            };
            prop_assert!(!route.is_unpaid);
        }

        #[test]
        fn no_spelling_turns_work_into_control(
            path in prop_oneof![Just("/v1/chat/completions"), Just("/api/generate"), Just("/rerank")],
            at in 0usize..20,
            put in prop_oneof![Just("/"), Just("/./"), Just("%2F"), Just(";a"), Just("%00"), Just("/../"), Just("%")],
        ) {
            let at = at.min(path.len());
            let spelled = format!("{}{put}{}", &path[..at], &path[at..]);
            prop_assert!(matches!(Class::of("POST", &spelled), Class::Work(_)), "{}", spelled);
        }
    }
}
