//! Speaking to the service manager that started this process (systemd's notify protocol).
//!
//! Where no service manager listens, everything here does nothing. What is sent is short and holds no secrets.

use std::time::Duration;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as os;
#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
use other as os;

pub use os::Notifier;

/// Longest status line; the protocol's datagrams have a limit.
const STATUS_CHARS: usize = 300;

/// The proxy listens.
pub const READY: &str = "READY=1";
/// The agent is about to end.
pub const STOPPING: &str = "STOPPING=1";
/// It makes progress.
pub const WATCHDOG: &str = "WATCHDOG=1";

/// A line for `systemctl status`, kept to one line and short.
pub fn status(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(STATUS_CHARS)
        .collect();
    format!("STATUS={text}")
}

/// Asks for at least this much time before the process is killed.
pub fn extend_timeout(time: Duration) -> String {
    format!("EXTEND_TIMEOUT_USEC={}", time.as_micros())
}

/// How often the watchdog wants to be fed; `None` where there is none, or it watches another process.
pub fn watchdog_every(environment: &dyn Fn(&str) -> Option<String>) -> Option<Duration> {
    let mine =
        environment("WATCHDOG_PID").is_none_or(|pid| pid.trim().parse() == Ok(std::process::id()));
    let limit_us: u64 = environment("WATCHDOG_USEC")?.trim().parse().ok()?;
    (mine && limit_us > 0).then(|| Duration::from_micros(limit_us / 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_watchdogs_limit_is_its_feeding_time() {
        let given = |pid: Option<String>, limit: Option<&str>| {
            watchdog_every(&|name| match name {
                "WATCHDOG_PID" => pid.clone(),
                "WATCHDOG_USEC" => limit.map(str::to_owned),
                _ => None,
            })
        };
        let own = Some(std::process::id().to_string());
        let every = Some(Duration::from_secs(10));
        assert_eq!(given(own.clone(), Some("30000000")), every);
        assert_eq!(given(None, Some("30000000")), every);
        assert_eq!(given(Some("1".to_owned()), Some("30000000")), None);
        assert_eq!(given(own.clone(), Some("0")), None);
        assert_eq!(given(own.clone(), Some("soon")), None);
        assert_eq!(given(own, None), None);
    }

    #[test]
    fn a_status_is_one_short_line() {
        assert_eq!(status("a\nREADY=1"), "STATUS=a READY=1");
        assert_eq!(status(&"é".repeat(1_000)).chars().count(), 307);
    }
}
