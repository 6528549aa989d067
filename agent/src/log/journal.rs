//! Lines for systemd's journal: it knows the time itself, and reads the priority from a `<N>` before each line.

use std::fmt;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Another format with the priority of syslog(3) before it.
pub(super) struct Prefixed<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Prefixed<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Whether the standard error stream goes to the journal, by what systemd says in JOURNAL_STREAM.
pub(super) fn is_stderr(environment: &dyn Fn(&str) -> Option<String>) -> bool {
    environment("JOURNAL_STREAM").is_some_and(|stream| {
        stream
            .split_once(':')
            .and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)))
            .is_some_and(crate::files::is_stderr)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn each_line_begins_with_its_priority() {
        let out = Arc::new(Mutex::new(Vec::new()));
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .map_event_format(Prefixed)
            .with_writer({
                let out = Arc::clone(&out);
                move || Shared(Arc::clone(&out))
            });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::error!(code = 7, "it failed");
            tracing::info!("it works");
        });
        let text = String::from_utf8(out.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines, ["<3>ERROR it failed code=7", "<6> INFO it works"]);
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_that_is_not_ours_is_no_journal() {
        assert!(!is_stderr(&|_| None));
        assert!(!is_stderr(&|_| Some("0:0".to_owned())));
        assert!(!is_stderr(&|_| Some("journal".to_owned())));
    }
}
