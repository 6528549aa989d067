//! Ollama 0.32: NDJSON on `/api`, OpenAI's form on `/v1`.
//!
//! Particular: durations in nanoseconds and zero counts left out; Go's escapes; models load on demand inside
//! the first request; cached tokens are never told; an error inside a `/v1` stream is lost, the stream just ends;
//! a Host that is not local is refused with an empty 403 while bound to loopback.

use super::answer::{Answer, Asked, Call, DONE, Job, Piece, Plain, Reply, event, go_js};
use super::engine::{Sim, rfc3339, unix_now};
use super::text::{Finish, Generation, Prompt, hex64};
use serde_json::Value;
use std::time::Duration;

const VERSION: &str = "0.32.15";
const LEGACY_VERSION: &str = "0.32.5";
const JSON: &str = "application/json; charset=utf-8";
const BUSY: &str = "server busy, please try again.  maximum pending requests exceeded";
const FAILED: &str = "an error was encountered while running the model: unexpected EOF";
const CONTEXT: &str = "the prompt is longer than the context length currently available to the model; shorten the \
    prompt, adjust the context length in settings, or use a model with a longer context length";

pub(super) fn answer(sim: &Sim, call: &Call) -> Answer {
    if sim.config.bind.ip().is_loopback() && !has_local_host(call) {
        return Plain::new(403, "", "").into();
    }
    let read = matches!(call.method.as_str(), "GET" | "HEAD");
    match (call.path.as_str(), read) {
        ("/", true) => Plain::new(200, "text/plain; charset=utf-8", "Ollama is running").into(),
        ("/api/version", true) => ok(format!("{{\"version\":{}}}", go_js(version(sim)))),
        ("/api/tags", true) => ok(tags(sim)),
        ("/api/ps", true) => ok(loaded(sim)),
        ("/v1/models", true) => Plain::json(200, models(sim)).into(),
        ("/api/show", false) => show(sim, call),
        ("/api/chat" | "/api/generate", false) => native(sim, call),
        ("/api/embed", false) => embed(sim, call),
        ("/v1/chat/completions" | "/v1/completions", false) => openai(sim, call),
        ("/v1/embeddings", false) => openai_embeddings(sim, call),
        (
            "/"
            | "/api/version"
            | "/api/tags"
            | "/api/ps"
            | "/v1/models"
            | "/api/show"
            | "/api/chat"
            | "/api/generate"
            | "/api/embed"
            | "/v1/chat/completions"
            | "/v1/completions"
            | "/v1/embeddings",
            _,
        ) => Plain::new(405, "text/plain", "405 method not allowed").into(),
        _ => Plain::new(404, "text/plain", "404 page not found").into(),
    }
}

fn version(sim: &Sim) -> &'static str {
    if sim.config.legacy {
        LEGACY_VERSION
    } else {
        VERSION
    }
}

fn ok(body: String) -> Answer {
    Plain::new(200, JSON, body).into()
}

fn native_error(status: u16, message: &str) -> Plain {
    Plain::new(status, JSON, format!("{{\"error\":{}}}", go_js(message)))
}

fn openai_error(status: u16, message: &str) -> Plain {
    let kind = match status {
        400 => "invalid_request_error",
        404 => "not_found_error",
        _ => "api_error",
    };
    let message = go_js(message);
    let body = format!(
        "{{\"error\":{{\"message\":{message},\"type\":\"{kind}\",\"param\":null,\"code\":null}}}}\n"
    );
    Plain::json(status, body)
}

fn has_local_host(call: &Call) -> bool {
    let host = call
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok())
        .unwrap_or("");
    let name = if host.starts_with('[') {
        host.split_once(']').map_or(host, |(name, _)| &name[1..])
    } else {
        host.rsplit_once(':').map_or(host, |(name, _)| name)
    };
    match name.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_unspecified(),
        Ok(std::net::IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Err(_) => {
            let local = [".localhost", ".local", ".internal"];
            name.is_empty() || name == "localhost" || local.iter().any(|end| name.ends_with(end))
        }
    }
}

