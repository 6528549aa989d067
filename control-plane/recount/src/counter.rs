//! Which tokenizer counts for a model, and the count of a request and of an answer.

use crate::count::{Counted, Part};
use crate::encoder::{Encoder, Specials, TokenCount};
use crate::limits::{EXACT_BYTES, TEXT_BYTES};
use crate::request::{self, Exact, Reading, Route};
use crate::template::ChatTemplate;
use dgon_protocol::countersignature::CountLevel;
use dgon_protocol::receipt::Sha256Hash;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// The model of a request.
#[derive(Debug, Clone, Copy)]
pub struct ModelRef<'a> {
    /// Digest of its weights, where the node that serves it reports one.
    pub digest: Option<Sha256Hash>,
    /// Its id, as the consumer asked for it.
    pub id: &'a str,
}

/// What one choice of an answer says.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnswerText<'a> {
    /// `content`, or `text` on `/v1/completions`.
    pub content: &'a str,
    /// `refusal`.
    pub refusal: &'a str,
    /// `reasoning_content`, or `reasoning`.
    pub reasoning: &'a str,
    /// Name and arguments of each tool call, and of the `function_call`.
    pub calls: &'a [(&'a str, &'a str)],
}

impl<'a> AnswerText<'a> {
    /// A choice that is a text and no more.
    pub fn of(content: &'a str) -> Self {
        Self {
            content,
            ..Self::default()
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &'a str> {
        let calls = self
            .calls
            .iter()
            .flat_map(|(name, arguments)| [*name, *arguments]);
        let texts = [self.content, self.refusal, self.reasoning].into_iter();
        texts.chain(calls).filter(|piece| !piece.is_empty())
    }

    /// Pieces whose marks runtimes take out.
    fn marks(&self) -> u64 {
        u64::from(!self.reasoning.is_empty()) + self.calls.len() as u64
    }
}

/// A tokenizer with what is known of its use.
pub(crate) struct CountedModel {
    pub(crate) encoder: Encoder,
    /// `None` where there is none: then chats are bounded.
    pub(crate) template: Option<ChatTemplate>,
    /// Exact or bounded, by the operator's word.
    pub(crate) level: CountLevel,
    /// Whether the operator named digests, so that another digest is another build.
    pub(crate) is_pinned: bool,
    /// Tokens that runtimes put around a prompt that is no chat.
    pub(crate) around: u64,
}

/// Counts tokens of requests and answers.
#[derive(Default)]
pub struct Counter {
    models: Vec<CountedModel>,
    by_digest: HashMap<Sha256Hash, usize>,
    by_id: HashMap<String, usize>,
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counter({} tokenizers)", self.models.len())
    }
}

impl Counter {
    /// One that knows no tokenizer, and so counts nothing.
    pub fn without_tokenizers() -> Self {
        Self::default()
    }

    pub(crate) fn add(&mut self, digests: Vec<Sha256Hash>, ids: Vec<String>, model: CountedModel) {
        let at = self.models.len();
        self.models.push(model);
        self.by_digest
            .extend(digests.into_iter().map(|digest| (digest, at)));
        self.by_id.extend(ids.into_iter().map(|id| (id, at)));
    }

    /// How many tokenizers it knows.
    pub fn tokenizers(&self) -> usize {
        self.models.len()
    }

    /// The best level that a count for this model can have.
    pub fn level(&self, model: ModelRef<'_>) -> CountLevel {
        self.find(model)
            .map_or(CountLevel::None, |(_, level)| level)
    }

    fn find(&self, model: ModelRef<'_>) -> Option<(&CountedModel, CountLevel)> {
        let at = |at: &usize| self.models.get(*at);
        if let Some(digest) = model.digest
            && let Some(found) = self.by_digest.get(&digest).and_then(at)
        {
            return Some((found, found.level));
        }
        let found = self.by_id.get(model.id).and_then(at)?;
        let is_other_build = model.digest.is_some() && found.is_pinned;
        let level = if is_other_build {
            CountLevel::Bounded
        } else {
            found.level
        };
        Some((found, level))
    }

