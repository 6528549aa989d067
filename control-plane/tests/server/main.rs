//! The server over real HTTP, and the program as a person runs it: one program, because each links all of it.

mod addresses;
mod administration;
mod anonymous;
mod api_keys;
mod assignments;
mod audit;
mod by_hand;
mod commands;
mod configuration;
mod connections;
mod documented;
mod downloads;
mod errors_and_headers;
mod faults;
mod flags;
mod members;
mod oidc;
mod one_browser;
mod one_server;
mod openapi;
mod own_data;
mod passwords;
mod pools;
mod readiness;
mod schemas;
mod second_factor;
mod security_page;
mod session_ends;
mod sign_in;
mod slow_pages;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod test_names;
mod wallets;
