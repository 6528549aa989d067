//! Printing: errors with their causes, JSON, tables, colour where a person looks.

use dgon_protocol::receipt::TokensSource;
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};

/// Prints an error and its causes to the standard error stream.
pub(super) fn error(error: &anyhow::Error) {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("  because: {cause}\n"));
    }
    // Nothing can be told to anyone when the terminal is gone.
    drop(io::stderr().write_all(text.as_bytes()));
}

/// Writes text to the standard output; a reader that went away (`| head`) is no error.
pub(super) fn out(text: &str) -> anyhow::Result<()> {
    match io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints one JSON document.
pub(super) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    out(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Whether the standard output takes colour.
pub(super) fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Columns padded to their widest cell, two spaces apart; the first row is the head.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Text from elsewhere for a terminal: control characters are written out, so that it cannot steer it.
pub(super) fn safe(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Like [`safe`], but keeps line ends: for texts of our own that quote others.
pub(super) fn safe_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(safe).collect();
    lines.join("\n")
}

/// A size in MiB as people read it.
pub(super) fn mib(mib: u64) -> String {
    if mib >= 10 * 1024 {
        format!("{} GiB", (mib + 512) / 1024)
    } else {
        format!("{mib} MiB")
    }
}

/// `value` or a dash.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Prompt tokens as far as the receipt knows them; one that does not say where they come from is taken at its word.
pub(super) fn input_tokens(source: Option<TokensSource>, count: i64) -> String {
    match source {
        Some(source) if source.lacks_a_count(count) => or_dash(None::<i64>),
        source => told_tokens(source, count),
    }
}

/// Generated tokens as far as the receipt knows them: "≈" before a count of pieces.
pub(super) fn output_tokens(source: Option<TokensSource>, count: i64) -> String {
    match source {
        Some(TokensSource::Chunks) => format!("≈ {count}"),
        source => told_tokens(source, count),
    }
}

fn told_tokens(source: Option<TokensSource>, count: i64) -> String {
    match source {
        Some(TokensSource::Unknown) => or_dash(None::<i64>),
        Some(TokensSource::Unpaid) => "unpaid".to_owned(),
        _ => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(safe("模型 \u{1b}[2J\n"), "模型 \\u{1b}[2J\\n");
    }

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let rows = [vec!["A", "LONG"], vec!["wide", "x"]]
            .map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(table(&rows), "A     LONG\nwide  x\n");
    }

    #[test]
    fn counts_that_nobody_knows_are_no_zero() {
        use TokensSource::{Chunks, None as Nothing, PartialUsage, Unknown, Unpaid, Usage};
        let text = |source, input, output| {
            format!(
                "{} {}",
                input_tokens(source, input),
                output_tokens(source, output)
            )
        };
        let dash = or_dash(None::<i64>);
        assert_eq!(text(None, 0, 5), "0 5");
        for source in [Usage, PartialUsage, Nothing] {
            assert_eq!(text(Some(source), 3, 0), "3 0");
        }
        assert_eq!(text(Some(Chunks), 0, 5), format!("{dash} ≈ 5"));
        assert_eq!(text(Some(Chunks), 7, 5), "7 ≈ 5");
        assert_eq!(text(Some(Unknown), 0, 0), format!("{dash} {dash}"));
        assert_eq!(text(Some(Unpaid), 0, 0), "unpaid unpaid");
    }
}