/// The full name of a model: Ollama adds `:latest` where the tag is missing.
fn full_name(name: &str) -> String {
    let tagged = name
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'));
    if tagged {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}

fn knows(sim: &Sim, name: &str) -> bool {
    let name = full_name(name);
    sim.config
        .models
        .iter()
        .any(|model| full_name(model) == name)
}

const DETAILS: &str = "\"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"llama\",\"families\":[\"llama\"],\
    \"parameter_size\":\"1.2B\",\"quantization_level\":\"Q4_K_M\"";

fn tags(sim: &Sim) -> String {
    let context = sim.config.context;
    let model = |name: &String| {
        let full = full_name(name);
        let (quoted, digest) = (go_js(&full), hex64(&full));
        format!(
            "{{\"name\":{quoted},\"model\":{quoted},\"modified_at\":\"2026-11-18T08:00:01.123456789Z\",\"size\":815319791,\
             \"digest\":\"{digest}\",\"details\":{{{DETAILS},\"context_length\":{context},\"embedding_length\":2048}},\
             \"capabilities\":[\"completion\",\"tools\"]}}"
        )
    };
    let models: Vec<String> = sim.config.models.iter().map(model).collect();
    format!("{{\"models\":[{}]}}", models.join(","))
}

/// A model counts as loaded once its first generation was asked for.
fn loaded(sim: &Sim) -> String {
    if sim.log().stats.requests == 0 {
        return "{\"models\":[]}".to_owned();
    }
    let full = full_name(sim.config.model());
    let (quoted, digest, context) = (go_js(&full), hex64(&full), sim.config.context);
    let expires = rfc3339(unix_now() + Duration::from_secs(300));
    format!(
        "{{\"models\":[{{\"name\":{quoted},\"model\":{quoted},\"size\":1263140864,\"digest\":\"{digest}\",\
         \"details\":{{{DETAILS}}},\"expires_at\":\"{expires}\",\"size_vram\":1263140864,\"context_length\":{context}}}]}}"
    )
}

fn models(sim: &Sim) -> String {
    let model = |name: &String| {
        let full = full_name(name);
        let owner = full.split_once('/').map_or("library", |(owner, _)| owner);
        let (id, owner) = (go_js(&full), go_js(owner));
        format!("{{\"id\":{id},\"object\":\"model\",\"created\":1795161601,\"owned_by\":{owner}}}")
    };
    let models: Vec<String> = sim.config.models.iter().map(model).collect();
    format!("{{\"object\":\"list\",\"data\":[{}]}}\n", models.join(","))
}

fn show(sim: &Sim, call: &Call) -> Answer {
    let body = call.json().unwrap_or(Value::Null);
    let name = body["model"]
        .as_str()
        .or_else(|| body["name"].as_str())
        .unwrap_or("");
    if !knows(sim, name) {
        return native_error(404, &format!("model '{name}' not found")).into();
    }
    let blob = hex64(&format!("weights of {}", full_name(name)));
    let modelfile = go_js(&format!(
        "# Modelfile generated by \"ollama show\"\n\nFROM /var/lib/ollama/models/blobs/sha256-{blob}\nTEMPLATE {{{{ .Prompt }}}}\n"
    ));
    let context = sim.config.context;
    ok(format!(
        "{{\"modelfile\":{modelfile},\"parameters\":\"stop                           \\\"\\u003c|eot|\\u003e\\\"\",\
         \"template\":\"{{{{ .Prompt }}}}\",\"details\":{{{DETAILS}}},\"model_info\":{{\"general.architecture\":\"llama\",\
         \"general.parameter_count\":1235814432,\"llama.context_length\":{context},\"tokenizer.ggml.model\":\"gpt2\"}},\
         \"capabilities\":[\"completion\",\"tools\"],\"modified_at\":\"2026-11-18T08:00:01.123456789Z\"}}"
    ))
}

/// When the parts of an answer happen, as Ollama will tell it.
struct Schedule {
    begin: Duration,
    load: Duration,
    prompt: Duration,
    interval: Duration,
}

impl Schedule {
    fn of(sim: &Sim) -> Self {
        // A real server never takes no time at all; zero durations would be left out.
        let least = Duration::from_micros(11);
        Self {
            begin: unix_now(),
            load: sim.loading_left().max(Duration::from_micros(48)),
            prompt: sim.config.ttft.max(least),
            interval: sim.config.token_interval().max(least),
        }
    }

    fn at(&self, token: u32) -> String {
        rfc3339(self.begin + self.load + self.prompt + self.interval * token.saturating_sub(1))
    }

    /// The members that end the last line.
    fn metrics(&self, generation: &Generation, no_usage: bool) -> String {
        let eval = self.interval * generation.output_tokens();
        let total = (self.load + self.prompt + eval).as_nanos();
        let load = self.load.as_nanos();
        if no_usage {
            return format!(",\"total_duration\":{total},\"load_duration\":{load}");
        }
        let count = |name: &str, n: u32| {
            if n == 0 {
                String::new()
            } else {
                format!(",\"{name}\":{n}")
            }
        };
        format!(
            ",\"total_duration\":{total},\"load_duration\":{load}{},\"prompt_eval_duration\":{}{},\"eval_duration\":{}",
            count("prompt_eval_count", generation.prompt_tokens),
            self.prompt.as_nanos(),
            count("eval_count", generation.output_tokens()),
            eval.as_nanos()
        )
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

/// Reads the body and the model; the error in the form of the route.
fn accept(
    sim: &Sim,
    call: &Call,
    error: fn(u16, &str) -> Plain,
) -> Result<(Value, String), Answer> {
    if call.body.is_empty() {
        return Err(Answer::Refused(error(400, "missing request body")));
    }
    let Some(body @ Value::Object(_)) = call.json() else {
        return Err(Answer::Refused(error(
            400,
            "invalid character in request body",
        )));
    };
    let model = body["model"].as_str().unwrap_or("").to_owned();
    if model.is_empty() {
        return Err(Answer::Refused(error(400, "model is required")));
    }
    if !knows(sim, &model) {
        return Err(Answer::Refused(error(
            404,
            &format!("model '{model}' not found"),
        )));
    }
    Ok((body, model))
}

fn native(sim: &Sim, call: &Call) -> Answer {
    let (body, model) = match accept(sim, call, native_error) {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let chat = call.path == "/api/chat";
    let (given, prompt) = if chat {
        (&body["messages"], Prompt::of_messages(&body["messages"]))
    } else {
        (&body["prompt"], Prompt::of_prompt(&body["prompt"]))
    };
    let nothing =
        given.as_array().is_none_or(Vec::is_empty) && given.as_str().is_none_or(str::is_empty);
    if nothing {
        return load_or_unload(&body, &model, chat);
    }
    let mut prompt = prompt;
    if prompt.len() > sim.config.context {
        if body["truncate"].as_bool() == Some(false) {
            return Answer::Refused(native_error(400, CONTEXT));
        }
        // The oldest tokens go silently; the count shows it.
        let cut = (prompt.len() - sim.config.context / 2) as usize;
        prompt.0.drain(..cut);
    }
    let options = &body["options"];
    let limit = options["num_predict"]
        .as_i64()
        .and_then(|n| u32::try_from(n).ok());
    let cached = sim.cached_prefix(&prompt);
    let generation = Generation::plan(
        &sim.config,
        &prompt,
        cached,
        limit,
        options["seed"].as_u64(),
    );
    let stream = body["stream"].as_bool().unwrap_or(true);
    let lines = Lines {
        model: go_js(&model),
        chat,
        schedule: Schedule::of(sim),
        no_usage: sim.faults().no_usage,
    };
    let reply = if stream {
        lines.stream(&generation)
    } else {
        lines.whole(&generation)
    };
    job(sim, generation, reply, native_error)
}

fn job(sim: &Sim, generation: Generation, reply: Reply, error: fn(u16, &str) -> Plain) -> Answer {
    Answer::Generate(Box::new(Job {
        output_tokens: generation.output_tokens(),
        generation,
        reply,
        overloaded: error(503, BUSY),
        failed: error(500, FAILED),
        load: sim.loading_left(),
    }))
}

fn load_or_unload(body: &Value, model: &str, chat: bool) -> Answer {
    let unload = body["keep_alive"].as_i64() == Some(0) || body["keep_alive"].as_str() == Some("0");
    let reason = if unload { "unload" } else { "load" };
    let text = if chat {
        "\"message\":{\"role\":\"assistant\",\"content\":\"\"}"
    } else {
        "\"response\":\"\""
    };
    let created = rfc3339(unix_now());
    ok(format!(
        "{{\"model\":{},\"created_at\":\"{created}\",{text},\"done\":true,\"done_reason\":\"{reason}\"}}",
        go_js(model)
    ))
}

/// Writes the native form.
struct Lines {
    model: String,
    chat: bool,
    schedule: Schedule,
    no_usage: bool,
}

impl Lines {
    fn line(&self, at: u32, text: &str, rest: &str) -> String {
        let (model, created, text) = (&self.model, self.schedule.at(at), go_js(text));
        let text = if self.chat {
            format!("\"message\":{{\"role\":\"assistant\",\"content\":{text}}}")
        } else {
            format!("\"response\":{text}")
        };
        format!("{{\"model\":{model},\"created_at\":\"{created}\",{text},{rest}}}")
    }

    fn last(&self, generation: &Generation, text: &str) -> String {
        let reason = reason(generation.finish);
        let context: Vec<String> = generation
            .tokens
            .iter()
            .map(|token| token.id.to_string())
            .collect();
        let context = if self.chat {
            String::new()
        } else {
            format!(",\"context\":[1,{}]", context.join(","))
        };
        let metrics = self.schedule.metrics(generation, self.no_usage);
        let rest = format!("\"done\":true,\"done_reason\":\"{reason}\"{context}{metrics}");
        self.line(generation.output_tokens() + 1, text, &rest)
    }

    fn whole(&self, generation: &Generation) -> Reply {
        Reply::Whole(Plain::new(
            200,
            JSON,
            self.last(generation, &generation.text()),
        ))
    }

    fn stream(&self, generation: &Generation) -> Reply {
        let runs = generation.whole_characters();
        let line = |(text, at): &(&str, u32)| {
            Piece::new(*at, self.line(*at, text, "\"done\":false") + "\n")
        };
        let mut pieces: Vec<Piece> = runs.iter().map(line).collect();
        pieces.push(Piece::terminal(
            generation.output_tokens(),
            self.last(generation, "") + "\n",
        ));
        Reply::Stream {
            head: Plain::new(200, "application/x-ndjson", ""),
            head_with_first: true,
            pieces,
            error: vec![format!("{{\"error\":{}}}\n", go_js(FAILED)).into()],
            fails_inside: false,
        }
    }
}

fn openai(sim: &Sim, call: &Call) -> Answer {
    let (body, model) = match accept(sim, call, openai_error) {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let chat = call.path == "/v1/chat/completions";
    let asked = Asked::read(&body);
    if chat && body["messages"].as_array().is_none_or(Vec::is_empty) {
        return Answer::Refused(openai_error(400, "[] is too short - 'messages'"));
    }
    let prompt = if chat {
        Prompt::of_messages(&body["messages"])
    } else {
        Prompt::of_prompt(&body["prompt"])
    };
    let cached = sim.cached_prefix(&prompt);
    let generation = Generation::plan(&sim.config, &prompt, cached, asked.limit, asked.seed);
    let number = sim.log().stats.requests % 999;
    let form = OpenAi {
        id: if chat {
            format!("chatcmpl-{number}")
        } else {
            format!("cmpl-{number}")
        },
        created: unix_now().as_secs(),
        model: go_js(&model),
        chat,
        legacy: sim.config.legacy,
        usage: asked.include_usage && !sim.faults().no_usage,
    };
    let reply = if asked.stream {
        form.stream(&generation)
    } else {
        form.whole(&generation, sim.faults().no_usage)
    };
    job(sim, generation, reply, openai_error)
}

/// Writes the OpenAI form.
struct OpenAi {
    id: String,
    created: u64,
    model: String,
    chat: bool,
    legacy: bool,
    usage: bool,
}

fn usage(input: u32, output: u32) -> String {
    let total = input + output;
    format!(
        "\"usage\":{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{total}}}"
    )
}

impl OpenAi {
    fn chunk(&self, model: &str, choices: &str, usage: Option<String>) -> String {
        let Self { id, created, .. } = self;
        let usage = usage.map(|usage| format!(",{usage}")).unwrap_or_default();
        event(&if self.chat {
            format!(
                "{{\"id\":\"{id}\",\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{model},\
                 \"system_fingerprint\":\"fp_ollama\",\"choices\":[{choices}]{usage}}}"
            )
        } else {
            format!(
                "{{\"id\":\"{id}\",\"object\":\"text_completion\",\"created\":{created},\"choices\":[{choices}],\
                 \"model\":{model},\"system_fingerprint\":\"fp_ollama\"{usage}}}"
            )
        })
    }

    fn content(&self, model: &str, text: &str, first: bool, finish: &str) -> String {
        let text = go_js(text);
        if !self.chat {
            let zero = self.usage.then(|| usage(0, 0));
            return self.chunk(
                model,
                &format!("{{\"text\":{text},\"index\":0,\"finish_reason\":{finish}}}"),
                zero,
            );
        }
        let role = if first || self.legacy {
            "\"role\":\"assistant\","
        } else {
            ""
        };
        let choice = format!(
            "{{\"index\":0,\"delta\":{{{role}\"content\":{text}}},\"finish_reason\":{finish}}}"
        );
        self.chunk(model, &choice, None)
    }

    fn stream(&self, generation: &Generation) -> Reply {
        let end = generation.output_tokens();
        let finish = format!("\"{}\"", reason(generation.finish));
        let mut pieces = Vec::new();
        for (index, (text, at)) in generation.whole_characters().into_iter().enumerate() {
            pieces.push(Piece::new(
                at,
                self.content(&self.model, text, index == 0, "null"),
            ));
        }
        let last = if self.chat && !self.legacy {
            self.chunk(
                &self.model,
                &format!("{{\"index\":0,\"delta\":{{}},\"finish_reason\":{finish}}}"),
                None,
            )
        } else {
            self.content(&self.model, "", false, &finish)
        };
        pieces.push(Piece::new(end, last));
        if self.usage {
            let usage = usage(generation.prompt_tokens, end);
            pieces.push(Piece::new(end, self.chunk(&self.model, "", Some(usage))));
        }
        pieces.push(Piece::terminal(end, DONE));
        Reply::Stream {
            head: Plain::new(200, "text/event-stream", ""),
            head_with_first: true,
            pieces,
            // The message is lost: an empty chunk with an empty model, and the end.
            error: vec![self.content("\"\"", "", false, "null").into()],
            fails_inside: false,
        }
    }

    fn whole(&self, generation: &Generation, no_usage: bool) -> Reply {
        let Self {
            id, created, model, ..
        } = self;
        let (text, finish) = (go_js(&generation.text()), reason(generation.finish));
        let usage = if no_usage {
            usage(0, 0)
        } else {
            usage(generation.prompt_tokens, generation.output_tokens())
        };
        let body = if self.chat {
            format!(
                "{{\"id\":\"{id}\",\"object\":\"chat.completion\",\"created\":{created},\"model\":{model},\
                 \"system_fingerprint\":\"fp_ollama\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\
                 \"content\":{text}}},\"finish_reason\":\"{finish}\"}}],{usage}}}\n"
            )
        } else {
            format!(
                "{{\"id\":\"{id}\",\"object\":\"text_completion\",\"created\":{created},\"model\":{model},\
                 \"system_fingerprint\":\"fp_ollama\",\"choices\":[{{\"text\":{text},\"index\":0,\
                 \"finish_reason\":\"{finish}\"}}],{usage}}}\n"
            )
        };
        Reply::Whole(Plain::json(200, body))
    }
}

/// An answer without text: its prompt counts, nothing is generated.
fn embedding_job(
    sim: &Sim,
    input: &Value,
    body: impl FnOnce(u32) -> Plain,
    error: fn(u16, &str) -> Plain,
) -> Answer {
    let prompt = Prompt::of_prompt(input);
    let generation = Generation {
        prompt_tokens: prompt.len(),
        cached_tokens: 0,
        tokens: Vec::new(),
        finish: Finish::Stop,
    };
    let reply = Reply::Whole(body(prompt.len()));
    job(sim, generation, reply, error)
}

const VECTOR: &str = "[0.5,-0.5,0.5,-0.5]";

fn embed(sim: &Sim, call: &Call) -> Answer {
    let (body, model) = match accept(sim, call, native_error) {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let written = |count: u32| {
        let model = go_js(&model);
        let body = format!(
            "{{\"model\":{model},\"embeddings\":[{VECTOR}],\"total_duration\":1105000,\"load_duration\":48000,\
             \"prompt_eval_count\":{count}}}"
        );
        Plain::new(200, JSON, body)
    };
    embedding_job(sim, &body["input"], written, native_error)
}

fn openai_embeddings(sim: &Sim, call: &Call) -> Answer {
    let (body, model) = match accept(sim, call, openai_error) {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let written = |count: u32| {
        let model = go_js(&model);
        Plain::json(
            200,
            format!(
                "{{\"object\":\"list\",\"data\":[{{\"object\":\"embedding\",\"embedding\":{VECTOR},\"index\":0}}],\
                 \"model\":{model},\"usage\":{{\"prompt_tokens\":{count},\"total_tokens\":{count}}}}}\n"
            ),
        )
    };
    embedding_job(sim, &body["input"], written, openai_error)
}
