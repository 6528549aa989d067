//! An idle agent for a minute, with one GPU, one runtime and a control plane, beside other small guests.
//!
//! All run at the same time, so that noise hits all alike; node-exporter is asked every 15 seconds, as Prometheus
//! does by default for what it watches closely. CPU is the processes' own clocks, with their children's; wake-ups
//! are the times that a thread went to sleep.

use crate::guests::{self, Guest};
use crate::process::{Memory, cpu, load_average, memory, wakeups};
use crate::programs::Node;
use crate::report::{Report, Row};
use anyhow::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Time to come to rest, then the time that is measured.
const SETTLE: Duration = Duration::from_secs(20);
const MEASURED: Duration = Duration::from_secs(60);
const SCRAPE_EVERY: Duration = Duration::from_secs(15);

/// The machine that the stand-in for NVML plays.
const MACHINE: &str = r#"{"driver":"550.54.15","cuda":12040,"cards":[{"name":"NVIDIA H200","uuid":"GPU-0000",
"pci":"00000000:01:00.0","memory_total":150754820096,"memory_used":1073741824,"util_pct":0,"temp_c":34,
"power_mw":76000}]}"#;

/// What one program used in the measured time.
struct Used {
    name: &'static str,
    cpu_ms: f64,
    wakeups: f64,
    memory: Memory,
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Asks node-exporter for its figures and reads them.
async fn scrape(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// Lets all run for `length`, asking those that want to be asked.
async fn pass(guests: &[Guest], length: Duration) -> Result<()> {
    let rounds = (length.as_secs() / SCRAPE_EVERY.as_secs()).max(1);
    for _ in 0..rounds {
        tokio::time::sleep(length / u32::try_from(rounds)? / 2).await;
        for address in guests.iter().filter_map(|guest| guest.scrape) {
            scrape(address).await?;
        }
        tokio::time::sleep(length / u32::try_from(rounds)? / 2).await;
    }
    Ok(())
}

/// Measures the agent beside its peers.
pub(crate) async fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let files = tempfile::tempdir()?;
    let machine = files.path().join("machine.json");
    std::fs::write(&machine, MACHINE)?;
    let library = bin.join(format!(
        "{}dgon_fake_nvml{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    ));
    let (machine, library) = (machine.display().to_string(), library.display().to_string());
    let one_gpu = [
        ("DGON_NVML_LIB", library.as_str()),
        ("DGON_FAKE_NVML", machine.as_str()),
    ];
    let node = Node::start(bin, &[], &one_gpu, true)?;
    let guests = guests::start(files.path(), report)?;
    let load = load_average();
    pass(&guests, SETTLE).await?;
    let mut programs = vec![("ours", node.agent.id())];
    programs.extend(guests.iter().map(|guest| (guest.name, guest.program.id())));
    let before: Vec<_> = programs
        .iter()
        .map(|(_, pid)| (cpu(*pid), wakeups(*pid)))
        .collect();
    pass(&guests, MEASURED).await?;
    let used: Vec<Used> = programs
        .iter()
        .zip(before)
        .map(|((name, pid), (cpu_before, wakeups_before))| Used {
            name,
            cpu_ms: cpu(*pid).saturating_sub(cpu_before).as_secs_f64() * 1e3,
            wakeups: wakeups(*pid).saturating_sub(wakeups_before) as f64 / MEASURED.as_secs_f64(),
            memory: memory(*pid),
        })
        .collect();
    tell(report, &used);
    report.note(format!(
        "idle: load average {load} before and {} after; node-exporter is scraped every {} s",
        load_average(),
        SCRAPE_EVERY.as_secs()
    ));
    Ok(())
}

fn tell(report: &mut Report, used: &[Used]) {
    let Some((ours, peers)) = used.split_first() else {
        return;
    };
    let exporter = peers.iter().find(|used| used.name == "node-exporter");
    let mut add = |what: &str, unit: &str, most: f64, share: Option<f64>, of: fn(&Used) -> f64| {
        let told: Vec<String> = peers
            .iter()
            .map(|used| format!("{} {:.1}", used.name, of(used)))
            .collect();
        let value = of(ours);
        let ratio = exporter.map(|exporter| value / of(exporter));
        let in_share = match (share, ratio) {
            (Some(share), Some(ratio)) => ratio <= share,
            _ => true,
        };
        report.add(Row {
            what: format!("agent idle, {what}"),
            goal: match share {
                Some(share) => format!("≤ {most} {unit}, ≤ {share}× node-exporter"),
                None => format!("≤ {most} {unit}"),
            },
            floor: String::new(),
            peer: told.join(", "),
            ours: format!("{value:.1} {unit}"),
            ratio: ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}×")),
            reached: value <= most && in_share,
        });
    };
    add("resident memory", "MiB", 7.0, Some(1.0), |used| {
        mib(used.memory.resident)
    });
    add("private memory (RssAnon)", "MiB", 1.0, None, |used| {
        mib(used.memory.private)
    });
    add("CPU in a minute", "ms", 10.0, Some(0.5), |used| used.cpu_ms);
    add("wake-ups a second", "/s", 1.0, None, |used| used.wakeups);
}
