//! Windows' service control manager: a thread of its own calls [`serve`], and wishes come to a handler.
#![allow(
    unsafe_code,
    reason = "the macro that makes the system's entry point reads the system's argument list"
)]

use super::Work;
use crate::run::RunError;
use crate::service::NAME;
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{
    self, ServiceControlHandlerResult, ServiceStatusHandle,
};
use windows_service::{define_windows_service, service_dispatcher};

/// How long a stop may take: running answers end first.
const STOP_WITHIN: Duration = Duration::from_secs(40);

struct Job {
    stop: CancellationToken,
    work: Work,
}

/// The system calls a plain function, so what it is to do lies here.
static JOB: Mutex<Option<Job>> = Mutex::new(None);
static OUTCOME: Mutex<Option<Result<(), RunError>>> = Mutex::new(None);

define_windows_service!(entry, serve);

pub(super) fn run(stop: CancellationToken, work: Work) -> Result<(), RunError> {
    *JOB.lock().unwrap_or_else(PoisonError::into_inner) = Some(Job { stop, work });
    service_dispatcher::start(NAME, entry).map_err(system)?;
    let outcome = OUTCOME
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    outcome.unwrap_or_else(|| {
        Err(RunError::System(io::Error::other(
            "the service manager did not start the service's work",
        )))
    })
}

fn system(error: windows_service::Error) -> RunError {
    RunError::System(io::Error::other(error))
}

fn serve(_arguments: Vec<OsString>) {
    let job = JOB.lock().unwrap_or_else(PoisonError::into_inner).take();
    let outcome = job.map(serve_job);
    *OUTCOME.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
}

fn serve_job(job: Job) -> Result<(), RunError> {
    let handle: Arc<OnceLock<ServiceStatusHandle>> = Arc::default();
    let handler = {
        let (handle, stop) = (Arc::clone(&handle), job.stop);
        move |control| match control {
            ServiceControl::Stop | ServiceControl::Shutdown => {
                if let Some(handle) = handle.get() {
                    tell(handle, ServiceState::StopPending, 0);
                }
                stop.cancel();
                ServiceControlHandlerResult::NoError
            }
            ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
            _ => ServiceControlHandlerResult::NotImplemented,
        }
    };
    let registered = service_control_handler::register(NAME, handler).map_err(system)?;
    let handle = handle.get_or_init(|| registered);
    tell(handle, ServiceState::Running, 0);
    let outcome = (job.work)();
    tell(handle, ServiceState::Stopped, u32::from(outcome.is_err()));
    outcome
}

fn tell(handle: &ServiceStatusHandle, state: ServiceState, code: u32) {
    let is_running = state == ServiceState::Running;
    let is_pending = state == ServiceState::StopPending;
    let status = ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: if is_running {
            ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN
        } else {
            ServiceControlAccept::empty()
        },
        exit_code: match code {
            0 => ServiceExitCode::Win32(0),
            code => ServiceExitCode::ServiceSpecific(code),
        },
        checkpoint: 0,
        wait_hint: if is_pending {
            STOP_WITHIN
        } else {
            Duration::ZERO
        },
        process_id: None,
    };
    if let Err(error) = handle.set_service_status(status) {
        tracing::warn!(%error, "the service manager cannot be told how this service is");
    }
}
