//! Databases full of nodes and receipts: made once for each kind of database and size, then copied for each use.
//!
//! The receipts are really signed and are a day's. Nobody plays their nodes: a server that starts finds them late after half a
//! minute and lets them go offline after [`SERVED_FOR`], so what is measured lies between.

use crate::programs::Place;
use crate::report::Report;
use anyhow::{Context as _, Result};
use dgon_control_plane_store::Store;
use dgon_testkit::fleet::unix_now;
use dgon_testkit::seed::{Seed, seed};
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Nodes of every volume.
pub(crate) const NODES: u32 = 10_000;
/// The volume that figures begin with.
pub(crate) const FEW: u32 = 100_000;
/// The volume that goals are about; `DGON_BENCH_ROWS` says another, for a quick look.
const MANY: u32 = 5_000_000;
/// The last receipt came so long ago, ms: the minute that is written now is another.
const AGO_MS: i64 = 600_000;

/// For how long a server takes the nodes of a volume for active.
pub(crate) const SERVED_FOR: Duration = Duration::from_secs(300);

/// Receipts of the large volume.
pub(crate) fn many() -> Result<u32> {
    match std::env::var("DGON_BENCH_ROWS") {
        Ok(text) => text.parse().context("DGON_BENCH_ROWS is a number"),
        Err(_) => Ok(MANY),
    }
}

/// What stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// A place with an empty database of this kind; `None` where there is none here, which is noted.
    pub(crate) fn place(self, bin: &Path, report: &mut Report) -> Result<Option<Place>> {
        let place = match self {
            Self::Sqlite => return Place::new(bin).map(Some),
            Self::Postgres => Place::on_postgres(bin),
        };
        match place {
            Ok(place) => Ok(Some(place)),
            Err(fault) => {
                report.note(format!("figures on {self} are left out: {fault:#}"));
                Ok(None)
            }
        }
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// The network of a volume.
fn network(receipts: u32, end_ms: i64) -> Seed {
    Seed {
        org_id: Some("main"),
        ..Seed::day(NODES, receipts / NODES, end_ms)
    }
}

/// All that were made in this run.
pub(crate) struct Volumes {
    bin: PathBuf,
    made: BTreeMap<(Kind, u32), Place>,
}

impl Volumes {
    pub(crate) fn new(bin: &Path) -> Self {
        Self {
            bin: bin.to_path_buf(),
            made: BTreeMap::new(),
        }
    }

    /// A copy of a volume, made now where it is not there; `None` where this kind of database cannot be had.
    pub(crate) async fn copy(
        &mut self,
        kind: Kind,
        receipts: u32,
        report: &mut Report,
    ) -> Result<Option<Place>> {
        if !self.made.contains_key(&(kind, receipts)) {
            let Some(place) = kind.place(&self.bin, report)? else {
                return Ok(None);
            };
            fill(&place, receipts)
                .await
                .with_context(|| format!("{kind} cannot be filled with {receipts} receipts"))?;
            self.made.insert((kind, receipts), place);
        }
        let made = self.made.get(&(kind, receipts));
        made.map(Place::copy).transpose()
    }
}

async fn fill(place: &Place, receipts: u32) -> Result<()> {
    eprintln!("filling {} with {receipts} receipts", place.store_url());
    let begin = Instant::now();
    // Makes the database, and its key.
    place.token(1)?;
    let mut url = place.store_url();
    if place.database().is_some() {
        // What is lost in a crash is made again.
        url.push_str("?options[synchronous_commit]=off");
    }
    let store = Store::open(&url).await?;
    let end_ms = i64::try_from(unix_now().as_millis())? - AGO_MS;
    seed(&store, &network(receipts, end_ms), |_| ()).await?;
    store.close().await;
    if let Some(database) = place.database() {
        database.session()?.run("VACUUM ANALYZE")?;
    }
    eprintln!("filled in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}
