//! The command line. Only its shape: what commands do is in [`crate::cmd`].
//!
//! Exit codes of every command: 0 done, 1 it failed or the answer is no, 64 the command line or the
//! configuration cannot be used. `receipt verify` and `doctor` add 2, as their help says; `run` adds 3: another agent
//! with this node's identity took over.

use crate::config::{BaseUrl, LogFormat, LogLevel};
use clap::{Args, Parser, Subcommand, ValueHint};
use dgon_protocol::id::NodeId;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Version, commit and build date.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("DGON_COMMIT"),
    ", built ",
    env!("DGON_BUILD_DATE"),
    ")"
);

/// DGON's agent: meters the LLM runtime of this machine and signs a receipt for every request.
#[derive(Debug, Parser)]
#[command(name = "dgon-agent", version = VERSION, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Directory of the identity and the spool
    #[arg(long, global = true, env = "DGON_STATE_DIR", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state_dir: Option<PathBuf>,
    /// Configuration file
    #[arg(long, global = true, env = "DGON_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// How much is logged to the standard error stream
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// How it is logged
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make this machine's key and register it with a control plane
    Enroll(Enroll),
    /// Run the agent: proxy, receipts, link
    Run(Run),
    /// Say how the running agent is
    Status(Output),
    /// Take no work from the network until `resume`, also after a restart; your own clients are served
    Pause(Output),
    /// Take work from the network again
    Resume(Output),
    /// Take no more work from the network and wait until what runs is finished, before a stop or an update (exit 1:
    /// it is not finished in time)
    Drain(Drain),
    /// Stop the running agent and wait until another one can start: what runs is finished, as after a SIGTERM (exit 1:
    /// none runs, or it has not ended in time)
    ///
    /// What runs may take as long as proxy.drain_s; then the last receipts are sent. A second SIGTERM ends the agent at
    /// once. An agent that the service manager keeps running is not stopped by this command, but by `dgon-agent service
    /// stop`; a supervisor of another kind (a container's, for one) may start it again.
    Stop(Output),
    /// Check this machine and say how to mend what is wrong (exit 1: a check fails; 2: warnings with --strict)
    Doctor(Doctor),
    /// List the GPUs and their load, or have the running agent let go of them
    Gpus(Gpus),
    /// List the LLM runtimes that answer
    Runtimes(Output),
    /// List the models that the runtimes serve
    Models(Output),
    /// List, show and verify receipts
    #[command(subcommand)]
    Receipt(Receipt),
    /// Show and change this node's key
    #[command(subcommand)]
    Key(Key),
    /// Check and show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Install the agent as a service of this system, and steer it
    #[command(subcommand)]
    Service(Service),
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How data is printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gpus`.
#[derive(Debug, Clone, Copy, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Gpus {
    /// What is done with them; they are listed where this is absent
    #[command(subcommand)]
    pub command: Option<GpusCommand>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What is done with the GPUs.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum GpusCommand {
    /// Have the running agent close the GPU drivers, so that a card can be reset, given to a virtual machine, or its
    /// driver be unloaded
    Release {
        /// How long, such as 90s, 10m or 2h; until `gpus resume` or the agent's end where this is absent
        #[arg(long = "for", value_name = "TIME", value_parser = span_s)]
        for_s: Option<u64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have the running agent read the GPUs again
    Resume(Output),
}

/// A span of time as people write it, s.
fn span_s(text: &str) -> Result<u64, String> {
    let wrong = || "a span is written 90s, 10m, 2h or 7d".to_owned();
    let unit_s = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 24 * 3600,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    count
        .checked_mul(unit_s)
        .filter(|span| *span > 0)
        .ok_or_else(wrong)
}

/// `enroll`. The token is best given by a file, standard input or the prompt: other users of the machine can see
/// a command line.
#[derive(Debug, Args)]
pub struct Enroll {
    /// Address of the control plane
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub api: Option<BaseUrl>,
    /// Speak plain HTTP with a control plane on another machine: others on the way can read the node's secret
    #[arg(long)]
    pub insecure_http: bool,
    /// Enrolment token; better DGON_ENROL_TOKEN, --token-file or the prompt
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// File with the enrolment token; - reads standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
    /// Name of this node; the control plane makes one where this is absent
    #[arg(long, value_name = "ID")]
    pub node_id: Option<NodeId>,
    /// Region of this node; the token's where this is absent
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Enrol an enrolled machine again: it stays the same node and gets a new secret; stop the agent first
    #[arg(long)]
    pub force: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Address of the control plane
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub api: Option<BaseUrl>,
    /// Speak plain HTTP with a control plane on another machine
    #[arg(long)]
    pub insecure_http: bool,
    /// Where the proxy listens
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Speak with Windows' service manager, which has started this program
    #[arg(long, hide = true)]
    pub hosted: bool,
}

/// `drain`.
#[derive(Debug, Clone, Copy, Args)]
pub struct Drain {
    /// How long to wait for what runs, seconds; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub wait: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Exit 2 where there are warnings
    #[arg(long)]
    pub strict: bool,
    /// Write an archive for support, without secrets, and say what is in it; a new name where FILE is absent
    #[arg(long, value_name = "FILE", num_args = 0..=1, value_hint = ValueHint::FilePath)]
    pub bundle: Option<Option<PathBuf>>,
}

/// `receipt`.
#[derive(Debug, Subcommand)]
pub enum Receipt {
    /// List receipts of this node, the latest first
    List(List),
    /// Show one receipt of this node
    Show {
        /// Its request id or its position in the chain
        id: String,
        /// Print the exact bytes that were signed and stored
        #[arg(long, conflicts_with = "json")]
        raw: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Verify receipts and evidence bundles without the network (exit 0: valid; 1: not valid; 2: a file cannot be read)
    Verify(Verify),
    /// Write receipts with all that a stranger needs to verify them offline into one file
    Export(Export),
}

/// `receipt export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Where to write it; - or nothing writes to standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Only receipts made since then: 90s, 30m, 2h, 7d ago, or unix seconds
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
}

