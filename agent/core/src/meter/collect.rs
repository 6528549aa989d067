//! What was found in one payload, and the [`Event`] that it comes to.

use super::dialect::Dialect;
use super::event::{Event, Finish, Usage};
use super::output::Output;
use super::schema::{COUNTS, Count, Flag, Place, Rule, Text, Word};
use super::text::InlineBytes;

/// Longest token of TGI whose text waits for the word whether it is special, bytes.
const TOKEN_BYTES: usize = 4096;
/// Choices that are told apart; further ones count as the last.
pub(super) const CHOICES: u64 = 128;

/// What was found in one payload so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    counts: [u64; COUNTS],
    counted: u16,
    flags: u32,
    cleared: u32,
    pub(super) finish: Option<Finish>,
    choice_finished: bool,
    pub(super) choices_seen: u128,
    pub(super) choices_finished: u128,
}

impl Fields {
    /// A count, where it came.
    pub(super) fn count(&self, count: Count) -> Option<u64> {
        let is_there = self.counted & 1 << count as u8 != 0;
        is_there.then(|| self.counts[count as usize])
    }

    /// Whether something was there.
    pub(super) fn has(&self, flag: Flag) -> bool {
        self.flags & 1 << flag as u8 != 0
    }

    /// Whether something was there and said no.
    pub(super) fn denies(&self, flag: Flag) -> bool {
        self.cleared & 1 << flag as u8 != 0
    }

    fn set(&mut self, flag: Flag) {
        self.flags |= 1 << flag as u8;
    }

    fn clear(&mut self, flag: Flag) {
        self.flags &= !(1 << flag as u8);
    }

    fn put(&mut self, count: Count, value: u64) {
        self.counts[count as usize] = value;
        self.counted |= 1 << count as u8;
    }

    /// The runtime's counts under the names that most dialects use.
    pub(super) fn usage(&self) -> Option<Usage> {
        let output = self.count(Count::Output);
        let input = self.count(Count::Input).or_else(|| {
            let total = self.count(Count::Total)?;
            Some(total.saturating_sub(output.unwrap_or(0)))
        });
        (input.is_some() || output.is_some()).then(|| Usage {
            input: input.unwrap_or(0),
            output: output.unwrap_or(0),
            cached: self.count(Count::Cached),
        })
    }

    /// What llama.cpp timed.
    pub(super) fn timed(&self) -> Option<Usage> {
        let cached = self.count(Count::TimedCached);
        self.has(Flag::Timings).then(|| Usage {
            input: cached
                .unwrap_or(0)
                .saturating_add(self.count(Count::TimedInput).unwrap_or(0)),
            output: self.count(Count::TimedOutput).unwrap_or(0),
            cached,
        })
    }
}

/// Takes what the scanner finds.
pub(super) struct Collector {
    dialect: Dialect,
    pub(super) output: Output,
    fields: Fields,
    /// Answers of an array that are read already.
    items: Option<Event>,
    token: Vec<u8>,
    /// Whether the reasoning text at hand says anything.
    has_reasoning: bool,
}

impl Collector {
    pub(super) fn new(dialect: Dialect, hash_key: &[u8; 32]) -> Self {
        Self {
            dialect,
            output: Output::new(hash_key),
            fields: Fields::default(),
            items: None,
            token: Vec::new(),
            has_reasoning: false,
        }
    }

    /// A payload begins.
    pub(super) fn start(&mut self) {
        self.fields = Fields::default();
        self.items = None;
        self.token.clear();
    }

    /// The payload is whole.
    pub(super) fn event(&mut self) -> Event {
        match self.items.take() {
            Some(items) => items,
            None => self.dialect.event(&self.fields),
        }
    }

    /// An object or array begins that is looked into.
    pub(super) fn enter(&mut self, place: Place, is_object: bool) {
        let flag = match place {
            Place::Usage if is_object => Flag::Usage,
            Place::Timings if is_object => Flag::Timings,
            Place::Choices if !is_object => Flag::Choices,
            Place::Choice => {
                self.fields.choice_finished = false;
                self.fields.counted &= !(1 << Count::Index as u8);
                Flag::Choice
            }
            Place::Delta => {
                self.fields.clear(Flag::Reasoning);
                Flag::Delta
            }
            Place::Message => return self.fields.clear(Flag::Reasoning),
            Place::Token => {
                self.fields.clear(Flag::Special);
                self.token.clear();
                Flag::Token
            }
            _ => return,
        };
        self.fields.set(flag);
    }

    /// An object or array ends, the item at `position` of the one around it.
    pub(super) fn leave(&mut self, place: Place, position: u64) {
        match place {
            Place::Choice => {
                let index = self.fields.count(Count::Index).unwrap_or(position);
                let bit = 1 << index.min(CHOICES - 1);
                self.fields.choices_seen |= bit;
                if self.fields.choice_finished {
                    self.fields.choices_finished |= bit;
                }
            }
            Place::Token => {
                // Every token counts; a special one says nothing.
                if !self.fields.has(Flag::Special) {
                    self.output.push(&self.token);
                }
                self.fields.set(Flag::Text);
            }
            Place::Item => {
                let event = self.dialect.event(&self.fields);
                self.items.get_or_insert_default().join(&event);
                self.fields = Fields::default();
            }
            _ => {}
        }
    }

