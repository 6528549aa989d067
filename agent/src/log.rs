//! What the agent writes about its work: to the standard error stream, as text or JSON.
//!
//! Secrets stay out because the types that hold them do not print them; prompts and outputs are never given to
//! the log at all. Libraries are quieter than we are, whatever the level: their debug output can hold headers.

use crate::config::{Log, LogFormat, LogLevel};
use std::io::IsTerminal as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Our crates; the rest of the targets belongs to libraries.
const OURS: [&str; 3] = ["dgon_agent", "dgon_agent_core", "dgon_protocol"];

/// Starts the log. Later calls change nothing.
pub fn init(log: Log) {
    let layer = tracing_subscriber::fmt::layer().with_writer(|| crate::screen::LogStream);
    let registry = tracing_subscriber::registry().with(filter(log.level));
    let started = match log.format {
        LogFormat::Text => registry
            .with(layer.with_target(false).with_ansi(colour_on_stderr()))
            .try_init(),
        LogFormat::Json => registry
            .with(layer.json().flatten_event(true).with_ansi(false))
            .try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log runs already");
    }
}

fn filter(level: LogLevel) -> Targets {
    let ours = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(ours.min(LevelFilter::WARN))
        .with_targets(OURS.map(|target| (target, ours)))
}

fn colour_on_stderr() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn libraries_are_quieter_than_we_are() {
        let debug = filter(LogLevel::Debug);
        assert!(debug.would_enable("dgon_agent::proxy", &Level::DEBUG));
        assert!(!debug.would_enable("hyper::proto", &Level::INFO));
        assert!(debug.would_enable("hyper::proto", &Level::WARN));
        assert!(!filter(LogLevel::Error).would_enable("hyper::proto", &Level::WARN));
    }
}
