//! `dgon-sim`: simulated runtimes and fleets from the command line.

use clap::{Args, Parser, Subcommand};
use dgon_testkit::runtime::{Faults, Kind, SimConfig, SimRuntime};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

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
    let done = match Cli::parse().command {
        Command::Runtime(args) => play_runtime(args).await,
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
    use anyhow::Context as _;
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
