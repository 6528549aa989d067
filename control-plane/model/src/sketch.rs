//! A mergeable quantile sketch over whole milliseconds.
//!
//! The idea is DDSketch's: buckets whose width grows with the value, so that every quantile is right to a
//! fixed *relative* error, and merging is adding counts. Ours is integer only: a value below 128 has its own
//! bucket; above, each power of two is cut into 64 equal parts. A bucket's middle is then within 1/128
//! (0.8 %) of every value in it, under the promised 1 %, and two machines never disagree about a bucket.
//!
//! Percentiles over time or over nodes come from merged sketches. There is no way here to average two.
//!
//! **Bytes** (version 1): `0x01`, then for each non-empty bucket in rising order two LEB128 numbers: distance
//! to the previous bucket's index (from -1, so at least 1), count (at least 1). An empty sketch is zero bytes.
//!
//! Invariants: values saturate at [`VALUE_MAX`], so there are at most [`BUCKETS_MAX`] buckets; counts saturate;
//! decoding anything else than what encoding writes is an error and never a panic.

/// Largest value that keeps its own place, ms: 49 days. Larger ones count as this.
pub const VALUE_MAX: u64 = u32::MAX as u64;
/// Most buckets a sketch can have.
pub const BUCKETS_MAX: usize = (LINEAR + (31 - 6) * PARTS) as usize;

/// Encoding version, the first byte.
const VERSION: u8 = 1;
/// Values below this have a bucket each.
const LINEAR: u32 = 128;
/// Parts of each power of two above.
const PARTS: u32 = 64;

/// Why bytes are not a sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SketchError {
    /// A version that this program does not know.
    #[error("the sketch has version {0}, this program reads version {VERSION}; upgrade it")]
    Version(u8),
    /// Cut short, out of order, out of range or not in shortest form.
    #[error("the bytes of a sketch are damaged; the row must be rebuilt from receipts")]
    Damaged,
}

/// Counts of values per bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Non-empty buckets in rising order.
    buckets: Vec<(u16, u64)>,
}

fn bucket_of(value: u64) -> u16 {
    // The clamp makes the cast exact, and the highest index is BUCKETS_MAX - 1.
    let value = value.min(VALUE_MAX) as u32;
    if value < LINEAR {
        return value as u16;
    }
    let octave = value.ilog2();
    let part = (value >> (octave - 6)) - PARTS;
    (LINEAR + (octave - 7) * PARTS + part) as u16
}

/// The middle of a bucket.
fn middle_of(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let (linear, parts) = (u64::from(LINEAR), u64::from(PARTS));
    if bucket < linear {
        return bucket;
    }
    let shift = (bucket - linear) / parts + 1;
    let low = ((bucket - linear) % parts + parts) << shift;
    low + ((1 << shift) - 1) / 2
}

impl Sketch {
    /// A sketch without values.
    pub const fn new() -> Self {
        Self {
            buckets: Vec::new(),
        }
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Counts one value, ms.
    pub fn add(&mut self, value_ms: u64) {
        let bucket = bucket_of(value_ms);
        match self.buckets.binary_search_by_key(&bucket, |entry| entry.0) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(1),
            Err(at) => self.buckets.insert(at, (bucket, 1)),
        }
    }

    /// Counts everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
            return;
        }
        let mine = std::mem::take(&mut self.buckets);
        let mut merged = Vec::with_capacity(mine.len().max(other.buckets.len()));
        let (mut left, mut right) = (mine.into_iter().peekable(), other.buckets.iter().peekable());
        while let (Some(&(l, l_count)), Some(&&(r, r_count))) = (left.peek(), right.peek()) {
            merged.push(match l.cmp(&r) {
                std::cmp::Ordering::Less => (l, l_count),
                std::cmp::Ordering::Greater => (r, r_count),
                std::cmp::Ordering::Equal => (l, l_count.saturating_add(r_count)),
            });
            if l <= r {
                left.next();
            }
            if r <= l {
                right.next();
            }
        }
        merged.extend(left);
        merged.extend(right.copied());
        self.buckets = merged;
    }

    /// The value that `per_mille` of all values do not exceed (nearest rank), ms; `None` without values.
    pub fn quantile(&self, per_mille: u16) -> Option<u64> {
        let total = u128::from(self.count());
        let rank = (total * u128::from(per_mille.min(1000)))
            .div_ceil(1000)
            .max(1);
        let mut seen = 0_u128;
        for &(bucket, count) in &self.buckets {
            seen += u128::from(count);
            if seen >= rank {
                return Some(middle_of(bucket));
            }
        }
        None
    }

    /// The median, ms.
    pub fn p50(&self) -> Option<u64> {
        self.quantile(500)
    }

    /// The 95th percentile, ms.
    pub fn p95(&self) -> Option<u64> {
        self.quantile(950)
    }

    /// The 99th percentile, ms.
    pub fn p99(&self) -> Option<u64> {
        self.quantile(990)
    }

    /// The bytes that are stored.
    pub fn encode(&self) -> Vec<u8> {
        if self.buckets.is_empty() {
            return Vec::new();
        }
        let mut out = Vec::with_capacity(1 + self.buckets.len() * 3);
        out.push(VERSION);
        let mut previous = -1_i64;
        for &(bucket, count) in &self.buckets {
            let index = i64::from(bucket);
            write_number(&mut out, (index - previous).unsigned_abs());
            write_number(&mut out, count);
            previous = index;
        }
        out
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// [`SketchError`] for bytes that [`Sketch::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, SketchError> {
        let Some((&version, mut rest)) = bytes.split_first() else {
            return Ok(Self::new());
        };
        if version != VERSION {
            return Err(SketchError::Version(version));
        }
        let mut buckets = Vec::with_capacity((rest.len() / 2).min(BUCKETS_MAX));
        let mut next = 0_u64;
        while !rest.is_empty() {
            let distance = read_number(&mut rest)?;
            let count = read_number(&mut rest)?;
            let index = distance
                .checked_sub(1)
                .and_then(|skipped| next.checked_add(skipped));
            let index = index
                .filter(|index| *index < BUCKETS_MAX as u64)
                .ok_or(SketchError::Damaged)?;
            if count == 0 {
                return Err(SketchError::Damaged);
            }
            buckets.push((index as u16, count));
            next = index + 1;
        }
        if buckets.is_empty() {
            return Err(SketchError::Damaged);
        }
        Ok(Self { buckets })
    }
}

