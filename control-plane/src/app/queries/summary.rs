//! The network in numbers, computed at most once a second for everybody.

use super::QueryError;
use super::network_day::Settled;
use super::shared::Shared;
use crate::app::App;
use crate::app::views::{
    NodeCounts, NodeStatus, RegionLatency, RegionNodes, Regions, Summary, TokenCounts, TrendSeries,
    Trends, time,
};
use dgon_control_plane_model::network_day::NetworkDay;
use dgon_control_plane_model::rollup::{MINUTE_MS, QUARTER_MINUTES, Sums};
use dgon_control_plane_store::System;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
/// How old one may be where nobody can wait for another, ms.
const LATELY_MS: i64 = 60_000;
/// How long the figures may hold up who has something else to tell.
const SOON: Duration = Duration::from_secs(1);

/// The last answers.
#[derive(Debug, Default)]
pub struct SummaryCache {
    summary: Shared<Summary>,
    trends: Shared<Trends>,
    regions: Shared<Regions>,
    pub(super) settled: Settled,
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
        let here = (&self.clock, &self.runtime);
        self.summaries.summary.get(here, compute).await
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
    /// [`QueryError::NotNow`].
    pub async fn regions(self: &Arc<Self>) -> Result<Arc<Regions>, QueryError> {
        let compute = || {
            let app = Arc::clone(self);
            async move { count_regions(&app).await }
        };
        let here = (&self.clock, &self.runtime);
        self.summaries.regions.get(here, compute).await
    }

    /// The last 24 hours in quarters.
    ///
    /// # Errors
    /// [`QueryError::NotNow`].
    pub async fn trends(self: &Arc<Self>) -> Result<Arc<Trends>, QueryError> {
        let compute = || {
            let (app, now_ms) = (Arc::clone(self), self.clock.now_ms());
            async move { Ok(trends_of(&app.network_day(now_ms).await?)) }
        };
        let here = (&self.clock, &self.runtime);
        self.summaries.trends.get(here, compute).await
    }
}

async fn count_regions(app: &App) -> Result<Regions, QueryError> {
    let counts = app.store.nodes_by_region(System::of_the_server()).await?;
    let mut counts: HashMap<String, i64> = counts.into_iter().collect();
    let mut count = |region: &str| RegionNodes {
        region: region.to_owned(),
        nodes: counts.remove(region).unwrap_or(0),
    };
    Ok(Regions {
        items: app.settings.regions.iter().map(&mut count).collect(),
        elsewhere: counts.into_values().sum(),
    })
}

async fn compute_summary(app: &App, now_ms: i64) -> Result<Summary, QueryError> {
    let counts = app.store.network_counts(System::of_the_server()).await?;
    let mut nodes = NodeCounts::default();
    for (state, count) in &counts.by_state {
        match NodeStatus::of_state(state) {
            NodeStatus::Pending => nodes.pending += count,
            NodeStatus::Active => nodes.active += count,
            NodeStatus::Quarantine => nodes.quarantine += count,
            NodeStatus::Offline => nodes.offline += count,
        }
    }
    let (mut total, day) = (Sums::default(), app.network_day(now_ms).await?);
    let mut p95_by_region = Vec::new();
    for (region, sums) in day.by_region() {
        total.merge(sums);
        p95_by_region.push(RegionLatency {
            region: region.clone(),
            p95_ms: sums.ttft.p95(),
            requests: sums.requests,
        });
    }
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

fn trends_of(day: &NetworkDay) -> Trends {
    let mut series = TrendSeries::default();
    for step in day.quarters() {
        let tokens = step.tokens_input.saturating_add(step.tokens_output);
        series.requests.push(Some(step.requests));
        series.tokens.push(Some(tokens));
        series.errors.push(Some(step.errors));
        series.p50_ms.push(step.ttft.p50());
        series.p95_ms.push(step.ttft.p95());
    }
    Trends {
        start: time(day.first_minute() * MINUTE_MS),
        step_s: QUARTER_MINUTES * 60,
        series,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dgon_control_plane_model::rollup::RowKey;

    #[test]
    fn trends_have_a_day_of_steps_and_gaps_where_nothing_was_measured() {
        let mut day = NetworkDay::until(30_000_000);
        let key = RowKey {
            node_id: String::new(),
            minute: day.first_minute(),
            region: "eu".into(),
            org_id: String::new(),
        };
        let sums = Sums {
            requests: 3,
            ttft: [10, 20].into_iter().collect(),
            ..Sums::default()
        };
        day.add(&key, &sums);
        let trends = trends_of(&day);
        assert_eq!(trends.series.requests.len(), 96);
        assert_eq!(trends.series.requests[0], Some(3));
        assert_eq!(trends.series.requests[1], Some(0));
        assert_eq!(
            (trends.series.p50_ms[0], trends.series.p95_ms[1]),
            (Some(10), None)
        );
        assert_eq!(trends.start, time(day.first_minute() * 60_000));
    }
}
