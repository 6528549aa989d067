//! Hugging Face Text Generation Inference 3.3.
//!
//! Particular: `/info` names the router and the model's commit; native events are one per token, so that counting
//! them is exact, and end without `[DONE]`; a native stream is always status 200 and tells its errors as events;
//! counts stand in response headers; chat ids are empty; a request over the limit fails at once with 429; cached
//! prefixes are never told; keys are compared without regard to case.

use super::answer::{Answer, Asked, Call, DONE, Job, Piece, Plain, Reply, js};
use super::engine::{Sim, unix_now};
use super::text::{Finish, Generation, Prompt, Token, hex64};
use serde_json::Value;

const VERSION: &str = "3.3.6-dev0";
const FINGERPRINT: &str = "3.3.6-dev0-sha-1111222";
const EVENTS: &str = "text/event-stream";

pub(super) fn answer(sim: &Sim, call: &Call) -> Answer {
    let read = call.method == "GET";
    let inference = !read && call.method == "POST";
    if let Some(key) = &sim.config.api_key
        && inference
        && !has_key(call, key)
    {
        return Plain::new(401, "", "").into();
    }
    match (call.path.as_str(), read) {
        ("/info", true) => Plain::json(200, info(sim)).into(),
        ("/" | "/health" | "/ping", true) => Plain::new(200, "", "").into(),
        ("/v1/models", true) => {
            let id = js(sim.config.model());
            let model =
                format!("{{\"id\":{id},\"object\":\"model\",\"created\":0,\"owned_by\":{id}}}");
            Plain::json(200, format!("{{\"object\":\"list\",\"data\":[{model}]}}")).into()
        }
        ("/metrics", true) => Plain::new(200, "text/plain; charset=utf-8", metrics(sim)).into(),
        ("/generate", false) => native(sim, call, Form::Object),
        ("/generate_stream", false) => native(sim, call, Form::Events),
        ("/", false) => native(sim, call, Form::Compat),
        ("/v1/chat/completions", false) => openai(sim, call, true),
        ("/v1/completions", false) => openai(sim, call, false),
        (
            "/info"
            | "/health"
            | "/ping"
            | "/v1/models"
            | "/metrics"
            | "/generate"
            | "/generate_stream"
            | "/v1/chat/completions"
            | "/v1/completions",
            _,
        ) => Plain::new(405, "", "").into(),
        _ => Plain::new(404, "", "").into(),
    }
}

fn has_key(call: &Call, key: &str) -> bool {
    let given = call
        .headers
        .get(http::header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    given.is_some_and(|given| given.eq_ignore_ascii_case(&format!("Bearer {key}")))
}

fn info(sim: &Sim) -> String {
    let (id, total) = (js(sim.config.model()), sim.config.context);
    let commit = &hex64(sim.config.model())[..40];
    let (parallel, input) = (sim.config.parallel, total - 1);
    format!(
        "{{\"model_id\":{id},\"model_sha\":\"{commit}\",\"model_pipeline_tag\":\"text-generation\",\
         \"max_concurrent_requests\":{parallel},\"max_best_of\":2,\"max_stop_sequences\":4,\"max_input_tokens\":{input},\
         \"max_total_tokens\":{total},\"validation_workers\":2,\"max_client_batch_size\":4,\
         \"router\":\"text-generation-router\",\"version\":\"{VERSION}\",\
         \"sha\":\"1111222233334444555566667777888899990000\",\"docker_label\":\"sha-1111222\"}}"
    )
}

fn error_body(message: &str, kind: &str) -> String {
    format!("{{\"error\":{},\"error_type\":\"{kind}\"}}", js(message))
}

const OVERLOADED: &str = "Model is overloaded";
const FAILED: &str = "Request failed during generation: Server error: CUDA out of memory";

fn overflow(sim: &Sim, input: u32, asked: u32) -> Option<String> {
    let total = sim.config.context;
    (input.saturating_add(asked) > total).then(|| {
        format!(
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= {total}. Given: {input} `inputs` \
             tokens and {asked} `max_new_tokens`"
        )
    })
}

/// Framing of one event: the oldest versions leave the space out.
fn event(sim: &Sim, data: &str) -> String {
    let space = if sim.config.legacy { "" } else { " " };
    format!("data:{space}{data}\n\n")
}

/// The tokens as TGI tells them: an end mark is a token of its own, special and without text in the answer.
fn told(generation: &Generation) -> Vec<(Token, bool)> {
    let mut tokens: Vec<(Token, bool)> = generation
        .tokens
        .iter()
        .map(|token| (token.clone(), false))
        .collect();
    if generation.finish == Finish::Stop {
        tokens.push((
            Token {
                id: 2,
                text: "</s>",
            },
            true,
        ));
    }
    tokens
}

fn token_json((token, special): &(Token, bool)) -> String {
    // A log probability that depends on the token alone.
    let logprob = f64::from(token.id % 97) / -50.0 - 0.01;
    format!(
        "{{\"id\":{},\"text\":{},\"logprob\":{logprob},\"special\":{special}}}",
        token.id,
        js(token.text)
    )
}

fn native_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "eos_token",
        Finish::Length => "length",
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Object,
    Events,
    Compat,
}

