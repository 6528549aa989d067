//! Triton Inference Server 2.71 with a TensorRT-LLM model.
//!
//! Particular: the `/v2` routes alone; readiness is strict and says no with 400; listing models is a POST; a stream
//! has no end mark, no finish reason and, unless the model is configured to tell them, no counts, which are then
//! those of each event alone; metrics on a port of their own, two above.

use super::answer::{Answer, Call, Job, Piece, Plain, Reply, event, js};
use super::engine::Sim;
use super::text::{Finish, Generation, Prompt};
use serde_json::Value;

const VERSION: &str = "2.71.0";
/// The name of the model whose stream carries all that TensorRT-LLM's ensemble puts out.
const ENSEMBLE: &str = "ensemble";
/// What the ensemble puts out before and after the name and version of the model.
const BEFORE: &str =
    "\"batch_index\":0,\"context_logits\":0.0,\"cum_log_probs\":0.0,\"generation_logits\":0.0,";
const AFTER: &str = "\"output_log_probs\":[0.0],\"sequence_end\":false,\"sequence_id\":0,\"sequence_index\":0,\
                     \"sequence_start\":false,";
/// Blocks of the KV cache.
const BLOCKS: u64 = 6239;

pub(super) fn answer(sim: &Sim, call: &Call) -> Answer {
    let is_get = call.method == "GET";
    match (call.path.as_str(), is_get) {
        ("/v2", true) => Plain::json(200, server()).into(),
        ("/v2/health/live", true) => Plain::new(200, "", "").into(),
        ("/v2/health/ready", true) => {
            let is_ready = sim.loading_left().is_zero();
            Plain::new(if is_ready { 200 } else { 400 }, "", "").into()
        }
        ("/v2/repository/index", false) => Plain::json(200, index(sim)).into(),
        ("/v2" | "/v2/health/live" | "/v2/health/ready" | "/v2/repository/index", _) => {
            error(405, "Method Not Allowed").into()
        }
        (path, _) => match path.strip_prefix("/v2/models/") {
            Some(rest) => model_route(sim, call, rest, is_get),
            None => error(404, "Not Found").into(),
        },
    }
}

/// `NAME[/versions/N][/ready|/generate|/generate_stream]`
fn model_route(sim: &Sim, call: &Call, rest: &str, is_get: bool) -> Answer {
    let mut parts = rest.split('/');
    let name = parts.next().unwrap_or_default();
    let mut verb = parts.next();
    if verb == Some("versions") {
        parts.next();
        verb = parts.next();
    }
    let is_known = sim.config.models.iter().any(|model| model == name);
    match (verb, is_get) {
        (Some("ready"), true) => Plain::new(if is_known { 200 } else { 400 }, "", "").into(),
        _ if !is_known => {
            let message = format!("Request for unknown model: '{name}' is not found");
            Answer::Refused(error(404, &message))
        }
        (Some("generate"), false) => generate(sim, call, name, false),
        (Some("generate_stream"), false) => generate(sim, call, name, true),
        (Some("generate" | "generate_stream" | "ready"), _) => {
            error(405, "Method Not Allowed").into()
        }
        _ => error(404, "Not Found").into(),
    }
}

fn error(status: u16, message: &str) -> Plain {
    Plain::json(status, format!("{{\"error\":{}}}", js(message)))
}

fn server() -> String {
    format!(
        "{{\"name\":\"triton\",\"version\":\"{VERSION}\",\"extensions\":[\"classification\",\"sequence\",\
         \"model_repository\",\"model_repository(unload_dependents)\",\"schedule_policy\",\"model_configuration\",\
         \"system_shared_memory\",\"cuda_shared_memory\",\"binary_tensor_data\",\"parameters\",\"statistics\",\
         \"trace\",\"logging\"]}}"
    )
}

fn index(sim: &Sim) -> String {
    let state = if sim.loading_left().is_zero() {
        "READY"
    } else {
        "LOADING"
    };
    let model = |name: &String| {
        let name = js(name);
        format!("{{\"name\":{name},\"version\":\"1\",\"state\":\"{state}\"}}")
    };
    let models: Vec<String> = sim.config.models.iter().map(model).collect();
    format!("[{}]", models.join(","))
}

