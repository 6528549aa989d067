//! A thousand browsers on the live socket, each of which is told what agents do 200 times a second.
//!
//! The browsers are real WebSocket clients of one person who may see everything, and read every frame. The agents are a
//! simulated fleet with a process of its own. How late an event is, is the browser's clock less the time at which the
//! server stored the receipt, which is in it: both are of this machine. What a browser of people does with a frame is
//! not measured here; this one looks for that time, and sees that no number is left out.

use crate::fleet::Fleet;
use crate::people;
use crate::programs::{Place, Program};
use crate::report::{Report, Row, quantile};
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Browsers, and how many people have them: each person may have so many sockets.
const PEOPLE: usize = 5;
const EACH: usize = 200;
const NODES: u32 = 50;
/// Receipts per second of the fleet.
const RATE: u32 = 200;
const SECONDS: u64 = 20;
const DAY_MS: f64 = 86_400_000.0;
/// The goal, ms.
const MOST_MS: f64 = 1_000.0;
/// Memory of one, the goal, KiB.
const MOST_KIB: f64 = 60.0;

/// A browser's socket, and the number of the frame that it read last.
struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last: u64,
}

/// What one browser saw.
#[derive(Default)]
struct Seen {
    late_ms: Vec<f64>,
    gaps: u64,
}

/// The text between `from` and the next quotation mark or comma.
fn field<'t>(frame: &'t str, from: &str) -> Option<&'t str> {
    let (_, rest) = frame.split_once(from)?;
    rest.split(['"', ',', '}']).next()
}

/// A frame's number, which is the last of it.
fn number(frame: &str) -> Option<u64> {
    let (_, number) = frame.rsplit_once("\"seq\":")?;
    number.trim_end_matches('}').parse().ok()
}

/// Reads until it is told to stop; a ping of the server's ends the wait for a frame.
async fn watch(mut browser: Browser, stop: Arc<AtomicBool>) -> Result<Seen> {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let before = browser.last;
        let text = browser.next().await?;
        seen.gaps += u64::from(browser.last != before + 1);
        if text.starts_with("{\"type\":\"receipt\"") {
            let stored = field(&text, "\"received_at\":\"").context("a receipt without a time")?;
            let late = now_ms()? - ms_of_day(stored).context("a time that is none")?;
            seen.late_ms.push(late.rem_euclid(DAY_MS));
        }
    }
    Ok(seen)
}

impl Browser {
    /// The next frame.
    async fn next(&mut self) -> Result<Utf8Bytes> {
        loop {
            match self.socket.next().await.context("a browser was closed")?? {
                Message::Text(text) => {
                    self.last = number(&text).context("a frame without a number")?;
                    return Ok(text);
                }
                Message::Close(why) => bail!("a browser was closed: {why:?}"),
                _ => {}
            }
        }
    }
}

/// The time of day, as the days of UTC go.
fn now_ms() -> Result<f64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok((now.as_secs_f64() * 1e3) % DAY_MS)
}

/// The time of day of such as `2027-01-02T03:04:05.678Z`.
fn ms_of_day(time: &str) -> Option<f64> {
    let (_, clock) = time.trim_end_matches('Z').split_once('T')?;
    let mut parts = clock.split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(((hours * 60.0 + minutes) * 60.0 + seconds) * 1e3)
}

/// Opens the live socket and asks for everything.
async fn open(place: &Place, cookies: &str) -> Result<Browser> {
    let request = http::Request::builder()
        .uri(format!("ws://{}/api/v1/live", place.api))
        .header("host", place.api.to_string())
        .header("origin", format!("http://{}", place.api))
        .header("cookie", cookies)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
        .body(())?;
    let config = WebSocketConfig::default().read_buffer_size(16 * 1024);
    let connect = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
    let (mut socket, _) = connect.await?;
    let subscribe = r#"{"type":"sub","topics":["summary","nodes","receipts"]}"#;
    socket.send(Message::text(subscribe)).await?;
    let mut browser = Browser { socket, last: 0 };
    while !browser
        .next()
        .await?
        .starts_with("{\"type\":\"subscribed\"")
    {}
    Ok(browser)
}

