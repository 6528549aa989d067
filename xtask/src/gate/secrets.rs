//! No secret is in a log.
//!
//! While a step's tests run, `testkit/src/kept.rs` and the browser tests put into a folder what every server and agent
//! logged, at the level of `debug`, and the secrets that the tests know of: passwords, cookies, keys, links, prompts. After them each
//! log is searched for each of these, and for whatever has the form of a secret. Others are told of: the kind, the log
//! and the line, without the secret.
//!
//! Nothing is found where nothing was kept, so a step says what it must have kept: [`Expected`].

use crate::shell;
use aho_corasick::{AhoCorasick, MatchKind};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::path::{Path, PathBuf};

/// The variable that names the folder to the tests.
const FOLDER: &str = "DGON_KEPT_LOGS";
/// Leaks that are shown, of all that were found.
const SHOWN: usize = 20;
/// What a program prints for whoever starts it: the link that makes the first admin, once, within a day.
const PRINTED: &str = "/setup#token=";

/// What begins like a secret and goes on for so many letters and digits is one, though no test knows it.
const FORMS: [(&str, usize); 8] = [
    // After it come the public part, 12 characters, and the secret.
    ("dgon_sk_live_", 13),
    ("dgon-ed25519-seed:", 20),
    ("-----BEGIN", 0),
    ("$argon2id$", 0),
    ("otpauth://", 0),
    ("#token=", 1),
    ("?code=", 1),
    // A JSON object in base64, as every token of an issuer begins.
    ("eyJ", 30),
];

/// What a step has kept when nothing was lost on the way. A part that is missing fails the step: whoever changes how secrets
/// are noted, or where programs log, finds out here.
pub(super) struct Expected {
    /// Kinds of secrets that its tests note.
    secrets: &'static [&'static str],
    /// What names of logs begin with. Of each there is one that says something at the level of debug.
    logs: &'static [&'static str],
}

/// Of `testkit/src/kept.rs`: what tests of the server send and are given, by header and field, and what programs and
/// simulated agents have.
pub(super) const RUST_TESTS: Expected = Expected {
    secrets: &[
        "CSRF token",
        "authorization",
        "code",
        "cookie",
        "csrf_token",
        "current",
        "enrolment token",
        "key",
        "node key",
        "node secret",
        "node.key",
        "node.secret",
        "password",
        "prompt",
        "recovery_codes",
        "sealed",
        "secret",
        "set-cookie",
        "sign-in link",
        "token",
        "x-csrf-token",
    ],
    logs: &["in-process-", "dgon-agent-", "dgon-control-plane-"],
};

/// Of `web/test/e2e/kept.ts`: what the browser sends and is given, what commands print, and what simulated agents have.
pub(super) const BROWSER_TESTS: Expected = Expected {
    secrets: &[
        "code",
        "cookie",
        "csrf_token",
        "current",
        "enrolment token",
        "key",
        "node key",
        "node secret",
        "password",
        "recovery_codes",
        "sealed",
        "secret",
        "sign-in link",
        "token",
    ],
    logs: &["control-plane"],
};

/// The folder of one step's logs and secrets.
pub(super) struct Kept {
    folder: PathBuf,
    expected: &'static Expected,
}

/// What is at the beginning of a line of the level of debug, after its time.
const DEBUG: &[u8] = b" DEBUG ";

/// What was found: `(kind, log)`, and the line of the first with how many there are.
type Leaks = BTreeMap<(String, String), (usize, usize)>;

impl Kept {
    /// An empty one, for its owner alone.
    pub(super) fn begin(step: &str, expected: &'static Expected) -> Result<Self> {
        let folder = shell::target_dir().join("kept-logs").join(step);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let mut make = DirBuilder::new();
        make.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
        make.create(&folder)?;
        Ok(Self { folder, expected })
    }

    /// The variable that tells tests of it.
    pub(super) fn variable(&self) -> (&'static str, &Path) {
        (FOLDER, &self.folder)
    }

