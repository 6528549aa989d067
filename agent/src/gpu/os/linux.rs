//! Linux: NVML and sysfs; faults from the kernel's log where this user may read it.

use super::KernelFault;
use crate::gpu::{Amd, Backend, Bus, Nvml};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Most of the kernel's log that is read; its ring buffer is smaller nearly everywhere.
const LOG_BYTES: usize = 16 << 20;
/// Longest record of the log.
const RECORD_BYTES: usize = 16 << 10;

/// The sources of this system.
pub(in crate::gpu) fn backends() -> Vec<Box<dyn Backend>> {
    vec![
        Box::new(Nvml::from_environment()),
        Box::new(Amd::new(Bus::system())),
    ]
}

/// The command line of a process, its words apart by spaces.
pub(in crate::gpu) fn command_line(pid: u32) -> Option<String> {
    let read = |file: &str| {
        let bytes =
            crate::files::read_small(Path::new(&format!("/proc/{pid}/{file}")), 64 << 10).ok()?;
        let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    read("cmdline").or_else(|| read("comm"))
}

/// NVIDIA's faults in the kernel's log, oldest first; `None` where this user may not read it.
pub(in crate::gpu) fn kernel_faults(log: &Path) -> Option<Vec<KernelFault>> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(log)
        .ok()?;
    let (mut faults, mut line, mut seen) = (Vec::new(), Vec::new(), 0);
    let mut record = vec![0; RECORD_BYTES];
    while seen < LOG_BYTES {
        let bytes = match file.read(&mut record) {
            Ok(0) => break,
            Ok(bytes) => bytes,
            // The oldest records were overwritten while we read; the log goes on after them.
            Err(error)
                if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) =>
            {
                seen += 1;
                continue;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return None,
        };
        seen += bytes;
        for byte in &record[..bytes] {
            if *byte == b'\n' {
                faults.extend(fault(&String::from_utf8_lossy(&line)));
                line.clear();
            } else if line.len() < RECORD_BYTES {
                line.push(*byte);
            }
        }
    }
    Some(faults)
}

/// `6,1234,98765432,-;NVRM: Xid (PCI:0000:3b:00): 79, …`: the third number is the time, µs.
fn fault(line: &str) -> Option<KernelFault> {
    let (head, message) = line.split_once(';')?;
    let at_us: u64 = head.split(',').nth(2)?.parse().ok()?;
    let told = message.strip_prefix("NVRM: Xid (PCI:")?;
    let (address, told) = told.split_once("): ")?;
    let number = told.split(',').next()?.trim();
    Some(KernelFault {
        address: address.to_ascii_lowercase(),
        xid: number.parse().ok()?,
        at_uptime_s: at_us / 1_000_000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_out_of_the_kernels_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("kmsg");
        assert_eq!(kernel_faults(&log), None);
        let text = "6,1,100,-;Linux version 6.1\n SUBSYSTEM=pci\n\
                    4,2,61000000,-;NVRM: Xid (PCI:0000:3B:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.\n\
                    4,3,62000000,-;NVRM: Xid (PCI:0000:af:00): nonsense\n\
                    4,4,63000000,-;user says NVRM: Xid (PCI:0000:af:00): 13, x\n";
        std::fs::write(&log, text).unwrap();
        let fault = KernelFault {
            address: "0000:3b:00".to_owned(),
            xid: 79,
            at_uptime_s: 61,
        };
        assert_eq!(kernel_faults(&log).unwrap(), [fault]);
    }

    #[test]
    fn a_process_tells_its_command_line() {
        let own = command_line(std::process::id()).unwrap();
        assert!(own.contains("dgon_agent"), "{own}");
        assert_eq!(command_line(u32::MAX), None);
    }
}
