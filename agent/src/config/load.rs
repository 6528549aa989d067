//! Reading the configuration: file, environment, flags, in rising precedence.
//!
//! The three sources are laid over each other as YAML trees and read as one, so that every value passes the same
//! rules wherever it comes from. Each value's origin is kept for `config show`.

use super::model::Config;
use super::unknown::{self, SECTIONS, UnknownKey};
use super::{Paths, check};
use serde_yaml::{Mapping, Value};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Largest agent.yaml, bytes.
const FILE_BYTES: u64 = 1024 * 1024;

/// Older names of environment variables and the key that each sets. `DGON_<SECTION>_<KEY>` works for every key.
const ALIASES: &[(&str, &str)] = &[
    ("DGON_API", "control_plane.api"),
    ("DGON_INSECURE_HTTP", "control_plane.insecure_http"),
    ("NODE_ID", "node.id"),
    ("REGION", "node.region"),
];

/// Values from the command line: key path and value, as text.
pub type Overrides = Vec<(&'static str, String)>;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// agent.yaml.
    File,
    /// The environment variable of this name.
    Environment(String),
    /// The command line.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named is not there.
    #[error("the configuration file {} does not exist; check --config and DGON_CONFIG, or let `enroll` write it", .0.display())]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("cannot read the configuration file {}; check its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no YAML mapping of our sections.
    #[error("{origin} is not a valid configuration: {message}")]
    Parse {
        /// The file or the variable.
        origin: String,
        /// What is wrong and where.
        message: String,
    },
    /// It has keys that no section knows.
    #[error("{} has unknown keys:\n{}", path.display(), bullets(keys))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// All of them.
        keys: Vec<UnknownKey>,
    },
    /// Values break rules.
    #[error("the configuration breaks these rules:\n{}", bullets(rules))]
    Rules {
        /// All of them.
        rules: Vec<String>,
    },
}

fn bullets<T: ToString>(items: &[T]) -> String {
    let lines: Vec<String> = items
        .iter()
        .map(|item| format!("  - {}", item.to_string()))
        .collect();
    lines.join("\n")
}

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// All values.
    pub config: Config,
    /// Where each value that is not a default comes from, by key path.
    pub origins: BTreeMap<String, Origin>,
    /// The file that was read; `None` where there is none.
    pub file: Option<PathBuf>,
}

/// Reads and checks the configuration.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong, for exit code 64.
pub fn load(
    paths: &Paths,
    environment: &dyn Fn(&str) -> Option<String>,
    flags: &Overrides,
) -> Result<Loaded, ConfigError> {
    let mut origins = BTreeMap::new();
    let (mut tree, file) = match read_file(paths)? {
        Some(tree) => (tree, Some(paths.config_file.clone())),
        None => (Mapping::new(), None),
    };
    for key in key_paths() {
        if lookup(&tree, &key).is_some() {
            origins.insert(key, Origin::File);
        }
    }
    for (name, key) in variables() {
        if let Some(text) = environment(&name).filter(|text| !text.trim().is_empty()) {
            lay(
                &mut tree,
                &key,
                &text,
                &format!("the environment variable {name}"),
            )?;
            origins.insert(key, Origin::Environment(name));
        }
    }
    for (key, text) in flags {
        lay(&mut tree, key, text, &format!("the flag for {key}"))?;
        origins.insert((*key).to_owned(), Origin::Flag);
    }
    let config: Config = read(
        Value::Mapping(tree),
        &paths.config_file.display().to_string(),
    )?;
    let rules = check::broken_rules(&config);
    if !rules.is_empty() {
        return Err(ConfigError::Rules { rules });
    }
    Ok(Loaded {
        config,
        origins,
        file,
    })
}

