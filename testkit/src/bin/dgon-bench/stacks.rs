//! Durable receipts a second of the control plane beside two stacks that people would write themselves: Express with pg,
//! and FastAPI with asyncpg (`testkit/peers`), all on one PostgreSQL that syncs every commit.
//!
//! Each stack is one process. The peers and ours get the same requests from the same generator, a receipt in each; ours
//! is measured over its link, too, which is what agents use. Generator, stack and database share the cores of this
//! machine. The receipts in the database are counted after each run: an answer for one that is not there ends the bench.
//!
//! | module | what |
//! |---|---|
//! | `work` | nodes and their signed receipts, made before any clock starts |
//! | `load` | the generator |
//! | `peers` | the peers that are installed |

mod load;
mod peers;
mod work;

use crate::fleet::Fleet;
use crate::process::load_average;
use crate::programs::{Place, Program};
use crate::report::{Report, Row};
use anyhow::{Context as _, Result, ensure};
use dgon_testkit::postgres::Database;
use load::Outcome;
use std::path::Path;
use work::Work;

/// The goal: so many times the receipts of the better peer.
const GOAL: f64 = 5.0;
/// The link: agents, and more receipts a second than two cores can take.
const LINK_NODES: u32 = 16;
const LINK_RATE: u32 = 30_000;
const LINK_SECONDS: u64 = 10;

/// What a stack did.
struct Figure {
    name: &'static str,
    per_s: f64,
    /// CPU of the stack's process for each receipt, µs.
    cpu_us: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Figure {
    fn of(name: &'static str, outcome: &Outcome) -> Self {
        Self {
            name,
            per_s: outcome.per_s(),
            cpu_us: outcome.cpu_us(),
            p50_ms: outcome.latency_ms(0.5),
            p99_ms: outcome.latency_ms(0.99),
        }
    }

    fn told(&self) -> String {
        format!("{:.0}/s at {:.0} µs", self.per_s, self.cpu_us)
    }
}

/// Measures the peers that are installed, and ours in both ways.
pub(crate) async fn measure(bin: &Path, python: Option<&Path>, report: &mut Report) -> Result<()> {
    let peers = peers::installed(python, report);
    let database = match Database::create_durable() {
        Ok(database) => database,
        Err(fault) => {
            report.note(format!("stacks are left out: {fault:#}"));
            return Ok(());
        }
    };
    let place = Place::on_database(bin, database.url())?;
    let work = {
        let _control_plane = place.control_plane()?;
        Work::make(&place).await?
    };
    let load = load_average();
    let mut measured = Vec::new();
    for peer in &peers {
        match beside(peer, &place, &work).await {
            Ok(figure) => measured.push(figure),
            // What is wrong with a peer keeps nothing else from being measured.
            Err(fault) => report.note(format!("a peer is left out: {fault:#}")),
        }
    }
    let by_post = by_post(&place, &database, &work).await?;
    drop(work);
    let by_link = tokio::task::block_in_place(|| by_link(bin))?;
    for figure in measured.iter().chain([&by_post, &by_link]) {
        report.note(format!(
            "{}: latency p50 {:.1} ms, p99 {:.1} ms",
            figure.name, figure.p50_ms, figure.p99_ms
        ));
    }
    tell(report, "receipts by the link", &measured, &by_link);
    tell(report, "receipts posted one by one", &measured, &by_post);
    report.note(format!(
        "stacks: CPU is that of the stack's process, without PostgreSQL's; the peers keep no chain, no log and no sums; \
         load average {load} before and {} after",
        load_average()
    ));
    Ok(())
}

fn tell(report: &mut Report, what: &str, peers: &[Figure], ours: &Figure) {
    let told: Vec<String> = peers
        .iter()
        .map(|peer| format!("{} {}", peer.name, peer.told()))
        .collect();
    let best = peers.iter().map(|peer| peer.per_s).reduce(f64::max);
    let ratio = best.map(|best| ours.per_s / best);
    report.add(Row {
        what: format!("{what}, durable, PostgreSQL"),
        goal: format!("≥ {GOAL:.0}× the better peer"),
        floor: String::new(),
        peer: told.join(", "),
        ours: ours.told(),
        ratio: ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}×")),
        reached: ratio.is_some_and(|ratio| ratio >= GOAL),
    });
}

/// A peer, on a database of its own.
async fn beside(peer: &peers::Peer, place: &Place, work: &Work) -> Result<Figure> {
    let database = Database::create_durable()?;
    let (program, address) = peer.start(place.dir.path(), &database, work)?;
    let outcome = drive(peer.name, &program, address, work).await?;
    drop(program);
    all_there(&database, outcome.accepted, peer.name)?;
    Ok(Figure::of(peer.name, &outcome))
}

/// Ours, with a receipt in each request.
async fn by_post(place: &Place, database: &Database, work: &Work) -> Result<Figure> {
    const NAME: &str = "ours by post";
    let control_plane = place.control_plane()?;
    let outcome = drive(NAME, &control_plane, place.api, work).await?;
    drop(control_plane);
    all_there(database, outcome.accepted, NAME)?;
    Ok(Figure::of(NAME, &outcome))
}

async fn drive(
    name: &str,
    program: &Program,
    address: std::net::SocketAddr,
    work: &Work,
) -> Result<Outcome> {
    eprintln!("measuring {name}");
    let lanes = work.lanes(address)?;
    load::drive(address, lanes, || program.cpu())
        .await
        .with_context(|| format!("{name} cannot be measured"))
}

/// Ours, with simulated agents on their links.
fn by_link(bin: &Path) -> Result<Figure> {
    const NAME: &str = "ours by the link";
    eprintln!("measuring {NAME}");
    let database = Database::create_durable()?;
    let place = Place::on_database(bin, database.url())?;
    let control_plane = place.control_plane()?;
    let before = control_plane.cpu();
    let fleet = Fleet {
        nodes: LINK_NODES,
        rate: LINK_RATE,
        warm_up: 0,
        seconds: LINK_SECONDS,
    };
    let told = fleet.run(&place)?;
    let used = control_plane.cpu().saturating_sub(before);
    ensure!(
        told.refused == 0,
        "{} receipts were refused on the link",
        told.refused
    );
    drop(control_plane);
    all_there(&database, told.acked as u64, NAME)?;
    Ok(Figure {
        name: NAME,
        per_s: told.acked_per_s,
        cpu_us: used.as_secs_f64() * 1e6 / told.acked,
        p50_ms: told.ack_p50_ms.unwrap_or(f64::NAN),
        p99_ms: told.ack_p99_ms.unwrap_or(f64::NAN),
    })
}

/// Fails where a stack answered for receipts that its database does not have, or has others.
fn all_there(database: &Database, accepted: u64, name: &str) -> Result<()> {
    let counted = database.session()?.run("SELECT COUNT(*) FROM receipts")?;
    let counted: u64 = counted
        .trim()
        .parse()
        .context("the receipts cannot be counted")?;
    ensure!(
        counted == accepted,
        "{name}: {accepted} receipts were accepted and {counted} are in the database"
    );
    Ok(())
}