/// Signs everybody in; their cookies.
async fn sign_in(place: &Place) -> Result<Vec<String>> {
    let mut cookies = Vec::new();
    for number in 0..PEOPLE {
        cookies.push(people::sign_in(place, &format!("admin{number}@example.org"), "admin").await?);
    }
    Ok(cookies)
}

/// Opens all of them.
async fn open_all(place: &Place, people: &[String]) -> Result<Vec<Browser>> {
    let mut sockets = Vec::new();
    for cookies in people {
        for _ in 0..EACH {
            sockets.push(open(place, cookies).await?);
        }
    }
    Ok(sockets)
}

/// What the server used for it.
struct Cost {
    cpu: Duration,
    took: Duration,
    resident_mib: f64,
}

/// Lets the fleet work before all of them.
async fn run(place: &Place, server: &Program, sockets: Vec<Browser>) -> Result<(Vec<Seen>, Cost)> {
    let stop = Arc::new(AtomicBool::new(false));
    let watch = |browser| tokio::spawn(watch(browser, Arc::clone(&stop)));
    let browsers: Vec<_> = sockets.into_iter().map(watch).collect();
    let (began, before) = (Instant::now(), server.cpu());
    let fleet = Fleet {
        nodes: NODES,
        rate: RATE,
        warm_up: 0,
        seconds: SECONDS,
    };
    let told = tokio::task::block_in_place(|| fleet.run(place))?;
    ensure!(told.refused == 0, "{} receipts were refused", told.refused);
    let cost = Cost {
        cpu: server.cpu().saturating_sub(before),
        took: began.elapsed(),
        resident_mib: server.resident_mib(),
    };
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for browser in browsers {
        all.push(browser.await??);
    }
    Ok((all, cost))
}

/// Measures it.
pub(crate) async fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let place = Place::new(bin)?;
    let server = place.control_plane()?;
    // Before the first look at the memory.
    let people = sign_in(&place).await?;
    let empty_mib = server.resident_mib();
    let sockets = open_all(&place, &people).await?;
    let count = sockets.len();
    let each_kib = |resident_mib: f64| (resident_mib - empty_mib) * 1024.0 / count as f64;
    let idle_kib = each_kib(server.resident_mib());
    let (seen, cost) = run(&place, &server, sockets).await?;
    let mut late: Vec<f64> = seen.iter().flat_map(|one| one.late_ms.clone()).collect();
    ensure!(!late.is_empty(), "no browser was told of a receipt");
    late.sort_by(f64::total_cmp);
    let (p50, p99) = (quantile(&late, 0.5), quantile(&late, 0.99));
    let gaps: u64 = seen.iter().map(|one| one.gaps).sum();
    report.add(Row {
        what: format!("commit to browser, {count} browsers, {RATE} events/s"),
        goal: format!("p99 ≤ {MOST_MS} ms"),
        floor: String::new(),
        peer: String::new(),
        ours: format!("p50 {p50:.0} ms, p99 {p99:.0} ms, {gaps} gaps"),
        ratio: format!("{:.2}× the goal", p99 / MOST_MS),
        reached: p99 <= MOST_MS && gaps == 0,
    });
    let under_load_kib = each_kib(cost.resident_mib);
    report.add(Row {
        what: format!("control plane's memory for each of {count} browsers under load"),
        goal: format!("≤ {MOST_KIB} KiB"),
        floor: format!("idle {idle_kib:.1} KiB"),
        peer: String::new(),
        ours: format!("{under_load_kib:.1} KiB with what the fleet takes"),
        ratio: format!("{:.2}× the goal", under_load_kib / MOST_KIB),
        reached: under_load_kib <= MOST_KIB,
    });
    let cpu_us = cost.cpu.as_secs_f64() * 1e6;
    report.note(format!(
        "browsers: {} receipts told, {:.2} µs CPU of the control plane for each and {:.0} % of one core, with the \
         receipts' own way in",
        late.len(),
        cpu_us / late.len() as f64,
        cost.cpu.as_secs_f64() * 100.0 / cost.took.as_secs_f64()
    ));
    Ok(())
}
