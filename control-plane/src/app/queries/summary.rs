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
use tokio::sync::Mutex;

/// The network's figures are the same for all who look, so they are asked as a stranger asks.
const EVERYBODY: Scope = Scope::Stranger;
/// How old an answer may be, ms.
const FRESH_MS: i64 = 1_000;
/// How long one may be computed before that it was given up says something of it, ms.
const LONG_MS: i64 = 2_000;
/// Quarters of an hour in the window.
const QUARTERS: usize = (DAY_MINUTES / QUARTER_MINUTES) as usize;

/// The last answers. Whoever asks while one is being computed waits for it.
#[derive(Debug, Default)]
pub struct SummaryCache {
    summary: Last<Summary>,
    trends: Last<Trends>,
}

/// When something was last computed, unix ms, and what it was; `None` where it failed.
type LastAnswer<T> = Option<(i64, Option<Arc<T>>)>;

/// What was last computed. A failure counts for as long as an answer: thousands who wait do not all try again.
#[derive(Debug)]
struct Last<T>(Mutex<LastAnswer<T>>);

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

/// One that is being computed; its end is remembered. Where who asked left, only if it had taken long already: leaving
/// early is no failure, and nobody can make it one for others.
struct Attempt<'a, T> {
    last: &'a mut LastAnswer<T>,
    clock: &'a Clock,
    began_ms: i64,
    /// `None` while it is computed.
    end: Option<Option<Arc<T>>>,
}

impl<T> Drop for Attempt<'_, T> {
    fn drop(&mut self) {
        let now_ms = self.clock.now_ms();
        match self.end.take() {
            Some(answer) => *self.last = Some((now_ms, answer)),
            None if now_ms - self.began_ms >= LONG_MS => *self.last = Some((now_ms, None)),
            None => {}
        }
    }
}

impl<T> Last<T> {
    async fn get<F>(
        &self,
        clock: &Clock,
        compute: impl FnOnce(i64) -> F,
    ) -> Result<Arc<T>, QueryError>
    where
        F: Future<Output = Result<T, QueryError>>,
    {
        let mut last = self.0.lock().await;
        let now_ms = clock.now_ms();
        if let Some((at_ms, answer)) = &*last
            && (0..FRESH_MS).contains(&(now_ms - at_ms))
        {
            return answer.clone().ok_or(QueryError::NotNow);
        }
        let mut attempt = Attempt {
            last: &mut last,
            clock,
            began_ms: now_ms,
            end: None,
        };
        let answer = compute(now_ms).await.map(Arc::new);
        attempt.end = Some(answer.as_ref().ok().map(Arc::clone));
        answer
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
    /// [`QueryError::Store`].
    pub async fn summary(&self) -> Result<Arc<Summary>, QueryError> {
        let compute = |now_ms| self.compute_summary(now_ms);
        self.summaries.summary.get(&self.clock, compute).await
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
    /// [`QueryError::Store`].
    pub async fn trends(&self) -> Result<Arc<Trends>, QueryError> {
        let compute = async |now_ms| {
            let rows = self.network_rollups(now_ms).await?;
            Ok(trends_of(window_start(now_ms), &rows))
        };
        self.summaries.trends.get(&self.clock, compute).await
    }

    async fn network_rollups(&self, now_ms: i64) -> Result<Vec<(RowKey, Sums)>, QueryError> {
        let rows = self.store.rollups_recent(&EVERYBODY, window_start(now_ms));
        Ok(rows.await?)
    }

    async fn compute_summary(&self, now_ms: i64) -> Result<Summary, QueryError> {
        let counts = self.store.network_counts(&EVERYBODY).await?;
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
        for (key, sums) in self.network_rollups(now_ms).await? {
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
        let (last, clock) = (Last::<u32>::default(), Clock::manual(1_000_000));
        let asked = AtomicUsize::new(0);
        let ask = async |answer: Option<u32>| {
            let compute = |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                async move { answer.ok_or(QueryError::Cursor) }
            };
            last.get(&clock, compute).await
        };
        assert!(matches!(ask(None).await, Err(QueryError::Cursor)));
        for _ in 0..100 {
            assert!(matches!(ask(Some(1)).await, Err(QueryError::NotNow)));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        clock.advance(1_000);
        // Who leaves early leaves nothing behind, who waited for long does.
        for (waits_ms, is_failure) in [(LONG_MS - 1, false), (LONG_MS, true)] {
            let mut left = Box::pin(last.get(&clock, |_| std::future::pending()));
            assert!((&mut left).now_or_never().is_none());
            clock.advance(waits_ms);
            drop(left);
            let next = ask(None).await;
            assert_eq!(matches!(next, Err(QueryError::NotNow)), is_failure);
            clock.advance(1_000);
        }
        asked.store(1, Ordering::Relaxed);
        assert!(matches!(ask(Some(2)).await.as_deref(), Ok(2)));
        assert!(matches!(ask(None).await.as_deref(), Ok(2)));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
