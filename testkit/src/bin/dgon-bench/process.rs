//! What the system tells of a running program and the programs that it started. Linux only.

use super::system::cpu_of;
use std::fs;
use std::time::Duration;

/// Memory, KiB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// In RAM, with what is shared with files.
    pub(crate) resident: u64,
    /// In RAM and backed by no file: nobody else has it.
    pub(crate) private: u64,
}

/// The program and its children, and theirs.
fn tree(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        let children = threads(*pid).into_iter().flat_map(|thread| {
            let listed = fs::read_to_string(format!("/proc/{pid}/task/{thread}/children"));
            listed
                .unwrap_or_default()
                .split_whitespace()
                .filter_map(|child| child.parse().ok())
                .collect::<Vec<u32>>()
        });
        let children: Vec<u32> = children.collect();
        all.extend(children);
        next += 1;
    }
    all
}

fn threads(pid: u32) -> Vec<u32> {
    let listed = fs::read_dir(format!("/proc/{pid}/task"));
    listed
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// CPU time used so far.
pub(crate) fn cpu(root: u32) -> Duration {
    tree(root).into_iter().filter_map(cpu_of).sum()
}

/// Where a program's own CPU time went so far. Counted in steps of 10 ms, so only good for many seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Split {
    /// On the threads of SQLite.
    pub(crate) sqlite: Duration,
    /// In the system, for all other threads.
    pub(crate) system: Duration,
}

impl Split {
    /// What was used since.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            sqlite: self.sqlite.saturating_sub(before.sqlite),
            system: self.system.saturating_sub(before.system),
        }
    }
}

/// How long one step of the counters in `/proc` is: Linux says 100 a second on every machine that it runs on here.
const STEP: Duration = Duration::from_millis(10);

/// Where its CPU time went so far, without its children.
pub(crate) fn split(pid: u32) -> Split {
    let mut split = Split::default();
    for thread in threads(pid) {
        let stat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat"));
        let stat = stat.unwrap_or_default();
        // The name is in brackets and may have any in it.
        let Some((begin, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        // proc_pid_stat(5): after the name, utime is the 12th and stime the 13th.
        let mut rest = rest.split_whitespace().skip(11);
        let mut next = || {
            STEP * rest
                .next()
                .and_then(|steps| steps.parse().ok())
                .unwrap_or(0)
        };
        let (user, system) = (next(), next());
        match begin.contains("(sqlx-sqlite") {
            true => split.sqlite += user + system,
            false => split.system += system,
        }
    }
    split
}

/// Memory now.
pub(crate) fn memory(root: u32) -> Memory {
    let mut sum = Memory::default();
    for pid in tree(root) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        sum.resident += field(&status, "VmRSS:");
        sum.private += field(&status, "RssAnon:");
    }
    sum
}

/// How often a thread has gone to sleep so far, which is how often it was woken.
pub(crate) fn wakeups(root: u32) -> u64 {
    let mut sum = 0;
    for pid in tree(root) {
        for thread in threads(pid) {
            let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status"));
            sum += field(&status.unwrap_or_default(), "voluntary_ctxt_switches:");
        }
    }
    sum
}

/// The load of the last minute, as the system counts it.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .unwrap_or("unknown")
        .to_owned()
}
