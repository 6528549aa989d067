//! Writing RFC 8785 bytes of the strict subset.

use super::{Member, Value, cmp_utf16};

/// The RFC 8785 bytes of a value.
pub fn canonical(value: &Value<'_>) -> Vec<u8> {
    let mut out = String::new();
    write_value(&mut out, value, None);
    out.into_bytes()
}

/// The RFC 8785 bytes of an object with one top-level member left out.
pub fn canonical_without(value: &Value<'_>, key: &str) -> Vec<u8> {
    let mut out = String::new();
    write_value(&mut out, value, Some(key));
    out.into_bytes()
}

/// Cuts member `at` of the root and one comma out of canonical bytes.
pub(crate) fn cut_member(input: &[u8], members: &[Member<'_>], at: usize) -> Vec<u8> {
    let (mut start, mut end) = members[at].span;
    if at + 1 < members.len() {
        end = members[at + 1].span.0;
    } else if at > 0 {
        start = members[at - 1].span.1;
    }
    let mut out = Vec::with_capacity(input.len() - (end - start));
    out.extend_from_slice(&input[..start]);
    out.extend_from_slice(&input[end..]);
    out
}

fn write_value(out: &mut String, value: &Value<'_>, without: Option<&str>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Str(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(out, item, None);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut order: Vec<&Member<'_>> = members
                .iter()
                .filter(|m| Some(m.key.as_ref()) != without)
                .collect();
            order.sort_by(|a, b| cmp_utf16(&a.key, &b.key));
            out.push('{');
            for (i, member) in order.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(out, &member.key);
                out.push(':');
                write_value(out, &member.value, None);
            }
            out.push('}');
        }
    }
}

/// Writes a string with the shortest escapes of RFC 8785 section 3.2.2.2.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        write_escaped(out, c);
    }
    out.push('"');
}

pub(super) fn write_escaped(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => out.push(c),
    }
}
