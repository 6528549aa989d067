//! The audit log: a list, and the whole of it as CSV.

use super::params;
use crate::accounts::{Person, Role};
use crate::app::views::{AuditEntryView, AuditPage, time};
use crate::app::{App, Asker};
use crate::http::auth::Actor;
use crate::http::error::ApiError;
use crate::http::extract::Query;
use crate::http::paging::{PageParams, cursor};
use crate::http::state::HttpState;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dgon_control_plane_store::audit::{AuditFilter, AuditRow};
use dgon_protocol::key::hex;
use futures_util::stream;
use http::header;
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use utoipa::IntoParams;

/// Rows of a CSV that are read at once.
const CSV_ROWS: i64 = 500;

/// Filters of the audit log.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditFilterParams {
    /// Who: `user:ID`, `key:ID` (an API key), `node:ID`, `token:ID`, `anonymous`, `cli` or `system`; or the e-mail address of a person.
    actor: Option<String>,
    /// What, such as `flag.set`.
    action: Option<String>,
    /// To which object: `kind:ID`, or the e-mail address of a person.
    object: Option<String>,
    /// The request that did it.
    request_id: Option<String>,
    /// At or after: RFC 3339, or a date.
    from: Option<String>,
    /// Before: RFC 3339, or a date.
    to: Option<String>,
}

impl AuditFilterParams {
    fn read(self) -> Result<AuditFilter, ApiError> {
        Ok(AuditFilter {
            actor: params::text("actor", self.actor)?,
            action: params::text("action", self.action)?,
            object: params::text("object", self.object)?,
            request_id: params::text("request_id", self.request_id)?,
            from_ms: params::moment("from", self.from)?,
            to_ms: params::moment("to", self.to)?,
        })
    }
}

/// A row's place in the list.
fn cursor_of(row: &AuditRow) -> (i64, i64) {
    (row.at_ms, row.id)
}

/// The audit log, the newest first: who did what to which object, why, from where and when.
///
/// # Errors
/// `unauthorized`, `forbidden`, `invalid_request`.
#[utoipa::path(get, path = "/api/v1/audit", tag = "admin", params(AuditFilterParams, PageParams),
    responses((status = 200, description = "A page of the log, and where its chain ends.", body = AuditPage)))]
pub async fn audit_list(
    State(state): State<HttpState>,
    actor: Actor,
    Query(filter): Query<AuditFilterParams>,
    Query(page): Query<PageParams>,
) -> Result<Json<AuditPage>, ApiError> {
    let scope = actor.require(&[Role::Admin])?.scope();
    let filter = filter.read()?;
    let before = page.place()?;
    let limit = i64::from(page.rows());
    let store = &state.app.store;
    let mut rows = store.audit_list(&scope, &filter, before, limit + 1).await?;
    let has_more = rows.len() as i64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or_default());
    let last = rows.last().filter(|_| has_more).map(cursor_of);
    let chain = state.app.audit_chain().await?;
    Ok(Json(AuditPage {
        items: rows.iter().map(AuditEntryView::of).collect(),
        next_cursor: last.map(cursor),
        begins_after: chain.removed.into(),
        head: chain.head.into(),
    }))
}

/// The audit log as CSV, the newest first, with what is needed to compute its chain: `facts` and `salt` give `commitment`,
/// and this with the columns before it gives `hash`. Sort by `seq`; the hash before the first row is `begins_after` of the list.
///
/// # Errors
/// `unauthorized`, `forbidden`, `invalid_request`.
#[utoipa::path(get, path = "/api/v1/audit.csv", tag = "admin", params(AuditFilterParams),
    responses((status = 200, description = "All rows of the filter.", content_type = "text/csv", body = String)))]
pub async fn audit_csv(
    State(state): State<HttpState>,
    actor: Actor,
    Query(filter): Query<AuditFilterParams>,
) -> Result<Response, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let reading = Reading {
        asker: Asker::Person(person.user_id.clone()),
        person: person.clone(),
        app: Arc::clone(&state.app),
        filter: filter.read()?,
        part: Part::Head,
    };
    let parts = stream::try_unfold(reading, Reading::next);
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"audit.csv\"",
        ),
    ];
    Ok((headers, Body::from_stream(parts)).into_response())
}

/// What of the file comes next.
enum Part {
    Head,
    /// Rows before this place.
    Rows(Option<(i64, i64)>),
}

/// A file under way: a page of rows at a time, and none while nobody takes it.
struct Reading {
    person: Person,
    asker: Asker,
    app: Arc<App>,
    filter: AuditFilter,
    part: Part,
}

impl Reading {
    async fn next(mut self) -> io::Result<Option<(Vec<u8>, Self)>> {
        let bytes = match self.part {
            Part::Head => {
                self.part = Part::Rows(None);
                line(&COLUMNS)
            }
            Part::Rows(before) => {
                let rows = self.rows(before).await.inspect_err(broken_off)?;
                match rows.last() {
                    Some(last) => {
                        self.part = Part::Rows(Some(cursor_of(last)));
                        rows.iter().flat_map(row_line).collect()
                    }
                    None => return Ok(None),
                }
            }
        };
        Ok(Some((bytes, self)))
    }

    /// Each page waits for its turn like any other, and is for whom is still signed in.
    async fn rows(&self, before: Option<(i64, i64)>) -> io::Result<Vec<AuditRow>> {
        let _turn = self.app.turns.take(self.asker.clone()).await;
        let (store, person) = (&self.app.store, &self.person);
        let now = person.now(store, self.app.clock.now_ms());
        if now.await.map_err(io::Error::other)?.as_ref() != Some(person) {
            return Err(io::Error::other(
                "the session has ended, or may do other things",
            ));
        }
        let scope = person.scope();
        let rows = store.audit_list(&scope, &self.filter, before, CSV_ROWS);
        rows.await.map_err(io::Error::other)
    }
}

/// The connection is cut, which a client takes for what it is; a file that merely ended would look whole.
fn broken_off(error: &io::Error) {
    tracing::warn!(%error, "a file of the audit log was broken off");
}

const COLUMNS: [&str; 12] = [
    "id",
    "seq",
    "at",
    "at_ms",
    "actor",
    "action",
    "object",
    "request_id",
    "facts",
    "salt",
    "commitment",
    "hash",
];

fn row_line(row: &AuditRow) -> Vec<u8> {
    let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
    let bytes = |value: &Option<Vec<u8>>| value.as_deref().map(hex).unwrap_or_default();
    line(&[
        number(Some(row.id)),
        number(row.seq),
        time(row.at_ms),
        number(Some(row.at_ms)),
        row.actor.clone(),
        row.action.clone(),
        row.object.clone(),
        row.request_id.clone().unwrap_or_default(),
        row.facts.clone().unwrap_or_default(),
        bytes(&row.salt),
        bytes(&row.commitment),
        bytes(&row.hash),
    ])
}

/// A line of CSV (RFC 4180).
fn line<T: AsRef<[u8]>>(fields: &[T]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = writer.write_record(fields);
    writer.into_inner().unwrap_or_default()
}
