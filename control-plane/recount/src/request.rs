//! What of a request's JSON becomes text of the prompt, and what makes its count uncertain.
//!
//! The rule is closed: a request is exact where nothing stands in it but what is known to be rendered alike everywhere
//! (`messages` of a role and one text; sampling). Whatever else there is, such as tools, partial answers, names of
//! speakers or members that nobody here knows, counts with its JSON and makes the count bounded. What has no text, such
//! as an image, cannot be counted.
//!
//! A member that stands twice has its last value here. The gateway refuses such requests before, with the strict reader
//! that hashes them.

use crate::limits::{MEDIUM_TOKENS, MESSAGES, REQUEST_BYTES, TOOLS_TOKENS};
use crate::template::PlainMessage;
use minijinja::value::{Value, ValueKind};

/// The route that a request is for: it says which of its members is the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
    /// Routes that are passed through, such as `/v1/responses` and `/v1/messages`: never counted.
    Other,
}

/// Members that do not change the prompt, whatever they say.
const NEUTRAL: &[&str] = &[
    "best_of",
    "dimensions",
    "encoding_format",
    "frequency_penalty",
    "function_call",
    "ignore_eos",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "min_p",
    "min_tokens",
    "model",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "repetition_penalty",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "top_k",
    "top_logprobs",
    "top_p",
    "user",
];

/// What can be counted exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exact {
    /// Messages for the template.
    Messages(Vec<PlainMessage>),
    /// A prompt as it is.
    Text,
    /// Tokens that the asker cut itself.
    Tokens,
}

/// What a request asks to be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    /// How it can be reproduced; `None` where there is doubt.
    pub(crate) exact: Option<Exact>,
    /// All that may become prompt.
    pub(crate) text: String,
    /// Tokens that are there as numbers, and those that templates add to tools.
    pub(crate) tokens: u64,
    /// Messages and tools, or prompts.
    pub(crate) messages: u64,
    /// Things without a text.
    pub(crate) media: u64,
}

/// Tokens of media and tools, of which the bytes of a request say nothing.
pub(crate) fn beyond_bytes(route: Route, reading: Option<&Reading>, body: &[u8]) -> u64 {
    let media = match reading {
        Some(reading) => reading.media,
        None if body.len() <= REQUEST_BYTES && route == Route::Other => {
            serde_json::from_slice(body).map_or(0, |value| media_within(&value))
        }
        None => 0,
    };
    media
        .saturating_mul(MEDIUM_TOKENS)
        .saturating_add(TOOLS_TOKENS)
}

/// Reads a request; `None` where it is too large, or has no prompt in the route's form.
pub(crate) fn read(route: Route, body: &[u8]) -> Option<Reading> {
    if body.len() > REQUEST_BYTES {
        return None;
    }
    let prompt = match route {
        Route::Chat => "messages",
        Route::Completions => "prompt",
        Route::Embeddings => "input",
        Route::Other => return None,
    };
    let request: Value = serde_json::from_slice(body).ok()?;
    let mut reading = Reading::default();
    let mut doubts = Vec::new();
    let mut is_found = false;
    for (name, value) in members(&request)? {
        if value.is_none() || NEUTRAL.contains(&name.as_str()) {
            continue;
        }
        match name.as_str() {
            name if name == prompt => {
                is_found = true;
                match route {
                    Route::Chat => reading.take_messages(&value)?,
                    _ => reading.take_prompts(&value)?,
                }
            }
            "tools" | "functions" => doubts.extend(reading.take_tools(&value)),
            "response_format" if text_of(&value, "type").as_deref() == Some("text") => {}
            _ => doubts.push(json(&value)),
        }
    }
    if !doubts.is_empty() {
        reading.exact = None;
        doubts.iter().for_each(|doubt| reading.add(doubt));
    }
    is_found.then_some(reading)
}

impl Reading {
    fn add(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
    }

    fn take_messages(&mut self, messages: &Value) -> Option<()> {
        let messages = items(messages)?;
        self.messages = self.messages.saturating_add(messages.len() as u64);
        let mut plain = (messages.len() <= MESSAGES).then(Vec::new);
        for message in &messages {
            let message = self.take_message(message)?;
            plain = plain.zip(message).map(|(mut plain, message)| {
                plain.push(message);
                plain
            });
        }
        // Runtimes differ in what they do with an answer that has begun.
        let is_open = |last: &PlainMessage| last.role != "assistant";
        self.exact = plain
            .filter(|plain| plain.last().is_some_and(is_open))
            .map(Exact::Messages);
        Some(())
    }

    /// Takes a message's texts, and the message where there is no doubt about it.
    fn take_message(&mut self, message: &Value) -> Option<Option<PlainMessage>> {
        let mut role = None;
        let mut content = None;
        let mut is_plain = true;
        for (name, value) in members(message)? {
            match name.as_str() {
                "role" => role = value.as_str().map(str::to_owned),
                "content" => match value.as_str() {
                    Some(text) => content = Some(text.to_owned()),
                    None => content = self.take_parts(&value),
                },
                _ if value.is_none() => {}
                _ => {
                    is_plain = false;
                    self.add(&json(&value));
                }
            }
        }
        if let Some(content) = &content {
            self.add(content);
        }
        let known = ["system", "user", "assistant"];
        let role = role.filter(|role| is_plain && known.contains(&role.as_str()));
        Some(
            role.zip(content)
                .map(|(role, content)| PlainMessage { role, content }),
        )
    }

