//! What anybody may ask without signing in: limited per address, whatever it is; and what they read is asked of the database
//! once for all who ask at once or within a second.
//!
//! The memory is in this process alone, and every answer says `no-store` to browsers and proxies: a flag that shuts the
//! overview acts at once, everywhere. Requests of this machine itself, which come from loopback and were forwarded by
//! nobody, are neither limited nor answered from this memory: tools beside the server want the truth, and gain nothing by
//! asking often. The network's figures (`app::queries::summary`) are a second old at most for them as well, and
//! what they say of quarters of an hour that are over a minute.

use super::auth::Acting;
use super::client_ip::{ClientIp, is_here, network};
use super::error::ApiError;
use super::state::HttpState;
use super::turns::{self, HasTurn};
use crate::rate_limit::RateLimit;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::LINK_PATH;
use http::{HeaderMap, Method, StatusCode, header};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Answers that are remembered.
const ENTRIES_MAX: usize = 256;
/// Bytes of all of them.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of one of them.
const ENTRY_BYTES_MAX: usize = 512 * 1024;
/// Longest address whose answer is remembered, bytes.
const KEY_BYTES_MAX: usize = 1024;

/// These ask for the headers of a node or for a token of one, and have limits of their own: `App::guard`.
const OF_NODES: [&str; 7] = [
    "/api/v1/nodes/self",
    "/api/v1/nodes/heartbeat",
    "/api/v1/nodes/key/close",
    "/api/v1/nodes/key/rotate",
    "/api/v1/nodes/register",
    RECEIPTS,
    LINK_PATH,
];
/// Nodes post there what people read.
const RECEIPTS: &str = "/api/v1/receipts";
/// What the flag `allow_anonymous_overview` opens.
const OVERVIEW: [&str; 4] = [
    "/api/v1/summary",
    "/api/v1/summary/trends",
    "/api/v1/regions",
    "/api/v1/nodes",
];

/// Exchanges a proof of a session for new cookies.
const RENEWAL: &str = "/api/v1/auth/refresh";

/// What a stranger wants. Each has tries of its own: whoever reads much keeps no neighbour from coming in, and whoever tries to
/// come in keeps nobody from staying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wish {
    Read,
    WayIn,
    Renewal,
}

impl Wish {
    fn of(request: &Request) -> Self {
        match (request.method() == Method::GET, request.uri().path()) {
            (true, _) => Self::Read,
            (false, RENEWAL) => Self::Renewal,
            (false, _) => Self::WayIn,
        }
    }
}

/// Limits and memory of what strangers ask. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Anonymous {
    asked: RateLimit<(IpAddr, Wish)>,
    answers: Arc<Answers>,
}

impl Anonymous {
    /// So many requests of each kind per minute and address; answers are good for `fresh`.
    pub fn new(per_minute: u32, fresh: Duration) -> Self {
        Self {
            asked: RateLimit::new(per_minute),
            answers: Arc::new(Answers {
                fresh,
                kept: Mutex::default(),
            }),
        }
    }
}

/// The layer; inside the one that finds out who acts.
pub(super) async fn layer(
    State(state): State<HttpState>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let is_read = request.method() == Method::GET;
    let is_of_node = OF_NODES.contains(&path) && !(is_read && path == RECEIPTS);
    let acting = request.extensions().get();
    // Cookies of no session are anybody's, too.
    let is_nobody = matches!(acting, Some(Acting::Nobody | Acting::Ended));
    let is_limited = is_nobody && path.starts_with("/api/v1/") && !is_of_node;
    let client = request.extensions().get::<ClientIp>().copied();
    let Some(client) = client.filter(|client| is_limited && !is_here(*client, request.headers()))
    else {
        return next.run(request).await;
    };
    let asker = (network(client), Wish::of(&request));
    if let Err(wait_s) = state.anonymous.asked.take(&asker, Instant::now()) {
        metrics::counter!("http_anonymous_limited_total").increment(1);
        let message = "too many requests from your address; wait as Retry-After says, or sign in";
        return ApiError::new(ErrorType::RateLimited, message)
            .retry_after(wait_s)
            .into_response();
    }
    let is_strangers = matches!(request.extensions().get(), Some(Acting::Nobody));
    let is_remembered =
        is_read && is_strangers && is_overview(path) && state.app.switches.anonymous_overview();
    match request.uri().path_and_query() {
        Some(key) if is_remembered && key.as_str().len() <= KEY_BYTES_MAX => {
            let key = key.as_str().to_owned();
            let turn = state.app.turns.take(turns::asker(request.extensions()));
            request.extensions_mut().insert(HasTurn);
            let answers = &state.anonymous.answers;
            answers.get(key, turn, next.run(request)).await
        }
        _ => next.run(request).await,
    }
}