fn native(sim: &Sim, call: &Call, form: Form) -> Answer {
    let body = call.json().unwrap_or(Value::Null);
    let form = if form == Form::Compat && body["stream"].as_bool() == Some(true) {
        Form::Events
    } else {
        form
    };
    let Some(inputs) = body["inputs"].as_str() else {
        let message =
            "Failed to deserialize the JSON body into the target type: missing field `inputs`";
        return Answer::Refused(Plain::new(422, "text/plain; charset=utf-8", message));
    };
    let parameters = &body["parameters"];
    let limit = parameters["max_new_tokens"]
        .as_u64()
        .map_or(100, |n| u32::try_from(n).unwrap_or(u32::MAX));
    let prompt = Prompt::of_text(inputs);
    if let Some(message) = overflow(sim, prompt.len(), limit) {
        let body = error_body(&message, "validation");
        return Answer::Refused(match form {
            Form::Events => Plain::new(200, EVENTS, event(sim, &body)),
            Form::Object | Form::Compat => Plain::json(422, body),
        });
    }
    let seed = parameters["seed"].as_u64();
    let generation = Generation::plan(&sim.config, &prompt, 0, Some(limit), seed);
    let details = parameters["details"].as_bool().unwrap_or(false) && !sim.faults().no_usage;
    let seed = seed.map_or("null".to_owned(), |seed| seed.to_string());
    let characters = inputs.chars().count();
    let reply = match form {
        Form::Events => events(sim, &generation, details, &seed, characters),
        Form::Object | Form::Compat => {
            let body = object(&generation, details, &seed);
            let body = if form == Form::Compat {
                format!("[{body}]")
            } else {
                body
            };
            Reply::Whole(counted(
                sim,
                Plain::json(200, body),
                &generation,
                characters,
            ))
        }
    };
    job(sim, generation, reply, form == Form::Events)
}

fn job(sim: &Sim, generation: Generation, reply: Reply, inside: bool) -> Answer {
    let busy = error_body(OVERLOADED, "overloaded");
    Answer::Generate(Box::new(Job {
        output_tokens: generation.output_tokens_with_end(),
        generation,
        reply,
        overloaded: if inside {
            Plain::new(200, EVENTS, event(sim, &busy))
        } else {
            Plain::json(429, busy)
        },
        failed: Plain::json(424, error_body(FAILED, "generation")),
        load: std::time::Duration::ZERO,
    }))
}

/// The headers that carry the counts of an answer in one body.
fn counted(sim: &Sim, plain: Plain, generation: &Generation, characters: usize) -> Plain {
    let tokens = generation.output_tokens_with_end();
    let inference = (sim.config.ttft + sim.config.token_interval() * tokens)
        .as_secs_f64()
        .max(0.001);
    let ms = (inference * 1e3) as u64;
    let plain = plain
        .with("x-compute-type", "gpu+optimized")
        .with("x-compute-time", format!("{inference:.6}"))
        .with("x-compute-characters", characters.to_string())
        .with("x-total-time", (ms + 2).to_string())
        .with("x-validation-time", "1")
        .with("x-queue-time", "0")
        .with("x-inference-time", ms.to_string())
        .with(
            "x-time-per-token",
            (ms / u64::from(tokens.max(1))).to_string(),
        );
    if sim.faults().no_usage {
        return plain;
    }
    plain
        .with("x-prompt-tokens", generation.prompt_tokens.to_string())
        .with("x-generated-tokens", tokens.to_string())
}

fn object(generation: &Generation, details: bool, seed: &str) -> String {
    let text = js(&generation.text());
    if !details {
        return format!("{{\"generated_text\":{text}}}");
    }
    let tokens = told(generation);
    let written: Vec<String> = tokens.iter().map(token_json).collect();
    format!(
        "{{\"generated_text\":{text},\"details\":{{\"finish_reason\":\"{}\",\"generated_tokens\":{},\"seed\":{seed},\
         \"prefill\":[],\"tokens\":[{}]}}}}",
        native_reason(generation.finish),
        tokens.len(),
        written.join(",")
    )
}

