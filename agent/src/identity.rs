//! Who this node is: the receipt key, the enrolled name, the HMAC secret.
//!
//! `node.key` holds the private key and exists before the control plane hears of the public one. `node.secret`
//! holds what enrolment gave. Both are their owner's alone; a file that others can read is refused, because its secret
//! may be known already. Nothing here is ever printed but public keys.

use crate::config::{BaseUrl, Config, StateDir};
use crate::files::{self, Exposure};
use crate::own_command::own_command;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_protocol::frame::LINK_PATH;
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, Zeroizing};

/// First word of the key file.
const KEY_PREFIX: &str = "dgon-ed25519-seed:";
/// Largest identity file, bytes.
const FILE_BYTES: u64 = 4096;
/// Context of the key that prompt hashes are made with.
const PROMPT_CONTEXT: &str = "dgon prompt_hash v1";

/// Why the identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// This machine is not enrolled.
    #[error(
        "this machine is not enrolled ({} is missing); run `{}` with a token from the console's page Run a Node",
        .0.display(),
        own_command("enroll --api URL")
    )]
    NotEnrolled(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}; run the agent as the user who enrolled it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read a secret.
    #[error(
        "{} can be read by others ({exposure}), so its secret may be known; close it with `{}`, \
         and enrol anew if the machine is shared",
        path.display(),
        exposure.command()
    )]
    Exposed {
        /// The file, or the folder that should keep others from it.
        path: PathBuf,
        /// Whom it lets in.
        exposure: Exposure,
    },
    /// A file is not what this program writes.
    #[error("{} is damaged; restore it from a backup, or move it away and enrol anew", .0.display())]
    Damaged(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}; check the permissions and free space of the state directory", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gives no randomness.
    #[error("the system gives no random bytes, so no key can be made: {0}")]
    Entropy(String),
}

impl Enrolment {
    /// The control plane that enrolled this node, from the address of its link.
    pub fn api(&self) -> Option<BaseUrl> {
        let base = self.link_url.strip_suffix(LINK_PATH)?;
        // ws becomes http, wss becomes https.
        BaseUrl::parse(&base.replacen("ws", "http", 1)).ok()
    }
}

/// The control plane of a node: as its configuration says, else the one that enrolled it. `None` where neither names one.
pub fn control_plane(config: &Config, enrolment: Option<&Enrolment>) -> Option<BaseUrl> {
    let configured = config.control_plane.api.clone();
    configured.or_else(|| enrolment?.api())
}

/// The HMAC secret. Wiped on drop, never printed.
#[derive(Clone)]
pub struct NodeSecret(Zeroizing<Vec<u8>>);

impl NodeSecret {
    /// Reads the base64 text that enrolment answers with.
    pub fn parse(text: &str) -> Option<Self> {
        crate::log::hide(text.trim());
        let bytes = STANDARD.decode(text.trim()).ok()?;
        (bytes.len() == 32).then(|| Self(Zeroizing::new(bytes)))
    }

    /// The key of the HMAC.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeSecret(..)")
    }
}

/// What enrolment gave, as `node.secret` holds it.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// The enrolled name.
    pub node_id: NodeId,
    /// The region that the network has the node in.
    pub region: String,
    /// Where the agent link is.
    pub link_url: String,
    /// The HMAC secret.
    pub secret: NodeSecret,
}

#[derive(Serialize, Deserialize)]
struct EnrolmentFile {
    node_id: NodeId,
    region: String,
    link_url: String,
    secret: String,
}

impl Drop for EnrolmentFile {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// The whole identity of an enrolled node.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The receipt key.
    pub key: NodeKey,
    /// Name and secret.
    pub enrolment: Enrolment,
}

impl Identity {
    /// Reads the identity of an enrolled node.
    ///
    /// # Errors
    /// [`IdentityError`] where a file is missing, open to others or damaged.
    pub fn load(state: &StateDir) -> Result<Self, IdentityError> {
        Ok(Self {
            key: load_key(state)?,
            enrolment: load_enrolment(state)?,
        })
    }

    /// The enrolled name.
    pub fn node_id(&self) -> &NodeId {
        &self.enrolment.node_id
    }

    /// The key of the prompt and output hashes: never reversible to a prompt by guessing.
    pub fn prompt_hash_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(PROMPT_CONTEXT, self.key.seed().as_ref()))
    }
}

/// Reads the receipt key.
///
/// # Errors
/// [`IdentityError`] where the file is missing, open to others or damaged.
pub fn load_key(state: &StateDir) -> Result<NodeKey, IdentityError> {
    load_key_at(&state.key_file())
}

/// Reads a key file.
///
/// # Errors
/// [`IdentityError`] where the file is missing, open to others or damaged.
pub(crate) fn load_key_at(path: &Path) -> Result<NodeKey, IdentityError> {
    let text = read_secret_file(path)?;
    let seed = text
        .trim()
        .strip_prefix(KEY_PREFIX)
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .map(Zeroizing::new)
        .and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok())
        .map(Zeroizing::new)
        .ok_or_else(|| IdentityError::Damaged(path.to_owned()))?;
    Ok(NodeKey::from_seed(&seed))
}

/// Makes a new receipt key and stores it durably. An old one is replaced: the caller has looked.
///
/// # Errors
/// [`IdentityError`] where there is no randomness or the file cannot be written.
pub fn create_key(state: &StateDir) -> Result<NodeKey, IdentityError> {
    create_key_at(&state.key_file())
}

