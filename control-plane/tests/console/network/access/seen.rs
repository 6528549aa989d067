//! What of organisation A is in an answer.

use serde_json::Value;

/// How the ids of A's nodes begin. Anybody may know them.
pub(super) const NODE: &str = "rig-of-a";
/// The prompt tokens of each receipt of A's but its probe's: so many times it is in a sum, so many of the receipts are.
pub(super) const TOKENS: u64 = 1_000_000;

/// Texts that nobody but A may see: ids of receipts and tokens, people, what A's machine is.
pub(super) struct Private(pub(super) Vec<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Nothing,
    Trimmed,
    Whole,
}

impl Private {
    pub(super) fn seen_in(&self, text: &str) -> String {
        let Ok(answer) = serde_json::from_str::<Value>(text) else {
            return word(self.of_text(text)).to_owned();
        };
        if answer["count"].is_u64() {
            return items(answer["tokens_input"].as_u64().unwrap_or(0) / TOKENS, "");
        }
        match answer["items"].as_array() {
            Some(rows) if answer["node_id"].is_null() => {
                let all = rows.iter().map(|row| self.of_json(row));
                let of_a: Vec<Seen> = all.filter(|seen| *seen != Seen::Nothing).collect();
                let is_trimmed = of_a.contains(&Seen::Trimmed);
                items(of_a.len() as u64, if is_trimmed { " trimmed" } else { "" })
            }
            _ => word(self.of_json(&answer)).to_owned(),
        }
    }

    fn of_text(&self, text: &str) -> Seen {
        if self.0.iter().any(|private| text.contains(private)) {
            Seen::Whole
        } else if text.contains(NODE) {
            Seen::Trimmed
        } else {
            Seen::Nothing
        }
    }

    fn of_json(&self, value: &Value) -> Seen {
        match value {
            Value::String(text) => self.of_text(text),
            Value::Array(values) => self.most(values.iter()),
            Value::Object(fields) => {
                let seen = self.most(fields.values());
                // These are the same for all nodes, so their text does not tell whose they are.
                let is_told = ["agent_version", "last_probe", "used_by"]
                    .iter()
                    .any(|name| fields.get(*name).is_some_and(|told| !told.is_null()));
                if seen == Seen::Trimmed && is_told {
                    Seen::Whole
                } else {
                    seen
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Seen::Nothing,
        }
    }

    fn most<'v>(&self, values: impl Iterator<Item = &'v Value>) -> Seen {
        values
            .map(|value| self.of_json(value))
            .max()
            .unwrap_or(Seen::Nothing)
    }
}

fn word(seen: Seen) -> &'static str {
    match seen {
        Seen::Nothing => "-",
        Seen::Trimmed => "trimmed",
        Seen::Whole => "whole",
    }
}

fn items(count: u64, how: &str) -> String {
    match count {
        0 => "-".to_owned(),
        1 => format!("1 item{how}"),
        _ => format!("{count} items{how}"),
    }
}

/// Whether somebody who was answered `theirs` is shown all that somebody with `others` is: as well answered, as many items,
/// and none of them with less.
pub(super) fn is_no_less(theirs: &str, others: &str) -> bool {
    let rank = |answer: &str| {
        let (status, seen) = answer.split_once(' ').unwrap_or((answer, "-"));
        let count = seen
            .split(' ')
            .next()
            .and_then(|word| word.parse::<u64>().ok());
        let how = match seen {
            "-" => Seen::Nothing,
            seen if seen.ends_with("trimmed") => Seen::Trimmed,
            _ => Seen::Whole,
        };
        (!status.starts_with('4'), how, count.unwrap_or(0))
    };
    let (theirs, others) = (rank(theirs), rank(others));
    theirs.0 >= others.0 && theirs.1 >= others.1 && theirs.2 >= others.2
}
