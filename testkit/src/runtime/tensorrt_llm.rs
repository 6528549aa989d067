//! TensorRT-LLM's `trtllm-serve`.
//!
//! Particular: unknown members of a request are refused; the first event of a stream has a space before its line
//! break; `include_usage` brings running usage on every chunk unless `continuous_usage_stats` is false; the name of
//! the model is echoed unchecked; the end mark is not counted; `/metrics` is a JSON queue that reading empties;
//! an error inside a stream cuts the connection without a word.

use super::answer::{Answer, Asked, Call, DONE, Job, Piece, Plain, Reply, event, js};
use super::engine::{Sim, unix_now};
use super::text::{Finish, Generation, Prompt, hex64};
use serde_json::Value;

const VERSION: &str = "1.2.1";
/// Tokens in a block of the prefix cache.
const BLOCK: u32 = 32;
/// Blocks of the KV cache.
const BLOCKS: u64 = 101_256;
/// Members that a request may have. Anything else is refused.
const KNOWN: [&str; 34] = [
    "messages",
    "prompt",
    "model",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "presence_penalty",
    "response_format",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "tools",
    "tool_choice",
    "user",
    "top_k",
    "min_p",
    "repetition_penalty",
    "length_penalty",
    "stop_token_ids",
    "ignore_eos",
    "min_tokens",
    "skip_special_tokens",
    "best_of",
    "echo",
    "suffix",
    "add_special_tokens",
    "reasoning_effort",
];

pub(super) fn answer(sim: &Sim, call: &Call) -> Answer {
    let dress = |plain: Plain| plain.with("server", "uvicorn");
    match route(sim, call) {
        Answer::Now(plain) => Answer::Now(dress(plain)),
        Answer::Refused(plain) => Answer::Refused(dress(plain)),
        Answer::Generate(mut job) => {
            (job.overloaded, job.failed) = (dress(job.overloaded), dress(job.failed));
            match &mut job.reply {
                Reply::Whole(plain) | Reply::Stream { head: plain, .. } => {
                    plain.headers.push(("server", "uvicorn".to_owned()));
                }
            }
            Answer::Generate(job)
        }
    }
}

fn route(sim: &Sim, call: &Call) -> Answer {
    match (call.path.as_str(), call.method == "GET") {
        ("/health", true) => Plain::new(200, "", "").into(),
        ("/version", true) => Plain::json(200, format!("{{\"version\":\"{VERSION}\"}}")).into(),
        ("/server_info", true) => Plain::json(200, "{\"disaggregated_params\":{}}").into(),
        ("/v1/models", true) => {
            let (id, created) = (js(sim.config.model()), unix_now().as_secs());
            let model = format!(
                "{{\"id\":{id},\"object\":\"model\",\"created\":{created},\"owned_by\":\"tensorrt_llm\"}}"
            );
            Plain::json(200, format!("{{\"object\":\"list\",\"data\":[{model}]}}")).into()
        }
        ("/metrics", true) => Plain::json(200, iterations(sim)).into(),
        ("/prometheus/metrics", true) => {
            Plain::new(200, "text/plain; version=1.0.0", prometheus(sim)).into()
        }
        ("/v1/chat/completions", false) => generate(sim, call, true),
        ("/v1/completions", false) => generate(sim, call, false),
        (
            "/health"
            | "/version"
            | "/v1/models"
            | "/metrics"
            | "/v1/chat/completions"
            | "/v1/completions",
            _,
        ) => Plain::json(405, "{\"detail\":\"Method Not Allowed\"}").into(),
        _ => Plain::json(404, "{\"detail\":\"Not Found\"}").into(),
    }
}

fn error(status: u16, kind: &str, message: &str) -> Plain {
    let message = js(message);
    Plain::json(
        status,
        format!(
            "{{\"object\":\"error\",\"message\":{message},\"type\":\"{kind}\",\"param\":null,\"code\":{status}}}"
        ),
    )
}

/// A validation error: a Python repr inside a JSON string.
fn invalid(kind: &str, member: &str, message: &str) -> Answer {
    let repr = format!(
        "[{{'type': '{kind}', 'loc': ('body', '{member}'), 'msg': '{message}', 'input': '...'}}]"
    );
    Answer::Refused(Plain::json(400, format!("{{\"error\":{}}}", js(&repr))))
}

