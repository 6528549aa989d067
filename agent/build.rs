//! Stamps commit and date into the binary, without the network and the same for the same sources.
//!
//! `DGON_COMMIT` and `SOURCE_DATE_EPOCH` win; else git says; else both are `unknown`. Debug builds do not watch
//! git, so that a commit alone does not rebuild them.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=DGON_COMMIT");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").as_deref() == Ok("release")
        && let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
    {
        println!("cargo::rerun-if-changed={log}");
    }
    let unknown = || "unknown".to_owned();
    let commit = std::env::var("DGON_COMMIT")
        .ok()
        .filter(|commit| !commit.is_empty())
        .or_else(|| git(&["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(unknown);
    let date = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .map(date_of)
        .or_else(|| {
            git(&[
                "show",
                "--no-patch",
                "--date=format:%Y-%m-%d",
                "--format=%cd",
                "HEAD",
            ])
        })
        .unwrap_or_else(unknown);
    println!("cargo::rustc-env=DGON_COMMIT={commit}");
    println!("cargo::rustc-env=DGON_BUILD_DATE={date}");
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The UTC day of unix seconds, by counting whole years and months.
fn date_of(seconds: u64) -> String {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut days = seconds / 86_400;
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}
