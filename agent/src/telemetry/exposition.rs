//! The text format of Prometheus, version 0.0.4: one page of metric families.

use super::histogram::Snapshot;
use std::fmt::{Display, Write as _};

/// The page's content type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What kind of number a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, but for a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

/// A page that is being written.
#[derive(Debug, Default)]
pub struct Page(String);

/// Label names and values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// Begins a family.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One number of the family that was begun last.
    pub fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        self.labels(labels);
        let _ = writeln!(self.0, " {value}");
    }

    /// A family of one number without labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// A family of one number that may be unknown; then it is not there at all.
    pub fn known(&mut self, name: &str, kind: Kind, help: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.single(name, kind, help, value);
        }
    }

    /// A whole histogram.
    pub fn histogram(&mut self, name: &str, help: &str, snapshot: &Snapshot) {
        self.family(name, Kind::Histogram, help);
        for (bound, count) in &snapshot.buckets {
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let (count, sum) = (snapshot.count, snapshot.sum_s);
        let _ = writeln!(
            self.0,
            "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}"
        );
    }

    /// The page.
    pub fn finish(self) -> String {
        self.0
    }

    fn labels(&mut self, labels: Labels<'_>) {
        let mut open = '{';
        for (name, value) in labels {
            let _ = write!(self.0, "{open}{name}=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    other => self.0.push(other),
                }
            }
            self.0.push('"');
            open = ',';
        }
        if open == ',' {
            self.0.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_exact_form() {
        let mut page = Page::default();
        page.single("a_total", Kind::Counter, "All of a.", 3);
        page.family("b", Kind::Gauge, "Some b.");
        page.sample("b", &[("x", "1"), ("y", "q\"\\\n")], 0.5);
        page.known("c", Kind::Gauge, "Unknown.", None::<u64>);
        let snapshot = Snapshot {
            buckets: vec![(0.01, 1), (2.0, 2)],
            count: 3,
            sum_s: 7.5,
        };
        page.histogram("d_seconds", "How long.", &snapshot);
        let expected = r#"# HELP a_total All of a.
# TYPE a_total counter
a_total 3
# HELP b Some b.
# TYPE b gauge
b{x="1",y="q\"\\\n"} 0.5
# HELP d_seconds How long.
# TYPE d_seconds histogram
d_seconds_bucket{le="0.01"} 1
d_seconds_bucket{le="2"} 2
d_seconds_bucket{le="+Inf"} 3
d_seconds_sum 7.5
d_seconds_count 3
"#;
        assert_eq!(page.finish(), expected);
    }
}
