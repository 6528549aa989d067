//! Group `runtime`: one is found, it is ready, it has models.

use crate::doctor::{Check, Patient};
use crate::runtime::{FoundRuntime, Readiness, RuntimeKind, discover};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const GROUP: &str = "runtime";
const LOOK: Duration = Duration::from_millis(3_500);

pub(in crate::doctor) async fn check(patient: Arc<Patient>) -> Vec<Check> {
    let found = Check::new(GROUP, "found", "default ports and runtimes.endpoints");
    let Ok(loaded) = &patient.config else {
        return vec![found.skip("the configuration cannot be read")];
    };
    let settings = match crate::run::registry_settings(&loaded.config) {
        Ok(settings) => settings,
        Err(error) => {
            return vec![found.fail(
                &error.to_string(),
                Some("dgon-agent config show".to_owned()),
            )];
        }
    };
    let Ok(runtimes) = timeout(LOOK, discover(&settings)).await else {
        return vec![found.fail("what listens there does not answer within 3.5 s", None)];
    };
    if runtimes.is_empty() {
        return vec![found.fail(
            "no LLM runtime answers, so there is nothing to serve",
            Some(start_one()),
        )];
    }
    let names: Vec<String> = runtimes
        .iter()
        .map(|runtime| format!("{} at {}", runtime.kind.as_str(), runtime.endpoint))
        .collect();
    let mut checks = vec![found.ok(&names.join(", "))];
    for (index, runtime) in runtimes.iter().enumerate() {
        checks.push(ready(index, runtime));
        checks.push(models(index, runtime));
    }
    checks
}

fn start_one() -> String {
    let has_ollama = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|dir| {
            dir.join(format!("ollama{}", std::env::consts::EXE_SUFFIX))
                .is_file()
        })
    });
    if has_ollama {
        "ollama serve".to_owned()
    } else {
        "curl -fsSL https://ollama.com/install.sh | sh".to_owned()
    }
}

fn about(index: usize, name: &str, runtime: &FoundRuntime) -> Check {
    let looked_at = format!("{} at {}", runtime.kind.as_str(), runtime.endpoint);
    Check::new(GROUP, &format!("{index}.{name}"), &looked_at)
}

fn ready(index: usize, runtime: &FoundRuntime) -> Check {
    let check = about(index, "ready", runtime);
    match &runtime.readiness {
        Readiness::Ready => check.ok("takes requests"),
        Readiness::Loading => check.warn(
            "is loading its model; it takes requests when that is done",
            None,
        ),
        Readiness::Unready { reason } => check.fail(
            &format!("answers, but cannot serve: {reason}"),
            Some(format!("curl {}", runtime.endpoint)),
        ),
    }
}

fn models(index: usize, runtime: &FoundRuntime) -> Check {
    let check = about(index, "models", runtime);
    if runtime.asks_for_key {
        return check.fail(
            "asks for an API key, so its models are not known; put the key into a file and name it as api_key_file \
             of this address under runtimes.endpoints",
            Some("dgon-agent config show".to_owned()),
        );
    }
    if runtime.models.is_empty() {
        let pull = (runtime.kind == RuntimeKind::Ollama).then(|| "ollama pull llama3.2".to_owned());
        return check.fail("serves no model", pull);
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
    check.ok(&format!("serves {}{more}", names.join(", ")))
}
