//! A part of a list by time, alike for every such list.

/// Most rows of a part.
const ROWS_MAX: u32 = 200;

/// Some rows, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimePage<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next part starts: time of the last row, unix ms, and its id.
    pub next: Option<(i64, String)>,
}

/// Rows to ask for, so that it shows whether there are more than `limit`.
pub(super) fn asked(limit: u32) -> i64 {
    i64::from(limit.clamp(1, ROWS_MAX)) + 1
}

impl<T> TimePage<T> {
    /// The first `limit` of the rows that were [`asked`] for.
    pub(super) fn cut(mut items: Vec<T>, limit: u32, place: impl Fn(&T) -> (i64, String)) -> Self {
        let has_more = items.len() as i64 == asked(limit);
        if has_more {
            items.pop();
        }
        let next = items.last().filter(|_| has_more).map(place);
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_part_starts_after_the_last_row() {
        let cut = |rows: i64, limit| {
            let rows = (0..rows).collect();
            TimePage::cut(rows, limit, |row: &i64| (*row, format!("r{row}")))
        };
        let next = |last: i64| Some((last, format!("r{last}")));
        assert_eq!((cut(3, 2).items, cut(3, 2).next), (vec![0, 1], next(1)));
        assert_eq!((cut(2, 2).items, cut(2, 2).next), (vec![0, 1], None));
        assert_eq!((cut(0, 2).items, cut(0, 2).next), (vec![], None));
        // Limits that nobody should send.
        assert_eq!((asked(0), asked(u32::MAX)), (2, 201));
        assert_eq!(cut(2, 0).next, next(0));
    }
}
