//! `dgon-sim`: simulated runtimes and fleets from the command line.

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use dgon_testkit::fleet::hostile;
use dgon_testkit::fleet::load::{self, Load, Moment, Report};
use dgon_testkit::runtime::{Faults, Kind, SimConfig, SimRuntime};
use dgon_testkit::strangers::{Aim, Strangers};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Simulated LLM runtimes and fleets for DGON. Nothing here computes anything; it only speaks like the real thing.
#[derive(Parser)]
#[command(name = "dgon-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play an LLM server until interrupted.
    Runtime(RuntimeArgs),
    /// Play many agents: enrol, connect, send heartbeats and signed receipts, answer probes, measure the acks.
    Fleet(FleetArgs),
    /// Play agents that break rules as fast as they can.
    Hostile(HostileArgs),
    /// Play strangers from thousands of addresses, who ask for what costs work.
    Strangers(StrangersArgs),
}

#[derive(Args)]
struct HostileArgs {
    /// Base URL of the control plane.
    #[arg(long, env = "DGON_API", default_value = "http://127.0.0.1:8080")]
    api: String,
    /// Agents; each kind of misbehaviour has every ninth.
    #[arg(long, default_value_t = 9)]
    nodes: usize,
    /// How long, s.
    #[arg(long, default_value_t = 30.0)]
    duration: f64,
    /// Enrolment token with as many uses as there are agents; better given by the environment.
    #[arg(long, env = "DGON_ENROL_TOKEN", hide_env_values = true)]
    token: String,
}

#[derive(Args)]
struct StrangersArgs {
    /// Base URL of the control plane, which must trust this machine as a proxy.
    #[arg(long, env = "DGON_API", default_value = "http://127.0.0.1:8080")]
    api: String,
    /// What they do.
    #[arg(long)]
    aim: Aim,
    /// Whose password is guessed.
    #[arg(long, default_value = "admin@example.org")]
    email: String,
    /// Requests per second of all of them.
    #[arg(long, default_value_t = 300)]
    rate: u32,
    /// Addresses that they come from.
    #[arg(long, default_value_t = 4_000)]
    addresses: u32,
    /// How long, s.
    #[arg(long, default_value_t = 30.0)]
    duration: f64,
}

