//! vLLM 0.33's OpenAI server.
//!
//! Particular: refuses connections until it is ready; `Server: uvicorn`; an explicit null for many unset fields;
//! the end mark counts as a token and half a character is a chunk without text; usage only where it was asked for;
//! cached tokens in whole blocks and only with `--enable-prompt-tokens-details`; overload of a stream comes as an
//! event under status 200; a full Prometheus endpoint.

use super::answer::{Answer, Asked, Call, DONE, Job, Piece, Plain, Reply, event, js};
use super::engine::{Sim, unix_now};
use super::text::{Finish, Generation, Prompt, hex64};
use serde_json::Value;

const VERSION: &str = "0.33.0";
const LEGACY_VERSION: &str = "0.10.0";
const FINGERPRINT: &str = "vllm-0.33.0-5e1c9a70";
/// Tokens in a block of the prefix cache.
const BLOCK: u32 = 16;
const BUSY: &str = "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.";

pub(super) fn answer(sim: &Sim, call: &Call) -> Answer {
    let plain = match route(sim, call) {
        Answer::Generate(mut job) => {
            job.overloaded = job.overloaded.with("server", "uvicorn");
            job.failed = job.failed.with("server", "uvicorn");
            match &mut job.reply {
                Reply::Whole(plain) | Reply::Stream { head: plain, .. } => {
                    plain.headers.push(("server", "uvicorn".to_owned()));
                }
            }
            return Answer::Generate(job);
        }
        Answer::Refused(plain) => return Answer::Refused(plain.with("server", "uvicorn")),
        Answer::Now(plain) => plain,
    };
    plain.with("server", "uvicorn").into()
}

fn route(sim: &Sim, call: &Call) -> Answer {
    let read = call.method == "GET";
    if let Some(key) = &sim.config.api_key
        && call.path.starts_with("/v1/")
        && !call.has_bearer(key)
    {
        return Plain::json(401, "{\"error\":\"Unauthorized\"}").into();
    }
    match (call.path.as_str(), read) {
        ("/health" | "/ping", true) => Plain::new(200, "", "").into(),
        ("/version", true) => {
            Plain::json(200, format!("{{\"version\":\"{}\"}}", version(sim))).into()
        }
        ("/load", true) => Plain::json(200, "{\"server_load\":0}").into(),
        ("/v1/models", true) => Plain::json(200, models(sim)).into(),
        ("/metrics", true) => Plain::new(
            200,
            "text/plain; version=1.0.0; charset=utf-8",
            metrics(sim),
        )
        .into(),
        ("/v1/chat/completions" | "/v1/completions", false) => generate(sim, call),
        ("/v1/embeddings", false) => embeddings(sim, call),
        ("/tokenize", false) => tokenize(sim, call),
        (
            "/health"
            | "/ping"
            | "/version"
            | "/load"
            | "/v1/models"
            | "/metrics"
            | "/v1/chat/completions"
            | "/v1/completions"
            | "/v1/embeddings"
            | "/tokenize",
            _,
        ) => Plain::json(405, "{\"detail\":\"Method Not Allowed\"}").into(),
        _ => Plain::json(404, "{\"detail\":\"Not Found\"}").into(),
    }
}

fn version(sim: &Sim) -> &'static str {
    if sim.config.legacy {
        LEGACY_VERSION
    } else {
        VERSION
    }
}

fn error(sim: &Sim, status: u16, kind: &str, message: &str, param: Option<&str>) -> Plain {
    let (message, param) = (js(message), param.map_or("null".to_owned(), js));
    let body = if sim.config.legacy {
        format!(
            "{{\"object\":\"error\",\"message\":{message},\"type\":\"{kind}\",\"param\":null,\"code\":{status}}}"
        )
    } else {
        format!(
            "{{\"error\":{{\"message\":{message},\"type\":\"{kind}\",\"param\":{param},\"code\":{status}}}}}"
        )
    };
    Plain::json(status, body)
}

