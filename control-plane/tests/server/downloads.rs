//! Packages of the agent: the list, the files, and the script that installs them.

#![allow(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{Answer, Browser, Server};
use dgon_control_plane::app::Settings;
use dgon_control_plane::http::HttpSettings;
use std::path::Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const DEB: &str = "dgon-agent_1.2.3_amd64.deb";
const SECRET: &str = "the key of the control plane";

/// A server that offers a folder of packages; beside and in the folder lie files that are nobody's.
async fn offering() -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("folder");
    let packages = dir.path().join("packages");
    std::fs::create_dir(&packages).expect("folder");
    let write = |path: &Path, text: &str| std::fs::write(path, text).expect("file");
    write(&packages.join(DEB), "a package");
    write(&packages.join("SHA256SUMS"), "sums");
    write(&packages.join("master.key"), SECRET);
    write(&dir.path().join("dgon-agent_6.6.6_amd64.deb"), SECRET);
    let http = HttpSettings {
        downloads_dir: Some(packages),
        ..HttpSettings::default()
    };
    (Server::start_with(Settings::default(), http).await, dir)
}

async fn get(server: &Server, path: &str) -> Answer {
    let mut browser = Browser::new(server);
    let request = browser.request(reqwest::Method::GET, path);
    browser.send(request).await
}

/// Asks with the path exactly as given, which no client library would send; the whole answer.
async fn raw(server: &Server, path: &str) -> String {
    let address = server.base.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("open");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("write");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_name_that_is_no_text_is_nobodys_and_told_in_the_one_shape() {
    let (server, _dir) = offering().await;
    let answer = raw(&server, "/downloads/%ff").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("\"not_found\""), "{answer}");
}

#[tokio::test]
async fn a_package_is_listed_with_its_checksum_and_downloaded_whole() {
    let (server, _dir) = offering().await;
    let list = get(&server, "/api/v1/downloads").await;
    assert_eq!(list.status, 200, "{}", list.text);
    let item = &list.json["items"][0];
    assert_eq!(item["name"], DEB);
    assert_eq!(item["version"], "1.2.3");
    assert_eq!(item["bytes"], 9);
    assert_eq!(list.json["items"].as_array().map(Vec::len), Some(1));

    let file = get(&server, &format!("/downloads/{DEB}")).await;
    assert_eq!(
        (file.status.as_u16(), file.text.as_str()),
        (200, "a package")
    );
    assert_eq!(file.header("content-length"), "9");
    assert_eq!(
        file.header("content-type"),
        "application/vnd.debian.binary-package"
    );
    assert_eq!(file.header("cache-control"), "no-cache");
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    assert!(file.header("content-disposition").contains(DEB));
    assert_eq!(get(&server, "/downloads/SHA256SUMS").await.text, "sums");
}

#[tokio::test]
async fn no_address_reaches_another_file() {
    let (server, _dir) = offering().await;
    for path in [
        "/downloads/master.key",
        "/downloads/../dgon-agent_6.6.6_amd64.deb",
        "/downloads/..%2fdgon-agent_6.6.6_amd64.deb",
        "/downloads/%2e%2e%2fdgon-agent_6.6.6_amd64.deb",
        "/downloads/..%5cdgon-agent_6.6.6_amd64.deb",
        "/downloads/packages/../../dgon-agent_6.6.6_amd64.deb",
        "/downloads//etc/passwd",
        "/downloads/%2fetc%2fpasswd",
        "/downloads/dgon-agent_6.6.6_amd64.deb",
        "/downloads/dgon-agent_1.2.3_amd64.deb%00",
        "/downloads/",
        "/downloads/.",
    ] {
        let answer = raw(&server, path).await;
        assert!(!answer.contains(SECRET), "{path}: {answer}");
        assert!(!answer.contains("root:"), "{path}: {answer}");
        assert!(!answer.contains("a package"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn the_script_names_this_server_and_the_checksums_of_its_packages() {
    let (server, dir) = offering().await;
    let script = get(&server, "/install.sh").await;
    assert_eq!(script.status, 200);
    assert!(
        script
            .header("content-type")
            .starts_with("text/x-shellscript")
    );
    assert_eq!(script.header("cache-control"), "no-store");
    assert!(script.text.contains(&format!("origin='{}'", server.base)));
    let before = get(&server, "/api/v1/downloads").await.json["items"][0]["sha256"].clone();
    let sum = before.as_str().expect("sum");
    assert!(script.text.contains(&format!("_amd64.deb {sum} 9 {DEB}")));

    std::fs::write(dir.path().join("packages").join(DEB), "packed anew").expect("file");
    let script = get(&server, "/install.sh").await.text;
    assert!(!script.contains(sum), "the checksum of a file that is gone");
}

#[tokio::test]
async fn without_packages_the_script_says_so_and_fails() {
    let server = Server::start().await;
    let script = get(&server, "/install.sh").await;
    assert_eq!(script.status, 200, "a script that is run must be a script");
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("install.sh");
    std::fs::write(&path, &script.text).expect("file");
    let run = std::process::Command::new("sh")
        .arg(&path)
        .arg("--dry-run")
        .output()
        .expect("sh");
    assert_eq!(run.status.code(), Some(1));
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(said.contains("offers no packages"), "{said}");
    assert_eq!(get(&server, "/downloads/SHA256SUMS").await.status, 404);
    assert_eq!(
        get(&server, "/api/v1/downloads").await.json["items"],
        serde_json::json!([])
    );
}
