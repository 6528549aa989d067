//! `token create`: an enrolment token without the console.

use super::failure::Failure;
use super::{Common, open};
use crate::accounts::{Accounts, Origin, PasswordHasher, TokenMaker, TokenWish};
use crate::http::account::tokens::EnrolmentTokenCreated;
use dgon_control_plane_store::System;
use dgon_control_plane_store::orgs::MAIN_ORG;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Prints a new enrolment token. It is shown this once.
    Create {
        /// How many nodes it enrols.
        #[arg(long, default_value_t = 1)]
        uses: u32,
        /// How long it works: a number and s, m, h or d.
        #[arg(long, default_value = "1h", value_parser = seconds)]
        ttl: u32,
        /// Region of the nodes that it enrols, one of the setting `regions`.
        #[arg(long)]
        region: Option<String>,
        /// The organisation that its nodes belong to, by its id.
        #[arg(long, value_name = "ID", default_value = MAIN_ORG)]
        org: String,
        /// A private pool of that organisation, by its id, which its nodes are in from the start.
        #[arg(long, value_name = "ID")]
        pool: Option<String>,
        /// What you call it.
        #[arg(long)]
        label: Option<String>,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(common: &Common, command: Command) -> Result<(), Failure> {
    let Command::Create {
        uses,
        ttl,
        region,
        org,
        pool,
        label,
        json,
    } = command;
    let config = common.load(&[])?;
    let app = open::app(&config).await?;
    let accounts = Accounts::new(&app, PasswordHasher::default());
    let wish = TokenWish {
        label,
        region,
        pool_id: pool,
        uses: Some(uses),
        ttl_s: Some(ttl),
    };
    let issued = accounts
        .token_create(
            &System::of_the_server().into(),
            &wish,
            &org,
            TokenMaker::Cli,
            &Origin::default(),
        )
        .await?;
    let created = EnrolmentTokenCreated::from(issued);
    if json {
        println!(
            "{}",
            serde_json::to_string(&created).map_err(Failure::other)?
        );
    } else {
        println!("{}", created.token);
        eprintln!(
            "enrols {uses} node(s) until {}; it is shown this once",
            created.listed.expires_at
        );
    }
    open::seal(&app).await;
    app.store.close().await;
    Ok(())
}

/// Reads `90s`, `15m`, `1h`, `1d`.
fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || "give a number and s, m, h or d, such as 15m".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor: u32 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - unit.len_utf8()]
        .parse()
        .map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_read() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("15m"), Ok(900));
        assert_eq!(seconds("1d"), Ok(86_400));
        for bad in ["", "h", "1", "1w", "-1h", "9999999d", "1é"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