/// Makes a new key and stores it durably in a file.
///
/// # Errors
/// [`IdentityError`] where there is no randomness or the file cannot be written.
pub(crate) fn create_key_at(path: &Path) -> Result<NodeKey, IdentityError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|error| IdentityError::Entropy(error.to_string()))?;
    let text = Zeroizing::new(format!(
        "{KEY_PREFIX}{}\n",
        Zeroizing::new(STANDARD.encode(seed.as_ref())).as_str()
    ));
    write_secret_file(path, text.as_bytes())?;
    Ok(NodeKey::from_seed(&seed))
}

/// Reads what enrolment gave.
///
/// # Errors
/// [`IdentityError`] where the file is missing, open to others or damaged.
pub fn load_enrolment(state: &StateDir) -> Result<Enrolment, IdentityError> {
    let path = state.secret_file();
    let text = read_secret_file(&path)?;
    let damaged = || IdentityError::Damaged(path.clone());
    let file: EnrolmentFile = serde_json::from_str(&text).map_err(|_| damaged())?;
    Ok(Enrolment {
        node_id: file.node_id.clone(),
        region: file.region.clone(),
        link_url: file.link_url.clone(),
        secret: NodeSecret::parse(&file.secret).ok_or_else(damaged)?,
    })
}

/// Stores what enrolment gave.
///
/// # Errors
/// [`IdentityError::Write`].
pub fn store_enrolment(state: &StateDir, enrolment: &Enrolment) -> Result<(), IdentityError> {
    let path = state.secret_file();
    let file = EnrolmentFile {
        node_id: enrolment.node_id.clone(),
        region: enrolment.region.clone(),
        link_url: enrolment.link_url.clone(),
        secret: STANDARD.encode(enrolment.secret.as_bytes()),
    };
    let text = serde_json::to_vec_pretty(&file)
        .map(Zeroizing::new)
        .map_err(|error| IdentityError::Write {
            path: path.clone(),
            source: error.into(),
        })?;
    write_secret_file(&path, &text)
}

fn read_secret_file(path: &Path) -> Result<Zeroizing<String>, IdentityError> {
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::NotFound {
            IdentityError::NotEnrolled(path.to_owned())
        } else {
            IdentityError::Read {
                path: path.to_owned(),
                source,
            }
        }
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let of_file = files::open_to_others(path).map_err(failed)?;
    let of_folder = files::folder_open_to_others(folder).map_err(failed)?;
    let exposed = of_file.map(|exposure| (path, exposure));
    if let Some((path, exposure)) = exposed.or(of_folder.map(|exposure| (folder, exposure))) {
        return Err(IdentityError::Exposed {
            path: path.to_owned(),
            exposure,
        });
    }
    let content = files::read_small(path, FILE_BYTES).map_err(failed)?;
    String::from_utf8(content)
        .map(Zeroizing::new)
        .map_err(|_| IdentityError::Damaged(path.to_owned()))
}

fn write_secret_file(path: &Path, content: &[u8]) -> Result<(), IdentityError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    files::create_private_dir(directory)
        .and_then(|()| files::write_private(path, content))
        .map_err(|source| IdentityError::Write {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enrolment() -> Enrolment {
        Enrolment {
            node_id: "rig-7".parse().unwrap(),
            region: "eu-west".to_owned(),
            link_url: "ws://127.0.0.1:8080/api/v1/nodes/link".to_owned(),
            secret: NodeSecret::parse(&STANDARD.encode([7; 32])).unwrap(),
        }
    }

    #[test]
    fn what_is_stored_is_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path().join("state"));
        assert!(matches!(
            Identity::load(&state),
            Err(IdentityError::NotEnrolled(_))
        ));
        let key = create_key(&state).unwrap();
        store_enrolment(&state, &enrolment()).unwrap();
        let identity = Identity::load(&state).unwrap();
        assert_eq!(identity.key.public(), key.public());
        assert_eq!(identity.node_id().as_str(), "rig-7");
        assert_eq!(identity.enrolment.secret.as_bytes(), [7; 32]);
        let api = identity.enrolment.api().unwrap();
        assert_eq!(api.to_string(), "http://127.0.0.1:8080");
        assert_ne!(*identity.prompt_hash_key(), *identity.key.seed());
    }

    #[test]
    #[cfg(unix)]
    fn a_secret_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path());
        create_key(&state).unwrap();
        std::fs::set_permissions(state.key_file(), std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = load_key(&state).unwrap_err();
        assert!(matches!(error, IdentityError::Exposed { .. }));
        let said = error.to_string();
        assert!(said.contains("(mode 0640)"), "{said}");
        assert!(said.contains("`chmod 600 /"), "{said}");
    }

    #[test]
    fn damaged_files_are_told_apart_from_missing_ones() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path());
        for content in [
            "",
            "dgon-ed25519-seed:AAAA",
            "\u{fffd}",
            "dgon-ed25519-seed:%%%",
        ] {
            files::write_private(&state.key_file(), content.as_bytes()).unwrap();
            assert!(
                matches!(load_key(&state), Err(IdentityError::Damaged(_))),
                "{content:?}"
            );
            files::write_private(&state.secret_file(), content.as_bytes()).unwrap();
            assert!(matches!(
                load_enrolment(&state),
                Err(IdentityError::Damaged(_))
            ));
        }
    }

    #[test]
    fn debug_output_has_no_secret() {
        let text = format!("{:?}", enrolment());
        assert!(!text.contains("BwcH") && !text.contains("7, 7"), "{text}");
    }
}