    /// Counts the prompt of a request: the JSON that the node gets, at `now_s` (unix seconds; some templates tell the
    /// model the date).
    ///
    /// The level is `exact` where the prompt could be rendered as the runtime does it, `bounded` where only its texts
    /// are known or it is long, and `none` without a tokenizer, with anything that has no text, and beyond the limits of
    /// size.
    ///
    /// The ceiling at `none` is the bytes of the JSON, 576 tokens for what templates add and say of tools, and 16,384 for
    /// each image, sound or file. It holds because a token of text stands for at least one byte of it, with byte-level
    /// BPE and with SentencePiece's byte fallback, and JSON spends at least one byte on each byte of text and more than 16
    /// on the frame of each message. It does not hold for text that a tokenizer makes longer before it counts (NFKC, up
    /// to eleven times), for templates that repeat their messages, and for media that are larger than said: there a node
    /// may be billed less than it did, never more than the ceiling.
    pub fn count_request(
        &self,
        model: ModelRef<'_>,
        route: Route,
        body: &[u8],
        now_s: i64,
    ) -> Counted {
        let reading = request::read(route, body);
        let counted = match (self.find(model), &reading) {
            (Some((model, level)), Some(reading)) if reading.media == 0 => {
                model.count_request(level, reading, now_s)
            }
            _ => None,
        };
        counted.unwrap_or_else(|| {
            let beyond = request::beyond_bytes(route, reading.as_ref(), body);
            let ceiling = (body.len() as u64)
                .saturating_add(crate::count::BOUNDED_REQUEST)
                .saturating_add(beyond);
            Counted::none(ceiling)
        })
    }

    /// Counts the tokens of an answer's choices.
    ///
    /// The level is `exact` where an answer is text alone. Reasoning and tool calls are cut out of the model's text by
    /// runtimes, together with marks that nobody sees: they make it `bounded`, as a text over [`EXACT_BYTES`] does. What a `stop` sequence cut off is not in
    /// the answer, and not counted. The ceiling at `none` is a token for each byte, an end for each choice and 16 for
    /// each mark; tokens without a text are not in it.
    pub fn count_answer(&self, model: ModelRef<'_>, choices: &[AnswerText<'_>]) -> Counted {
        let marks = choices.iter().map(AnswerText::marks).sum::<u64>();
        let bytes = choices.iter().flat_map(AnswerText::pieces);
        let bytes = bytes.map(|piece| piece.len() as u64).sum::<u64>();
        let counted = self.find(model).and_then(|(model, level)| {
            if bytes > TEXT_BYTES as u64 {
                return None;
            }
            let pieces = choices.iter().flat_map(AnswerText::pieces);
            let mut counts = pieces.map(|piece| model.encoder.count(piece, Specials::Text));
            let count =
                counts.try_fold(TokenCount::default(), |sum, count| Some(sum.and(count?)))?;
            let is_whole = marks == 0 && count.cuts == 0;
            let part = Part::Answer {
                choices: choices.len() as u64,
                marks: marks + count.cuts,
            };
            let level = if is_whole { level } else { CountLevel::Bounded };
            Some(Counted::new(level, part, count.tokens))
        });
        counted.unwrap_or_else(|| {
            let marks = marks.saturating_mul(crate::count::BOUNDED_MARK);
            Counted::none(
                bytes
                    .saturating_add(marks)
                    .saturating_add(choices.len() as u64),
            )
        })
    }
}

impl CountedModel {
    fn count_request(&self, level: CountLevel, reading: &Reading, now_s: i64) -> Option<Counted> {
        let part = |cuts: u64| Part::Request {
            messages: reading.messages.saturating_add(cuts),
        };
        if level == CountLevel::Exact
            && let Some(tokens) = self.count_exactly(reading, now_s)
        {
            return Some(Counted::new(CountLevel::Exact, part(0), tokens));
        }
        // The texts alone, each mark in them as text: more rather than less, because runtimes differ in that.
        let count = self.encoder.count(&reading.text, Specials::Text)?;
        let tokens = count.tokens.saturating_add(reading.tokens);
        Some(Counted::new(CountLevel::Bounded, part(count.cuts), tokens))
    }

    /// `None` where there is no template, where the prompt is too long for it, and where the template refuses the
    /// conversation: a runtime would have refused it too, so one that answered has another template.
    fn count_exactly(&self, reading: &Reading, now_s: i64) -> Option<u64> {
        if reading.text.len() > EXACT_BYTES {
            return None;
        }
        let (text, around) = match reading.exact.as_ref()? {
            Exact::Messages(messages) => {
                let prompt = self.template.as_ref()?.render(messages, now_s).ok()?;
                (Cow::Owned(prompt), 0)
            }
            Exact::Text => (Cow::Borrowed(&reading.text), self.around),
            Exact::Tokens => return Some(reading.tokens),
        };
        let count = self.encoder.count(&text, Specials::Tokens)?;
        (count.cuts == 0).then(|| count.tokens.saturating_add(around))
    }
}
