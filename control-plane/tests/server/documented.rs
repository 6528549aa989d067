//! `docs/console.md` has a row for everything that the lists and figures have, in the table of its own surface, and each
//! row names tests that there are or says why there is none.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use crate::test_names::TestNames;
use dgon_control_plane::accounts::FLAGS;
use dgon_control_plane::http::openapi::document;
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/console.md");

/// What a cell begins with that names no test, because there is nothing to prove.
const REASONS: [&str; 3] = ["none: ", "not so: ", "refused"];
/// Titles of the columns that name tests.
const TEST_COLUMNS: [&str; 4] = ["test", "API", "API: list and sums", "console"];

/// A row of a table of the page.
struct Row {
    /// The heading above its table.
    section: &'static str,
    /// The titles of its table.
    titles: Vec<&'static str>,
    cells: Vec<&'static str>,
}

impl Row {
    /// What the first column is for.
    fn title(&self) -> &'static str {
        self.titles[0]
    }

    fn tests(&self) -> impl Iterator<Item = &'static str> {
        let titled = self.titles.iter().zip(&self.cells);
        titled
            .filter(|(title, _)| TEST_COLUMNS.contains(title))
            .map(|(_, cell)| *cell)
    }
}

fn rows() -> Vec<Row> {
    let (mut section, mut titles, mut rows) = ("", None, Vec::new());
    for line in PAGE.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading;
        }
        let Some(inner) = line
            .strip_prefix("| ")
            .and_then(|rest| rest.strip_suffix(" |"))
        else {
            if !line.starts_with("|---") {
                titles = None;
            }
            continue;
        };
        let cells: Vec<&str> = inner.split(" | ").collect();
        let Some(titles) = &titles else {
            titles = Some(cells);
            continue;
        };
        assert_eq!(cells.len(), titles.len(), "{line}");
        rows.push(Row {
            section,
            titles: titles.clone(),
            cells,
        });
    }
    rows
}

/// The texts in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn names(schema: &Value) -> Vec<String> {
    let own = schema["properties"].as_object().into_iter();
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let parts = parts.filter_map(|part| part["properties"].as_object());
    let all = own.chain(parts).flat_map(serde_json::Map::keys);
    all.cloned().collect()
}

/// The beginning of a section's heading, and the title of the first column of a table there.
type Place = (&'static str, &'static str);

const OVERVIEW: Place = ("`GET /summary`", "figure");
const NODE_FILTERS: Place = ("`GET /nodes` ", "filter or order");
const NODE_COLUMNS: Place = ("`GET /nodes` ", "column");
const NODE_PARTS: Place = ("`GET /nodes/{node_id}`", "part");
const RECEIPT_FILTERS: Place = ("`GET /receipts`", "filter");
const RECEIPT_SUMS: Place = ("`GET /receipts`", "sum");
const RECEIPT_COLUMNS: Place = ("`GET /receipts`", "column");
const AUDIT_FILTERS: Place = ("`GET /audit`", "filter");
const AUDIT_COLUMNS: Place = ("`GET /audit`", "column");
const SESSIONS: Place = ("`GET /sessions`", "part");
const USER_FILTERS: Place = ("`GET /users`", "filter");
const USERS: Place = ("`GET /users`", "part");
const ASSIGNMENTS: Place = ("`POST /nodes/{node_id}/assign`", "part");
const POOLS: Place = ("`GET /pools`", "part");
const ORGS: Place = ("`GET /orgs`", "part");
const WALLETS: Place = ("`POST /auth/nonce`", "part");
const ISSUERS: Place = ("`POST /auth/oidc/{issuer}/start`", "part");
const API_KEYS: Place = ("`GET /api-keys`", "part");
const RUN: Place = ("Run a node", "what");
const FLAG: Place = ("Flags", "flag");

