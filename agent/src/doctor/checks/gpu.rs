//! Group `gpu`: the driver's findings, heat, throttling, memory errors and Xid faults.

use super::HERE;
use crate::doctor::examine::{Examination, Reporter};
use crate::doctor::subject::{Asked, Subject};
use crate::doctor::{Check, CheckId};
use crate::gpu::{Card, Detector, Finding, FindingKind, Severity, Survey, why_not_read};
use crate::own_command::own_command;
use dgon_protocol::frame::GpusNotRead;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the driver may take. A healthy one that must be woken first needs one or two seconds.
const DRIVER: Duration = Duration::from_millis(4_000);
/// From here on cards slow down or age, °C.
const HOT_C: f32 = 88.0;
const DRIVER_LOOKED_AT: &str = "the driver's library (NVML), sysfs, Metal";

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[
        CheckId::GpuDriver,
        CheckId::GpuCard,
        CheckId::GpuMemory,
        CheckId::GpuTemperature,
        CheckId::GpuThrottling,
        CheckId::GpuFaults,
    ],
    run: |subject, reporter| Box::pin(check(subject, reporter)),
};

async fn check(subject: Arc<Subject>, reporter: Reporter) {
    let driver = Check::new(CheckId::GpuDriver, DRIVER_LOOKED_AT);
    if let Some(reason) = not_read(&subject).await {
        // Looking would open the driver that its owner wants closed.
        reporter.tell(driver.skip(why_not_read(reason)));
        reporter.rest("the GPUs are not read");
        return;
    }
    // Drivers can block: the thread is left behind.
    let surveying = tokio::task::spawn_blocking(|| Detector::new().survey());
    match timeout(DRIVER, surveying).await {
        Ok(Ok(survey)) => tell(&survey, driver, &reporter),
        Ok(Err(_)) => {
            reporter.tell(driver.fail("the driver's library failed", HERE.show_cards()));
            reporter.rest("the driver failed");
        }
        Err(_) => {
            reporter.tell(driver.fail(
                "the driver does not answer within 4 s, so it hangs",
                HERE.driver_hangs(),
            ));
            reporter.rest("the driver hangs");
        }
    }
}

/// Why the owner does not want the GPUs read now.
async fn not_read(subject: &Subject) -> Option<GpusNotRead> {
    if subject
        .values()
        .is_some_and(|config| !config.telemetry.read_gpus)
    {
        return Some(GpusNotRead::Off);
    }
    match subject.asked().await.as_ref() {
        Asked::Runs(status) => status.gpus_not_read.filter(|why| why.is_wanted()),
        Asked::Absent
        | Asked::OtherVersion
        | Asked::Unsupported
        | Asked::Closed(_)
        | Asked::Silent { .. } => None,
    }
}

fn tell(survey: &Survey, driver: Check, reporter: &Reporter) {
    let of_machine: Vec<&Finding> = survey.findings.iter().filter(|f| f.gpu.is_none()).collect();
    if of_machine.is_empty() {
        let cards = survey.cards.len();
        reporter.tell(driver.ok(format!("answers and knows {cards} cards that work")));
    } else {
        for finding in of_machine {
            let check = Check::new(CheckId::GpuDriver, DRIVER_LOOKED_AT);
            reporter.tell(judged(check, finding));
        }
    }
    for finding in survey.findings.iter() {
        if let Some(index) = finding.gpu {
            let check = Check::new(check_of(finding.kind), "what the driver says of the card");
            reporter.tell(judged(check.about(format!("GPU {index}")), finding));
        }
    }
    for card in &survey.cards {
        for check in card_checks(card) {
            reporter.tell(check);
        }
    }
    reporter.rest("there is no such card");
}

fn judged(check: Check, finding: &Finding) -> Check {
    let fix = finding
        .fix
        .map_or_else(|| own_command("gpus"), str::to_owned);
    match finding.severity {
        Severity::Info => check.ok(&finding.message),
        Severity::Warn => check.warn(&finding.message, fix),
        Severity::Fail => check.fail(&finding.message, fix),
    }
}

fn card_checks(card: &Card) -> Vec<Check> {
    let index = card.gpu.index;
    let about = |id| Check::new(id, card.gpu.name.clone()).about(format!("GPU {index}"));
    let watch = HERE.watch_card(index);
    vec![
        about(CheckId::GpuCard).ok(if card.asleep {
            format!("{} sleeps and is not woken", card.gpu.name)
        } else {
            format!("{} answers", card.gpu.name)
        }),
        memory(about(CheckId::GpuMemory), card, &watch),
        temperature(about(CheckId::GpuTemperature), card, &watch),
        throttling(about(CheckId::GpuThrottling), card, &watch),
        faults(about(CheckId::GpuFaults), card),
    ]
}

fn memory(check: Check, card: &Card, watch: &str) -> Check {
    match card.gpu.vram_mib {
        Some(mib) if mib > 0 && card.gpu.unified_memory == Some(true) => {
            check.ok(format!("{mib} MiB, unified: the machine's own"))
        }
        Some(mib) if mib > 0 => check.ok(format!("{mib} MiB")),
        Some(_) | None if card.asleep => check.skip("it sleeps, and is not known from before"),
        Some(_) | None => check.warn("the driver does not tell its memory", watch),
    }
}

fn temperature(check: Check, card: &Card, watch: &str) -> Check {
    match card.load.temp_c {
        None => check.skip("this card has no sensor that can be read"),
        Some(celsius) if celsius >= HOT_C => check.warn(
            format!("{celsius:.0} °C is hot; it slows down or ages"),
            watch,
        ),
        Some(celsius) => check.ok(format!("{celsius:.0} °C")),
    }
}

fn throttling(check: Check, card: &Card, watch: &str) -> Check {
    match card.throttle.as_deref() {
        None => check.skip("this card does not tell"),
        Some([]) => check.ok("its clocks are not held down"),
        Some(reasons) => check.warn(
            format!("its clocks are held down: {}", reasons.join(", ")),
            watch,
        ),
    }
}

fn faults(check: Check, card: &Card) -> Check {
    let found = card.findings();
    let found: Vec<&Finding> = found
        .iter()
        .filter(|finding| check_of(finding.kind) == CheckId::GpuFaults)
        .collect();
    if let Some(first) = found.first() {
        let messages: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
        let fix = first.fix.map_or_else(|| own_command("gpus"), str::to_owned);
        return check.fail(messages.join("; "), fix);
    }
    match (card.ecc_uncorrected, &card.faults) {
        (None, None) => check.skip("this card does not tell its faults"),
        (Some(_), None) => check.ok("no memory error; Xid faults are not told to this user"),
        _ => check.ok("no memory error and no Xid fault is known"),
    }
}

/// The check that a finding about a card belongs to.
fn check_of(kind: FindingKind) -> CheckId {
    match kind {
        FindingKind::Xid | FindingKind::MemoryErrors => CheckId::GpuFaults,
        FindingKind::Hot => CheckId::GpuTemperature,
        FindingKind::Throttled => CheckId::GpuThrottling,
        _ => CheckId::GpuCard,
    }
}
