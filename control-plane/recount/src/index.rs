//! `models.yaml`: which tokenizer counts for which models.
//!
//! ```yaml
//! tokenizers:
//!   - name: llama-3.1        # the folder beside this file that holds tokenizer.json
//!     level: exact           # the chat template there is the one that the runtimes use; else: bounded
//!     digests:               # of weights, as nodes report them
//!       - sha256:1c4d…
//!     models:                # ids, as consumers and orders name them
//!       - meta-llama/Llama-3.1-8B-Instruct
//! ```
//!
//! A model is looked up by its digest, then by its id. Where a tokenizer lists digests and a node reports another one,
//! an id that matches is worth `bounded`: it may be another build, with another template.

use crate::limits::{NAMES, TOKENIZERS};
use dgon_protocol::countersignature::CountLevel;
use dgon_protocol::receipt::Sha256Hash;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Why an index is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not YAML, or an unknown or missing member.
    #[error("not an index of tokenizers")]
    Malformed(#[source] serde_yaml::Error),
    /// More than 256 tokenizers.
    #[error("an index has at most {TOKENIZERS} tokenizers")]
    TooMany,
    /// More than 4096 digests and ids of one tokenizer.
    #[error("tokenizer {name}: at most {NAMES} digests and models")]
    TooManyNames {
        /// The tokenizer.
        name: String,
    },
    /// A name that is no name of a folder.
    #[error(
        "a tokenizer's name is that of its folder: 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`, with no `.` in front"
    )]
    Name,
    /// A digest that is none.
    #[error("tokenizer {name}: a digest is `sha256:` and 64 lower-case hex digits")]
    Digest {
        /// The tokenizer.
        name: String,
    },
    /// An id of a model that no request can have.
    #[error("tokenizer {name}: a model's id has 1 to 256 characters")]
    Model {
        /// The tokenizer.
        name: String,
    },
    /// `level: none`, or a tokenizer that counts for no model.
    #[error("tokenizer {name}: it counts for no model; name digests or models, or leave it out")]
    Unused {
        /// The tokenizer.
        name: String,
    },
    /// A name, digest or id that stands twice.
    #[error("{what} stands twice; which tokenizer counts must be clear")]
    Twice {
        /// What it is.
        what: String,
    },
}

/// How well a tokenizer counts, by the word of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexLevel {
    /// The chat template is the one that the runtimes use.
    Exact,
    /// The tokenizer is the model's; how prompts are rendered is not known.
    Bounded,
}

impl IndexLevel {
    /// The level of a count that has no other doubt.
    pub fn count_level(self) -> CountLevel {
        match self {
            Self::Exact => CountLevel::Exact,
            Self::Bounded => CountLevel::Bounded,
        }
    }
}

/// One tokenizer of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The folder with its files.
    pub name: String,
    /// How well it counts.
    pub level: IndexLevel,
    /// Digests of weights that it counts for.
    pub digests: Vec<Sha256Hash>,
    /// Ids of models that it counts for.
    pub models: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexFile {
    tokenizers: Vec<EntryFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFile {
    name: String,
    level: IndexLevel,
    #[serde(default)]
    digests: Vec<String>,
    #[serde(default)]
    models: Vec<String>,
}

/// Reads an index.
///
/// # Errors
/// [`IndexError`].
pub fn parse(yaml: &[u8]) -> Result<Vec<Entry>, IndexError> {
    let file: IndexFile = serde_yaml::from_slice(yaml).map_err(IndexError::Malformed)?;
    if file.tokenizers.len() > TOKENIZERS {
        return Err(IndexError::TooMany);
    }
    let mut seen = BTreeSet::new();
    let mut once = |what: String| {
        if seen.contains(&what) {
            return Err(IndexError::Twice { what });
        }
        seen.insert(what);
        Ok(())
    };
    let mut entries = Vec::with_capacity(file.tokenizers.len());
    for entry in file.tokenizers {
        let entry = check(entry)?;
        once(format!("tokenizer {}", entry.name))?;
        for digest in &entry.digests {
            once(format!("digest {digest}"))?;
        }
        for model in &entry.models {
            once(format!("model {model}"))?;
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn check(entry: EntryFile) -> Result<Entry, IndexError> {
    let name = entry.name;
    if !is_folder_name(&name) {
        return Err(IndexError::Name);
    }
    if entry.digests.len() + entry.models.len() > NAMES {
        return Err(IndexError::TooManyNames { name });
    }
    if entry.digests.is_empty() && entry.models.is_empty() {
        return Err(IndexError::Unused { name });
    }
    if entry
        .models
        .iter()
        .any(|id| !(1..=256).contains(&id.chars().count()))
    {
        return Err(IndexError::Model { name });
    }
    let digests = entry.digests.iter().map(|text| Sha256Hash::parse(text));
    let Some(digests) = digests.collect::<Option<Vec<_>>>() else {
        return Err(IndexError::Digest { name });
    };
    Ok(Entry {
        name,
        level: entry.level,
        digests,
        models: entry.models,
    })
}

/// A name leads to no other folder, on any system.
fn is_folder_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with('.')
        && !name.ends_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn refused(yaml: &str) -> String {
        parse(yaml.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_index_says_which_tokenizer_counts() {
        let yaml = format!(
            "tokenizers:\n  - name: one\n    level: exact\n    digests: ['{DIGEST}']\n  - name: two\n    level: bounded\n    models: [b, c]\n"
        );
        let entries = parse(yaml.as_bytes()).unwrap();
        assert_eq!(entries[0].level, IndexLevel::Exact);
        assert_eq!(entries[0].digests, [Sha256Hash::parse(DIGEST).unwrap()]);
        assert_eq!(entries[1].name, "two");
        assert_eq!(entries[1].models, ["b", "c"]);
        assert_eq!(entries[1].level.count_level(), CountLevel::Bounded);
    }

    #[test]
    fn what_is_unclear_is_refused() {
        let one = |rest: &str| format!("tokenizers:\n  - name: one\n    level: exact\n{rest}");
        assert!(refused("tokenizers: 3").contains("not an index"));
        assert!(refused(&one("    models: [a]\n    modles: [b]\n")).contains("not an index"));
        assert!(
            refused("tokenizers:\n  - name: a\n    level: none\n    models: [a]\n")
                .contains("not an index")
        );
        assert!(refused(&one("")).contains("counts for no model"));
        assert!(refused(&one("    models: ['']\n")).contains("1 to 256"));
        assert!(refused(&one("    digests: ['sha256:AA']\n")).contains("64 lower-case"));
        assert!(refused(&one("    models: [a, a]\n")).contains("model a stands twice"));
        let twice = one("    models: [a]\n  - name: one\n    level: exact\n    models: [b]\n");
        assert!(refused(&twice).contains("tokenizer one stands twice"));
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        for name in ["", ".", "..", ".hidden", "a/b", "a\\b", "a.", "ä", "c:"] {
            assert!(!is_folder_name(name), "{name}");
        }
        assert!(is_folder_name("Llama-3.1_8B"));
    }
}
