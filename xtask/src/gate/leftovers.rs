//! No process outlives its step.
//!
//! On Linux a step takes in the orphans of everything that it starts (`PR_SET_CHILD_SUBREAPER`), whatever environment,
//! session or process group they gave themselves. What still runs when the step has ended is waited for, then named,
//! ended, and fails the step. Elsewhere nothing is watched.

#[cfg(not(target_os = "linux"))]
use anyhow::Result;

/// Watches from here on.
pub(super) struct Watch(());

#[cfg(target_os = "linux")]
mod linux {
    use super::Watch;
    use anyhow::Result;
    use rustix::process::{
        Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait,
    };
    use std::time::{Duration, Instant};

    /// How long what is about to end by itself may take: a test cluster of PostgreSQL ends some seconds after its last
    /// user, a browser's helpers after their browser.
    const PATIENCE: Duration = Duration::from_secs(30);
    const LOOK: Duration = Duration::from_millis(100);
    /// Longest part of a command line that is shown, characters.
    const SHOWN: usize = 200;

    impl Watch {
        pub(in super::super) fn begin() -> Self {
            if let Err(fault) = set_child_subreaper(Some(getpid())) {
                println!("SKIPPED the watch for processes that outlive their step: {fault}");
            }
            Self(())
        }

        /// Fails where something still runs.
        pub(in super::super) fn end(self) -> Result<()> {
            self.end_within(PATIENCE)
        }

        fn end_within(self, patience: Duration) -> Result<()> {
            let give_up = Instant::now() + patience;
            while running() {
                if Instant::now() < give_up {
                    std::thread::sleep(LOOK);
                    continue;
                }
                return Err(Self::told(patience));
            }
            Ok(())
        }

        /// Names what is left and ends it.
        fn told(patience: Duration) -> anyhow::Error {
            let named: Vec<String> = descendants().into_iter().map(named).collect();
            end_all();
            anyhow::anyhow!(
                "these processes outlived the step by {} s and were ended now; whatever started them must end them:\n{}",
                patience.as_secs(),
                named.join("\n")
            )
        }
    }

    /// Takes the exit codes of orphans that have ended; whether any child is left.
    fn running() -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Ends everything, and what it leaves in turn.
    fn end_all() {
        let give_up = Instant::now() + PATIENCE;
        while running() && Instant::now() < give_up {
            for pid in descendants() {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Everything below this process, parents first.
    pub(super) fn descendants() -> Vec<Pid> {
        let mut all = Vec::new();
        let mut open = vec![getpid()];
        while let Some(parent) = open.pop() {
            let children = children(parent);
            all.extend(&children);
            open.extend(children);
        }
        all
    }

    fn children(parent: Pid) -> Vec<Pid> {
        let path = format!("/proc/{}/task", parent.as_raw_nonzero());
        let tasks = std::fs::read_dir(path).into_iter().flatten().flatten();
        tasks
            .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
            .flat_map(|text| {
                text.split_whitespace()
                    .filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn named(pid: Pid) -> String {
        let pid = pid.as_raw_nonzero();
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&command).replace('\0', " ");
        let shown: String = words.trim().chars().take(SHOWN).collect();
        format!("  {pid} {shown}")
    }

    #[cfg(test)]
    #[allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]
    mod tests {
        use super::*;
        use std::io::{BufRead, BufReader, Write};
        use std::process::Stdio;

        #[test]
        fn an_orphan_is_named_and_ended() {
            // A process of its own, so that other tests of this one keep their children.
            if std::env::var_os("DGON_TEST_ORPHAN").is_none() {
                let own = std::env::current_exe().unwrap();
                let name = "gate::leftovers::linux::tests::an_orphan_is_named_and_ended";
                let said = std::process::Command::new(own)
                    .args(["--exact", name, "--nocapture"])
                    .env("DGON_TEST_ORPHAN", "1")
                    .output()
                    .unwrap();
                let text = String::from_utf8_lossy(&said.stdout).into_owned();
                assert!(said.status.success(), "{text}");
                return;
            }
            let watch = Watch::begin();
            // Its own session, no environment, no parent: as a service would. It gives back the line that it is sent,
            // so that it has become itself by then: between fork and exec a process has no command line at all.
            let script = "exec 3<&0; env -i setsid cat <&3 &";
            let mut shell = std::process::Command::new("sh")
                .args(["-c", script])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut to_orphan = shell.stdin.take().unwrap();
            let mut from_orphan = BufReader::new(shell.stdout.take().unwrap());
            to_orphan.write_all(b"there?\n").unwrap();
            let mut line = String::new();
            from_orphan.read_line(&mut line).unwrap();
            assert_eq!(line, "there?\n");
            assert!(shell.wait().unwrap().success());
            let orphans = descendants();
            assert_eq!(orphans.len(), 1, "{orphans:?}");
            let text = watch.end_within(Duration::ZERO).unwrap_err().to_string();
            assert!(text.contains(" cat"), "{text}");
            assert!(descendants().is_empty());
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Watch {
    pub(super) fn begin() -> Self {
        println!("SKIPPED the watch for processes that outlive their step: it needs Linux");
        Self(())
    }

    pub(super) fn end(self) -> Result<()> {
        Ok(())
    }
}
