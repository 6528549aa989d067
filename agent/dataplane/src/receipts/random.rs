//! Random bits of request ids, fetched from the operating system for many ids at a time: a request waits for each call.

use std::cell::RefCell;

/// Ids that one call has bits for.
const IDS: usize = 64;

thread_local! {
    static WAITING: RefCell<Vec<u128>> = const { RefCell::new(Vec::new()) };
}

/// Bits that were never given out before. Without entropy they are 0: the time still tells ids apart, and the store
/// refuses the double that it may not.
pub(super) fn u128() -> u128 {
    WAITING
        .with_borrow_mut(|waiting| {
            if waiting.is_empty() {
                let mut bytes = [0; IDS * size_of::<u128>()];
                getrandom::fill(&mut bytes).ok()?;
                let (each, _) = bytes.as_chunks();
                waiting.extend(each.iter().copied().map(u128::from_le_bytes));
            }
            waiting.pop()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_bits_are_given_out_twice() {
        let here: HashSet<u128> = (0..IDS * 3).map(|_| u128()).collect();
        let there = std::thread::spawn(|| (0..IDS * 3).map(|_| u128()).collect::<Vec<_>>());
        let there = there.join().unwrap();
        assert_eq!(here.len(), IDS * 3);
        assert!(there.iter().all(|bits| !here.contains(bits)));
    }
}
