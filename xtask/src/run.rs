//! `make run`: a whole DGON on this machine, from nothing to a receipt on the screen.
//!
//! Builds the console and both programs, starts the control plane on SQLite, enrols and starts an agent, and,
//! where no LLM runtime answers, a simulated one. Ctrl-C stops it all; a second start uses the same data.

use crate::needs::{self, Need};
use crate::shell;
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Where to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Address of the console and the API.
    #[arg(long, env = "DGON_BIND", default_value = "127.0.0.1:8080")]
    bind: SocketAddr,
    /// Address of the agent's proxy.
    #[arg(long, env = "DGON_PROXY", default_value = "127.0.0.1:11435")]
    proxy: SocketAddr,
    /// Folder for data and logs.
    #[arg(long, env = "DGON_DATA", default_value = "data")]
    data: PathBuf,
    /// Take the programs that are built already.
    #[arg(long)]
    no_build: bool,
}

/// How long a program may take to come up.
const START: Duration = Duration::from_secs(30);
/// How long a program may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(10);
/// Address that Ollama listens on unless told otherwise; the simulated runtime takes its place where it is free.
const SIMULATED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 11_434);

/// What the simulated runtime serves.
const MODEL: &str = "llama3.1:8b";

/// Programs that run, stopped in reverse order of their start.
struct Programs(Vec<(&'static str, Child)>);

impl Programs {
    /// Starts a program with its output in a log file.
    fn start(&mut self, name: &'static str, command: &mut Command, log: &Path) -> Result<()> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("{} cannot be written", log.display()))?;
        own_group(command);
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn();
        self.0.push((
            name,
            child.with_context(|| format!("{name} could not be started"))?,
        ));
        Ok(())
    }

    /// The first program that ended, with how.
    fn ended(&mut self) -> Option<(&'static str, String)> {
        self.0.iter_mut().find_map(|(name, child)| {
            child
                .try_wait()
                .ok()
                .flatten()
                .map(|status| (*name, status.to_string()))
        })
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        while let Some((_, mut child)) = self.0.pop() {
            terminate(&child);
            let deadline = Instant::now() + STOP;
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Files and programs of one run.
struct Place {
    data: PathBuf,
    bin: PathBuf,
    api: String,
}

impl Place {
    fn log(&self, name: &str) -> PathBuf {
        self.data.join("logs").join(format!("{name}.log"))
    }

    fn control_plane(&self) -> Command {
        let mut command = shell::command(self.bin.join("dgon-control-plane"));
        command.env("DGON_DATA_DIR", self.data.join("control-plane"));
        command
    }

    fn agent(&self) -> Command {
        let mut command = shell::command(self.bin.join("dgon-agent"));
        command.env("DGON_STATE_DIR", self.data.join("agent"));
        command
    }
}

/// Runs until Ctrl-C or until a program ends.
pub(crate) fn run(options: &Options) -> Result<()> {
    let data = shell::root().join(&options.data);
    std::fs::create_dir_all(data.join("logs"))
        .with_context(|| format!("the data folder {} cannot be written; choose another with DGON_DATA=/some/folder make run", data.display()))?;
    free(
        options.bind,
        "the console",
        "DGON_BIND=127.0.0.1:8090 make run",
    )?;
    free(
        options.proxy,
        "the agent's proxy",
        "DGON_PROXY=127.0.0.1:11436 make run",
    )?;
    if !options.no_build {
        build()?;
    }
    let place = Place {
        data,
        bin: shell::target_dir().join("quick"),
        api: format!("http://{}", options.bind),
    };
    let (stop, stopped) = mpsc::channel();
    ctrlc::set_handler(move || {
        let _ = stop.send(());
    })?;

    let mut programs = Programs(Vec::new());
    let started = Instant::now();
    start_control_plane(&mut programs, &place, options.bind)?;
    let link = sign_in_link(&place)?;
    enrol(&place)?;
    let runtime = start_runtime(&mut programs, &place)?;
    let mut agent = place.agent();
    agent
        .args(["run"])
        .env("DGON_PROXY_LISTEN", options.proxy.to_string());
    if let Some(endpoint) = &runtime.endpoint {
        agent.env("DGON_RUNTIMES_ENDPOINTS", endpoint);
    }
    programs.start("the agent", &mut agent, &place.log("agent"))?;
    wait_for(&mut programs, &place, "agent", || {
        TcpStream::connect(options.proxy).is_ok()
    })?;
    greet(options, &place, &link, &runtime, started.elapsed());

    loop {
        match stopped.recv_timeout(Duration::from_millis(500)) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            _ => {
                println!("\nstopping");
                return Ok(());
            }
        }
        if let Some((name, status)) = programs.ended() {
            bail!(
                "{name} ended by itself ({status}); its log is in {}",
                place.data.join("logs").display()
            );
        }
    }
}

fn build() -> Result<()> {
    needs::have(&[&Need::Node])?;
    let web = shell::root().join("web");
    // npm writes this file last, so it is newer than the lock file exactly when the packages are those of the lock.
    let installed = web.join("node_modules/.package-lock.json");
    let fresh = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    if fresh(&installed).is_none() || fresh(&installed) < fresh(&web.join("package-lock.json")) {
        println!("installing the console's packages");
        shell::check(shell::command("npm").args([
            "--prefix",
            "web",
            "ci",
            "--no-audit",
            "--no-fund",
            "--loglevel",
            "error",
        ]))?;
    }
    println!("building the console");
    shell::check(shell::command("npm").args(["--prefix", "web", "run", "--silent", "build"]))?;
    println!("building both programs (the first time takes some minutes)");
    let packages = [
        "--package",
        "dgon-control-plane",
        "--package",
        "dgon-agent",
        "--package",
        "dgon-testkit",
    ];
    shell::check(
        shell::cargo()
            .args(["build", "--profile", "quick", "--locked"])
            .args(packages),
    )
}

/// Fails with a way out when an address is taken.
fn free(address: SocketAddr, who: &str, instead: &str) -> Result<()> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "{address} is taken, so {who} cannot listen there. Stop the other program, or choose another address: {instead}"
            )
        }
        Err(error) => Err(error).with_context(|| {
            format!("{who} cannot listen on {address}; choose another address: {instead}")
        }),
    }
}

