//! One-time links: the set-up of the first admin, and sign-in without a password.

use super::{AccountError, Accounts, Email, Lane, Origin, Person, Roles, SignedIn, rights, secret};
use dgon_control_plane_store::System;
use dgon_control_plane_store::links::{NewLink, SetupDone};
use dgon_control_plane_store::orgs::MAIN_ORG;
use dgon_control_plane_store::sessions::SessionProof;

const SETUP_MS: i64 = 24 * 60 * 60 * 1_000;
const SIGN_IN_MS: i64 = 60 * 60 * 1_000;
/// It goes from an admin to somebody else, who may sleep.
const INVITATION_MS: i64 = 24 * 60 * 60 * 1_000;
const CLI: &str = "cli";

/// A link that works once: the part after the console's address. The secret is in the fragment, which browsers
/// do not send.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    path: &'static str,
    token: String,
    expires_at_ms: i64,
}

impl Link {
    /// The link at this address of the console.
    pub fn at(&self, console: &str) -> String {
        format!(
            "{}{}#token={}",
            console.trim_end_matches('/'),
            self.path,
            self.token
        )
    }

    /// Last moment of use, unix ms.
    pub fn expires_at_ms(&self) -> i64 {
        self.expires_at_ms
    }

    /// The secret.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({})", self.path)
    }
}

impl Accounts {
    /// Makes a link for the set-up of the first admin.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn setup_link(&self) -> Result<Link, AccountError> {
        let by = (CLI, &Origin::default());
        self.link(None, "/setup", SETUP_MS, by).await
    }

    /// Makes a link that signs a user in: the one with this email, or the first admin.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] or a fault of the store.
    pub async fn sign_in_link(&self, email: Option<&Email>) -> Result<Link, AccountError> {
        let user = match email {
            Some(email) => {
                self.store
                    .user_by_email(System::of_the_server(), email.as_str())
                    .await?
            }
            None => self.store.user_first_admin(System::of_the_server()).await?,
        };
        let user = user
            .filter(|user| user.disabled_at_ms.is_none())
            .ok_or(AccountError::NoUser)?;
        let by = (CLI, &Origin::default());
        self.link(Some(user.user_id), "/sign-in", SIGN_IN_MS, by)
            .await
    }

    /// Makes a link that signs somebody in, for an admin to pass on.
    ///
    /// # Errors
    /// [`AccountError::NotFresh`], [`AccountError::NotFound`], [`AccountError::Disabled`] or a fault of the store.
    pub async fn invitation(
        &self,
        person: &Person,
        user_id: &str,
        origin: &Origin,
    ) -> Result<Link, AccountError> {
        // It is as good as a password: not by a browser that was left signed in.
        self.must_be_fresh(person).await?;
        let member = self.member(person, user_id).await?;
        if member.user.disabled_at_ms.is_some() {
            return Err(AccountError::Disabled);
        }
        let by = (person.audit_name(), origin);
        let user_id = Some(member.user.user_id);
        self.link(user_id, "/sign-in", INVITATION_MS, (&by.0, by.1))
            .await
    }

    async fn link(
        &self,
        user_id: Option<String>,
        path: &'static str,
        lifetime_ms: i64,
        (actor, origin): (&str, &Origin),
    ) -> Result<Link, AccountError> {
        let token = secret::random_text("")?;
        let now_ms = self.clock.now_ms();
        let object = match &user_id {
            Some(user_id) => format!("user:{user_id}"),
            None => "user:first".to_owned(),
        };
        let link = NewLink {
            token_hash: secret::hash(&token),
            user_id,
            created_by: actor.to_owned(),
            created_at_ms: now_ms,
            expires_at_ms: now_ms + lifetime_ms,
        };
        let audit = self.audit(actor, "link.create", object, origin);
        let by = System::of_the_server();
        if !self.store.link_create(by, &link, &audit).await? {
            return Err(AccountError::Disabled);
        }
        Ok(Link {
            path,
            token,
            expires_at_ms: link.expires_at_ms,
        })
    }

    /// Makes the first admin with a set-up link, and signs in.
    ///
    /// # Errors
    /// [`AccountError::LinkInvalid`], also when there is a user already; [`AccountError::Password`].
    pub async fn setup(
        &self,
        token: &str,
        email: &str,
        password: String,
        origin: &Origin,
    ) -> Result<SignedIn, AccountError> {
        let email = Email::parse(email)?;
        let token_hash = secret::hash(token);
        // The work of hashing is for holders of a link only.
        let now_ms = self.clock.now_ms();
        if !self
            .store
            .link_setup_is_valid(System::of_the_server(), &token_hash, now_ms)
            .await?
        {
            return Err(AccountError::LinkInvalid);
        }
        let password_hash = self
            .hasher
            .hash(password, Lane::Known("set-up".to_owned()))
            .await?;
        let mut user =
            self.new_user(email, Some(password_hash), MAIN_ORG, &Roles::first_admin())?;
        let object = format!("user:{}", user.user_id);
        user.membership.created_by.clone_from(&object);
        let mut audit = self.audit(&object, "user.setup", object.clone(), origin);
        audit.facts.after = Some(rights(&user));
        match self
            .store
            .link_setup(System::of_the_server(), &token_hash, &user, &audit)
            .await?
        {
            SetupDone::LinkInvalid => Err(AccountError::LinkInvalid),
            SetupDone::Created => {
                let signed_in = self
                    .start(&user.user_id, SessionProof::Setup, origin)
                    .await?;
                signed_in.ok_or(AccountError::LinkInvalid)
            }
        }
    }

    /// Signs in with a one-time link.
    ///
    /// # Errors
    /// [`AccountError::LinkInvalid`] or a fault of the store.
    pub async fn redeem(&self, token: &str, origin: &Origin) -> Result<SignedIn, AccountError> {
        let (by, hash) = (System::of_the_server(), secret::hash(token));
        let owner = self.store.link_owner(by, &hash, self.clock.now_ms());
        let user_id = owner.await?.ok_or(AccountError::LinkInvalid)?;
        let proof = SessionProof::Link(&hash);
        let signed_in = self.start(&user_id, proof, origin).await?;
        signed_in.ok_or(AccountError::LinkInvalid)
    }
}
