//! `pause`, `drain`, `resume`, `status`: what they do, what survives, who may.

use crate::node::Node;
use crate::support::between::between;
use crate::support::{json, stderr, stdout};
use dgon_agent::mode::Mode;
use dgon_protocol::frame::PausedReason;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

#[tokio::test]
async fn without_an_agent_every_order_says_so() {
    let node = Node::new("");
    for order in ["pause", "resume", "drain", "status", "stop"] {
        let said = node.run(&[order]);
        assert_eq!(said.status.code(), Some(1), "{order}");
        assert!(
            stderr(&said).contains("dgon-agent run"),
            "{}",
            stderr(&said)
        );
        let said = node.run(&[order, "--json"]);
        assert_eq!(said.status.code(), Some(1), "{order}");
        assert_eq!(json(&said)["running"], false, "{order}");
    }
}

#[tokio::test]
async fn a_pause_survives_kills_and_a_drain_ends_with_the_process() {
    let mut node = Node::serving("").await;
    let said = node.run(&["pause"]);
    assert!(said.status.success(), "{}", stderr(&said));
    assert!(stdout(&said).contains("dgon-agent resume"));
    let status = node.until(|status| status.owner.mode == Mode::Paused).await;
    assert_eq!(status.owner.reasons, [PausedReason::Owner]);
    assert_eq!(
        node.chat(&status.proxy).await,
        200,
        "the owner's own client"
    );

    let status = node.restart().await;
    assert_eq!(status.owner.reasons, [PausedReason::Owner]);
    let shown = json(&node.run(&["status", "--json"]));
    assert_eq!(shown["owner"]["mode"], "paused");
    assert_eq!(shown["owner"]["reasons"][0], "owner");
    assert!(stdout(&node.run(&["status"])).contains("paused by its owner"));

    let said = json(&node.run(&["resume", "--json"]));
    assert_eq!(said["mode"], "serving");
    assert_eq!(node.restart().await.owner.mode, Mode::Serving);

    let said = node.run(&["drain", "--json"]);
    assert!(said.status.success());
    let said = json(&said);
    assert_eq!(
        (&said["mode"], &said["drained"]),
        (&"draining".into(), &true.into())
    );
    assert_eq!(node.restart().await.owner.mode, Mode::Serving);

    // A torn file is no permission to serve.
    node.kill();
    std::fs::write(node.machine.state.owner_file(), "{\"version\":1,").unwrap();
    assert_eq!(node.restart().await.owner.reasons, [PausedReason::Owner]);
    assert!(node.run(&["resume"]).status.success());
    assert_eq!(node.restart().await.owner.mode, Mode::Serving);
}

#[tokio::test]
async fn a_pause_that_cannot_be_kept_is_in_force_and_says_so() {
    let mut node = Node::serving("").await;
    // A folder in the file's place: it cannot be replaced, by root neither.
    std::fs::create_dir(node.machine.state.owner_file()).unwrap();
    let said = node.run(&["pause"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(
        stderr(&said).contains("cannot be saved"),
        "{}",
        stderr(&said)
    );
    let status = node.until(|_| true).await;
    assert_eq!(status.owner.mode, Mode::Paused);
    let said = node.run(&["resume"]);
    assert!(stderr(&said).contains("stays paused"), "{}", stderr(&said));
    std::fs::remove_dir(node.machine.state.owner_file()).unwrap();
    assert!(node.run(&["resume"]).status.success());
    node.until(|status| status.owner.mode == Mode::Serving)
        .await;
}

#[tokio::test]
async fn the_day_is_counted_across_restarts_and_earnings_are_not_guessed() {
    let mut node = Node::serving("").await;
    let status = node.until(|_| true).await;
    for _ in 0..3 {
        assert_eq!(node.chat(&status.proxy).await, 200);
    }
    let before = node
        .until(|status| status.today.is_some_and(|today| today.receipts == 3))
        .await;
    let today = before.today.unwrap();
    assert!(today.input > 0 && today.output > 0, "{today:?}");
    assert_eq!(before.spool.receipts_today, 3);
    let after = node.restart().await;
    assert_eq!(after.today, Some(today));
    assert_eq!(after.earnings_today_usd, None);
    let text = stdout(&node.run(&["status"]));
    assert!(text.contains("earnings not known yet"), "{text}");
}

/// Another user of this machine, by the way of `setpriv`, which only root can go.
fn as_nobody(command: &Command) -> Command {
    assert!(
        dgon_agent::files::is_superuser(),
        "this test speaks as another user, which only root can: run the tests as root"
    );
    let mut other = Command::new("setpriv");
    other
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            other.env(name, value);
        }
    }
    other.current_dir("/");
    other
}

#[tokio::test]
async fn another_user_is_refused() {
    let mut node = Node::serving("").await;
    let socket = node.machine.state.socket();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&socket) & 0o777, 0o600);
    assert_eq!(mode(node.machine.state.path()) & 0o777, 0o700);

    // The program lies in a folder that others may not enter: they get a copy.
    let shared = tempfile::tempdir_in("/tmp").unwrap();
    crate::support::machine::mode(shared.path(), 0o755);
    let program = shared.path().join("dgon-agent");
    let own = node.command(&["status"]);
    std::fs::copy(own.get_program(), &program).unwrap();
    let order = |name: &str| {
        let mut command = Command::new(&program);
        command.arg(name);
        for (name, value) in own.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        as_nobody(&command).output().unwrap()
    };
    let said = order("status");
    assert_eq!(said.status.code(), Some(1), "{}", stderr(&said));
    assert!(
        stderr(&said).contains("the user who runs the agent"),
        "{}",
        stderr(&said)
    );

    // Somebody has opened directory and socket to all: who asks is looked at all the same.
    crate::support::machine::mode(node.machine.dir.path(), 0o755);
    crate::support::machine::mode(node.machine.state.path(), 0o755);
    crate::support::machine::mode(&socket, 0o666);
    for name in ["status", "pause"] {
        let said = order(name);
        assert_eq!(said.status.code(), Some(1));
        assert!(stderr(&said).contains("only the user"), "{}", stderr(&said));
    }
    assert_eq!(node.until(|_| true).await.owner.mode, Mode::Serving);
}

/// An order that is in force is not told as one that failed.
#[tokio::test]
async fn a_resume_is_told_also_where_the_agent_does_not_say_how_it_is() {
    let node = Node::serving("").await;
    between(&node.machine.state.socket(), |answer| {
        let is_status = answer.to_string().contains("uptime_s");
        (!is_status).then_some(answer)
    });
    let resumed = node.run(&["resume"]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    let said = stdout(&resumed);
    assert!(said.contains("is not known"), "{said}");
    let said = json(&node.run(&["resume", "--json"]));
    assert_eq!(said["mode"], "serving");
    assert_eq!(said.get("not_ready"), None);
}
