//! Answers with choices, whole or put together of their chunks, in the one form that is hashed.
//!
//! The form holds what both stock SDKs of OpenAI give a client, whether it reads chunks or lets the SDK put them
//! together: texts add up, names and marks are the last that came, and nothing that is empty is told apart from
//! nothing. Left out is what they do not agree on, or drop: log probabilities, ids of the answer, parsed forms. Text of
//! reasoning has a hash of its own, because the Node SDK keeps only its last piece.

use super::{Blake3Hash, ContentKey};
use crate::limits::{CONTENT_BYTES, CONTENT_CHOICES, CONTENT_TOOL_CALLS};
use crate::strict::{self, Member, Value};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Why a chunk or an answer is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// Not JSON, or a known member of it has a wrong type or stands there twice.
    #[error("not an answer with choices, nor a chunk of one")]
    Malformed(#[source] serde_json::Error),
    /// The texts add up to more than 32 MiB.
    #[error("an answer has at most {CONTENT_BYTES} bytes")]
    TooLarge,
    /// Over 128 choices.
    #[error("an answer has at most {CONTENT_CHOICES} choices")]
    TooManyChoices,
    /// Over 128 tool calls in one choice.
    #[error("a choice has at most {CONTENT_TOOL_CALLS} tool calls")]
    TooManyToolCalls,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    choices: Option<Vec<AnswerChoice>>,
}

#[derive(Deserialize)]
struct AnswerChoice {
    index: Option<u32>,
    /// Of a chunk.
    delta: Option<Message>,
    /// Of a whole answer.
    message: Option<Message>,
    /// Of `/v1/completions`.
    text: Option<String>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    role: Option<String>,
    content: Option<String>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    tool_calls: Option<Vec<MessageToolCall>>,
    function_call: Option<MessageFunction>,
}

#[derive(Deserialize)]
struct MessageToolCall {
    index: Option<u32>,
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    function: Option<MessageFunction>,
}

#[derive(Deserialize)]
struct MessageFunction {
    name: Option<String>,
    arguments: Option<String>,
}

/// The choices of one answer, by index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    choices: BTreeMap<u32, Choice>,
    /// Bytes that were added to texts and names.
    bytes: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Choice {
    finish_reason: String,
    text: String,
    role: String,
    content: String,
    refusal: String,
    reasoning: String,
    tool_calls: BTreeMap<u32, ToolCall>,
    function_call: Function,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ToolCall {
    id: String,
    kind: String,
    function: Function,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Function {
    name: String,
    arguments: String,
}

impl Choices {
    /// The choices of a whole answer.
    ///
    /// # Errors
    /// [`ContentError`].
    pub fn of_answer(json: &[u8]) -> Result<Self, ContentError> {
        let mut choices = Self::default();
        choices.add(json)?;
        Ok(choices)
    }

    /// Adds the next chunk of a stream: the JSON of one `data:` line. One without choices, such as that of the usage,
    /// adds nothing.
    ///
    /// # Errors
    /// [`ContentError`]: what the chunk had before the fault may have been added, so nothing can be said of the answer.
    pub fn add(&mut self, json: &[u8]) -> Result<(), ContentError> {
        if json.len() > CONTENT_BYTES {
            return Err(ContentError::TooLarge);
        }
        let answer: Answer = serde_json::from_slice(json).map_err(ContentError::Malformed)?;
        let choices = answer.choices.unwrap_or_default();
        for (position, choice) in choices.into_iter().enumerate() {
            let index = index_or(choice.index, position);
            self.add_choice(index, choice)?;
        }
        Ok(())
    }

    fn add_choice(&mut self, index: u32, from: AnswerChoice) -> Result<(), ContentError> {
        if self.choices.len() == CONTENT_CHOICES && !self.choices.contains_key(&index) {
            return Err(ContentError::TooManyChoices);
        }
        let choice = self.choices.entry(index).or_default();
        let mut room = Room(&mut self.bytes);
        room.replace(&mut choice.finish_reason, from.finish_reason)?;
        room.append(&mut choice.text, from.text)?;
        for message in [from.delta, from.message].into_iter().flatten() {
            choice.add_message(message, &mut room)?;
        }
        Ok(())
    }

    /// Keyed hash of the canonical form of all choices.
    pub fn content_hash(&self, key: &ContentKey) -> Blake3Hash {
        key.keyed_hash(&self.canonical())
    }

    /// Keyed hash of the canonical form of what the model reasoned; `None` where there is nothing of the kind.
    pub fn reasoning_hash(&self, key: &ContentKey) -> Option<Blake3Hash> {
        let choices = self.choices.iter();
        let reasoned: Vec<Value<'_>> = choices
            .filter(|(_, choice)| !choice.reasoning.is_empty())
            .map(|(index, choice)| {
                Object::new()
                    .with("index", Value::Int(i64::from(*index)))
                    .text("reasoning", &choice.reasoning)
                    .value()
            })
            .collect();
        let is_some = !reasoned.is_empty();
        is_some.then(|| key.keyed_hash(&strict::canonical(&Value::Array(reasoned))))
    }

    /// The RFC 8785 bytes that [`content_hash`](Self::content_hash) covers: an array of the choices by rising index.
    pub fn canonical(&self) -> Vec<u8> {
        let choices = self.choices.iter();
        let choices = choices.map(|(index, choice)| choice.value(*index));
        strict::canonical(&Value::Array(choices.collect()))
    }
}

/// What stands in a list without an index has its position for one.
fn index_or(index: Option<u32>, position: usize) -> u32 {
    index.unwrap_or_else(|| u32::try_from(position).unwrap_or(u32::MAX))
}

/// Counts what is added to an answer.
struct Room<'a>(&'a mut usize);

impl Room<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), ContentError> {
        *self.0 = self.0.saturating_add(bytes);
        if *self.0 > CONTENT_BYTES {
            return Err(ContentError::TooLarge);
        }
        Ok(())
    }

    fn append(&mut self, to: &mut String, text: Option<String>) -> Result<(), ContentError> {
        let Some(text) = text else { return Ok(()) };
        self.take(text.len())?;
        if to.is_empty() {
            *to = text;
        } else {
            to.push_str(&text);
        }
        Ok(())
    }

    /// Puts `text` in the place of what was there, unless it says nothing.
    fn replace(&mut self, to: &mut String, text: Option<String>) -> Result<(), ContentError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        self.take(text.len())?;
        *to = text;
        Ok(())
    }
}

