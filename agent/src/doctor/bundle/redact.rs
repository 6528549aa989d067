//! Taking secrets and private paths out of text.
//!
//! Three nets, one behind the other: the secrets of this machine, which are known; what stands where secrets stand
//! (a user before an address, `Bearer …`); and everything that looks random and is not a public key or a hash. The
//! last one takes too much rather than too little.

use crate::doctor::Subject;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// What stands in place of a secret.
const GONE: &str = "[redacted]";
/// Shortest run of letters and digits that can be a secret of any use.
const RANDOM_CHARS: usize = 24;
/// Shortest word of a secret file that is taken for a key; the names of its fields are shorter.
const KNOWN_CHARS: usize = 20;
/// Largest secret file, bytes.
const FILE_BYTES: u64 = 16 * 1024;
/// Public by their nature.
const PUBLIC: [&str; 5] = ["ed25519:", "sha256:", "blake3:", "GPU-", "MIG-"];
/// A word after one of these is a secret.
const BEFORE_SECRET: [&str; 6] = ["bearer", "basic", "token", "password", "secret", "seed"];
/// Variables that hold secrets.
const VARIABLES: [&str; 3] = ["DGON_ENROL_TOKEN", "NODE_TOKEN", "DGON_TOKEN"];

/// Cleans texts, and counts what it takes out.
#[derive(Default)]
pub struct Redactor {
    known: Vec<Zeroizing<String>>,
    paths: Vec<(String, &'static str)>,
    counts: BTreeMap<&'static str, usize>,
}

impl Redactor {
    /// Knows the secrets and paths of this machine.
    pub(super) fn of(subject: &Subject) -> Self {
        let mut this = Self::default();
        let state = &subject.paths.state;
        for file in [state.key_file(), state.secret_file()] {
            if let Ok(bytes) = crate::files::read_small(&file, FILE_BYTES) {
                let bytes = Zeroizing::new(bytes);
                this.know(&String::from_utf8_lossy(&bytes));
            }
        }
        for name in VARIABLES {
            if let Ok(value) = std::env::var(name) {
                this.know(&Zeroizing::new(value));
            }
        }
        let config = subject.paths.config_file.parent();
        let places = [
            (Some(state.path().to_owned()), "STATE_DIR"),
            (config.map(ToOwned::to_owned), "CONFIG_DIR"),
            (std::env::var_os("HOME").map(Into::into), "~"),
            (std::env::current_dir().ok(), "WORKING_DIR"),
        ];
        for (path, name) in places {
            let Some(path) = path else { continue };
            let text = path.display().to_string();
            // The root directory is in every path and hides nothing.
            if text.len() > 1 {
                this.paths.push((text, name));
            }
        }
        this
    }

    /// Knows every word of this text as a secret that is as long as a key and written like one.
    fn know(&mut self, text: &str) {
        let words = text.split(|c: char| c.is_whitespace() || "\"{},:".contains(c));
        let is_like_a_key = |word: &&str| word.len() >= KNOWN_CHARS && word.chars().all(is_of_keys);
        for word in words.filter(is_like_a_key) {
            self.known.push(Zeroizing::new(word.to_owned()));
        }
    }

    /// What was taken out so far, by kind.
    pub fn counts(&self) -> &BTreeMap<&'static str, usize> {
        &self.counts
    }

    fn count(&mut self, kind: &'static str, times: usize) {
        if times > 0 {
            *self.counts.entry(kind).or_default() += times;
        }
    }

    /// The text without what must not leave this machine.
    pub fn clean(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for index in 0..self.known.len() {
            let secret = self.known[index].clone();
            self.count(
                "secrets of this machine",
                text.matches(secret.as_str()).count(),
            );
            text = text.replace(secret.as_str(), GONE);
        }
        for index in 0..self.paths.len() {
            let (path, name) = self.paths[index].clone();
            self.count("private paths", text.matches(&path).count());
            text = text.replace(&path, name);
        }
        let lines: Vec<String> = text.lines().map(|line| self.clean_line(line)).collect();
        lines.join("\n")
    }

