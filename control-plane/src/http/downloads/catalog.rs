//! What lies in the folder of packages: name, kind, version, size and SHA-256 of each.
//!
//! A checksum is computed when a file is first seen and again when its size or time changes.

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use utoipa::ToSchema;

/// How the names of packages end, by what they are for. The installer's script knows the same endings.
const KINDS: [&str; 12] = [
    "_amd64.deb",
    "_arm64.deb",
    "-1.x86_64.rpm",
    "-1.aarch64.rpm",
    "-linux-x86_64.tar.gz",
    "-linux-x86_64-musl.tar.gz",
    "-linux-aarch64.tar.gz",
    "-linux-aarch64-musl.tar.gz",
    "-macos-x86_64.tar.gz",
    "-macos-aarch64.tar.gz",
    "-windows-x86_64.zip",
    "-source.tar.gz",
];
/// Files that are served beside the packages.
const OTHERS: [&str; 2] = ["SHA256SUMS", "dgon-agent.rb"];
/// Entries of the folder that are looked at; more are not ours.
const ENTRIES: usize = 1_000;

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Package {
    /// Its file.
    pub name: String,
    /// How its name ends; one per system, processor and format.
    pub kind: String,
    /// Version of the agent.
    pub version: String,
    /// Size, bytes.
    pub bytes: u64,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
}

/// Size, time of the last change, and SHA-256 of a file.
type Seen = (u64, SystemTime, String);

/// The folder of packages.
#[derive(Debug, Default)]
pub struct Catalog {
    folder: Option<PathBuf>,
    seen: Mutex<HashMap<String, Seen>>,
}

impl Catalog {
    /// The packages in `folder`; none where there is no folder.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            seen: Mutex::default(),
        }
    }

    /// The newest package of each kind, by name. Reads the disk.
    ///
    /// # Errors
    /// What the system says of the folder or a file in it.
    pub fn newest(&self) -> io::Result<Vec<Package>> {
        let Some(folder) = &self.folder else {
            return Ok(Vec::new());
        };
        let mut newest: HashMap<&str, (Version, String)> = HashMap::new();
        for entry in std::fs::read_dir(folder)?.take(ENTRIES) {
            let Ok(name) = entry?.file_name().into_string() else {
                continue;
            };
            let Some((version, kind)) = parse(&name) else {
                continue;
            };
            if newest.get(kind).is_none_or(|(best, _)| *best < version) {
                newest.insert(kind, (version, name));
            }
        }
        let mut packages = Vec::new();
        for (kind, (version, name)) in newest {
            if let Some((bytes, sha256)) = self.sum(&folder.join(&name), &name)? {
                let Version(major, minor, patch) = version;
                packages.push(Package {
                    name,
                    kind: kind.to_owned(),
                    version: format!("{major}.{minor}.{patch}"),
                    bytes,
                    sha256,
                });
            }
        }
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(packages)
    }

    /// The file of a name that a caller gave; none where it is not one of ours.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        let is_ours = parse(name).is_some() || OTHERS.contains(&name);
        let folder = self.folder.as_ref().filter(|_| is_ours)?;
        Some(folder.join(name))
    }

    /// Size and SHA-256 of a file; none where the name is not a file's.
    fn sum(&self, path: &Path, name: &str) -> io::Result<Option<(u64, String)>> {
        let facts = std::fs::metadata(path)?;
        if !facts.is_file() {
            return Ok(None);
        }
        let (bytes, changed) = (facts.len(), facts.modified()?);
        let seen = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known_bytes, known_change, sum)) = seen().get(name)
            && (*known_bytes, *known_change) == (bytes, changed)
        {
            return Ok(Some((bytes, sum.clone())));
        }
        let sum = sha256(path)?;
        seen().insert(name.to_owned(), (bytes, changed, sum.clone()));
        Ok(Some((bytes, sum)))
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut sum = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(dgon_protocol::key::hex(&sum.finalize())),
            length => sum.update(&piece[..length]),
        }
    }
}

/// Ordered as people order versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

/// Version and kind of a package by its name; none for every other name.
fn parse(name: &str) -> Option<(Version, &'static str)> {
    let rest = name.strip_prefix("dgon-agent")?;
    let rest = rest.strip_prefix(['-', '_'])?;
    KINDS.into_iter().find_map(|kind| {
        let mut numbers = rest.strip_suffix(kind)?.split('.').map(|number| {
            let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            number.parse::<u32>().ok().filter(|_| is_number)
        });
        let version = Version(numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some((version, kind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_packages_are_known() {
        let known = |name| parse(name).map(|(Version(a, b, c), kind)| (a, b, c, kind));
        assert_eq!(
            known("dgon-agent_1.20.3_amd64.deb"),
            Some((1, 20, 3, "_amd64.deb"))
        );
        assert_eq!(
            known("dgon-agent-0.1.0-linux-x86_64-musl.tar.gz"),
            Some((0, 1, 0, "-linux-x86_64-musl.tar.gz"))
        );
        for name in [
            "dgon-agent_1.2_amd64.deb",
            "dgon-agent_1.2.3.4_amd64.deb",
            "dgon-agent_+1.2.3_amd64.deb",
            "dgon-agent_../1.2.3_amd64.deb",
            "../dgon-agent_1.2.3_amd64.deb",
            "dgon-agent_1.2.3_amd64.deb/../../x",
            "dgon.db",
            "",
        ] {
            assert_eq!(known(name), None, "{name}");
        }
        let catalog = Catalog::new(Some("/srv/packages".into()));
        assert_eq!(catalog.path("master.key"), None);
        assert_eq!(catalog.path("../SHA256SUMS"), None);
        assert_eq!(
            catalog.path("SHA256SUMS"),
            Some("/srv/packages/SHA256SUMS".into())
        );
        assert_eq!(Catalog::default().path("SHA256SUMS"), None);
    }

    #[test]
    fn the_newest_of_a_kind_is_offered_and_a_changed_file_is_summed_anew() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("dgon-agent_0.9.0_amd64.deb", "old");
        write("dgon-agent_0.10.0_amd64.deb", "new");
        write("secret", "no");
        std::fs::create_dir(dir.path().join("dgon-agent_9.9.9_arm64.deb")).unwrap();
        let catalog = Catalog::new(Some(dir.path().to_owned()));
        let packages = catalog.newest().unwrap();
        assert_eq!(packages.len(), 1, "{packages:?}");
        assert_eq!(packages[0].version, "0.10.0");
        let expected = dgon_protocol::key::hex(&Sha256::digest("new"));
        assert_eq!(packages[0].sha256, expected);
        write("dgon-agent_0.10.0_amd64.deb", "newer");
        assert_ne!(catalog.newest().unwrap()[0].sha256, expected);
        assert!(
            Catalog::new(Some(dir.path().join("gone")))
                .newest()
                .is_err()
        );
    }
}