fn models(sim: &Sim) -> String {
    let (created, context) = (unix_now().as_secs(), sim.config.context);
    let model = |name: &String| {
        let (id, permission) = (js(name), &hex64(name)[..32]);
        format!(
            "{{\"id\":{id},\"object\":\"model\",\"created\":{created},\"owned_by\":\"vllm\",\"root\":{id},\"parent\":null,\
             \"max_model_len\":{context},\"permission\":[{{\"id\":\"modelperm-{permission}\",\"object\":\"model_permission\",\
             \"created\":{created},\"allow_create_engine\":false,\"allow_sampling\":true,\"allow_logprobs\":true,\
             \"allow_search_indices\":false,\"allow_view\":true,\"allow_fine_tuning\":false,\"organization\":\"*\",\
             \"group\":null,\"is_blocking\":false}}]}}"
        )
    };
    let models: Vec<String> = sim.config.models.iter().map(model).collect();
    format!("{{\"object\":\"list\",\"data\":[{}]}}", models.join(","))
}

/// Reads the body; refuses what vLLM refuses.
fn accept(sim: &Sim, call: &Call, required: &str) -> Result<(Value, String), Answer> {
    let Some(body @ Value::Object(_)) = call.json() else {
        let message = "1 validation error:\n  {'type': 'json_invalid', 'loc': 'body', 'msg': 'JSON decode error'}";
        return Err(Answer::Refused(error(
            sim,
            400,
            "Bad Request",
            message,
            Some("body"),
        )));
    };
    if body[required].is_null() {
        let count = body.as_object().map_or(0, serde_json::Map::len);
        let message = format!(
            "1 validation error:\n  {{'type': 'missing', 'loc': 'body.{required}', 'msg': 'Field required', \
             'input': '<dict of {count} items>'}}"
        );
        let param = format!("body.{required}");
        return Err(Answer::Refused(error(
            sim,
            400,
            "Bad Request",
            &message,
            Some(&param),
        )));
    }
    let model = body["model"]
        .as_str()
        .unwrap_or(sim.config.model())
        .to_owned();
    if !sim.config.models.contains(&model) {
        let message = format!("The model `{model}` does not exist.");
        return Err(Answer::Refused(error(
            sim,
            404,
            "NotFoundError",
            &message,
            Some("model"),
        )));
    }
    Ok((body, model))
}

fn overflow(sim: &Sim, prompt: &Prompt) -> Option<Answer> {
    let (context, length) = (sim.config.context, prompt.len());
    (length > context).then(|| {
        let message = format!(
            "This model's maximum context length is {context} tokens. However, your prompt contains {length} input \
             tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input \
             prompt. (parameter=input_tokens, value={length})"
        );
        Answer::Refused(error(sim, 400, "BadRequestError", &message, Some("input_tokens")))
    })
}

