//! The archive for support: what helps to understand a machine from afar, and nothing that could harm its owner.
//!
//! | module | owns |
//! |---|---|
//! | [`redact`] | taking secrets and private paths out of any text |
//! | `collect` | the files that go in |
//!
//! Invariants: every text passes the redactor, also those that should have nothing to hide. Keys, secrets, tokens,
//! receipts, prompts and outputs are not collected in the first place. The archive is its owner's alone, and never
//! replaces a file.

mod collect;
pub mod redact;

use super::{Report, Subject};
use crate::files;
use flate2::Compression;
use flate2::write::GzEncoder;
use redact::Redactor;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use tar::{Builder, Header};

/// Name of the list within the archive.
const MANIFEST: &str = "manifest.json";

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Something is there already.
    #[error("{} exists already and is not replaced; name another file", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("the archive {} cannot be written", path.display())]
    Write {
        /// The archive.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// One file in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its name in the archive.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Its size, bytes.
    pub bytes: usize,
}

/// What an archive holds. It is in the archive too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// The files.
    pub files: Vec<Entry>,
    /// What was taken out, by kind, and how often.
    pub redacted: BTreeMap<&'static str, usize>,
    /// What was not collected, and why.
    pub absent: BTreeMap<&'static str, String>,
}

/// One collected text.
struct Collected {
    name: &'static str,
    what: &'static str,
    text: String,
}

/// Collects, takes secrets out, and writes the archive to `path`.
///
/// # Errors
/// [`BundleError`]; then there is no archive, or the one that was there.
pub async fn write(
    subject: &Subject,
    report: &Report,
    path: &Path,
) -> Result<Manifest, BundleError> {
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            BundleError::Exists(path.to_owned())
        } else {
            BundleError::Write {
                path: path.to_owned(),
                source,
            }
        }
    };
    let file = files::create_private(path).map_err(failed)?;
    let (mut collected, absent) = collect::all(subject, report).await;
    let mut redactor = Redactor::of(subject);
    let mut entries = Vec::new();
    for one in &mut collected {
        one.text = redactor.clean(&one.text);
        entries.push(Entry {
            name: one.name,
            what: one.what,
            bytes: one.text.len(),
        });
    }
    let manifest = Manifest {
        files: entries,
        absent: absent
            .into_iter()
            .map(|(name, why)| (name, redactor.clean(&why)))
            .collect(),
        redacted: redactor.counts().clone(),
    };
    let written = pack(file, &collected, &manifest);
    if let Err(error) = written {
        // Half an archive helps nobody; the error says why there is none.
        drop(std::fs::remove_file(path));
        return Err(failed(error));
    }
    Ok(manifest)
}

fn pack(file: std::fs::File, collected: &[Collected], manifest: &Manifest) -> io::Result<()> {
    let mut archive = Builder::new(GzEncoder::new(file, Compression::default()));
    let list = serde_json::to_string_pretty(manifest)?;
    append(&mut archive, MANIFEST, &list)?;
    for one in collected {
        append(&mut archive, one.name, &one.text)?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    file.sync_all()
}

fn append<W: io::Write>(archive: &mut Builder<W>, name: &str, text: &str) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(crate::clock::unix_s());
    archive.append_data(&mut header, format!("dgon-doctor/{name}"), text.as_bytes())
}
