//! Windows' security descriptors: who owns something, and the list of who may do what with it. They are made from
//! their text form (SDDL) and read as it; who gets in by a text is judged elsewhere, without the system.
#![expect(
    unsafe_code,
    reason = "Windows takes and gives security descriptors as C structures"
)]

use std::io;
use std::os::windows::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::{null, null_mut};
use windows_sys::Win32::Foundation::{CloseHandle, ERROR_SUCCESS, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW, ConvertSidToStringSidW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetNamedSecurityInfoW, SDDL_REVISION_1,
    SE_FILE_OBJECT, SetNamedSecurityInfoW,
};
use windows_sys::Win32::Security::{
    ACL, DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, GetSecurityDescriptorOwner,
    GetTokenInformation, OBJECT_SECURITY_INFORMATION, OWNER_SECURITY_INFORMATION,
    PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES,
    TOKEN_QUERY, TOKEN_USER, TokenUser, UNPROTECTED_DACL_SECURITY_INFORMATION,
};
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
use windows_sys::core::PWSTR;

/// Longest text that is taken from the system, in units of 16 bits.
const TEXT: usize = 64 * 1024;

/// A security descriptor that the system allocated.
#[derive(Debug)]
pub(crate) struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    /// From its text form.
    pub(crate) fn parse(sddl: &str) -> io::Result<Self> {
        let text = wide(sddl.encode_utf16());
        let mut descriptor = null_mut();
        // SAFETY: the text ends with a NUL and outlives the call; the system writes one pointer.
        let made = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        };
        succeeded(made)?;
        Ok(Self(descriptor))
    }

    /// That of a file or directory.
    pub(super) fn of(path: &Path, parts: OBJECT_SECURITY_INFORMATION) -> io::Result<Self> {
        let name = wide(path.as_os_str().encode_wide());
        let mut descriptor = null_mut();
        // SAFETY: the name ends with a NUL and outlives the call; the parts alone are not asked for.
        let error = unsafe {
            GetNamedSecurityInfoW(
                name.as_ptr(),
                SE_FILE_OBJECT,
                parts,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                &raw mut descriptor,
            )
        };
        no_error(error)?;
        Ok(Self(descriptor))
    }

    /// Its text form.
    pub(super) fn text(&self) -> io::Result<String> {
        let mut text: PWSTR = null_mut();
        // SAFETY: the descriptor lives as long as `self`; the system writes one pointer.
        let made = unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                self.0,
                SDDL_REVISION_1,
                OWNER_AND_LIST,
                &raw mut text,
                null_mut(),
            )
        };
        succeeded(made)?;
        taken(text)
    }

    /// For a function that makes something; valid while `self` lives.
    pub(crate) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or_default(),
            lpSecurityDescriptor: self.0,
            bInheritHandle: 0,
        }
    }

    /// Makes a directory that has it from the first moment on.
    pub(super) fn make_directory(&self, path: &Path) -> io::Result<()> {
        let name = wide(path.as_os_str().encode_wide());
        let attributes = self.attributes();
        // SAFETY: the name ends with a NUL; it, the structure and the descriptor in it outlive the call.
        succeeded(unsafe { CreateDirectoryW(name.as_ptr(), &raw const attributes) })
    }

    /// Gives a file or directory its owner and its list. What is inherited from the directory above comes beside
    /// the list, or not at all.
    pub(super) fn set_on(&self, path: &Path, inherits: Inherits) -> io::Result<()> {
        let name = wide(path.as_os_str().encode_wide());
        let (owner, list) = self.parts()?;
        let inheritance = match inherits {
            Inherits::Yes => UNPROTECTED_DACL_SECURITY_INFORMATION,
            Inherits::No => PROTECTED_DACL_SECURITY_INFORMATION,
        };
        let owned = if owner.is_null() {
            0
        } else {
            OWNER_SECURITY_INFORMATION
        };
        // SAFETY: the name ends with a NUL and outlives the call; owner and list point into the descriptor of `self`.
        no_error(unsafe {
            SetNamedSecurityInfoW(
                name.as_ptr(),
                SE_FILE_OBJECT,
                DACL_SECURITY_INFORMATION | inheritance | owned,
                owner,
                null_mut(),
                list,
                null(),
            )
        })
    }

    /// Owner and list, inside the descriptor; null where it has none.
    fn parts(&self) -> io::Result<(PSID, *mut ACL)> {
        let (mut owner, mut list) = (null_mut(), null_mut());
        let (mut is_there, mut is_default) = (0, 0);
        // SAFETY: the descriptor lives as long as `self`; the system writes a pointer and a flag.
        let found =
            unsafe { GetSecurityDescriptorOwner(self.0, &raw mut owner, &raw mut is_default) };
        succeeded(found)?;
        // SAFETY: the same, with two flags.
        let found = unsafe {
            GetSecurityDescriptorDacl(
                self.0,
                &raw mut is_there,
                &raw mut list,
                &raw mut is_default,
            )
        };
        succeeded(found)?;
        Ok((owner, list))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the system allocated it, and nobody uses it after this.
        unsafe { LocalFree(self.0) };
    }
}

