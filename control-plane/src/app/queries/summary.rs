//! The network in numbers, computed at most once a second for everybody.

use super::QueryError;
use crate::app::views::{
    NodeCounts, NodeStatus, RegionLatency, RegionNodes, Regions, Summary, TokenCounts, TrendSeries,
    Trends, time,
};
use crate::app::{App, Clock};
use dgon_control_plane_model::rollup::{
    DAY_MINUTES, MINUTE_MS, QUARTER_MINUTES, RowKey, Sums, minute_of, quarter_of,
};
use dgon_control_plane_store::Scope;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The network's figures are the same for all who look, so they are asked as a stranger asks.
const EVERYBODY: Scope = Scope::Stranger;
/// How old an answer may be, ms.
const FRESH_MS: i64 = 1_000;
/// How old one may be where nobody can wait for another, ms.
const LATELY_MS: i64 = 60_000;
/// How long the figures may hold up who has something else to tell.
const SOON: Duration = Duration::from_secs(1);
/// Quarters of an hour in the window.
const QUARTERS: usize = (DAY_MINUTES / QUARTER_MINUTES) as usize;

/// The last answers.
#[derive(Debug, Default)]
pub struct SummaryCache {
    summary: Shared<Summary>,
    trends: Shared<Trends>,
}

/// Something that is computed for all who ask, by nobody of them: whoever leaves takes nothing along, and who comes while
/// it is computed waits for it. A failure counts for as long as an answer: thousands who wait do not all try again.
#[derive(Debug)]
struct Shared<T>(Arc<watch::Sender<Known<T>>>);

#[derive(Debug)]
struct Known<T> {
    is_under_way: bool,
    /// When it was last computed, ms of monotonic time, and what it was; `None` where it failed.
    last: Option<(i64, Option<Arc<T>>)>,
    /// When that last gave an answer, and which.
    answered: Option<(i64, Arc<T>)>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        let nothing = Known {
            is_under_way: false,
            last: None,
            answered: None,
        };
        Self(Arc::new(watch::Sender::new(nothing)))
    }
}

/// The computation that is under way; its end is told whatever ends it.
struct UnderWay<T> {
    known: Arc<watch::Sender<Known<T>>>,
    clock: Clock,
    answer: Option<Arc<T>>,
}

impl<T> UnderWay<T> {
    fn ended_with(mut self, answer: T) {
        self.answer = Some(Arc::new(answer));
    }
}

impl<T> Drop for UnderWay<T> {
    fn drop(&mut self) {
        let (at_ms, answer) = (self.clock.mono_ms(), self.answer.take());
        self.known.send_modify(|known| {
            if let Some(answer) = &answer {
                known.answered = Some((at_ms, Arc::clone(answer)));
            }
            (known.is_under_way, known.last) = (false, Some((at_ms, answer)));
        });
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    async fn get<F>(&self, clock: &Clock, compute: impl FnOnce() -> F) -> Result<Arc<T>, QueryError>
    where
        F: Future<Output = Result<T, QueryError>> + Send + 'static,
    {
        let now_ms = clock.mono_ms();
        let begins = self.0.send_if_modified(|known| {
            let last = known.last.as_ref();
            let is_fresh = last.is_some_and(|(at_ms, _)| now_ms - at_ms < FRESH_MS);
            let begins = !known.is_under_way && !is_fresh;
            known.is_under_way |= begins;
            begins
        });
        if begins {
            let under_way = UnderWay {
                known: Arc::clone(&self.0),
                clock: clock.clone(),
                answer: None,
            };
            // The database ends it, if it takes too long.
            let compute = compute();
            tokio::spawn(async move {
                match compute.await {
                    Ok(answer) => under_way.ended_with(answer),
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the network's figures could not be computed; they are tried again in a second"
                    ),
                }
            });
        }
        let mut known = self.0.subscribe();
        let known = known.wait_for(|known| !known.is_under_way).await;
        let known = known.map_err(|_| QueryError::NotNow)?;
        let answer = known.last.as_ref().and_then(|(_, answer)| answer.clone());
        answer.ok_or(QueryError::NotNow)
    }
}

impl<T> Shared<T> {
    /// The last answer, where it is younger than this, ms.
    fn of_late(&self, clock: &Clock, younger_ms: i64) -> Option<Arc<T>> {
        let known = self.0.borrow();
        let (at_ms, answer) = known.answered.as_ref()?;
        (clock.mono_ms() - at_ms < younger_ms).then(|| Arc::clone(answer))
    }
}

