//! One spelling for all the spellings of a path that servers take for the same.
//!
//! Escapes are decoded once, as servers do; `%2F` then separates like any slash, for most servers route on the
//! decoded path. Slashes in a row count as one, `.` and `..` are resolved, `;parameters` of a segment and a slash
//! at the end are left out. Only the reading is normalised: the proxy forwards what the client wrote.

/// A path as servers read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    text: String,
    /// Absent where it is the same.
    lower: Option<String>,
    is_plain: bool,
}

impl Path {
    /// Reads the path of a request target; a query or fragment is cut off. `None` where the text cannot be decoded:
    /// a broken escape, a control character, bytes that are not UTF-8, or no path at all.
    pub fn read(raw: &str) -> Option<Self> {
        let raw = raw.split(['?', '#']).next().unwrap_or_default();
        if !raw.starts_with('/') {
            return None;
        }
        if is_normal(raw.as_bytes()) {
            return Some(Self {
                text: raw.to_owned(),
                lower: None,
                is_plain: true,
            });
        }
        Self::read_any(raw)
    }

    /// Reads a path in whatever spelling.
    fn read_any(raw: &str) -> Option<Self> {
        let decoded = decode(raw)?;
        let mut is_plain = true;
        let mut segments: Vec<&str> = Vec::new();
        for whole in decoded.split('/') {
            let segment = whole.split(';').next().unwrap_or_default();
            is_plain &= segment.len() == whole.len();
            match segment {
                "" => {}
                "." => is_plain = false,
                ".." => {
                    is_plain = false;
                    segments.pop();
                }
                name => segments.push(name),
            }
        }
        let text = format!("/{}", segments.join("/"));
        let has_case = text.bytes().any(|byte| byte.is_ascii_uppercase());
        Some(Self {
            lower: has_case.then(|| text.to_ascii_lowercase()),
            text,
            is_plain,
        })
    }

    /// The path, with the case that the client wrote.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path in lower case: no server that is known ignores case, but one that does shall not serve unmeasured.
    pub fn lower(&self) -> &str {
        self.lower.as_deref().unwrap_or(&self.text)
    }

    /// Whether no `.`, `..` or `;parameters` stood in it. Servers differ in what they make of those, so such a path
    /// is never taken for one that is not work.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }
}

/// Whether a path is spelled as it reads, as nearly all are: lower case, nothing that is decoded, resolved or left out.
fn is_normal(raw: &[u8]) -> bool {
    let is_letter =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b':' | b'@');
    raw.windows(2)
        .all(|pair| is_letter(pair[1]) || (pair[1] == b'/' && pair[0] != b'/'))
        && raw.last().is_some_and(|last| is_letter(*last))
}

/// Decodes percent escapes, once.
fn decode(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match (byte, after) {
            (b'%', [high, low, after @ ..]) => (hex(*high)? << 4 | hex(*low)?, after),
            (b'%', _) => return None,
            other => other,
        };
        if byte.is_ascii_control() {
            return None;
        }
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(raw: &str) -> Option<String> {
        Path::read(raw).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn every_spelling_of_a_path_reads_the_same() {
        for raw in [
            "/v1/chat/completions",
            "/v1/chat/%63ompletions",
            "/v1/chat/%63%6f%6D%70letions",
            "//v1/chat/completions",
            "/v1//chat///completions",
            "/v1%2Fchat/completions",
            "/v1%2fchat%2Fcompletions",
            "/v1/chat/completions/",
            "/v1/chat/completions?x=/api/show",
            "/v1/chat/completions#x",
            "/v1/./chat/completions",
            "/v1/%2e/chat/completions",
            "/x/../v1/chat/completions",
            "/api/show/%2e%2E/..//v1/chat/completions",
            "/v1/chat;a=b/completions;c",
            "/../v1/chat/completions",
        ] {
            assert_eq!(read(raw).as_deref(), Some("/v1/chat/completions"), "{raw}");
        }
        assert_eq!(read("/").as_deref(), Some("/"));
        assert_eq!(read("/..").as_deref(), Some("/"));
    }

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(
            read("/v1/chat/%2563ompletions").as_deref(),
            Some("/v1/chat/%63ompletions")
        );
    }

    #[test]
    fn what_cannot_be_decoded_is_unknown() {
        for raw in [
            "", "*", "v1/x", "/a%", "/a%2", "/a%zz", "/a%00b", "/a%0a", "/a%ff", "/a%c3%28",
        ] {
            assert_eq!(read(raw), None, "{raw:?}");
        }
    }

    #[test]
    fn a_path_that_servers_read_in_two_ways_is_not_plain() {
        for (raw, plain) in [
            ("/api/show", true),
            ("//api/%73how/", true),
            ("/api/./show", false),
            ("/v1/chat/../../api/show", false),
            ("/api/show;x", false),
        ] {
            assert_eq!(Path::read(raw).unwrap().is_plain(), plain, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn reading_twice_changes_nothing_more(raw in "/[a-z./;%2F]{0,40}") {
            if let Some(once) = Path::read(&raw) && !once.as_str().contains('%') {
                let twice = Path::read(once.as_str()).unwrap();
                prop_assert_eq!(twice.as_str(), once.as_str());
                prop_assert!(twice.is_plain());
            }
        }

        #[test]
        fn the_short_way_reads_what_the_long_way_reads(raw in "(/[aZ0_:@.;%~-]{0,3}){1,4}") {
            prop_assert_eq!(Path::read(&raw), Path::read_any(&raw));
        }

        #[test]
        fn any_escaping_reads_as_its_letters(word in "[a-z]{1,12}", escaped: u16) {
            let spelled: String = word.bytes().enumerate().map(|(at, byte)| {
                if escaped >> (at % 16) & 1 == 1 { format!("%{byte:02x}") } else { char::from(byte).to_string() }
            }).collect();
            prop_assert_eq!(read(&format!("/{spelled}")), Some(format!("/{word}")));
        }

        #[test]
        fn nothing_panics(raw in ".*") {
            let _ = Path::read(&raw);
        }
    }
}