/// `receipt list`.
#[derive(Debug, Args)]
pub struct List {
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Only those made since then: 90s, 30m, 2h, 7d ago, or unix seconds
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only those of this model
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Only those that ended so
    #[arg(long, value_name = "STATUS")]
    pub status: Option<ReceiptStatus>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ReceiptStatus {
    /// Whole
    Ok,
    /// It failed
    Error,
    /// The client went away
    Cancelled,
}

/// `receipt verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Files with one receipt or one evidence bundle each; - reads standard input
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Public key of the node that signed, ed25519:BASE64; for a receipt this node's own where absent
    #[arg(long, value_name = "KEY")]
    pub public_key: Option<String>,
    /// Proof that the receipt is in the network's log; not to be had yet, as the network keeps no log
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub proof: Option<PathBuf>,
    /// Print JSON: an object for one file, an array for several
    #[arg(long)]
    pub json: bool,
}

/// `key`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Key {
    /// Show the public key and those that it replaced, never a private one
    Show(Output),
    /// Change the key; receipts of the old one stay good
    Rotate(Output),
}

/// `service`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Service {
    /// Install it, or upgrade what is installed; start it where this machine is enrolled
    Install(ServiceTarget),
    /// Take it out; identity, receipts and settings stay unless --purge is given
    Uninstall {
        /// Which.
        #[command(flatten)]
        target: ServiceTarget,
        /// Delete identity, receipts and settings as well: nothing brings them back
        #[arg(long)]
        purge: bool,
    },
    /// Start it and wait until it is ready
    Start(ServiceTarget),
    /// Stop it: running answers may end first
    Stop(ServiceTarget),
    /// Stop it and start it again
    Restart(ServiceTarget),
    /// Say how it is (exit 1: it does not run)
    Status(ServiceTarget),
}

impl Service {
    /// Which service is meant.
    pub fn target(&self) -> ServiceTarget {
        match self {
            Self::Install(target)
            | Self::Uninstall { target, .. }
            | Self::Start(target)
            | Self::Stop(target)
            | Self::Restart(target)
            | Self::Status(target) => *target,
        }
    }
}

/// Which service is meant, and how data is printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct ServiceTarget {
    /// The service of this user alone, instead of the machine's
    #[arg(long)]
    pub user: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `config`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration (exit 64: it cannot be used)
    Check(Output),
    /// Show the values in force and where each comes from
    Show(Output),
}
