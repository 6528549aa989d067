//! Linux: ids from procfs and systemd's machine id.

use std::fs;

pub(super) fn boot_id() -> Option<String> {
    first_line(&["/proc/sys/kernel/random/boot_id"])
}

pub(super) fn machine_id() -> Option<String> {
    first_line(&["/etc/machine-id", "/var/lib/dbus/machine-id"])
}

fn first_line(paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().next()?.trim();
        // A machine that is still to be set up says "uninitialized".
        (!line.is_empty() && line != "uninitialized").then(|| line.to_owned())
    })
}
