//! `receipt`: the receipts of this node, and the verification of anybody's.

mod export;
mod local;
mod since;
mod verify;

use super::Context;
use crate::cli::Receipt;
use std::process::ExitCode;

pub(super) fn run(
    context: impl FnOnce() -> anyhow::Result<Context>,
    command: Receipt,
) -> anyhow::Result<ExitCode> {
    match command {
        Receipt::Verify(arguments) => verify::run(context, &arguments),
        Receipt::Export(arguments) => export::run(&context()?, &arguments),
        Receipt::List(arguments) => local::list(&context()?, &arguments),
        Receipt::Show { id, raw, json } => local::show(&context()?, &id, raw, json),
    }
}
