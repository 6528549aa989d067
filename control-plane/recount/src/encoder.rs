//! One tokenizer: how many tokens a text has.
//!
//! The crate `tokenizers` reads the file; of its steps the ones that lead to a number are taken here one by one, because
//! its own `encode` makes a record of over a hundred bytes for each token, of which nothing is wanted.

use crate::limits::{CACHED_WORDS, EXACT_BYTES, PIECE_BYTES, SCANNED_BYTES, TEXT_BYTES};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::{AddedVocabulary, Model, PostProcessor, PreTokenizer, Tokenizer};

/// What the special tokens of a tokenizer are in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Specials {
    /// Tokens, as runtimes take them in a rendered prompt.
    Tokens,
    /// Text: what stands in an answer was written letter by letter, because runtimes leave special tokens out.
    Text,
}

/// The tokens of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TokenCount {
    pub(crate) tokens: u64,
    /// Pieces that a long text was cut into. At each cut the whole text may have a few tokens more or less; with none
    /// the number is exact.
    pub(crate) cuts: u64,
}

impl TokenCount {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            cuts: self.cuts.saturating_add(other.cuts),
        }
    }
}

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncoderError {
    #[error("not a tokenizer of the kind that `tokenizers` writes: {0}")]
    Malformed(String),
    #[error("its merges are left out at random (`dropout`), so two counts would differ")]
    Random,
}

/// A tokenizer that counts.
pub(crate) struct Encoder {
    tokenizer: Tokenizer,
    /// The added tokens without the special ones.
    unspecial: AddedVocabulary,
    /// Added tokens for each of which everything before them is read.
    scanning: Vec<String>,
    /// Tokens that stand around every text, such as one for its beginning.
    around: u64,
}

impl Encoder {
    /// Reads `tokenizer.json`.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, EncoderError> {
        let malformed = |fault: tokenizers::Error| EncoderError::Malformed(fault.to_string());
        let read = || Tokenizer::from_bytes(json).map_err(malformed);
        // The crate panics on some tables that contradict themselves.
        let mut tokenizer = catch_unwind(read).map_err(|_| {
            EncoderError::Malformed("its tables contradict themselves".to_owned())
        })??;
        if let ModelWrapper::BPE(bpe) = tokenizer.get_model() {
            let bpe = forgetful(bpe)?;
            tokenizer.with_model(bpe);
        } else if let ModelWrapper::Unigram(unigram) = tokenizer.get_model() {
            let mut unigram = unigram.clone();
            unigram.resize_cache(CACHED_WORDS);
            tokenizer.with_model(unigram);
        }
        let mut unspecial = tokenizer.get_added_vocabulary().clone();
        unspecial.set_encode_special_tokens(true);
        let added = tokenizer.get_added_tokens_decoder();
        let scanning = added
            .values()
            .filter(|token| token.lstrip || token.single_word)
            .map(|token| token.content.clone());
        let around = tokenizer.get_post_processor();
        Ok(Self {
            scanning: scanning.collect(),
            around: around.map_or(0, |post| post.added_tokens(false)) as u64,
            unspecial,
            tokenizer,
        })
    }

    /// Tokens that stand around every text that is no chat, where the configuration says nothing else.
    pub(crate) fn around(&self) -> u64 {
        self.around
    }

    /// How many tokens `text` has, without those around it; `None` where that cannot be said within bounds.
    pub(crate) fn count(&self, text: &str, specials: Specials) -> Option<TokenCount> {
        if text.len() > TEXT_BYTES {
            return None;
        }
        if text.len() <= EXACT_BYTES && self.scanned(text) <= SCANNED_BYTES {
            let tokens = self.count_piece(text, specials)?;
            return Some(TokenCount { tokens, cuts: 0 });
        }
        let mut count = TokenCount::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cut(rest));
            let tokens = self.count_piece(piece, specials)?;
            count = count.and(TokenCount { tokens, cuts: 1 });
            rest = after;
        }
        Some(count)
    }

    fn count_piece(&self, text: &str, specials: Specials) -> Option<u64> {
        if self.scanned(text) > SCANNED_BYTES {
            return None;
        }
        // The text is a stranger's and the crate has `expect`s; none is known that a text reaches.
        let encoded = catch_unwind(AssertUnwindSafe(|| self.encode(text, specials)));
        encoded.ok()?.ok()
    }

    /// Bytes that are read over and over for tokens that look at what is before them.
    fn scanned(&self, text: &str) -> usize {
        let found = self
            .scanning
            .iter()
            .map(|token| text.matches(token.as_str()).count());
        found.sum::<usize>().saturating_mul(text.len())
    }

    fn encode(&self, text: &str, specials: Specials) -> tokenizers::Result<u64> {
        let vocabulary = match specials {
            Specials::Tokens => self.tokenizer.get_added_vocabulary(),
            Specials::Text => &self.unspecial,
        };
        let mut pieces = vocabulary.extract_and_normalize(self.tokenizer.get_normalizer(), text);
        if let Some(pre_tokenizer) = self.tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        let offsets = tokenizers::OffsetReferential::Original;
        let found = pieces.get_splits(offsets, tokenizers::OffsetType::None);
        let found = found
            .iter()
            .filter(|(_, _, tokens)| tokens.is_some())
            .count();
        let total = Cell::new(found as u64);
        let model = self.tokenizer.get_model();
        pieces.tokenize(|piece| {
            total.set(total.get() + model.tokenize(piece.get())?.len() as u64);
            Ok(Vec::new())
        })?;
        Ok(total.get())
    }
}

/// Where a long text is cut: before the last space of a piece's second half, else at its end.
fn cut(text: &str) -> usize {
    if text.len() <= PIECE_BYTES {
        return text.len();
    }
    let end = text.floor_char_boundary(PIECE_BYTES);
    let half = text.floor_char_boundary(PIECE_BYTES / 2);
    let second = text.get(half..end).unwrap_or_default();
    let space = second.rfind(char::is_whitespace);
    space.filter(|at| *at > 0).map_or(end, |at| half + at)
}

/// The same model that remembers no words: what it remembers of a hostile text is large, and it is kept for each thread.
fn forgetful(bpe: &BPE) -> Result<BPE, EncoderError> {
    if bpe.dropout.is_some_and(|share| share > 0.0) {
        return Err(EncoderError::Random);
    }
    let mut bpe = bpe.clone();
    bpe.resize_cache(CACHED_WORDS);
    Ok(bpe)
}