fn generate(sim: &Sim, call: &Call, chat: bool) -> Answer {
    let Some(Value::Object(members)) = call.json() else {
        return invalid("json_invalid", "0", "JSON decode error");
    };
    if let Some(unknown) = members.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return invalid("extra_forbidden", unknown, "Extra inputs are not permitted");
    }
    let body = Value::Object(members);
    let required = if chat { "messages" } else { "prompt" };
    for member in ["model", required] {
        if body[member].is_null() {
            return invalid("missing", member, "Field required");
        }
    }
    let asked = Asked::read(&body);
    let options = !body["stream_options"].is_null();
    if options && !asked.stream {
        return invalid(
            "value_error",
            "stream_options",
            "Value error, Stream options can only be defined when stream is true.",
        );
    }
    let prompt = if chat {
        Prompt::of_messages(&body["messages"])
    } else {
        Prompt::of_prompt(&body["prompt"])
    };
    let (length, most) = (prompt.len(), sim.config.context);
    if length >= most {
        let message = format!(
            "The sum of prompt length ({length}.0), query length (0) should not exceed max_num_tokens ({most})"
        );
        return Answer::Refused(error(400, "BadRequestError", &message));
    }
    let cached = sim.cached_prefix(&prompt).min(length - 1) / BLOCK * BLOCK;
    let generation = Generation::plan(&sim.config, &prompt, cached, asked.limit, asked.seed);
    let silent = sim.faults().no_usage;
    let form = Form {
        number: sim.log().stats.requests + 1,
        created: unix_now().as_secs(),
        model: js(body["model"].as_str().unwrap_or("")),
        chat,
        // Inside stream_options both are true unless they say otherwise.
        usage: options && body["stream_options"]["include_usage"] != Value::Bool(false) && !silent,
        running: options && asked.continuous_usage != Some(false) && !silent,
        legacy: sim.config.legacy,
        silent,
    };
    let reply = if asked.stream {
        form.stream(&generation)
    } else {
        form.whole(&generation)
    };
    Answer::Generate(Box::new(Job {
        output_tokens: generation.output_tokens(),
        generation,
        reply,
        overloaded: error(
            503,
            "ServiceUnavailableError",
            "too many requests are waiting",
        ),
        failed: error(500, "InternalServerError", "Internal server error"),
        load: std::time::Duration::ZERO,
    }))
}

struct Form {
    number: u64,
    created: u64,
    model: String,
    chat: bool,
    usage: bool,
    running: bool,
    legacy: bool,
    silent: bool,
}

impl Form {
    /// Old versions give every chunk an id of its own.
    fn id(&self, chunk: u32) -> String {
        let prefix = if self.chat { "chatcmpl" } else { "cmpl" };
        if self.legacy {
            format!(
                "{prefix}-{}",
                &hex64(&format!("{}:{chunk}", self.number))[..32]
            )
        } else {
            format!("{prefix}-{}", self.number)
        }
    }

    fn usage(&self, generation: &Generation, output: u32) -> String {
        let (input, cached) = (generation.prompt_tokens, generation.cached_tokens);
        let total = input + output;
        format!(
            "\"usage\":{{\"prompt_tokens\":{input},\"total_tokens\":{total},\"completion_tokens\":{output},\
             \"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}}}"
        )
    }

    fn chunk(&self, number: u32, choices: &str, usage: Option<String>) -> String {
        let (id, created, model) = (self.id(number), self.created, &self.model);
        let object = if self.chat {
            "chat.completion.chunk"
        } else {
            "text_completion"
        };
        let usage = usage.map(|usage| format!(",{usage}")).unwrap_or_default();
        format!(
            "{{\"id\":\"{id}\",\"object\":\"{object}\",\"created\":{created},\"model\":{model},\
             \"choices\":[{choices}]{usage}}}"
        )
    }

    fn token(
        &self,
        number: u32,
        text: &str,
        finish: Option<Finish>,
        generation: &Generation,
    ) -> String {
        let text = js(text);
        let finish = match finish {
            None => "",
            Some(Finish::Stop) => ",\"finish_reason\":\"stop\"",
            Some(Finish::Length) => ",\"finish_reason\":\"length\"",
        };
        let choice = if self.chat {
            format!(
                "{{\"index\":0,\"delta\":{{\"content\":{text},\"reasoning_content\":\"\"}}{finish}}}"
            )
        } else {
            format!("{{\"index\":0,\"text\":{text}{finish}}}")
        };
        let usage = self.running.then(|| self.usage(generation, number));
        event(&self.chunk(number, &choice, usage))
    }

    fn stream(&self, generation: &Generation) -> Reply {
        let end = generation.output_tokens();
        let mut pieces = Vec::new();
        if self.chat {
            let role = "{\"index\":0,\"delta\":{\"role\":\"assistant\"}}";
            let role = self.chunk(0, role, self.running.then(|| self.usage(generation, 0)));
            pieces.push(Piece::new(1, format!("data: {role} \n\n")));
        }
        for (index, token) in generation.tokens.iter().enumerate() {
            let at = index as u32 + 1;
            let finish = (at == end).then_some(generation.finish);
            pieces.push(Piece::new(
                at,
                self.token(at, token.text, finish, generation),
            ));
        }
        if self.usage {
            let usage = self.usage(generation, end);
            pieces.push(Piece::new(
                end,
                event(&self.chunk(end + 1, "", Some(usage))),
            ));
        }
        pieces.push(Piece::terminal(end, DONE));
        Reply::Stream {
            head: Plain::new(200, "text/event-stream; charset=utf-8", ""),
            head_with_first: false,
            pieces,
            // Nothing is said: the connection is cut.
            error: Vec::new(),
            fails_inside: false,
        }
    }

