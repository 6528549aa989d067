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
