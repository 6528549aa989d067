//! RFC 8785 bytes of general JSON: any number that a double holds, not integers alone.
//!
//! No tree is built: the canonical bytes are written while the input is read, so that memory stays in proportion to
//! the input. What has two meanings is refused as everywhere: duplicate keys, lone surrogates, more than one document.

use super::{Parsed, Reader, StrictError, StrictErrorKind, cmp_utf16, write_string};
use crate::limits::INTEGER_MAX;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

/// The RFC 8785 bytes of one document of general JSON, at most `max_depth` levels deep (the root object or array is
/// level 1).
///
/// Numbers are IEEE 754 doubles, read with correct rounding, and written as ECMAScript does: integers beyond
/// ±(2^53−1) lose what a double cannot hold, as they do in every JSON implementation that RFC 8785 speaks of.
///
/// # Errors
/// [`StrictError`] with the first thing that is wrong; [`StrictErrorKind::NotFinite`] for a number beyond a double.
pub fn canonical_json(input: &[u8], max_depth: usize) -> Result<Vec<u8>, StrictError> {
    let mut reader = Reader::new(input, max_depth)?;
    let mut out = String::with_capacity(input.len());
    reader.skip_space();
    reader.write(&mut out)?;
    reader.skip_space();
    if reader.at != input.len() {
        return Err(reader.fail(StrictErrorKind::Trailing));
    }
    Ok(out.into_bytes())
}

/// A member of an object that was read: its key, and where it stands in the output.
struct Written<'a> {
    key: Cow<'a, str>,
    /// From the key's opening quote to the end of the value.
    at: Range<usize>,
    /// Where the key stands in the input.
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads one value and writes its canonical form.
    fn write(&mut self, out: &mut String) -> Parsed<()> {
        match self.peek() {
            Some(b'{') => {
                self.enter()?;
                self.write_object(out)?;
                self.depth -= 1;
            }
            Some(b'[') => {
                self.enter()?;
                self.write_array(out)?;
                self.depth -= 1;
            }
            Some(b'"') => write_string(out, &self.string()?),
            Some(b't') => self.write_literal(out, "true")?,
            Some(b'f') => self.write_literal(out, "false")?,
            Some(b'n') => self.write_literal(out, "null")?,
            Some(b'-' | b'0'..=b'9') => self.write_json_number(out)?,
            _ => return Err(self.fail(StrictErrorKind::Syntax)),
        }
        Ok(())
    }

    fn write_literal(&mut self, out: &mut String, word: &str) -> Parsed<()> {
        self.literal(word, ())?;
        out.push_str(word);
        Ok(())
    }

    fn write_array(&mut self, out: &mut String) -> Parsed<()> {
        out.push('[');
        if self.peek() == Some(b']') {
            self.at += 1;
            out.push(']');
            return Ok(());
        }
        loop {
            self.write(out)?;
            self.skip_space();
            if self.peek() == Some(b']') {
                self.at += 1;
                out.push(']');
                return Ok(());
            }
            self.expect(b',')?;
            self.skip_space();
            out.push(',');
        }
    }

    fn write_object(&mut self, out: &mut String) -> Parsed<()> {
        let start = out.len();
        let mut members: Vec<Written<'a>> = Vec::new();
        out.push('{');
        if self.peek() == Some(b'}') {
            self.at += 1;
            out.push('}');
            return Ok(());
        }
        loop {
            members.push(self.write_member(out)?);
            self.skip_space();
            if self.peek() == Some(b'}') {
                self.at += 1;
                out.push('}');
                return put_in_order(out, start, &mut members);
            }
            self.expect(b',')?;
            self.skip_space();
            out.push(',');
        }
    }

    fn write_member(&mut self, out: &mut String) -> Parsed<Written<'a>> {
        let (offset, from) = (self.at, out.len());
        if self.peek() != Some(b'"') {
            return Err(self.fail(StrictErrorKind::Syntax));
        }
        let key = self.string()?;
        write_string(out, &key);
        self.skip_space();
        self.expect(b':')?;
        out.push(':');
        self.skip_space();
        self.write(out)?;
        let at = from..out.len();
        Ok(Written { key, at, offset })
    }

    /// Reads a number of the full grammar of JSON (RFC 8259 section 6).
    fn write_json_number(&mut self, out: &mut String) -> Parsed<()> {
        let start = self.at;
        let fail = |kind| StrictError {
            kind,
            offset: start,
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.digits();
        let leading_zero = whole.len() > 1 && self.bytes[whole.start] == b'0';
        let mut well_formed = !whole.is_empty() && !leading_zero;
        let mut is_integer = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            well_formed &= !self.digits().is_empty();
            is_integer = false;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            well_formed &= !self.digits().is_empty();
            is_integer = false;
        }
        if !well_formed {
            return Err(fail(StrictErrorKind::Number));
        }
        let text = &self.text[start..self.at];
        if is_integer
            && let Ok(n) = text.parse::<i64>()
            && n.abs() <= INTEGER_MAX
        {
            // Writes -0 as 0, as ECMAScript does.
            out.push_str(&n.to_string());
            return Ok(());
        }
        let number: f64 = text.parse().map_err(|_| fail(StrictErrorKind::Number))?;
        if write_number(out, number) {
            Ok(())
        } else {
            Err(fail(StrictErrorKind::NotFinite))
        }
    }

    /// Skips digits and says where they stand.
    fn digits(&mut self) -> Range<usize> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        start..self.at
    }
}