fn stream_head(characters: usize) -> Plain {
    Plain::new(200, EVENTS, "")
        .with("cache-control", "no-cache")
        .with("x-compute-type", "gpu+optimized")
        .with("x-compute-characters", characters.to_string())
        .with("x-accel-buffering", "no")
}

fn events(
    sim: &Sim,
    generation: &Generation,
    details: bool,
    seed: &str,
    characters: usize,
) -> Reply {
    let tokens = told(generation);
    let count = tokens.len();
    let mut pieces = Vec::with_capacity(count);
    for (index, token) in tokens.iter().enumerate() {
        let (at, token) = (index as u32 + 1, token_json(token));
        let last = index + 1 == count;
        let end = if !last {
            "\"generated_text\":null,\"details\":null".to_owned()
        } else if !details {
            format!(
                "\"generated_text\":{},\"details\":null",
                js(&generation.text())
            )
        } else {
            format!(
                "\"generated_text\":{},\"details\":{{\"finish_reason\":\"{}\",\"generated_tokens\":{count},\
                 \"seed\":{seed},\"input_length\":{}}}",
                js(&generation.text()),
                native_reason(generation.finish),
                generation.prompt_tokens
            )
        };
        let bytes = event(sim, &format!("{{\"index\":{at},\"token\":{token},{end}}}"));
        pieces.push(if last {
            Piece::terminal(at, bytes)
        } else {
            Piece::new(at, bytes)
        });
    }
    Reply::Stream {
        head: stream_head(characters),
        head_with_first: false,
        pieces,
        error: vec![event(sim, &error_body(FAILED, "generation")).into()],
        fails_inside: true,
    }
}

fn openai_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

fn openai(sim: &Sim, call: &Call, chat: bool) -> Answer {
    let body = call.json().unwrap_or(Value::Null);
    let member = if chat { "messages" } else { "prompt" };
    if body[member].is_null() {
        let message = format!(
            "Failed to deserialize the JSON body into the target type: missing field `{member}`"
        );
        return Answer::Refused(Plain::new(422, "text/plain; charset=utf-8", message));
    }
    let asked = Asked::read(&body);
    let prompt = if chat {
        Prompt::of_messages(&body["messages"])
    } else {
        Prompt::of_prompt(&body["prompt"])
    };
    let limit = asked.limit.unwrap_or(100);
    if let Some(message) = overflow(sim, prompt.len(), limit) {
        if asked.stream {
            let inside = inside_error(sim, &message);
            return Answer::Refused(Plain::new(200, EVENTS, inside));
        }
        return Answer::Refused(Plain::json(422, error_body(&message, "validation")));
    }
    let generation = Generation::plan(&sim.config, &prompt, 0, Some(limit), asked.seed);
    let named = body["model"]
        .as_str()
        .filter(|name| *name != "tgi")
        .unwrap_or(sim.config.model());
    let silent = sim.faults().no_usage;
    let form = OpenAi {
        created: unix_now().as_secs(),
        model: js(named),
        chat,
        usage: asked.include_usage && !silent,
        silent,
    };
    let reply = if asked.stream {
        form.stream(sim, &generation)
    } else {
        let plain = Plain::json(200, form.whole(&generation));
        Reply::Whole(counted(sim, plain, &generation, call.body.len()))
    };
    let mut answer = job(sim, generation, reply, false);
    if let Answer::Generate(job) = &mut answer
        && asked.stream
    {
        job.overloaded = Plain::new(200, EVENTS, inside_error(sim, OVERLOADED));
    }
    answer
}

/// An error inside an OpenAI stream: 422 whatever the cause.
fn inside_error(sim: &Sim, message: &str) -> String {
    let data = format!(
        "{{\"error\":{{\"message\":{},\"http_status_code\":422}}}}",
        js(message)
    );
    event(sim, &data) + &event(sim, "[DONE]")
}

struct OpenAi {
    created: u64,
    model: String,
    chat: bool,
    usage: bool,
    silent: bool,
}

impl OpenAi {
    fn usage(&self, generation: &Generation) -> String {
        let (input, output) = (
            generation.prompt_tokens,
            generation.output_tokens_with_end(),
        );
        let total = input + output;
        format!(
            "{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{total}}}"
        )
    }

    fn chat_chunk(&self, choices: &str, usage: &str) -> String {
        let Self { created, model, .. } = self;
        format!(
            "{{\"object\":\"chat.completion.chunk\",\"id\":\"\",\"created\":{created},\"model\":{model},\
             \"system_fingerprint\":\"{FINGERPRINT}\",\"choices\":[{choices}],\"usage\":{usage}}}"
        )
    }

