//! `doctor`: a live checklist on a terminal, plain lines in a pipe, JSON for machines; and the archive for support.

mod bundle;
mod live;
mod text;

use super::{Context, print, small_runtime};
use crate::cli::Doctor;
use crate::doctor::{Snapshot, Subject, examine};
use anyhow::Result;
use live::Live;
use std::process::ExitCode;
use std::sync::Arc;

pub(super) fn run(context: &Context, arguments: &Doctor) -> Result<ExitCode> {
    context.quiet_log();
    let subject = Arc::new(Subject::new(
        context.paths.clone(),
        context.load_config(Vec::new()),
    ));
    let mut screen = Screen::new(arguments.json);
    let runtime = small_runtime()?;
    let report = runtime.block_on(examine(Arc::clone(&subject), |snapshot| {
        screen.show(snapshot)
    }));
    screen.shown?;
    let code = ExitCode::from(report.exit_code(arguments.strict));
    let told = match &arguments.bundle {
        None if arguments.json => print::json(&report),
        None => print::out(&text::summary(&report, print::colour())),
        Some(file) => {
            let written = runtime.block_on(bundle::write(&subject, &report, file.as_deref()));
            written.and_then(|bundle| {
                if arguments.json {
                    print::json(&bundle)
                } else {
                    print::out(&text::summary(&report, print::colour()))?;
                    print::out(&bundle.text())
                }
            })
        }
    };
    // A call into a driver or a disk that hangs must not keep the doctor from ending.
    runtime.shutdown_background();
    told.map(|()| code)
}

/// Where the checklist goes.
enum Paper {
    /// Nowhere: JSON comes at the end.
    None,
    /// To a pipe or file: a group when it and those before it are done.
    Plain { shown: usize },
    /// To a terminal.
    Live(Live),
}

struct Screen {
    paper: Paper,
    colour: bool,
    /// The first error of writing; nothing more is written after it.
    shown: Result<()>,
}

impl Screen {
    fn new(is_json: bool) -> Self {
        let colour = print::colour();
        let paper = if is_json {
            Paper::None
        } else {
            Live::new(colour).map_or(Paper::Plain { shown: 0 }, Paper::Live)
        };
        Self {
            paper,
            colour,
            shown: Ok(()),
        }
    }

    fn show(&mut self, snapshot: &Snapshot) {
        if self.shown.is_err() {
            return;
        }
        let text = match &mut self.paper {
            Paper::None => return,
            Paper::Plain { shown } => plain(snapshot, shown, self.colour),
            Paper::Live(live) => live.frame(snapshot),
        };
        if !text.is_empty() {
            self.shown = print::out(&text);
        }
    }
}

/// The groups that are done now and were not shown before.
fn plain(snapshot: &Snapshot, shown: &mut usize, colour: bool) -> String {
    let mut text = String::new();
    while let Some(group) = snapshot.groups.get(*shown).filter(|group| group.is_done) {
        text.push_str(&text::group(group, colour));
        *shown += 1;
    }
    text
}
