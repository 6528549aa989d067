//! What is examined: everything that the checks share, read or asked once.

use super::fix::System;
use super::fix::control::{ByHand, Control};
use crate::cli::VERSION;
use crate::config::{BaseUrl, Config, ConfigError, Loaded, Paths, StateDir};
use crate::identity::{self, Enrolment, Identity, IdentityError, control_plane};
use crate::link::LinkSettings;
use crate::local::{self, Answer, LocalError, Request, Status};
use crate::net::Network;
use crate::own_command::own_command;
use crate::service::{self, ServiceState};
use crate::spool::Lock;
use dgon_agent_core::error::chain;
use dgon_protocol::key::NodeKey;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the running agent may take to say how it is.
const ANSWER: Duration = Duration::from_millis(1_800);
/// How long after a hang-up it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long the system may take to say whose the socket is.
const LISTENER: Duration = Duration::from_millis(200);
/// How long the service manager and the program that it starts may take.
const MANAGER: Duration = Duration::from_millis(2_500);

/// What the running agent says of itself.
#[derive(Debug)]
pub(super) enum Asked {
    /// It runs.
    Runs(Box<Status>),
    /// None runs.
    Absent,
    /// It runs, and its answer is of another version.
    OtherVersion,
    /// It cannot be asked on this system.
    Unsupported,
    /// It cannot be asked, and why.
    Closed(String),
    /// It took the question and does not answer.
    Silent {
        /// Its process id, where the system tells it.
        pid: Option<u32>,
    },
}

/// The service, and the version of the program that it starts.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) state: ServiceState,
    /// `None` where the program cannot be asked.
    pub(super) version: Option<String>,
}

/// What is examined.
pub struct Subject {
    /// Where the files are.
    pub paths: Paths,
    /// The configuration, or what is wrong with it.
    pub config: Result<Loaded, ConfigError>,
    /// The receipt key, or what is wrong with it.
    pub key: Result<NodeKey, IdentityError>,
    /// What enrolment gave, or what is wrong with it.
    pub enrolment: Result<Enrolment, IdentityError>,
    /// How the control plane is reached.
    pub(super) network: Network,
    asked: Shared<BoxFuture<'static, Arc<Asked>>>,
    service: Shared<BoxFuture<'static, Arc<Result<Service, String>>>>,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

impl Subject {
    /// Reads what the checks share.
    pub fn new(paths: Paths, config: Result<Loaded, ConfigError>) -> Self {
        let ca_file = config
            .as_ref()
            .ok()
            .and_then(|loaded| loaded.config.control_plane.ca_file.clone());
        let state = paths.state.clone();
        Self {
            key: identity::load_key(&paths.state),
            enrolment: identity::load_enrolment(&paths.state),
            network: Network::from_environment(ca_file.as_deref()),
            asked: async move { Arc::new(ask(&state).await) }.boxed().shared(),
            service: async { Arc::new(inspect().await) }.boxed().shared(),
            paths,
            config,
        }
    }

    /// The values in force, where they can be read.
    pub(super) fn values(&self) -> Option<&Config> {
        self.config.as_ref().ok().map(|loaded| &loaded.config)
    }

    /// The values by which the running agent works; those of this shell where none runs, or it does not tell.
    pub(super) async fn values_in_force(&self) -> Option<Config> {
        match self.asked().await.as_ref() {
            Asked::Runs(status) => serde_json::from_value(status.configuration.clone())
                .ok()
                .or_else(|| self.values().cloned()),
            Asked::Absent
            | Asked::OtherVersion
            | Asked::Unsupported
            | Asked::Closed(_)
            | Asked::Silent { .. } => self.values().cloned(),
        }
    }

    /// The control plane: as configured, else as enrolled.
    pub(super) fn api(&self) -> Option<BaseUrl> {
        control_plane(self.values()?, self.enrolment.as_ref().ok())
    }

    /// The whole identity, where there is one.
    pub(super) fn identity(&self) -> Option<Identity> {
        Some(Identity {
            key: self.key.as_ref().ok()?.clone(),
            enrolment: self.enrolment.as_ref().ok()?.clone(),
        })
    }

    /// What the link would use.
    pub(super) fn link_settings(&self) -> Option<LinkSettings> {
        let mut settings = crate::run::link_settings(self.values()?, &self.identity()?);
        settings.network = self.network.clone();
        Some(settings)
    }

    /// What the running agent says. It is asked once for all checks.
    pub(super) async fn asked(&self) -> Arc<Asked> {
        self.asked.clone().await
    }

    /// The service as its manager has it, or why that is not known. It is asked once for all checks.
    pub(super) async fn service(&self) -> Arc<Result<Service, String>> {
        self.service.clone().await
    }

