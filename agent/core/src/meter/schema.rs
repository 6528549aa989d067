//! What a dialect wants of a JSON value: a tree of members by name, walked while the bytes come in.
//!
//! Everything that is not in the tree is skipped without being looked at, so neither a `usage` inside a tool's
//! arguments nor one inside the model's text can be taken for the runtime's own.

/// What to do with a value.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Nothing.
    Skip,
    /// Look into it.
    Node(&'static Node),
    /// A number: the last one counts.
    Count(Count),
    /// A number, or numbers in an array: their sum counts.
    Add(Count),
    /// A short text with a meaning.
    Word(Word),
    /// Whether there is anything: not `null`, `false` or an empty text.
    Flag(Flag),
    /// Text of the answer.
    Text(Text),
    /// An object or array that belongs to the answer's text as the JSON that it is, unless it is empty.
    Raw,
}

/// An object or an array whose content matters.
pub(super) struct Node {
    /// Members of the object.
    pub(super) members: &'static [(&'static [u8], Rule)],
    /// Items of the array.
    pub(super) items: Rule,
    /// What to do where it is neither.
    pub(super) scalar: Rule,
    /// What begins and ends with it.
    pub(super) place: Place,
    /// A bit for each length that a member's name has: most names are passed by it.
    lengths: u64,
}

impl Node {
    /// An object.
    pub(super) const fn object(place: Place, members: &'static [(&'static [u8], Rule)]) -> Self {
        Self {
            members,
            items: Rule::Skip,
            scalar: Rule::Skip,
            place,
            lengths: lengths(members),
        }
    }

    /// An array.
    pub(super) const fn array(place: Place, items: Rule) -> Self {
        Self {
            members: &[],
            items,
            scalar: Rule::Skip,
            place,
            lengths: 0,
        }
    }

    /// An array, or a scalar in its stead.
    pub(super) const fn array_or(items: Rule, scalar: Rule) -> Self {
        Self {
            members: &[],
            items,
            scalar,
            place: Place::Plain,
            lengths: 0,
        }
    }

    /// A payload: an object, or an array of such objects.
    pub(super) const fn root(
        members: &'static [(&'static [u8], Rule)],
        item: &'static Self,
    ) -> Self {
        Self {
            members,
            items: Rule::Node(item),
            scalar: Rule::Skip,
            place: Place::Plain,
            lengths: lengths(members),
        }
    }

    /// What to do with a member.
    pub(super) fn member(&self, name: &[u8]) -> Rule {
        if self.lengths & bit(name.len()) == 0 {
            return Rule::Skip;
        }
        let found = self.members.iter().find(|(one, _)| *one == name);
        found.map_or(Rule::Skip, |(_, rule)| *rule)
    }
}

const fn bit(length: usize) -> u64 {
    if length < 64 { 1 << length } else { 0 }
}

const fn lengths(members: &[(&[u8], Rule)]) -> u64 {
    let mut bits = 0;
    let mut at = 0;
    while at < members.len() {
        bits |= bit(members[at].0.len());
        at += 1;
    }
    bits
}

/// Objects and arrays whose beginning or end means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Any other.
    Plain,
    /// Counts of the runtime.
    Usage,
    /// llama.cpp's own counters.
    Timings,
    /// The array of choices.
    Choices,
    /// One choice.
    Choice,
    /// A piece of a message: its presence tells a stream from a whole answer.
    Delta,
    /// A whole message.
    Message,
    /// A token of TGI.
    Token,
    /// One answer of several in an array.
    Item,
}

/// Numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Count {
    /// Prompt tokens.
    Input,
    /// Generated tokens.
    Output,
    /// Both.
    Total,
    /// Prompt tokens from the cache.
    Cached,
    /// Prompt tokens put into the cache, where the prompt's count leaves them out.
    CacheWritten,
    /// llama.cpp: prompt tokens from the cache.
    TimedCached,
    /// llama.cpp: prompt tokens that were computed.
    TimedInput,
    /// llama.cpp: generated tokens.
    TimedOutput,
    /// Which choice it is.
    Index,
}

/// How many [`Count`]s there are.
pub(super) const COUNTS: usize = 9;

/// InlineBytes texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Why the model stopped.
    Finish,
    /// The type of an event.
    Kind,
    /// The type of an object.
    Object,
    /// How far a response is.
    Status,
}

/// Things that are there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Flag {
    /// An error.
    Error,
    /// Ollama: the last line.
    Done,
    /// llama.cpp: the last event.
    Stop,
    /// TGI: a token that is no text.
    Special,
    /// The work is done on somebody else's machine.
    Remote,
    /// There are counts of the runtime.
    Usage,
    /// There are counters of llama.cpp.
    Timings,
    /// There is an array of choices.
    Choices,
    /// There is a choice.
    Choice,
    /// A piece of a message.
    Delta,
    /// TGI: a token.
    Token,
    /// TGI: the whole text.
    Generated,
    /// Something of the answer was generated.
    Text,
    /// A reasoning text, which some servers send under two names.
    Reasoning,
    /// Ollama: a model was loaded or unloaded, nothing else.
    Load,
    /// The type says that the answer is over.
    End,
    /// The work goes on after this answer.
    Pending,
    /// The work is over.
    Settled,
}

/// Texts of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// Belongs to the answer.
    Plain,
    /// The same, and counts as content too where it is no text but parts in an array.
    Content,
    /// Reasoning; the second name for it is left out.
    Reasoning,
    /// TGI: a token's text, which counts only where the token is not special.
    Token,
    /// TGI: the whole text, which counts only where no tokens came.
    Generated,
    /// Triton: new text, or all of the text so far.
    Growing,
}