fn read_file(paths: &Paths) -> Result<Option<Mapping>, ConfigError> {
    let path = &paths.config_file;
    let text = match read_bounded(path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            return if paths.config_named {
                Err(ConfigError::Missing(path.clone()))
            } else {
                Ok(None)
            };
        }
        Err(source) => {
            return Err(ConfigError::Read {
                path: path.clone(),
                source,
            });
        }
    };
    let parse = |message: String| ConfigError::Parse {
        origin: path.display().to_string(),
        message,
    };
    let tree: Value = serde_yaml::from_str(&text).map_err(|error| parse(error.to_string()))?;
    let mapping = match tree {
        Value::Null => Mapping::new(),
        Value::Mapping(mapping) => mapping,
        _ => return Err(parse("the file must be a mapping of sections".to_owned())),
    };
    let keys = unknown::find(&Value::Mapping(mapping.clone()), &text);
    if !keys.is_empty() {
        return Err(ConfigError::Unknown {
            path: path.clone(),
            keys,
        });
    }
    // Read from the text once more: only so do errors of type know their line.
    serde_yaml::from_str::<Option<Config>>(&text).map_err(|error| parse(error.to_string()))?;
    Ok(Some(without_nulls(mapping)))
}

fn read_bounded(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the file is larger than 1 MiB",
        ));
    }
    Ok(text)
}

/// A section that is written but empty means its defaults.
fn without_nulls(mapping: Mapping) -> Mapping {
    mapping
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect()
}

fn read(tree: Value, origin: &str) -> Result<Config, ConfigError> {
    serde_yaml::from_value(tree).map_err(|error| ConfigError::Parse {
        origin: origin.to_owned(),
        message: error.to_string(),
    })
}

/// Every key that can be set, as a path.
fn key_paths() -> impl Iterator<Item = String> {
    SECTIONS.iter().flat_map(|(section, keys)| {
        keys.iter().filter_map(move |key| match *section {
            "" if *key == "allow" => Some("allow".to_owned()),
            "" => None,
            section => Some(format!("{section}.{key}")),
        })
    })
}

/// Environment variables and their keys; our own names come last, so that they win over older ones.
fn variables() -> impl Iterator<Item = (String, String)> {
    let aliases = ALIASES
        .iter()
        .map(|(name, key)| ((*name).to_owned(), (*key).to_owned()));
    let own = key_paths().map(|key| {
        let name = format!("DGON_{}", key.replace('.', "_").to_ascii_uppercase());
        (name, key)
    });
    aliases.chain(own)
}

fn lookup<'a>(tree: &'a Mapping, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, rest)) => lookup(tree.get(section)?.as_mapping()?, rest),
        None => tree.get(key),
    }
}

/// Lays one value over the tree, after it proved to fit its key alone.
fn lay(tree: &mut Mapping, key: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
    let value = value_of(key, text);
    let mut alone = Mapping::new();
    put(&mut alone, key, value.clone());
    read(Value::Mapping(alone), origin)?;
    put(tree, key, value);
    Ok(())
}

fn put(tree: &mut Mapping, key: &str, value: Value) {
    match key.split_once('.') {
        Some((section, rest)) => {
            let entry = tree
                .entry(Value::from(section))
                .or_insert_with(|| Value::Mapping(Mapping::new()));
            if let Value::Mapping(inner) = entry {
                put(inner, rest, value);
            }
        }
        None => {
            tree.insert(Value::from(key), value);
        }
    }
}

/// Text from outside the file as a value: lists are separated by commas, names and addresses stay text.
fn value_of(key: &str, text: &str) -> Value {
    let text = text.trim();
    let items = || {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
    };
    match key {
        "allow" | "owner.quiet_hours" | "proxy.hosts" | "proxy.origins" | "runtimes.endpoints" => {
            Value::Sequence(items().map(Value::from).collect())
        }
        "control_plane.api" | "control_plane.ca_file" | "log.file" | "node.id" | "node.region" => {
            Value::from(text)
        }
        _ => match serde_yaml::from_str(text) {
            Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
            _ => Value::from(text),
        },
    }
}
