//! Every program that a step, a script or a test starts is part of what the README asks for, or declared as a need.

use super::*;
use crate::gate::stages;
use std::collections::BTreeSet;

/// Programs that need no declaration: what the README asks for, and packages that every Debian has
/// (`Essential: yes`) or that come with those.
const GIVEN: &[&str] = &[
    // The README's list; binutils come with the C compiler.
    "cargo",
    "rustc",
    "rustup",
    "rustdoc",
    "node",
    "npm",
    "npx",
    "git",
    "make",
    "cc",
    "gcc",
    "ar",
    "strip",
    "objdump",
    // coreutils, dash, bash, grep, gzip, tar, findutils, dpkg, apt, util-linux, bsdutils, mount.
    "sh",
    "bash",
    "bin/sh",
    "cp",
    "chown",
    "chmod",
    "cat",
    "date",
    "du",
    "env",
    "install",
    "md5sum",
    "mkfifo",
    "mv",
    "rm",
    "sha256sum",
    "sleep",
    "sort",
    "touch",
    "true",
    "tar",
    "gzip",
    "find",
    "dpkg-deb",
    "apt-get",
    "apt-config",
    "mount",
    "umount",
    "nsenter",
    "pivot_root",
    "setpriv",
    "unshare",
    "script",
    "runuser",
    "setsid",
    "hostname",
    // Of coreutils, without which there is no Debian.
    "nice",
];

/// Programs whose absence the code that starts them handles itself, with where.
const LOOKED_FOR: &[&str] = &[
    // testkit/src/bin/dgon-bench: peers of the figures are told as not measured.
    "nginx",
    "haproxy",
    "collectd",
    "prometheus-node-exporter",
];

/// Programs that steps and packages bring.
fn declared() -> BTreeSet<&'static str> {
    let steps = stages::all().flat_map(|step| step.needs.iter().copied());
    let packages = crate::package::all_needs();
    let cross = crate::cross::brought();
    let systems = crate::systems::all_needs();
    let mut names = BTreeSet::new();
    let all = steps.chain(packages).chain(cross).chain(systems);
    for need in all.chain(PYTHON.iter().copied()) {
        match need {
            Need::Debian { any_of, .. } => names.extend(any_of.iter().copied()),
            Need::CargoCommand { name, .. } => drop(names.insert(name)),
            Need::Component { program, .. } => drop(names.insert(program)),
            Need::Node => {}
        }
    }
    names
}

/// Source files below a folder with one of these endings.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![shell::root().join(folder)];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no such file");
    found
}

/// The words in quotes that follow one of `starts` in a text.
fn quoted_after<'a>(text: &'a str, starts: &[&str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    for start in starts {
        for (at, _) in text.match_indices(start) {
            if let Some((word, _)) = text[at + start.len()..].split_once('"') {
                found.push(word);
            }
        }
    }
    found
}

/// Programs that a file starts by name.
fn started(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let starts: &[&str] = if path.extension().is_some_and(|end| end == "py") {
        &[
            "subprocess.run([\"",
            "subprocess.Popen([\"",
            "command = [\"",
            "shutil.which(\"",
        ]
    } else {
        &["command(\"", "Command::new(\"", "exists(\""]
    };
    let words = quoted_after(&text, starts);
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_program_that_is_started_is_declared() {
    let declared = declared();
    let known = |program: &str| {
        GIVEN.contains(&program) || LOOKED_FOR.contains(&program) || declared.contains(program)
    };
    let mut unknown = Vec::new();
    let mut seen = BTreeSet::new();
    for (folder, endings) in [
        ("xtask/src", &[".rs"][..]),
        ("agent/tests", &[".rs"]),
        ("control-plane", &[".rs"]),
        ("testkit/src", &[".rs"]),
        ("testkit/tests", &[".rs"]),
        ("testkit/clients", &[".py"]),
        ("testkit/conformance", &[".py"]),
        ("testkit/machine", &["base.py", "machine.py", "run.py"]),
        ("testkit/real", &[".py"]),
    ] {
        for path in files(folder, endings) {
            if path.ends_with("needs_tests.rs") {
                continue;
            }
            for program in started(&path) {
                if !known(&program) {
                    unknown.push(format!("{}: {program}", path.display()));
                }
                seen.insert(program);
            }
        }
    }
    // The search finds what is known to be there, or it finds nothing at all.
    for program in ["npm", "kill", "curl", "debootstrap", "rpmbuild", "setpriv"] {
        assert!(seen.contains(program), "{program} was not found: {seen:?}");
    }
    assert!(
        unknown.is_empty(),
        "declare these beside the step that needs them (xtask/src/gate/steps.rs), with the Debian package that brings \
         them:\n{}",
        unknown.join("\n")
    );
}

#[test]
fn every_need_says_what_it_is_for() {
    for step in stages::all() {
        for need in step.needs {
            let told = need.told();
            assert!(
                told.contains('(') && told.len() > 8,
                "{}: {told}",
                step.name
            );
        }
    }
}

#[test]
fn installing_is_done_by_one_at_a_time() {
    let held = one_at_a_time("test").unwrap();
    let path = shell::target_dir().join("test.lock");
    let other = std::fs::File::open(&path).unwrap();
    assert!(other.try_lock().is_err(), "another process has to wait");
    drop(held);
    other.try_lock().unwrap();
    std::fs::remove_file(path).unwrap();
}