fn is_overview(path: &str) -> bool {
    OVERVIEW.contains(&path) || path.starts_with("/api/v1/nodes/")
}

/// Answers of the last second.
#[derive(Debug)]
struct Answers {
    fresh: Duration,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    answers: HashMap<String, Answer>,
    /// Who asks the database holds the lock of its question; the others wait for it.
    asking: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
}

#[derive(Debug, Clone)]
struct Answer {
    at: Instant,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.headers_mut() = self.headers;
        response
    }
}

impl Kept {
    fn forget_old(&mut self, fresh: Duration) {
        self.answers.retain(|_, answer| answer.at.elapsed() < fresh);
        self.bytes = self.answers.values().map(|answer| answer.body.len()).sum();
    }
}

/// One who asks, or waits for who does. The last one takes the question out.
struct Asking<'a> {
    answers: &'a Answers,
    key: &'a str,
    /// There until it is dropped.
    turn: Option<Arc<tokio::sync::Mutex<()>>>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut kept = self.answers.lock();
        // Given up under the lock, so that of two who leave at once the second sees that it is the last.
        self.turn = None;
        let last = kept
            .asking
            .get(self.key)
            .is_some_and(|turn| Arc::strong_count(turn) == 1);
        if last {
            kept.asking.remove(self.key);
        }
    }
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self, key: &str) -> Option<Answer> {
        let kept = self.lock();
        let answer = kept.answers.get(key)?;
        (answer.at.elapsed() < self.fresh).then(|| answer.clone())
    }

    /// The answer that is remembered, or the one that `ask` gives. Who asks waits for a turn of their own before they stand
    /// in the way of others with the same question.
    async fn get<T>(
        &self,
        key: String,
        turn: impl Future<Output = T>,
        ask: impl Future<Output = Response>,
    ) -> Response {
        if let Some(answer) = self.fresh(&key) {
            return answer.into_response();
        }
        let _own_turn = turn.await;
        let turn = Arc::clone(self.lock().asking.entry(key.clone()).or_default());
        let _asking = Asking {
            answers: self,
            key: &key,
            turn: Some(Arc::clone(&turn)),
        };
        let _turn = turn.lock_owned().await;
        // Somebody may have asked while this one waited.
        match self.fresh(&key) {
            Some(answer) => answer.into_response(),
            None => self.keep(&key, ask.await).await,
        }
    }

    /// Remembers what is whole, right and not too large; the answer passes either way.
    async fn keep(&self, key: &str, response: Response) -> Response {
        let size = response.body().size_hint().exact();
        let fits = size.is_some_and(|size| size <= ENTRY_BYTES_MAX as u64);
        let sets_cookie = response.headers().contains_key(header::SET_COOKIE);
        if response.status() != StatusCode::OK || !fits || sets_cookie {
            return response;
        }
        let (parts, body) = response.into_parts();
        let body = match axum::body::to_bytes(body, ENTRY_BYTES_MAX).await {
            Ok(body) => body,
            Err(error) => return ApiError::internal(&error).into_response(),
        };
        let mut kept = self.lock();
        if kept.answers.len() >= ENTRIES_MAX || kept.bytes + body.len() > BYTES_MAX {
            kept.forget_old(self.fresh);
        }
        if kept.answers.len() < ENTRIES_MAX && kept.bytes + body.len() <= BYTES_MAX {
            let answer = Answer {
                at: Instant::now(),
                headers: parts.headers.clone(),
                body: body.clone(),
            };
            kept.bytes += body.len();
            if let Some(before) = kept.answers.insert(key.to_owned(), answer) {
                kept.bytes -= before.body.len();
            }
        }
        Response::from_parts(parts, Body::from(body))
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a helper that fails fails its test")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio_util::sync::CancellationToken;

    const LONG: Duration = Duration::from_secs(3_600);

    fn answers(fresh: Duration) -> Answers {
        Answers {
            fresh,
            kept: Mutex::default(),
        }
    }

    async fn text(response: Response) -> String {
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        String::from_utf8(body.expect("a body").to_vec()).expect("text")
    }

    #[tokio::test]
    async fn who_asks_at_once_shares_one_question() {
        let (answers, asked, go) = (answers(LONG), AtomicUsize::new(0), CancellationToken::new());
        let ask = || async {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            go.cancelled().await;
            format!("answer {number}").into_response()
        };
        let all = futures_util::future::join_all(
            (0..20).map(|_| answers.get("/a".into(), async {}, ask())),
        );
        let (all, ()) = tokio::join!(all, async { go.cancel() });
        for answer in all {
            assert_eq!(text(answer).await, "answer 0");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(answers.lock().asking.is_empty());
        let other = answers.get("/b".into(), async {}, async { "b".into_response() });
        assert_eq!(text(other.await).await, "b");
    }

    #[tokio::test]
    async fn one_who_waits_for_a_turn_is_in_nobodys_way() {
        let answers = answers(LONG);
        let waits = answers.get("/a".into(), std::future::pending::<()>(), async {
            "never".into_response()
        });
        let mut waits = Box::pin(waits);
        assert!(futures_util::poll!(&mut waits).is_pending());
        let other = answers.get("/a".into(), async {}, async { "a".into_response() });
        assert_eq!(text(other.await).await, "a");
    }

    #[tokio::test]
    async fn one_who_leaves_makes_room_for_the_next() {
        let answers = answers(LONG);
        let never = answers.get("/a".into(), async {}, std::future::pending());
        assert!(futures_util::FutureExt::now_or_never(never).is_none());
        let next = answers.get("/a".into(), async {}, async { "a".into_response() });
        assert_eq!(text(next.await).await, "a");
        assert!(answers.lock().asking.is_empty());
    }

    #[tokio::test]
    async fn errors_and_old_answers_are_asked_again() {
        let answers = answers(LONG);
        let failed = async { ApiError::invalid("no").into_response() };
        let failed = answers.get("/a".into(), async {}, failed).await;
        assert_eq!(failed.status(), StatusCode::BAD_REQUEST);
        let good = answers.get("/a".into(), async {}, async { "good".into_response() });
        assert_eq!(text(good.await).await, "good");
        let stale = super::tests::answers(Duration::ZERO);
        for number in ["1", "2"] {
            let answer = stale.get("/a".into(), async {}, async { number.into_response() });
            assert_eq!(text(answer.await).await, number);
        }
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let answers = answers(LONG);
        for number in 0..ENTRIES_MAX + 10 {
            let ask = async { "x".into_response() };
            let _ = answers.get(number.to_string(), async {}, ask).await;
        }
        assert_eq!(answers.lock().answers.len(), ENTRIES_MAX);
        let large = super::tests::answers(LONG);
        for number in 0..40 {
            let ask = async { "x".repeat(ENTRY_BYTES_MAX).into_response() };
            let _ = large.get(number.to_string(), async {}, ask).await;
        }
        {
            let kept = large.lock();
            assert_eq!(kept.bytes, BYTES_MAX);
            assert_eq!(kept.answers.len(), BYTES_MAX / ENTRY_BYTES_MAX);
        }
        let huge = async { "x".repeat(ENTRY_BYTES_MAX + 1).into_response() };
        let huge = large.get("huge".into(), async {}, huge).await;
        assert_eq!(text(huge).await.len(), ENTRY_BYTES_MAX + 1);
    }
}