    /// Takes the parts of a message. A single text is the same as a text; more of them are put together in one way by
    /// one runtime and in another by the next.
    fn take_parts(&mut self, content: &Value) -> Option<String> {
        if content.is_none() {
            return None;
        }
        let Some(parts) = items(content) else {
            self.add(&json(content));
            return None;
        };
        let mut single = None;
        for part in &parts {
            let kind = text_of(part, "type");
            let text = match kind.as_deref() {
                Some("text" | "input_text" | "output_text") => text_of(part, "text"),
                Some("refusal") => text_of(part, "refusal"),
                _ => None,
            };
            let Some(text) = text else {
                self.media = self.media.saturating_add(1);
                continue;
            };
            let is_bare = part.len() == Some(2);
            if parts.len() == 1 && is_bare && kind.as_deref() == Some("text") {
                single = Some(text);
            } else if is_bare {
                self.add(&text);
            } else {
                self.add(&json(part));
            }
        }
        single
    }

    fn take_tools(&mut self, tools: &Value) -> Option<String> {
        let count = items(tools).map_or(1, |tools| tools.len() as u64);
        if count == 0 {
            return None;
        }
        self.messages = self.messages.saturating_add(count);
        self.tokens = self.tokens.saturating_add(TOOLS_TOKENS);
        Some(json(tools))
    }

    /// Takes a prompt: a text, token ids, or a list of either.
    fn take_prompts(&mut self, prompts: &Value) -> Option<()> {
        if let Some(text) = prompts.as_str() {
            self.messages = self.messages.saturating_add(1);
            self.exact = Some(Exact::Text);
            self.add(text);
            return Some(());
        }
        let list = items(prompts)?;
        if !list.is_empty() && list.iter().all(Value::is_integer) {
            self.messages = self.messages.saturating_add(1);
            self.tokens = self.tokens.saturating_add(list.len() as u64);
            self.exact = Some(Exact::Tokens);
            return Some(());
        }
        for prompt in &list {
            // One level of lists, no more.
            let is_prompt = prompt.as_str().is_some()
                || items(prompt).is_some_and(|ids| ids.iter().all(Value::is_integer));
            is_prompt.then(|| self.take_prompts(prompt))?;
        }
        if list.len() != 1 {
            self.exact = None;
        }
        Some(())
    }
}

fn members(object: &Value) -> Option<Vec<(String, Value)>> {
    if object.kind() != ValueKind::Map {
        return None;
    }
    let pairs = object.as_object()?.try_iter_pairs()?;
    pairs
        .map(|(name, value)| name.as_str().map(|name| (name.to_owned(), value)))
        .collect()
}

fn items(list: &Value) -> Option<Vec<Value>> {
    (list.kind() == ValueKind::Seq).then(|| list.try_iter().ok().map(Iterator::collect))?
}

fn text_of(object: &Value, member: &str) -> Option<String> {
    let value = object.get_attr(member).ok()?;
    value.as_str().map(str::to_owned)
}

fn json(value: &Value) -> String {
    // What was JSON is JSON again.
    serde_json::to_string(value).unwrap_or_default()
}

