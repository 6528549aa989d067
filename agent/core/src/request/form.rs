//! The fields of a form: what audio routes take. Files in it are skipped.

use memchr::memmem;

/// What a form says of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    /// Nothing.
    Absent,
    /// This text, once or each time.
    Text(String),
    /// More than one thing, or something that cannot be read. Servers differ in which value they take.
    Unclear,
}

impl Field {
    fn add(&mut self, text: Option<String>) {
        let new = text.map_or(Self::Unclear, Self::Text);
        if *self == Self::Absent {
            *self = new;
        } else if *self != new {
            *self = Self::Unclear;
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Unclear => None,
        }
    }
}

/// Longest head of a part that is read, bytes.
const PART_HEAD_BYTES: usize = 4096;

/// The boundary that a content type names, where it is that of a form in parts.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (media, parameters) = content_type.split_once(';')?;
    if !media.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(parameters, "boundary").filter(|boundary| !boundary.is_empty())
}

/// Whether a content type is that of a form in one line.
pub(super) fn is_line(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Reads a form in parts: each of `names` in its place. Values are kept up to `value_bytes`.
pub(super) fn read_parts<const N: usize>(
    body: &[u8],
    boundary: &str,
    names: [&str; N],
    value_bytes: usize,
) -> [Field; N] {
    let mut fields = names.map(|_| Field::Absent);
    let mark = format!("--{boundary}");
    let mut rest = match memmem::find(body, mark.as_bytes()) {
        Some(at) => &body[at + mark.len()..],
        None => return names.map(|_| Field::Unclear),
    };
    let next = memmem::Finder::new(mark.as_bytes());
    while let Some(end) = next.find(rest) {
        let (part, after) = rest.split_at(end);
        rest = &after[mark.len()..];
        let Some((name, value)) = read_part(part) else {
            continue;
        };
        if let Some(at) = names.iter().position(|wanted| *wanted == name) {
            let text = (value.len() <= value_bytes)
                .then(|| String::from_utf8(value.to_vec()).ok())
                .flatten();
            fields[at].add(text);
        }
    }
    if !rest.starts_with(b"--") {
        // The form did not come to its end.
        return names.map(|_| Field::Unclear);
    }
    fields
}

/// The name and the value of a part that is no file.
fn read_part(part: &[u8]) -> Option<(&str, &[u8])> {
    let head_end = memmem::find(&part[..part.len().min(PART_HEAD_BYTES)], b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..head_end]).ok()?;
    let value = &part[head_end + 4..];
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    })?;
    let (_, parameters) = disposition.split_once(';')?;
    if parameter(parameters, "filename").is_some() {
        return None;
    }
    let name = parameter(parameters, "name")?;
    Some((name, value.strip_suffix(b"\r\n").unwrap_or(value)))
}

/// Reads a form in one line.
pub(super) fn read_line<const N: usize>(
    body: &[u8],
    names: [&str; N],
    value_bytes: usize,
) -> [Field; N] {
    let mut fields = names.map(|_| Field::Absent);
    for pair in body.split(|byte| *byte == b'&') {
        let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let (name, value) = pair.split_at(end);
        let Some(name) = decode(name.get(..64).unwrap_or(name)) else {
            continue;
        };
        if let Some(at) = names.iter().position(|wanted| *wanted == name) {
            let value = value.get(1..).unwrap_or_default();
            let text = (value.len() <= value_bytes)
                .then(|| decode(value))
                .flatten();
            fields[at].add(text);
        }
    }
    fields
}

fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match (byte, after) {
            (b'+', _) => (b' ', after),
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok()?;
                (u8::from_str_radix(digits, 16).ok()?, after)
            }
            (b'%', _) => return None,
            other => other,
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// The value of a parameter, without its quotes.
fn parameter<'t>(parameters: &'t str, wanted: &str) -> Option<&'t str> {
    parameters.split(';').find_map(|one| {
        let (name, value) = one.split_once('=')?;
        let value = value.trim();
        let bare = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        name.trim()
            .eq_ignore_ascii_case(wanted)
            .then_some(bare.unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPE: &str = "multipart/form-data; boundary=\"x-1\"";

    fn parts(body: &str) -> [Field; 2] {
        let boundary = boundary(TYPE).unwrap();
        read_parts(body.as_bytes(), boundary, ["model", "stream"], 64)
    }

    fn field(text: &str) -> Field {
        Field::Text(text.to_owned())
    }

    #[test]
    fn fields_of_a_form_are_read_and_files_are_not() {
        let body = "--x-1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\n\
                    Content-Type: audio/wav\r\n\r\nRIFF\0\r\nname=\"model\"\r\n\
                    --x-1\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
                    --x-1\r\nContent-Disposition: form-data; name=stream\r\n\r\ntrue\r\n--x-1--\r\n";
        assert_eq!(parts(body), [field("whisper-1"), field("true")]);
        let file = body.replace("name=\"model\"", "name=\"model\"; filename=\"m\"");
        assert_eq!(parts(&file)[0], Field::Absent);
        let twice = body.replace("name=stream", "name=\"model\"");
        assert_eq!(parts(&twice)[0], Field::Unclear);
        let cut = body.trim_end().trim_end_matches('-');
        assert_eq!(parts(cut)[0], Field::Unclear);
        let long = body.replace("whisper-1", &"w".repeat(65));
        assert_eq!(parts(&long)[0], Field::Unclear);
        assert_eq!(parts("{}")[0], Field::Unclear);
    }

    #[test]
    fn a_form_in_one_line_is_decoded() {
        let read = |body: &str| read_line(body.as_bytes(), ["model"], 64)[0].clone();
        assert_eq!(read("a=1&model=acme%2Ftiny+x"), field("acme/tiny x"));
        assert_eq!(read("mod%65l=m&model=m"), field("m"));
        assert_eq!(read("model=m&model=n"), Field::Unclear);
        assert_eq!(read("model=%f"), Field::Unclear);
        assert_eq!(read("model"), field(""));
        assert_eq!(read("x=model"), Field::Absent);
        assert!(is_line("application/x-www-form-urlencoded; charset=utf-8"));
    }

    #[test]
    fn only_a_form_in_parts_has_a_boundary() {
        for other in [
            "application/json; boundary=x",
            "multipart/form-data",
            "multipart/form-data; boundary=",
        ] {
            assert_eq!(boundary(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(body: Vec<u8>, mark in "[a-z-]{1,3}") {
            read_parts(&body, &mark, ["a"], 8);
            read_line(&body, ["a"], 8);
        }
    }
}