impl Choice {
    fn add_message(&mut self, from: Message, room: &mut Room<'_>) -> Result<(), ContentError> {
        room.replace(&mut self.role, from.role)?;
        room.append(&mut self.content, from.content)?;
        room.append(&mut self.refusal, from.refusal)?;
        // Runtimes use one of two names; some send the same text under both.
        let reasoning = from.reasoning_content.or(from.reasoning);
        room.append(&mut self.reasoning, reasoning)?;
        if let Some(function) = from.function_call {
            self.function_call.add(function, room)?;
        }
        let calls = from.tool_calls.unwrap_or_default();
        for (position, call) in calls.into_iter().enumerate() {
            let index = index_or(call.index, position);
            let is_new = !self.tool_calls.contains_key(&index);
            if is_new && self.tool_calls.len() == CONTENT_TOOL_CALLS {
                return Err(ContentError::TooManyToolCalls);
            }
            self.tool_calls.entry(index).or_default().add(call, room)?;
        }
        Ok(())
    }

    fn value(&self, index: u32) -> Value<'_> {
        let calls = self.tool_calls.values().map(ToolCall::value).collect();
        let message = Object::new()
            .text("role", &self.role)
            .text("content", &self.content)
            .text("refusal", &self.refusal)
            .object("function_call", self.function_call.object())
            .list("tool_calls", calls);
        Object::new()
            .with("index", Value::Int(i64::from(index)))
            .text("finish_reason", &self.finish_reason)
            .text("text", &self.text)
            .object("message", message)
            .value()
    }
}

impl ToolCall {
    fn add(&mut self, from: MessageToolCall, room: &mut Room<'_>) -> Result<(), ContentError> {
        room.replace(&mut self.id, from.id)?;
        room.replace(&mut self.kind, from.kind)?;
        match from.function {
            Some(function) => self.function.add(function, room),
            None => Ok(()),
        }
    }

    fn value(&self) -> Value<'_> {
        Object::new()
            .text("id", &self.id)
            .text("type", &self.kind)
            .object("function", self.function.object())
            .value()
    }
}

impl Function {
    fn add(&mut self, from: MessageFunction, room: &mut Room<'_>) -> Result<(), ContentError> {
        room.replace(&mut self.name, from.name)?;
        room.append(&mut self.arguments, from.arguments)
    }

    fn object(&self) -> Object<'_> {
        Object::new()
            .text("name", &self.name)
            .text("arguments", &self.arguments)
    }
}

/// An object in which nothing is empty.
struct Object<'a>(Vec<Member<'a>>);

impl<'a> Object<'a> {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn with(mut self, key: &'static str, value: Value<'a>) -> Self {
        self.0.push(Member {
            key: Cow::Borrowed(key),
            value,
            span: (0, 0),
        });
        self
    }

    fn text(self, key: &'static str, text: &'a str) -> Self {
        if text.is_empty() {
            return self;
        }
        self.with(key, Value::Str(Cow::Borrowed(text)))
    }

    fn object(self, key: &'static str, object: Object<'a>) -> Self {
        if object.0.is_empty() {
            return self;
        }
        self.with(key, object.value())
    }

    fn list(self, key: &'static str, items: Vec<Value<'a>>) -> Self {
        if items.is_empty() {
            return self;
        }
        self.with(key, Value::Array(items))
    }

    fn value(self) -> Value<'a> {
        Value::Object(self.0)
    }
}
