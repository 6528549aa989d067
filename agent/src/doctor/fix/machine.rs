//! The machine: its clock, what its kernel tells, a restart, cards and runtimes.

use super::System;

impl System {
    /// Sets the clock.
    pub(in crate::doctor) fn set_clock(self) -> &'static str {
        match self {
            Self::Linux => "sudo timedatectl set-ntp true",
            Self::Macos => "sudo sntp -sS time.apple.com",
            Self::Windows => "w32tm /resync",
        }
    }

    /// The clock, in UTC.
    pub(in crate::doctor) fn show_clock(self) -> &'static str {
        match self {
            Self::Linux | Self::Macos => "date -u",
            Self::Windows => "(Get-Date).ToUniversalTime()",
        }
    }

    /// What the kernel or its drivers told last.
    pub(in crate::doctor) fn kernel_log(self) -> &'static str {
        match self {
            Self::Linux => "sudo dmesg | tail",
            Self::Macos => "log show --last 5m --predicate 'process == \"kernel\"' | tail",
            Self::Windows => "Get-WinEvent -LogName System -MaxEvents 20",
        }
    }

    /// For a GPU driver that hangs: what it told, and a restart of the machine.
    pub(in crate::doctor) fn driver_hangs(self) -> String {
        match self {
            Self::Linux => "sudo dmesg | grep -i -e nvrm -e amdgpu | tail; sudo reboot".to_owned(),
            Self::Macos => format!("{}; sudo reboot", self.kernel_log()),
            Self::Windows => format!("{}; Restart-Computer -Confirm", self.kernel_log()),
        }
    }

    /// The agents that run, with their command lines.
    pub(in crate::doctor) fn list_agents(self) -> &'static str {
        match self {
            Self::Linux => "pgrep -a -x dgon-agent",
            Self::Macos => "pgrep -l -f dgon-agent",
            Self::Windows => "Get-CimInstance Win32_Process -Filter \"Name='dgon-agent.exe'\"",
        }
    }

    /// How a card is.
    pub(in crate::doctor) fn watch_card(self, index: u32) -> String {
        match self {
            Self::Linux | Self::Windows => {
                format!("nvidia-smi -q -i {index} -d TEMPERATURE,PERFORMANCE,POWER")
            }
            Self::Macos => "sudo powermetrics --samplers gpu_power,thermal -n 1".to_owned(),
        }
    }

    /// What the GPU driver knows.
    pub(in crate::doctor) fn show_cards(self) -> &'static str {
        match self {
            Self::Linux | Self::Windows => "nvidia-smi",
            Self::Macos => "system_profiler SPDisplaysDataType",
        }
    }

    /// Brings a runtime to a machine that has none.
    pub(in crate::doctor) fn install_runtime(self) -> &'static str {
        match self {
            Self::Linux => "curl -fsSL https://ollama.com/install.sh | sh",
            Self::Macos => "open https://ollama.com/download",
            Self::Windows => "winget install --id Ollama.Ollama",
        }
    }
}
