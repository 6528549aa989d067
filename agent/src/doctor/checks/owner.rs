//! Group `owner`: what the owner's orders and limits keep the node from, and limits that cannot be judged.

use crate::doctor::examine::{Examination, Reporter};
use crate::doctor::subject::Asked;
use crate::doctor::{Check, CheckId, Subject};
use crate::owner::{self, OwnerReport};
use dgon_agent_core::owner::{Limit, Mode};
use dgon_protocol::frame::PausedReason;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the look at the machine's use may take.
const LOOK: Duration = Duration::from_millis(2_000);

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[CheckId::OwnerWork, CheckId::OwnerLimits],
    run: |subject, reporter| Box::pin(check(subject, reporter)),
};

async fn check(subject: Arc<Subject>, reporter: Reporter) {
    match subject.asked().await.as_ref() {
        Asked::Runs(status) => {
            reporter.tell(work(&subject, &status.owner));
            return reporter.tell(limits(&subject, &status.owner));
        }
        // Its orders may be of this run alone, so that only it knows them.
        Asked::OtherVersion | Asked::Closed(_) | Asked::Silent { .. } => {
            return reporter.rest("the agent that runs does not say what it takes");
        }
        Asked::Absent | Asked::Unsupported => {}
    }
    let looked = {
        let subject = Arc::clone(&subject);
        tokio::task::spawn_blocking(move || {
            let config = subject.values()?.owner.clone();
            Some(owner::examine(&config, &subject.paths.state, &[]))
        })
    };
    match timeout(LOOK, looked).await {
        Ok(Ok(Some(report))) => {
            if report.mode != Mode::Serving {
                reporter.tell(work(&subject, &report));
            }
            reporter.rest("no agent runs, and only a running one takes work and judges limits");
        }
        Ok(Ok(None)) => reporter.rest("the configuration cannot be read"),
        Ok(Err(_)) | Err(_) => reporter.rest("the machine does not tell how it is used"),
    }
}

fn work(subject: &Subject, report: &OwnerReport) -> Check {
    let check = Check::new(CheckId::OwnerWork, "the owner's orders and limits");
    let said = report.sentence();
    if report.mode == Mode::Serving {
        return check.ok("no order and no limit of its owner keeps work away");
    }
    let by_order = report
        .reasons
        .iter()
        .any(|reason| matches!(reason, PausedReason::Owner | PausedReason::Draining));
    let fix = if by_order {
        subject.command("resume")
    } else {
        // Limits are the owner's will; who wants them otherwise sets them otherwise.
        subject.command("config show")
    };
    check.warn(
        format!("the node takes no work from the network: {said}"),
        fix,
    )
}

fn limits(subject: &Subject, report: &OwnerReport) -> Check {
    let set: Vec<&str> = report.limits.iter().map(|one| key(one.limit)).collect();
    let check = Check::new(CheckId::OwnerLimits, "section owner of agent.yaml");
    let blind: Vec<String> = report
        .unjudged()
        .map(|one| format!("{} ({})", key(one.limit), one.finding))
        .collect();
    if set.is_empty() {
        check.ok("no limit is set")
    } else if blind.is_empty() {
        check.ok(format!("{} can be judged", set.join(", ")))
    } else {
        check.warn(
            format!(
                "{} cannot be judged on this machine, and so stops nothing",
                blind.join(", ")
            ),
            subject.command("config show"),
        )
    }
}

fn key(limit: Limit) -> &'static str {
    match limit {
        Limit::IdleOnly => "owner.idle_only",
        Limit::QuietHours => "owner.quiet_hours",
        Limit::GpuTemperature => "owner.max_gpu_temp_c",
        Limit::Profit => "owner.min_profit_usd_per_hour",
    }
}