/// Both parts of a descriptor that are looked at.
pub(super) const OWNER_AND_LIST: OBJECT_SECURITY_INFORMATION =
    OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
/// The list alone.
pub(super) const LIST: OBJECT_SECURITY_INFORMATION = DACL_SECURITY_INFORMATION;

/// Whether rights come down from the directory above.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inherits {
    Yes,
    No,
}

/// Who runs this process, as Windows numbers its users (SID).
pub(super) fn current_user() -> io::Result<String> {
    let mut token: HANDLE = null_mut();
    // SAFETY: the handle of this process needs no closing; the system writes one handle.
    succeeded(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) })?;
    let user = user_of(token);
    // SAFETY: the handle was opened above, and nobody uses it after this.
    unsafe { CloseHandle(token) };
    user
}

fn user_of(token: HANDLE) -> io::Result<String> {
    // A user's number is at most 68 bytes long; whole words, so that the structure is aligned.
    let mut buffer = [0_u64; 32];
    let mut length = 0;
    // SAFETY: the system writes no more than the length that it is told.
    let found = unsafe {
        GetTokenInformation(
            token,
            TokenUser,
            buffer.as_mut_ptr().cast(),
            u32::try_from(size_of_val(&buffer)).unwrap_or_default(),
            &raw mut length,
        )
    };
    succeeded(found)?;
    // SAFETY: the system has written that structure to the start of the buffer, which is aligned for it.
    let user = unsafe { buffer.as_ptr().cast::<TOKEN_USER>().read() };
    let mut text: PWSTR = null_mut();
    // SAFETY: the number lies in the buffer, which outlives the call; the system writes one pointer.
    succeeded(unsafe { ConvertSidToStringSidW(user.User.Sid, &raw mut text) })?;
    taken(text)
}

/// Copies a text of the system's and frees it.
fn taken(text: PWSTR) -> io::Result<String> {
    // SAFETY: the system's texts end with a NUL, and nothing is read behind it.
    let length = (0..TEXT).find(|at| unsafe { *text.add(*at) } == 0);
    let copy = length.map(|length| {
        // SAFETY: so many units were read just now.
        String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(text, length) })
    });
    // SAFETY: the system allocated the text, and nobody uses it after this.
    unsafe { LocalFree(text.cast()) };
    copy.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Text as Windows takes it, with a NUL at its end.
fn wide(text: impl Iterator<Item = u16>) -> Vec<u16> {
    text.chain([0]).collect()
}

fn succeeded(result: i32) -> io::Result<()> {
    if result == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn no_error(error: u32) -> io::Result<()> {
    if error == ERROR_SUCCESS {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(error.cast_signed()))
}
