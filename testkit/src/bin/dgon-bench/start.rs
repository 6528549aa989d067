//! How soon the control plane is ready on a database that has much in it.

use crate::report::{Report, Row, median};
use crate::volumes::{Kind, Volumes, many};
use anyhow::Result;
use dgon_testkit::programs::http_client;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
/// Time from one look to the next.
const LOOK: Duration = Duration::from_millis(2);
/// The goal, ms.
const GOAL_MS: f64 = 300.0;

/// Starts it several times and takes the median. The first start finds the database as the copy left it.
pub(crate) async fn measure(volumes: &mut Volumes, report: &mut Report) -> Result<()> {
    let (client, receipts) = (http_client()?, many()?);
    for kind in Kind::ALL {
        let Some(place) = volumes.copy(kind, receipts, report).await? else {
            continue;
        };
        let ready = format!("http://{}/readyz", place.api);
        let mut times_ms = Vec::new();
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            let control_plane = place.control_plane()?;
            let is_ready = async || {
                let answer = client.get(&ready).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            };
            while !is_ready().await {
                tokio::time::sleep(LOOK).await;
            }
            times_ms.push(begin.elapsed().as_secs_f64() * 1e3);
            drop(control_plane);
        }
        let each: Vec<String> = times_ms.iter().map(|ms| format!("{ms:.0}")).collect();
        let ms = median(&times_ms);
        report.add(Row {
            what: format!("start until ready, {kind}, at {receipts} rows"),
            floor: String::new(),
            ours: format!("{ms:.0} ms (each: {})", each.join(", ")),
            peer: String::new(),
            ratio: format!("{:.2} of the goal", ms / GOAL_MS),
            goal: format!("≤ {GOAL_MS:.0} ms"),
            reached: ms <= GOAL_MS,
        });
    }
    Ok(())
}
