//! One look at one endpoint: still what it was, or else which kind it is now.

use super::Endpoint;
use super::adapter::{ADAPTERS, Adapter, Depth};
use super::found::FoundRuntime;
use super::visit::Visit;

/// What a look came to.
#[derive(Debug)]
pub(super) enum Look {
    /// A runtime answers.
    Found(FoundRuntime),
    /// Nobody listens, or it is no runtime.
    Nothing,
    /// Somebody listens and does not answer in time: a busy runtime does that.
    NoAnswer,
}

/// Looks at an endpoint where `last` was found before.
pub(super) async fn look(endpoint: &Endpoint, last: Option<&FoundRuntime>, depth: Depth) -> Look {
    let mut visit = Visit::new(endpoint.clone());
    if let Some(last) = last
        && let Some(adapter) = ADAPTERS.iter().find(|a| a.kind() == last.kind)
        && let Some(found) = inspect(*adapter, &mut visit, depth, Some(last)).await
    {
        return Look::Found(found);
    }
    // The port's first answer tells whether it is worth more questions.
    if visit.get("/").await.is_none() {
        return if visit.is_refused() || last.is_none() {
            Look::Nothing
        } else {
            Look::NoAnswer
        };
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
    Look::Nothing
}

async fn inspect(
    adapter: &dyn Adapter,
    visit: &mut Visit,
    depth: Depth,
    last: Option<&FoundRuntime>,
) -> Option<FoundRuntime> {
    let inspection = adapter.inspect(visit, depth).await?;
    Some(inspection.found(adapter.kind(), visit, depth, last))
}
