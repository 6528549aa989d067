//! Keys that no section knows: found in the parsed tree, so that all are named at once, each with its line.

use super::RuntimeEndpoint;
use serde_yaml::Value;

/// Known keys of each section; the empty path is the root. The test of [`super::model`] keeps it complete.
pub(super) const SECTIONS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "control_plane",
            "node",
            "runtimes",
            "proxy",
            "allow",
            "spool",
            "owner",
            "telemetry",
            "log",
        ],
    ),
    ("control_plane", &["api", "insecure_http", "ca_file"]),
    ("node", &["id", "region"]),
    ("runtimes", &["detect", "endpoints"]),
    (
        "proxy",
        &[
            "listen",
            "hosts",
            "origins",
            "max_body_mib",
            "max_in_flight",
            "connect_timeout_ms",
            "first_byte_s",
            "stall_timeout_s",
            "drain_s",
        ],
    ),
    ("spool", &["max_receipts", "max_mib", "keep_days"]),
    (
        "owner",
        &[
            "idle_only",
            "quiet_hours",
            "max_gpu_temp_c",
            "min_profit_usd_per_hour",
            "tariff_usd_per_kwh",
        ],
    ),
    ("telemetry", &["metrics_listen", "read_gpus"]),
    ("log", &["level", "format", "file", "max_mib", "keep"]),
];

/// Known keys of the mappings in a list.
const ITEMS: &[(&str, &[&str])] = &[("runtimes.endpoints", RuntimeEndpoint::KEYS)];

/// A key that no section knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// Its path, such as `proxy.lisen`.
    pub path: String,
    /// Line in the file, from 1, where it could be found.
    pub line: Option<usize>,
    /// The known key that looks most like it.
    pub nearest: Option<String>,
}

impl std::fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "unknown key {}", self.path)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; the nearest known key is {nearest}"),
            None => Ok(()),
        }
    }
}

/// All unknown keys of a parsed file; `text` is the file, for the line numbers.
pub(super) fn find(root: &Value, text: &str) -> Vec<UnknownKey> {
    let mut found = Vec::new();
    walk(root, &mut Vec::new(), text, &mut found);
    found
}

fn walk(value: &Value, path: &mut Vec<String>, text: &str, found: &mut Vec<UnknownKey>) {
    let section = path.join(".");
    if let Value::Sequence(items) = value {
        for item in items.iter().filter(|item| item.is_mapping()) {
            walk(item, path, text, found);
        }
        return;
    }
    let mut tables = SECTIONS.iter().chain(ITEMS);
    let known = tables.find(|(name, _)| *name == section);
    let (Value::Mapping(mapping), Some((_, known))) = (value, known) else {
        return;
    };
    for (key, value) in mapping {
        let key = match key {
            Value::String(key) => key.clone(),
            other => serde_yaml::to_string(other)
                .unwrap_or_default()
                .trim()
                .to_owned(),
        };
        path.push(key.clone());
        if known.contains(&key.as_str()) {
            walk(value, path, text, found);
        } else {
            found.push(UnknownKey {
                path: path.join("."),
                line: line_of(text, path),
                nearest: nearest(&section, known, &key),
            });
        }
        path.pop();
    }
}

/// The same key where another section has it, else the known key of this section that takes the fewest edits.
fn nearest(section: &str, known: &[&str], key: &str) -> Option<String> {
    let wanted = key.to_ascii_lowercase().replace('-', "_");
    let full = |section: &str, name: &str| match section {
        "" => name.to_owned(),
        section => format!("{section}.{name}"),
    };
    let elsewhere = SECTIONS
        .iter()
        .filter(|(_, names)| names.contains(&wanted.as_str()))
        .min_by_key(|(other, _)| *other != section);
    if let Some((other, _)) = elsewhere {
        return Some(full(other, &wanted));
    }
    known
        .iter()
        .min_by_key(|name| strsim::damerau_levenshtein(&wanted, name))
        .map(|name| full(section, name))
}

/// The line on which the last key of `path` stands: each key is looked for after the one before it.
fn line_of(text: &str, path: &[String]) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    for key in path {
        let names_key = |line: &str| {
            let line = line.split(" #").next().unwrap_or(line).trim_start();
            !line.starts_with('#')
                && line.match_indices(key.as_str()).any(|(start, _)| {
                    let before = line[..start].chars().next_back();
                    let after = line[start + key.len()..].trim_start_matches(['"', '\'']);
                    after.trim_start().starts_with(':')
                        && before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '_' | '.'))
                })
        };
        at += lines[at..].iter().position(|line| names_key(line))?;
    }
    Some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn unknown(text: &str) -> Vec<String> {
        find(&serde_yaml::from_str(text).unwrap(), text)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_table_lists_exactly_what_the_sections_take() {
        let full = serde_yaml::to_value(Config::default()).unwrap();
        for (section, known) in SECTIONS.iter() {
            let value = if section.is_empty() {
                &full
            } else {
                &full[*section]
            };
            let mut keys: Vec<&str> = value
                .as_mapping()
                .unwrap()
                .keys()
                .map(|key| key.as_str().unwrap())
                .collect();
            let mut known = known.to_vec();
            keys.sort_unstable();
            known.sort_unstable();
            assert_eq!(keys, known, "section {section:?}");
        }
    }

    #[test]
    fn unknown_keys_name_their_line_and_the_nearest_known_one() {
        assert_eq!(
            unknown(
                "# note\nproxy:\n  lisen: 127.0.0.1:1\n  max-body-mib: 3\nlgo:\n  level: info\n"
            ),
            [
                "line 3: unknown key proxy.lisen; the nearest known key is proxy.listen",
                "line 4: unknown key proxy.max-body-mib; the nearest known key is proxy.max_body_mib",
                "line 5: unknown key lgo; the nearest known key is log",
            ]
        );
    }

    #[test]
    fn keys_of_list_items_are_known_too() {
        assert_eq!(
            unknown(
                "runtimes:\n  endpoints:\n    - http://h\n    - url: http://h\n      api_keyfile: x\n"
            ),
            [
                "line 5: unknown key runtimes.endpoints.api_keyfile; the nearest known key is runtimes.endpoints.api_key_file"
            ]
        );
    }

    #[test]
    fn a_key_in_the_wrong_place_names_its_right_one() {
        assert_eq!(
            unknown("node:\n  listen: 127.0.0.1:1\n"),
            ["line 2: unknown key node.listen; the nearest known key is proxy.listen"]
        );
    }

    #[test]
    fn flow_style_and_odd_keys_do_not_confuse_it() {
        assert_eq!(
            unknown("proxy: {drian_s: 1}\n7: x\n"),
            [
                "line 1: unknown key proxy.drian_s; the nearest known key is proxy.drain_s",
                "line 2: unknown key 7; the nearest known key is log"
            ]
        );
    }
}