    /// One token of a chat, or of a completion: their members come in another order.
    fn token(&self, text: &str, finish: Option<&str>, generation: &Generation) -> String {
        let (text, Self { created, model, .. }) = (js(text), self);
        if self.chat {
            let finish = finish.map_or("null".to_owned(), js);
            let choice = format!(
                "{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":{text}}},\"logprobs\":null,\
                 \"finish_reason\":{finish}}}"
            );
            return self.chat_chunk(&choice, "null");
        }
        let choice = |finish: &str| {
            format!(
                "\"choices\":[{{\"index\":0,\"text\":{text},\"logprobs\":null,\"finish_reason\":\"{finish}\"}}]"
            )
        };
        let head = format!("\"object\":\"text_completion\",\"id\":\"\",\"created\":{created}");
        let origin = format!("\"model\":{model},\"system_fingerprint\":\"{FINGERPRINT}\"");
        match finish {
            None => format!("{{{head},{},{origin}}}", choice("")),
            Some(finish) if self.silent => format!("{{{head},{origin},{}}}", choice(finish)),
            Some(finish) => format!(
                "{{{head},{origin},{},\"usage\":{}}}",
                choice(finish),
                self.usage(generation)
            ),
        }
    }

    fn stream(&self, sim: &Sim, generation: &Generation) -> Reply {
        let tokens = told(generation);
        let end = tokens.len() as u32;
        let mut pieces = Vec::new();
        for (index, (token, special)) in tokens.iter().enumerate() {
            let at = index as u32 + 1;
            let finish = (at == end).then(|| openai_reason(generation.finish));
            let text = if *special { "" } else { token.text };
            pieces.push(Piece::new(
                at,
                event(sim, &self.token(text, finish, generation)),
            ));
        }
        if self.usage && self.chat {
            let usage = self.chat_chunk("", &self.usage(generation));
            pieces.push(Piece::new(end, event(sim, &usage)));
        }
        let done = if sim.config.legacy {
            "data:[DONE]\n\n"
        } else {
            DONE
        };
        pieces.push(Piece::terminal(end, done));
        Reply::Stream {
            head: stream_head(0),
            head_with_first: false,
            pieces,
            error: vec![inside_error(sim, FAILED).into()],
            fails_inside: true,
        }
    }

    fn whole(&self, generation: &Generation) -> String {
        let Self { created, model, .. } = self;
        let (text, finish, usage) = (
            js(&generation.text()),
            openai_reason(generation.finish),
            self.usage(generation),
        );
        let usage = if self.silent {
            "null".to_owned()
        } else {
            usage
        };
        let (object, choice) = if self.chat {
            (
                "chat.completion",
                format!("\"message\":{{\"role\":\"assistant\",\"content\":{text}}}"),
            )
        } else {
            ("text_completion", format!("\"text\":{text}"))
        };
        format!(
            "{{\"object\":\"{object}\",\"id\":\"\",\"created\":{created},\"model\":{model},\
             \"system_fingerprint\":\"{FINGERPRINT}\",\"choices\":[{{\"index\":0,{choice},\"logprobs\":null,\
             \"finish_reason\":\"{finish}\"}}],\"usage\":{usage}}}"
        )
    }
}

fn metrics(sim: &Sim) -> String {
    let stats = sim.log().stats.clone();
    let held = stats.running * 128;
    format!(
        "# HELP tgi_request_count Total number of requests\n# TYPE tgi_request_count counter\ntgi_request_count {}\n\n\
         # HELP tgi_request_success Number of successful requests\n# TYPE tgi_request_success counter\n\
         tgi_request_success {}\n\n# TYPE tgi_request_failure counter\ntgi_request_failure{{err=\"overloaded\"}} {}\n\
         tgi_request_failure{{err=\"validation\"}} {}\ntgi_request_failure{{err=\"dropped\"}} {}\n\n\
         # HELP tgi_queue_size Current queue size\n# TYPE tgi_queue_size gauge\ntgi_queue_size {}\n\n\
         # HELP tgi_batch_current_size Current batch size\n# TYPE tgi_batch_current_size gauge\n\
         tgi_batch_current_size {}\n\n# HELP tgi_batch_current_max_tokens Maximum tokens for the current batch\n\
         # TYPE tgi_batch_current_max_tokens gauge\ntgi_batch_current_max_tokens {held}\n\n\
         # TYPE tgi_batch_max_total_tokens gauge\ntgi_batch_max_total_tokens 98304\n",
        stats.requests,
        stats.finished,
        stats.overloaded,
        stats.refused,
        stats.cancelled,
        stats.waiting,
        stats.running
    )
}
