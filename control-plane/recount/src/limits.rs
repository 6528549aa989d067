//! How large things may be.
//!
//! Times and memory below are of `cargo run --profile quick -p dgon-control-plane-recount --example count_cost`; the
//! table is in `docs/recount.md`.

/// Largest request that is looked into, bytes of its JSON. The context of a model with a million tokens fits. A larger
/// one is not even parsed: it has a ceiling by bytes.
pub const REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// Largest text that is encoded as one, bytes: a context of 128,000 tokens of prose. The most expensive that is
/// known takes a second of one core and 300 MB.
pub const EXACT_BYTES: usize = 512 * 1024;
/// Largest text that is counted at all, bytes: eight seconds of one core at the most. One over [`EXACT_BYTES`] is counted
/// in pieces, which takes less memory, and is bounded.
pub const TEXT_BYTES: usize = REQUEST_BYTES;
/// A piece of a text that is counted in pieces, bytes.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Messages of a request whose template is rendered. With more the count is bounded.
pub const MESSAGES: usize = 4096;
/// What a template may do: instructions, and for each 64 bytes that it makes or reads one more. It bounds the time of a
/// rendering, and its memory to 64 bytes of each.
pub const TEMPLATE_FUEL: u64 = 2_000_000;
/// Bytes of one text or piece that a tokenizer may read over and over. Some marks of some tokenizers are found together
/// with what stands before them, and for each of them all text before it is read.
pub const SCANNED_BYTES: usize = 16 * 1024 * 1024;
/// Words that a tokenizer remembers, for each thread. A word of a hostile text takes 8 KiB there.
pub const CACHED_WORDS: usize = 0;

/// Tokens that are counted for one image, sound or file whose size nobody knows here: the most that the common
/// vision models make of one image (Qwen2-VL's `max_pixels` of 12,845,056 in patches of 28×28 pixels).
pub const MEDIUM_TOKENS: u64 = 16_384;
/// Tokens that templates put before a list of tools.
pub const TOOLS_TOKENS: u64 = 512;

/// Tokenizers in one directory.
pub const TOKENIZERS: usize = 256;
/// Digests and ids of models of one tokenizer.
pub const NAMES: usize = 4096;
/// Largest `models.yaml`, bytes.
pub const INDEX_BYTES: usize = 1024 * 1024;
/// Largest `tokenizer.json`, bytes. The largest known ones have 34 MB.
pub const TOKENIZER_BYTES: usize = 128 * 1024 * 1024;
/// Largest `tokenizer_config.json`, bytes.
pub const CONFIG_BYTES: usize = 16 * 1024 * 1024;
/// Largest `chat_template.jinja`, bytes.
pub const TEMPLATE_BYTES: usize = 1024 * 1024;
