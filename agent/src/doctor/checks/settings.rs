//! `agent.settings`: whether the running agent has the values that it would have if it were started from this shell.
//!
//! The doctor judges what the running agent does; who has changed a file or a variable since must hear that it counts
//! only after a restart.

use crate::config::Origin;
use crate::doctor::fix::control::Control;
use crate::doctor::{Check, CheckId, Subject};
use crate::local::Status;
use crate::service;
use serde_json::Value;

/// Differences that are told one by one.
const TOLD: usize = 3;
/// What is given for one run, and changes nothing that is examined.
const NOT_COMPARED: &str = "log.";

pub(super) async fn check(subject: &Subject, status: &Status) -> Check {
    let check = Check::new(
        CheckId::AgentSettings,
        "the running agent's values and those of this shell",
    );
    let Some(config) = subject.values() else {
        return check.skip("the configuration cannot be read");
    };
    if status.configuration.is_null() {
        return check.skip("the running agent is too old to tell its values");
    }
    let shell = serde_json::to_value(config).unwrap_or_default();
    let mut found = differences(&status.configuration, &shell);
    let how = subject.control(Some(status.pid)).await;
    let remark = match how {
        Control::Service(level) => {
            let own = service::places(level, &subject.paths, Default::default()).config_file;
            if own != subject.paths.config_file {
                return check.skip(format!(
                    "the agent is a service, whose agent.yaml is {}; what this shell names is another one's",
                    own.display()
                ));
            }
            // Its manager gives it an environment of its own.
            found.retain(|one| !is_of_this_shell(subject, &one.key));
            "a restart applies what agent.yaml says, where the service's own variables say nothing else"
        }
        Control::ByHand => {
            found.extend(other_proxy(subject, status));
            "a restart from here applies those of this shell"
        }
    };
    if found.is_empty() {
        return check.ok(match how {
            Control::Service(_) => {
                "the agent has what agent.yaml says, as far as no variable of its service or of this shell says else"
            }
            Control::ByHand => "the agent has the values that it would have after a restart from here",
        });
    }
    let mut told: Vec<String> = found.iter().take(TOLD).map(Difference::sentence).collect();
    if let Some(more @ 1..) = found.len().checked_sub(TOLD) {
        told.push(format!("{more} more values differ"));
    }
    check.warn(
        format!(
            "{}; the agent was started with other variables, flags or agent.yaml, and is judged by its own; {remark}",
            told.join("; ")
        ),
        subject.restart_command(Some(status.pid)).await,
    )
}

/// Whether a value comes from a variable or flag, which are this shell's alone.
fn is_of_this_shell(subject: &Subject, key: &str) -> bool {
    let origin = subject
        .config
        .as_ref()
        .ok()
        .and_then(|loaded| loaded.origins.get(key));
    matches!(origin, Some(Origin::Environment(_) | Origin::Flag))
}

/// The HTTP proxy, where an agent that is started from here would take another; nothing where that is not known.
fn other_proxy(subject: &Subject, status: &Status) -> Option<Difference> {
    let proxy = subject.link_settings()?.http_proxy();
    (status.http_proxy != proxy).then(|| Difference {
        key: "the HTTP proxy before the control plane".to_owned(),
        agent: text(&status.http_proxy.clone().into()),
        shell: text(&proxy.into()),
    })
}

/// One value that differs.
#[derive(Debug, PartialEq)]
struct Difference {
    key: String,
    agent: String,
    shell: String,
}

impl Difference {
    fn sentence(&self) -> String {
        let Self { key, agent, shell } = self;
        format!("the running agent has {key} {agent}, this shell's configuration says {shell}")
    }
}

/// Values of the two that differ, by key path.
fn differences(agent: &Value, shell: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    collect(String::new(), agent, shell, &mut found);
    found.retain(|one| !one.key.starts_with(NOT_COMPARED));
    found
}

fn collect(key: String, agent: &Value, shell: &Value, found: &mut Vec<Difference>) {
    let (Value::Object(ours), Value::Object(theirs)) = (agent, shell) else {
        if agent != shell {
            found.push(Difference {
                key,
                agent: text(agent),
                shell: text(shell),
            });
        }
        return;
    };
    // What only one of them knows is of another version, which has a check of its own.
    for (name, value) in ours {
        if let Some(other) = theirs.get(name) {
            let path = if key.is_empty() {
                name.clone()
            } else {
                format!("{key}.{name}")
            };
            collect(path, value, other, found);
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "none".to_owned(),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_is_named_by_its_key_and_both_values() {
        let agent = json!({"proxy": {"listen": "127.0.0.1:1"}, "runtimes": {"endpoints": []}, "log": {"level": "info"}});
        let shell = json!({
            "proxy": {"listen": "127.0.0.1:2"}, "runtimes": {"endpoints": ["http://h:1"]}, "log": {"level": "debug"},
            "owner": {"idle_only": true},
        });
        let sentences: Vec<String> = differences(&agent, &shell)
            .iter()
            .map(Difference::sentence)
            .collect();
        assert_eq!(
            sentences,
            [
                "the running agent has proxy.listen 127.0.0.1:1, this shell's configuration says 127.0.0.1:2",
                "the running agent has runtimes.endpoints none, this shell's configuration says http://h:1",
            ]
        );
        assert_eq!(differences(&agent, &agent), []);
    }
}