#[test]
fn every_parameter_column_figure_and_flag_has_a_row_of_its_own_surface() {
    let api = serde_json::to_value(document()).expect("document");
    let mut wanted: Vec<(String, &[Place])> = Vec::new();
    for (schema, places) in [
        ("Summary", &[OVERVIEW][..]),
        ("TrendSeries", &[OVERVIEW]),
        ("NodeRow", &[NODE_COLUMNS]),
        // A node's page shows its row, too.
        ("NodeDetail", &[NODE_COLUMNS, NODE_PARTS]),
        ("ReceiptRow", &[RECEIPT_COLUMNS]),
        ("ReceiptAggregate", &[RECEIPT_SUMS]),
        ("AuditEntryView", &[AUDIT_COLUMNS]),
        ("SessionView", &[SESSIONS]),
        ("UserView", &[USERS]),
        ("OrgView", &[ORGS]),
        ("PoolView", &[POOLS]),
        ("PoolRequest", &[POOLS]),
        ("PoolChangeRequest", &[POOLS]),
        ("PoolNodeRequest", &[POOLS]),
        ("AssignedNodeView", &[ASSIGNMENTS]),
        ("AssignRequest", &[ASSIGNMENTS]),
        ("WalletView", &[WALLETS]),
        ("ApiKeyView", &[API_KEYS]),
        ("ApiKeyRequest", &[API_KEYS]),
        ("WalletRequestView", &[WALLETS]),
        ("IdentityView", &[ISSUERS]),
    ] {
        let found = names(&api["components"]["schemas"][schema]);
        assert!(found.len() > 2, "{schema}: {found:?}");
        wanted.extend(found.into_iter().map(|name| (name, places)));
    }
    for (path, places) in [
        ("/nodes", &[NODE_FILTERS][..]),
        ("/receipts", &[RECEIPT_FILTERS]),
        ("/audit", &[AUDIT_FILTERS]),
        ("/users", &[USER_FILTERS]),
        ("/orgs", &[ORGS]),
        ("/pools", &[POOLS]),
        ("/api-keys", &[API_KEYS]),
        ("/assignments", &[ASSIGNMENTS]),
        ("/receipts/aggregate", &[RECEIPT_FILTERS]),
        ("/nodes/agent.yaml", &[RUN]),
    ] {
        let get = &api["paths"][format!("/api/v1{path}")]["get"]["parameters"];
        for parameter in get.as_array().expect("parameters") {
            let name = parameter["name"].as_str().expect("a name");
            wanted.push((name.to_owned(), places));
        }
    }
    wanted.extend(FLAGS.iter().map(|flag| (flag.name.to_owned(), &[FLAG][..])));
    let rows = rows();
    for (name, places) in wanted {
        let is_there = rows.iter().any(|row| {
            places.iter().any(|(section, title)| {
                row.section.starts_with(section)
                    && row.title() == *title
                    && quoted(row.cells[0]).any(|quote| quote == name)
            })
        });
        assert!(
            is_there,
            "{name} has no row in {places:?} of docs/console.md"
        );
    }
}

/// Whether a text in backticks is the name of a test and not that of a field.
fn is_test_name(quote: &str) -> bool {
    quote.split('_').count() > 4 || quote.split(' ').count() > 3
}

#[test]
fn every_row_names_tests_that_are_there_or_says_why_not() {
    assert!(!PAGE.to_lowercase().contains("not proven"));
    let all = TestNames::read();
    let mut seen = 0;
    for row in rows() {
        let what = format!("{}: {}", row.section, row.cells[0]);
        assert!(row.tests().count() > 0, "{what} has no column of tests");
        for cell in row.tests() {
            let named: Vec<&str> = quoted(cell).filter(|quote| is_test_name(quote)).collect();
            for name in &named {
                assert!(all.has(name), "{what}: there is no test {name:?}");
            }
            let has_reason = REASONS.iter().any(|reason| cell.starts_with(reason));
            assert!(
                !named.is_empty() || has_reason,
                "{what}: {cell:?} names no test and says no reason"
            );
            seen += named.len();
        }
    }
    assert!(seen > 80, "{seen}");
}