    /// Searches; what was clean is thrown away.
    pub(super) fn search(self) -> Result<()> {
        let (secrets, kinds) = self.secrets()?;
        let logs = self.files("log")?;
        let search = Search::new(&secrets)?;
        let (mut leaks, mut lines) = (Leaks::new(), 0);
        let mut told_all = BTreeSet::new();
        for log in &logs {
            let text = fs::read(log)?;
            let name = log.file_name().unwrap_or_default().to_string_lossy();
            lines += search.log(&name, &text, &mut leaks);
            if text.windows(DEBUG.len()).any(|part| part == DEBUG) {
                told_all.insert(name.into_owned());
            }
        }
        let missing = self.expected.missing(&kinds, &told_all);
        ensure!(
            missing.is_empty(),
            "the tests have not kept all that is searched, so nothing is known of: {}",
            missing.join(", ")
        );
        println!(
            "searched {lines} lines of {} logs for {} secrets",
            logs.len(),
            secrets.len()
        );
        if leaks.is_empty() {
            return Ok(fs::remove_dir_all(&self.folder)?);
        }
        let shown = leaks
            .iter()
            .take(SHOWN)
            .map(|((kind, log), (line, times))| {
                format!("  {kind}: {log} line {line}, {times} times in all")
            });
        bail!(
            "logs in {} have secrets ({} kinds and logs):\n{}",
            self.folder.display(),
            leaks.len(),
            shown.collect::<Vec<_>>().join("\n")
        );
    }

    fn files(&self, kind: &str) -> Result<Vec<PathBuf>> {
        let folder = &self.folder;
        let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        let paths = entries.map(|entry| Ok(entry?.path()));
        let paths = paths.collect::<Result<Vec<_>>>()?;
        let is_kind = |path: &PathBuf| path.extension().is_some_and(|found| found == kind);
        Ok(paths.into_iter().filter(is_kind).collect())
    }

    /// Each secret that was noted, with its kind, and all kinds: one secret may be of several.
    fn secrets(&self) -> Result<(BTreeMap<String, String>, BTreeSet<String>)> {
        let (mut secrets, mut kinds) = (BTreeMap::new(), BTreeSet::new());
        for file in self.files("secrets")? {
            for line in fs::read_to_string(file)?.lines() {
                let (kind, secret) = line.split_once('\t').context("a line is kind and secret")?;
                secrets.insert(secret.to_owned(), kind.to_owned());
                kinds.insert(kind.to_owned());
            }
        }
        Ok((secrets, kinds))
    }
}

impl Expected {
    /// What there is not, of these kinds of secrets and these logs.
    fn missing(&self, kinds: &BTreeSet<String>, logs: &BTreeSet<String>) -> Vec<String> {
        let secrets = self.secrets.iter().filter(|kind| !kinds.contains(**kind));
        let secrets = secrets.map(|kind| format!("secrets of the kind {kind:?}"));
        let is_there = |begin: &&str| logs.iter().any(|log| log.starts_with(*begin));
        let logs = self.logs.iter().filter(|begin| !is_there(begin));
        let logs = logs.map(|begin| format!("a log {begin}… at the level of debug"));
        secrets.chain(logs).collect()
    }
}

/// Everything that is looked for.
struct Search {
    automaton: AhoCorasick,
    /// Of each text that is looked for.
    kinds: Vec<String>,
}

impl Search {
    fn new(secrets: &BTreeMap<String, String>) -> Result<Self> {
        let mut texts: Vec<String> = FORMS.iter().map(|(begin, _)| (*begin).to_owned()).collect();
        let mut kinds = texts.clone();
        for (secret, kind) in secrets {
            // As it is, and as an address or a JSON text would have it.
            let written = [secret.clone(), in_an_address(secret), in_json(secret)];
            for text in BTreeSet::from(written) {
                texts.push(text);
                kinds.push(kind.clone());
            }
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&texts)?;
        Ok(Self { automaton, kinds })
    }

    /// Adds what one log has; how many lines it is.
    fn log(&self, name: &str, text: &[u8], leaks: &mut Leaks) -> usize {
        let mut lines = 0;
        for line in text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            lines += 1;
            if is_printed(line) {
                continue;
            }
            for found in self.automaton.find_overlapping_iter(line) {
                let number = found.pattern().as_usize();
                if number >= FORMS.len() || self.is_form(number, line, found.start()) {
                    let place = (self.kinds[number].clone(), name.to_owned());
                    leaks.entry(place).or_insert((lines, 0)).1 += 1;
                }
            }
        }
        lines
    }

    /// Whether what begins there has the form of a secret.
    fn is_form(&self, number: usize, line: &[u8], start: usize) -> bool {
        let (begin, least) = FORMS[number];
        let after = &line[start + begin.len()..];
        let run = after.iter().take_while(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'=')
        });
        run.count() >= least
    }
}

/// Whether a line is the address that a fresh server prints, and nothing else: an event of the log has its time before it.
fn is_printed(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let line = std::str::from_utf8(line).unwrap_or_default();
    line.starts_with("http") && line.contains(PRINTED) && !line.contains(char::is_whitespace)
}

