//! A signed-in person: cookies, CSRF, typed enough for tests.

use super::ProgramError;
use crate::kept;
use serde_json::{Value, json};

/// The admin's password.
const PASSWORD: &str = "correct horse battery staple";

/// A session of the admin.
pub struct Session {
    http: reqwest::Client,
    url: String,
    cookies: String,
    csrf: String,
}

fn http(what: &str) -> impl FnOnce(reqwest::Error) -> ProgramError {
    let what = what.to_owned();
    move |source| ProgramError::Http { what, source }
}

async fn read(what: &str, response: reqwest::Response) -> Result<Value, ProgramError> {
    let status = response.status();
    let text = response.text().await.map_err(http(what))?;
    match serde_json::from_str(&text) {
        Ok(value) if status.is_success() => Ok(value),
        _ => Err(ProgramError::Answer {
            what: what.to_owned(),
            answer: format!("{status} {text}"),
        }),
    }
}

impl Session {
    /// Uses a one-time token; `setup` makes the first admin with it.
    pub(super) async fn open(
        client: reqwest::Client,
        url: String,
        setup: bool,
        token: &str,
    ) -> Result<Self, ProgramError> {
        let (path, body) = if setup {
            let body = json!({"token": token, "email": "admin@example.org", "password": PASSWORD});
            ("/api/v1/auth/setup", body)
        } else {
            ("/api/v1/auth/redeem", json!({"token": token}))
        };
        kept::secret("password", PASSWORD);
        let request = client
            .post(format!("{url}{path}"))
            .header("origin", &url)
            .json(&body);
        let response = request.send().await.map_err(http(path))?;
        let pairs = response
            .headers()
            .get_all("set-cookie")
            .iter()
            .filter_map(|cookie| cookie.to_str().ok()?.split(';').next().map(str::to_owned));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        let me = read(path, response).await?;
        let csrf = me["csrf_token"].as_str().unwrap_or_default().to_owned();
        for (_, value) in cookies.split("; ").filter_map(|pair| pair.split_once('=')) {
            kept::secret("cookie", value);
        }
        kept::secret("CSRF token", &csrf);
        Ok(Self {
            http: client,
            url,
            cookies,
            csrf,
        })
    }

    /// GET of a path below `/api/v1`.
    ///
    /// # Errors
    /// Anything but a JSON answer of status 2xx.
    pub async fn get(&self, path: &str) -> Result<Value, ProgramError> {
        let request = self
            .http
            .get(format!("{}/api/v1{path}", self.url))
            .header("cookie", &self.cookies);
        read(path, request.send().await.map_err(http(path))?).await
    }

    /// GET of a path below `/api/v1`: the bytes as they are.
    ///
    /// # Errors
    /// Anything but an answer of status 2xx.
    pub async fn get_bytes(&self, path: &str) -> Result<Vec<u8>, ProgramError> {
        let request = self
            .http
            .get(format!("{}/api/v1{path}", self.url))
            .header("cookie", &self.cookies);
        let response = request.send().await.map_err(http(path))?;
        let response = response.error_for_status().map_err(http(path))?;
        Ok(response.bytes().await.map_err(http(path))?.to_vec())
    }

    /// POST of a path below `/api/v1`, with the CSRF header.
    ///
    /// # Errors
    /// Anything but a JSON answer of status 2xx.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ProgramError> {
        let request = self
            .http
            .post(format!("{}/api/v1{path}", self.url))
            .header("cookie", &self.cookies)
            .header("x-csrf-token", &self.csrf)
            .header("origin", &self.url)
            .json(body);
        read(path, request.send().await.map_err(http(path))?).await
    }

    /// All receipts of the store that fit `filter` (a query without `?`), page by page.
    ///
    /// # Errors
    /// A page cannot be read.
    pub async fn receipts(&self, filter: &str) -> Result<Vec<Value>, ProgramError> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/receipts?limit=200&{filter}{cursor}");
            let page = self.get(&path).await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            all.extend(items);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }
}
