//! The agent as a service: its files name the places that the program uses, and the service managers' own tools accept
//! them; a running agent tells its service manager the truth, and its log nothing secret.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use dgon_agent::config::{EXIT_CONFIG, PathFlags, Paths};
use dgon_agent::service::template::{
    DAEMON_PROGRAM, LAUNCHD_AGENT, LAUNCHD_DAEMON, SYSTEMD_SYSTEM, SYSTEMD_USER,
};
use dgon_agent::service::{LABEL, LINUX_USER, Level, MACOS_USER, NAME, places};
use plist::{Dictionary, Value};
use std::path::{Path, PathBuf};

fn lines(unit: &str) -> Vec<&str> {
    unit.lines().filter(|line| !line.starts_with('#')).collect()
}

/// Value of the last `key=` of a unit.
fn setting<'a>(unit: &'a str, key: &str) -> Option<&'a str> {
    let has = |line: &&'a str| line.strip_prefix(key)?.strip_prefix('=');
    lines(unit).iter().rev().find_map(has)
}

/// What a person's agent uses where no variable says otherwise.
fn own_paths(home: &str) -> Paths {
    let flags = PathFlags {
        state_dir: Some(PathBuf::from(home).join(".local/state/dgon")),
        config: Some(PathBuf::from(home).join(".config/dgon/agent.yaml")),
    };
    Paths::resolve(&flags, &|_| None).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn the_units_name_the_programs_own_places() {
    let system = places(
        Level::System,
        &own_paths("%h"),
        "/usr/bin/dgon-agent".into(),
    );
    let user = places(
        Level::User,
        &own_paths("%h"),
        "%h/.local/bin/dgon-agent".into(),
    );
    for (unit, places) in [(SYSTEMD_SYSTEM, system), (SYSTEMD_USER, user)] {
        let (program, state) = (places.program.display(), places.state_dir.display());
        for line in [
            format!("ExecStartPre={program} config check"),
            format!("ExecStart={program} run"),
            format!("ConditionPathExists={state}/node.secret"),
            format!("Environment=DGON_STATE_DIR={state}"),
            format!("Environment=DGON_CONFIG={}", places.config_file.display()),
            format!("RestartPreventExitStatus={EXIT_CONFIG}"),
        ] {
            assert!(lines(unit).contains(&line.as_str()), "missing: {line}");
        }
    }
    assert_eq!(setting(SYSTEMD_SYSTEM, "StateDirectory"), Some("dgon"));
    assert_eq!(setting(SYSTEMD_SYSTEM, "User"), Some(LINUX_USER));
    let defaults = include_str!("../../src/config/paths.rs");
    assert!(defaults.contains("\"/var/lib/dgon\"") && defaults.contains("\"/etc/dgon\""));
    assert!(defaults.contains("\".local/state\"") && defaults.contains("\".config\""));
}

/// Ready only when it says so, restarted when it freezes, and never killed before a drain of the default length.
#[test]
fn the_units_rely_on_the_agents_own_word() {
    for unit in [SYSTEMD_SYSTEM, SYSTEMD_USER] {
        assert_eq!(setting(unit, "Type"), Some("notify"));
        assert_eq!(setting(unit, "Restart"), Some("on-failure"));
        assert_eq!(setting(unit, "WatchdogSec"), Some("30"));
        assert_eq!(setting(unit, "LimitCORE"), Some("0"));
        let stop_s: u64 = setting(unit, "TimeoutStopSec").unwrap().parse().unwrap();
        assert!(stop_s > dgon_agent::config::Config::default().proxy.drain_s + 15);
    }
}

#[cfg(target_os = "linux")]
mod systemd {
    use super::*;
    use dgon_agent::service::template::unit;
    use std::process::Command;

    /// The unit as it is installed for the built program.
    fn installed(dir: &Path) -> PathBuf {
        let mut places = places(
            Level::System,
            &own_paths("/root"),
            env!("CARGO_BIN_EXE_dgon-agent").into(),
        );
        places.state_dir = dir.join("state");
        let file = dir.join(format!("{NAME}.service"));
        std::fs::write(&file, unit(SYSTEMD_SYSTEM, &places, true)).unwrap();
        file
    }

    fn analyze(arguments: &[&str], file: &Path) -> (bool, String) {
        let output = Command::new("systemd-analyze")
            .args(arguments)
            .arg(file)
            .env("SYSTEMD_COLORS", "0")
            .output()
            .expect("systemd-analyze of the package systemd is needed");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    #[test]
    fn systemd_finds_no_fault_with_the_unit() {
        let dir = tempfile::tempdir().unwrap();
        let (good, said) = analyze(&["verify"], &installed(dir.path()));
        assert!(good && !said.contains(NAME), "{said}");
    }

    #[test]
    fn the_unit_is_closed_as_far_as_an_agent_with_gpus_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let file = installed(dir.path());
        let (good, said) = analyze(&["security", "--offline=true", "--threshold=30"], &file);
        let figure = said.lines().last().unwrap_or_default();
        println!("{figure}");
        assert!(good && figure.contains("exposure level"), "{said}");
    }
}

/// What launchd.plist(5) knows of the keys that we use.
fn kind_of(key: &str) -> &'static str {
    match key {
        "Label" | "ProcessType" | "StandardErrorPath" | "StandardOutPath" | "UserName"
        | "GroupName" => "string",
        "ProgramArguments" => "strings",
        "EnvironmentVariables" => "variables",
        "RunAtLoad" | "AbandonProcessGroup" => "boolean",
        "KeepAlive" => "conditions",
        "ThrottleInterval" | "ExitTimeOut" | "Umask" => "integer",
        "SoftResourceLimits" | "HardResourceLimits" => "limits",
        _ => "unknown to launchd",
    }
}

