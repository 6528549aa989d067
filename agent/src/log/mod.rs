//! What the agent writes about its work: to the standard error stream, the journal behind it, or a file of its own,
//! as text or JSON.
//!
//! Secrets stay out because the types that hold them do not print them; prompts and outputs are never given to
//! the log at all. What still quotes a secret is cut by [`hide`]'s list. Libraries are quieter than we are, whatever
//! the level: their debug output can hold headers.

mod file;
mod hidden;
mod journal;

pub use hidden::hide;

use crate::config::{Log, LogFormat, LogLevel};
use file::RotatingFile;
use hidden::Redacting;
use journal::Prefixed;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Our crates; the rest of the targets belongs to libraries.
const OURS: [&str; 3] = ["dgon_agent", "dgon_agent_core", "dgon_protocol"];

/// The log file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the log file {} cannot be written; change log.file, or the permissions of its folder", path.display())]
pub struct LogError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Starts the log. Later calls change nothing.
///
/// # Errors
/// [`LogError`] when there is to be a file and it cannot be opened.
pub fn init(log: &Log) -> Result<(), LogError> {
    let writer = match &log.file {
        Some(path) => {
            let max_bytes = u64::from(log.max_mib) * 1024 * 1024;
            let file = RotatingFile::open(path, max_bytes, log.keep);
            let file = Arc::new(file.map_err(|source| LogError {
                path: path.clone(),
                source,
            })?);
            BoxMakeWriter::new(move || Redacting(Line(Arc::clone(&file))))
        }
        None => BoxMakeWriter::new(|| Redacting(crate::terminal::LogStream)),
    };
    let to_journal =
        log.file.is_none() && journal::is_stderr(&|name: &str| std::env::var(name).ok());
    let colour = log.file.is_none() && !to_journal && colour_on_stderr();
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colour)
        .with_target(log.format == LogFormat::Json);
    let layer = match (log.format, to_journal) {
        (LogFormat::Text, false) => layer.boxed(),
        (LogFormat::Text, true) => layer.without_time().map_event_format(Prefixed).boxed(),
        (LogFormat::Json, false) => layer.json().flatten_event(true).boxed(),
        (LogFormat::Json, true) => layer
            .json()
            .flatten_event(true)
            .without_time()
            .map_event_format(Prefixed)
            .boxed(),
    };
    let registry = tracing_subscriber::registry().with(layer.with_filter(filter(log.level)));
    if registry.try_init().is_err() {
        tracing::debug!("the log runs already");
    }
    Ok(())
}

/// The file as a writer of its own for each line.
struct Line(Arc<RotatingFile>);

impl io::Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.as_ref().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
