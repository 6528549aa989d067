//! `doctor`: is this machine fit to serve, and if not, which command mends it?
//!
//! Groups of checks run at once, each with its own time limit, all within five seconds. A group whose system calls
//! hang is reported as such and holds nothing up. The doctor changes nothing but one probe file in the state
//! directory, and sends nothing but what authenticates this node.

mod checks;
mod report;

pub use report::{Check, Counts, Outcome, Report, SCHEMA_VERSION};

use crate::config::{BaseUrl, ConfigError, Loaded, Paths};
use crate::identity::{self, Enrolment, IdentityError};
use dgon_protocol::key::NodeKey;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one group may take.
const GROUP: Duration = Duration::from_millis(4_000);

/// What is examined: everything that the checks share, read once.
#[derive(Debug)]
pub struct Patient {
    /// Where the files are.
    pub paths: Paths,
    /// The configuration, or what is wrong with it.
    pub config: Result<Loaded, ConfigError>,
    /// The receipt key, or what is wrong with it.
    pub key: Result<NodeKey, IdentityError>,
    /// What enrolment gave, or what is wrong with it.
    pub enrolment: Result<Enrolment, IdentityError>,
    /// The flags that name the places, for commands to copy.
    place_flags: String,
}

impl Patient {
    /// Reads what the checks share.
    pub fn new(paths: Paths, config: Result<Loaded, ConfigError>, place_flags: String) -> Self {
        Self {
            key: identity::load_key(&paths.state),
            enrolment: identity::load_enrolment(&paths.state),
            paths,
            config,
            place_flags,
        }
    }

    /// The control plane: as configured, else as enrolled.
    fn api(&self) -> Option<BaseUrl> {
        let loaded = self.config.as_ref().ok()?;
        let configured = loaded.config.control_plane.api.clone();
        configured.or_else(|| self.enrolment.as_ref().ok()?.api())
    }

    /// A command of this program for the same places, to copy.
    fn command(&self, command: &str) -> Option<String> {
        Some(format!("dgon-agent {command}{}", self.place_flags))
    }

    /// The command that enrols this machine, with the address where it is known.
    fn enrol_command(&self) -> Option<String> {
        let api = self
            .api()
            .map_or_else(|| "URL".to_owned(), |api| api.to_string());
        self.command(&format!("enroll --api {api}"))
    }
}

type Group = fn(Arc<Patient>) -> BoxFuture<'static, Vec<Check>>;

/// The groups in the order in which they are shown.
const GROUPS: &[(&str, Group)] = &[
    ("config", |patient| {
        Box::pin(async move { checks::config::check(&patient) })
    }),
    ("identity", |patient| {
        Box::pin(async move { checks::identity::check(&patient) })
    }),
    ("network", |patient| {
        Box::pin(checks::network::check(patient))
    }),
    ("agent", |patient| Box::pin(checks::agent::check(patient))),
    ("gpu", |_| Box::pin(checks::gpu::check())),
    ("runtime", |patient| {
        Box::pin(checks::runtime::check(patient))
    }),
    ("disk", |patient| Box::pin(checks::disk::check(patient))),
];

/// Runs every check and tells `show` about each group as soon as it and those before it are done.
pub async fn examine(patient: Patient, mut show: impl FnMut(&[Check])) -> Report {
    let began = Instant::now();
    let patient = Arc::new(patient);
    let running: Vec<_> = GROUPS
        .iter()
        .map(|(name, group)| {
            let checks = group(Arc::clone(&patient));
            (*name, tokio::spawn(tokio::time::timeout(GROUP, checks)))
        })
        .collect();
    let mut all = Vec::new();
    for (name, task) in running {
        let checks = match task.await {
            Ok(Ok(checks)) => checks,
            Ok(Err(_)) => vec![hung(name)],
            Err(error) => vec![broken(name, &error)],
        };
        show(&checks);
        all.extend(checks);
    }
    Report::new(all, began.elapsed())
}

fn hung(group: &'static str) -> Check {
    Check::new(group, "time", "that the checks of this group end").fail(
        "the system did not answer within 4 s; a driver, a disk or the network hangs",
        Some("dmesg | tail".to_owned()),
    )
}

fn broken(group: &'static str, error: &tokio::task::JoinError) -> Check {
    Check::new(group, "self", "that the checks of this group end").fail(
        &format!("the check itself failed, which is a fault of this program: {error}"),
        None,
    )
}
