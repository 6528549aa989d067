//! What root gives away, and what it does not. Only root can try.

use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

/// The user `nobody`, whom nothing of these tests belongs to before.
const OTHER: Account = Account {
    uid: 65534,
    gid: 65534,
};

/// A directory of root's, or `None` and why where these tests do not run as root.
fn tree() -> Option<tempfile::TempDir> {
    if !super::super::is_superuser() {
        println!("skipped: only root can give files away");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Some(dir)
}

fn uid(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().uid()
}

#[test]
fn a_tree_is_given_whole_and_once() {
    let Some(dir) = tree() else { return };
    let state = dir.path().join("state");
    fs::create_dir_all(state.join("spool/old")).unwrap();
    for name in ["node.key", "spool/1.log", "spool/old/0.log"] {
        fs::write(state.join(name), "x").unwrap();
    }
    let _socket = UnixListener::bind(state.join("agent.sock")).unwrap();
    assert!(give_tree(&state, OTHER).unwrap());
    for name in [
        "",
        "node.key",
        "spool",
        "spool/1.log",
        "spool/old",
        "spool/old/0.log",
    ] {
        assert_eq!(uid(&state.join(name)), OTHER.uid, "{name}");
    }
    fs::write(state.join("later"), "x").unwrap();
    assert!(!give_tree(&state, OTHER).unwrap());
    assert_eq!(uid(&state.join("later")), 0);
}

#[test]
fn a_link_in_the_tree_is_not_followed() {
    let Some(dir) = tree() else { return };
    let state = dir.path().join("state");
    let outside = dir.path().join("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::write(outside.join("deep/file"), "root's").unwrap();
    fs::create_dir(&state).unwrap();
    symlink(outside.join("deep/file"), state.join("node.key")).unwrap();
    symlink(&outside, state.join("spool")).unwrap();
    give_tree(&state, OTHER).unwrap();
    for path in ["", "deep", "deep/file"] {
        assert_eq!(uid(&outside.join(path)), 0, "{path}");
    }
}

#[test]
fn a_tree_behind_a_link_of_another_user_is_not_given() {
    let Some(dir) = tree() else { return };
    let theirs = dir.path().join("theirs");
    let target = dir.path().join("target");
    fs::create_dir(&theirs).unwrap();
    fs::create_dir(&target).unwrap();
    symlink(&target, theirs.join("state")).unwrap();
    // The administrator's own link, as to a larger disk, is followed.
    symlink(&target, dir.path().join("state")).unwrap();
    std::os::unix::fs::chown(&theirs, Some(OTHER.uid), Some(OTHER.gid)).unwrap();
    let error = give_tree(&theirs.join("state"), OTHER).unwrap_err();
    let said = dgon_agent_core::error::chain(&error);
    assert!(said.contains("is a link in a folder"), "{said}");
    assert_eq!(uid(&target), 0);
    give_tree(&dir.path().join("state"), OTHER).unwrap();
    assert_eq!(uid(&target), OTHER.uid);
}

#[test]
fn a_file_with_a_second_name_is_refused_by_its_name() {
    let Some(dir) = tree() else { return };
    let state = dir.path().join("state");
    let foreign = dir.path().join("shadow");
    fs::create_dir(&state).unwrap();
    fs::write(&foreign, "root's").unwrap();
    fs::hard_link(&foreign, state.join("harmless")).unwrap();
    let error = give_tree(&state, OTHER).unwrap_err();
    assert!(
        error.to_string().contains("state/harmless has 2 names"),
        "{error}"
    );
    assert_eq!(uid(&foreign), 0);
    // What is not given whole is tried again by the next run.
    assert_eq!(uid(&state), 0);
    fs::remove_file(&foreign).unwrap();
    assert!(give_tree(&state, OTHER).unwrap());
}

#[test]
fn a_pipe_in_the_tree_is_refused_and_blocks_nothing() {
    let Some(dir) = tree() else { return };
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        FileType::Fifo,
        Mode::from_bits_truncate(0o600),
        0,
    )
    .unwrap();
    let error = give_tree(dir.path(), OTHER).unwrap_err();
    assert!(error.to_string().contains("neither a file"), "{error}");
    assert_eq!(uid(&pipe), 0);
}

#[test]
fn a_configuration_is_opened_to_the_group_and_no_foreign_file_is() {
    let Some(dir) = tree() else { return };
    let file = |name: &str, mode| {
        let path = dir.path().join(name);
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let facts = |path: &Path| {
        let facts = fs::metadata(path).unwrap();
        (facts.uid(), facts.gid(), facts.mode() & 0o7777)
    };
    let own = file("agent.yaml", 0o600);
    open_to_group(&own, OTHER).unwrap();
    assert_eq!(facts(&own), (0, OTHER.gid, 0o640));
    let public = file("public.yaml", 0o644);
    open_to_group(&public, OTHER).unwrap();
    assert_eq!(facts(&public), (0, 0, 0o644));
    let foreign = file("shadow", 0o600);
    symlink(&foreign, dir.path().join("link.yaml")).unwrap();
    open_to_group(&dir.path().join("link.yaml"), OTHER).unwrap();
    fs::hard_link(&foreign, dir.path().join("name.yaml")).unwrap();
    assert!(open_to_group(&dir.path().join("name.yaml"), OTHER).is_err());
    assert_eq!(facts(&foreign), (0, 0, 0o600));
    open_to_group(&dir.path().join("absent/agent.yaml"), OTHER).unwrap();
}
