//! What nodes offer: the models of their runtimes, so that filters find a node and the network can be counted.
//!
//! The rows follow the inventories in the transaction that writes those. Only what changed is written: most nodes
//! come back with what they had.

use crate::statement::Statement;
use dgon_protocol::frame::Inventory;
use std::collections::BTreeSet;

/// Pairs of runtime and model that one node is found by.
const OFFERS_MAX: usize = 500;
/// Rows per statement: three values each, far from what either database takes.
const ROWS: usize = 256;

/// Node, runtime, model. A runtime has a row with an empty model too, so that it is found without one.
pub(crate) type Offer = (String, String, String);

/// What an inventory offers. A name that no receipt could have is nothing to be found by.
pub(crate) fn of_inventory(node_id: &str, inventory: &Inventory) -> BTreeSet<Offer> {
    let mut inventory = inventory.clone();
    inventory.leave_out_unnameable();
    let mut offers = BTreeSet::new();
    for runtime in &inventory.runtimes {
        let offer = |model: &str| (node_id.to_owned(), runtime.kind.clone(), model.to_owned());
        offers.insert(offer(""));
        offers.extend(runtime.models.iter().map(|model| offer(&model.id)));
    }
    offers.into_iter().take(OFFERS_MAX).collect()
}

/// What is stored of these nodes.
pub(crate) fn select(node_ids: &[&str]) -> Statement {
    let mut statement =
        Statement::new("SELECT node_id, runtime, model_id FROM node_models WHERE node_id IN (");
    for (position, node_id) in node_ids.iter().enumerate() {
        statement
            .sql(if position == 0 { "" } else { ", " })
            .text(*node_id);
    }
    statement.sql(")");
    statement
}

/// The statements that make `stored` into `wanted`, in one order for all writers.
pub(crate) fn changes(stored: &BTreeSet<Offer>, wanted: &BTreeSet<Offer>) -> Vec<Statement> {
    let gone: Vec<&Offer> = stored.difference(wanted).collect();
    let new: Vec<&Offer> = wanted.difference(stored).collect();
    let deletes = gone.chunks(ROWS).map(|rows| {
        let mut statement = Statement::new(
            "DELETE FROM node_models WHERE (node_id, runtime, model_id) IN (VALUES ",
        );
        push_rows(&mut statement, rows);
        statement.sql(")");
        statement
    });
    let inserts = new.chunks(ROWS).map(|rows| {
        let mut statement =
            Statement::new("INSERT INTO node_models (node_id, runtime, model_id) VALUES ");
        push_rows(&mut statement, rows);
        statement.sql(" ON CONFLICT (node_id, runtime, model_id) DO NOTHING");
        statement
    });
    deletes.chain(inserts).collect()
}

fn push_rows(statement: &mut Statement, rows: &[&Offer]) {
    for (position, (node_id, runtime, model_id)) in rows.iter().enumerate() {
        statement
            .sql(if position == 0 { "(" } else { ", (" })
            .text(node_id.as_str())
            .sql(", ")
            .text(runtime.as_str())
            .sql(", ")
            .text(model_id.as_str())
            .sql(")");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dgon_protocol::frame::{Model, Runtime};

    fn runtime(kind: &str, models: &[&str]) -> Runtime {
        let model = |id: &&str| Model {
            id: (*id).to_owned(),
            digest: None,
            size_bytes: None,
            loaded: None,
        };
        Runtime {
            kind: kind.to_owned(),
            version: None,
            ready: true,
            models: models.iter().map(model).collect(),
        }
    }

    #[test]
    fn a_runtime_is_found_by_its_name_and_by_each_of_its_models() {
        let inventory = Inventory {
            runtimes: vec![runtime("vllm", &["a", "b", "a"]), runtime("ollama", &[])],
            ..Inventory::default()
        };
        let found: Vec<Offer> = of_inventory("n", &inventory).into_iter().collect();
        let expected = [("ollama", ""), ("vllm", ""), ("vllm", "a"), ("vllm", "b")];
        let row = |(runtime, model): &(&str, &str)| {
            ("n".to_owned(), (*runtime).to_owned(), (*model).to_owned())
        };
        assert_eq!(found, expected.iter().map(row).collect::<Vec<_>>());
    }

    #[test]
    fn names_that_no_receipt_has_are_left_out_and_the_rest_stays() {
        let long = "m".repeat(257);
        let inventory = Inventory {
            runtimes: vec![
                runtime("vllm", &["good", "nul\0", &long]),
                runtime("", &["x"]),
                runtime(&"v".repeat(33), &["y"]),
            ],
            ..Inventory::default()
        };
        let models: Vec<String> = of_inventory("n", &inventory)
            .into_iter()
            .map(|offer| offer.2)
            .collect();
        assert_eq!(models, ["", "good"]);
    }

    #[test]
    fn one_node_has_a_bounded_number_of_rows() {
        let names: Vec<String> = (0..2_000).map(|n| format!("m{n}")).collect();
        let models: Vec<&str> = names.iter().map(String::as_str).collect();
        let inventory = Inventory {
            runtimes: vec![runtime("vllm", &models)],
            ..Inventory::default()
        };
        assert_eq!(of_inventory("n", &inventory).len(), OFFERS_MAX);
    }
}
