//! Opens what the commands work on: data directory, database, master key.

use super::failure::Failure;
use crate::app::{App, Clock, MasterKey, MasterKeyError};
use crate::config::Config;
use anyhow::Context as _;
use dgon_control_plane_store::Store;
use std::path::Path;
use std::sync::Arc;

/// Makes the data directory, private to this user, and checks that it can be written.
fn data_dir(dir: &Path) -> Result<(), Failure> {
    let hint = || {
        format!(
            "the data directory {} cannot be used; give another with --data-dir or let this user write it",
            dir.display()
        )
    };
    if !dir.exists() {
        std::fs::create_dir_all(dir)
            .with_context(hint)
            .map_err(Failure::data_dir)?;
        make_private(dir)
            .with_context(hint)
            .map_err(Failure::data_dir)?;
    }
    tempfile_in(dir)
        .with_context(hint)
        .map_err(Failure::data_dir)
}

#[cfg(unix)]
fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn make_private(_dir: &Path) -> std::io::Result<()> {
    Ok(())
}

fn tempfile_in(dir: &Path) -> std::io::Result<()> {
    let probe = dir.join(format!(".writable.{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

/// The database, with its schema up to date.
pub(super) async fn store(config: &Config) -> Result<Store, Failure> {
    data_dir(&config.data_dir)?;
    let store = Store::open(&config.database()).await?;
    store.migrate().await?;
    Ok(store)
}

/// The shared state.
pub(super) async fn app(config: &Config) -> Result<Arc<App>, Failure> {
    let store = store(config).await?;
    let key = MasterKey::load_or_create(&config.data_dir).map_err(|error| match error {
        MasterKeyError::File { .. } | MasterKeyError::Malformed { .. } => Failure::data_dir(error),
        MasterKeyError::Randomness | MasterKeyError::Open => Failure::other(error),
    })?;
    Ok(App::new(store, config.app_settings(), key, Clock::system()))
}
