//! Enrolment tokens: made here, shown once, used up by nodes.

use super::page::{self, TimePage};
use super::{AccountError, Accounts, KeyHolder, Origin, Person, secret};
use crate::app::Regions;
use dgon_control_plane_store::Scope;
use dgon_control_plane_store::enrolment_tokens::{EnrolmentTokenRow, NewEnrolmentToken};
use serde_json::json;

const TTL_DEFAULT_S: u32 = 60 * 60;
const TTL_MIN_S: u32 = 60;
const TTL_MAX_S: u32 = 24 * 60 * 60;
const USES_MAX: u32 = 1_000;
const LABEL_MAX: usize = 100;

/// What somebody wants of a new token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenWish {
    /// What its maker calls it.
    pub label: Option<String>,
    /// Region of the nodes that it enrols, one of this network's.
    pub region: Option<String>,
    /// Pool of the nodes that it enrols: an open one of their organisation.
    pub pool_id: Option<String>,
    /// How many nodes it enrols; one by default.
    pub uses: Option<u32>,
    /// How long it works, s; an hour by default.
    pub ttl_s: Option<u32>,
}

/// Who makes a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenMaker<'a> {
    /// Whoever may read the data directory.
    Cli,
    /// A person.
    Person(&'a Person),
    /// A program, for the owner of its key: what ends their tokens ends this one, and so does whoever revokes the key.
    Key(&'a KeyHolder),
}

impl TokenMaker<'_> {
    /// In whose name it is.
    fn owner(&self) -> String {
        match self {
            Self::Cli => "cli".to_owned(),
            Self::Person(person) => person.audit_name(),
            Self::Key(key) => key.owner(),
        }
    }

    fn audit_name(&self) -> String {
        match self {
            Self::Key(key) => key.audit_name(),
            Self::Cli | Self::Person(_) => self.owner(),
        }
    }

    fn key_id(&self) -> Option<String> {
        match self {
            Self::Key(key) => Some(key.id().to_owned()),
            Self::Cli | Self::Person(_) => None,
        }
    }
}

/// A token just made: the only time that its secret is known.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The secret.
    pub token: String,
    /// The rest.
    pub listed: ListedToken,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken")
            .field("id", &self.listed.row.id)
            .finish_non_exhaustive()
    }
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedToken {
    /// As stored.
    pub row: EnrolmentTokenRow,
    /// The nodes that it enrolled.
    pub used_by: Vec<String>,
}

/// Some tokens, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPage {
    /// The tokens.
    pub items: Vec<ListedToken>,
    /// Where the next page starts.
    pub next: Option<(i64, String)>,
    /// How many there are in all.
    pub total: i64,
}

impl TokenWish {
    fn checked(
        &self,
        regions: &Regions,
    ) -> Result<(String, Option<String>, u32, u32), AccountError> {
        let wrong = |what| Err(AccountError::TokenWish(what));
        let printable = |text: &str, max: usize| {
            text.chars().count() <= max && !text.chars().any(char::is_control)
        };
        let label = self.label.as_deref().unwrap_or_default().trim();
        if !printable(label, LABEL_MAX) {
            return wrong("label has at most 100 characters and no control characters");
        }
        let region = self
            .region
            .as_deref()
            .map(str::trim)
            .filter(|region| !region.is_empty());
        if let Some(region) = region {
            regions.check(region)?;
        }
        let uses = self.uses.unwrap_or(1);
        if !(1..=USES_MAX).contains(&uses) {
            return wrong("uses is between 1 and 1000");
        }
        let ttl_s = self.ttl_s.unwrap_or(TTL_DEFAULT_S);
        if !(TTL_MIN_S..=TTL_MAX_S).contains(&ttl_s) {
            return wrong("ttl_s is between 60 and 86400, a day");
        }
        Ok((label.to_owned(), region.map(str::to_owned), uses, ttl_s))
    }
}

