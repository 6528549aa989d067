//! The operator's page names exactly the checks that there are.

use dgon_agent::doctor::CheckId;

#[test]
fn the_page_has_a_row_for_every_check_and_none_for_others() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/agent/doctor.md");
    let page = std::fs::read_to_string(file).unwrap();
    let rows: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split_once("` |"))
        .map(|(id, _)| id)
        .filter(|id| id.contains('.') && !id.contains(' '))
        .collect();
    let ids: Vec<&str> = CheckId::ALL.iter().map(|id| id.as_str()).collect();
    assert_eq!(rows, ids);
}