    fn whole(&self, generation: &Generation) -> Reply {
        let (created, model, text) = (self.created, &self.model, js(&generation.text()));
        let id = &hex64(&self.number.to_string())[..32];
        let finish = match generation.finish {
            Finish::Stop => "stop",
            Finish::Length => "length",
        };
        let usage = if self.silent {
            "\"usage\":null".to_owned()
        } else {
            self.usage(generation, generation.output_tokens())
        };
        let tail = "\"stop_reason\":null,\"mm_embedding_handle\":null,\"disaggregated_params\":null,\
                    \"avg_decoded_tokens_per_iter\":1.0";
        let body = if self.chat {
            format!(
                "{{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion\",\"created\":{created},\"model\":{model},\
                 \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{text},\
                 \"reasoning_content\":\"\",\"reasoning\":null,\"tool_calls\":[]}},\"logprobs\":null,\
                 \"finish_reason\":\"{finish}\",{tail}}}],{usage},\"prompt_token_ids\":null}}"
            )
        } else {
            format!(
                "{{\"id\":\"cmpl-{id}\",\"object\":\"text_completion\",\"created\":{created},\"model\":{model},\
                 \"choices\":[{{\"index\":0,\"text\":{text},\"logprobs\":null,\"finish_reason\":\"{finish}\",{tail}}}],\
                 {usage},\"prompt_token_ids\":null}}"
            )
        };
        Reply::Whole(Plain::json(200, body))
    }
}

/// What happened since it was read last: reading empties the queue.
fn iterations(sim: &Sim) -> String {
    let stats = sim.log().stats.clone();
    let fresh = stats.output_tokens - sim.take_iterations(stats.output_tokens);
    if fresh == 0 {
        return "[]".to_owned();
    }
    let (active, queued, iter) = (stats.running, stats.waiting, stats.output_tokens);
    format!(
        "[{{\"timestamp\":\"11-20-2026 10:20:01.123456\",\"iter\":{iter},\"iterLatencyMS\":7.1,\
         \"newActiveRequestsQueueLatencyMS\":0.0,\"numNewActiveRequests\":0,\"numActiveRequests\":{active},\
         \"numQueuedRequests\":{queued},\"numCompletedRequests\":0,\"maxNumActiveRequests\":2048,\
         \"gpuMemUsage\":76665782272,\"cpuMemUsage\":0,\"pinnedMemUsage\":0,\"kvCacheStats\":{{\"maxNumBlocks\":{BLOCKS},\
         \"freeNumBlocks\":101253,\"usedNumBlocks\":3,\"tokensPerBlock\":{BLOCK},\"allocTotalBlocks\":3126,\
         \"allocNewBlocks\":3126,\"reusedBlocks\":4,\"missedBlocks\":3121,\"cacheHitRate\":0.00128}},\
         \"staticBatchingStats\":null,\"inflightBatchingStats\":{{\"numScheduledRequests\":{active},\
         \"numContextRequests\":0,\"numGenRequests\":{active},\"numPausedRequests\":0,\"numCtxTokens\":0,\
         \"microBatchId\":0,\"avgNumDecodedTokensPerIter\":1.0}},\"specDecodingStats\":null}}]"
    )
}

fn prometheus(sim: &Sim) -> String {
    let stats = sim.log().stats.clone();
    let labels = format!(
        "engine_type=\"pytorch\",model_name={}",
        js(sim.config.model())
    );
    let rows: [(&str, &str, &str, u64); 5] = [
        (
            "num_requests_running",
            "gauge",
            "Number of running requests.",
            stats.running,
        ),
        (
            "num_requests_waiting",
            "gauge",
            "Number of waiting requests.",
            stats.waiting,
        ),
        (
            "prompt_tokens_total",
            "counter",
            "Number of prompt tokens.",
            stats.prompt_tokens,
        ),
        (
            "generation_tokens_total",
            "counter",
            "Number of generated tokens.",
            stats.output_tokens,
        ),
        (
            "prompt_cached_tokens_total",
            "counter",
            "Number of cached prompt tokens.",
            stats.cached_tokens,
        ),
    ];
    let row = |(name, kind, help, value): &(&str, &str, &str, u64)| {
        format!(
            "# HELP trtllm_{name} {help}\n# TYPE trtllm_{name} {kind}\ntrtllm_{name}{{{labels}}} {value}.0\n"
        )
    };
    let share = stats.running as f64 * 8.0 / BLOCKS as f64;
    let cache = format!(
        "# HELP trtllm_kv_cache_utilization KV cache utilization\n# TYPE trtllm_kv_cache_utilization gauge\n\
         trtllm_kv_cache_utilization{{{labels}}} {share}\n"
    );
    rows.iter().map(row).collect::<String>() + &cache
}