fn start_control_plane(programs: &mut Programs, place: &Place, bind: SocketAddr) -> Result<()> {
    let mut serve = place.control_plane();
    serve.args(["serve", "--bind", &bind.to_string()]);
    programs.start("the control plane", &mut serve, &place.log("control-plane"))?;
    wait_for(programs, place, "control-plane", || {
        TcpStream::connect(bind).is_ok()
    })
}

/// A one-time link: to make the first admin, or to sign in as the one there is.
fn sign_in_link(place: &Place) -> Result<String> {
    let printed = shell::output(
        place
            .control_plane()
            .args(["user", "link", "--url", &place.api]),
    )?;
    printed
        .split_whitespace()
        .find(|word| word.starts_with("http"))
        .map(str::to_owned)
        .context("the control plane printed no sign-in link")
}

/// Enrols this machine unless it is enrolled.
fn enrol(place: &Place) -> Result<()> {
    let agent = place.data.join("agent");
    if agent.join("node.secret").exists() {
        return Ok(());
    }
    let token = shell::output(
        place
            .control_plane()
            .args(["token", "create", "--uses", "1", "--json"]),
    )?;
    let token: serde_json::Value =
        serde_json::from_str(&token).context("the control plane printed no token")?;
    let secret = token["token"]
        .as_str()
        .context("the control plane printed no token")?;
    shell::output(
        place
            .agent()
            .args(["enroll", "--api", &place.api])
            .env("DGON_ENROL_TOKEN", secret),
    )
    .map(drop)
}

/// The runtime behind the proxy.
struct Runtime {
    /// Which one, for a person.
    shown: String,
    /// A model that it serves.
    model: Option<String>,
    /// Where it is, if the agent would not look there by itself.
    endpoint: Option<String>,
}

