//! `receipt list` and `receipt show` through the real binary, over a spool with receipts.

use crate::support::machine::{Machine, fill_spool};
use crate::support::{agent, stdout};

#[test]
fn receipts_of_the_spool_are_listed_shown_and_verified() {
    let machine = Machine::enrolled("http://127.0.0.1:9");
    fill_spool(&machine, 3);
    let run = |arguments: &[&str]| agent(machine.dir.path(), arguments).output().unwrap();
    let list = crate::support::json(&run(&["receipt", "list", "--limit", "2", "--json"]));
    let seqs: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["seq"])
        .collect();
    assert_eq!(seqs, [3, 2]);
    assert_eq!(list["items"][0]["acknowledged"], false);
    let table = stdout(&run(&["receipt", "list"]));
    assert!(table.contains("r_3") && table.contains("waits"), "{table}");

    for id in ["r_2", "2"] {
        let shown = crate::support::json(&run(&["receipt", "show", id, "--json"]));
        assert_eq!(shown["receipt"]["request_id"], "r_2");
    }
    let raw = run(&["receipt", "show", "r_2", "--raw"]);
    std::fs::write(machine.dir.path().join("r2.json"), &raw.stdout).unwrap();
    let verified = run(&["receipt", "verify", "r2.json", "--json"]);
    assert_eq!(verified.status.code(), Some(0));
    let verdict = crate::support::json(&verified);
    let shown = crate::support::json(&run(&["receipt", "show", "r_2", "--json"]));
    assert_eq!(verdict["entry_sha256"], shown["entry_sha256"]);
    assert_eq!(verdict["key_id"], machine.key.public().key_id());
    assert_eq!(run(&["receipt", "show", "r_99"]).status.code(), Some(1));
}
