//! Private pools, as admins make them, and as those see them who may see what is in them.
//!
//! All of it is refused while the flag is off. What is in a pool then stays as hidden as it was, and nobody is admitted.

use super::page::{self, TimePage};
use super::{AccountError, Accounts, KeyHolder, Origin, Person, Role, secret};
use dgon_control_plane_model::pool::{self, Existence};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::pools::{
    InPool, NewPool, PRIVATE_POOLS, Pool, PoolChange, PoolChanged, PoolFilter, PoolMember,
};
use dgon_control_plane_store::{Scope, System};
use dgon_protocol::id::NodeId;
use serde_json::json;
use std::collections::BTreeMap;

/// What somebody wants of a new pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolWish {
    /// Whose.
    pub org_id: String,
    /// What it is called.
    pub name: String,
    /// What is said about it.
    pub labels: BTreeMap<String, String>,
    /// `hidden` or `listed`; hidden where absent.
    pub existence: Option<String>,
}

/// What somebody wants to be another of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolChangeWish {
    /// What it is called.
    pub name: Option<String>,
    /// What is said about it, in place of all that was.
    pub labels: Option<BTreeMap<String, String>>,
    /// `hidden` or `listed`.
    pub existence: Option<String>,
}

/// A pool with the organisations that it admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolWithMembers {
    /// The pool.
    pub pool: Pool,
    /// In the order in which they came; who is admitted is shown itself alone.
    pub members: Vec<PoolMember>,
}

impl Person {
    /// Whose pools: an admin's are all, everybody else's those of the organisation that the session acts for, and those that
    /// admit it. That a pool is there is no secret within them.
    pub fn pool_scope(&self) -> Scope {
        match &self.org_id {
            _ if self.has(Role::Admin) => Scope::from(System::of_the_server()),
            Some(org_id) => Scope::Organisation(org_id.clone()),
            None => Scope::Stranger,
        }
    }
}

impl KeyHolder {
    /// As [`Person::pool_scope`], for the organisation of the key.
    pub fn pool_scope(&self) -> Scope {
        self.scope()
    }
}

impl Accounts {
    /// # Errors
    /// [`AccountError::PoolsOff`] while private pools are off, or a fault of the store.
    async fn pools_on(&self) -> Result<(), AccountError> {
        match self.flags().await?.is_on(PRIVATE_POOLS) {
            true => Ok(()),
            false => Err(AccountError::PoolsOff),
        }
    }

    /// Pools in sight, the newest first.
    ///
    /// # Errors
    /// [`AccountError::PoolsOff`] or a fault of the store.
    pub async fn pool_list(
        &self,
        scope: &Scope,
        filter: &PoolFilter,
        before: Option<(i64, &str)>,
        limit: u32,
    ) -> Result<TimePage<Pool>, AccountError> {
        self.pools_on().await?;
        let rows = self
            .store
            .pool_list(scope, filter, before, page::asked(limit));
        Ok(TimePage::cut(rows.await?, limit, |pool| {
            (pool.created_at_ms, pool.pool_id.clone())
        }))
    }

    /// One pool in sight.
    ///
    /// # Errors
    /// [`AccountError::PoolsOff`], [`AccountError::Restricted`] for one whose existence is no secret,
    /// [`AccountError::NotFound`], or a fault of the store.
    pub async fn pool(
        &self,
        scope: &Scope,
        pool_id: &str,
    ) -> Result<PoolWithMembers, AccountError> {
        self.pools_on().await?;
        let Some(pool) = self.store.pool_get(scope, pool_id).await? else {
            let what = InPool::Pool(pool_id);
            return Err(match self.store.pool_restricts(scope, what).await? {
                true => AccountError::Restricted,
                false => AccountError::NotFound("pool"),
            });
        };
        let members = self.store.pool_members(scope, pool_id).await?;
        Ok(PoolWithMembers { pool, members })
    }

    /// Makes a pool; its id.
    ///
    /// # Errors
    /// [`AccountError::PoolsOff`], [`AccountError::Pool`], [`AccountError::PoolNameTaken`], [`AccountError::TooManyPools`],
    /// [`AccountError::NotFound`] for the organisation, or a fault of the store.
    pub async fn pool_create(
        &self,
        person: &Person,
        wish: PoolWish,
        reason: Option<&str>,
        origin: &Origin,
    ) -> Result<String, AccountError> {
        self.pools_on().await?;
        let name = pool::name(wish.name.trim())?.to_owned();
        pool::check_labels(&wish.labels)?;
        let existence = existence(wish.existence.as_deref())?.unwrap_or_default();
        if wish.org_id.contains('\0') {
            return Err(AccountError::NotFound("organisation"));
        }
        let pool_id = secret::public_id("pool")?;
        let new = NewPool {
            pool_id: pool_id.clone(),
            org_id: wish.org_id,
            name,
            labels: wish.labels,
            existence: existence.as_str(),
        };
        let audit = self.pool_audit(person, ("pool.create", &pool_id), reason, origin);
        let scope = person.scope();
        let made = self.store.pool_create(&scope, &new, &audit);
        pool_changed(made.await?)?;
        Ok(pool_id)
    }