fn generate(sim: &Sim, call: &Call) -> Answer {
    let chat = call.path == "/v1/chat/completions";
    let (body, model) = match accept(sim, call, if chat { "messages" } else { "prompt" }) {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let asked = Asked::read(&body);
    if !asked.stream && !body["stream_options"].is_null() {
        let message = "Stream options can only be defined when `stream=True`.";
        return Answer::Refused(error(
            sim,
            400,
            "Bad Request",
            message,
            Some("stream_options"),
        ));
    }
    let prompt = if chat {
        Prompt::of_messages(&body["messages"])
    } else {
        Prompt::of_prompt(&body["prompt"])
    };
    if let Some(refused) = overflow(sim, &prompt) {
        return refused;
    }
    let cached = sim.cached_prefix(&prompt).min(prompt.len() - 1) / BLOCK * BLOCK;
    // The completion route has a default limit of its own.
    let limit = asked.limit.or((!chat).then_some(16));
    let generation = Generation::plan(&sim.config, &prompt, cached, limit, asked.seed);
    let given = call
        .headers
        .get("x-request-id")
        .and_then(|id| id.to_str().ok());
    let number = sim.log().stats.requests;
    let id = given.map_or_else(
        || hex64(&format!("{}:{number}", sim.config.seed))[..32].to_owned(),
        str::to_owned,
    );
    let silent = sim.faults().no_usage;
    let form = Form {
        id: js(&format!("{}{id}", if chat { "chatcmpl-" } else { "cmpl-" })),
        created: unix_now().as_secs(),
        model: js(&model),
        chat,
        usage: asked.include_usage && !silent,
        running: asked.include_usage && asked.continuous_usage == Some(true) && !silent,
        details: sim.config.prompt_details,
    };
    let reply = if asked.stream {
        form.stream(&generation)
    } else {
        form.whole(&generation, silent)
    };
    job(sim, generation, reply, asked.stream)
}

fn job(sim: &Sim, generation: Generation, reply: Reply, stream: bool) -> Answer {
    let busy = error(sim, 503, "Service Unavailable", BUSY, None);
    let overloaded = if stream {
        // This one event is written by another encoder, which puts spaces after its separators.
        let data = format!(
            "{{\"error\": {{\"message\": {}, \"type\": \"Service Unavailable\", \"param\": null, \"code\": 503}}}}",
            js(BUSY)
        );
        Plain::new(200, "", event(&data) + DONE)
    } else {
        busy
    };
    Answer::Generate(Box::new(Job {
        output_tokens: generation.output_tokens_with_end(),
        generation,
        reply,
        overloaded,
        failed: error(
            sim,
            500,
            "InternalServerError",
            "Internal server error",
            None,
        ),
        load: std::time::Duration::ZERO,
    }))
}

/// Writes the OpenAI form.
struct Form {
    id: String,
    created: u64,
    model: String,
    chat: bool,
    usage: bool,
    running: bool,
    details: bool,
}

impl Form {
    fn head(&self, object: &str) -> String {
        let Self {
            id, created, model, ..
        } = self;
        format!("\"id\":{id},\"object\":\"{object}\",\"created\":{created},\"model\":{model}")
    }

    fn running_usage(&self, input: u32, output: u32) -> String {
        if !self.running {
            return String::new();
        }
        let total = input + output;
        format!(
            ",\"usage\":{{\"prompt_tokens\":{input},\"total_tokens\":{total},\"completion_tokens\":{output},\
             \"completion_tokens_details\":null}}"
        )
    }

    /// One token: `finish` on the last.
    fn token(
        &self,
        generation: &Generation,
        text: &str,
        output: u32,
        finish: Option<&str>,
    ) -> String {
        let text = js(text);
        let (reason, stop, weights) = match finish {
            Some(finish) => (
                js(finish),
                ",\"stop_reason\":null",
                ",\"weight_versions\":null",
            ),
            None => ("null".to_owned(), "", ""),
        };
        let usage = self.running_usage(generation.prompt_tokens, output);
        let (object, choice) = if self.chat {
            let choice = format!(
                "{{\"index\":0,\"delta\":{{\"content\":{text}}},\"logprobs\":null,\"finish_reason\":{reason}{stop},\
                 \"token_ids\":null{weights}}}"
            );
            ("chat.completion.chunk", choice)
        } else {
            let choice = format!(
                "{{\"index\":0,\"text\":{text},\"logprobs\":null,\"finish_reason\":{reason},\"stop_reason\":null,\
                 \"prompt_token_ids\":null,\"token_ids\":null,\"weight_versions\":null}}"
            );
            ("text_completion", choice)
        };
        // The fingerprint stands on the last JSON chunk alone.
        let fingerprint = if finish.is_some() && !self.usage {
            format!(",\"system_fingerprint\":\"{FINGERPRINT}\"")
        } else {
            String::new()
        };
        event(&format!(
            "{{{},\"choices\":[{choice}]{usage}{fingerprint},\"kv_transfer_params\":null}}",
            self.head(object)
        ))
    }

    fn role(&self, generation: &Generation) -> String {
        let usage = self.running_usage(generation.prompt_tokens, 0);
        event(&format!(
            "{{{},\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"logprobs\":null,\
             \"finish_reason\":null}}]{usage},\"prompt_token_ids\":null,\"prompt_text\":null}}",
            self.head("chat.completion.chunk")
        ))
    }

    fn final_usage(&self, generation: &Generation) -> String {
        let (input, output) = (
            generation.prompt_tokens,
            generation.output_tokens_with_end(),
        );
        let details = match (self.details, self.chat) {
            (false, _) => String::new(),
            (true, true) => format!(
                ",\"prompt_tokens_details\":{{\"cached_tokens\":{},\"created_cache_tokens\":0}}",
                generation.cached_tokens
            ),
            (true, false) => format!(
                ",\"prompt_tokens_details\":{{\"cached_tokens\":{}}}",
                generation.cached_tokens
            ),
        };
        let object = if self.chat {
            "chat.completion.chunk"
        } else {
            "text_completion"
        };
        let total = input + output;
        event(&format!(
            "{{{},\"choices\":[],\"usage\":{{\"prompt_tokens\":{input},\"total_tokens\":{total},\
             \"completion_tokens\":{output}{details}}},\"system_fingerprint\":\"{FINGERPRINT}\"}}",
            self.head(object)
        ))
    }

    fn stream(&self, generation: &Generation) -> Reply {
        let end = generation.output_tokens_with_end();
        let mut pieces = Vec::new();
        if self.chat {
            pieces.push(Piece::new(1, self.role(generation)));
        }
        let last = generation.tokens.len();
        for (index, token) in generation.tokens.iter().enumerate() {
            let at = index as u32 + 1;
            let finish =
                (index + 1 == last && generation.finish == Finish::Length).then_some("length");
            pieces.push(Piece::new(
                at,
                self.token(generation, token.text, at, finish),
            ));
        }
        if generation.finish == Finish::Stop {
            pieces.push(Piece::new(
                end,
                self.token(generation, "", end, Some("stop")),
            ));
        }
        if self.usage {
            pieces.push(Piece::new(end, self.final_usage(generation)));
        }
        pieces.push(Piece::terminal(end, DONE));
        let failed = "{\"error\":{\"message\":\"Internal server error\",\"type\":\"InternalServerError\",\"param\":null,\"code\":500}}";
        Reply::Stream {
            head: Plain::new(200, "text/event-stream; charset=utf-8", ""),
            head_with_first: false,
            pieces,
            error: vec![event(failed).into(), DONE.into()],
            fails_inside: true,
        }
    }

    fn whole(&self, generation: &Generation, silent: bool) -> Reply {
        let (text, input, output) = (
            js(&generation.text()),
            generation.prompt_tokens,
            generation.output_tokens_with_end(),
        );
        let finish = match generation.finish {
            Finish::Stop => "stop",
            Finish::Length => "length",
        };
        let created_cache = if self.chat { "0" } else { "null" };
        let details = if self.details {
            format!(
                "{{\"cached_tokens\":{},\"created_cache_tokens\":{created_cache},\"multimodal_tokens\":null}}",
                generation.cached_tokens
            )
        } else {
            "null".to_owned()
        };
        let usage = if silent {
            "null".to_owned()
        } else {
            format!(
                "{{\"prompt_tokens\":{input},\"total_tokens\":{},\"completion_tokens\":{output},\
                 \"prompt_tokens_details\":{details},\"completion_tokens_details\":null}}",
                input + output
            )
        };
        let body = if self.chat {
            format!(
                "{{{},\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{text},\"refusal\":null,\
                 \"annotations\":null,\"audio\":null,\"function_call\":null,\"reasoning\":null}},\"logprobs\":null,\
                 \"finish_reason\":\"{finish}\",\"stop_reason\":null,\"token_ids\":null,\"routed_experts\":null,\
                 \"weight_versions\":null}}],\"service_tier\":null,\"system_fingerprint\":\"{FINGERPRINT}\",\"usage\":{usage},\
                 \"prompt_logprobs\":null,\"prompt_token_ids\":null,\"prompt_text\":null,\"kv_transfer_params\":null,\
                 \"ec_transfer_params\":null,\"metrics\":null}}",
                self.head("chat.completion")
            )
        } else {
            format!(
                "{{{},\"choices\":[{{\"index\":0,\"text\":{text},\"logprobs\":null,\"finish_reason\":\"{finish}\",\
                 \"stop_reason\":null,\"token_ids\":null,\"prompt_logprobs\":null,\"prompt_token_ids\":null,\
                 \"routed_experts\":null}}],\"service_tier\":null,\"system_fingerprint\":\"{FINGERPRINT}\",\"usage\":{usage},\
                 \"kv_transfer_params\":null,\"ec_transfer_params\":null,\"metrics\":null}}",
                self.head("text_completion")
            )
        };
        Reply::Whole(Plain::json(200, body))
    }
}

fn embeddings(sim: &Sim, call: &Call) -> Answer {
    let (body, model) = match accept(sim, call, "input") {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let prompt = Prompt::of_prompt(&body["input"]);
    if let Some(refused) = overflow(sim, &prompt) {
        return refused;
    }
    let (count, model, created) = (prompt.len(), js(&model), unix_now().as_secs());
    let usage = if sim.faults().no_usage {
        String::new()
    } else {
        format!(
            ",\"usage\":{{\"prompt_tokens\":{count},\"total_tokens\":{count},\"completion_tokens\":0,\
             \"prompt_tokens_details\":null}}"
        )
    };
    let written = format!(
        "{{\"id\":\"embd-{}\",\"object\":\"list\",\"created\":{created},\"model\":{model},\"data\":[{{\"index\":0,\
         \"object\":\"embedding\",\"embedding\":[0.5,-0.5,0.5,-0.5]}}]{usage}}}",
        &hex64(&model)[..32]
    );
    let tokens = Vec::new();
    // Nothing is generated, so there is no end mark to count either.
    let generation = Generation {
        prompt_tokens: count,
        cached_tokens: 0,
        tokens,
        finish: Finish::Length,
    };
    job(
        sim,
        generation,
        Reply::Whole(Plain::json(200, written)),
        false,
    )
}

fn tokenize(sim: &Sim, call: &Call) -> Answer {
    let (body, _) = match accept(sim, call, "prompt") {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let (count, context) = (Prompt::of_prompt(&body["prompt"]).len(), sim.config.context);
    let tokens: Vec<String> = (1..=count).map(|token| token.to_string()).collect();
    let written = format!(
        "{{\"count\":{count},\"max_model_len\":{context},\"tokens\":[{}],\"token_strs\":null}}",
        tokens.join(",")
    );
    Plain::json(200, written).into()
}

fn metrics(sim: &Sim) -> String {
    let stats = sim.log().stats.clone();
    let name = js(sim.config.model());
    let labels = format!("engine=\"0\",model_name={name}");
    let mut out = String::new();
    let mut family = |metric: &str, kind: &str, help: &str, rows: &[(&str, f64)]| {
        out.push_str(&format!(
            "# HELP vllm:{metric} {help}\n# TYPE vllm:{metric} {kind}\n"
        ));
        for (extra, value) in rows {
            out.push_str(&format!("vllm:{metric}{{{labels}{extra}}} {value:?}\n"));
        }
    };
    let kv = stats.running as f64 / sim.config.parallel.max(1) as f64;
    let success = stats.finished as f64;
    family(
        "num_requests_running",
        "gauge",
        "Number of requests in model execution batches.",
        &[("", stats.running as f64)],
    );
    family(
        "num_requests_waiting",
        "gauge",
        "Number of requests waiting to be processed.",
        &[("", stats.waiting as f64)],
    );
    family(
        "num_requests_waiting_by_reason",
        "gauge",
        "Number of waiting requests by reason.",
        &[
            (",reason=\"capacity\"", stats.waiting as f64),
            (",reason=\"deferred\"", 0.0),
        ],
    );
    family(
        "kv_cache_usage_perc",
        "gauge",
        "KV-cache usage. 1 means 100 percent usage.",
        &[("", kv)],
    );
    family(
        "prefix_cache_queries_total",
        "counter",
        "Prefix cache queries, in terms of number of queried tokens.",
        &[("", stats.prompt_tokens as f64)],
    );
    family(
        "prefix_cache_hits_total",
        "counter",
        "Prefix cache hits, in terms of number of cached tokens.",
        &[("", stats.cached_tokens as f64)],
    );
    family(
        "num_preemptions_total",
        "counter",
        "Cumulative number of preemption from the engine.",
        &[("", 0.0)],
    );
    family(
        "prompt_tokens_total",
        "counter",
        "Number of prefill tokens processed.",
        &[("", stats.prompt_tokens as f64)],
    );
    family(
        "prompt_tokens_cached_total",
        "counter",
        "Number of cached prompt tokens.",
        &[("", stats.cached_tokens as f64)],
    );
    family(
        "generation_tokens_total",
        "counter",
        "Number of generation tokens processed.",
        &[("", stats.output_tokens as f64)],
    );
    family(
        "request_success_total",
        "counter",
        "Count of successfully processed requests.",
        &[
            (",finished_reason=\"stop\"", success),
            (",finished_reason=\"length\"", 0.0),
            (",finished_reason=\"abort\"", 0.0),
        ],
    );
    out
}
