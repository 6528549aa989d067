//! `strftime_now`, which some templates use to tell the model today's date.

use minijinja::{Error, ErrorKind};

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A day of the Gregorian calendar.
#[derive(Debug, PartialEq, Eq)]
struct Date {
    year: i64,
    /// 1 to 12.
    month: i64,
    /// 1 to 31.
    day: i64,
}

/// The date `days` after 1970-01-01, by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn date(days: i64) -> Date {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    Date {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
    }
}

/// `now_s` (unix seconds, taken as UTC) in the form of C's `strftime`. Seconds beyond the years 1 to 9999 are those
/// years' border.
pub(super) fn format(format: &str, now_s: i64) -> Result<String, Error> {
    let now_s = now_s.clamp(-62_135_596_800, 253_402_300_799);
    let days = now_s.div_euclid(86_400);
    let second = now_s.rem_euclid(86_400);
    let Date { year, month, day } = date(days);
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let name = |of: &[&str], at: i64| {
            usize::try_from(at)
                .ok()
                .and_then(|at| of.get(at).map(|s| (*s).to_owned()))
        };
        let short = |name: Option<String>| name.map(|name| name.chars().take(3).collect());
        let weekday = (days + 4).rem_euclid(7);
        let made = match rest.next() {
            Some('Y') => Some(format!("{year:04}")),
            Some('m') => Some(format!("{month:02}")),
            Some('d') => Some(format!("{day:02}")),
            Some('H') => Some(format!("{:02}", second / 3600)),
            Some('M') => Some(format!("{:02}", second / 60 % 60)),
            Some('S') => Some(format!("{:02}", second % 60)),
            Some('B') => name(&MONTHS, month - 1),
            Some('b') => short(name(&MONTHS, month - 1)),
            Some('A') => name(&DAYS, weekday),
            Some('a') => short(name(&DAYS, weekday)),
            Some('%') => Some("%".to_owned()),
            _ => None,
        };
        let made = made.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                "strftime_now: only %Y %m %d %H %M %S %B %b %A %a and %% are known",
            )
        })?;
        out.push_str(&made);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::format;

    /// Made by Python: `datetime.fromtimestamp(t, timezone.utc).strftime(...)`.
    #[test]
    fn dates_are_those_of_python() {
        let all = "%A %a %d %B %b %m %Y %H:%M:%S %%";
        for (now_s, expected) in [
            (0, "Thursday Thu 01 January Jan 01 1970 00:00:00 %"),
            (
                951_827_696,
                "Tuesday Tue 29 February Feb 02 2000 12:34:56 %",
            ),
            (
                1_796_129_999,
                "Tuesday Tue 01 December Dec 12 2026 12:59:59 %",
            ),
            (-1, "Wednesday Wed 31 December Dec 12 1969 23:59:59 %"),
            (4_107_542_400, "Monday Mon 01 March Mar 03 2100 00:00:00 %"),
        ] {
            assert_eq!(format(all, now_s).unwrap(), expected);
        }
        format("%Q", 0).unwrap_err();
        format("%", 0).unwrap_err();
        format("%Y", i64::MAX).unwrap();
        format("%Y", i64::MIN).unwrap();
    }
}
