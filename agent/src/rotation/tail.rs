//! Receipts of keys that were given up: what the control plane lacks is sent over HTTP, beside the link of the new
//! chain; what it has is kept as evidence as long as other acknowledged receipts, then the folder goes.
//!
//! Each chain is sent in its order. A verdict is the acknowledgement: the position is moved after it, so a crash
//! costs a batch sent twice. When a chain is through, the old key's word on its end is sent.

use super::files::{self, Record};
use crate::api::{Api, ApiError};
use crate::config::StateDir;
use crate::identity::Enrolment;
use crate::receipts::{Receipts, letter};
use crate::spool::view::View;
use crate::spool::{Folder, OpenError, Spool, Stored};
use dgon_agent_core::link::Backoff;
use dgon_agent_core::spool::Limits;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::Refused;
use dgon_protocol::id::RequestId;
use dgon_protocol::key::PublicKey;
use dgon_protocol::limits::RECEIPTS_PER_BATCH;
use dgon_protocol::rotate::{CLOSE_PATH, Closing};
use serde::Deserialize;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const RECEIPTS_PATH: &str = "/api/v1/receipts";
/// Bytes of receipts in one post: well under what the control plane reads.
const BATCH_BYTES: usize = 1024 * 1024;
/// How often old folders are looked for.
const LOOK: Duration = Duration::from_secs(3600);
/// End of the name of a folder that is being removed.
const GONE: &str = ".gone";