/// Puts the members of the object that begins at `start` and ends `out` into the order of RFC 8785.
fn put_in_order(out: &mut String, start: usize, members: &mut [Written<'_>]) -> Parsed<()> {
    let rising = |a: &Written<'_>, b: &Written<'_>| cmp_utf16(&a.key, &b.key) == Ordering::Less;
    // Strictly rising keys cannot repeat; only an unsorted object needs the search.
    if members.windows(2).all(|pair| rising(&pair[0], &pair[1])) {
        return Ok(());
    }
    members.sort_by(|a, b| cmp_utf16(&a.key, &b.key));
    if let Some(pair) = members.windows(2).find(|pair| pair[0].key == pair[1].key) {
        return Err(StrictError {
            kind: StrictErrorKind::DuplicateKey,
            offset: pair[0].offset.max(pair[1].offset),
        });
    }
    let mut sorted = String::with_capacity(out.len() - start);
    for (i, member) in members.iter().enumerate() {
        sorted.push(if i == 0 { '{' } else { ',' });
        sorted.push_str(&out[member.at.clone()]);
    }
    sorted.push('}');
    out.truncate(start);
    out.push_str(&sorted);
    Ok(())
}

/// The shortest digits of a positive double, without zeros at their ends, and where its decimal point stands, counted from
/// the first digit: k, s and n of ECMA-262. Of two that are equally near the even one is taken, which the standard
/// library does not do.
fn shortest(number: f64) -> (String, i32) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(number);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let zeros = digits.len() - significant.len();
    // Numbers of this size have at most four digits of exponent, and texts a few dozen characters.
    let place = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
    let point = exponent.parse().unwrap_or(0) + place(whole.len()) - place(zeros);
    (significant.trim_end_matches('0').to_owned(), point)
}

/// Writes a double as ECMAScript's `Number::toString` does (ECMA-262, RFC 8785 section 3.2.2.3): the shortest digits
/// that read back as the same double, and of these the nearest. Writes nothing and says `false` where it is not finite.
pub fn write_number(out: &mut String, number: f64) -> bool {
    if !number.is_finite() {
        return false;
    }
    if number == 0.0 {
        out.push('0');
        return true;
    }
    let (digits, point) = shortest(number.abs());
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if number < 0.0 {
        out.push('-');
    }
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    if (count..=21).contains(&point) {
        out.push_str(&digits);
        out.push_str(&zeros(point - count));
    } else if (1..=21).contains(&point) {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        out.push_str(&format!("{whole}.{fraction}"));
    } else if (-5..=0).contains(&point) {
        out.push_str(&format!("0.{}{digits}", zeros(-point)));
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        out.push_str(&format!("{first}{dot}{rest}e{:+}", point - 1));
    }
    true
}
