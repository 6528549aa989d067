//! Groups `runtime` and `models`: one is found, it is ready, it has models, and a token comes through the proxy.

use super::{HERE, chain, generation};
use crate::doctor::examine::{Examination, Reporter};
use crate::doctor::subject::Asked;
use crate::doctor::{Check, CheckId, Subject};
use crate::runtime::{EndpointReport, Readiness, RuntimeKind, RuntimeReport, look_once};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const LOOK: Duration = Duration::from_millis(2_300);

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[
        CheckId::RuntimeFound,
        CheckId::RuntimeReady,
        CheckId::RuntimeGeneration,
        CheckId::ModelsServed,
    ],
    run: |subject, reporter| Box::pin(check(subject, reporter)),
};

async fn check(subject: Arc<Subject>, reporter: Reporter) {
    let asked = subject.asked().await;
    let endpoints = match asked.as_ref() {
        Asked::Runs(status) if status.has_looked == Some(true) || !status.endpoints.is_empty() => {
            status.endpoints.clone()
        }
        Asked::Runs(status) if status.has_looked == Some(false) => {
            return reporter.rest(
                "the agent has just started and looks for its runtimes; ask again in some seconds",
            );
        }
        // None runs, or it does not say what it looks at: then what one would find that is started from here.
        Asked::Runs(_)
        | Asked::Absent
        | Asked::OtherVersion
        | Asked::Unsupported
        | Asked::Closed(_)
        | Asked::Silent { .. } => match look(&subject, &reporter).await {
            Some(endpoints) => endpoints,
            None => return,
        },
    };
    for endpoint in &endpoints {
        if let Some(why) = endpoint.why_away() {
            reporter.tell(away(&endpoint.url, why));
        }
    }
    let runtimes: Vec<(&str, &RuntimeReport)> = endpoints
        .iter()
        .filter_map(|endpoint| Some((endpoint.url.as_str(), endpoint.runtime()?)))
        .collect();
    if runtimes.is_empty() {
        reporter.tell(found().fail(
            "no LLM runtime answers, so there is nothing to serve",
            start_one(),
        ));
        return reporter.rest("no runtime answers");
    }
    let names: Vec<String> = runtimes.iter().map(|(url, one)| name(url, one)).collect();
    reporter.tell(found().ok(names.join(", ")));
    for (url, runtime) in &runtimes {
        reporter.tell(ready(url, runtime));
        reporter.tell(models(&subject, url, runtime));
    }
    let runtimes: Vec<&RuntimeReport> = runtimes.into_iter().map(|(_, one)| one).collect();
    reporter.tell(generation::check(&runtimes, &asked).await);
}

/// Looks where an agent would look that is started from here.
async fn look(subject: &Subject, reporter: &Reporter) -> Option<Vec<EndpointReport>> {
    let Some(config) = subject.values() else {
        reporter.rest("the configuration cannot be read");
        return None;
    };
    let settings = match crate::run::registry_settings(config, subject.api().as_ref()) {
        Ok(settings) => settings,
        Err(error) => {
            reporter.tell(found().fail(chain(&error), subject.command("config show")));
            reporter.rest("the runtimes that are named cannot be asked");
            return None;
        }
    };
    let Ok(look) = timeout(LOOK, look_once(&settings)).await else {
        reporter.tell(found().fail(
            "what listens there does not answer within 2.3 s",
            subject.command("runtimes"),
        ));
        reporter.rest("no runtime answers");
        return None;
    };
    Some(look.reports)
}

fn found() -> Check {
    Check::new(
        CheckId::RuntimeFound,
        "default ports and runtimes.endpoints",
    )
}

/// A place that the owner named, where no runtime answers.
fn away(url: &str, why: &str) -> Check {
    Check::new(CheckId::RuntimeFound, "runtimes.endpoints")
        .about(url.to_owned())
        .warn(
            format!("{url} is named under runtimes.endpoints, and no runtime answers there: {why}"),
            HERE.get_with_steps(url),
        )
}

fn name(url: &str, runtime: &RuntimeReport) -> String {
    let kind = match runtime.kind() {
        Some(kind) => kind.as_str(),
        None => &runtime.kind,
    };
    format!("{kind} at {url}")
}

fn start_one() -> &'static str {
    let has_ollama = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|dir| {
            dir.join(format!("ollama{}", std::env::consts::EXE_SUFFIX))
                .is_file()
        })
    });
    if has_ollama {
        "ollama serve"
    } else {
        HERE.install_runtime()
    }
}

fn ready(url: &str, runtime: &RuntimeReport) -> Check {
    let check = Check::new(CheckId::RuntimeReady, url.to_owned()).about(name(url, runtime));
    let look = HERE.get(url);
    match &runtime.readiness {
        Readiness::Ready => check.ok("takes requests"),
        Readiness::Loading => check.warn(
            "is loading its model; it takes requests when that is done",
            look,
        ),
        Readiness::Unready { reason } => {
            check.fail(format!("answers, but cannot serve: {reason}"), look)
        }
    }
}

fn models(subject: &Subject, url: &str, runtime: &RuntimeReport) -> Check {
    let check = Check::new(CheckId::ModelsServed, url.to_owned()).about(name(url, runtime));
    if runtime.asks_for_key {
        return check.fail(
            "asks for an API key, so its models are not known; put the key into a file and name it as api_key_file \
             of this address under runtimes.endpoints",
            subject.command("config show"),
        );
    }
    if runtime.models.is_empty() {
        let fix = match runtime.kind() {
            Some(RuntimeKind::Ollama) => "ollama pull llama3.2".to_owned(),
            _ => HERE.get(&format!("{url}/v1/models")),
        };
        return check.fail("serves no model", fix);
    }
    let names: Vec<&str> = runtime
        .models
        .iter()
        .take(3)
        .map(|model| model.id.as_str())
        .collect();
    let more = match runtime.models.len().saturating_sub(3) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    check.ok(format!("serves {}{more}", names.join(", ")))
}
