//! `/api/chat`, `/api/generate`, `/api/embed`: one JSON object a line.

use super::super::answer::{Answer, Call, Piece, Plain, Reply, go_js};
use super::super::engine::{Sim, rfc3339, unix_now};
use super::super::text::{Generation, Prompt};
use super::{CONTEXT, FAILED, JSON, VECTOR, accept, embedding_job, job, native_error, ok, reason};
use serde_json::Value;
use std::time::Duration;

pub(super) fn generate(sim: &Sim, call: &Call) -> Answer {
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

pub(super) fn embed(sim: &Sim, call: &Call) -> Answer {
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
