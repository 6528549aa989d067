//! Where the agent keeps its files.
//!
//! A service (root, or Windows' system account) and a person's own agent have separate places, so that both can
//! be tried on one machine. The state directory holds the identity and the spool and is only its owner's.

use std::path::{Path, PathBuf};

/// What the command line and the environment say about places.
#[derive(Debug, Clone, Default)]
pub struct PathFlags {
    /// `--state-dir` or `DGON_STATE_DIR`.
    pub state_dir: Option<PathBuf>,
    /// `--config` or `DGON_CONFIG`.
    pub config: Option<PathBuf>,
}

/// Why no place can be named.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// The environment names no home.
    #[error(
        "this user has no home directory, so there is no default place for the agent's files; name one with \
         --state-dir or DGON_STATE_DIR"
    )]
    NoHome,
}

/// The places in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Identity and spool.
    pub state: StateDir,
    /// agent.yaml.
    pub config_file: PathBuf,
    /// Whether the owner named the file, so that its absence is an error.
    pub config_named: bool,
}

impl Paths {
    /// Resolves flags against the defaults of this system and user. A state directory that is named without a
    /// configuration file brings its own `agent.yaml`.
    ///
    /// # Errors
    /// [`PathsError::NoHome`] when a default is needed and the user has no home.
    pub fn resolve(
        flags: &PathFlags,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, PathsError> {
        let defaults = || defaults(environment).ok_or(PathsError::NoHome);
        let state = match &flags.state_dir {
            Some(dir) => dir.clone(),
            None => defaults()?.0,
        };
        let config_file = match (&flags.config, &flags.state_dir) {
            (Some(file), _) => file.clone(),
            (None, Some(dir)) => dir.join("agent.yaml"),
            (None, None) => defaults()?.1.join("agent.yaml"),
        };
        Ok(Self {
            state: StateDir::new(state),
            config_file,
            config_named: flags.config.is_some(),
        })
    }
}

/// State and configuration directory of this system and user.
fn defaults(environment: &dyn Fn(&str) -> Option<String>) -> Option<(PathBuf, PathBuf)> {
    let directory = |name: &str| {
        environment(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if cfg!(windows) {
        let base = directory("LOCALAPPDATA").or_else(|| directory("PROGRAMDATA"))?;
        let dir = base.join("DGON");
        return Some((dir.clone(), dir));
    }
    if crate::files::is_superuser() {
        return Some(if cfg!(target_os = "macos") {
            let dir = PathBuf::from("/Library/Application Support/DGON");
            (dir.clone(), dir)
        } else {
            ("/var/lib/dgon".into(), "/etc/dgon".into())
        });
    }
    let home = directory("HOME")?;
    Some(if cfg!(target_os = "macos") {
        let dir = home.join("Library/Application Support/DGON");
        (dir.clone(), dir)
    } else {
        let xdg = |name, fallback| directory(name).unwrap_or_else(|| home.join(fallback));
        (
            xdg("XDG_STATE_HOME", ".local/state").join("dgon"),
            xdg("XDG_CONFIG_HOME", ".config").join("dgon"),
        )
    })
}

/// The state directory and the names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// A state directory at `path`; nothing is created.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The private receipt key.
    pub fn key_file(&self) -> PathBuf {
        self.0.join("node.key")
    }

    /// The enrolled name and the HMAC secret.
    pub fn secret_file(&self) -> PathBuf {
        self.0.join("node.secret")
    }

    /// The durable queue.
    pub fn spool_dir(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// The key to come, while a change of keys is under way.
    pub fn next_key_file(&self) -> PathBuf {
        self.0.join("node.key.next")
    }

    /// The statements of the changes of keys.
    pub fn rotations_dir(&self) -> PathBuf {
        self.0.join("rotations")
    }

    /// The statement of the change from the key with this short name.
    pub fn rotation_file(&self, old_key_id: &str) -> PathBuf {
        self.rotations_dir().join(format!("{old_key_id}.json"))
    }

    /// The spools of keys that were given up.
    pub fn retired_root(&self) -> PathBuf {
        self.0.join("retired")
    }

    /// The spool of the key with this short name, once it was given up.
    pub fn retired_dir(&self, key_id: &str) -> PathBuf {
        self.retired_root().join(key_id)
    }

    /// Receipts that the control plane refused, one JSON object per line.
    pub fn dead_letters(&self) -> PathBuf {
        self.0.join("dead-letters.jsonl")
    }

    /// The owner's last order, where there was one.
    pub fn owner_file(&self) -> PathBuf {
        self.0.join("owner.json")
    }

    /// The local socket of the running agent.
    pub fn socket(&self) -> PathBuf {
        self.0.join("agent.sock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_state_directory_brings_its_own_configuration() {
        let flags = PathFlags {
            state_dir: Some("/tmp/x".into()),
            config: None,
        };
        let paths = Paths::resolve(&flags, &|_| None).unwrap();
        assert_eq!(paths.config_file, Path::new("/tmp/x/agent.yaml"));
        assert!(!paths.config_named);
        assert_eq!(paths.state.socket(), Path::new("/tmp/x/agent.sock"));
    }

    #[test]
    fn a_named_configuration_wins() {
        let flags = PathFlags {
            state_dir: Some("/tmp/x".into()),
            config: Some("/tmp/y.yaml".into()),
        };
        let paths = Paths::resolve(&flags, &|_| None).unwrap();
        assert_eq!(paths.config_file, Path::new("/tmp/y.yaml"));
        assert!(paths.config_named);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_person_without_a_home_is_told_what_to_name() {
        if crate::files::is_superuser() {
            let paths = Paths::resolve(&PathFlags::default(), &|_| None).unwrap();
            assert_eq!(paths.state.path(), Path::new("/var/lib/dgon"));
            assert_eq!(paths.config_file, Path::new("/etc/dgon/agent.yaml"));
        } else {
            let error = Paths::resolve(&PathFlags::default(), &|_| None).unwrap_err();
            assert!(error.to_string().contains("--state-dir"));
        }
    }
}