    fn clean_line(&mut self, line: &str) -> String {
        let line = self.without_users(line);
        let mut clean = String::with_capacity(line.len());
        let mut is_due = false;
        let mut rest = line.as_str();
        while !rest.is_empty() {
            let (word, after) = split_word(rest);
            if word.is_empty() {
                // One character between words.
                let mut chars = rest.chars();
                clean.extend(chars.next());
                rest = chars.as_str();
                continue;
            }
            rest = after;
            let is_public = PUBLIC.iter().any(|prefix| {
                clean.ends_with(prefix) || word.starts_with(prefix) || clean.ends_with("GPU-")
            });
            // A number, such as the size of a file that is called node.secret, is none.
            let is_number = word.bytes().all(|b| b.is_ascii_digit());
            if is_due && !is_number && word != "redacted" {
                self.count("passwords and tokens", 1);
                clean.push_str(GONE);
            } else if !is_public && word.len() >= RANDOM_CHARS && looks_random(word) {
                self.count("what looks like a secret", 1);
                clean.push_str(GONE);
            } else {
                clean.push_str(word);
            }
            let lower = word.to_ascii_lowercase();
            is_due = BEFORE_SECRET.iter().any(|before| lower.ends_with(before))
                && introduces(rest, &lower);
        }
        clean
    }

    /// `http://user:password@host` without user and password.
    fn without_users(&mut self, line: &str) -> String {
        let mut clean = String::with_capacity(line.len());
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("://") {
            clean.push_str(before);
            clean.push_str("://");
            let end = after
                .find(|c: char| c == '/' || c.is_whitespace() || "\"'<>".contains(c))
                .unwrap_or(after.len());
            let (authority, tail) = after.split_at(end);
            match authority.rsplit_once('@') {
                Some((_, host)) => {
                    self.count("passwords and tokens", 1);
                    clean.push_str(GONE);
                    clean.push('@');
                    clean.push_str(host);
                }
                None => clean.push_str(authority),
            }
            rest = tail;
        }
        clean.push_str(rest);
        clean
    }
}

/// Whether keys and tokens are written with it; base64 ends with equals signs.
fn is_of_keys(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/_-=".contains(c)
}

/// The word at the beginning, of the characters that keys and tokens are written with.
fn split_word(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "+/_-".contains(c)))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Whether a secret follows: after `Bearer ` at once, after `token` and its like only where a value is written.
fn introduces(rest: &str, lower: &str) -> bool {
    if matches!(lower, "bearer" | "basic") {
        return rest.starts_with(' ');
    }
    let after = rest.trim_start_matches(['"', '\'']);
    after.starts_with([':', '=']) && !rest.is_empty()
}

/// Upper and lower case and digits mixed, or many hexadecimal digits: names and words of a language are neither.
fn looks_random(word: &str) -> bool {
    let has = |test: fn(&u8) -> bool| word.bytes().any(|b| test(&b));
    let is_mixed =
        has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    let is_hex = word.len() >= RANDOM_CHARS && word.bytes().all(|b| b.is_ascii_hexdigit());
    is_mixed || is_hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &str) -> String {
        let mut redactor = Redactor::default();
        redactor.know("dgon-ed25519-seed:foobarfoobarfoobarfoobar=\n{\"secret\": \"secretsecretsecretsecret\"}");
        redactor.paths.push(("/home/ann".to_owned(), "~"));
        redactor.clean(text)
    }

    #[test]
    fn what_is_known_is_gone_wherever_it_stands() {
        assert_eq!(
            clean("a foobarfoobarfoobarfoobar=/secretsecretsecretsecret b"),
            "a [redacted]/[redacted] b"
        );
        assert_eq!(clean("in /home/ann/x"), "in ~/x");
    }

    #[test]
    fn what_stands_where_secrets_stand_is_gone() {
        assert_eq!(
            clean("http://me:pw@proxy:1/x"),
            "http://[redacted]@proxy:1/x"
        );
        assert_eq!(
            clean("Authorization: Bearer abc"),
            "Authorization: Bearer [redacted]"
        );
        assert_eq!(
            clean("{\"password\": \"hunter2\"}"),
            "{\"password\": \"[redacted]\"}"
        );
        assert_eq!(clean("token=abc-1"), "token=[redacted]");
        assert_eq!(clean("\"node.secret\": 180"), "\"node.secret\": 180");
        assert_eq!(clean("the token is spent"), "the token is spent");
    }

    #[test]
    fn what_looks_random_is_gone_and_what_is_public_stays() {
        let random = "dgon_enrol_Ab3dEf6hIj9lMn2pQr5tUv8x";
        assert_eq!(clean(&format!("got {random}.")), "got [redacted].");
        assert_eq!(clean("0123456789abcdef0123456789abcdef"), GONE);
        for public in [
            "ed25519:Ab3dEf6hIj9lMn2pQr5tUv8xAb3dEf6hIj9lMn2pQr5=",
            "sha256:0123456789abcdef0123456789abcdef",
            "GPU-0a1b2c3d-1111-2222-3333-0123456789AB",
            "no-such-model-that-has-a-long-name:70b-instruct-q4_K_M",
            "2026-11-21T03:00:00.000Z",
        ] {
            assert_eq!(clean(public), public);
        }
    }
}
