//! One look at one endpoint: still what it was, or else which kind it is now.

use super::FoundRuntime;
use super::adapter::{ADAPTERS, Adapter, Depth};
use super::client::{EndpointClient, Reply};
use super::{NamedEndpoint, RuntimeKind};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// What a look came to.
#[derive(Debug)]
pub(super) enum Detection {
    /// A runtime answers.
    Found(FoundRuntime),
    /// Nobody listens, or a program of ours does; in a few words.
    Nothing(String),
    /// Something answers that is no runtime.
    Unrelated {
        /// What it looks like.
        fingerprint: u64,
        /// HTTP status of its front page.
        status: u16,
    },
    /// Somebody listens and does not answer in time: a busy runtime does that. In a few words.
    NoAnswer(String),
}

/// Looks at an endpoint where `last` was found before.
pub(super) async fn detect(
    named: &NamedEndpoint,
    last: Option<&FoundRuntime>,
    depth: Depth,
) -> Detection {
    let mut client = EndpointClient::new(named.endpoint.clone(), named.access.clone());
    let known = named.kind.or(last.map(|last| last.kind));
    if let Some(adapter) = known.and_then(adapter_of)
        && let Some(found) = inspect(adapter, &mut client, depth, last).await
    {
        return Detection::Found(found);
    }
    // The port's first answer tells whether it is worth more questions.
    let Some(root) = client.get("/").await else {
        return nothing(&client, last);
    };
    if let Some(kind) = named.kind {
        // What the owner named is nothing else.
        return match nothing(&client, last) {
            Detection::Nothing(_) if !client.is_ours() => Detection::Nothing(format!(
                "what answers is no {} (status {})",
                kind.as_str(),
                root.status
            )),
            other => other,
        };
    }
    for adapter in ADAPTERS {
        if client.is_ours() {
            return nothing(&client, last);
        }
        if adapter.recognise(&mut client).await
            && let Some(found) = inspect(adapter, &mut client, Depth::Deep, None).await
        {
            return Detection::Found(found);
        }
    }
    if client.missed_an_answer() || client.is_ours() {
        return nothing(&client, last);
    }
    Detection::Unrelated {
        fingerprint: fingerprint(&root),
        status: root.status,
    }
}

/// What a program looks like from outside. Its page may change with every answer; its name and status do not.
fn fingerprint(root: &Reply) -> u64 {
    let mut hasher = DefaultHasher::new();
    (root.status, &root.server).hash(&mut hasher);
    hasher.finish()
}

/// A busy runtime misses questions; that alone does not make it go away.
fn nothing(client: &EndpointClient, last: Option<&FoundRuntime>) -> Detection {
    if client.is_ours() {
        return Detection::Nothing(
            "a program of DGON listens there, which is no runtime".to_owned(),
        );
    }
    let why = client
        .why_missed()
        .unwrap_or("no runtime answers")
        .to_owned();
    if last.is_some() && client.missed_an_answer() && !client.is_refused() {
        Detection::NoAnswer(why)
    } else {
        Detection::Nothing(why)
    }
}

fn adapter_of(kind: RuntimeKind) -> Option<&'static dyn Adapter> {
    ADAPTERS.into_iter().find(|adapter| adapter.kind() == kind)
}

async fn inspect(
    adapter: &dyn Adapter,
    client: &mut EndpointClient,
    depth: Depth,
    last: Option<&FoundRuntime>,
) -> Option<FoundRuntime> {
    // The first look at a runtime is a deep one: a shallow one has nothing to add to.
    let depth = if last.is_some() { depth } else { Depth::Deep };
    let inspection = adapter.inspect(client, depth).await?;
    Some(inspection.found(adapter.kind(), client, depth, last))
}
