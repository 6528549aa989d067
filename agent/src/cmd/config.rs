//! `config check` and `config show`.

use super::{Context, print};
use crate::cli::{ConfigCommand, Output};
use crate::config::{Loaded, Origin};
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) fn run(context: &Context, command: ConfigCommand) -> anyhow::Result<ExitCode> {
    let loaded = match (context.load_config(Vec::new()), command) {
        (Err(error), ConfigCommand::Check(Output { json: true })) => {
            let message = error.to_string();
            print::json(&json!({"valid": false, "message": message}))?;
            return Err(error.into());
        }
        (loaded, _) => loaded?,
    };
    match command {
        ConfigCommand::Check(Output { json: true }) => print::json(&json!({
            "valid": true,
            "file": loaded.file,
            "notes": crate::owner::notes(&loaded.config.owner),
        }))?,
        ConfigCommand::Check(_) => {
            let mut text = match &loaded.file {
                Some(file) => format!("{} is valid\n", file.display()),
                None => format!(
                    "there is no {}; the defaults hold\n",
                    context.paths.config_file.display()
                ),
            };
            for note in crate::owner::notes(&loaded.config.owner) {
                text.push_str(&format!("note: {}\n", print::safe(&note)));
            }
            print::out(&text)?;
        }
        ConfigCommand::Show(Output { json: true }) => {
            let origins: serde_json::Map<String, Value> = loaded
                .origins
                .iter()
                .map(|(key, origin)| (key.clone(), Value::from(origin.to_string())))
                .collect();
            print::json(&json!({
                "config": loaded.config,
                "origins": origins,
                "file": loaded.file,
                "state_dir": context.paths.state.path(),
            }))?;
        }
        ConfigCommand::Show(_) => print::out(&annotated(context, &loaded)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration as YAML; what is not a default says where it comes from.
fn annotated(context: &Context, loaded: &Loaded) -> anyhow::Result<String> {
    let mut text = format!(
        "# file: {}\n# state: {}\n",
        loaded
            .file
            .as_ref()
            .map_or("none, defaults".to_owned(), |file| file
                .display()
                .to_string()),
        context.paths.state.path().display()
    );
    let mut section = String::new();
    for line in serde_yaml::to_string(&loaded.config)?.lines() {
        let key = line.split(':').next().unwrap_or_default();
        let path = if line.starts_with([' ', '-']) {
            format!("{section}.{}", key.trim())
        } else {
            section = key.to_owned();
            section.clone()
        };
        text.push_str(line);
        match loaded.origins.get(&path) {
            Some(origin @ (Origin::Environment(_) | Origin::Flag | Origin::File)) => {
                text.push_str(&format!("  # {origin}\n"));
            }
            None => text.push('\n'),
        }
    }
    Ok(text)
}
