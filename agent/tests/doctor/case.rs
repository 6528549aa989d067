//! Cases: one machine that is ill in one way, what the doctor must say of it, and how it gets well.
//!
//! The printed fix is part of a case: it is run as it stands wherever a test can run it, and then the same check
//! must be well.

use crate::support::agent;
use crate::support::machine::Machine;
use dgon_agent::doctor::CheckId;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::any::Any;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One case: the check that must find it, its name, and how it is made.
pub(crate) type Case = (CheckId, &'static str, fn() -> Scenario);

/// A machine that is ill.
pub(crate) struct Scenario {
    pub(crate) machine: Machine,
    /// What the finding must say.
    pub(crate) says: &'static str,
    pub(crate) mend: Mend,
    keep: Vec<Box<dyn Any>>,
}

/// Mends a machine by the hand of the test.
pub(crate) type ByHand = Box<dyn FnOnce(&mut Machine)>;

/// How it gets well.
pub(crate) enum Mend {
    /// By the printed command.
    Run,
    /// By the printed command in the shell that then calls the doctor: it changes a variable. Words that a person
    /// fills in are replaced.
    Shell(Vec<(&'static str, String)>),
    /// By the printed command, which goes on running.
    Start,
    /// The printed command shows the cause, in these words; then the test mends it.
    Shows(&'static str, ByHand),
    /// The printed command changes the whole machine or another one; the test does it in its stead.
    ByHand(ByHand),
    /// Nobody can, in a test; and why.
    Never(&'static str),
}

impl Scenario {
    pub(crate) fn new(machine: Machine, says: &'static str, mend: Mend) -> Self {
        Self {
            machine,
            says,
            mend,
            keep: Vec::new(),
        }
    }

    /// Keeps a peer alive until the case is over.
    pub(crate) fn keep(mut self, peer: impl Any) -> Self {
        self.keep.push(Box::new(peer));
        self
    }
}

/// Runs the cases of a group one after the other.
pub(crate) fn run(cases: &[Case]) {
    for (id, name, make) in cases {
        println!("{}: {name}", id.as_str());
        one(id.as_str(), make());
    }
}

fn one(id: &str, scenario: Scenario) {
    let Scenario {
        mut machine,
        says,
        mend,
        keep,
    } = scenario;
    let report = machine.report();
    let (outcome, finding, fix) = worst(&report, id);
    assert!(
        outcome == "warn" || outcome == "fail",
        "{id} is {outcome}: {finding}\n{report:#}"
    );
    assert!(finding.contains(says), "{id} says: {finding}");
    let fix = fix.unwrap_or_else(|| panic!("{id} has no fix: {finding}"));
    let mut started = None;
    let report = match mend {
        Mend::Run => {
            let output = shell(&machine, &fix).output().unwrap();
            assert!(output.status.success(), "{fix}: {output:?}");
            machine.report()
        }
        Mend::Shell(words) => {
            let filled = words
                .iter()
                .fold(fix, |fix, (word, value)| fix.replace(word, value));
            let both = format!("{filled}\ndgon-agent doctor --json");
            crate::support::json(&shell(&machine, &both).output().unwrap())
        }
        Mend::Start => {
            // A shell that stayed between would leave the agent behind when it is killed.
            let alone = fix.replace("dgon-agent run", "exec dgon-agent run");
            let agent = Running::of(&mut shell(&machine, &alone));
            // Not the one before, which may take a moment to end.
            let pid = Value::from(agent.0.id());
            started = Some(agent);
            until(&machine, |status| status["pid"] == pid);
            machine.report()
        }
        Mend::Shows(what, mend) => {
            let output = shell(&machine, &fix).output().unwrap();
            let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert!(shown.contains(what), "{fix} shows: {shown}");
            mend(&mut machine);
            machine.report()
        }
        Mend::ByHand(mend) => {
            mend(&mut machine);
            machine.report()
        }
        Mend::Never(why) => {
            println!("  not mended here: {why}");
            return;
        }
    };
    let (outcome, finding, _) = worst(&report, id);
    assert_eq!(outcome, "ok", "{id} after its fix: {finding}");
    drop((started, keep));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The check of this name that ended worst.
pub(crate) fn worst(report: &Value, id: &str) -> (String, String, Option<String>) {
    let rank = |check: &&Value| {
        ["skip", "ok", "warn", "fail"]
            .iter()
            .position(|outcome| check["outcome"] == *outcome)
    };
    let checks = report["checks"].as_array().unwrap();
    let found = checks
        .iter()
        .filter(|check| check["id"] == id)
        .max_by_key(rank);
    let found = found.unwrap_or_else(|| panic!("no check {id} in {report:#}"));
    let text = |name: &str| found[name].as_str().map(str::to_owned);
    (
        text("outcome").unwrap(),
        text("finding").unwrap(),
        text("fix"),
    )
}

/// A command line of the machine's owner, with this program on the path.
pub(crate) fn shell(machine: &Machine, line: &str) -> Command {
    let programs = machine.dir.path().join("bin");
    std::fs::create_dir_all(&programs).unwrap();
    let program = programs.join("dgon-agent");
    if !program.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dgon-agent"), program).unwrap();
    }
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        programs.display()
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", line])
        .env_clear()
        .env("PATH", path)
        .env("DGON_STATE_DIR", machine.dir.path().join("state"))
        .envs(
            machine
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .stdin(Stdio::null())
        .current_dir(machine.dir.path());
    command
}

/// A process that runs until the test ends.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn of(command: &mut Command) -> Self {
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(quiet.spawn().unwrap())
    }

    /// The agent of this machine.
    pub(crate) fn agent(machine: &Machine) -> Self {
        Self::of(
            agent(machine.dir.path(), &["run"]).envs(
                machine
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            ),
        )
    }

    /// Halts it where it is, as Ctrl-Z does.
    pub(crate) fn halt(&self) {
        let pid = Pid::from_raw(self.0.id().cast_signed()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
    }

    /// Resident memory, KiB; `None` where the process has ended.
    pub(crate) fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What the running agent says of itself.
pub(crate) fn status(machine: &Machine) -> Value {
    let output: Output = agent(machine.dir.path(), &["status", "--json"])
        .output()
        .unwrap();
    crate::support::json(&output)
}

/// Waits until the running agent says what is wanted.
pub(crate) fn until(machine: &Machine, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = agent(machine.dir.path(), &["status", "--json"])
            .output()
            .unwrap();
        // An agent that ends while it is asked gives no answer.
        match serde_json::from_slice(&output.stdout) {
            Ok(status) if wanted(&status) => return status,
            _ => assert!(Instant::now() < deadline, "{output:?}"),
        }
    }
}
