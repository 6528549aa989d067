//! `openapi`: prints the document that is committed as `control-plane/openapi.json`.

use super::failure::Failure;
use crate::http::openapi::document_text;

pub(super) fn run() -> Result<(), Failure> {
    print!("{}", document_text().map_err(Failure::other)?);
    Ok(())
}
