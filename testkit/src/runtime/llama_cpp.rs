//! llama.cpp's `llama-server`.
//!
//! Particular: `Server: llama.cpp` on every answer, also on its 401, 404 and 503; 503 on every path while loading;
//! the model name is ignored and its alias echoed; `timings` on the last chunk whether or not usage was asked for;
//! a repeated prompt is cached but for one token; text waits for whole characters; context overflow names both
//! numbers; a connection is closed after an error and after 100 requests.

use super::answer::{Answer, Asked, Call, DONE, Job, Piece, Plain, Reply, event, js};
use super::engine::{Sim, unix_now};
use super::text::{Finish, Generation, Prompt, fingerprint};
use serde_json::Value;

const BUILD: &str = "b1-0c1e570";
const JSON: &str = "application/json; charset=utf-8";

pub(super) fn answer(sim: &Sim, call: &Call) -> Answer {
    let dress = |plain: Plain| {
        plain
            .with("server", "llama.cpp")
            .with("access-control-allow-origin", "")
            .with("keep-alive", "timeout=5, max=100")
    };
    match route(sim, call) {
        Answer::Now(plain) => Answer::Now(dress(plain)),
        Answer::Refused(plain) => Answer::Refused(dress(plain)),
        Answer::Generate(mut job) => {
            job.overloaded = dress(job.overloaded);
            job.failed = dress(job.failed);
            job.reply = match job.reply {
                Reply::Whole(plain) => Reply::Whole(dress(plain)),
                Reply::Stream {
                    head,
                    head_with_first,
                    pieces,
                    error,
                    fails_inside,
                } => {
                    let head = dress(head).with("x-accel-buffering", "no");
                    Reply::Stream {
                        head,
                        head_with_first,
                        pieces,
                        error,
                        fails_inside,
                    }
                }
            };
            Answer::Generate(job)
        }
    }
}

fn route(sim: &Sim, call: &Call) -> Answer {
    if !sim.loading_left().is_zero() {
        let body = "{\"error\":{\"message\":\"Loading model\",\"type\":\"unavailable_error\",\"code\":503}}";
        return Plain::new(503, JSON, body).into();
    }
    let health = matches!(call.path.as_str(), "/health" | "/v1/health");
    if let Some(key) = &sim.config.api_key
        && !health
        && !call.has_bearer(key)
        && call
            .headers
            .get("x-api-key")
            .is_none_or(|given| given.as_bytes() != key.as_bytes())
    {
        let body = "{\"error\":{\"message\":\"Invalid API Key\",\"type\":\"authentication_error\",\"code\":401}}";
        return Plain::new(401, JSON, body).into();
    }
    match (call.path.as_str(), call.method == "GET") {
        ("/health" | "/v1/health", true) => ok("{\"status\":\"ok\"}".to_owned()),
        ("/v1/models" | "/models", true) => ok(models(sim)),
        ("/props", true) => ok(props(sim)),
        ("/slots", true) => ok(slots(sim)),
        ("/metrics", true) => Plain::new(200, "text/plain; version=0.0.4", metrics(sim))
            .with("process-start-time-unix", unix_now().as_secs().to_string())
            .into(),
        ("/v1/chat/completions" | "/chat/completions", false) => openai(sim, call, true),
        ("/v1/completions", false) => openai(sim, call, false),
        ("/completion" | "/completions", false) => native(sim, call),
        ("/v1/embeddings", false) => {
            let message = "This server does not support embeddings. Start it with `--embeddings`";
            Answer::Refused(error(501, "not_supported_error", message, ""))
        }
        _ => {
            let body = "{\"error\":{\"message\":\"File Not Found\",\"type\":\"not_found_error\",\"code\":404}}";
            Plain::new(404, JSON, body).into()
        }
    }
}

fn ok(body: String) -> Answer {
    Plain::new(200, JSON, body).into()
}

