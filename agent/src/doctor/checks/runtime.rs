//! Groups `runtime` and `models`: one is found, it is ready, it has models, and a token comes through the proxy.

use super::{HERE, chain, generation};
use crate::doctor::examine::{Examination, Told};
use crate::doctor::{Check, CheckId, Subject};
use crate::runtime::{FoundRuntime, Readiness, RuntimeKind, discover};
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
    run: |subject, told| Box::pin(check(subject, told)),
};

async fn check(subject: Arc<Subject>, told: Told) {
    let found = Check::new(
        CheckId::RuntimeFound,
        "default ports and runtimes.endpoints",
    );
    let Some(config) = subject.values() else {
        return told.rest("the configuration cannot be read");
    };
    let settings = match crate::run::registry_settings(config, subject.api().as_ref()) {
        Ok(settings) => settings,
        Err(error) => {
            told.tell(found.fail(chain(&error), subject.command("config show")));
            return told.rest("the runtimes that are named cannot be asked");
        }
    };
    let (runtimes, asked) = tokio::join!(timeout(LOOK, discover(&settings)), subject.asked());
    let Ok(runtimes) = runtimes else {
        told.tell(found.fail(
            "what listens there does not answer within 2.3 s",
            subject.command("runtimes"),
        ));
        return told.rest("no runtime answers");
    };
    if runtimes.is_empty() {
        told.tell(found.fail(
            "no LLM runtime answers, so there is nothing to serve",
            start_one(),
        ));
        return told.rest("no runtime answers");
    }
    let names: Vec<String> = runtimes.iter().map(name).collect();
    told.tell(found.ok(names.join(", ")));
    for runtime in &runtimes {
        told.tell(ready(runtime));
        told.tell(models(&subject, runtime));
    }
    told.tell(generation::check(&runtimes, &asked).await);
}

fn name(runtime: &FoundRuntime) -> String {
    format!("{} at {}", runtime.kind.as_str(), runtime.endpoint)
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

fn ready(runtime: &FoundRuntime) -> Check {
    let check =
        Check::new(CheckId::RuntimeReady, runtime.endpoint.to_string()).about(name(runtime));
    let look = HERE.get(&runtime.endpoint.to_string());
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

fn models(subject: &Subject, runtime: &FoundRuntime) -> Check {
    let check =
        Check::new(CheckId::ModelsServed, runtime.endpoint.to_string()).about(name(runtime));
    if runtime.asks_for_key {
        return check.fail(
            "asks for an API key, so its models are not known; put the key into a file and name it as api_key_file \
             of this address under runtimes.endpoints",
            subject.command("config show"),
        );
    }
    if runtime.models.is_empty() {
        let fix = match runtime.kind {
            RuntimeKind::Ollama => "ollama pull llama3.2".to_owned(),
            _ => HERE.get(&format!("{}/v1/models", runtime.endpoint)),
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
