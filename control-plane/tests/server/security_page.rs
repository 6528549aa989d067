//! `docs/security.md` has a row for each item that the threat model names, and each row names tests that there are or says
//! why there is none.

#![allow(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::test_names::TestNames;
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/security.md");

/// What a cell begins with that may name no test.
const REASONS: [&str; 3] = ["not so: ", "partly: ", "not met: "];

/// Chapters of the standard, each with its sections and the requirements of them that are asked for.
const SECTIONS: [(&str, &[u8]); 29] = [
    ("2.2", &[1, 2, 3]),
    ("2.3", &[3, 4, 5]),
    ("2.4", &[1]),
    ("3.3", &[1, 2, 3, 4, 5]),
    ("3.4", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("3.5", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("4.1", &[3, 5]),
    ("4.4", &[1, 2, 3, 4]),
    ("6.4", &[1]),
    ("6.5", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("6.7", &[2]),
    ("7.2", &[1, 2, 3, 4]),
    ("7.3", &[1, 2]),
    ("7.4", &[1, 2, 3, 4, 5]),
    ("7.5", &[1, 2, 3]),
    ("9.1", &[1, 2, 3]),
    ("9.2", &[1, 2, 3, 4]),
    ("10.4", &[5, 8]),
    ("11.1", &[1, 2]),
    ("11.2", &[4]),
    ("11.4", &[1, 2, 3, 4]),
    ("11.5", &[1]),
    ("13.3", &[1, 2, 3, 4]),
    ("14.2", &[1]),
    ("15.4", &[2]),
    ("16.2", &[1, 2, 3, 4, 5]),
    ("16.3", &[1, 2, 3, 4]),
    ("16.4", &[1, 2, 3]),
    ("16.5", &[1, 2, 3, 4]),
];

/// The cells of the table of items.
fn rows() -> Vec<[&'static str; 3]> {
    let table = PAGE
        .lines()
        .skip_while(|line| !line.starts_with("| item |"));
    let rows = table.skip(2).take_while(|line| line.starts_with("| "));
    let cells = rows.map(|line| {
        let inner = line
            .strip_prefix("| ")
            .and_then(|rest| rest.strip_suffix(" |"));
        let cells: Vec<&str> = inner.expect("a row").split(" | ").collect();
        <[&str; 3]>::try_from(cells).expect("three cells")
    });
    cells.collect()
}

#[test]
fn every_item_has_one_row() {
    let wanted = SECTIONS.iter().flat_map(|(section, numbers)| {
        numbers
            .iter()
            .map(move |number| format!("{section}.{number}"))
    });
    let mut wanted: Vec<String> = wanted.collect();
    wanted.extend((20..=23).map(|row| format!("row {row}")));
    let found: Vec<String> = rows().iter().map(|[item, ..]| (*item).to_owned()).collect();
    assert_eq!(found, wanted);
}

/// Whether a text in backticks is the name of a test and not of something else.
fn is_test_name(quote: &str) -> bool {
    quote.split('_').count() > 3 || quote.split(' ').count() > 2
}

#[test]
fn every_row_names_tests_that_are_there_or_says_why_not() {
    let tests = TestNames::read();
    let mut seen = BTreeSet::new();
    for [item, _, cell] in rows() {
        let quotes = cell.split('`').skip(1).step_by(2);
        let named: Vec<&str> = quotes.filter(|quote| is_test_name(quote)).collect();
        for name in &named {
            assert!(tests.has(name), "{item}: there is no test {name:?}");
        }
        let has_reason = REASONS.iter().any(|reason| cell.starts_with(reason));
        let says_why = has_reason || !named.is_empty();
        assert!(
            says_why,
            "{item}: {cell:?} names no test and says no reason"
        );
        seen.extend(named);
    }
    assert!(seen.len() > 60, "{}", seen.len());
}
