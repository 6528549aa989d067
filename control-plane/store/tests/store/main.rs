//! The store on SQLite and on PostgreSQL: one program, because each links both.

mod accounts;
mod api_keys;
mod assignments;
mod enrolment;
mod indexes;
mod ingest;
mod lock_order;
mod members;
mod node_keys;
mod node_queries;
mod order_keys;
mod own_data;
mod pool_races;
mod pools;
mod races;
mod reading;
mod receipt_queries;
mod receipt_search;
mod retention;
mod rollups;
mod schema;
mod scopes;
mod second_factors;
#[path = "../support/mod.rs"]
mod support;
mod upgrade;