    /// Who keeps the agent running, or would start it; `pid` is the running one's, where it is known.
    pub(super) async fn control(&self, pid: Option<u32>) -> Control {
        let asked = self.service().await;
        let Ok(Service { state, .. }) = asked.as_ref() else {
            return Control::ByHand;
        };
        // Without an answer of the agent, the service is meant where it keeps its files where we look.
        let is_ours = match pid {
            Some(pid) => state.pid == Some(pid),
            None => {
                let own = service::places(state.level, &self.paths, Default::default());
                own.state_dir == self.paths.state.path()
            }
        };
        if state.installed.is_some() && is_ours {
            Control::Service(state.level)
        } else {
            Control::ByHand
        }
    }

    /// The command that starts the agent.
    pub(super) async fn start_command(&self) -> String {
        let how = self.control(None).await;
        how.start(System::here(), &self.by_hand())
    }

    /// The command that restarts the agent that runs.
    pub(super) async fn restart_command(&self, pid: Option<u32>) -> String {
        let how = self.control(pid).await;
        how.restart(System::here(), &self.by_hand())
    }

    /// The command that ends an agent that does not answer, and starts it again.
    pub(super) async fn replace_frozen_command(&self, pid: Option<u32>) -> String {
        let how = self.control(pid).await;
        how.replace_frozen(System::here(), &self.by_hand(), pid)
    }

    /// The command that makes this machine a node of its own, where it has the identity of another one: what was copied
    /// goes aside, agent.yaml with it, as it may name the other node.
    pub(super) async fn own_node_command(&self, pid: u32) -> String {
        let (system, state) = (System::here(), self.paths.state.path());
        let mut steps = vec![system.put_aside(state, "copied")];
        let config = &self.paths.config_file;
        if config.exists() && !config.starts_with(state) {
            steps.push(system.put_aside(config, "copied"));
        }
        steps.push(self.enrol_command());
        let how = self.control(Some(pid)).await;
        how.while_stopped(system, &self.by_hand(), &steps)
    }

    /// The command that gives this node a new secret. An agent that runs holds the files, and is started again with it.
    pub(super) async fn enrol_again_command(&self) -> String {
        let enrol = format!("{} --force", self.enrol_command());
        match self.asked().await.as_ref() {
            Asked::Runs(status) => {
                let how = self.control(Some(status.pid)).await;
                how.while_stopped(System::here(), &self.by_hand(), &[enrol])
            }
            Asked::Absent
            | Asked::OtherVersion
            | Asked::Unsupported
            | Asked::Closed(_)
            | Asked::Silent { .. } => enrol,
        }
    }

    fn by_hand(&self) -> ByHand {
        ByHand {
            run: self.command("run"),
            stop: self.command("stop"),
        }
    }

    /// The command after which the agent that runs is of this program's version.
    pub(super) async fn update_command(&self, pid: Option<u32>) -> String {
        let how = self.control(pid).await;
        let service = self.service().await;
        let version = service.as_ref().as_ref().ok();
        let version = version.and_then(|service| service.version.as_deref());
        let is_current = version == Some(VERSION);
        how.update(System::here(), &self.by_hand(), is_current)
    }

    /// A command of this program for the same places, to copy.
    pub(super) fn command(&self, command: &str) -> String {
        own_command(command)
    }

    /// The command that enrols this machine, with the address where it is known.
    pub(super) fn enrol_command(&self) -> String {
        let api = self
            .api()
            .map_or_else(|| "URL".to_owned(), |api| api.to_string());
        self.command(&format!("enroll --api {api}"))
    }

    /// For what only other people can mend: what to send them.
    pub(super) fn bundle_command(&self) -> String {
        self.command("doctor --bundle")
    }
}

async fn inspect() -> Result<Service, String> {
    let asking = tokio::task::spawn_blocking(|| {
        let state = service::inspect_any()?;
        let version = state.program_version();
        Ok::<_, service::ServiceError>(Service { state, version })
    });
    match timeout(MANAGER, asking).await {
        Ok(Ok(asked)) => asked.map_err(|error| chain(&error)),
        Ok(Err(_)) => Err("the service manager cannot be asked".to_owned()),
        Err(_) => Err("the service manager does not answer within 2.5 s".to_owned()),
    }
}

async fn ask(state: &StateDir) -> Asked {
    let socket = &state.socket();
    let asking = async {
        loop {
            let said = local::ask(socket, Request::Status).await;
            // Who hangs up has ended or is about to; until the lock is free it may as well be about to answer.
            let is_over = !matches!(said, Err(LocalError::HungUp))
                || !Lock::is_taken(state.path()).unwrap_or(false);
            if is_over {
                return said;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    match timeout(ANSWER, asking).await {
        Ok(Ok(Answer::Status(status))) => Asked::Runs(status),
        Ok(Ok(_)) | Ok(Err(LocalError::Answer)) => Asked::OtherVersion,
        Ok(Err(LocalError::NotRunning(_) | LocalError::HungUp)) => Asked::Absent,
        Ok(Err(LocalError::Unsupported)) => Asked::Unsupported,
        Ok(Err(error)) => Asked::Closed(chain(&error)),
        Err(_) => Asked::Silent {
            pid: timeout(LISTENER, local::listener_pid(socket))
                .await
                .unwrap_or_default(),
        },
    }
}
