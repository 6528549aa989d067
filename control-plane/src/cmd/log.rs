//! Starts the log on standard error.

use crate::config::{Config, LogFormat};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts the log. Later calls change nothing.
pub(super) fn init(config: &Config) {
    // Libraries are quieter than we are: their debug output can hold headers and statements.
    let filter = Targets::new()
        .with_target("dgon", config.log_level)
        .with_default(config.log_level.min(LevelFilter::WARN));
    let registry = tracing_subscriber::registry().with(filter);
    // Colours are for people; a log file stays plain.
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    let started = match config.log_format {
        LogFormat::Text => registry.with(layer.with_target(false)).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log runs already");
    }
}
