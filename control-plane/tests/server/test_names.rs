//! The names of all tests that there are, for pages that name tests.

#![allow(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Where tests are.
const FOLDERS: [&str; 6] = [
    "agent",
    "control-plane",
    "protocol",
    "testkit",
    "web/test",
    "xtask",
];
/// What stands above a function that is a test, also inside `proptest!`.
const ATTRIBUTES: [&str; 2] = ["#[test]", "#[tokio::test"];
/// What a test of the console begins with.
const CALLS: [&str; 2] = ["test(", "it("];

/// Names of tests: of functions with the attribute of one, and what the console's tests are called.
pub(crate) struct TestNames(HashSet<String>);

impl TestNames {
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut open: Vec<PathBuf> = FOLDERS.map(|folder| root.join(folder)).into();
        let mut names = HashSet::new();
        while let Some(path) = open.pop() {
            let is_ours = !path.ends_with("node_modules") && !path.ends_with("target");
            let text = || std::fs::read_to_string(&path).expect("a file");
            if path.is_dir() && is_ours {
                let entries = std::fs::read_dir(&path).expect("a folder");
                open.extend(entries.map(|entry| entry.expect("an entry").path()));
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                names.extend(in_rust(&text()));
            } else if path.extension().is_some_and(|kind| kind == "ts") {
                names.extend(in_typescript(&text()));
            }
        }
        assert!(names.len() > 1_000, "{}", names.len());
        Self(names)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// Functions under an attribute of a test. Others may stand between; the next function is it.
fn in_rust(text: &str) -> Vec<String> {
    let (mut names, mut is_next) = (Vec::new(), false);
    for line in text.lines().map(str::trim_start) {
        if ATTRIBUTES.iter().any(|name| line.starts_with(name)) {
            is_next = true;
        } else if let (true, Some(name)) = (is_next, function(line)) {
            names.push(name.to_owned());
            is_next = false;
        }
    }
    names
}

fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    let (name, _) = line.strip_prefix("fn ")?.split_once('(')?;
    Some(name)
}

/// What is called `test('so', …)`, and rows of a table of tests, with `%s` for what differs.
fn in_typescript(text: &str) -> Vec<String> {
    let named = text.lines().map(str::trim_start).filter_map(|line| {
        let called = CALLS.iter().find_map(|call| line.strip_prefix(call));
        let row = line.starts_with("])(") || line.starts_with("test.each(");
        let rest =
            called.or_else(|| line.split_once(")(").filter(|_| row).map(|(_, rest)| rest))?;
        let (name, _) = rest.strip_prefix('\'')?.split_once('\'')?;
        Some(name.to_owned())
    });
    named.collect()
}

#[test]
fn a_name_is_one_where_something_runs_it() {
    let text = "
        #[test]
        fn plain() {}
        #[tokio::test(flavor = \"multi_thread\")]
        #[expect(
            clippy::panic,
            reason = \"fn not_this() is no function here\"
        )]
        async fn with_more_between() {
            fn inside() {}
        }
        // #[test]
        fn helper() {}
        #[cfg(test)]
        fn other() {}";
    assert_eq!(in_rust(text), ["plain", "with_more_between"]);
    let text = "
        test('a page is drawn', async () => {})
        it('goes on', () => expect('not this').toBe(1))
        test.each([1, 2])('%s is a number', () => {})
        ])('%s is in a table', () => {})
        expect(rows('none')).toBe('test(none)')
        call(test('inside'))('no')";
    let names = [
        "a page is drawn",
        "goes on",
        "%s is a number",
        "%s is in a table",
    ];
    assert_eq!(in_typescript(text), names);
}
