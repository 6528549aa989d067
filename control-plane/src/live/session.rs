//! One browser's socket.

use super::batch::{Batch, Sight, Topic};
use super::frame::{
    self, CLOSE_LATER, CLOSE_SIGN_IN, FromBrowser, Hello, Missed, Opened, Snapshot, Subscribed,
    json,
};
use super::hub::{Hub, Place};
use super::socket::{Frames, Gone};
use crate::accounts::Person;
use crate::app::queries::{PAGE_MAX, ReceiptQuery};
use crate::app::views::time;
use crate::app::{AccessChange, App, Asker, Turn};
use crate::socket::WebSocket;
use dgon_control_plane_store::{Scope, StoreError};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_tungstenite::tungstenite::Message;

/// How often the browser hears from us when nothing happens.
const PING: Duration = Duration::from_secs(10);
/// Silence after which a browser is gone: three pings without a pong.
const SILENCE: Duration = Duration::from_secs(35);
/// How often the sign-in behind the socket is looked at.
const RECHECK: Duration = Duration::from_secs(30);
/// Messages that a browser may send within [`MESSAGE_WINDOW`], pings and pongs among them.
const MESSAGES: usize = 30;
const MESSAGE_WINDOW: Duration = Duration::from_secs(10);
/// Times that a browser may fall behind within [`SLOW_WINDOW`].
const SLOW_TIMES: usize = 3;
const SLOW_WINDOW: Duration = Duration::from_secs(60);
/// Farthest back that missed receipts are shown one by one, ms.
const SINCE_MAX_MS: i64 = 3_600_000;

/// Who opened the socket.
#[derive(Debug)]
pub struct Access {
    /// Whose rows.
    pub scope: Scope,
    /// What `hello` says of it.
    pub role: &'static str,
    /// Whose sign-in must last; `None` for a stranger.
    pub person: Option<Person>,
    /// Whose turns its questions take.
    pub asker: Asker,
    /// How long one of them may take, the wait for a turn counted.
    pub within: Duration,
    /// How long one writing may take.
    pub write_within: Duration,
    /// One of the sockets that this asker may have.
    pub place: Turn,
    /// One of all.
    pub room: Place,
}