fn is_kind(value: &Value, kind: &str) -> bool {
    let is_string = |value: &Value| value.as_string().is_some();
    match (kind, value) {
        ("string", Value::String(text)) => !text.is_empty(),
        ("strings", Value::Array(values)) => values.iter().all(is_string),
        ("variables", Value::Dictionary(values)) => values.values().all(is_string),
        ("boolean", Value::Boolean(_)) => true,
        ("conditions", Value::Dictionary(values)) => values
            .iter()
            .all(|(key, value)| key == "SuccessfulExit" && value.as_boolean().is_some()),
        ("limits", Value::Dictionary(limits)) => limits
            .iter()
            .all(|(name, limit)| name == "NumberOfFiles" && limit.as_unsigned_integer().is_some()),
        ("integer", Value::Integer(number)) => number.as_unsigned().is_some(),
        _ => false,
    }
}

/// Why launchd would not like it.
fn lint(text: &str) -> Result<Dictionary, String> {
    let value = Value::from_reader_xml(text.as_bytes()).map_err(|error| error.to_string())?;
    let plist = value.into_dictionary().ok_or("no dictionary")?;
    for (key, value) in &plist {
        let kind = kind_of(key);
        if !is_kind(value, kind) {
            return Err(format!("{key}: {kind} expected, {value:?} found"));
        }
    }
    for key in ["Label", "ProgramArguments", "KeepAlive", "ThrottleInterval"] {
        if !plist.contains_key(key) {
            return Err(format!("{key} is missing"));
        }
    }
    for secret in ["TOKEN", "SECRET", "KEY_FILE", "PASSWORD"] {
        if text.to_uppercase().contains(&format!("DGON_{secret}")) || text.contains(secret) {
            return Err(format!("{secret} has no place in a file that all can read"));
        }
    }
    Ok(plist)
}

#[test]
fn launchd_can_read_the_plists() {
    for (text, home, program, user) in [
        (LAUNCHD_DAEMON, "", DAEMON_PROGRAM, Some(MACOS_USER)),
        (
            LAUNCHD_AGENT,
            "/Users/USER",
            "/usr/local/bin/dgon-agent",
            None,
        ),
    ] {
        let plist = lint(text).unwrap();
        let string = |key: &str| plist.get(key).and_then(Value::as_string).unwrap();
        assert_eq!(string("Label"), LABEL);
        let arguments = plist.get("ProgramArguments").and_then(Value::as_array);
        let words: Vec<_> = arguments
            .unwrap()
            .iter()
            .filter_map(Value::as_string)
            .collect();
        assert_eq!(words, [program, "run"]);
        for key in ["UserName", "GroupName"] {
            let name = plist.get(key).and_then(Value::as_string);
            assert_eq!(name, user, "{key}");
        }
        let variables = plist.get("EnvironmentVariables").unwrap().as_dictionary();
        let variable = |name: &str| variables.unwrap().get(name).and_then(Value::as_string);
        let place = format!("{home}/Library/Application Support/DGON");
        assert_eq!(variable("DGON_STATE_DIR"), Some(place.as_str()));
        assert_eq!(
            variable("DGON_CONFIG"),
            Some(format!("{place}/agent.yaml").as_str())
        );
        let umask = plist.get("Umask").and_then(Value::as_unsigned_integer);
        assert_eq!(umask, Some(0o077));
        let logs = format!("{home}/Library/Logs/DGON/");
        // The agent's own file, as launchd never rotates; what it cannot write there goes beside it.
        assert_eq!(
            variable("DGON_LOG_FILE"),
            Some(format!("{logs}agent.log").as_str())
        );
        assert!(string("StandardErrorPath").starts_with(&logs));
        assert!(string("StandardOutPath").starts_with(&logs));
    }
    assert!(include_str!("../../src/config/paths.rs").contains("Library/Application Support/DGON"));
}