fn error(status: u16, kind: &str, message: &str, rest: &str) -> Plain {
    let message = js(message);
    let body = format!(
        "{{\"error\":{{\"code\":{status},\"message\":{message},\"type\":\"{kind}\"{rest}}}}}"
    );
    Plain::new(status, JSON, body)
}

/// Window of one slot: what is configured is not divided here, as the real server divides it.
fn context(sim: &Sim) -> u32 {
    sim.config.context
}

fn models(sim: &Sim) -> String {
    let (id, created, context) = (js(sim.config.model()), unix_now().as_secs(), context(sim));
    format!(
        "{{\"models\":[{{\"name\":{id},\"model\":{id},\"modified_at\":\"\",\"size\":\"\",\"digest\":\"\",\"type\":\"model\",\
         \"description\":\"\",\"tags\":[\"\"],\"capabilities\":[\"completion\"],\"parameters\":\"\",\"details\":\
         {{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"\",\"families\":[\"\"],\"parameter_size\":\"\",\
         \"quantization_level\":\"\"}}}}],\"object\":\"list\",\"data\":[{{\"id\":{id},\"aliases\":[{id}],\"tags\":[],\
         \"object\":\"model\",\"created\":{created},\"owned_by\":\"llamacpp\",\"meta\":{{\"vocab_type\":1,\"n_vocab\":392,\
         \"n_ctx\":{context},\"n_ctx_train\":131072,\"n_embd\":64,\"n_params\":132416,\"size\":529664,\
         \"ftype\":\"all F32\"}}}}]}}"
    )
}

fn props(sim: &Sim) -> String {
    let (alias, context, slots) = (js(sim.config.model()), context(sim), sim.config.parallel);
    format!(
        "{{\"default_generation_settings\":{{\"params\":{{\"seed\":4294967295,\"temperature\":0.800000011920929,\
         \"n_predict\":-1}},\"n_ctx\":{context}}},\"total_slots\":{slots},\"model_alias\":{alias},\
         \"model_ftype\":\"all F32\",\"model_path\":\"/nonexistent/sim-chat.gguf\",\"modalities\":{{\"vision\":false,\
         \"video\":false,\"audio\":false}},\"endpoint_slots\":true,\"endpoint_props\":false,\"endpoint_metrics\":true,\
         \"ui\":false,\"ui_settings\":{{}},\"chat_template\":\"\",\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\
         \"build_info\":\"{BUILD}\",\"is_sleeping\":false,\"cors_proxy_enabled\":false}}"
    )
}

fn slots(sim: &Sim) -> String {
    let (running, context) = (sim.log().stats.running, context(sim));
    let slot = |id: usize| {
        let busy = (id as u64) < running;
        format!(
            "{{\"id\":{id},\"n_ctx\":{context},\"speculative\":false,\"is_processing\":{busy}}}"
        )
    };
    let slots: Vec<String> = (0..sim.config.parallel).map(slot).collect();
    format!("[{}]", slots.join(","))
}

fn read(call: &Call) -> Result<Value, Answer> {
    serde_json::from_slice(&call.body).map_err(|fault| {
        let (line, column) = (fault.line(), fault.column());
        let message = format!(
            "[json.exception.parse_error.101] parse error at line {line}, column {column}: syntax error while parsing \
             value - unexpected end of input; expected '[', '{{', or a literal"
        );
        Answer::Refused(error(500, "server_error", &message, ""))
    })
}

/// Refuses a prompt that does not fit; else says how much of it is cached.
fn accept(sim: &Sim, prompt: &Prompt) -> Result<u32, Answer> {
    let (length, window) = (prompt.len(), context(sim));
    if length >= window {
        let message = format!(
            "request ({length} tokens) exceeds the available context size ({window} tokens), try increasing it"
        );
        let rest = format!(",\"n_prompt_tokens\":{length},\"n_ctx\":{window}");
        return Err(Answer::Refused(error(
            400,
            "exceed_context_size_error",
            &message,
            &rest,
        )));
    }
    // Never all of it: the last token is evaluated again to have something to predict from.
    Ok(sim.cached_prefix(prompt).min(length - 1))
}

