//! A named pipe that only its owner, administrators and the system may open.
#![expect(
    unsafe_code,
    reason = "Windows takes a pipe's access list as a C structure"
)]

use crate::files::Descriptor;
use std::io;
use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};

/// All access for the system, administrators and the owner; none inherited, none for anybody else.
const OWNER_ALONE: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)";

/// Makes one instance of the pipe. The first must be the very first: a name that is taken is an error.
pub(super) fn create(name: &str, is_first: bool) -> io::Result<NamedPipeServer> {
    let descriptor = Descriptor::parse(OWNER_ALONE)?;
    let mut attributes = descriptor.attributes();
    let mut options = ServerOptions::new();
    options
        .first_pipe_instance(is_first)
        .reject_remote_clients(true);
    // SAFETY: the structure and the descriptor in it live until the call returns.
    unsafe { options.create_with_security_attributes_raw(name, (&raw mut attributes).cast()) }
}
