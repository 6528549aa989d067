//! Organisations as admins have them, and for which of theirs a person acts.

use super::page::{self, TimePage};
use super::{AccountError, Accounts, Origin, Person, secret};
use crate::app::AccessChange;
use dgon_control_plane_store::orgs::{MAIN_ORG, Org, OrgChanged};
use serde_json::json;

/// Most characters of a name.
pub(super) const NAME_MAX: usize = 64;

/// Whether a character shows: of those that do not, a name would be another's to all who read it.
fn is_seen(char: char) -> bool {
    let is_hidden = matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !char.is_control() && !is_hidden
}

/// A name as it is kept.
pub(super) fn name(text: &str) -> Result<&str, AccountError> {
    let name = text.trim();
    let is_good = (1..=NAME_MAX).contains(&name.chars().count()) && name.chars().all(is_seen);
    is_good.then_some(name).ok_or(AccountError::OrgName)
}

impl Accounts {
    /// Lets the sign-in of a person act for another organisation that they are in. Their next sign-ins begin with it.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] for one that they are not in, or that is closed; a fault of the store.
    pub async fn act_for(
        &self,
        person: &Person,
        org_id: &str,
        origin: &Origin,
    ) -> Result<Person, AccountError> {
        if org_id.contains('\0') {
            return Err(AccountError::NotFound("organisation"));
        }
        let object = format!("session:{}", person.family_id);
        let audit = self.audit(&person.audit_name(), "session.organisation", object, origin);
        let session = self
            .store
            .session_act_for(&person.own(), &person.family_id, org_id, &audit)
            .await?;
        let session = session.ok_or(AccountError::NotFound("organisation"))?;
        self.access
            .tell(AccessChange::Session(person.family_id.clone()));
        Ok(Person::from(session))
    }

    /// Organisations, for an admin, the newest first.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn org_list(
        &self,
        person: &Person,
        before: Option<(i64, &str)>,
        limit: u32,
    ) -> Result<TimePage<Org>, AccountError> {
        let scope = person.scope();
        let rows = self.store.org_list(&scope, before, page::asked(limit));
        Ok(TimePage::cut(rows.await?, limit, |org| {
            (org.created_at_ms, org.org_id.clone())
        }))
    }

    /// One organisation, for an admin.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] or a fault of the store.
    pub async fn org(&self, person: &Person, org_id: &str) -> Result<Org, AccountError> {
        let org = self.store.org_get(&person.scope(), org_id).await?;
        org.ok_or(AccountError::NotFound("organisation"))
    }

    /// Makes an organisation; its id.
    ///
    /// # Errors
    /// [`AccountError::OrgName`], [`AccountError::OrgNameTaken`] or a fault of the store.
    pub async fn org_create(
        &self,
        person: &Person,
        text: &str,
        origin: &Origin,
    ) -> Result<String, AccountError> {
        let (name, org_id) = (name(text)?, secret::public_id("o")?);
        let object = format!("org:{org_id}");
        let mut audit = self.audit(&person.audit_name(), "org.create", object, origin);
        audit.facts.after = Some(json!({ "name": name }));
        let scope = person.scope();
        let made = self.store.org_create(&scope, &org_id, name, &audit);
        org_changed(made.await?)?;
        Ok(org_id)
    }

    /// Gives an organisation another name.
    ///
    /// # Errors
    /// [`AccountError::OrgName`], [`AccountError::OrgNameTaken`], [`AccountError::NotFound`] or a fault of the store.
    pub async fn org_rename(
        &self,
        person: &Person,
        org_id: &str,
        text: &str,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let name = name(text)?;
        let object = format!("org:{org_id}");
        let audit = self.audit(&person.audit_name(), "org.rename", object, origin);
        let scope = person.scope();
        let renamed = self.store.org_rename(&scope, org_id, name, &audit);
        org_changed(renamed.await?)
    }

    /// Closes an organisation that has no nodes, for good.
    ///
    /// # Errors
    /// [`AccountError::OrgHasNodes`], [`AccountError::MainOrg`], [`AccountError::NotFound`] or a fault of the store.
    pub async fn org_close(
        &self,
        person: &Person,
        org_id: &str,
        reason: &str,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        if org_id == MAIN_ORG {
            return Err(AccountError::MainOrg);
        }
        let object = format!("org:{org_id}");
        let mut audit = self.audit(&person.audit_name(), "org.close", object, origin);
        audit.facts.reason = Some(reason.to_owned());
        audit.facts.before = Some(json!({ "is_closed": false }));
        audit.facts.after = Some(json!({ "is_closed": true }));
        let scope = person.scope();
        let closed = self.store.org_close(&scope, org_id, &audit);
        org_changed(closed.await?)?;
        self.access
            .tell(AccessChange::Organisation(org_id.to_owned()));
        Ok(())
    }
}

fn org_changed(changed: OrgChanged) -> Result<(), AccountError> {
    match changed {
        OrgChanged::Changed | OrgChanged::Unchanged => Ok(()),
        OrgChanged::NoOrganisation => Err(AccountError::NotFound("organisation")),
        OrgChanged::NameTaken => Err(AccountError::OrgNameTaken),
        OrgChanged::HasNodes { nodes } => Err(AccountError::OrgHasNodes { nodes }),
    }
}
