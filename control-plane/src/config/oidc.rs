//! The file that `oidc_file` names: issuers of OpenID Connect.
//!
//! A file of its own, since settings are single values, which flags and the environment can give as well, and an issuer is
//! five of them. The client's secret stands in yet another file: so this one can be shown, and no secret is an argument,
//! a variable or a line of a configuration that somebody copies.

use super::ConfigError;
use crate::oidc::{ClientSecret, IssuerId, IssuerSettings};
use dgon_control_plane_model::identity::SiteUri;
use serde::Deserialize;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Issuers that people can be offered.
const ISSUERS_MAX: usize = 16;
/// Bytes of such a file.
const FILE_MAX: u64 = 64 * 1024;
/// Characters of a name for people.
const NAME_MAX: usize = 40;
/// Bytes of a client's name or secret.
const CLIENT_MAX: usize = 512;

/// An issuer, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    name: String,
    issuer: String,
    client_id: String,
    #[serde(default)]
    client_secret_file: Option<PathBuf>,
}

/// Reads and checks all of them. Secrets that are named without a folder stand beside the file.
pub(super) fn read(path: &Path) -> Result<Vec<IssuerSettings>, ConfigError> {
    let malformed = |what: String| ConfigError::Malformed {
        path: path.to_owned(),
        what,
    };
    let text = contents(path)?;
    let written: Vec<Written> =
        serde_yaml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    if written.len() > ISSUERS_MAX {
        return Err(malformed(format!("it has more than {ISSUERS_MAX} issuers")));
    }
    let mut issuers: Vec<IssuerSettings> = Vec::new();
    for one in written {
        let place = format!("issuer {:?}", one.id);
        let wrong = |rule: String| malformed(format!("{place}: {rule}"));
        let issuer = checked(&one).map_err(wrong)?;
        let is_known = |known: &IssuerSettings| known.id == issuer.id || known.url == issuer.url;
        if issuers.iter().any(is_known) {
            return Err(wrong(
                "its id or its issuer is that of another one".to_owned(),
            ));
        }
        let secret = one.client_secret_file.as_deref();
        let secret = secret.map(|secret| client_secret(path, secret));
        issuers.push(IssuerSettings {
            client_secret: secret.transpose()?,
            ..issuer
        });
    }
    Ok(issuers)
}

fn contents(path: &Path) -> Result<String, ConfigError> {
    let read = || {
        let mut text = String::new();
        let mut file = std::fs::File::open(path)?.take(FILE_MAX);
        file.read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|source| ConfigError::File {
        path: path.to_owned(),
        source,
    })
}

/// All but the secret.
fn checked(written: &Written) -> Result<IssuerSettings, String> {
    let id = IssuerId::parse(&written.id)
        .ok_or("an id has 1 to 32 of a to z, 0 to 9 and -, for it stands in addresses")?;
    let name = written.name.trim();
    let is_shown = (1..=NAME_MAX).contains(&name.chars().count());
    if !is_shown || name.chars().any(char::is_control) {
        return Err(format!("name has 1 to {NAME_MAX} characters"));
    }
    let url = SiteUri::parse(&written.issuer).map_err(|_| {
        "issuer is what the issuer calls itself, such as https://accounts.example.com; http:// is for this machine alone"
    })?;
    let client_id = written.client_id.trim();
    if client_id.is_empty() || client_id.len() > CLIENT_MAX {
        return Err("client_id is what the issuer calls this server".to_owned());
    }
    Ok(IssuerSettings {
        id,
        name: name.to_owned(),
        url,
        client_id: client_id.to_owned(),
        client_secret: None,
    })
}

fn client_secret(issuers: &Path, secret: &Path) -> Result<ClientSecret, ConfigError> {
    let path = issuers.parent().unwrap_or(Path::new("")).join(secret);
    let text = contents(&path)?;
    let text = text.trim();
    if text.is_empty() || text.len() > CLIENT_MAX || text.chars().any(char::is_control) {
        return Err(ConfigError::Malformed {
            path,
            what: "it holds no secret of a client, which is one line".to_owned(),
        });
    }
    Ok(ClientSecret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("oidc.yaml");
        std::fs::write(&path, text).expect("file");
        std::fs::write(dir.path().join("secret"), "hunter2\n").expect("secret");
        (dir, path)
    }

    const GOOD: &str =
        "- id: test\n  name: Test\n  issuer: https://issuer.example/realms/a\n  client_id: us\n";

    #[test]
    fn issuers_and_their_secrets_are_read() {
        let two = format!(
            "{GOOD}  client_secret_file: secret\n{}",
            GOOD.replace("test", "other").replace("realms/a", "b")
        );
        let (_dir, path) = written(&two);
        let issuers = read(&path).expect("issuers");
        let ids: Vec<&str> = issuers.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["test", "other"]);
        let secret = Some(ClientSecret::new("hunter2".to_owned()));
        assert_eq!(issuers[0].client_secret, secret);
        assert_eq!(issuers[1].client_secret, None);
        assert!(!format!("{issuers:?}").contains("hunter2"));
        let (_dir, path) = written("[]");
        assert_eq!(read(&path).expect("none"), []);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (change, told) in [
            (("id: test", "id: Test"), "an id has"),
            (("name: Test", "name: ' '"), "name has"),
            (("https://issuer", "http://issuer"), "issuer is what"),
            (("client_id: us", "client_id: ''"), "client_id is what"),
            (("client_id: us", "client_secret: x"), "client_secret"),
            (
                ("client_id: us", "client_id: us\n  client_secret_file: none"),
                "cannot read",
            ),
        ] {
            let (_dir, path) = written(&GOOD.replace(change.0, change.1));
            let error = read(&path).expect_err(told).to_string();
            assert!(error.contains(told), "{error}");
        }
        let (_dir, path) = written(&format!("{GOOD}{GOOD}"));
        let error = read(&path).expect_err("twice").to_string();
        assert!(error.contains("another one"), "{error}");
    }
}
