//! Which page of a list, alike for every list.

use serde::Deserialize;
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

impl PageParams {
    /// The cursor; an empty one is none.
    pub fn after(&self) -> Option<&str> {
        self.cursor.as_deref().filter(|cursor| !cursor.is_empty())
    }
}
