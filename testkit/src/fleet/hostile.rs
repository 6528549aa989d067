//! Agents that break rules as fast as they can, beside a fleet that keeps them.
//!
//! Each has an identity of its own and speaks the real protocol; what it does with it is its [`Habit`].

use super::SimError;
use super::agent::{SimAgent, SimReceipt, inventory};
use super::link::{Event, SimLink};
use dgon_protocol::frame::{Heartbeat, Inventory, Model, Runtime, ToControlPlane};
use dgon_protocol::limits::RECEIPTS_PER_BATCH;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a hostile agent looks for what it is told before it goes on.
const GLANCE: Duration = Duration::from_millis(1);
/// Pause after a session was ended or refused.
const PAUSE: Duration = Duration::from_millis(200);

/// What a hostile agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Habit {
    /// Regions with control characters and of any length, in receipts and hello.
    OddTexts,
    /// Every second receipt is never sent.
    Gaps,
    /// Two receipts for one place.
    Forks,
    /// Signatures that do not hold.
    Forgeries,
    /// The same batch again and again.
    Duplicates,
    /// Heartbeats without a pause.
    Floods,
    /// Another large inventory each time.
    Inventories,
    /// Sends and never reads.
    NeverReads,
    /// Opens a session and leaves it.
    Joins,
    /// Its runtime comes and goes.
    ComesAndGoes,
}

impl Habit {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::OddTexts,
        Self::Gaps,
        Self::Forks,
        Self::Forgeries,
        Self::Duplicates,
        Self::Floods,
        Self::Inventories,
        Self::NeverReads,
        Self::Joins,
        Self::ComesAndGoes,
    ];

    /// The name in a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OddTexts => "odd_texts",
            Self::Gaps => "gaps",
            Self::Forks => "forks",
            Self::Forgeries => "forgeries",
            Self::Duplicates => "duplicates",
            Self::Floods => "floods",
            Self::Inventories => "inventories",
            Self::NeverReads => "never_reads",
            Self::Joins => "joins",
            Self::ComesAndGoes => "comes_and_goes",
        }
    }
}

/// What hostile agents did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Frames sent, by habit.
    pub frames: BTreeMap<&'static str, u64>,
    /// Sessions opened, by habit.
    pub sessions: BTreeMap<&'static str, u64>,
}

/// Lets each agent have its way until `stop`; habits go round.
pub async fn run(agents: Vec<SimAgent>, stop: CancellationToken) -> Report {
    let playing: Vec<_> = agents
        .into_iter()
        .zip(Habit::ALL.into_iter().cycle())
        .map(|(agent, habit)| tokio::spawn(play(agent, habit, stop.clone())))
        .collect();
    let mut report = Report::default();
    for one in playing {
        let Ok((habit, frames, sessions)) = one.await else {
            continue;
        };
        *report.frames.entry(habit.as_str()).or_default() += frames;
        *report.sessions.entry(habit.as_str()).or_default() += sessions;
    }
    report
}

async fn play(agent: SimAgent, habit: Habit, stop: CancellationToken) -> (Habit, u64, u64) {
    let mut hostile = Hostile {
        agent,
        habit,
        kept: Vec::new(),
        frames: 0,
    };
    let mut sessions = 0;
    while !stop.is_cancelled() {
        let opened = hostile.agent.connect_with(|hello| {
            if habit == Habit::OddTexts {
                hello.os = "o".repeat(50_000);
                hello.agent_version = "\0\u{1b}[2J".repeat(1_000);
            }
        });
        if let Ok(link) = opened.await {
            sessions += 1;
            tokio::select! {
                _ = hostile.session(link) => {}
                () = stop.cancelled() => {}
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
    (habit, hostile.frames, sessions)
}

struct Hostile {
    agent: SimAgent,
    habit: Habit,
    kept: Vec<SimReceipt>,
    frames: u64,
}

impl Hostile {
    /// Does its worst until the session ends.
    async fn session(&mut self, mut link: SimLink) -> Result<(), SimError> {
        if self.habit == Habit::Joins {
            return Ok(());
        }
        loop {
            match self.habit {
                Habit::Floods => {
                    let heartbeat = Heartbeat::default();
                    link.send(&ToControlPlane::Heartbeat(heartbeat)).await?;
                }
                Habit::Inventories => {
                    let frame = ToControlPlane::Inventory(self.inventory());
                    link.send(&frame).await?;
                }
                Habit::ComesAndGoes => {
                    let mut machine = inventory();
                    if self.frames.is_multiple_of(2) {
                        machine.runtimes.clear();
                    }
                    link.send(&ToControlPlane::Inventory(machine)).await?;
                }
                _ => {
                    let batch = self.batch()?;
                    link.send_receipts(&batch).await?;
                }
            }
            self.frames += 1;
            if self.habit == Habit::NeverReads {
                continue;
            }
            // What is said is not minded, but an agent whose buffers are full could not go on.
            while let Ok(event) = link.receive(GLANCE).await {
                if matches!(event, Event::Closed) {
                    return Ok(());
                }
            }
        }
    }

    fn inventory(&self) -> Inventory {
        let model = |n: usize| Model {
            id: format!("model-{}-{n}", self.frames),
            digest: None,
            size_bytes: None,
            loaded: None,
        };
        Inventory {
            runtimes: vec![Runtime {
                kind: "vllm".to_owned(),
                version: None,
                ready: true,
                models: (0..1_000).map(model).collect(),
            }],
            ..inventory()
        }
    }

    fn batch(&mut self) -> Result<Vec<SimReceipt>, SimError> {
        if self.habit == Habit::Duplicates && !self.kept.is_empty() {
            return Ok(self.kept.clone());
        }
        let mut batch = Vec::with_capacity(RECEIPTS_PER_BATCH);
        while batch.len() < RECEIPTS_PER_BATCH {
            let number = batch.len();
            match self.habit {
                Habit::Forks => {
                    let draft = self.agent.draft()?;
                    batch.push(self.agent.sign(&draft));
                }
                Habit::Gaps if number % 2 == 1 => drop(self.agent.next_receipt()?),
                _ => {}
            }
            let mut receipt = self.agent.next_receipt()?;
            if self.habit == Habit::OddTexts {
                let odd = if number % 2 == 0 { "\\u0000" } else { "x" };
                let region = format!("\"region\":\"{}", odd.repeat(2_000));
                let text = receipt.text().replacen("\"region\":\"", &region, 1);
                receipt.signed.entry_bytes = text.into_bytes();
            }
            if self.habit == Habit::Forgeries {
                let text = receipt
                    .text()
                    .replacen("\"tokens_input\":", "\"tokens_input\":1", 1);
                receipt.signed.entry_bytes = text.into_bytes();
            }
            batch.push(receipt);
        }
        batch.truncate(RECEIPTS_PER_BATCH);
        if self.habit == Habit::Duplicates {
            self.kept.clone_from(&batch);
        }
        Ok(batch)
    }
}
