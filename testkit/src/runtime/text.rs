//! Deterministic text: the same seed and prompt always give the same tokens, so tests can say what must come out.
//!
//! The vocabulary has on purpose what parsers stumble over: characters of several tokens (a token that adds no
//! text), quotes, line breaks, angle brackets and ampersands, and text outside of Latin.

use super::config::SimConfig;
use serde_json::Value;

/// One generated token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Number in the vocabulary.
    pub id: u32,
    /// What it adds to the text; empty where a character is not complete yet.
    pub text: &'static str,
}

/// Why generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The model said so.
    Stop,
    /// The limit of the request or of the window was reached.
    Length,
}

/// A prompt as the simulated tokenizer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt(pub Vec<u32>);

/// An answer, decided before its first byte goes out.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Prompt tokens that were in the prefix cache.
    pub cached_tokens: u32,
    /// The answer.
    pub tokens: Vec<Token>,
    /// Why it ends.
    pub finish: Finish,
}

const WORDS: [&str; 40] = [
    "The",
    " node",
    " answers",
    " with",
    " a",
    " steady",
    " stream",
    " of",
    " small",
    " words",
    ".",
    "\n",
    " It",
    " counts",
    " every",
    " token",
    ",",
    " signs",
    " \"receipts\"",
    " &",
    " keeps",
    " <time>",
    " in",
    " order",
    ";",
    " nothing",
    " is",
    " lost",
    " when",
    " power",
    " fails",
    " naïve",
    " 東京",
    " ok",
    "!",
    " Then",
    " it",
    " rests",
    " again",
    " done",
];
/// Characters that take several tokens: all but the last add no text.
const SPLIT: [(&str, usize); 3] = [(" 🌍", 3), (" é", 2), (" 語", 2)];

