//! One look at one endpoint: still what it was, or else which kind it is now.

use super::FoundRuntime;
use super::adapter::{ADAPTERS, Adapter, Depth};
use super::visit::{Seen, Visit};
use super::{NamedEndpoint, RuntimeKind};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// What a look came to.
#[derive(Debug)]
pub(super) enum Look {
    /// A runtime answers.
    Found(FoundRuntime),
    /// Nobody listens, or a program of ours does.
    Nothing,
    /// Something answers that is no runtime; what it looks like.
    Stranger(u64),
    /// Somebody listens and does not answer in time: a busy runtime does that.
    NoAnswer,
}

/// Looks at an endpoint where `last` was found before.
pub(super) async fn look(place: &NamedEndpoint, last: Option<&FoundRuntime>, depth: Depth) -> Look {
    let mut visit = Visit::new(place.endpoint.clone(), place.access.clone());
    let known = place.kind.or(last.map(|last| last.kind));
    if let Some(adapter) = known.and_then(adapter_of)
        && let Some(found) = inspect(adapter, &mut visit, depth, last).await
    {
        return Look::Found(found);
    }
    // The port's first answer tells whether it is worth more questions.
    let Some(root) = visit.get("/").await else {
        return nothing(&visit, last);
    };
    if place.kind.is_some() {
        // What the owner named is nothing else.
        return nothing(&visit, last);
    }
    for adapter in ADAPTERS {
        if visit.is_ours() {
            return Look::Nothing;
        }
        if adapter.recognise(&mut visit).await
            && let Some(found) = inspect(adapter, &mut visit, Depth::Deep, None).await
        {
            return Look::Found(found);
        }
    }
    if visit.missed_an_answer() || visit.is_ours() {
        return nothing(&visit, last);
    }
    Look::Stranger(face(&root))
}

/// What a program looks like from outside. Its page may change with every answer; its name and status do not.
fn face(root: &Seen) -> u64 {
    let mut hasher = DefaultHasher::new();
    (root.status, &root.server).hash(&mut hasher);
    hasher.finish()
}

/// A busy runtime misses questions; that alone does not make it go away.
fn nothing(visit: &Visit, last: Option<&FoundRuntime>) -> Look {
    if last.is_some() && visit.missed_an_answer() && !visit.is_refused() {
        Look::NoAnswer
    } else {
        Look::Nothing
    }
}

fn adapter_of(kind: RuntimeKind) -> Option<&'static dyn Adapter> {
    ADAPTERS.into_iter().find(|adapter| adapter.kind() == kind)
}

async fn inspect(
    adapter: &dyn Adapter,
    visit: &mut Visit,
    depth: Depth,
    last: Option<&FoundRuntime>,
) -> Option<FoundRuntime> {
    // The first look at a runtime is a deep one: a shallow one has nothing to add to.
    let depth = if last.is_some() { depth } else { Depth::Deep };
    let inspection = adapter.inspect(visit, depth).await?;
    Some(inspection.found(adapter.kind(), visit, depth, last))
}
