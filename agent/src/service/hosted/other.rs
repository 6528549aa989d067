//! Service managers that want nothing special.

use super::Work;
use crate::run::RunError;
use tokio_util::sync::CancellationToken;

pub(super) fn run(_stop: CancellationToken, work: Work) -> Result<(), RunError> {
    work()
}
