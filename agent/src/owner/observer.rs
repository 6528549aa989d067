//! Looking at the machine for the owner's limits.

use super::os;
use crate::config;
use crate::heartbeat::HeartbeatSource;
use crate::proxy::Proxy;
use crate::telemetry::Counters;
use dgon_agent_core::owner::{Activity, GpuSeen, Input, Limits, Observation, QuietSpan};
use dgon_protocol::frame::GpuLoad;
use std::sync::Arc;
use std::time::Duration;

/// Readings of the heartbeat that are younger are not taken again.
const FRESH: Duration = Duration::from_secs(9);

/// The limits that agent.yaml sets.
pub fn limits_of(owner: &config::Owner) -> Limits {
    Limits {
        idle_only: owner.idle_only,
        quiet_hours: owner
            .quiet_hours
            .iter()
            .map(|span| QuietSpan {
                from_minute: span.from_minute,
                to_minute: span.to_minute,
            })
            .collect(),
        max_gpu_temp_c: owner.max_gpu_temp_c,
        min_profit_usd_per_hour: owner.min_profit_usd_per_hour,
        tariff_usd_per_kwh: owner.tariff_usd_per_kwh,
    }
}

/// Looks for a running agent.
#[derive(Clone)]
pub struct Observer {
    /// Readings of the GPUs.
    pub heartbeats: HeartbeatSource,
    /// Requests that run.
    pub proxy: Arc<Proxy>,
    /// Requests that have ended.
    pub counters: Arc<Counters>,
}

impl Observer {
    /// One look, no deeper than `limits` need it.
    pub async fn look(&self, limits: &Limits) -> Observation {
        let needs_gpus =
            limits.max_gpu_temp_c.is_some() || limits.min_profit_usd_per_hour.is_some();
        let gpus = if needs_gpus {
            gpus(&self.heartbeats.gpu_loads_within(FRESH).await)
        } else {
            Vec::new()
        };
        let input = if limits.idle_only {
            let limits = limits.clone();
            tokio::task::spawn_blocking(move || input(&limits))
                .await
                .unwrap_or_default()
        } else {
            Input::default()
        };
        Observation {
            minute_of_day: minute_of_day(),
            activity: Activity {
                local_requests: self.proxy.in_flight_local(),
                since_local_request_s: self.counters.since_local_request().map(|age| age.as_secs()),
                input,
            },
            gpus,
            // No control plane tells prices to its nodes yet.
            earnings_usd_per_hour: None,
        }
    }
}

/// Minute of the day by the local clock, by the rules of its time zone now.
pub(super) fn minute_of_day() -> Option<u16> {
    os::minute_of_day().filter(|minute| *minute < 24 * 60)
}

/// What the system says of the people at the machine; asked only where a limit needs it. Can block for a moment.
pub(super) fn input(limits: &Limits) -> Input {
    if limits.idle_only {
        os::input()
    } else {
        Input::default()
    }
}

pub(super) fn gpus(loads: &[GpuLoad]) -> Vec<GpuSeen> {
    loads
        .iter()
        .map(|load| GpuSeen {
            index: load.index,
            temp_c: load.temp_c,
            power_w: load.power_w,
        })
        .collect()
}
