//! `/v1`: OpenAI's form of the same answers.

use super::super::answer::{Answer, Asked, Call, DONE, Piece, Plain, Reply, event, go_js};
use super::super::engine::{Sim, unix_now};
use super::super::text::{Generation, Prompt};
use super::{VECTOR, accept, embedding_job, job, openai_error, reason};

pub(super) fn generate(sim: &Sim, call: &Call) -> Answer {
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

pub(super) fn embeddings(sim: &Sim, call: &Call) -> Answer {
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