impl Extend<u64> for Sketch {
    fn extend<T: IntoIterator<Item = u64>>(&mut self, values_ms: T) {
        values_ms.into_iter().for_each(|value| self.add(value));
    }
}

impl FromIterator<u64> for Sketch {
    fn from_iter<T: IntoIterator<Item = u64>>(values_ms: T) -> Self {
        let mut sketch = Self::new();
        sketch.extend(values_ms);
        sketch
    }
}

/// LEB128.
fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(rest: &mut &[u8]) -> Result<u64, SketchError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first().ok_or(SketchError::Damaged)?;
        *rest = tail;
        let part = u64::from(byte & 0x7f);
        let overflows = shift == 63 && part > 1;
        let not_shortest = byte == 0 && shift > 0;
        if overflows || not_shortest {
            return Err(SketchError::Damaged);
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(SketchError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Nearest rank over the values themselves.
    fn exact(sorted: &[u64], per_mille: u16) -> u64 {
        let rank = (sorted.len() * usize::from(per_mille))
            .div_ceil(1000)
            .max(1);
        sorted[rank - 1]
    }

    fn value() -> impl Strategy<Value = u64> {
        // Every order of magnitude is as likely as any other.
        (0_u32..33, any::<u32>()).prop_map(|(bits, noise)| {
            let top = 1_u64 << bits;
            (top / 2 + u64::from(noise) % top.div_ceil(2)).min(VALUE_MAX)
        })
    }

    proptest! {
        #[test]
        fn quantiles_are_within_one_percent(values in prop::collection::vec(value(), 1..400), q in 0_u16..=1000) {
            let sketch: Sketch = values.iter().copied().collect();
            let mut sorted = values;
            sorted.sort_unstable();
            let truth = exact(&sorted, q);
            let told = sketch.quantile(q).unwrap();
            prop_assert!(told.abs_diff(truth) * 100 <= truth, "told {told}, truth {truth}");
        }

        #[test]
        fn merging_equals_counting_together(
            left in prop::collection::vec(value(), 0..200), right in prop::collection::vec(value(), 0..200),
        ) {
            let together: Sketch = left.iter().chain(&right).copied().collect();
            let (a, b): (Sketch, Sketch) = (left.into_iter().collect(), right.into_iter().collect());
            let (mut ab, mut ba) = (a.clone(), b.clone());
            ab.merge(&b);
            ba.merge(&a);
            prop_assert_eq!(&ab, &together);
            prop_assert_eq!(&ba, &together);
            prop_assert_eq!(Sketch::decode(&ab.encode()), Ok(together));
        }

        #[test]
        fn any_bytes_are_read_exactly_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(sketch) = Sketch::decode(&bytes) {
                prop_assert_eq!(sketch.encode(), bytes);
            }
        }
    }

    #[test]
    fn the_bytes_of_version_one_stay() {
        let sketch: Sketch = [0, 5, 5, 300].into_iter().collect();
        assert_eq!(sketch.encode(), [1, 1, 1, 5, 2, 0xc6, 1, 1]);
        assert_eq!(Sketch::new().encode(), Vec::<u8>::new());
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let damaged = Err(SketchError::Damaged);
        assert_eq!(Sketch::decode(&[2, 1, 1]), Err(SketchError::Version(2)));
        assert_eq!(Sketch::decode(&[1]), damaged);
        assert_eq!(Sketch::decode(&[1, 1]), damaged, "a count is missing");
        assert_eq!(Sketch::decode(&[1, 0, 1]), damaged, "no distance");
        assert_eq!(Sketch::decode(&[1, 1, 0]), damaged, "nothing counted");
        assert_eq!(Sketch::decode(&[1, 0xff, 0x7f, 1]), damaged, "too far");
        assert_eq!(
            Sketch::decode(&[1, 0x81, 0, 1]),
            damaged,
            "not shortest form"
        );
    }

    #[test]
    fn extremes_saturate() {
        let sketch: Sketch = [u64::MAX, VALUE_MAX].into_iter().collect();
        assert_eq!(usize::from(bucket_of(u64::MAX)), BUCKETS_MAX - 1);
        assert!(sketch.quantile(1000).unwrap().abs_diff(VALUE_MAX) < VALUE_MAX / 100);
        assert_eq!(sketch.count(), 2);
        assert_eq!(Sketch::new().p95(), None);
        assert_eq!(Sketch::from_iter([0]).p50(), Some(0));
    }

    #[test]
    fn a_full_sketch_stays_small() {
        let sketch: Sketch = (0..32)
            .flat_map(|bits| (0..64).map(move |part| (1_u64 << bits) + (part << bits) / 64))
            .collect();
        assert!(sketch.buckets.len() <= BUCKETS_MAX);
        assert!(sketch.encode().len() <= 1 + BUCKETS_MAX * 3);
    }
}