#[test]
fn the_lint_finds_what_launchd_would_not_read() {
    for (old, new) in [
        ("<integer>10</integer>", "<string>10</string>"),
        ("<key>RunAtLoad</key>", "<key>RunOnLoad</key>"),
        ("<key>KeepAlive</key>", "<key>KeepAlive</kee>"),
        ("<key>SuccessfulExit</key>", "<key>Successful</key>"),
        ("<key>DGON_CONFIG</key>", "<key>DGON_ENROL_TOKEN</key>"),
        ("<string>run</string>", "<true/>"),
    ] {
        let broken = LAUNCHD_DAEMON.replacen(old, new, 1);
        assert_ne!(broken, LAUNCHD_DAEMON, "{old}");
        assert!(lint(&broken).is_err(), "{new}");
    }
}

#[cfg(unix)]
mod running {
    use crate::support::{Request, StandIn, agent, stderr};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use dgon_agent::config::StateDir;
    use dgon_testkit::fault::{FaultProxy, Weather};
    use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;
    use std::process::{Child, Command, ExitStatus, Stdio};
    use std::time::Duration;

    const TOKEN: &str = "dgon_enrol_secret-of-the-test";
    const SECRET: [u8; 32] = [9; 32];
    const PROMPT: &str = "what-nobody-else-may-read";
    const WITHIN: Duration = Duration::from_secs(60);