#[derive(Args)]
struct FleetArgs {
    /// Base URL of the control plane.
    #[arg(long, env = "DGON_API", default_value = "http://127.0.0.1:8080")]
    api: String,
    /// Agents.
    #[arg(long, default_value_t = 10)]
    nodes: usize,
    /// Receipts per second of the whole fleet.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// How long receipts count, s.
    #[arg(long, default_value_t = 30.0)]
    duration: f64,
    /// How long receipts are made before they count, s; with it a line is printed when counting begins and one when the
    /// last receipt was made.
    #[arg(long, default_value_t = 0.0)]
    warm_up: f64,
    /// Enrolment token with as many uses as there are agents, or several with commas, each for its part of them; better
    /// given by the environment.
    #[arg(
        long,
        env = "DGON_ENROL_TOKEN",
        hide_env_values = true,
        value_delimiter = ','
    )]
    token: Vec<String>,
    /// Name the nodes PREFIX-00000 and so on.
    #[arg(long)]
    prefix: Option<String>,
    /// File that keeps the agents between runs (0600): read if it is there, written at the end.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Receipts of one node that become due within this time share a frame, ms.
    #[arg(long, default_value_t = 0)]
    linger_ms: u64,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct RuntimeArgs {
    /// Which server to play.
    #[arg(long)]
    kind: Kind,
    /// Address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to listen on [default: the real server's]; 0 picks a free one.
    #[arg(long)]
    port: Option<u16>,
    /// Model to serve; may be given more than once.
    #[arg(long)]
    model: Vec<String>,
    /// Speed of one answer; 0 is as fast as it goes.
    #[arg(long, default_value_t = 40.0)]
    tokens_per_second: f64,
    /// Time to the first token, ms.
    #[arg(long, default_value_t = 120)]
    ttft_ms: u64,
    /// Time to load the model, ms.
    #[arg(long, default_value_t = 0)]
    loading_ms: u64,
    /// Length of every answer, tokens [default: 8 to 48, by the prompt].
    #[arg(long)]
    answer_tokens: Option<u32>,
    /// Context window, tokens.
    #[arg(long, default_value_t = 4096)]
    context: u32,
    /// Answers generated at once.
    #[arg(long, default_value_t = 64)]
    parallel: usize,
    /// Requests that may wait; more are refused.
    #[arg(long)]
    queue_limit: Option<usize>,
    /// Seed of all texts.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Share of requests that fail, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    error_rate: f64,
    /// Fail inside every answer after this many tokens.
    #[arg(long)]
    error_after: Option<u32>,
    /// Go silent after this many tokens.
    #[arg(long)]
    stall_after: Option<u32>,
    /// Cut the connection after this many tokens.
    #[arg(long)]
    disconnect_after: Option<u32>,
    /// End the answer without its terminal mark after this many tokens.
    #[arg(long)]
    truncate_after: Option<u32>,
    /// Never tell token counts.
    #[arg(long)]
    no_usage: bool,
    /// vLLM: leave cached tokens out of the usage.
    #[arg(long)]
    no_prompt_details: bool,
    /// Speak the oldest wire form still met in the field.
    #[arg(long)]
    legacy: bool,
    /// Ask for this bearer token, where the real server can.
    #[arg(long, env = "DGON_SIM_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

impl RuntimeArgs {
    fn config(self) -> SimConfig {
        let mut config = SimConfig::new(self.kind);
        config.bind = SocketAddr::new(self.host, self.port.unwrap_or(self.kind.default_port()));
        if !self.model.is_empty() {
            config.models = self.model;
        }
        config.seed = self.seed;
        config.tokens_per_second = Some(self.tokens_per_second);
        config.ttft = Duration::from_millis(self.ttft_ms);
        config.loading = Duration::from_millis(self.loading_ms);
        config.answer_tokens = self.answer_tokens;
        config.context = self.context;
        config.parallel = self.parallel;
        config.queue_limit = self.queue_limit;
        config.api_key = self.api_key;
        config.legacy = self.legacy;
        config.prompt_details = !self.no_prompt_details;
        config.faults = Faults {
            error_rate: self.error_rate,
            error_after: self.error_after,
            stall_after: self.stall_after,
            disconnect_after: self.disconnect_after,
            truncate_after: self.truncate_after,
            no_usage: self.no_usage,
        };
        config
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    // Fails only where a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match Cli::parse().command {
        Command::Runtime(args) => play_runtime(args).await,
        Command::Fleet(args) => play_fleet(args).await,
        Command::Hostile(args) => play_hostile(args).await,
        Command::Strangers(args) => play_strangers(args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("dgon-sim: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play_runtime(args: RuntimeArgs) -> anyhow::Result<()> {
    let config = args.config();
    let (kind, bind, models) = (config.kind, config.bind, config.models.join(", "));
    let runtime = SimRuntime::start(config).await.with_context(|| {
        format!("{bind} cannot be bound; is another server there? Choose one with --port")
    })?;
    println!("simulated {kind} at {} serving {models}", runtime.url());
    tokio::signal::ctrl_c()
        .await
        .context("the interrupt signal cannot be watched")?;
    let stats = runtime.stats();
    println!(
        "{} requests: {} finished, {} cancelled, {} overloaded, {} failed, {} refused",
        stats.requests,
        stats.finished,
        stats.cancelled,
        stats.overloaded,
        stats.failed,
        stats.refused
    );
    Ok(())
}

async fn play_fleet(args: FleetArgs) -> anyhow::Result<()> {
    let saved = match &args.keep {
        Some(path) if path.exists() => {
            load::read_saved(path).with_context(|| format!("{} cannot be read", path.display()))?
        }
        _ => Vec::new(),
    };
    let mut agents = load::restore(&saved)?;
    agents.truncate(args.nodes);
    let missing = args.nodes - agents.len();
    if missing > 0 {
        anyhow::ensure!(
            !args.token.is_empty(),
            "new agents need an enrolment token: --token or DGON_ENROL_TOKEN"
        );
        let fleet = load::enrol(&args.api, &args.token, missing, args.prefix.as_deref());
        agents.extend(fleet.await?);
    }
    let work = Load {
        api: args.api,
        rate: args.rate,
        warm_up: Duration::from_secs_f64(args.warm_up),
        duration: Duration::from_secs_f64(args.duration),
        linger: Duration::from_millis(args.linger_ms),
    };
    let tells = args.warm_up > 0.0;
    let tell = |moment| match moment {
        Moment::Counting if tells => println!("counting"),
        Moment::Made if tells => println!("made"),
        Moment::Counting | Moment::Made => {}
    };
    let (report, agents) = load::run(agents, &work, tell).await;
    if let Some(path) = &args.keep {
        load::write_saved(path, &agents)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print_report(&report);
    }
    anyhow::ensure!(
        report.unacked == 0,
        "{} receipts were not acknowledged in time",
        report.unacked
    );
    Ok(())
}

async fn play_hostile(args: HostileArgs) -> anyhow::Result<()> {
    let agents = load::enrol(
        &args.api,
        std::slice::from_ref(&args.token),
        args.nodes,
        None,
    )
    .await?;
    println!("{} hostile agents are enrolled", agents.len());
    let stop = CancellationToken::new();
    let playing = tokio::spawn(hostile::run(agents, stop.clone()));
    tokio::time::sleep(Duration::from_secs_f64(args.duration)).await;
    stop.cancel();
    let report = playing.await.context("the hostile agents")?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

/// Prints how often each status was answered; 0 is none.
async fn play_strangers(args: StrangersArgs) -> anyhow::Result<()> {
    let strangers = Strangers {
        api: args.api.trim_end_matches('/').to_owned(),
        aim: args.aim,
        email: args.email,
        rate: args.rate,
        addresses: args.addresses,
    };
    let duration = Duration::from_secs_f64(args.duration);
    println!(
        "{}",
        serde_json::to_string(&strangers.run(duration).await?)?
    );
    Ok(())
}

fn print_report(report: &Report) {
    let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
    println!(
        "nodes       {} ({} sessions, {} times told active)",
        report.nodes, report.sessions, report.active
    );
    if let Some(seconds) = report.all_active_s {
        println!("active      all of them after {seconds:.1} s");
    }
    println!(
        "receipts    {} made, {} acked, {} refused",
        report.made, report.acked, report.refused
    );
    println!(
        "acked/s     {:.1} over {:.1} s",
        report.acked_per_s, report.seconds
    );
    let (p50, p99, max) = (
        ms(report.ack_p50_ms),
        ms(report.ack_p99_ms),
        ms(report.ack_max_ms),
    );
    println!("ack latency p50 {p50}, p99 {p99}, max {max}");
    println!("heartbeats  {}", report.heartbeats);
    for (fault, times) in &report.faults {
        println!("fault       {times} x {fault}");
    }
}
