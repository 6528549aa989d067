//! A named pipe that only its owner, administrators and the system may open.
#![expect(
    unsafe_code,
    reason = "Windows takes a pipe's access list as a C structure"
)]

use std::io;
use std::ptr::null_mut;
use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};
use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES};
use windows_sys::core::PCWSTR;
use windows_sys::w;

/// All access for the system, administrators and the owner; none inherited, none for anybody else.
const OWNER_ALONE: PCWSTR = w!("D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)");

/// Makes one instance of the pipe. The first must be the very first: a name that is taken is an error.
pub(super) fn create(name: &str, is_first: bool) -> io::Result<NamedPipeServer> {
    let mut descriptor: PSECURITY_DESCRIPTOR = null_mut();
    // SAFETY: the text is a constant that ends with a NUL; the descriptor is freed below.
    let made = unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            OWNER_ALONE,
            SDDL_REVISION_1,
            &raw mut descriptor,
            null_mut(),
        )
    };
    if made == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut attributes = SECURITY_ATTRIBUTES {
        nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or_default(),
        lpSecurityDescriptor: descriptor,
        bInheritHandle: 0,
    };
    let mut options = ServerOptions::new();
    options
        .first_pipe_instance(is_first)
        .reject_remote_clients(true);
    // SAFETY: the structure and the descriptor in it live until the call returns.
    let server =
        unsafe { options.create_with_security_attributes_raw(name, (&raw mut attributes).cast()) };
    // SAFETY: the system allocated the descriptor, and nobody uses it after this.
    unsafe { LocalFree(descriptor) };
    server
}
