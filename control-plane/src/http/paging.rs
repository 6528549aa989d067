//! Which page of a list, alike for every list.

use super::error::ApiError;
use serde::Deserialize;
use std::fmt::Display;
use std::str::FromStr;
use utoipa::IntoParams;

/// Which page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// Rows of a page, 1 to 200; 50 where absent.
    // `parameters` reads the bounds out of the document and refuses what lies outside.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before, with the same filters and order.
    pub cursor: Option<String>,
}

/// Rows of a page where the address does not say.
const LIMIT_DEFAULT: u32 = 50;

/// The cursor of a list by time, as [`PageParams::place`] reads it.
pub(super) fn cursor<T: Display>((at_ms, id): (i64, T)) -> String {
    format!("{at_ms}.{id}")
}

impl PageParams {
    /// Rows of the page.
    pub fn rows(&self) -> u32 {
        self.limit.unwrap_or(LIMIT_DEFAULT)
    }

    /// The cursor; an empty one is none.
    pub fn after(&self) -> Option<&str> {
        self.cursor.as_deref().filter(|cursor| !cursor.is_empty())
    }

    /// The cursor of a list by time: the time of its last row, unix ms, a dot, and its id.
    ///
    /// # Errors
    /// `invalid_request` for one that such a list does not give.
    pub fn place<T: FromStr>(&self) -> Result<Option<(i64, T)>, ApiError> {
        let Some(cursor) = self.after() else {
            return Ok(None);
        };
        let parts = cursor.split_once('.');
        let place = parts.and_then(|(at_ms, id)| Some((at_ms.parse().ok()?, id.parse().ok()?)));
        let wrong = || ApiError::invalid("cursor is not one that this list gave");
        let place = place.ok_or_else(|| wrong().with("parameter", "cursor"));
        place.map(Some)
    }
}
