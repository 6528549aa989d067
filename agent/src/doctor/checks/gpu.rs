//! Group `gpu`: the driver's findings, heat, throttling, memory errors.

use crate::doctor::Check;
use crate::gpu::{Card, Detector, Finding, Severity};

const GROUP: &str = "gpu";
/// From here on cards slow down or age, °C.
const HOT_C: f32 = 88.0;

pub(in crate::doctor) async fn check() -> Vec<Check> {
    // Drivers can block: the group's time limit must not.
    let survey = tokio::task::spawn_blocking(|| Detector::new().survey()).await;
    let Ok(survey) = survey else {
        return vec![Check::new(GROUP, "driver", "NVML").fail("the driver's library failed", None)];
    };
    let mut checks: Vec<Check> = survey.findings.iter().map(finding).collect();
    checks.extend(survey.cards.iter().flat_map(card));
    checks
}

fn finding(finding: &Finding) -> Check {
    let (name, looked_at) = match finding.gpu {
        Some(index) => (format!("card{index}"), format!("GPU {index}")),
        None => (
            "driver".to_owned(),
            "NVML, the library of the NVIDIA driver".to_owned(),
        ),
    };
    let check = Check::new(GROUP, &name, &looked_at);
    let fix = finding.fix.map(str::to_owned);
    match finding.severity {
        Severity::Info => check.ok(&finding.message),
        Severity::Warn => check.warn(&finding.message, fix),
        Severity::Fail => check.fail(&finding.message, fix),
    }
}

fn card(card: &Card) -> Vec<Check> {
    let index = card.gpu.index;
    let about = |name: &str| {
        Check::new(
            GROUP,
            &format!("card{index}.{name}"),
            &format!("GPU {index}, {}", card.gpu.name),
        )
    };
    let watch = || {
        Some(format!(
            "nvidia-smi -q -i {index} -d TEMPERATURE,PERFORMANCE"
        ))
    };
    let mut checks = Vec::new();
    checks.push(match card.gpu.vram_mib {
        Some(mib) => about("memory").ok(&format!("{mib} MiB of memory, driver answers")),
        None => about("memory").warn("the driver does not tell its memory", watch()),
    });
    checks.push(match card.load.temp_c {
        None => about("temperature").skip("this card has no sensor"),
        Some(celsius) if celsius >= HOT_C => about("temperature").warn(
            &format!("{celsius:.0} °C is hot; it slows down or ages"),
            watch(),
        ),
        Some(celsius) => about("temperature").ok(&format!("{celsius:.0} °C")),
    });
    checks.push(match card.throttle.as_deref() {
        None => about("throttling").skip("this card does not tell"),
        Some([]) => about("throttling").ok("its clocks are not held down"),
        Some(reasons) => about("throttling").warn(
            &format!("its clocks are held down: {}", reasons.join(", ")),
            watch(),
        ),
    });
    if let Some(errors) = card.ecc_uncorrected.filter(|errors| *errors > 0) {
        checks.push(about("ecc").fail(
            &format!("{errors} memory errors could not be corrected; its answers may be wrong"),
            Some(format!("sudo nvidia-smi --gpu-reset -i {index}")),
        ));
    }
    checks
}
