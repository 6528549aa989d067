//! The owner's limits as agent.yaml sets them.

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// All limits. The default has none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Serve the network only while nobody uses the machine.
    pub idle_only: bool,
    /// Serve it in none of these spans of the day.
    pub quiet_hours: Vec<QuietSpan>,
    /// Serve it while no GPU is hotter, °C.
    pub max_gpu_temp_c: Option<u32>,
    /// Serve it while it earns at least this per hour after electricity, USD.
    pub min_profit_usd_per_hour: Option<f64>,
    /// Price of electricity, USD per kWh. No limit by itself.
    pub tariff_usd_per_kwh: Option<f64>,
}

impl Limits {
    /// Whether any limit is set.
    pub fn any(&self) -> bool {
        self.idle_only
            || !self.quiet_hours.is_empty()
            || self.max_gpu_temp_c.is_some()
            || self.min_profit_usd_per_hour.is_some()
    }
}

/// A span of the day by the clock on the wall; it may pass midnight.
///
/// A clock that is put forward or back by an hour moves the span with it: what counts is what the clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietSpan {
    /// First minute of the day inside.
    pub from_minute: u16,
    /// First minute of the day after it.
    pub to_minute: u16,
}

impl QuietSpan {
    /// Whether a minute of the day, 0 to 1439, lies inside.
    pub const fn contains(self, minute: u16) -> bool {
        if self.from_minute <= self.to_minute {
            self.from_minute <= minute && minute < self.to_minute
        } else {
            minute >= self.from_minute || minute < self.to_minute
        }
    }
}

impl std::fmt::Display for QuietSpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", Clock(self.from_minute), Clock(self.to_minute))
    }
}

/// A minute of the day as a clock shows it.
#[derive(Debug, Clone, Copy)]
pub struct Clock(pub u16);

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let minute = self.0 % DAY;
        write!(f, "{:02}:{:02}", minute / 60, minute % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_its_first_minute_and_not_its_last() {
        let span = |from_minute, to_minute| QuietSpan {
            from_minute,
            to_minute,
        };
        let day = span(9 * 60, 17 * 60);
        let night = span(22 * 60, 7 * 60);
        for (span, minute, inside) in [
            (day, 539, false),
            (day, 540, true),
            (day, 1019, true),
            (day, 1020, false),
            (night, 1319, false),
            (night, 1320, true),
            (night, 1439, true),
            (night, 0, true),
            (night, 419, true),
            (night, 420, false),
            (night, 720, false),
        ] {
            assert_eq!(span.contains(minute), inside, "{span} at {}", Clock(minute));
        }
        let minutes = |span: QuietSpan| (0..DAY).filter(|minute| span.contains(*minute)).count();
        assert_eq!((minutes(day), minutes(night)), (480, 540));
        assert_eq!(night.to_string(), "22:00-07:00");
    }
}
