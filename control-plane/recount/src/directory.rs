//! The operator's directory of tokenizers.
//!
//! ```text
//! DIR/models.yaml                    which tokenizer counts for which models (see `index`)
//! DIR/NAME/tokenizer.json            as `tokenizers` and `transformers` write it
//! DIR/NAME/tokenizer_config.json     chat_template, bos_token and other tokens, add_bos_token, add_eos_token
//! DIR/NAME/chat_template.jinja       where it is there, the template, whatever tokenizer_config.json says
//! ```
//!
//! The last two may be missing: then chats are bounded. All added tokens must be in `tokenizer.json`. What is read is
//! kept as long as the [`Counter`], about four times the size of `tokenizer.json`; a change needs a restart.

use crate::counter::{CountedModel, Counter};
use crate::encoder::Encoder;
use crate::index::{self, Entry, IndexError};
use crate::limits::{CONFIG_BYTES, INDEX_BYTES, TEMPLATE_BYTES, TOKENIZER_BYTES};
use crate::template::ChatTemplate;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Why a directory of tokenizers cannot be used. Nothing of it is used then: a tokenizer that is left out silently would
/// turn counts into ceilings.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file is not there, or may not be read.
    #[error(
        "{path} cannot be read, so nothing can be counted with it. Put the file there, let the server's user read it, or take its tokenizer out of models.yaml"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any that is known.
    #[error(
        "{path} has more than {most} bytes, so it is not what its name says. Copy the model's own file there"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        most: usize,
    },
    /// The index is not valid.
    #[error(
        "{path} does not say which tokenizer counts for which models. Correct it as the source says"
    )]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: IndexError,
    },
    /// A tokenizer is not valid.
    #[error(
        "{path} cannot be used to count: {reason}. Copy the model's own tokenizer.json there, or make one with `transformers`"
    )]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The configuration of a tokenizer is not valid.
    #[error(
        "{path} is not the configuration of a tokenizer. Copy the model's own tokenizer_config.json there, or remove it"
    )]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A chat template is not valid, or does not render a single message.
    #[error(
        "{path}: its chat template cannot be rendered here, so no prompt could be counted exactly. Correct it, or remove it and say `level: bounded`"
    )]
    Template {
        /// The file that it stands in.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: minijinja::Error,
    },
}

#[derive(Deserialize, Default)]
struct Config {
    chat_template: Option<Templates>,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
    bos_token: Option<TokenText>,
    eos_token: Option<TokenText>,
    unk_token: Option<TokenText>,
    sep_token: Option<TokenText>,
    pad_token: Option<TokenText>,
    cls_token: Option<TokenText>,
    mask_token: Option<TokenText>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TokenText {
    Text(String),
    Token { content: String },
}

/// Reads a directory of tokenizers. This is the only function of the crate that reads files; it takes a second or more
/// for each tokenizer of a large vocabulary, so it is for the start.
///
/// # Errors
/// [`ReadError`], which names the file.
pub fn read(directory: &Path) -> Result<Counter, ReadError> {
    let path = directory.join("models.yaml");
    let yaml = read_file(&path, INDEX_BYTES)?;
    let entries = index::parse(&yaml).map_err(|source| ReadError::Index { path, source })?;
    let mut counter = Counter::default();
    for entry in entries {
        let model = read_model(&directory.join(&entry.name), &entry)?;
        counter.add(entry.digests, entry.models, model);
    }
    Ok(counter)
}

fn read_model(folder: &Path, entry: &Entry) -> Result<CountedModel, ReadError> {
    let path = folder.join("tokenizer.json");
    let json = read_file(&path, TOKENIZER_BYTES)?;
    let encoder = Encoder::parse(&json).map_err(|fault| ReadError::Tokenizer {
        path,
        reason: fault.to_string(),
    })?;
    let config_path = folder.join("tokenizer_config.json");
    let config = match read_if_there(&config_path, CONFIG_BYTES)? {
        Some(json) => serde_json::from_slice(&json).map_err(|source| ReadError::Config {
            path: config_path.clone(),
            source,
        })?,
        None => Config::default(),
    };
    let around = config.around().unwrap_or(encoder.around());
    let tokens = config.tokens();
    let template_path = folder.join("chat_template.jinja");
    let template = match read_if_there(&template_path, TEMPLATE_BYTES)? {
        Some(text) => Some((template_path, String::from_utf8_lossy(&text).into_owned())),
        None => config.template().map(|template| (config_path, template)),
    };
    let template = template
        .map(|(path, source)| {
            let template = ChatTemplate::new(source, tokens);
            template.map_err(|source| ReadError::Template { path, source })
        })
        .transpose()?;
    Ok(CountedModel {
        encoder,
        template,
        level: entry.level.count_level(),
        is_pinned: !entry.digests.is_empty(),
        around,
    })
}

impl Config {
    /// Tokens around a prompt that is no chat, where the configuration overrules `tokenizer.json`.
    fn around(&self) -> Option<u64> {
        if self.add_bos_token.is_none() && self.add_eos_token.is_none() {
            return None;
        }
        let is_added = |added: Option<bool>| u64::from(added.unwrap_or(false));
        Some(is_added(self.add_bos_token) + is_added(self.add_eos_token))
    }

    /// The tokens that templates may write.
    fn tokens(&self) -> BTreeMap<String, String> {
        let named = [
            ("bos_token", &self.bos_token),
            ("eos_token", &self.eos_token),
            ("unk_token", &self.unk_token),
            ("sep_token", &self.sep_token),
            ("pad_token", &self.pad_token),
            ("cls_token", &self.cls_token),
            ("mask_token", &self.mask_token),
        ];
        let text = |token: &TokenText| match token {
            TokenText::Text(text) | TokenText::Token { content: text } => text.clone(),
        };
        named
            .into_iter()
            .filter_map(|(name, token)| Some((name.to_owned(), token.as_ref().map(text)?)))
            .collect()
    }

    /// The template for a chat without tools.
    fn template(self) -> Option<String> {
        match self.chat_template? {
            Templates::One(template) => Some(template),
            Templates::Named(templates) => templates
                .into_iter()
                .find(|template| template.name == "default")
                .map(|template| template.template),
        }
    }
}

fn read_if_there(path: &Path, most: usize) -> Result<Option<Vec<u8>>, ReadError> {
    match read_file(path, most) {
        Err(ReadError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn read_file(path: &Path, most: usize) -> Result<Vec<u8>, ReadError> {
    let fault = |source| ReadError::Open {
        path: path.to_owned(),
        source,
    };
    // Opening a pipe would wait for its writer.
    if !path.metadata().map_err(fault)?.is_file() {
        return Err(fault(io::Error::other("it is not a file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fault)?;
    let limit = most as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() > most {
        return Err(ReadError::TooLarge {
            path: path.to_owned(),
            most,
        });
    }
    Ok(bytes)
}
