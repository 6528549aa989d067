//! The program, its commands and its services: one test program, because each links all of the agent.

mod config;
mod enroll;
mod places;
mod receipt_verify;
mod receipts_local;
mod run;
mod services;
#[path = "../support/mod.rs"]
mod support;