/// Why the tail is not through.
#[derive(Debug, thiserror::Error)]
enum TailError {
    #[error("the control plane did not take receipts of an old key")]
    Api(#[source] ApiError),
    #[error("the control plane waits for earlier receipts of an old key; they are sent again")]
    Held,
    #[error("an old spool cannot be opened")]
    Open(#[source] OpenError),
    #[error("an old spool cannot be read or written")]
    Disk(#[source] io::Error),
    #[error("the files of a change of keys cannot be used")]
    Files(#[source] files::FilesError),
    #[error("the agent is stopping")]
    Stopping,
}

/// Brings old chains home.
pub(crate) struct Tail {
    pub(crate) state: StateDir,
    pub(crate) key: PublicKey,
    pub(crate) api: Api,
    pub(crate) node: Enrolment,
    pub(crate) receipts: Receipts,
    /// Of the spool in use: the old ones are kept as long.
    pub(crate) limits: Limits,
}

#[derive(Deserialize)]
struct Posted {
    verdicts: Vec<Verdict>,
}

#[derive(Deserialize)]
struct Verdict {
    request_id: Option<RequestId>,
    verdict: String,
    #[serde(rename = "type")]
    kind: Option<ErrorType>,
    message: Option<String>,
}

impl Tail {
    /// Works until `stop`; says in the log what keeps it.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let wait = match self.pass(&stop).await {
                Ok(()) => LOOK,
                Err(TailError::Stopping) => return,
                Err(error) => {
                    let retry_after = match &error {
                        TailError::Api(ApiError::Refused { detail, .. })
                            if detail.kind == ErrorType::RateLimited =>
                        {
                            Some(Duration::from_secs(1))
                        }
                        _ => None,
                    };
                    tracing::warn!(
                        %error,
                        source = std::error::Error::source(&error).map(ToString::to_string),
                        "receipts of an old key wait"
                    );
                    backoff.next_wait(rand::random(), retry_after)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Everything that is to be sent, the oldest chain first, then everything that may go.
    async fn pass(&self, stop: &CancellationToken) -> Result<(), TailError> {
        let mut line = files::history(&self.state, &self.key).map_err(TailError::Files)?;
        line.reverse();
        for record in &mut line {
            self.send_chain(&record.old_id(), stop).await?;
            self.close(record).await?;
        }
        self.remove_old(&line).map_err(TailError::Disk)
    }

    async fn send_chain(&self, key_id: &str, stop: &CancellationToken) -> Result<(), TailError> {
        let dir = self.state.retired_dir(key_id);
        if !dir.is_dir() || waiting(&View::of(&dir)).map_err(TailError::Disk)? == 0 {
            return Ok(());
        }
        let folder = Folder::open(&dir).map_err(TailError::Disk)?;
        let limits = self.limits;
        let id = key_id.to_owned();
        let opened =
            blocking(move || Spool::open(folder, &id, limits, crate::clock::unix_s())).await?;
        let mut spool = opened.map_err(TailError::Open)?;
        loop {
            let from = spool.index().acked_seq() + 1;
            let (back, batch) = blocking(move || {
                let batch = spool.read(from, RECEIPTS_PER_BATCH, BATCH_BYTES);
                (spool, batch)
            })
            .await?;
            spool = back;
            let batch = batch.map_err(TailError::Disk)?;
            let Some(last) = batch.last().map(|stored| stored.seq) else {
                // What is left cannot be read, or the disk must be mended before it may be sent.
                let end = spool.certain_seq();
                return self.acknowledge(spool, end).await.map(drop);
            };
            let posting = self.post(batch);
            let posted = tokio::select! {
                posted = posting => posted,
                () = stop.cancelled() => return Err(TailError::Stopping),
            };
            // The control plane has less of this chain than it had: all of it is offered again.
            let acked = if matches!(posted, Err(TailError::Held)) {
                0
            } else {
                last
            };
            if acked == last {
                posted?;
                spool = self.acknowledge(spool, acked).await?;
                tracing::info!(key_id, up_to = last, "receipts of an old key were sent");
            } else {
                self.acknowledge(spool, acked).await?;
                return Err(TailError::Held);
            }
        }
    }

    async fn acknowledge(
        &self,
        mut spool: Spool<Folder>,
        seq: u64,
    ) -> Result<Spool<Folder>, TailError> {
        let (spool, saved) = blocking(move || {
            spool.set_acked(seq);
            let saved = spool.save_acked();
            (spool, saved)
        })
        .await?;
        saved.map_err(TailError::Disk)?;
        Ok(spool)
    }

    /// Posts one batch; on return every receipt in it is durable at the control plane, or a dead letter here.
    async fn post(&self, batch: Vec<Stored>) -> Result<(), TailError> {
        let texts: Vec<&str> = batch
            .iter()
            .filter_map(|stored| std::str::from_utf8(&stored.entry_bytes).ok())
            .collect();
        let body = format!("[{}]", texts.join(",")).into_bytes();
        let posted: Posted = self
            .api
            .post_as_node(RECEIPTS_PATH, body, &self.node)
            .await
            .map_err(TailError::Api)?;
        let mut letters = Vec::new();
        for (verdict, stored) in posted.verdicts.into_iter().zip(batch) {
            match verdict.verdict.as_str() {
                "held" => return Err(TailError::Held),
                "refused" => {
                    let refusal = Refused {
                        request_id: verdict.request_id,
                        kind: verdict.kind.unwrap_or(ErrorType::InvalidReceipt),
                        message: verdict.message.unwrap_or_default().into(),
                    };
                    letters.push(letter(refusal, Some(stored)));
                }
                _ => {}
            }
        }
        self.receipts
            .dead_letter(letters)
            .await
            .map_err(TailError::Disk)
    }

    /// Sends the old key's word on where its chain ends, once the control plane knows the new key.
    async fn close(&self, record: &mut Record) -> Result<(), TailError> {
        let Some(closing) = record.closing.as_ref().filter(|_| !record.closing_told) else {
            return Ok(());
        };
        if record.valid_from_ms.is_none() {
            return Ok(());
        }
        let body = serde_json::to_vec(closing).unwrap_or_default();
        let answer: Result<Closing, ApiError> =
            self.api.post_as_node(CLOSE_PATH, body, &self.node).await;
        match answer {
            Ok(_) => {}
            Err(ApiError::Refused { detail, .. })
                if matches!(
                    detail.kind,
                    ErrorType::ForkedChain | ErrorType::Conflict | ErrorType::InvalidSignature
                ) =>
            {
                tracing::error!(
                    key_id = record.old_id(),
                    reason = detail.message,
                    "the control plane does not take the end of an old chain"
                );
            }
            Err(error) => return Err(TailError::Api(error)),
        }
        record.closing_told = true;
        files::write_record(&self.state, record).map_err(TailError::Files)
    }

    /// Removes chains that are home and too old or too many; `line` has the oldest first.
    fn remove_old(&self, line: &[Record]) -> io::Result<()> {
        let mut kept = Vec::new();
        for record in line {
            let dir = self.state.retired_dir(&record.old_id());
            remove(&self.state.retired_dir(&(record.old_id() + GONE)))?;
            let is_home = record.closing.is_none() || record.closing_told;
            if !dir.is_dir() || !is_home || waiting(&View::of(&dir))? > 0 {
                continue;
            }
            let newest = View::of(&dir).newest(1)?.first().map(|one| one.appended_s);
            let age_s = crate::clock::unix_s().saturating_sub(newest.unwrap_or(0));
            kept.push((dir.clone(), size(&dir)?, age_s > self.limits.keep_s));
        }
        let mut bytes: u64 = kept.iter().map(|(_, bytes, _)| bytes).sum();
        for (dir, size, is_old) in kept {
            if !is_old && bytes <= self.limits.keep_bytes {
                continue;
            }
            // Under another name first: a folder that is half removed is nobody's chain.
            let mut gone = dir.clone().into_os_string();
            gone.push(GONE);
            fs::rename(&dir, &gone)?;
            crate::files::sync_dir(&self.state.retired_root())?;
            remove(gone.as_ref())?;
            bytes -= size;
        }
        Ok(())
    }
}

/// Receipts of a chain that the control plane is not known to have.
pub(crate) fn waiting(view: &View) -> io::Result<u64> {
    let last = view.newest(1)?.first().map_or(0, |stored| stored.seq);
    Ok(last.saturating_sub(view.acked_seq()))
}

/// The spools of keys that were given up, those that are being removed left out.
///
/// # Errors
/// When their folder cannot be read.
pub(crate) fn retired_spools(state: &StateDir) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(state.retired_root()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension() != Some("gone".as_ref()) {
            folders.push(path);
        }
    }
    Ok(folders)
}

/// Receipts of all former keys that the control plane is not known to have.
///
/// # Errors
/// When a spool cannot be read.
pub(crate) fn former_waiting(state: &StateDir) -> io::Result<u64> {
    let folders = retired_spools(state)?;
    folders.iter().map(|one| waiting(&View::of(one))).sum()
}

fn size(dir: &std::path::Path) -> io::Result<u64> {
    fs::read_dir(dir)?
        .map(|entry| Ok(entry?.metadata()?.len()))
        .sum()
}

fn remove(dir: &std::path::Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TailError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| TailError::Stopping)
}