fn generate(sim: &Sim, call: &Call, model: &str, is_stream: bool) -> Answer {
    let Some(body @ Value::Object(_)) = call.json() else {
        return Answer::Refused(error(400, "failed to parse the request JSON buffer"));
    };
    let Some(text) = body["text_input"].as_str() else {
        let message = format!(
            "[request id: <id_unknown>] expected 'text_input' for model '{model}', got none"
        );
        return Answer::Refused(error(400, &message));
    };
    // Inputs stand beside the text or below `parameters`.
    let input = |name: &str| match &body[name] {
        Value::Null => &body["parameters"][name],
        value => value,
    };
    let limit = input("max_tokens").as_u64();
    let limit = limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    let prompt = Prompt::of_text(text);
    if prompt.len() >= sim.config.context {
        return Answer::Refused(error(400, "Executor failed: context exceeded"));
    }
    let cached = sim.cached_prefix(&prompt);
    let generation = Generation::plan(&sim.config, &prompt, cached, limit, input("seed").as_u64());
    let form = Form {
        model: js(model),
        is_ensemble: model == ENSEMBLE,
        counts: sim.config.prompt_details && !sim.faults().no_usage,
        input: generation.prompt_tokens,
    };
    let reply = if is_stream {
        form.stream(&generation)
    } else {
        form.whole(&generation)
    };
    Answer::Generate(Box::new(Job {
        output_tokens: generation.output_tokens_with_end(),
        generation,
        reply,
        overloaded: error(503, "Exceeds maximum queue size"),
        failed: error(500, "Executor failed: internal error"),
        load: std::time::Duration::ZERO,
    }))
}

struct Form {
    model: String,
    is_ensemble: bool,
    /// Whether the model is configured to tell its counts.
    counts: bool,
    input: u32,
}

impl Form {
    /// One response: its text, and the tokens that are new in it.
    fn response(&self, text: &str, tokens: u32) -> String {
        let (model, text, input) = (&self.model, js(text), self.input);
        let (before, after) = if self.is_ensemble {
            (BEFORE, AFTER)
        } else {
            ("", "")
        };
        let counts = if self.counts {
            format!("\"num_input_tokens\":{input},\"num_output_tokens\":{tokens},")
        } else {
            String::new()
        };
        format!(
            "{{{before}\"model_name\":{model},\"model_version\":\"1\",{counts}{after}\"text_output\":{text}}}"
        )
    }

    fn stream(&self, generation: &Generation) -> Reply {
        let mut told = 0;
        let mut pieces = Vec::new();
        for (text, at) in generation.whole_characters() {
            pieces.push(Piece::new(at, event(&self.response(text, at - told))));
            told = at;
        }
        let end = generation.output_tokens_with_end();
        if self.counts && told < end && generation.finish == Finish::Stop {
            // The end of the sequence is a token without text.
            pieces.push(Piece::new(end, event(&self.response("", end - told))));
        }
        Reply::Stream {
            head: Plain::new(200, "text/event-stream; charset=utf-8", ""),
            head_with_first: true,
            pieces,
            error: vec![event("{\"error\":\"Executor failed: context exceeded\"}").into()],
            fails_inside: false,
        }
    }

    fn whole(&self, generation: &Generation) -> Reply {
        let tokens = generation.output_tokens_with_end();
        Reply::Whole(Plain::json(200, self.response(&generation.text(), tokens)))
    }
}

/// What the metrics port answers.
pub(super) fn metrics(sim: &Sim, path: &str) -> Plain {
    if path != "/metrics" {
        return error(404, "Not Found");
    }
    let stats = sim.log().stats.clone();
    let model = js(sim.config.model());
    let (active, waiting, used) = (stats.running, stats.waiting, stats.running * 8);
    let (free, fraction) = (BLOCKS - used, used as f64 / BLOCKS as f64);
    let mut text = format!(
        "# HELP nv_inference_request_success Number of successful inference requests, all batch sizes\n\
         # TYPE nv_inference_request_success counter\n\
         nv_inference_request_success{{model={model},version=\"1\"}} {}\n\
         # HELP nv_inference_pending_request_count Instantaneous number of pending requests awaiting execution per-model.\n\
         # TYPE nv_inference_pending_request_count gauge\n\
         nv_inference_pending_request_count{{model={model},version=\"1\"}} 0\n\
         # HELP nv_trt_llm_request_metrics TRT LLM request metrics\n\
         # TYPE nv_trt_llm_request_metrics gauge\n",
        stats.finished
    );
    for (kind, value) in [
        ("waiting", waiting),
        ("context", 0),
        ("scheduled", active),
        ("max", 512),
        ("active", active + waiting),
    ] {
        text.push_str(&format!(
            "nv_trt_llm_request_metrics{{model={model},request_type=\"{kind}\",version=\"1\"}} {value}\n"
        ));
    }
    text.push_str("# HELP nv_trt_llm_kv_cache_block_metrics TRT LLM KV cache block metrics\n");
    text.push_str("# TYPE nv_trt_llm_kv_cache_block_metrics gauge\n");
    for (kind, value) in [
        ("fraction", fraction),
        ("tokens_per", 64.0),
        ("used", used as f64),
        ("free", free as f64),
        ("max", BLOCKS as f64),
    ] {
        text.push_str(&format!(
            "nv_trt_llm_kv_cache_block_metrics{{kv_cache_block_type=\"{kind}\",model={model},version=\"1\"}} {value}\n"
        ));
    }
    Plain::new(200, "text/plain; charset=utf-8", text)
}
