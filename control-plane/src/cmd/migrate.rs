//! `migrate`: brings the schema up to date.

use super::failure::Failure;
use super::{Common, open};

pub(super) async fn run(common: &Common) -> Result<(), Failure> {
    let config = common.load(&[])?;
    open::store(&config).await?.close().await;
    println!("the database is up to date");
    Ok(())
}
