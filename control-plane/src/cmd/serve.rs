//! `serve`: opens, listens, runs the tasks, and stops gracefully.

use super::failure::Failure;
use super::{Common, open};
use crate::accounts::{Accounts, PasswordHasher};
use crate::app::App;
use crate::config::Config;
use crate::http::server;
use crate::http::{HttpState, metrics, router};
use crate::socket;
use crate::tasks::{self, database_lock};
use anyhow::Context as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// How long `/readyz` tells of a task that ended before the server stops for it: whoever asks every second learns why.
const TELL: Duration = Duration::from_secs(2);
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Address and port to listen on; also $DGON_BIND.
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Address that people and agents use, such as https://dgon.example; also $DGON_PUBLIC_URL.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

pub(super) async fn run(common: &Common, options: &Options) -> Result<(), Failure> {
    let flags = [
        ("bind", options.bind.clone()),
        ("public_url", options.public_url.clone()),
    ];
    let config = common.load(&flags)?;
    metrics::install().map_err(Failure::other)?;
    // The port first: a second server must not touch the database of the first.
    let listener = listen(&config).await?;
    let (app, lock) = open::serving(&config).await?;
    // Let go of last: until everything is committed this is the only server.
    let lock = Arc::new(Mutex::new(lock));
    app.load().await?;
    let stop = CancellationToken::new();
    socket::start_threads();
    // Before anybody is told that it runs, and may stop it.
    let signals = stop_on_signal(stop.clone())?;
    announce(&config, &app).await?;

    let tasks = tasks::spawn(&app, &stop);
    let start = |name, task| tasks::start(&tasks, &app, &stop, name, task);
    start("housekeeping", Box::pin(housekeeping(stop.clone())));
    let keep = database_lock::keep(Arc::clone(&app), Arc::clone(&lock), stop.clone());
    start("database_lock", Box::pin(keep));
    // Not among the tasks that a stop waits for: a second signal ends what does not end by itself.
    tokio::spawn(watched(Arc::clone(&app), "signals", stop.clone(), signals));
    tokio::spawn(stop_when_broken(Arc::clone(&app), stop.clone()));
    let state = HttpState::new(Arc::clone(&app), config.http_settings());
    let serving = server::serve(
        listener,
        router(&state),
        config.server_limits(),
        stop.clone(),
    );
    app.supervisor.watch("listener", &stop, serving).await;
    stop.cancel();
    // What was received is committed and answered for before the database closes.
    if tokio::time::timeout(config.stop_timeout, tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            "a task did not end in time; receipts that were not acknowledged come again"
        );
    }
    app.store.close().await;
    drop(lock);
    tracing::info!("stopped");
    match app.supervisor.ended().as_slice() {
        [] => Ok(()),
        ended => Err(Failure::broken(ended)),
    }
}

async fn watched(
    app: Arc<App>,
    name: &'static str,
    stop: CancellationToken,
    task: impl Future<Output = ()>,
) {
    app.supervisor.watch(name, &stop, task).await;
}

/// Stops the server when a task ended that should run.
async fn stop_when_broken(app: Arc<App>, stop: CancellationToken) {
    let telling = async {
        app.supervisor.any_ended().await;
        tokio::time::sleep(TELL).await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = telling => stop.cancel(),
    }
}

async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    TcpListener::bind(config.bind)
        .await
        .with_context(|| {
            format!(
                "cannot listen on {}; if the port is taken, give another with --bind 127.0.0.1:PORT",
                config.bind
            )
        })
        .map_err(Failure::listen)
}

/// Tells where the console is, and how the first admin gets in.
async fn announce(config: &Config, app: &Arc<App>) -> Result<(), Failure> {
    let console = config.console_url();
    say(&format!(
        "DGON control plane {} at {console}",
        env!("CARGO_PKG_VERSION")
    ));
    let accounts = Accounts::new(app, PasswordHasher::default());
    if accounts.setup_needed().await? {
        let link = accounts.setup_link().await?;
        say("There is no user yet. Make the first admin, once, within a day:");
        say(&format!("  {}", link.at(&console)));
    }
    Ok(())
}

/// Prints a line. A server whose output nobody reads any more serves all the same, where `println!` would end it.
fn say(line: &str) {
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        tracing::warn!(%error, "nobody reads what the server prints");
    }
}

/// Keeps metrics from growing.
async fn housekeeping(stop: CancellationToken) {
    let mut upkeep = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = upkeep.tick() => metrics::upkeep(),
        }
    }
}

/// Cancels `stop` on Ctrl-C and, on Unix, on SIGTERM. A second signal ends the process at once. Signals are caught from
/// this call on; the future acts on them and never ends.
fn stop_on_signal(
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    #[cfg(unix)]
    let mut terminate = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?
    };
    Ok(async move {
        loop {
            #[cfg(unix)]
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            #[cfg(not(unix))]
            let _ = tokio::signal::ctrl_c().await;
            if stop.is_cancelled() {
                std::process::exit(130);
            }
            tracing::info!("stopping: open requests may end; a second signal stops at once");
            stop.cancel();
        }
    })
}