fn mix(state: &mut u64) -> u64 {
    // SplitMix64: small, well spread, and the same everywhere.
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number that depends on nothing but `bytes`.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// 64 hex digits that depend on nothing but `text`: a digest for a model that does not exist.
pub(crate) fn hex64(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

impl Prompt {
    /// Cuts text into tokens of at most four characters that never span a space.
    pub(crate) fn of_text(text: &str) -> Self {
        let mut ids = vec![1];
        for word in text.split_inclusive(char::is_whitespace) {
            let letters: Vec<char> = word.chars().collect();
            for piece in letters.chunks(4) {
                let piece: String = piece.iter().collect();
                ids.push(fingerprint(piece.as_bytes()) as u32);
            }
        }
        Self(ids)
    }

    /// A chat, through a template of four tokens a message.
    pub(crate) fn of_messages(messages: &Value) -> Self {
        let mut text = String::new();
        for message in messages.as_array().into_iter().flatten() {
            let role = message["role"].as_str().unwrap_or("user");
            text.push_str(&format!(
                "<|{role}|>\n{}\n",
                content_text(&message["content"])
            ));
        }
        text.push_str("<|assistant|>\n");
        Self::of_text(&text)
    }

    /// A `prompt` of the completion routes: text, or token numbers.
    pub(crate) fn of_prompt(prompt: &Value) -> Self {
        match prompt {
            Value::String(text) => Self::of_text(text),
            Value::Array(items) => match items.first() {
                Some(Value::String(text)) => Self::of_text(text),
                _ => Self(
                    items
                        .iter()
                        .filter_map(Value::as_u64)
                        .map(|id| id as u32)
                        .collect(),
                ),
            },
            _ => Self::of_text(""),
        }
    }

    /// Length in tokens.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

/// The text of a message: a string, or the text parts of a list.
fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}

impl Generation {
    /// Decides the answer to `prompt`. `limit` is what the request allows; `seed` what it asks for.
    pub(crate) fn plan(
        config: &SimConfig,
        prompt: &Prompt,
        cached: u32,
        limit: Option<u32>,
        seed: Option<u64>,
    ) -> Self {
        let prompt_bytes: Vec<u8> = prompt.0.iter().flat_map(|id| id.to_le_bytes()).collect();
        let mut state =
            fingerprint(&prompt_bytes) ^ config.seed ^ seed.unwrap_or(0).rotate_left(32);
        let natural = config
            .answer_tokens
            .unwrap_or_else(|| 8 + (mix(&mut state) % 41) as u32);
        let room = config.context.saturating_sub(prompt.len()).max(1);
        let limit = limit.unwrap_or(u32::MAX).min(room);
        let (count, finish) = if natural < limit {
            (natural, Finish::Stop)
        } else {
            (limit, Finish::Length)
        };
        Self {
            prompt_tokens: prompt.len(),
            cached_tokens: cached.min(prompt.len()),
            tokens: tokens(&mut state, count as usize),
            finish,
        }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> String {
        self.tokens.iter().map(|token| token.text).collect()
    }

    /// Output tokens, without an end mark.
    pub(crate) fn output_tokens(&self) -> u32 {
        u32::try_from(self.tokens.len()).unwrap_or(u32::MAX)
    }

    /// Output tokens where the end mark counts as one.
    pub(crate) fn output_tokens_with_end(&self) -> u32 {
        self.output_tokens() + u32::from(self.finish == Finish::Stop)
    }

    /// Runs of text as a server sends them that waits for whole characters: text, and tokens made so far.
    pub(crate) fn whole_characters(&self) -> Vec<(&'static str, u32)> {
        let mut at = 0;
        let with_position = self.tokens.iter().map(|token| {
            at += 1;
            (token.text, at)
        });
        with_position.filter(|(text, _)| !text.is_empty()).collect()
    }
}

fn tokens(state: &mut u64, count: usize) -> Vec<Token> {
    let mut out = Vec::with_capacity(count);
    while out.len() < count {
        let draw = mix(state);
        let left = count - out.len();
        let (text, parts) = SPLIT[(draw % SPLIT.len() as u64) as usize];
        if draw.is_multiple_of(11) && parts <= left {
            for part in 1..=parts {
                let id = 900 + part as u32;
                out.push(Token {
                    id,
                    text: if part == parts { text } else { "" },
                });
            }
        } else {
            let index = (draw >> 8) as usize % WORDS.len();
            out.push(Token {
                id: 100 + index as u32,
                text: WORDS[index],
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::config::{Kind, SimConfig};
    use super::*;

    #[test]
    fn the_same_seed_and_prompt_give_the_same_answer() {
        let config = SimConfig::new(Kind::Vllm);
        let prompt = Prompt::of_text("Say hi to the metering proxy.");
        let first = Generation::plan(&config, &prompt, 0, None, None);
        let again = Generation::plan(&config, &prompt, 0, None, None);
        let other = Generation::plan(&config, &prompt, 0, None, Some(9));
        assert_eq!(first.tokens, again.tokens);
        assert_ne!(first.tokens, other.tokens);
    }

    #[test]
    fn a_limit_is_exact_and_named() {
        let mut config = SimConfig::new(Kind::Vllm);
        config.answer_tokens = Some(20);
        let prompt = Prompt::of_text("x");
        for (limit, expected) in [(1, 1), (19, 19), (20, 20)] {
            let cut = Generation::plan(&config, &prompt, 0, Some(limit), None);
            assert_eq!(
                (cut.output_tokens(), cut.finish),
                (expected, Finish::Length)
            );
        }
        let whole = Generation::plan(&config, &prompt, 0, Some(21), None);
        assert_eq!((whole.output_tokens(), whole.finish), (20, Finish::Stop));
    }

    #[test]
    fn the_window_cuts_the_answer() {
        let mut config = SimConfig::new(Kind::Vllm);
        (config.answer_tokens, config.context) = (Some(50), 10);
        let prompt = Prompt((0..7).collect());
        let cut = Generation::plan(&config, &prompt, 0, Some(40), None);
        assert_eq!((cut.output_tokens(), cut.finish), (3, Finish::Length));
    }
}
