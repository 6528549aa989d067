//! Keeps the lock that makes this the only server of its database.
//!
//! On PostgreSQL the lock lives in a session, and a session can be lost: the database restarted, somebody ended it, a
//! cable. Then the lock is taken again at once. While it cannot be, because the database does not answer, `/readyz`
//! says so; when another server has it, or it does not come back for a minute, this task ends, and the server with
//! it. In between, a second server could begin only in the moment before the loss is noticed.

use crate::app::App;
use dgon_control_plane_store::{ServeLock, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often the lock is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// How long the session may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Pause before the lock is tried for again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a server goes on without its lock: as long as links are kept while the database is away.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs until `stop`, or until the lock is lost for good. The lock stays with the caller, who lets go of it last.
pub async fn keep(app: Arc<App>, lock: Arc<Mutex<ServeLock>>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let mut lock = lock.lock().await;
        let Some(why) = lost(&mut lock).await else {
            continue;
        };
        app.readiness.set_lock_lost(true);
        tracing::warn!(why, "the lock on the database is lost; taking it again");
        tokio::select! {
            () = stop.cancelled() => return,
            is_back = retake(&mut lock) => if !is_back { return },
        }
        app.readiness.set_lock_lost(false);
        tracing::info!("the lock on the database is held again");
    }
}

/// Why the lock is not held; `None` while it is.
async fn lost(lock: &mut ServeLock) -> Option<String> {
    match tokio::time::timeout(ANSWER, lock.is_held()).await {
        Ok(Ok(true)) => None,
        Ok(Ok(false)) => Some("its session does not have it any more".to_owned()),
        Ok(Err(error)) => Some(format!("{error}: {}", source(&error))),
        Err(_) => Some("its session does not answer".to_owned()),
    }
}

fn source(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(String::new, ToString::to_string)
}

/// Whether the lock came back.
async fn retake(lock: &mut ServeLock) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match tokio::time::timeout(ANSWER, lock.retake()).await {
            Ok(Ok(())) => return true,
            Ok(Err(error @ StoreError::InUse { .. })) => {
                tracing::error!(%error, "the lock on the database went to another server");
                return false;
            }
            Ok(Err(error)) => {
                tracing::warn!(
                    why = source(&error),
                    "the lock on the database could not be taken"
                );
            }
            Err(_) => tracing::warn!("the database did not answer when its lock was to be taken"),
        }
        if Instant::now() >= deadline {
            tracing::error!("the lock on the database did not come back");
            return false;
        }
        tokio::time::sleep(AGAIN).await;
    }
}
