//! `doctor --bundle`: writes the archive and shows what is in it.

use super::super::print;
use crate::doctor::bundle::{self, Manifest};
use crate::doctor::{Report, Subject};
use anyhow::Result;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// An archive that was written.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    bundle: PathBuf,
    #[serde(flatten)]
    manifest: Manifest,
}

pub(super) async fn write(
    subject: &Subject,
    report: &Report,
    file: Option<&Path>,
) -> Result<Written> {
    let path = file.map_or_else(
        || format!("dgon-doctor-{}.tar.gz", crate::clock::unix_s()).into(),
        Path::to_owned,
    );
    let manifest = bundle::write(subject, report, &path).await?;
    Ok(Written {
        bundle: path,
        manifest,
    })
}

impl Written {
    /// What is in it, for a person to judge before it is sent anywhere.
    pub(super) fn text(&self) -> String {
        let mut rows = vec![["FILE", "BYTES", "WHAT"].map(str::to_owned).to_vec()];
        rows.extend(self.manifest.files.iter().map(|file| {
            vec![
                file.name.to_owned(),
                file.bytes.to_string(),
                file.what.to_owned(),
            ]
        }));
        let mut text = format!(
            "\nwrote {}, which only you can read:\n{}",
            self.bundle.display(),
            print::table(&rows)
        );
        for (name, why) in &self.manifest.absent {
            text.push_str(&format!("not in it: {name}: {}\n", print::safe(why)));
        }
        let taken: Vec<String> = self
            .manifest
            .redacted
            .iter()
            .map(|(kind, times)| format!("{kind} ({times})"))
            .collect();
        let taken = if taken.is_empty() {
            "nothing".to_owned()
        } else {
            taken.join(", ")
        };
        text.push_str(&format!(
            "taken out: {taken}\nnever in it: keys, secrets, tokens, receipts, prompts, outputs\nlook at it with: \
             tar -xzOf {} | less\n",
            self.bundle.display()
        ));
        text
    }
}
