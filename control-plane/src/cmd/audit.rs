//! `audit verify`: checks that nobody changed the audit log.

use super::failure::Failure;
use super::{Common, open};
use crate::app::views::AuditHead;
use crate::app::{AuditCheck, Clock, audit_check};
use dgon_control_plane_model::audit_chain::Head;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Reads the whole log and computes its chain. Works while `serve` runs, and without it.
    Verify {
        /// A head that this command or the console showed before, and that you kept where this server's owner cannot change it.
        #[arg(long, value_name = "NUMBER:HASH", value_parser = head)]
        noted: Option<Head>,
    },
}

pub(super) async fn run(common: &Common, command: Command) -> Result<(), Failure> {
    let Command::Verify { noted } = command;
    let config = common.load(&[])?;
    let store = open::as_it_is(&config).await?;
    let check = audit_check(&store, noted, Clock::system().now_ms()).await?;
    store.close().await;
    tell(&check);
    verdict(&check, noted)
}

fn tell(check: &AuditCheck) {
    let (first, head) = (check.chain.removed.seq + 1, check.chain.head);
    match check.rows {
        0 => println!("no rows are chained yet"),
        rows => println!("{rows} rows, {first} to {}", head.seq),
    }
    if check.erased > 0 {
        println!(
            "of {} rows address, reason, before and after were erased",
            check.erased
        );
    }
    if check.not_sealed > 0 {
        println!(
            "{} rows or more are not chained yet: a running server does that within a second",
            check.not_sealed
        );
    }
    let AuditHead { seq, hash } = head.into();
    println!("head {seq}:{hash}");
}

fn verdict(check: &AuditCheck, noted: Option<Head>) -> Result<(), Failure> {
    for fault in &check.faults {
        eprintln!("{fault}");
    }
    if !check.faults.is_empty() {
        let message = "the audit log is not as it was written; keep this database as it is, and compare it with a backup";
        return Err(Failure::other(anyhow::anyhow!(message)));
    }
    if let (Some(noted), Some(false)) = (noted, check.noted_found) {
        let message = if noted.seq > check.chain.head.seq {
            format!(
                "the log ends at {} and you kept {}: what came after was removed",
                check.chain.head.seq, noted.seq
            )
        } else {
            format!(
                "row {} is gone: the log says that it was older than 400 days. If you kept its head since, that is not so, and \
                 the log was made anew",
                noted.seq
            )
        };
        return Err(Failure::other(anyhow::anyhow!(message)));
    }
    println!("nothing is missing, and nothing was changed");
    if noted.is_none() {
        println!(
            "whoever can write to the database could have made all of it anew: keep the head elsewhere, and give it with \
             --noted the next time"
        );
    }
    Ok(())
}

/// Reads `NUMBER:HASH`.
fn head(text: &str) -> Result<Head, String> {
    let wrong =
        || "give a number, a colon and 64 hex digits, as `audit verify` prints them".to_owned();
    let (seq, hash) = text.split_once(':').ok_or_else(wrong)?;
    let seq = seq.parse().map_err(|_| wrong())?;
    if hash.len() != 64 || !hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(hash.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(Head { seq, hash: bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let read = head(&format!("17:{}ff", "00".repeat(31))).expect("a head");
        assert_eq!((read.seq, read.hash[0], read.hash[31]), (17, 0, 255));
        for bad in [
            "",
            "17",
            "17:ff",
            "x:00",
            &format!("1:{}", "zz".repeat(32)),
            &format!("1:{}", "+1".repeat(32)),
        ] {
            assert!(head(bad).is_err(), "{bad}");
        }
    }
}
