//! What each limit says to what is observed.
//!
//! A [`Judge`] remembers what keeps a node from switching to and fro: a GPU that was too hot must cool down by
//! [`COOL_BY_C`] before it counts as cool, and the power of the GPUs is held at its peak, which fades within about
//! an hour. It expects a look every ten seconds or so; more or fewer do no harm. What it remembers follows from what
//! was observed alone, never from what was decided, so that a limit more can only stop more.

use super::limits::{Clock, Limits};
use super::observation::{Activity, GpuSeen, Input, Observation};
use dgon_protocol::frame::PausedReason;
use serde::{Deserialize, Serialize};

/// The machine counts as unused once nobody has used it for this long, s.
pub const IDLE_AFTER_S: u64 = 300;
/// A GPU that was too hot is cool again this far below its limit, °C.
pub const COOL_BY_C: f32 = 5.0;
/// Looks without a reading after which a hot GPU is forgotten: it sleeps, or is gone.
const FORGET_AFTER: u8 = 6;
/// What is left of the power's peak at each look.
const FADE: f64 = 0.99;

/// One of the owner's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// `owner.idle_only`
    IdleOnly,
    /// `owner.quiet_hours`
    QuietHours,
    /// `owner.max_gpu_temp_c`
    GpuTemperature,
    /// `owner.min_profit_usd_per_hour`
    Profit,
}

impl Limit {
    /// Why a node is paused that this limit stops.
    pub const fn reason(self) -> PausedReason {
        match self {
            Self::IdleOnly => PausedReason::MachineInUse,
            Self::QuietHours => PausedReason::QuietHours,
            Self::GpuTemperature => PausedReason::GpuHot,
            Self::Profit => PausedReason::BelowProfit,
        }
    }

    /// Its key in agent.yaml.
    pub const fn key(self) -> &'static str {
        match self {
            Self::IdleOnly => "owner.idle_only",
            Self::QuietHours => "owner.quiet_hours",
            Self::GpuTemperature => "owner.max_gpu_temp_c",
            Self::Profit => "owner.min_profit_usd_per_hour",
        }
    }
}

/// What a limit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The node may serve.
    Clear,
    /// It may not.
    Stops,
    /// It cannot be told, so it stops nothing.
    Unknown,
}

/// A limit that is set, and what it says now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Which limit.
    pub limit: Limit,
    /// What it says.
    pub verdict: Verdict,
    /// How it is set, for a person.
    pub setting: String,
    /// What was observed, for a person.
    pub finding: String,
}

/// Judges every look by the same limits.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    limits: Limits,
    hot: Vec<Hot>,
    peak_w: Option<f64>,
}

/// A GPU that was too hot and has not cooled down.
#[derive(Debug, Clone, Copy)]
struct Hot {
    index: u32,
    /// Looks since its last reading.
    missed: u8,
}

