//! API keys as people have them: made, listed, revoked. What a key may do is with [`KeyHolder`](super::KeyHolder).

use super::page::{self, TimePage};
use super::{AccountError, Accounts, Origin, Person, orgs};
use dgon_control_plane_model::api_key::{ApiKey, Budget, ModelList, RANDOM_BYTES, Scopes};
use dgon_control_plane_store::api_keys::{ApiKeyMade, ApiKeyRow, NewApiKey};
use serde_json::json;
use zeroize::Zeroizing;

const DAY_MS: i64 = 86_400_000;
/// How long a key lasts where nobody says.
const DAYS_DEFAULT: u32 = 30;
/// Longest life of a key: whoever forgot one is rid of it in a year.
const DAYS_MAX: u32 = 366;

/// What somebody wants of a new key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyWish {
    /// What its owner calls it.
    pub name: String,
    /// Names of scopes.
    pub scopes: Vec<String>,
    /// Ids of models; all without a list.
    pub models: Option<Vec<String>>,
    /// What it may spend in all, nano-USD.
    pub budget_nano_usd: Option<u64>,
    /// How long it lasts, days; 30 where absent.
    pub days: Option<u32>,
}

/// A key just made: the only time that its secret is known.
pub struct IssuedKey {
    /// The whole key.
    pub key: Zeroizing<String>,
    /// The rest.
    pub row: ApiKeyRow,
}

impl std::fmt::Debug for IssuedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedKey")
            .field("id", &self.row.id)
            .finish_non_exhaustive()
    }
}

/// A wish that can be granted.
struct Checked<'a> {
    name: &'a str,
    scopes: Scopes,
    models: Option<Vec<String>>,
    budget: Option<Budget>,
    days: u32,
}

impl KeyWish {
    fn checked(&self) -> Result<Checked<'_>, AccountError> {
        let models = self.models.as_ref();
        let models = models.map(|ids| ModelList::parse(ids.iter().cloned()));
        let budget = self.budget_nano_usd.map(Budget::from_nano_usd);
        let days = self.days.unwrap_or(DAYS_DEFAULT);
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(AccountError::KeyDays);
        }
        Ok(Checked {
            name: orgs::name(&self.name).map_err(|_| AccountError::KeyName)?,
            scopes: Scopes::parse(self.scopes.iter().map(String::as_str))?,
            models: models
                .transpose()?
                .map(|list| list.iter().map(str::to_owned).collect()),
            budget: budget.transpose()?,
            days,
        })
    }
}

impl Accounts {
    /// Makes a key that acts for a person in the organisation that their sign-in acts for.
    ///
    /// # Errors
    /// What is wrong with the wish; [`AccountError::KeyScope`] for what the person may not do themselves,
    /// [`AccountError::NotFresh`], [`AccountError::TooManyKeys`], [`AccountError::TooOften`],
    /// [`AccountError::KeyNotAllowed`] or [`AccountError::SessionEnded`] where their rights ended meanwhile, or a fault of
    /// the store.
    pub async fn key_create(
        &self,
        person: &Person,
        wish: &KeyWish,
        origin: &Origin,
    ) -> Result<IssuedKey, AccountError> {
        let wish = wish.checked()?;
        for scope in wish.scopes.iter() {
            if !scope.is_open_to(person.roles.iter().map(|role| role.as_str())) {
                return Err(AccountError::KeyScope(scope));
            }
        }
        let org_id = person.org_id.as_deref();
        let org_id = org_id.ok_or(AccountError::KeyNotAllowed)?;
        // A key outlasts the sign-in that made it.
        self.must_be_fresh(person).await?;
        self.take_key(&person.user_id)?;
        let mut bytes = Zeroizing::new([0; RANDOM_BYTES]);
        getrandom::fill(bytes.as_mut()).map_err(|_| AccountError::Randomness)?;
        let key = ApiKey::from_random(&bytes);
        let secret_hash = key.secret_hash();
        let object = format!("key:{}", key.id());
        let mut audit = self.audit(&person.audit_name(), "key.create", object, origin);
        let budget_nano_usd = wish.budget.map(Budget::nano_usd);
        audit.facts.after = Some(json!({
            "user_id": person.user_id, "org_id": org_id, "name": wish.name, "scopes": wish.scopes.to_string(),
            "models": wish.models, "budget_nano_usd": budget_nano_usd.map(|budget| budget.to_string()), "days": wish.days,
        }));
        let models = wish.models.map(|models| json!(models).to_string());
        let new = NewApiKey {
            id: key.id().as_str(),
            secret_hash: secret_hash.as_bytes(),
            org_id,
            family_id: &person.family_id,
            name: wish.name,
            scopes: &wish.scopes,
            models: models.as_deref(),
            // A budget fits a column.
            budget_nano_usd: budget_nano_usd
                .map(|budget| i64::try_from(budget).unwrap_or(i64::MAX)),
            expires_at_ms: audit.at_ms + i64::from(wish.days) * DAY_MS,
        };
        match self
            .store
            .api_key_create(&person.own(), &new, &audit)
            .await?
        {
            ApiKeyMade::Made(row) => Ok(IssuedKey {
                key: key.reveal(),
                row: *row,
            }),
            ApiKeyMade::TooMany => Err(AccountError::TooManyKeys),
            ApiKeyMade::NotAllowed => Err(AccountError::KeyNotAllowed),
            ApiKeyMade::NoUser => Err(AccountError::SessionEnded),
        }
    }

    /// A person's own keys, those of all their organisations, the newest first; for an admin those of `user_id`.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn key_list(
        &self,
        person: &Person,
        user_id: Option<&str>,
        before: Option<(i64, &str)>,
        limit: u32,
    ) -> Result<TimePage<ApiKeyRow>, AccountError> {
        let (scope, user_id) = match user_id {
            Some(user_id) => (person.scope(), user_id),
            None => (person.own(), person.user_id.as_str()),
        };
        let rows = self
            .store
            .api_key_list(&scope, user_id, before, page::asked(limit));
        Ok(TimePage::cut(rows.await?, limit, |row| {
            (row.created_at_ms, row.id.clone())
        }))
    }

    /// Revokes a key of a person, or, for an admin, anybody's. Enrolment tokens that it made end with it.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] or a fault of the store.
    pub async fn key_revoke(
        &self,
        person: &Person,
        id: &str,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let scope = match person.scope() {
            all if all.is_system() => all,
            _ => person.own(),
        };
        let object = format!("key:{id}");
        let audit = self.audit(&person.audit_name(), "key.revoke", object, origin);
        match self.store.api_key_revoke(&scope, id, &audit).await? {
            true => Ok(()),
            false => Err(AccountError::NotFound("API key")),
        }
    }
}