/// First minute of the 96 quarters that end with the one of now.
const fn window_start(now_ms: i64) -> i64 {
    quarter_of(minute_of(now_ms)) - (DAY_MINUTES - QUARTER_MINUTES)
}

impl App {
    /// The network now and over the last 24 hours.
    ///
    /// # Errors
    /// [`QueryError::NotNow`].
    pub async fn summary(self: &Arc<Self>) -> Result<Arc<Summary>, QueryError> {
        let compute = || {
            let (app, now_ms) = (Arc::clone(self), self.clock.now_ms());
            async move { compute_summary(&app, now_ms).await }
        };
        self.summaries.summary.get(&self.clock, compute).await
    }

    /// The same for who has something else to tell: where it takes longer than a second or fails, as it last was, which is
    /// at most a minute ago; `None` where that is not known either.
    pub async fn summary_soon(self: &Arc<Self>) -> Option<Arc<Summary>> {
        let now = tokio::time::timeout(SOON, self.summary()).await;
        now.ok()
            .and_then(Result::ok)
            .or_else(|| self.summaries.summary.of_late(&self.clock, LATELY_MS))
    }

    /// The regions, and how many nodes each has.
    ///
    /// # Errors
    /// [`QueryError::Store`].
    pub async fn regions(&self) -> Result<Regions, QueryError> {
        let mut counts: HashMap<String, i64> = self
            .store
            .nodes_by_region(&EVERYBODY)
            .await?
            .into_iter()
            .collect();
        let mut count = |region: &str| RegionNodes {
            region: region.to_owned(),
            nodes: counts.remove(region).unwrap_or(0),
        };
        Ok(Regions {
            items: self.settings.regions.iter().map(&mut count).collect(),
            elsewhere: counts.into_values().sum(),
        })
    }

    /// The last 24 hours in quarters.
    ///
    /// # Errors
    /// [`QueryError::NotNow`].
    pub async fn trends(self: &Arc<Self>) -> Result<Arc<Trends>, QueryError> {
        let compute = || {
            let (app, now_ms) = (Arc::clone(self), self.clock.now_ms());
            async move {
                let rows = network_sums(&app, now_ms).await?;
                Ok(trends_of(window_start(now_ms), &rows))
            }
        };
        self.summaries.trends.get(&self.clock, compute).await
    }
}

async fn network_sums(app: &App, now_ms: i64) -> Result<Vec<(RowKey, Sums)>, QueryError> {
    let rows = app.recent_sums(&EVERYBODY, window_start(now_ms));
    Ok(rows.await?)
}

async fn compute_summary(app: &App, now_ms: i64) -> Result<Summary, QueryError> {
    let counts = app.store.network_counts(&EVERYBODY).await?;
    let mut nodes = NodeCounts::default();
    for (state, count) in &counts.by_state {
        match NodeStatus::of_state(state) {
            NodeStatus::Pending => nodes.pending += count,
            NodeStatus::Active => nodes.active += count,
            NodeStatus::Quarantine => nodes.quarantine += count,
            NodeStatus::Offline => nodes.offline += count,
        }
    }
    let mut total = Sums::default();
    let mut regions: BTreeMap<String, Sums> = BTreeMap::new();
    for (key, sums) in network_sums(app, now_ms).await? {
        total.merge(&sums);
        regions.entry(key.region).or_default().merge(&sums);
    }
    let mut p95_by_region: Vec<RegionLatency> = regions
        .into_iter()
        .map(|(region, sums)| RegionLatency {
            region,
            p95_ms: sums.ttft.p95(),
            requests: sums.requests,
        })
        .collect();
    p95_by_region.sort_by_key(|region| std::cmp::Reverse(region.requests));
    Ok(Summary {
        active_nodes: nodes.active,
        nodes,
        p95_global: total.ttft.p95(),
        p95_by_region,
        models_cached: counts.models,
        requests_24h: total.requests,
        tokens_24h: TokenCounts {
            input: total.tokens_input,
            output: total.tokens_output,
            not_counted: total.tokens_not_counted,
        },
        error_rate: total.error_rate(),
        as_of: time(now_ms),
    })
}

