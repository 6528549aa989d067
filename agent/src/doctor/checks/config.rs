//! Group `config`: can agent.yaml be read, and by whom written?

use super::{HERE, chain};
use crate::config::plain_http;
use crate::config::{BaseUrl, Loaded, Origin};
use crate::doctor::examine::{Examination, Reporter};
use crate::doctor::subject::Asked;
use crate::doctor::{Check, CheckId, Subject};
use crate::files;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[
        CheckId::ConfigParse,
        CheckId::ConfigInsecureHttp,
        CheckId::ConfigFileMode,
        CheckId::ConfigStateMode,
        CheckId::ConfigListen,
    ],
    run: |subject, reporter| Box::pin(check(subject, reporter)),
};

async fn check(subject: Arc<Subject>, reporter: Reporter) {
    reporter.tell(parse(&subject));
    reporter.tell(insecure_http(&subject));
    // A disk that hangs blocks its thread, not the doctor.
    let looked = tokio::task::spawn_blocking({
        let (subject, reporter) = (Arc::clone(&subject), reporter.clone());
        move || {
            reporter.tell(file_mode(&subject));
            reporter.tell(state_mode(&subject));
        }
    });
    reporter.tell(listen(&subject).await);
    drop(looked.await);
}

fn parse(subject: &Subject) -> Check {
    let file = &subject.paths.config_file;
    let check = Check::new(CheckId::ConfigParse, file.display().to_string());
    match &subject.config {
        Ok(loaded) if loaded.file.is_none() => check.warn(
            "there is no configuration file, so the defaults hold and no control plane is named unless the \
             environment names one",
            subject.enrol_command(),
        ),
        Ok(_) => check.ok("the configuration is valid"),
        Err(error) => check.fail(chain(error), subject.command("config check")),
    }
}

/// What the owner allowed is told all the same: it is easily forgotten once there is TLS.
fn insecure_http(subject: &Subject) -> Check {
    let check = Check::new(CheckId::ConfigInsecureHttp, "control_plane.insecure_http");
    let (Some(config), Some(api)) = (subject.values(), subject.api()) else {
        return check.skip("no control plane is named");
    };
    let is_exposed = plain_http::is_exposed(&api);
    let https = use_https(subject, &api);
    match (config.control_plane.insecure_http, is_exposed) {
        (false, false) => check.ok("nothing leaves this machine unencrypted"),
        (false, true) => check.fail(
            format!("{api} is plain HTTP to another machine, which is not allowed; the agent does not start"),
            https,
        ),
        (true, true) => check.warn(
            format!(
                "{api} is plain HTTP: others on the way can read the node's secret, and speak as the node or as its \
                 control plane"
            ),
            https,
        ),
        (true, false) => check.warn(
            "plain HTTP is allowed and not needed; remove it from agent.yaml or the environment",
            subject.command("config show"),
        ),
    }
}

/// How the control plane is spoken to over TLS: by whatever set its address.
pub(super) fn use_https(subject: &Subject, api: &BaseUrl) -> String {
    let https = format!("https://{}", api.host());
    let Ok(loaded) = &subject.config else {
        return subject.command(&format!("run --api {https}"));
    };
    match loaded.origins.get("control_plane.api") {
        Some(Origin::Environment(name)) => HERE.set_variable(name, &https),
        Some(Origin::File) => HERE.set_key(&subject.paths.config_file, "api", &https),
        Some(Origin::Flag) | None => subject.command(&format!("run --api {https}")),
    }
}

/// Neither the proxy nor the metrics ask for a key: whoever reaches them may use them.
async fn listen(subject: &Subject) -> Check {
    let check = Check::new(
        CheckId::ConfigListen,
        "proxy.listen, telemetry.metrics_listen",
    );
    let (Ok(loaded), Some(config)) = (&subject.config, subject.values_in_force().await) else {
        return check.skip("the configuration cannot be read");
    };
    let proxy = config.proxy.listen;
    let metrics = config.telemetry.metrics_listen;
    let is_open = |at: &SocketAddr| !at.ip().to_canonical().is_loopback();
    if is_open(&proxy) {
        return check.warn(
            format!(
                "the proxy listens on {proxy}, where other machines reach it: whoever does uses the runtimes without a \
                 key, and counts as one of this machine's own users"
            ),
            match is_open(&loaded.config.proxy.listen) {
                true => closed(subject, loaded, "proxy.listen", "listen", proxy),
                // Closed since by file or variable; the running agent does not know yet.
                false => restart(subject).await,
            },
        );
    }
    if let Some(metrics) = metrics.filter(is_open) {
        return check.warn(
            format!("the metrics are on {metrics}, where other machines can read them without a password"),
            match loaded.config.telemetry.metrics_listen.as_ref().is_some_and(is_open) {
                true => closed(subject, loaded, "telemetry.metrics_listen", "metrics_listen", metrics),
                false => restart(subject).await,
            },
        );
    }
    check.ok(format!("only this machine reaches the proxy ({proxy})"))
}

async fn restart(subject: &Subject) -> String {
    match subject.asked().await.as_ref() {
        Asked::Runs(status) => subject.restart_command(Some(status.pid)).await,
        Asked::Absent
        | Asked::OtherVersion
        | Asked::Unsupported
        | Asked::Closed(_)
        | Asked::Silent { .. } => subject.restart_command(None).await,
    }
}

/// How a listener is put back on the loopback address: by whatever set it.
fn closed(subject: &Subject, loaded: &Loaded, path: &str, key: &str, at: SocketAddr) -> String {
    let value = format!("127.0.0.1:{}", at.port());
    match loaded.origins.get(path) {
        Some(Origin::Environment(name)) => HERE.set_variable(name, &value),
        Some(Origin::File | Origin::Flag) | None => {
            HERE.set_key(&subject.paths.config_file, key, &value)
        }
    }
}

/// Who can write the file decides where receipts go and what the network may do here.
fn file_mode(subject: &Subject) -> Check {
    let file = &subject.paths.config_file;
    let check = Check::new(CheckId::ConfigFileMode, file.display().to_string());
    match files::writable_by_others(file) {
        Ok(None) => check.ok("only its owner can change it"),
        Ok(Some(exposure)) => check.fail(
            format!("others can change it ({exposure}), and with it what this agent does"),
            exposure.command(),
        ),
        Err(error) => unseen(check, file, &error, "there is no file to look at"),
    }
}

fn state_mode(subject: &Subject) -> Check {
    let state = subject.paths.state.path();
    let check = Check::new(CheckId::ConfigStateMode, state.display().to_string());
    match files::open_to_others(state) {
        Ok(None) => check.ok("only its owner can enter the state directory"),
        Ok(Some(exposure)) => check.warn(
            format!("others can look into the state directory ({exposure})"),
            exposure.command(),
        ),
        Err(error) => unseen(check, state, &error, "there is no state directory yet"),
    }
}

fn unseen(check: Check, path: &Path, error: &io::Error, absent: &str) -> Check {
    if error.kind() == io::ErrorKind::NotFound {
        check.skip(absent)
    } else {
        check.fail(
            format!("it cannot be looked at: {error}"),
            HERE.show_owner(path),
        )
    }
}
