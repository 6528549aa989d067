//! The values of all layers, as text, each with where it came from.

use super::settings::{SETTINGS, Setting};
use super::{Config, ConfigError};
use crate::nearest::nearest;
use serde_yaml::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names the file in the environment. Not `DGON_CONFIG`: that one is the agent's.
const CONFIG_ENV: &str = "DGON_CONTROL_PLANE_CONFIG";
/// Variables of the agent and of `make run`, which may stand in the same environment.
const FOREIGN_ENV: [&str; 2] = ["DGON_CONFIG", "DGON_DATA"];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nothing was set.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(&'static str),
    /// A flag of the command line.
    Flag(&'static str),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Environment(name) => write!(f, "${name}"),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// Text values by key; later layers replace earlier ones.
#[derive(Clone, PartialEq, Eq)]
pub struct Layers {
    values: BTreeMap<&'static str, (String, Source)>,
}

impl std::fmt::Debug for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Layers")
    }
}

fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

impl Layers {
    /// The defaults alone.
    pub fn defaults() -> Self {
        let values = SETTINGS
            .iter()
            .map(|setting| (setting.key, (setting.default.to_owned(), Source::Default)))
            .collect();
        Self { values }
    }

    /// File, environment and flags over the defaults. `file` is the flag's; without it the environment may
    /// name one.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[(&'static str, Option<String>)],
    ) -> Result<Self, ConfigError> {
        let mut layers = Self::defaults();
        let environment: BTreeMap<String, String> = environment.collect();
        let named = environment
            .get(CONFIG_ENV)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
        if let Some(path) = file.map(Path::to_owned).or(named) {
            layers.add_file(&path)?;
        }
        layers.add_environment(&environment)?;
        for (key, value) in flags {
            if let Some(value) = value {
                layers.set(key, value.clone(), Source::Flag(key));
            }
        }
        Ok(layers)
    }

    fn set(&mut self, key: &str, value: String, source: Source) {
        if let Some(setting) = find(key) {
            self.values.insert(setting.key, (value, source));
        }
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.to_owned(),
            source,
        })?;
        let malformed = |what: String| ConfigError::Malformed {
            path: path.to_owned(),
            what,
        };
        let root: Value =
            serde_yaml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let mut found = Vec::new();
        flatten("", &root, &mut found).map_err(malformed)?;
        for (key, value) in found {
            let Some(setting) = find(&key) else {
                let known = SETTINGS.iter().map(|setting| setting.key);
                return Err(ConfigError::Unknown {
                    place: path.display().to_string(),
                    nearest: nearest(&key, known, 4).map(str::to_owned),
                    name: key,
                });
            };
            self.set(setting.key, value, Source::File(path.to_owned()));
        }
        Ok(())
    }

    /// Variables of ours are taken; those that look like a mistyped one of ours are refused. Others that start
    /// with `DGON_` are the agent's.
    fn add_environment(
        &mut self,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), ConfigError> {
        for (name, value) in environment {
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.env == name) {
                if !value.is_empty() {
                    self.set(setting.key, value.clone(), Source::Environment(setting.env));
                }
            } else if name.starts_with("DGON_")
                && name != CONFIG_ENV
                && !FOREIGN_ENV.contains(&name.as_str())
            {
                let known = SETTINGS.iter().map(|setting| setting.env);
                if let Some(like) = nearest(name, known, 2) {
                    return Err(ConfigError::Unknown {
                        place: "environment".to_owned(),
                        name: name.clone(),
                        nearest: Some(like.to_owned()),
                    });
                }
            }
        }
        Ok(())
    }

    /// Key, value and source of every setting; secrets are hidden.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, &str, &Source)> {
        SETTINGS.iter().filter_map(|setting| {
            let (value, source) = self.values.get(setting.key)?;
            let hidden = setting.is_secret && !value.is_empty();
            Some((
                setting.key,
                if hidden { "(hidden)" } else { value.as_str() },
                source,
            ))
        })
    }

    pub(super) fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", |(value, _)| value.as_str())
    }

    pub(super) fn wrong(&self, key: &'static str, rule: String) -> ConfigError {
        let is_secret = find(key).is_some_and(|setting| setting.is_secret);
        ConfigError::Value {
            place: self
                .values
                .get(key)
                .map_or_else(String::new, |(_, source)| source.to_string()),
            key,
            value: if is_secret {
                "(hidden)".to_owned()
            } else {
                self.text(key).to_owned()
            },
            rule,
        }
    }

    pub(super) fn parse<T: std::str::FromStr>(
        &self,
        key: &'static str,
        rule: &str,
    ) -> Result<T, ConfigError> {
        self.text(key)
            .trim()
            .parse()
            .map_err(|_| self.wrong(key, rule.to_owned()))
    }

    pub(super) fn number(
        &self,
        key: &'static str,
        least: u32,
        most: u32,
    ) -> Result<u32, ConfigError> {
        let rule = format!("give a whole number from {least} to {most}");
        let number = self.parse(key, &rule)?;
        if (least..=most).contains(&number) {
            Ok(number)
        } else {
            Err(self.wrong(key, rule))
        }
    }

    pub(super) fn optional(
        &self,
        key: &'static str,
        check: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Option<String>, ConfigError> {
        match self.text(key).trim() {
            "" => Ok(None),
            text => check(text).map(Some).map_err(|rule| self.wrong(key, rule)),
        }
    }

    pub(super) fn list<T>(
        &self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        let items = self
            .text(key)
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        items
            .map(|item| read(item).map_err(|rule| self.wrong(key, rule)))
            .collect()
    }

    pub(super) fn one_of<T: Copy>(
        &self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Result<T, ConfigError> {
        let text = self.text(key).trim().to_lowercase();
        let found = choices.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.wrong(key, format!("give one of {}", names.join(", ")))
        })
    }

    /// The checked configuration.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn check(&self) -> Result<Config, ConfigError> {
        Config::from_layers(self)
    }
}

/// Turns nested mappings into dotted keys, and lists into text with commas.
fn flatten(prefix: &str, value: &Value, found: &mut Vec<(String, String)>) -> Result<(), String> {
    let scalar = |value: &Value| match value {
        Value::Null => Ok(String::new()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        Value::String(value) => Ok(value.clone()),
        Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => {
            Err(format!("{prefix} must be one value"))
        }
    };
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                let key = key.as_str().ok_or_else(|| "a key is not text".to_owned())?;
                let path = if prefix.is_empty() {
                    key.to_owned()
                } else {
                    format!("{prefix}.{key}")
                };
                flatten(&path, value, found)?;
            }
            Ok(())
        }
        Value::Null if prefix.is_empty() => Ok(()),
        _ if prefix.is_empty() => Err("the file is not a list of key: value lines".to_owned()),
        Value::Sequence(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect::<Result<_, _>>()?;
            found.push((prefix.to_owned(), items.join(",")));
            Ok(())
        }
        value => {
            found.push((prefix.to_owned(), scalar(value)?));
            Ok(())
        }
    }
}
