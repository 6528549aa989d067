//! Accounts that people make themselves, where an admin has opened that.

use super::orgs;
use super::{AccountError, Accounts, Email, Origin, Role, Roles, SignedIn, rights, secret};
use dgon_control_plane_store::System;
use dgon_control_plane_store::registration::{NewOrg, UserRegistered};
use dgon_control_plane_store::sessions::SessionProof;

/// Whether anybody can make an account.
pub const OPEN_REGISTRATION: &str = "open_registration";

impl Accounts {
    /// Whether anybody can make an account now.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn registration_is_open(&self) -> Result<bool, AccountError> {
        Ok(self.flags().await?.is_on(OPEN_REGISTRATION) && !self.setup_needed().await?)
    }

    /// Makes an account with an organisation of its own, in which it runs nodes and uses the network, and signs in. Nobody
    /// checks whose the address is: it is a name to sign in with, and nothing is sent to it.
    ///
    /// # Errors
    /// [`AccountError::RegistrationClosed`], [`AccountError::Email`], [`AccountError::Password`], [`AccountError::OrgName`],
    /// [`AccountError::EmailTaken`], [`AccountError::OrgNameTaken`], [`AccountError::TooOften`], [`AccountError::Busy`] or a
    /// fault of the store.
    pub async fn register(
        &self,
        email: &str,
        password: String,
        organisation: &str,
        origin: &Origin,
    ) -> Result<SignedIn, AccountError> {
        if !self.registration_is_open().await? {
            return Err(AccountError::RegistrationClosed);
        }
        let email = Email::parse(email)?;
        let name = orgs::name(organisation)?;
        let password_hash = self.hasher.hash(password, self.lane(origin)).await?;
        let org_id = secret::public_id("o")?;
        let roles: Roles = [Role::Operator, Role::Consumer].into_iter().collect();
        let mut user = self.new_user(email, Some(password_hash), &org_id, &roles)?;
        let whose = format!("user:{}", user.user_id);
        user.membership.created_by.clone_from(&whose);
        let mut audit = self.audit(&whose, "user.register", whose.clone(), origin);
        audit.facts.after = Some(rights(&user));
        let org = NewOrg {
            org_id: &org_id,
            name,
        };
        let by = System::of_the_server();
        // An account that was not made is no row: whoever tries in vain shuts nobody out.
        self.take_registration()?;
        let made = self.store.user_register(by, &user, &org, &audit).await;
        if !matches!(made, Ok(UserRegistered::Registered)) {
            self.give_back_registration();
        }
        match made? {
            UserRegistered::Registered => {}
            UserRegistered::EmailTaken => return Err(AccountError::EmailTaken),
            UserRegistered::OrgNameTaken => return Err(AccountError::OrgNameTaken),
        }
        let started = self.start(&user.user_id, SessionProof::Registration, origin);
        started.await?.ok_or(AccountError::WrongCredentials)
    }
}
