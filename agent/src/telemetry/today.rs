//! Receipts and tokens since midnight UTC, whatever the clock does meanwhile.
//!
//! Counted as requests end; counted anew from the spool when the agent starts and when the clock says another day
//! than before, forward or back. So a clock that jumped to tomorrow and came home finds today's numbers again.

use crate::clock::unix_ms;
use crate::config::StateDir;
use crate::rotation::tail::retired_spools;
use crate::spool::view::View;
use dgon_protocol::receipt::Receipt;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

const DAY_S: u64 = 24 * 3600;
/// Requests that may end while the spool is read; more are counted by the next reading.
const MEANWHILE: usize = 65_536;
/// Receipts of earlier days in a row after which no more of the day are looked for.
const EARLIER: u32 = 4096;

/// Counts of the day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Receipts.
    pub receipts: u64,
    /// Prompt tokens.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
}

impl Tokens {
    fn add(&mut self, input: u64, output: u64) {
        self.receipts += 1;
        self.input = self.input.saturating_add(input);
        self.output = self.output.saturating_add(output);
    }
}

/// The counts of the day that the clock says.
#[derive(Debug, Default)]
pub struct Today {
    state: Mutex<State>,
    /// Held while the spool is read, so that it is read once.
    counting: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Day that is counted, since 1970; `None` before the first count.
    day: Option<u64>,
    counts: Tokens,
    /// While the spool is read: what ended meanwhile, with its `seq`.
    meanwhile: Option<Vec<(u64, u64, u64)>>,
}

impl Today {
    /// A request ended and its receipt is `seq`.
    pub fn add(&self, seq: u64, input: u64, output: u64) {
        let mut state = self.state();
        if let Some(meanwhile) = &mut state.meanwhile {
            if meanwhile.len() < MEANWHILE {
                meanwhile.push((seq, input, output));
            }
        } else if state.day == Some(today()) {
            state.counts.add(input, output);
        } else {
            // Another day: the next reader counts anew, this one included.
            state.day = None;
        }
    }

    /// The counts, where they are those of the day that the clock says.
    pub fn get(&self) -> Option<Tokens> {
        let state = self.state();
        (state.day == Some(today())).then_some(state.counts)
    }

    /// The counts, read from the spool where the clock says another day than they are of. Blocks while it reads.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn get_or_count(&self, state: &StateDir) -> io::Result<Tokens> {
        let _counting = self.counting.lock();
        if let Some(counts) = self.get() {
            return Ok(counts);
        }
        let day = today();
        self.state().meanwhile = Some(Vec::new());
        let counted = count_all(state, day);
        let mut state = self.state();
        let meanwhile = state.meanwhile.take().unwrap_or_default();
        let (last_seq, mut counts) = counted?;
        for (_, input, output) in meanwhile.iter().filter(|(seq, ..)| *seq > last_seq) {
            counts.add(*input, *output);
        }
        state.counts = counts;
        state.day = Some(day);
        Ok(counts)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn today() -> u64 {
    unix_ms() / 1000 / DAY_S
}

/// The newest `seq` of the key in use, and the counts of a day under all keys: a day does not begin anew with a key.
fn count_all(state: &StateDir, day: u64) -> io::Result<(u64, Tokens)> {
    let (last_seq, mut all) = count(&View::of(&state.spool_dir()), day)?;
    for folder in retired_spools(state)? {
        let (_, one) = count(&View::of(&folder), day)?;
        all.receipts += one.receipts;
        all.input = all.input.saturating_add(one.input);
        all.output = all.output.saturating_add(one.output);
    }
    Ok((last_seq, all))
}

/// The newest `seq` and the counts of a day.
fn count(view: &View, day: u64) -> io::Result<(u64, Tokens)> {
    let (mut last_seq, mut counts, mut earlier) = (0, Tokens::default(), 0);
    view.walk_newest_first(|stored| {
        last_seq = last_seq.max(stored.seq);
        let appended_day = stored.appended_s / DAY_S;
        if appended_day == day
            && let Ok(receipt) = Receipt::parse(&stored.entry_bytes)
        {
            let tokens = |count: i64| u64::try_from(count).unwrap_or(0);
            counts.add(
                tokens(receipt.fields.tokens_input),
                tokens(receipt.fields.tokens_output),
            );
        }
        // A clock that was set back for a while leaves some of an earlier day among those of this one.
        earlier = if appended_day < day { earlier + 1 } else { 0 };
        earlier < EARLIER
    })?;
    Ok((last_seq, counts))
}