fn trends_of(start_minute: i64, rows: &[(RowKey, Sums)]) -> Trends {
    let mut steps = vec![Sums::default(); QUARTERS];
    for (key, sums) in rows {
        let step = usize::try_from((key.minute - start_minute) / QUARTER_MINUTES).ok();
        if let Some(step) = step.and_then(|step| steps.get_mut(step)) {
            step.merge(sums);
        }
    }
    let mut series = TrendSeries::default();
    for step in &steps {
        let tokens = step.tokens_input.saturating_add(step.tokens_output);
        series.requests.push(Some(step.requests));
        series.tokens.push(Some(tokens));
        series.errors.push(Some(step.errors));
        series.p50_ms.push(step.ttft.p50());
        series.p95_ms.push(step.ttft.p95());
    }
    Trends {
        start: time(start_minute * MINUTE_MS),
        step_s: QUARTER_MINUTES * 60,
        series,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn trends_have_a_day_of_steps_and_gaps_where_nothing_was_measured() {
        let start = window_start(1_800_000_123_456);
        let row = |minute, requests| {
            let key = RowKey {
                node_id: String::new(),
                minute,
                region: "eu".into(),
            };
            let sums = Sums {
                requests,
                ttft: [10, 20].into_iter().collect(),
                ..Sums::default()
            };
            (key, sums)
        };
        let rows = [
            row(start, 1),
            row(start, 2),
            row(start + 95 * 15, 4),
            row(start + 96 * 15, 8),
        ];
        let trends = trends_of(start, &rows);
        assert_eq!(trends.series.requests.len(), 96);
        assert_eq!(trends.series.requests[0], Some(3));
        assert_eq!(trends.series.requests[1], Some(0));
        assert_eq!(trends.series.requests[95], Some(4));
        assert_eq!(
            (trends.series.p50_ms[0], trends.series.p95_ms[1]),
            (Some(10), None)
        );
        assert_eq!(start % 15, 0);
        assert_eq!(trends.start, time(start * 60_000));
    }

    #[tokio::test]
    async fn a_failure_is_remembered_like_an_answer() {
        let (shared, clock) = (Shared::<u32>::default(), Clock::manual(1_000_000));
        let asked = Arc::new(AtomicUsize::new(0));
        let ask = async |answer: Option<u32>| {
            let asked = Arc::clone(&asked);
            let compute = || async move {
                asked.fetch_add(1, Ordering::Relaxed);
                answer.ok_or(QueryError::Cursor)
            };
            shared.get(&clock, compute).await
        };
        for _ in 0..100 {
            assert!(matches!(ask(None).await, Err(QueryError::NotNow)));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        clock.advance(1_000);
        assert!(matches!(ask(Some(2)).await.as_deref(), Ok(2)));
        assert!(matches!(ask(None).await.as_deref(), Ok(2)));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        // Who cannot wait has the last answer, also where another one failed since.
        clock.advance(1_000);
        assert!(ask(None).await.is_err());
        assert_eq!(shared.of_late(&clock, 60_000).as_deref(), Some(&2));
    }

    #[tokio::test]
    async fn whoever_leaves_takes_nothing_along() {
        let (shared, clock) = (Shared::<u32>::default(), Clock::manual(1_000_000));
        let (done, wait) = tokio::sync::oneshot::channel();
        let first = || async move { wait.await.map_err(|_| QueryError::Cursor) };
        assert!(shared.get(&clock, first).now_or_never().is_none());
        for _ in 0..100 {
            let later = || async { Ok(0) };
            assert!(shared.get(&clock, later).now_or_never().is_none());
        }
        assert!(shared.of_late(&clock, 60_000).is_none());
        done.send(7).expect("is computed, though nobody waits");
        let later = || async { Ok(0) };
        assert!(matches!(shared.get(&clock, later).await.as_deref(), Ok(7)));
        clock.advance(59_999);
        let slow = || std::future::pending();
        assert!(shared.get(&clock, slow).now_or_never().is_none());
        assert_eq!(shared.of_late(&clock, 60_000).as_deref(), Some(&7));
        clock.advance(1);
        assert!(shared.of_late(&clock, 60_000).is_none());
    }

    #[tokio::test]
    async fn one_that_panics_is_a_failure() {
        let (shared, clock) = (Shared::<u32>::default(), Clock::manual(1_000_000));
        let panics = || async { panic!("on purpose") };
        let answer = shared.get(&clock, panics).await;
        assert!(matches!(answer, Err(QueryError::NotNow)), "{answer:?}");
    }
}