    /// An object or array that is not looked into stands where `rule` was for.
    pub(super) fn skipped(&mut self, rule: Rule) {
        match rule {
            Rule::Flag(flag) => self.fields.set(flag),
            Rule::Text(Text::Content) => self.fields.set(Flag::Text),
            _ => {}
        }
    }

    /// A text begins. Says whether its bytes are wanted.
    pub(super) fn begin_text(&mut self, text: Text) -> bool {
        match text {
            Text::Reasoning => {
                self.has_reasoning = false;
                !self.fields.has(Flag::Reasoning)
            }
            Text::Generated => {
                self.fields.set(Flag::Generated);
                !self.fields.has(Flag::Token)
            }
            Text::Growing => {
                self.output.begin_growing();
                true
            }
            Text::Plain | Text::Content | Text::Token => true,
        }
    }

    /// More of a text, not empty.
    pub(super) fn text(&mut self, text: Text, part: &[u8]) {
        match text {
            Text::Token => {
                if self.token.len() + part.len() <= TOKEN_BYTES {
                    self.token.extend_from_slice(part);
                }
                return;
            }
            Text::Growing => self.output.push_growing(part),
            Text::Reasoning => {
                self.has_reasoning = true;
                self.output.push(part);
            }
            _ => self.output.push(part),
        }
        self.fields.flags |= 1 << Flag::Text as u8;
    }

    /// A text ends.
    pub(super) fn end_text(&mut self, text: Text) {
        match text {
            Text::Growing => self.output.end_growing(),
            Text::Reasoning if self.has_reasoning => self.fields.set(Flag::Reasoning),
            _ => {}
        }
    }

    /// More of a JSON that belongs to the answer's text.
    pub(super) fn raw(&mut self, part: &[u8]) {
        self.output.push(part);
        self.fields.set(Flag::Text);
    }

    /// A short text.
    pub(super) fn word(&mut self, rule: Rule, word: &InlineBytes) {
        let bytes = word.bytes();
        match rule {
            Rule::Flag(flag) if !bytes.is_empty() => self.fields.set(flag),
            Rule::Word(Word::Finish) => self.finish(bytes),
            Rule::Word(Word::Kind | Word::Object) if word.whole() == Some(b"error") => {
                self.fields.set(Flag::Error);
            }
            Rule::Word(Word::Kind) => match word.whole() {
                Some(b"response.failed") => {
                    self.fields.set(Flag::Error);
                    self.fields.set(Flag::End);
                }
                Some(
                    b"message_stop"
                    | b"response.completed"
                    | b"response.incomplete"
                    | b"response.cancelled"
                    | b"response.done",
                ) => self.fields.set(Flag::End),
                _ => {}
            },
            Rule::Word(Word::Status) => self.status(bytes),
            _ => {}
        }
    }

    fn finish(&mut self, reason: &[u8]) {
        if matches!(reason, b"load" | b"unload") {
            self.fields.set(Flag::Load);
        }
        if let Some(finish) = Finish::read(reason) {
            self.fields.finish = Some(finish);
            self.fields.choice_finished = true;
        }
    }

    fn status(&mut self, status: &[u8]) {
        let finish = match status {
            b"completed" => Finish::Stop,
            b"incomplete" => Finish::Length,
            b"failed" => Finish::Error,
            b"queued" | b"in_progress" => return self.fields.set(Flag::Pending),
            _ => return,
        };
        self.fields.finish = Some(finish);
        self.fields.set(Flag::Settled);
    }

    /// A number, or `true`, `false`, `null`.
    pub(super) fn scalar(&mut self, rule: Rule, word: &InlineBytes) {
        match (rule, word.bytes()) {
            (_, b"null") => {}
            (Rule::Flag(flag), b"false") => self.fields.cleared |= 1 << flag as u8,
            (Rule::Flag(flag), _) => self.fields.set(flag),
            (Rule::Count(count), _) => self.fields.put(count, number(word)),
            (Rule::Add(count), _) => {
                let sum = self.fields.count(count).unwrap_or(0);
                self.fields.put(count, sum.saturating_add(number(word)));
            }
            _ => {}
        }
    }
}

/// Any JSON number as a count: negatives and what is none as 0.
fn number(word: &InlineBytes) -> u64 {
    let Ok(text) = std::str::from_utf8(word.bytes()) else {
        return 0;
    };
    if let Ok(count) = text.parse() {
        return count;
    }
    if word.is_longer() && !text.contains(['.', '-']) {
        return u64::MAX;
    }
    // A saturating cast: NaN and negatives become 0.
    text.parse::<f64>().unwrap_or(0.0) as u64
}