fn in_an_address(secret: &str) -> String {
    let mut escaped = String::new();
    for byte in secret.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn in_json(secret: &str) -> String {
    let quoted = serde_json::Value::from(secret).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a helper that fails fails its test")]
mod tests {
    use super::*;

    fn found(secrets: &[(&str, &str)], log: &str) -> Vec<String> {
        let secrets = secrets.iter();
        let secrets = secrets.map(|(kind, secret)| ((*secret).to_owned(), (*kind).to_owned()));
        let search = Search::new(&secrets.collect()).expect("a search");
        let mut leaks = Leaks::new();
        search.log("a.log", log.as_bytes(), &mut leaks);
        leaks.into_keys().map(|(kind, _)| kind).collect()
    }

    /// A folder as tests leave it: all that is expected of them, but what `is_lost`.
    fn searched(name: &str, expected: &'static Expected, is_lost: impl Fn(&str) -> bool) -> String {
        let folder = shell::target_dir().join("tmp").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let kinds = expected.secrets.iter().filter(|kind| !is_lost(kind));
        let noted: String = kinds
            .map(|kind| format!("{kind}\tsecret of {kind}\n"))
            .collect();
        fs::write(folder.join("1.secrets"), noted).expect("written");
        for begin in expected.logs {
            let level = if is_lost(begin) { "INFO" } else { "DEBUG" };
            let line = format!("2026-11-21T03:00:00Z {level} all is well\n");
            fs::write(folder.join(format!("{begin}1.log")), line).expect("written");
        }
        let kept = Kept {
            folder: folder.clone(),
            expected,
        };
        let searched = kept.search();
        assert_eq!(
            folder.exists(),
            searched.is_err(),
            "what was clean is thrown away"
        );
        searched
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn a_kind_of_secret_or_of_log_that_is_lost_fails_the_search() {
        for (name, expected) in [("kept-rust", &RUST_TESTS), ("kept-web", &BROWSER_TESTS)] {
            assert_eq!(searched(name, expected, |_| false), "");
            for part in expected.secrets.iter().chain(expected.logs) {
                let told = searched(name, expected, |other| other == *part);
                assert!(
                    told.contains("nothing is known of: ") && told.contains(part),
                    "{part}: {told}"
                );
                assert_eq!(told.matches(", ").count(), 1, "that alone: {told}");
            }
        }
    }

    #[test]
    fn a_secret_is_found_as_it_is_and_as_it_is_written_elsewhere() {
        let secrets = [
            ("password", "correct \"horse\" 5"),
            ("cookie", "abc+def/gh="),
        ];
        assert_eq!(found(&secrets, "all is well\n"), [""; 0]);
        for log in [
            "x\ntried correct \"horse\" 5 twice",
            r#"{"message":"correct \"horse\" 5"}"#,
            "GET /?q=correct%20%22horse%22%205",
        ] {
            assert_eq!(found(&secrets, log), ["password"], "{log}");
        }
        let both = "abc+def/gh= beside abc%2Bdef%2Fgh%3D and correct \"horse\" 5";
        assert_eq!(found(&secrets, both), ["cookie", "password"]);
        // The link of a fresh server is printed for whoever started it, and stands nowhere else.
        let token = [("token", "0123456789abc")];
        assert_eq!(
            found(&token, "  http://a/setup#token=0123456789abc\n"),
            [""; 0]
        );
        assert_eq!(found(&token, "0123456789abc"), ["token"]);
    }

    #[test]
    fn what_has_the_form_of_a_secret_is_found_and_its_public_part_is_not() {
        let form = |log: &str| found(&[], log);
        assert_eq!(form("key dgon_sk_live_0123456789ab was used"), [""; 0]);
        assert_eq!(
            form("key dgon_sk_live_0123456789ab_x was used"),
            ["dgon_sk_live_"]
        );
        assert_eq!(form("see http://a/sign-in#token=abc"), ["#token="]);
        assert_eq!(form("  http://a/setup#token=abc\n"), [""; 0]);
        assert_eq!(form("INFO http://a/setup#token=abc"), ["#token="]);
        assert_eq!(form("GET /callback?code=abc&state=d"), ["?code="]);
        assert_eq!(form("-----BEGIN PRIVATE KEY-----"), ["-----BEGIN"]);
        assert_eq!(form("heyJude"), [""; 0]);
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln";
        assert_eq!(form(&format!("cookie={token}")), ["eyJ"]);
    }
}