fn openai(sim: &Sim, call: &Call, chat: bool) -> Answer {
    let body = match read(call) {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let (member, message) = if chat {
        ("messages", "'messages' is required")
    } else {
        ("prompt", "\"prompt\" is missing")
    };
    if body[member].is_null() {
        return Answer::Refused(error(400, "invalid_request_error", message, ""));
    }
    let prompt = if chat {
        Prompt::of_messages(&body["messages"])
    } else {
        Prompt::of_prompt(&body["prompt"])
    };
    let cached = match accept(sim, &prompt) {
        Ok(cached) => cached,
        Err(refused) => return refused,
    };
    let asked = Asked::read(&body);
    let generation = Generation::plan(&sim.config, &prompt, cached, asked.limit, asked.seed);
    let form = Form {
        id: format!("chatcmpl-{}", id(sim)),
        created: unix_now().as_secs(),
        model: js(sim.config.model()),
        chat,
        usage: asked.include_usage && !sim.faults().no_usage,
        silent: sim.faults().no_usage,
        timings: timings(sim, &generation),
    };
    let reply = if asked.stream {
        form.stream(&generation)
    } else {
        form.whole(&generation)
    };
    job(generation, reply)
}

fn job(generation: Generation, reply: Reply) -> Answer {
    Answer::Generate(Box::new(Job {
        output_tokens: generation.output_tokens_with_end(),
        generation,
        reply,
        overloaded: error(
            503,
            "unavailable_error",
            "too many requests are waiting",
            "",
        ),
        failed: error(500, "server_error", "Compute error.", ""),
        load: std::time::Duration::ZERO,
    }))
}

/// 32 letters and digits.
fn id(sim: &Sim) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let number = sim.log().stats.requests;
    let letter = |place: u64| {
        let draw = fingerprint(
            &[sim.config.seed, number, place]
                .map(u64::to_le_bytes)
                .concat(),
        );
        char::from(LETTERS[(draw % 62) as usize])
    };
    (0..32).map(letter).collect()
}

