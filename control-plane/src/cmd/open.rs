//! Opens what the commands work on: data directory, database, master key.

use super::failure::Failure;
use super::master_key::key_of;
use crate::app::{App, Clock};
use crate::config::Config;
use anyhow::Context as _;
use dgon_control_plane_store::{ServeLock, Store};
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

/// The database as it is.
async fn database(config: &Config) -> Result<Store, Failure> {
    data_dir(&config.data_dir)?;
    Ok(config.read_limits().open(&config.database()).await?)
}

/// The database, with its schema up to date.
pub(super) async fn store(config: &Config) -> Result<Store, Failure> {
    let store = database(config).await?;
    store.migrate().await?;
    Ok(store)
}

/// The database as it is, for a command that changes nothing: one that is not there is not made, and one of another version
/// is left alone.
pub(super) async fn as_it_is(config: &Config) -> Result<Store, Failure> {
    if config.is_without_database() {
        return Err(Failure::data_dir(anyhow::anyhow!(
            "there is no database in {}; give the folder with --data-dir",
            config.data_dir.display()
        )));
    }
    let store = config.read_limits().open(&config.database()).await?;
    if !store.is_migrated().await? {
        return Err(Failure::other(anyhow::anyhow!(
            "the database is of another version than this program; use the program of the server that works on it"
        )));
    }
    Ok(store)
}

/// The shared state, for a command beside the server. Where there was no database it says so: the folder may be a mistake, and
/// what is made in it is in no network that runs.
pub(super) async fn app(config: &Config) -> Result<Arc<App>, Failure> {
    let is_new = config.is_without_database();
    let store = store(config).await?;
    if is_new {
        eprintln!(
            "note: there was no database in {}, and one was made; a server that runs with another folder knows nothing of it",
            config.data_dir.display()
        );
    }
    with_key(config, store).await
}

/// The shared state of the one server of a database, and the lock that keeps it the only one.
pub(super) async fn serving(config: &Config) -> Result<(Arc<App>, ServeLock), Failure> {
    let store = database(config).await?;
    // Before anything is changed: a newer version must not migrate under the one that runs.
    let lock = store.serve_lock().await?;
    store.migrate().await?;
    Ok((with_key(config, store).await?, lock))
}

/// Chains what a command wrote to the audit log, for no server may run.
pub(super) async fn seal(app: &App) {
    if let Err(error) = app.audit_seal().await {
        let error = anyhow::Error::from(error);
        eprintln!("note: what was done is in the audit log, but not chained yet: {error:#}");
    }
}

async fn with_key(config: &Config, store: Store) -> Result<Arc<App>, Failure> {
    let clock = Clock::system();
    let key = key_of(&store, &config.data_dir, clock.now_ms()).await?;
    Ok(App::new(store, config.app_settings(), key, clock))
}