    /// Changes what a pool is called, what is said about it, and who is told that it exists.
    ///
    /// # Errors
    /// [`AccountError::PoolsOff`], [`AccountError::Pool`], [`AccountError::PoolNameTaken`], [`AccountError::NotFound`] also
    /// for a pool that is closed, or a fault of the store.
    pub async fn pool_change(
        &self,
        person: &Person,
        pool_id: &str,
        wish: PoolChangeWish,
        reason: Option<&str>,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        self.pools_on().await?;
        let name = wish.name.as_deref().map(|name| pool::name(name.trim()));
        if let Some(labels) = &wish.labels {
            pool::check_labels(labels)?;
        }
        let change = PoolChange {
            name: name.transpose()?.map(str::to_owned),
            labels: wish.labels,
            existence: existence(wish.existence.as_deref())?.map(Existence::as_str),
        };
        let audit = self.pool_audit(person, ("pool.change", pool_id), reason, origin);
        let scope = person.scope();
        let changed = self.store.pool_change(&scope, pool_id, &change, &audit);
        pool_changed(changed.await?)
    }

    /// Closes a pool that has no nodes, for good.
    ///
    /// # Errors
    /// [`AccountError::PoolsOff`], [`AccountError::PoolHasNodes`], [`AccountError::NotFound`] or a fault of the store.
    pub async fn pool_close(
        &self,
        person: &Person,
        pool_id: &str,
        reason: &str,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        self.pools_on().await?;
        let audit = self.pool_audit(person, ("pool.close", pool_id), Some(reason), origin);
        let scope = person.scope();
        let closed = self.store.pool_close(&scope, pool_id, &audit);
        pool_changed(closed.await?)
    }

    /// Puts a node into a pool of its organisation, or takes it out.
    ///
    /// # Errors
    /// [`AccountError::PoolsOff`], [`AccountError::OtherPool`], [`AccountError::NodeGone`], [`AccountError::NotFound`] for the
    /// pool or the node, or a fault of the store.
    pub async fn pool_node(
        &self,
        person: &Person,
        pool_id: &str,
        (node_id, is_in): (&NodeId, bool),
        reason: Option<&str>,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        self.pools_on().await?;
        let action = if is_in {
            "pool.put_node"
        } else {
            "pool.take_node"
        };
        let mut audit = self.pool_audit(person, (action, pool_id), reason, origin);
        // What becomes of a node is looked for at the node.
        audit.object = format!("node:{node_id}");
        let (scope, what) = (person.scope(), (pool_id, node_id.as_str()));
        let changed = match is_in {
            true => self.store.pool_put_node(&scope, what, &audit).await?,
            false => self.store.pool_take_node(&scope, what, &audit).await?,
        };
        pool_changed(changed)
    }

    /// Admits an organisation to a pool, or ends that.
    ///
    /// # Errors
    /// [`AccountError::PoolsOff`], [`AccountError::OwnPool`], [`AccountError::TooManyMembers`], [`AccountError::NotFound`] for
    /// the pool or the organisation, or a fault of the store.
    pub async fn pool_member(
        &self,
        person: &Person,
        pool_id: &str,
        (org_id, is_admitted): (&str, bool),
        reason: Option<&str>,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        self.pools_on().await?;
        if org_id.contains('\0') {
            return Err(AccountError::NotFound("organisation"));
        }
        let action = if is_admitted {
            "pool.admit"
        } else {
            "pool.dismiss"
        };
        let mut audit = self.pool_audit(person, (action, pool_id), reason, origin);
        let facts = |is_admitted: bool| json!({ "org_id": org_id, "is_admitted": is_admitted });
        audit.facts.before = Some(facts(!is_admitted));
        audit.facts.after = Some(facts(is_admitted));
        let (scope, whom) = (person.scope(), (pool_id, org_id));
        let changed = match is_admitted {
            true => self.store.pool_admit(&scope, whom, &audit).await?,
            false => self.store.pool_dismiss(&scope, whom, &audit).await?,
        };
        pool_changed(changed)
    }

    /// The open pool of an organisation that is wished for a token of it.
    pub(super) async fn token_pool(
        &self,
        scope: &Scope,
        org_id: &str,
        pool_id: &str,
    ) -> Result<Pool, AccountError> {
        self.pools_on().await?;
        let pool = match pool_id.contains('\0') {
            true => None,
            false => self.store.pool_get(scope, pool_id).await?,
        };
        let pool = pool.filter(|pool| pool.org_id == org_id && pool.closed_at_ms.is_none());
        pool.ok_or(AccountError::TokenPool)
    }

    fn pool_audit(
        &self,
        person: &Person,
        (action, pool_id): (&str, &str),
        reason: Option<&str>,
        origin: &Origin,
    ) -> AuditEntry {
        let object = format!("pool:{pool_id}");
        let mut audit = self.audit(&person.audit_name(), action, object, origin);
        audit.facts.reason = reason.map(str::to_owned);
        audit
    }
}

fn existence(text: Option<&str>) -> Result<Option<Existence>, AccountError> {
    Ok(text.map(Existence::parse).transpose()?)
}

fn pool_changed(changed: PoolChanged) -> Result<(), AccountError> {
    match changed {
        PoolChanged::Changed | PoolChanged::Unchanged => Ok(()),
        PoolChanged::NoPool => Err(AccountError::NotFound("open pool")),
        PoolChanged::NoOrganisation => Err(AccountError::NotFound("organisation")),
        PoolChanged::NoNode => Err(AccountError::NotFound("node")),
        PoolChanged::NameTaken => Err(AccountError::PoolNameTaken),
        PoolChanged::TooManyPools => Err(AccountError::TooManyPools),
        PoolChanged::TooManyMembers => Err(AccountError::TooManyMembers),
        PoolChanged::OwnPool => Err(AccountError::OwnPool),
        PoolChanged::OtherOrganisation => Err(AccountError::OtherPool),
        PoolChanged::Retired => Err(AccountError::NodeGone),
        PoolChanged::HasNodes { nodes } => Err(AccountError::PoolHasNodes { nodes }),
    }
}