impl Judge {
    /// A judge that has observed nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            hot: Vec::new(),
            peak_w: None,
        }
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What every limit that is set says to this look.
    pub fn look(&mut self, observed: &Observation) -> Vec<Judgement> {
        self.remember(observed);
        [
            self.idle(&observed.activity),
            self.quiet(observed.minute_of_day),
            self.temperature(&observed.gpus),
            self.profit(observed),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn remember(&mut self, observed: &Observation) {
        if let Some(max_c) = self.limits.max_gpu_temp_c {
            remember_hot(&mut self.hot, &observed.gpus, max_c as f32);
        }
        let now_w = power(&observed.gpus);
        self.peak_w = match (self.peak_w, now_w) {
            (Some(peak), Some(now)) => Some(now.max(peak * FADE)),
            (peak, now) => now.or(peak),
        };
    }

    fn idle(&self, activity: &Activity) -> Option<Judgement> {
        if !self.limits.idle_only {
            return None;
        }
        let (verdict, finding) = judge_activity(activity);
        Some(Judgement {
            limit: Limit::IdleOnly,
            verdict,
            setting: "only while nobody uses the machine".to_owned(),
            finding,
        })
    }

    fn quiet(&self, minute: Option<u16>) -> Option<Judgement> {
        let spans = &self.limits.quiet_hours;
        if spans.is_empty() {
            return None;
        }
        let texts: Vec<String> = spans.iter().map(ToString::to_string).collect();
        let (verdict, finding) = match minute {
            None => (
                Verdict::Unknown,
                "the local time cannot be read: not applied".to_owned(),
            ),
            Some(minute) => match spans.iter().find(|span| span.contains(minute)) {
                Some(span) => (
                    Verdict::Stops,
                    format!(
                        "it is {}; quiet until {}",
                        Clock(minute),
                        Clock(span.to_minute)
                    ),
                ),
                None => (Verdict::Clear, format!("it is {}", Clock(minute))),
            },
        };
        Some(Judgement {
            limit: Limit::QuietHours,
            verdict,
            setting: format!("never {} local time", texts.join(", ")),
            finding,
        })
    }

    fn temperature(&self, gpus: &[GpuSeen]) -> Option<Judgement> {
        let max_c = self.limits.max_gpu_temp_c?;
        let hottest = gpus
            .iter()
            .filter_map(|gpu| Some((gpu.index, gpu.temp_c.filter(|t| t.is_finite())?)))
            .max_by(|(_, a), (_, b)| a.total_cmp(b));
        let (verdict, finding) = match (self.hot.first(), hottest) {
            (Some(hot), _) => (
                Verdict::Stops,
                format!(
                    "GPU {} was hotter than {max_c} °C{}; serves again at {:.0} °C",
                    hot.index,
                    gpus.iter()
                        .find(|gpu| gpu.index == hot.index)
                        .and_then(|gpu| gpu.temp_c)
                        .map_or(String::new(), |now| format!(" and is at {now:.0} °C")),
                    max_c as f32 - COOL_BY_C,
                ),
            ),
            (None, Some((index, temp))) => (
                Verdict::Clear,
                format!("the hottest, GPU {index}, is at {temp:.0} °C"),
            ),
            (None, None) => (
                Verdict::Unknown,
                "no GPU tells its temperature: not applied".to_owned(),
            ),
        };
        Some(Judgement {
            limit: Limit::GpuTemperature,
            verdict,
            setting: format!("GPUs at most {max_c} °C"),
            finding,
        })
    }

    fn profit(&self, observed: &Observation) -> Option<Judgement> {
        let least = self.limits.min_profit_usd_per_hour?;
        let (verdict, finding) = match (observed.earnings_usd_per_hour, self.electricity()) {
            (None, _) => (
                Verdict::Unknown,
                "the control plane tells no earnings: not applied".to_owned(),
            ),
            (Some(_), None) => (
                Verdict::Unknown,
                "no GPU tells its power, so the electricity is unknown: not applied".to_owned(),
            ),
            (Some(earned), Some(paid)) => {
                let profit = earned - paid;
                // Not "<": a sum that is no number must not count as enough.
                let verdict = if profit >= least {
                    Verdict::Clear
                } else {
                    Verdict::Stops
                };
                (
                    verdict,
                    format!("{earned:.3} USD less {paid:.3} USD of electricity an hour"),
                )
            }
        };
        let tariff = match self.limits.tariff_usd_per_kwh {
            Some(tariff) => format!("electricity at {tariff} USD per kWh"),
            None => "electricity counts nothing without a tariff".to_owned(),
        };
        Some(Judgement {
            limit: Limit::Profit,
            verdict,
            setting: format!("at least {least} USD an hour; {tariff}"),
            finding,
        })
    }

    /// What an hour of the GPUs costs, USD; `None` where a tariff is set and their power is unknown.
    fn electricity(&self) -> Option<f64> {
        match self.limits.tariff_usd_per_kwh {
            None => Some(0.0),
            Some(tariff) => Some(self.peak_w? / 1000.0 * tariff),
        }
    }
}

fn judge_activity(activity: &Activity) -> (Verdict, String) {
    let minutes = |seconds: u64| match seconds {
        0..60 => format!("{seconds} s"),
        _ => format!("{} min", seconds / 60),
    };
    if activity.local_requests > 0 {
        let count = activity.local_requests;
        return (
            Verdict::Stops,
            format!("{count} requests of this machine's own users are running"),
        );
    }
    if let Some(since) = activity.since_local_request_s.filter(|s| *s < IDLE_AFTER_S) {
        return (
            Verdict::Stops,
            format!(
                "this machine's own users asked something {} ago",
                minutes(since)
            ),
        );
    }
    match &activity.input {
        Input::IdleFor(seconds) if *seconds < IDLE_AFTER_S => (
            Verdict::Stops,
            format!("keyboard or mouse moved {} ago", minutes(*seconds)),
        ),
        Input::InUse => (Verdict::Stops, "somebody works at the machine".to_owned()),
        Input::IdleFor(seconds) => (
            Verdict::Clear,
            format!("nobody has used it for {}", minutes(*seconds)),
        ),
        Input::Idle => (Verdict::Clear, "nobody works at the machine".to_owned()),
        Input::Unseen(why) => (
            Verdict::Clear,
            format!("no request of its own users for 5 min; people at it cannot be seen: {why}"),
        ),
    }
}

fn remember_hot(hot: &mut Vec<Hot>, gpus: &[GpuSeen], max_c: f32) {
    for gpu in gpus {
        // A reading that is no number is none.
        let Some(temp) = gpu.temp_c.filter(|t| t.is_finite()) else {
            continue;
        };
        let known = hot.iter().position(|one| one.index == gpu.index);
        match known {
            Some(at) if temp <= max_c - COOL_BY_C => {
                hot.swap_remove(at);
            }
            None if temp > max_c => hot.push(Hot {
                index: gpu.index,
                missed: 0,
            }),
            _ => {}
        }
    }
    hot.retain_mut(|one| {
        let is_read = gpus
            .iter()
            .any(|gpu| gpu.index == one.index && gpu.temp_c.is_some_and(f32::is_finite));
        one.missed = if is_read { 0 } else { one.missed + 1 };
        one.missed < FORGET_AFTER
    });
}

/// Power of all GPUs that tell it, W.
fn power(gpus: &[GpuSeen]) -> Option<f64> {
    gpus.iter()
        .filter_map(|gpu| gpu.power_w.filter(|w| w.is_finite()))
        .map(f64::from)
        .reduce(|a, b| a + b)
}