/// Says which runtime answers; starts a simulated one where none does.
fn start_runtime(programs: &mut Programs, place: &Place) -> Result<Runtime> {
    if let Some(found) = found_runtime(place)? {
        return Ok(found);
    }
    let address = simulated_address()?;
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut sim = shell::command(place.bin.join("dgon-sim"));
    sim.args(["runtime", "--kind", "ollama", "--model", MODEL]);
    sim.args(["--host", &host, "--port", &port]);
    programs.start("the simulated runtime", &mut sim, &place.log("runtime"))?;
    wait_for(programs, place, "runtime", || {
        TcpStream::connect(address).is_ok()
    })?;
    let shown = format!(
        "none of Ollama, vLLM, TGI, TensorRT-LLM and llama.cpp answers on its default port, so a SIMULATED Ollama\n             \
         runs on {address}: its answers are made-up words. Start a real runtime and run this again."
    );
    Ok(Runtime {
        shown,
        model: Some(MODEL.to_owned()),
        endpoint: (address != SIMULATED).then(|| format!("http://{address}")),
    })
}

/// Ollama's own address, or any other where something that is no runtime listens there.
fn simulated_address() -> Result<SocketAddr> {
    let free = TcpListener::bind(SIMULATED)
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("the simulated runtime finds no free port")?;
    free.local_addr()
        .context("the simulated runtime finds no free port")
}

fn found_runtime(place: &Place) -> Result<Option<Runtime>> {
    let listed = shell::output(place.agent().args(["runtimes", "--json"]))?;
    let listed: serde_json::Value =
        serde_json::from_str(&listed).context("`dgon-agent runtimes --json` printed no JSON")?;
    let Some(first) = listed["runtimes"].as_array().and_then(|all| all.first()) else {
        return Ok(None);
    };
    let text = |key: &str| first[key].as_str().unwrap_or_default();
    let model = first["models"][0]["id"].as_str().map(str::to_owned);
    let (kind, version, endpoint) = (text("kind"), text("version"), text("endpoint"));
    let models = if model.is_some() {
        ""
    } else {
        ", which has no model yet"
    };
    Ok(Some(Runtime {
        shown: format!("found {kind} {version} at {endpoint}{models}"),
        model,
        endpoint: None,
    }))
}

/// Waits until `ready`, or says what the program's log says.
fn wait_for(
    programs: &mut Programs,
    place: &Place,
    log: &str,
    ready: impl Fn() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + START;
    while !ready() {
        let ended = programs.ended();
        if ended.is_some() || Instant::now() > deadline {
            let text = std::fs::read_to_string(place.log(log)).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(12).collect();
            let how = ended.map_or_else(
                || format!("did not come up within {} s", START.as_secs()),
                |(_, status)| format!("ended ({status})"),
            );
            bail!(
                "the {log} {how}. The end of its log, {}:\n{}",
                place.log(log).display(),
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn greet(options: &Options, place: &Place, link: &str, runtime: &Runtime, took: Duration) {
    let (seconds, proxy, api) = (took.as_secs_f64(), options.proxy, &place.api);
    let model = runtime.model.as_deref().unwrap_or("MODEL");
    let (shown, data) = (&runtime.shown, place.data.display());
    let (agent, state) = (place.bin.join("dgon-agent"), place.data.join("agent"));
    let (agent, state) = (agent.display(), state.display());
    println!(
        "
DGON runs on this machine (started in {seconds:.1} s)

  Console    {api}
  Sign in    {link}
             (one time only; run this again for a new one)
  Runtime    {shown}
  Proxy      http://{proxy}   point your LLM client here, for example:

    curl -N http://{proxy}/v1/chat/completions -H 'Content-Type: application/json' \\
      -d '{{\"model\":\"{model}\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Say hello.\"}}]}}'

  Every answer becomes a signed receipt on {api}/receipts within two seconds. How the agent is, and what is wrong:

    {agent} status --state-dir {state}
    {agent} doctor --state-dir {state}

  Logs and data are in {data}. Ctrl-C stops everything."
    );
}

/// Keeps Ctrl-C away from the program: it is stopped in order, by [`Programs`].
#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_group(_command: &mut Command) {}

#[cfg(unix)]
fn terminate(child: &Child) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

#[cfg(not(unix))]
fn terminate(_child: &Child) {}