    /// A control plane that enrols, and has no link.
    fn plane() -> StandIn {
        StandIn::start(|request: &Request| match request.line.as_str() {
            "POST /api/v1/nodes/register/nonce" => {
                (200, r#"{"nonce":"n-1","expires_s":300}"#.to_owned())
            }
            "POST /api/v1/nodes/register" => {
                let answer = serde_json::json!({
                    "node_id": "rig-7",
                    "node_secret": STANDARD.encode(SECRET),
                    "link_url": "ws://127.0.0.1:1/api/v1/nodes/link",
                    "region": "eu-west",
                });
                (201, answer.to_string())
            }
            _ => (404, "{}".to_owned()),
        })
    }

    fn enrol(dir: &Path, plane: &StandIn) -> String {
        let arguments = ["--log-level", "trace", "enroll", "--api", &plane.url()];
        let output = agent(dir, &arguments)
            .env("DGON_ENROL_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    }

    fn free_port() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    }

    /// `run` with a proxy at `proxy`, and no runtime but the one that is named.
    fn run(dir: &Path, proxy: SocketAddr, runtime: Option<SocketAddr>) -> Command {
        let mut command = agent(dir, &["run", "--listen", &proxy.to_string()]);
        command.env("DGON_RUNTIMES_DETECT", "false");
        if let Some(runtime) = runtime {
            command.env("DGON_RUNTIMES_ENDPOINTS", format!("http://{runtime}"));
        }
        command
    }

    /// An agent that ends with the test, also where that fails in the middle.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            // It may have ended already.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn signal(agent: &Running, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(agent.0.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// A stop that never ends fails the test by its own limit in nextest; here it just waits.
    fn stopped(mut agent: Running) -> ExitStatus {
        signal(&agent, Signal::TERM);
        agent.0.wait().unwrap()
    }

    /// The service manager's end of the notify socket.
    struct Manager(UnixDatagram);

    impl Manager {
        fn at(path: &Path) -> Self {
            let socket = UnixDatagram::bind(path).unwrap();
            socket.set_read_timeout(Some(WITHIN)).unwrap();
            Self(socket)
        }

        /// The next message with this line.
        fn hear(&self, line: &str) -> String {
            let mut message = [0; 4096];
            loop {
                let length = self.0.recv(&mut message).unwrap();
                let text = String::from_utf8(message[..length].to_vec()).unwrap();
                if text.lines().any(|have| have == line) {
                    return text;
                }
            }
        }
    }

    #[test]
    fn the_service_manager_hears_ready_well_and_stopping() {
        let dir = tempfile::tempdir().unwrap();
        let plane = plane();
        enrol(dir.path(), &plane);
        let socket = dir.path().join("notify");
        let manager = Manager::at(&socket);
        let proxy = free_port();
        let child = run(dir.path(), proxy, None)
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "30000")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut agent = Running(child);
        let ready = manager.hear("READY=1");
        assert!(ready.contains("STATUS=serving"), "{ready}");
        // No patience: ready means that it listens.
        TcpStream::connect(proxy).unwrap();
        for _ in 0..3 {
            manager.hear("WATCHDOG=1");
        }
        signal(&agent, Signal::TERM);
        let stopping = manager.hear("STOPPING=1");
        assert!(
            stopping.contains("EXTEND_TIMEOUT_USEC=35000000"),
            "{stopping}"
        );
        let status = agent.0.wait().unwrap();
        assert_eq!(status.code(), Some(0));
    }

    /// A runtime that takes its time to answer is there all the same when the agent calls itself ready.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_runtime_that_runs_is_known_when_the_agent_is_ready() {
        let dir = tempfile::tempdir().unwrap();
        let plane = plane();
        enrol(dir.path(), &plane);
        let sim = SimRuntime::start(SimConfig::new(Kind::Ollama))
            .await
            .unwrap();
        let network = FaultProxy::start(sim.addr()).await.unwrap();
        network.set(Weather {
            delay: Duration::from_millis(40),
            ..Weather::default()
        });
        let socket = dir.path().join("notify");
        let manager = Manager::at(&socket);
        let proxy = free_port();
        let child = run(dir.path(), proxy, Some(network.address()))
            .env("NOTIFY_SOCKET", &socket)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Running(child);
        let models = tokio::task::spawn_blocking(move || {
            manager.hear("READY=1");
            let mut stream = TcpStream::connect(proxy).unwrap();
            let request =
                format!("GET /v1/models HTTP/1.1\r\nHost: {proxy}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        let models = models.await.unwrap();
        assert!(models.starts_with("HTTP/1.1 200"), "{models}");
        drop(agent);
    }

    /// A whole life with everything written down: none of it is secret.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_log_holds_no_secret_and_no_prompt() {
        let dir = tempfile::tempdir().unwrap();
        let plane = plane();
        let mut text = enrol(dir.path(), &plane);
        let sim = SimRuntime::start(SimConfig::new(Kind::Ollama))
            .await
            .unwrap();
        let log = dir.path().join("logs/agent.log");
        let proxy = free_port();
        let child = run(dir.path(), proxy, Some(sim.addr()))
            .args(["--log-level", "trace", "--log-format", "json"])
            .env("DGON_LOG_FILE", &log)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut agent = Running(child);
        let answer = tokio::task::spawn_blocking(move || chat(proxy))
            .await
            .unwrap();
        let mut errors = agent.0.stderr.take().unwrap();
        let status = tokio::task::spawn_blocking(move || stopped(agent))
            .await
            .unwrap();
        assert!(status.success());
        errors.read_to_string(&mut text).unwrap();
        let lines = std::fs::read_to_string(&log).unwrap();
        for line in lines.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(
                line["level"].is_string() && line["message"].is_string(),
                "{line}"
            );
        }
        assert!(lines.contains("runtime found") && lines.contains("every receipt is on disk"));
        let mode = std::fs::metadata(&log).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        text.push_str(&lines);

        let state = StateDir::new(dir.path().join("state"));
        let key = std::fs::read_to_string(state.key_file()).unwrap();
        let secret = std::fs::read_to_string(state.secret_file()).unwrap();
        let mut hidden = vec![TOKEN.to_owned(), STANDARD.encode(SECRET), PROMPT.to_owned()];
        let long = |word: &&str| word.len() >= 40;
        let words = |text: &str| {
            text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=_-".contains(c))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        hidden.extend(
            [words(&key), words(&secret)]
                .concat()
                .into_iter()
                .filter(|word| long(&word.as_str())),
        );
        hidden.push(answer);
        assert!(hidden.len() >= 5, "{hidden:?}");
        for secret in hidden {
            assert!(!text.contains(&secret), "the log holds {secret}");
        }
        // Nothing even tried.
        assert!(
            !text.contains("[redacted]"),
            "a secret was given to the log"
        );
    }

    /// One request through the proxy as soon as it takes it; the answer's text.
    fn chat(proxy: SocketAddr) -> String {
        let body = serde_json::json!({
            "model": Kind::Ollama.default_model(),
            "stream": false,
            "messages": [{"role": "user", "content": PROMPT}],
        })
        .to_string();
        let head = format!(
            "POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let give_up = std::time::Instant::now() + WITHIN;
        loop {
            let mut answer = String::new();
            let asked = TcpStream::connect(proxy).and_then(|mut stream| {
                stream.write_all(format!("{head}{body}").as_bytes())?;
                stream.read_to_string(&mut answer)
            });
            if asked.is_ok() && answer.starts_with("HTTP/1.1 200") {
                let (_, body) = answer.split_once("\r\n\r\n").unwrap();
                let body: serde_json::Value = serde_json::from_str(body).unwrap();
                return body["message"]["content"].as_str().unwrap().to_owned();
            }
            assert!(std::time::Instant::now() < give_up, "{asked:?} {answer}");
            std::thread::yield_now();
        }
    }
}
