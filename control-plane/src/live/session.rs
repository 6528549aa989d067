//! One browser's socket.

use super::batch::{Batch, Item, Topic};
use super::frame::{
    self, CLOSE_LATER, CLOSE_SIGN_IN, FromBrowser, Hello, Missed, Subscribed, envelope, json,
};
use super::hub::{Hub, Place};
use super::newest::OF_ORG;
use crate::accounts::Person;
use crate::app::queries::{PAGE_MAX, ReceiptQuery};
use crate::app::views::time;
use crate::app::{App, Asker, Turn};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use dgon_control_plane_store::{Scope, StoreError};
use futures_util::SinkExt as _;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// How often the browser hears from us when nothing happens.
const PING: Duration = Duration::from_secs(10);
/// Silence after which a browser is gone: three pings without a pong.
const SILENCE: Duration = Duration::from_secs(35);
/// How long one write may take.
const WRITE: Duration = Duration::from_secs(10);
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
    socket: WebSocket,
    access: Access,
    topics: Vec<Topic>,
    seq: u64,
    heard: Instant,
    messages: Rate,
    lags: Rate,
    has_resumed: bool,
}

/// Serves one socket until it ends.
pub async fn serve(app: Arc<App>, socket: WebSocket, access: Access) {
    let batches = Hub::join(&app);
    let mut session = Session {
        app,
        socket,
        access,
        topics: vec![Topic::Summary],
        seq: 0,
        heard: Instant::now(),
        messages: Rate::default(),
        lags: Rate::default(),
        has_resumed: false,
    };
    if let Err(End::Close(code, reason)) = session.run(batches).await {
        session.close(code, reason).await;
    }
}

impl Session {
    async fn run(&mut self, mut batches: Receiver<Arc<Batch>>) -> Result<(), End> {
        let hello = Hello {
            server_time: time(self.app.clock.now_ms()),
            build: env!("CARGO_PKG_VERSION"),
            role: self.access.role,
        };
        self.feed("hello", &json(&hello)).await?;
        self.snapshot().await?;
        let mut ping = tokio::time::interval(PING);
        ping.tick().await;
        let mut recheck = tokio::time::interval(RECHECK);
        recheck.tick().await;
        loop {
            tokio::select! {
                batch = batches.recv() => match batch {
                    Ok(batch) => self.tell(&batch).await?,
                    Err(RecvError::Lagged(_)) => self.fell_behind().await?,
                    Err(RecvError::Closed) => return Err(End::Close(1001, "the server is stopping")),
                },
                message = self.socket.recv() => match message {
                    Some(Ok(message)) => self.hear(message).await?,
                    Some(Err(_)) | None => return Err(End::Gone),
                },
                _ = ping.tick() => self.ping().await?,
                _ = recheck.tick() => self.recheck().await?,
            }
        }
    }

    async fn snapshot(&mut self) -> Result<(), End> {
        // One that cannot be made now takes nothing else with it: the next one is told.
        let summary = self.app.summary_soon().await;
        if summary.is_none() {
            self.app.live.owe_summary();
        }
        let data = format!("{{\"summary\":{}}}", json(&summary.as_deref()));
        self.feed("snapshot", &data).await?;
        self.flush().await
    }

    /// Sends what of a batch this browser may see and asked for.
    async fn tell(&mut self, batch: &Batch) -> Result<(), End> {
        if batch.is_gap {
            // A number is left out: the browser sees that it missed something and reads everything anew.
            self.seq += 1;
        }
        let before = self.seq;
        let (scope, topics) = (self.access.scope.clone(), self.topics.clone());
        let is_shown = |item: &&Item| topics.contains(&item.topic) && item.is_for(&scope);
        let receipts = batch.items.iter().filter(is_shown);
        let receipts = receipts.filter(|item| item.topic == Topic::Receipts);
        // Of many the newest, however many organisations are in sight.
        let mut too_many = receipts.count().saturating_sub(OF_ORG);
        let left_out = match topics.contains(&Topic::Receipts) {
            true => batch.left_out(&scope) + too_many as u64,
            false => 0,
        };
        for item in batch.items.iter().filter(is_shown) {
            if item.topic == Topic::Receipts && too_many > 0 {
                too_many -= 1;
                continue;
            }
            self.feed(item.kind, &item.data).await?;
        }
        if left_out > 0 {
            let missed = Missed {
                topic: "receipts",
                count: Some(left_out),
            };
            self.feed("missed", &json(&missed)).await?;
        }
        if batch.is_gap && self.seq == before {
            // A gap shows only in the frame after it.
            return self.snapshot().await;
        }
        self.flush().await
    }

    /// The queue ran over: the state is sent anew in place of what was in it.
    async fn fell_behind(&mut self) -> Result<(), End> {
        if self.lags.exceeds(SLOW_TIMES, SLOW_WINDOW, Instant::now()) {
            return Err(End::Close(
                CLOSE_LATER,
                "this browser is too slow for live updates",
            ));
        }
        self.seq += 1;
        self.snapshot().await
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
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
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
        let subscribed = Subscribed {
            topics: &self.topics,
        };
        let data = json(&subscribed);
        self.feed("subscribed", &data).await?;
        self.flush().await
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
        match page.filter(|page| page.next_cursor.is_none()) {
            Some(page) => {
                for row in page.items.iter().rev() {
                    self.feed("receipt", &json(row)).await?;
                }
            }
            None => {
                let missed = Missed {
                    topic: "receipts",
                    count: None,
                };
                self.feed("missed", &json(&missed)).await?;
            }
        }
        self.flush().await
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > SILENCE {
            return Err(End::Gone);
        }
        self.feed("ping", "{}").await?;
        self.write(Message::Ping(Vec::new().into())).await?;
        self.flush().await
    }

    async fn recheck(&mut self) -> Result<(), End> {
        let Some(person) = &self.access.person else {
            return match self.app.switches.anonymous_overview() {
                true => Ok(()),
                false => Err(End::Close(CLOSE_SIGN_IN, "the overview is shut; sign in")),
            };
        };
        let now_ms = self.app.clock.now_ms();
        let own = person.own();
        let store = &self.app.store;
        let live = store.session_is_live(&own, &person.family_id, now_ms);
        match live.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(End::Close(
                CLOSE_SIGN_IN,
                "the session has ended; sign in again",
            )),
            Err(error) => Err(faulty(&error)),
        }
    }

    async fn feed(&mut self, kind: &str, data: &str) -> Result<(), End> {
        self.seq += 1;
        let text = envelope(kind, data, self.app.clock.now_ms(), self.seq);
        self.write(Message::Text(text.into())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        within(self.socket.feed(message)).await
    }

    async fn flush(&mut self) -> Result<(), End> {
        within(self.socket.flush()).await
    }

    /// Says why, if the browser still listens.
    async fn close(&mut self, code: u16, reason: &'static str) {
        let kind = if code == CLOSE_SIGN_IN {
            "unauthorized"
        } else {
            "unavailable"
        };
        let error = frame::Error {
            kind,
            message: reason,
        };
        let close = CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        };
        if self.feed("error", &json(&error)).await.is_ok() {
            // Whether the last word arrives is the network's business.
            let _ = within(self.socket.send(Message::Close(Some(close)))).await;
        }
    }
}

/// Waits for a write no longer than a browser may take.
async fn within<E>(write: impl Future<Output = Result<(), E>>) -> Result<(), End> {
    match tokio::time::timeout(WRITE, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
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
