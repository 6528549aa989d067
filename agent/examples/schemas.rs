//! Writes the published JSON schemas into a folder. Only for `cargo xtask schemas`.
#![expect(clippy::print_stderr, reason = "a tool for developers")]

use dgon_agent::config::Config;
use dgon_agent::doctor::Report;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use std::path::Path;
use std::process::ExitCode;

fn text<T: JsonSchema>(settings: SchemaSettings) -> String {
    let schema = SchemaGenerator::new(settings).into_root_schema_for::<T>();
    format!("{:#}\n", schema.as_value())
}

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: schemas FOLDER");
        return ExitCode::from(64);
    };
    let settings = SchemaSettings::draft2020_12;
    let files = [
        // What is printed, and what is read: a field that may be absent in a file is always there in a report.
        (
            "doctor.schema.json",
            text::<Report>(settings().for_serialize()),
        ),
        (
            "agent.yaml.schema.json",
            text::<Config>(settings().for_deserialize()),
        ),
    ];
    for (name, text) in files {
        if let Err(error) = std::fs::write(Path::new(&folder).join(name), text) {
            eprintln!("{name} cannot be written: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
