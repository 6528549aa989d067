//! The live line, on a real pseudo-terminal.

use crate::node::{Node, WITHIN};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Instant;

const COLUMNS: u16 = 60;
const REWIND: &str = "\r\u{1b}[2K";

/// A terminal of 60 columns: our end, and the program's.
fn terminal() -> (File, File) {
    let ours: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: COLUMNS,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&ours, size).unwrap();
    let theirs = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    (File::from(ours), theirs)
}

/// Everything that the terminal gets, until `enough` says so.
fn read_until(ours: File, enough: impl Fn(&str) -> bool) -> String {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut ours = ours;
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = ours.read(&mut buffer) {
            if send.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let (began, mut seen) = (Instant::now(), Vec::new());
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if enough(&text) {
            return text;
        }
        let left = WITHIN.saturating_sub(began.elapsed());
        match receive.recv_timeout(left) {
            Ok(more) => seen.extend(more),
            Err(_) => panic!("not seen: {text:?}"),
        }
    }
}

#[test]
fn the_line_fits_and_log_lines_do_not_tear_it() {
    let mut node = Node::new("log:\n  level: debug\n");
    let (ours, theirs) = terminal();
    let child = node
        .command(&["run"])
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(theirs.try_clone().unwrap())
        .stderr(theirs)
        .spawn()
        .unwrap();
    node.child = Some(child);
    // A line is drawn; then the log speaks, and the line is drawn again.
    let text = read_until(ours, |text| {
        let first = text.find(&format!("{REWIND}rig-7"));
        let drawn = first.or_else(|| text.find(&format!("{REWIND}no control plane")));
        drawn.is_some_and(|at| {
            let later = &text[at + 1..];
            later.contains(&format!("{REWIND}20")) && later.contains("running")
        })
    });
    for piece in text.split(REWIND) {
        // What follows an erased line is either a status line alone, or whole log lines.
        let status_line = piece.rsplit("\r\n").next().unwrap();
        assert!(status_line.chars().count() <= COLUMNS.into(), "{piece:?}");
        for log_line in piece
            .split_inclusive("\r\n")
            .filter(|line| line.ends_with('\n'))
        {
            assert!(log_line.starts_with("20"), "torn: {log_line:?} in {text:?}");
        }
        assert!(!piece.contains('\u{1b}'), "NO_COLOR: {piece:?}");
    }
}

#[tokio::test]
async fn what_is_no_terminal_gets_no_escape_code() {
    let mut node = Node::serving("").await;
    let proxy = node.until(|_| true).await.proxy;
    assert_eq!(node.chat(&proxy).await, 200);
    let log = std::fs::read_to_string(node.log()).unwrap();
    assert!(log.contains("the agent runs"), "{log}");
    assert!(!log.contains('\u{1b}') && !log.contains('\r'), "{log}");
}