/// Why a socket ends.
#[derive(Debug)]
enum End {
    /// The browser left, or its connection broke.
    Gone,
    /// We close it, for a reason.
    Close(u16, &'static str),
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

/// Counts events in a moving window.
#[derive(Debug, Default)]
struct Rate(VecDeque<Instant>);

impl Rate {
    /// Counts one more; whether that is over the limit.
    fn exceeds(&mut self, limit: usize, window: Duration, now: Instant) -> bool {
        while self
            .0
            .front()
            .is_some_and(|first| now.duration_since(*first) > window)
        {
            self.0.pop_front();
        }
        self.0.push_back(now);
        self.0.len() > limit
    }
}

struct Session {
    app: Arc<App>,
    frames: Frames,
    access: Access,
    topics: Vec<Topic>,
    heard: Instant,
    messages: Rate,
    lags: Rate,
    has_resumed: bool,
    changes: Receiver<AccessChange>,
}

/// Serves one socket until it ends.
pub async fn serve(app: Arc<App>, socket: WebSocket, access: Access) {
    let batches = Hub::join(&app);
    let mut session = Session {
        changes: app.access.subscribe(),
        app,
        frames: Frames::new(socket, access.write_within),
        access,
        topics: vec![Topic::Summary],
        heard: Instant::now(),
        messages: Rate::default(),
        lags: Rate::default(),
        has_resumed: false,
    };
    if let Err(End::Close(code, reason)) = session.run(batches).await {
        Box::pin(session.close(code, reason)).await;
    }
}

impl Session {
    async fn run(&mut self, mut batches: Receiver<Arc<Batch>>) -> Result<(), End> {
        // What changed between the door and here, nobody told.
        Box::pin(self.recheck()).await?;
        let hello = Hello {
            server_time: time(self.app.clock.now_ms()),
            build: env!("CARGO_PKG_VERSION"),
            role: self.access.role,
        };
        let hello = self.open("hello", &hello);
        let snapshot = self.snapshot().await;
        self.frames.tell(&[&hello, &snapshot]).await?;
        let mut ping = tokio::time::interval(PING);
        ping.tick().await;
        let mut recheck = tokio::time::interval(RECHECK);
        recheck.tick().await;
        // What is seldom, and reads the database, takes its memory when it comes.
        loop {
            tokio::select! {
                batch = batches.recv() => match batch {
                    Ok(batch) => self.tell(&batch).await?,
                    Err(RecvError::Lagged(_)) => self.fell_behind().await?,
                    Err(RecvError::Closed) => return Err(End::Close(1001, "the server is stopping")),
                },
                message = self.frames.next() => Box::pin(self.hear(message?)).await?,
                _ = ping.tick() => self.ping().await?,
                _ = recheck.tick() => Box::pin(self.recheck()).await?,
                change = self.changes.recv() => match change {
                    Ok(change) if !self.is_own(&change) => {}
                    _ => Box::pin(self.recheck()).await?,
                },
            }
        }
    }

    /// A frame of this session's own.
    fn open(&self, kind: &str, data: &impl Serialize) -> Opened {
        Opened::new(kind, &json(data), self.app.clock.now_ms())
    }

    async fn snapshot(&mut self) -> Opened {
        // One that cannot be made now takes nothing else with it: the next one is told.
        let summary = self.app.summary_soon().await;
        if summary.is_none() {
            self.app.live.owe_summary();
        }
        self.open("snapshot", &Snapshot { summary })
    }

    /// Sends what of a batch is in sight.
    async fn tell(&mut self, batch: &Batch) -> Result<(), End> {
        let mut seen = batch.seen(Sight {
            scope: &self.access.scope,
            topics: &self.topics,
        });
        let left_out = Some(seen.receipts_left_out).filter(|count| *count > 0);
        let missed = left_out.map(|count| self.missed_receipts(Some(count)));
        seen.frames.extend(&missed);
        if batch.is_gap {
            self.frames.leave_out();
            if seen.frames.is_empty() {
                // A gap shows only in the frame after it.
                let snapshot = self.snapshot().await;
                return Ok(self.frames.tell(&[&snapshot]).await?);
            }
        }
        Ok(self.frames.tell(&seen.frames).await?)
    }

    /// The queue ran over: the state is sent anew in place of what was in it.
    async fn fell_behind(&mut self) -> Result<(), End> {
        if self.lags.exceeds(SLOW_TIMES, SLOW_WINDOW, Instant::now()) {
            return Err(End::Close(
                CLOSE_LATER,
                "this browser is too slow for live updates",
            ));
        }
        self.frames.leave_out();
        let snapshot = self.snapshot().await;
        Ok(self.frames.tell(&[&snapshot]).await?)
    }

    async fn hear(&mut self, message: Message) -> Result<(), End> {
        let now = Instant::now();
        self.heard = now;
        // Pings as well: each has an answer, which waits in memory for a browser that does not read.
        if self.messages.exceeds(MESSAGES, MESSAGE_WINDOW, now) {
            return Err(End::Close(1008, "too many messages"));
        }
        let text = match message {
            Message::Text(text) => text,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
            Message::Close(_) => return Err(End::Gone),
            Message::Binary(_) => return Err(End::Close(1003, "only text is understood here")),
        };
        match serde_json::from_str(&text) {
            Ok(FromBrowser::Sub { mut topics, since }) => {
                topics.truncate(8);
                self.topics = topics;
                self.subscribed().await?;
                match since {
                    Some(since_ms) if !self.has_resumed => self.resume(since_ms).await,
                    _ => Ok(()),
                }
            }
            Ok(FromBrowser::Unknown) => Ok(()),
            Err(_) => Err(End::Close(1007, "this message is not understood")),
        }
    }

    /// Says that what happens from here on is told: what the browser reads over HTTP after this, with the frames after
    /// this, is everything. What it read before may lack what nobody told it.
    async fn subscribed(&mut self) -> Result<(), End> {
        let topics = &self.topics;
        let subscribed = self.open("subscribed", &Subscribed { topics });
        Ok(self.frames.tell(&[&subscribed]).await?)
    }

    /// Shows the receipts that a reconnecting browser missed, once, or says that they are too many.
    async fn resume(&mut self, since_ms: i64) -> Result<(), End> {
        self.has_resumed = true;
        if !self.topics.contains(&Topic::Receipts) || self.access.scope.is_stranger() {
            return Ok(());
        }
        let is_recent = self.app.clock.now_ms().saturating_sub(since_ms) <= SINCE_MAX_MS;
        let query = ReceiptQuery {
            from_ms: Some(since_ms.saturating_add(1)),
            limit: Some(PAGE_MAX),
            ..ReceiptQuery::default()
        };
        let page = match is_recent {
            true => {
                let page = async {
                    let _turn = self.app.turns.take(self.access.asker.clone()).await;
                    self.app.receipts_page(&self.access.scope, &query).await
                };
                // What cannot be shown here now is asked for over HTTP.
                let page = tokio::time::timeout(self.access.within, page).await;
                page.ok().and_then(Result::ok)
            }
            false => None,
        };
        let told = match page.filter(|page| page.next_cursor.is_none()) {
            Some(page) => {
                let rows = page.items.iter().rev();
                rows.map(|row| self.open("receipt", row)).collect()
            }
            None => vec![self.missed_receipts(None)],
        };
        let told: Vec<&Opened> = told.iter().collect();
        Ok(self.frames.tell(&told).await?)
    }

    /// So many receipts were not shown, where that is known.
    fn missed_receipts(&self, count: Option<u64>) -> Opened {
        let topic = "receipts";
        self.open("missed", &Missed { topic, count })
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > SILENCE {
            return Err(End::Gone);
        }
        let ping = self.open("ping", &serde_json::json!({}));
        Ok(self.frames.ping(&[&ping]).await?)
    }

    /// Whether a change is of whoever opened this socket.
    fn is_own(&self, change: &AccessChange) -> bool {
        let person = self.access.person.as_ref();
        person.is_some_and(|person| match change {
            AccessChange::Session(family_id) => *family_id == person.family_id,
            AccessChange::Person(user_id) => *user_id == person.user_id,
            AccessChange::Organisation(org_id) => Some(org_id) == person.org_id.as_ref(),
        })
    }

    async fn recheck(&mut self) -> Result<(), End> {
        let is_open = self.app.switches.anonymous_overview();
        let Some(person) = &self.access.person else {
            return match is_open {
                true => Ok(()),
                false => Err(End::Close(CLOSE_SIGN_IN, "the overview is shut; sign in")),
            };
        };
        if !person.is_member() && !is_open {
            return Err(End::Close(
                CLOSE_SIGN_IN,
                "you are in no organisation, and the overview is shut",
            ));
        }
        let now_ms = self.app.clock.now_ms();
        match person.now(&self.app.store, now_ms).await {
            Ok(Some(now)) if now == *person => Ok(()),
            Ok(Some(_)) => Err(End::Close(
                CLOSE_SIGN_IN,
                "what you may see is another now; connect again",
            )),
            Ok(None) => Err(End::Close(
                CLOSE_SIGN_IN,
                "the session has ended; sign in again",
            )),
            Err(error) => Err(faulty(&error)),
        }
    }

    /// Says why, if the browser still listens.
    async fn close(self, code: u16, reason: &'static str) {
        let kind = if code == CLOSE_SIGN_IN {
            "unauthorized"
        } else {
            "unavailable"
        };
        let error = frame::Error {
            kind,
            message: reason,
        };
        let error = self.open("error", &error);
        self.frames.close(&error, code, reason).await;
    }
}

fn faulty(error: &StoreError) -> End {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "live session closed"
    );
    End::Close(1011, "the server has a fault; its log has the cause")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_forgets_what_is_old() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let window = Duration::from_secs(10);
        assert!(!rate.exceeds(2, window, start));
        assert!(!rate.exceeds(2, window, start));
        assert!(rate.exceeds(2, window, start));
        assert!(!rate.exceeds(2, window, start + window * 2));
    }
}
