//! `doctor --bundle`: secrets are planted wherever they could be met, and looked for in what was written.

use crate::case::{Running, shell, until};
use crate::support::machine::{Machine, SECRET};
use crate::support::{json, stderr, stdout};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

const TOKEN: &str = "dgon_enrol_Ab3dEf6hIj9lMn2pQr5tUv8x";
const PROMPT: &str = "the launch code of my diary is violet";

/// The files of an archive, unpacked.
fn unpack(path: &Path) -> Vec<(String, String)> {
    let file = std::fs::File::open(path).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (name, text)
        })
        .collect()
}

fn ask(proxy: &str, prompt: &str) {
    let address = proxy.strip_prefix("http://").unwrap();
    let body = serde_json::json!({
        "model": Kind::Ollama.default_model(), "messages": [{"role": "user", "content": prompt}],
    })
    .to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(format!("{head}{body}").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn no_secret_leaves_with_the_archive() {
    let runtime = crate::network::runtime()
        .block_on(SimRuntime::start(SimConfig::new(Kind::Ollama)))
        .unwrap();
    let mut machine = Machine::enrolled("http://127.0.0.1:9");
    machine.set("DGON_RUNTIMES_ENDPOINTS", runtime.url());
    machine.set("DGON_ENROL_TOKEN", TOKEN);
    machine.set("HTTPS_PROXY", "http://me:hunter2@proxy.example:1");
    // Where people write things that belong elsewhere.
    machine.set("DGON_NODE_REGION", format!("eu {TOKEN}"));
    // Whoever pipes other programs into the agent's log, or writes into it by hand.
    let log = machine.dir.path().join("agent.log");
    machine.set("DGON_LOG_FILE", log.display().to_string());
    machine.set("DGON_LOG_LEVEL", "trace");
    std::fs::write(
        &log,
        format!(
            "by hand: {} {TOKEN}\nAuthorization: Bearer hunter2\n",
            STANDARD.encode(SECRET)
        ),
    )
    .unwrap();
    let _agent = Running::agent(&machine);
    let said = until(&machine, |status| {
        status["runtimes"][0]["models"][0].is_object()
    });
    ask(said["proxy"].as_str().unwrap(), PROMPT);

    let output = machine.doctor(&["--bundle", "support.tar.gz"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let path = machine.dir.path().join("support.tar.gz");
    let files = unpack(&path);
    let key = std::fs::read_to_string(machine.state.key_file()).unwrap();
    let seed = key.trim().rsplit(':').next().unwrap().to_owned();
    let state = machine.state.path().display().to_string();
    let shown = stdout(&output);
    for secret in [
        &STANDARD.encode(SECRET),
        TOKEN,
        PROMPT,
        &seed,
        "hunter2",
        &state,
    ] {
        for (name, text) in &files {
            assert!(!text.contains(secret), "{secret} is in {name}: {text}");
        }
    }
    // What is in it is shown, file by file with its size, and so is what was taken out.
    for (name, text) in &files {
        let name = name.strip_prefix("dgon-doctor/").unwrap();
        if name != "manifest.json" {
            assert!(
                shown.contains(name) && shown.contains(&text.len().to_string()),
                "{shown}"
            );
        }
    }
    assert!(
        shown.contains("taken out: ") && shown.contains("private paths ("),
        "{shown}"
    );
    let log = files
        .iter()
        .find(|(name, _)| name.ends_with("log.txt"))
        .unwrap();
    assert!(
        log.1.contains("by hand: [redacted] [redacted]"),
        "{}",
        log.1
    );
    assert!(log.1.contains("the agent runs"), "{}", log.1);
    let text_of = |wanted: &str| {
        let found = files.iter().find(|(name, _)| name.ends_with(wanted));
        serde_json::from_str::<Value>(&found.unwrap().1).unwrap()
    };
    assert_eq!(text_of("doctor.json")["schema_version"], 2);
    assert_eq!(text_of("config.json")["config"]["node"]["id"], "rig-7");
    assert_eq!(text_of("status.json")["node_id"], "rig-7");
    assert_eq!(
        text_of("inventory.json")["runtimes"][0]["runtime"]["kind"],
        "ollama"
    );
    assert!(text_of("spool.json")["spool"].is_object());
    assert!(text_of("versions.json")["agent"].is_string());
}

#[test]
fn an_archive_is_its_owners_alone_and_replaces_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::enrolled("http://127.0.0.1:9");
    let path = machine.dir.path().join("support.tar.gz");
    machine.doctor(&["--bundle", "support.tar.gz"]);
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    let again = machine.doctor(&["--bundle", "support.tar.gz"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        stderr(&again).contains("exists already and is not replaced"),
        "{}",
        stderr(&again)
    );
    assert_eq!(std::fs::metadata(&path).unwrap().len(), meta.len());
    // Without a name it makes one, and tells a machine what it wrote.
    let written = json(&machine.doctor(&["--json", "--bundle"]));
    let name = written["bundle"].as_str().unwrap();
    assert!(machine.dir.path().join(name).is_file(), "{written}");
    assert!(written["files"][0]["bytes"].is_u64(), "{written}");
    let listed = shell(&machine, &format!("tar -tzf {name}"))
        .output()
        .unwrap();
    assert!(stdout(&listed).contains("dgon-doctor/doctor.json"));
}

#[test]
fn a_configuration_that_cannot_be_read_is_told_and_the_rest_collected() {
    let machine = Machine::enrolled("http://127.0.0.1:9");
    machine.configure(&format!("proxi: {TOKEN}\n"));
    machine.doctor(&["--bundle", "support.tar.gz"]);
    let files = unpack(&machine.dir.path().join("support.tar.gz"));
    assert!(
        files
            .iter()
            .all(|(name, text)| !name.ends_with("config.json") && !text.contains(TOKEN))
    );
    let manifest = &files[0].1;
    assert!(manifest.contains("unknown key proxi"), "{manifest}");
}
