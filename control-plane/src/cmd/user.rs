//! `user create|link`: people without the console.

use super::failure::Failure;
use super::{Common, open};
use crate::accounts::{Accounts, Email, NewAccount, Origin, PasswordHasher, Role, Roles};
use anyhow::Context as _;
use dgon_control_plane_store::System;
use dgon_control_plane_store::orgs::MAIN_ORG;
use std::io::Read as _;

const ACTOR: &str = "cli";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Makes a user. Without a password the user signs in with a one-time link, which is printed.
    Create {
        /// Address to sign in with.
        #[arg(long)]
        email: String,
        /// admin, operator, consumer or viewer; give it again for several.
        #[arg(long = "role", default_value = "operator")]
        roles: Vec<Role>,
        /// The organisation that they are in, by its id.
        #[arg(long, value_name = "ID", default_value = MAIN_ORG)]
        org: String,
        /// Reads the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        /// Address of the console in the printed link.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Prints a one-time link: to make the first admin, or to sign in as the user given or the first admin.
    Link {
        /// Whom it signs in.
        #[arg(long)]
        email: Option<String>,
        /// Address of the console in the printed link.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Asks a user who has lost the authenticator app and the recovery codes for no code any more.
    ResetSecondFactor {
        /// Whom.
        #[arg(long)]
        email: String,
    },
}

pub(super) async fn run(common: &Common, command: Command) -> Result<(), Failure> {
    let config = common.load(&[])?;
    let app = open::app(&config).await?;
    let accounts = Accounts::new(&app, PasswordHasher::default());
    match command {
        Command::Create {
            email,
            roles,
            org,
            password_stdin,
            url,
        } => {
            let email = Email::parse(&email)?;
            let roles: Roles = roles.into_iter().collect();
            let password = if password_stdin {
                Some(read_password()?)
            } else {
                None
            };
            let wants_link = password.is_none();
            let new = NewAccount {
                email: email.clone(),
                password,
                org_id: org.clone(),
                roles: roles.clone(),
            };
            let by = System::of_the_server().into();
            accounts
                .user_create(&by, new, ACTOR, &Origin::default())
                .await?;
            println!(
                "made the user {} with the roles {} in the organisation {org}",
                email.as_str(),
                roles.names().join(", ")
            );
            if wants_link {
                let link = accounts.sign_in_link(Some(&email)).await?;
                println!(
                    "sign in once, within an hour: {}",
                    link.at(&url.unwrap_or(config.console_url()))
                );
            }
        }
        Command::ResetSecondFactor { email } => {
            let email = Email::parse(&email)?;
            accounts.second_factor_reset_by_email(&email, ACTOR).await?;
            println!("{} is asked for no code any more", email.as_str());
        }
        Command::Link { email, url } => {
            let email = email.as_deref().map(Email::parse).transpose()?;
            let link = if email.is_none() && accounts.setup_needed().await? {
                accounts.setup_link().await?
            } else {
                accounts.sign_in_link(email.as_ref()).await?
            };
            println!("{}", link.at(&url.unwrap_or(config.console_url())));
        }
    }
    open::seal(&app).await;
    app.store.close().await;
    Ok(())
}

/// The first line of standard input.
fn read_password() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(4 * 1024)
        .read_to_string(&mut text)
        .context("cannot read the password from standard input")?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