fn timings(sim: &Sim, generation: &Generation) -> String {
    let (cached, output) = (
        generation.cached_tokens,
        generation.output_tokens_with_end(),
    );
    let evaluated = generation.prompt_tokens - cached;
    let prompt_ms = (sim.config.ttft.as_secs_f64() * 1e3).max(0.56);
    let predicted_ms =
        (sim.config.token_interval().as_secs_f64() * 1e3 * f64::from(output)).max(0.843);
    let per_token = |ms: f64, tokens: u32| ms / f64::from(tokens.max(1));
    let per_second = |ms: f64, tokens: u32| f64::from(tokens) / ms * 1e3;
    format!(
        "\"timings\":{{\"cache_n\":{cached},\"prompt_n\":{evaluated},\"prompt_ms\":{prompt_ms},\"prompt_per_token_ms\":{},\
         \"prompt_per_second\":{},\"predicted_n\":{output},\"predicted_ms\":{predicted_ms},\"predicted_per_token_ms\":{},\
         \"predicted_per_second\":{}}}",
        per_token(prompt_ms, evaluated),
        per_second(prompt_ms, evaluated),
        per_token(predicted_ms, output),
        per_second(predicted_ms, output)
    )
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

/// Writes the OpenAI form.
struct Form {
    id: String,
    created: u64,
    model: String,
    chat: bool,
    usage: bool,
    silent: bool,
    timings: String,
}

impl Form {
    fn usage(&self, generation: &Generation) -> String {
        let (input, output) = (
            generation.prompt_tokens,
            generation.output_tokens_with_end(),
        );
        format!(
            ",\"usage\":{{\"completion_tokens\":{output},\"prompt_tokens\":{input},\"total_tokens\":{},\
             \"prompt_tokens_details\":{{\"cached_tokens\":{}}}}}",
            input + output,
            generation.cached_tokens
        )
    }

    fn timings(&self) -> String {
        if self.silent {
            String::new()
        } else {
            format!(",{}", self.timings)
        }
    }

    fn chunk(&self, choices: &str, rest: &str) -> String {
        let Self {
            id, created, model, ..
        } = self;
        event(&format!(
            "{{\"choices\":[{choices}],\"created\":{created},\"id\":\"{id}\",\"model\":{model},\
             \"system_fingerprint\":\"{BUILD}\",\"object\":\"chat.completion.chunk\"{rest}}}"
        ))
    }

    fn text_chunk(&self, text: &str, finish: &str, usage: &str, timings: &str) -> String {
        let Self {
            id, created, model, ..
        } = self;
        format!(
            "{{\"choices\":[{{\"text\":{},\"index\":0,\"logprobs\":null,\"finish_reason\":{finish}}}],\"created\":{created},\
             \"model\":{model},\"system_fingerprint\":\"{BUILD}\",\"object\":\"text_completion\"{usage},\
             \"id\":\"{id}\"{timings}}}",
            js(text)
        )
    }

    fn stream(&self, generation: &Generation) -> Reply {
        let end = generation.output_tokens_with_end();
        let finish = format!("\"{}\"", reason(generation.finish));
        let mut pieces = Vec::new();
        if self.chat {
            let role = "{\"finish_reason\":null,\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}";
            pieces.push(Piece::new(1, self.chunk(role, "")));
        }
        for (text, at) in generation.whole_characters() {
            pieces.push(Piece::new(at, if self.chat {
                let text = js(text);
                self.chunk(&format!("{{\"finish_reason\":null,\"index\":0,\"delta\":{{\"content\":{text}}}}}"), "")
            } else {
                event(&self.text_chunk(text, "null", "", ""))
            }));
        }
        if self.chat {
            let choice = format!("{{\"finish_reason\":{finish},\"index\":0,\"delta\":{{}}}}");
            let rest = if self.usage {
                String::new()
            } else {
                self.timings()
            };
            pieces.push(Piece::new(end, self.chunk(&choice, &rest)));
            if self.usage {
                pieces.push(Piece::new(
                    end,
                    self.chunk("", &(self.usage(generation) + &self.timings())),
                ));
            }
        } else {
            let usage = if self.silent {
                String::new()
            } else {
                self.usage(generation)
            };
            pieces.push(Piece::new(
                end,
                event(&self.text_chunk("", &finish, &usage, &self.timings())),
            ));
        }
        pieces.push(Piece::terminal(end, DONE));
        sse(pieces)
    }

    fn whole(&self, generation: &Generation) -> Reply {
        let Self {
            id, created, model, ..
        } = self;
        let (text, finish) = (generation.text(), reason(generation.finish));
        let usage = if self.silent {
            String::new()
        } else {
            self.usage(generation)
        };
        let timings = self.timings();
        let body = if self.chat {
            let text = js(&text);
            format!(
                "{{\"choices\":[{{\"finish_reason\":\"{finish}\",\"index\":0,\"message\":{{\"role\":\"assistant\",\
                 \"content\":{text}}}}}],\"created\":{created},\"model\":{model},\"system_fingerprint\":\"{BUILD}\",\
                 \"object\":\"chat.completion\"{usage},\"id\":\"{id}\"{timings}}}"
            )
        } else {
            self.text_chunk(&text, &format!("\"{finish}\""), &usage, &timings)
        };
        Reply::Whole(Plain::new(200, JSON, body))
    }
}

fn sse(pieces: Vec<Piece>) -> Reply {
    let failed =
        "{\"error\":{\"code\":500,\"message\":\"Compute error.\",\"type\":\"server_error\"}}";
    Reply::Stream {
        head: Plain::new(200, "text/event-stream", ""),
        head_with_first: true,
        pieces,
        error: vec![event(failed).into()],
        fails_inside: false,
    }
}

fn native(sim: &Sim, call: &Call) -> Answer {
    let body = match read(call) {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    if body["prompt"].is_null() {
        return Answer::Refused(error(
            400,
            "invalid_request_error",
            "\"prompt\" is missing",
            "",
        ));
    }
    let prompt = Prompt::of_prompt(&body["prompt"]);
    let cached = match accept(sim, &prompt) {
        Ok(cached) => cached,
        Err(refused) => return refused,
    };
    let limit = body["n_predict"]
        .as_i64()
        .and_then(|n| u32::try_from(n).ok());
    let generation = Generation::plan(&sim.config, &prompt, cached, limit, body["seed"].as_u64());
    let stream = body["stream"].as_bool().unwrap_or(false);
    let output = generation.output_tokens_with_end();
    let stop = match generation.finish {
        Finish::Stop => "eos",
        Finish::Length => "limit",
    };
    let model = js(sim.config.model());
    let last = |text: &str| {
        // Where the slot stands after the request: not a count of cache hits.
        let filled = generation.prompt_tokens + output - 1;
        format!(
            "{{\"index\":0,\"content\":{},\"tokens\":[],\"id_slot\":0,\"stop\":true,\"model\":{model},\
             \"tokens_predicted\":{output},\"tokens_evaluated\":{},\"generation_settings\":{{\"n_predict\":{},\
             \"stream\":{stream}}},\"prompt\":{},\"has_new_line\":false,\"truncated\":false,\"stop_type\":\"{stop}\",\
             \"stopping_word\":\"\",\"tokens_cached\":{filled},{}}}",
            js(text),
            generation.prompt_tokens,
            limit.map_or(-1, i64::from),
            js(body["prompt"].as_str().unwrap_or("")),
            timings(sim, &generation)
        )
    };
    let reply = if stream {
        let mut pieces = Vec::new();
        for (text, at) in generation.whole_characters() {
            let (text, evaluated) = (js(text), generation.prompt_tokens);
            pieces.push(Piece::new(at, event(&format!(
                "{{\"index\":0,\"content\":{text},\"tokens\":[],\"stop\":false,\"id_slot\":0,\"tokens_predicted\":{at},\
                 \"tokens_evaluated\":{evaluated}}}"
            ))));
        }
        pieces.push(Piece::terminal(output, event(&last(""))));
        sse(pieces)
    } else {
        Reply::Whole(Plain::new(200, JSON, last(&generation.text())))
    };
    job(generation, reply)
}

fn metrics(sim: &Sim) -> String {
    let stats = sim.log().stats.clone();
    let rows: [(&str, &str, &str, u64); 6] = [
        (
            "prompt_tokens_total",
            "counter",
            "Number of prompt tokens processed, excluding cached tokens",
            stats.prompt_tokens - stats.cached_tokens,
        ),
        (
            "prompt_tokens_cached_total",
            "counter",
            "Number of prompt tokens reused from the cache",
            stats.cached_tokens,
        ),
        (
            "tokens_predicted_total",
            "counter",
            "Number of generation tokens processed",
            stats.output_tokens,
        ),
        (
            "n_decode_total",
            "counter",
            "Total number of llama_decode() calls, excluding speculative decoding and multimodal decoding",
            stats.output_tokens,
        ),
        (
            "requests_processing",
            "gauge",
            "Number of requests processing",
            stats.running,
        ),
        (
            "requests_deferred",
            "gauge",
            "Number of requests deferred",
            stats.waiting,
        ),
    ];
    let row = |(name, kind, help, value): &(&str, &str, &str, u64)| {
        format!(
            "# HELP llamacpp:{name} {help}\n# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value}\n"
        )
    };
    rows.iter().map(row).collect()
}