/// How many objects within a request say by their `type` that they are no text. It is as deep as JSON may be.
fn media_within(value: &Value) -> u64 {
    const MEDIA: [&str; 5] = ["image", "audio", "file", "video", "document"];
    let own = text_of(value, "type");
    let own = own.is_some_and(|kind| MEDIA.iter().any(|medium| kind.contains(medium)));
    let within: u64 = match value.kind() {
        ValueKind::Map => {
            let members = members(value).unwrap_or_default();
            members.iter().map(|(_, value)| media_within(value)).sum()
        }
        ValueKind::Seq => items(value)
            .unwrap_or_default()
            .iter()
            .map(media_within)
            .sum(),
        _ => 0,
    };
    within + u64::from(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(json: &str) -> Reading {
        read(Route::Chat, json.as_bytes()).unwrap()
    }

    fn is_exact(json: &str) -> bool {
        chat(json).exact.is_some()
    }

    #[test]
    fn plain_conversations_are_exact() {
        let reading = chat(
            r#"{"model":"m","messages":[{"role":"system","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}],
               "temperature":0.5,"stop":["x"],"tools":[],"response_format":{"type":"text"},"echo":null}"#,
        );
        let plain = |role: &str, content: &str| PlainMessage {
            role: role.to_owned(),
            content: content.to_owned(),
        };
        let expected = vec![plain("system", "a"), plain("user", "b")];
        assert_eq!(reading.exact, Some(Exact::Messages(expected)));
        assert_eq!((reading.text.as_str(), reading.messages), ("a\nb", 2));
    }

    #[test]
    fn every_doubt_makes_a_count_bounded_and_counts_itself() {
        let user = r#"{"role":"user","content":"hi"}"#;
        assert!(is_exact(&format!(r#"{{"messages":[{user}]}}"#)));
        for (doubt, text) in [
            (format!(r#"{{"messages":[{user},{{"role":"assistant","content":"so"}}]}}"#), "so"),
            (r#"{"messages":[{"role":"user","name":"Ann","content":"hi"}]}"#.to_owned(), "Ann"),
            (r#"{"messages":[{"role":"tool","content":"42"}]}"#.to_owned(), "42"),
            (r#"{"messages":[{"role":"developer","content":"be"}]}"#.to_owned(), "be"),
            (r#"{"messages":[{"role":"user","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}]}]}"#.to_owned(), "two"),
            (r#"{"messages":[{"role":"user","content":[{"type":"text","text":"one","cache_control":{}}]}]}"#.to_owned(), "one"),
            (r#"{"messages":[{"role":"user","content":7}]}"#.to_owned(), "7"),
            (r#"{"messages":[{"role":"user"}]}"#.to_owned(), ""),
            (r#"{"messages":[]}"#.to_owned(), ""),
            (format!(r#"{{"messages":[{user}],"tools":[{{"type":"function","function":{{"name":"look_up"}}}}]}}"#), "look_up"),
            (format!(r#"{{"messages":[{user}],"functions":[{{"name":"look_up"}}]}}"#), "look_up"),
            (format!(r#"{{"messages":[{user}],"chat_template_kwargs":{{"enable_thinking":false}}}}"#), "enable_thinking"),
            (format!(r#"{{"messages":[{user}],"chat_template":"{{{{ 'x' }}}}"}}"#), "x"),
            (format!(r#"{{"messages":[{user}],"documents":[{{"text":"long"}}]}}"#), "long"),
            (format!(r#"{{"messages":[{user}],"add_generation_prompt":false}}"#), "false"),
            (format!(r#"{{"messages":[{user}],"response_format":{{"type":"json_object"}}}}"#), "json_object"),
            (format!(r#"{{"messages":[{user}],"reasoning_effort":"high"}}"#), "high"),
        ] {
            let reading = chat(&doubt);
            assert_eq!(reading.exact, None, "{doubt}");
            assert!(reading.text.contains(text), "{doubt}: {}", reading.text);
            assert_eq!(reading.media, 0, "{doubt}");
        }
        let calls = r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},{"role":"user","content":"x"}]}"#;
        assert!(chat(calls).text.contains("arguments"));
        assert!(!is_exact(calls));
    }

    #[test]
    fn tools_count_with_what_templates_say_about_them() {
        let reading =
            chat(r#"{"messages":[{"role":"user","content":"hi"}],"tools":[{"a":1},{"b":2}]}"#);
        assert_eq!((reading.messages, reading.tokens), (3, TOOLS_TOKENS));
    }

    #[test]
    fn what_has_no_text_is_counted_as_media() {
        for part in [
            r#"{"type":"image_url","image_url":{"url":"https://a/b.png"}}"#,
            r#"{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}"#,
            r#"{"type":"a_new_thing"}"#,
            r#"{"type":"text","text":{}}"#,
            r#""bare""#,
        ] {
            let json = format!(
                r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"see"}},{part}]}}]}}"#
            );
            let reading = chat(&json);
            assert_eq!((reading.media, reading.exact), (1, None), "{part}");
        }
        let other = br#"{"input":[{"content":[{"type":"input_image","image_url":"x"},{"type":"input_file"}]}]}"#;
        assert_eq!(read(Route::Other, other), None);
        assert_eq!(
            beyond_bytes(Route::Other, None, other),
            2 * MEDIUM_TOKENS + TOOLS_TOKENS
        );
    }

    #[test]
    fn prompts_are_texts_or_tokens() {
        let read = |json: &str| read(Route::Completions, json.as_bytes());
        let text = read(r#"{"prompt":"one two","max_tokens":3}"#).unwrap();
        assert_eq!(
            (text.exact, text.text.as_str()),
            (Some(Exact::Text), "one two")
        );
        assert_eq!(
            read(r#"{"prompt":["one"]}"#).unwrap().exact,
            Some(Exact::Text)
        );
        let tokens = read(r#"{"prompt":[1,2,3]}"#).unwrap();
        assert_eq!((tokens.exact, tokens.tokens), (Some(Exact::Tokens), 3));
        let lists = read(r#"{"prompt":[[1,2],[3]]}"#).unwrap();
        assert_eq!((lists.exact, lists.tokens, lists.messages), (None, 3, 2));
        let texts = read(r#"{"prompt":["a","b"]}"#).unwrap();
        assert_eq!(
            (texts.exact, texts.text.as_str(), texts.messages),
            (None, "a\nb", 2)
        );
        assert_eq!(read(r#"{"prompt":"a","echo":true}"#).unwrap().exact, None);
        for none in [
            r#"{"prompt":[["a"]]}"#,
            r#"{"prompt":{}}"#,
            r#"{"prompt":[1,"a",{}]}"#,
            "{}",
            "[]",
            "x",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
