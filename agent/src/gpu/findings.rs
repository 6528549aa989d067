//! What can be wrong with GPUs, each with a sentence and the command that helps.

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Work goes on, but less well.
    Warn,
    /// A card cannot work.
    Fail,
}

/// What was found, as a program reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// No NVIDIA driver, and no NVIDIA card that needs one.
    NoDriver,
    /// An NVIDIA card, but no driver.
    DriverMissing,
    /// An NVIDIA card, and a static program, which cannot load the driver's library.
    StaticBuild,
    /// The driver's library is there, the driver is not loaded.
    DriverNotLoaded,
    /// Driver and library are of different versions.
    VersionMismatch,
    /// This user may not talk to the driver.
    NoPermission,
    /// The driver works and has no card.
    NoCard,
    /// A card fell off the bus.
    CardLost,
    /// A card must be reset.
    ResetRequired,
    /// The driver does not answer.
    Hangs,
    /// The driver told of a fault on a card.
    Xid,
    /// Memory errors that could not be corrected.
    MemoryErrors,
    /// A card is hot.
    Hot,
    /// A card's clocks are held down.
    Throttled,
    /// This system has cards that this agent cannot read.
    Unsupported,
    /// Something else, in the driver's words.
    Unreadable,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// As a program reads it.
    pub kind: FindingKind,
    /// How much it matters.
    pub severity: Severity,
    /// The card, where it is about one.
    pub gpu: Option<u32>,
    /// As a person reads it.
    pub message: String,
    /// A command that helps.
    pub fix: Option<&'static str>,
}

impl Finding {
    /// A finding about the machine.
    pub(super) fn of_machine(kind: FindingKind, cause: &str) -> Self {
        let (severity, message, fix) = sentence(kind, "the GPUs", cause);
        let fix = fix.map(|fix| fix_here(kind, fix, cfg!(windows)));
        Self {
            kind,
            severity,
            gpu: None,
            message,
            fix,
        }
    }

    /// A finding about one card.
    pub(super) fn of_card(kind: FindingKind, index: u32, cause: &str) -> Self {
        let (severity, message, fix) = sentence(kind, &format!("GPU {index}"), cause);
        let fix = fix.map(|fix| fix_here(kind, fix, cfg!(windows)));
        Self {
            kind,
            severity,
            gpu: Some(index),
            message,
            fix,
        }
    }
}

/// The fix of a system that has the driver's tools and none of Linux' own; else the one that is given.
fn fix_here(kind: FindingKind, of_linux: &'static str, is_windows: bool) -> &'static str {
    if !is_windows {
        return of_linux;
    }
    match kind {
        FindingKind::DriverMissing => "Start-Process https://www.nvidia.com/drivers",
        FindingKind::DriverNotLoaded
        | FindingKind::VersionMismatch
        | FindingKind::CardLost
        | FindingKind::ResetRequired
        | FindingKind::MemoryErrors
        | FindingKind::Hangs => "Restart-Computer -Confirm",
        FindingKind::NoPermission => "Start-Process powershell -Verb RunAs",
        FindingKind::Xid => "Get-WinEvent -LogName System -MaxEvents 20",
        FindingKind::NoDriver
        | FindingKind::StaticBuild
        | FindingKind::NoCard
        | FindingKind::Hot
        | FindingKind::Throttled
        | FindingKind::Unsupported
        | FindingKind::Unreadable => of_linux,
    }
}

fn sentence(
    kind: FindingKind,
    what: &str,
    cause: &str,
) -> (Severity, String, Option<&'static str>) {
    match kind {
        FindingKind::NoDriver => (
            Severity::Info,
            "no GPU driver that can be read is installed; models run on the CPU".to_owned(),
            None,
        ),
        FindingKind::DriverMissing => (
            Severity::Warn,
            "an NVIDIA card is in this machine, but its driver is not installed; models run on the CPU".to_owned(),
            Some("sudo apt install nvidia-driver"),
        ),
        FindingKind::StaticBuild => (
            Severity::Warn,
            "an NVIDIA card is in this machine, but this is the static build of the agent, which cannot load the \
             driver's library; install the .deb, the .rpm or the archive without \"musl\" in its name"
                .to_owned(),
            None,
        ),
        FindingKind::DriverNotLoaded => (
            Severity::Warn,
            "the NVIDIA driver is installed, but not loaded".to_owned(),
            Some("sudo modprobe nvidia"),
        ),
        FindingKind::VersionMismatch => (
            Severity::Fail,
            "the NVIDIA driver in the kernel and its library are of different versions, as after an update without \
             a restart; no card can be used"
                .to_owned(),
            Some("sudo reboot"),
        ),
        FindingKind::NoPermission => (
            Severity::Fail,
            format!("this user may not talk to the driver, so {what} cannot be read"),
            Some("sudo usermod -aG video,render \"$USER\""),
        ),
        FindingKind::NoCard => (
            Severity::Info,
            "the NVIDIA driver works and finds no card; models run on the CPU".to_owned(),
            None,
        ),
        FindingKind::CardLost => (
            Severity::Fail,
            format!("{what} fell off the bus: the driver no longer reaches it, and work on it fails"),
            Some("sudo dmesg | grep -i xid; sudo reboot"),
        ),
        FindingKind::ResetRequired => (
            Severity::Fail,
            format!("{what} must be reset before it works again"),
            Some("sudo nvidia-smi --gpu-reset"),
        ),
        FindingKind::Hangs => (
            Severity::Fail,
            format!("the driver did not answer within {cause}: it hangs, and work on its cards does too"),
            Some("sudo dmesg | grep -i -e nvrm -e amdgpu | tail; sudo reboot"),
        ),
        FindingKind::Xid => (
            Severity::Fail,
            format!("the driver told of a fault on {what}: Xid {cause}"),
            Some("sudo dmesg | grep -i xid"),
        ),
        FindingKind::MemoryErrors => (
            Severity::Fail,
            format!("{what} had {cause} memory errors that could not be corrected; its answers may be wrong"),
            Some("sudo nvidia-smi --gpu-reset"),
        ),
        FindingKind::Hot => (
            Severity::Warn,
            format!("{what} is hot: {cause}; it slows down or ages"),
            Some("nvidia-smi -q -d TEMPERATURE"),
        ),
        FindingKind::Throttled => (
            Severity::Warn,
            format!("the clocks of {what} are held down: {cause}"),
            Some("nvidia-smi -q -d PERFORMANCE,POWER,TEMPERATURE"),
        ),
        FindingKind::Unsupported => (Severity::Info, cause.to_owned(), None),
        FindingKind::Unreadable => (
            Severity::Warn,
            format!("the driver does not tell about {what}: {cause}"),
            Some("nvidia-smi"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_gets_no_fix_of_linux() {
        for kind in [
            FindingKind::DriverMissing,
            FindingKind::DriverNotLoaded,
            FindingKind::VersionMismatch,
            FindingKind::NoPermission,
            FindingKind::CardLost,
            FindingKind::ResetRequired,
            FindingKind::Hangs,
            FindingKind::Xid,
            FindingKind::MemoryErrors,
            FindingKind::Hot,
            FindingKind::Throttled,
            FindingKind::Unreadable,
        ] {
            let (_, _, fix) = sentence(kind, "GPU 0", "x");
            let fix = fix_here(kind, fix.unwrap(), true);
            assert!(!fix.contains("sudo") && !fix.contains('|'), "{fix}");
        }
    }
}