impl Accounts {
    /// Makes a token for nodes of `org_id`, which must be in scope.
    ///
    /// # Errors
    /// [`AccountError::TokenWish`], [`AccountError::Region`], [`AccountError::PoolsOff`] and [`AccountError::TokenPool`] where a
    /// pool is wished for, [`AccountError::NotFound`] for an organisation out of scope,
    /// or a fault of the store.
    pub async fn token_create(
        &self,
        scope: &Scope,
        wish: &TokenWish,
        org_id: &str,
        maker: TokenMaker<'_>,
        origin: &Origin,
    ) -> Result<IssuedToken, AccountError> {
        let (label, region, uses, ttl_s) = wish.checked(&self.regions)?;
        let pool = match wish.pool_id.as_deref().filter(|id| !id.is_empty()) {
            Some(pool_id) => Some(self.token_pool(scope, org_id, pool_id).await?),
            None => None,
        };
        let id = secret::public_id("et")?;
        let token = secret::random_text("dgon_enrol_")?;
        let now_ms = self.clock.now_ms();
        let new = NewEnrolmentToken {
            id: id.clone(),
            token_hash: secret::hash(&token),
            label,
            region,
            org_id: Some(org_id.to_owned()),
            pool_id: pool.as_ref().map(|pool| pool.pool_id.clone()),
            created_by: maker.owner(),
            created_at_ms: now_ms,
            expires_at_ms: now_ms + i64::from(ttl_s) * 1_000,
            uses: i64::from(uses),
            key_id: maker.key_id(),
        };
        let mut audit = self.audit(
            &maker.audit_name(),
            "enrolment_token.create",
            format!("enrolment_token:{id}"),
            origin,
        );
        audit.facts.after = Some(json!({
            "org_id": new.org_id, "region": new.region, "uses": new.uses, "ttl_s": ttl_s, "label": new.label,
            "created_by": new.created_by, "pool_id": new.pool_id,
        }));
        if !self
            .store
            .enrolment_token_create(scope, &new, &audit)
            .await?
        {
            return Err(AccountError::NotFound("organisation"));
        }
        let row = EnrolmentTokenRow {
            id,
            label: new.label,
            region: new.region,
            org_id: new.org_id,
            pool_id: new.pool_id,
            pool_name: pool.map(|pool| pool.name),
            created_by: new.created_by,
            created_at_ms: new.created_at_ms,
            expires_at_ms: new.expires_at_ms,
            uses_total: new.uses,
            uses_left: new.uses,
            revoked_at_ms: None,
        };
        Ok(IssuedToken {
            token,
            listed: ListedToken {
                row,
                used_by: Vec::new(),
            },
        })
    }

    /// The tokens that a person may see: all for an admin, those of the own organisation otherwise.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn token_list(
        &self,
        person: &Person,
        before: Option<(i64, &str)>,
        limit: u32,
    ) -> Result<TokenPage, AccountError> {
        let scope = &person.scope();
        let rows = self
            .store
            .enrolment_token_list(scope, before, page::asked(limit));
        let TimePage { items: rows, next } = TimePage::cut(rows.await?, limit, |row| {
            (row.created_at_ms, row.id.clone())
        });
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let used_by = if row.uses_left < row.uses_total {
                self.store.enrolment_token_used_by(scope, &row.id).await?
            } else {
                Vec::new()
            };
            items.push(ListedToken { row, used_by });
        }
        let total = self.store.enrolment_token_count(scope).await?;
        Ok(TokenPage { items, next, total })
    }

    /// Revokes a token that a person may see.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] or a fault of the store.
    pub async fn token_revoke(
        &self,
        person: &Person,
        id: &str,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let mut audit = self.audit(
            &person.audit_name(),
            "enrolment_token.revoke",
            format!("enrolment_token:{id}"),
            origin,
        );
        audit.facts.before = Some(json!({ "is_revoked": false }));
        audit.facts.after = Some(json!({ "is_revoked": true }));
        if self
            .store
            .enrolment_token_revoke(&person.scope(), id, &audit)
            .await?
        {
            Ok(())
        } else {
            Err(AccountError::NotFound("enrolment token"))
        }
    }
}
