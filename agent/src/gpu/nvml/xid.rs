//! NVIDIA's faults (Xid): what the common ones mean, and the newest of each code for each card.

use crate::gpu::Fault;

/// Codes that are kept for each card.
const CODES: usize = 16;

/// Faults that were told, by the index of their card.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(u32, Fault)>);

impl Faults {
    /// Remembers a fault; a newer one of the same code takes its place.
    pub(super) fn add(&mut self, index: u32, xid: u64, at_uptime_s: Option<u64>) {
        let is_same = |(card, fault): &(u32, Fault)| *card == index && fault.xid == xid;
        self.0.retain(|known| !is_same(known));
        if self.of(index).count() >= CODES
            && let Some(oldest) = self.0.iter().position(|(card, _)| *card == index)
        {
            self.0.remove(oldest);
        }
        let fault = Fault {
            xid,
            meaning: meaning(xid),
            at_uptime_s,
        };
        self.0.push((index, fault));
    }

    /// The faults of a card, oldest first.
    pub(super) fn of(&self, index: u32) -> impl Iterator<Item = &Fault> {
        let of_card = self.0.iter().filter(move |(card, _)| *card == index);
        of_card.map(|(_, fault)| fault)
    }

    /// The newest fault of a card.
    pub(super) fn last(&self, index: u32) -> Option<u64> {
        self.of(index).last().map(|fault| fault.xid)
    }
}

/// After NVIDIA's catalogue of Xid errors.
fn meaning(xid: u64) -> &'static str {
    match xid {
        13 => "the program on it did what it may not",
        31 => "the program on it touched memory that is not its own",
        43 => "the program on it was stopped",
        45 => "the driver ended the programs on it",
        48 | 94 | 95 => "memory errors that could not be corrected",
        61 | 62 => "its own controller stopped",
        63 | 64 => "a part of its memory was taken out of use",
        69 => "its graphics engine failed",
        74 => "the link to other cards failed",
        79 => "it fell off the bus",
        92 => "many memory errors that were corrected",
        119 | 120 => "its system processor does not answer",
        _ => "see NVIDIA's catalogue of Xid errors",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_code_is_kept_and_the_list_is_bounded() {
        let mut faults = Faults::default();
        faults.add(0, 79, Some(1));
        faults.add(1, 13, None);
        faults.add(0, 31, Some(2));
        faults.add(0, 79, Some(3));
        let of_first: Vec<_> = faults.of(0).map(|f| (f.xid, f.at_uptime_s)).collect();
        assert_eq!(of_first, [(31, Some(2)), (79, Some(3))]);
        assert_eq!((faults.last(1), faults.last(2)), (Some(13), None));
        (100..200).for_each(|xid| faults.add(0, xid, None));
        assert_eq!((faults.of(0).count(), faults.last(0)), (CODES, Some(199)));
        assert_eq!(faults.of(1).count(), 1);
    }
}
