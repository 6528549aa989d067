//! Reading a runtime's Prometheus text: a few gauges of it, forgivingly.

/// A Prometheus text.
pub(super) struct Metrics<'t>(&'t str);

impl<'t> Metrics<'t> {
    /// `None` where it is no text.
    pub(super) fn read(body: &'t [u8]) -> Option<Self> {
        std::str::from_utf8(body).ok().map(Self)
    }

    /// The sum of a gauge over its labels, as a count; `None` where it is not there.
    pub(super) fn count(&self, name: &str) -> Option<u32> {
        self.count_of(name, "")
    }

    /// The same over the samples that carry `label`, written as `key="value"`.
    pub(super) fn count_of(&self, name: &str, label: &str) -> Option<u32> {
        // A saturating cast: counts are small and never negative here.
        self.samples(name, label)
            .reduce(|a, b| a + b)
            .map(|sum| sum as u32)
    }

    /// The mean of a gauge from 0 to 1 over its labels; `None` where it is not there or is no share.
    pub(super) fn share(&self, name: &str) -> Option<f32> {
        self.share_of(name, "")
    }

    /// The same over the samples that carry `label`.
    pub(super) fn share_of(&self, name: &str, label: &str) -> Option<f32> {
        let (count, sum) = self
            .samples(name, label)
            .fold((0u32, 0.0), |(count, sum), value| (count + 1, sum + value));
        let mean = sum / f64::from(count);
        // NaN, where there was none, is in no range.
        (0.0..=1.0).contains(&mean).then_some(mean as f32)
    }

    fn samples(&self, name: &str, label: &str) -> impl Iterator<Item = f64> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.as_bytes().first()? {
                b'{' => rest.rsplit_once('}')?,
                b' ' => ("", rest),
                _ => return None,
            };
            if !labels.contains(label) {
                return None;
            }
            let number: f64 = value.split_ascii_whitespace().next()?.parse().ok()?;
            (number.is_finite() && number >= 0.0).then_some(number)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"# HELP q x\n# TYPE q gauge\nq{a=\"} 9\",b=\"1\"} 2.0\nq{a=\"2\"} 3 1700000000\nq_other 7\nplain 4\nbad NaN\nkv{e=\"0\"} 0.5\nkv{e=\"1\"} 0.25\nbig 7\n";

    #[test]
    fn gauges_are_summed_over_their_labels() {
        let text = Metrics::read(TEXT).unwrap();
        assert_eq!(text.count("q"), Some(5));
        assert_eq!(text.count_of("q", "a=\"2\""), Some(3));
        assert_eq!(text.count("plain"), Some(4));
        assert_eq!(text.count("bad"), None);
        assert_eq!(text.count("absent"), None);
    }

    #[test]
    fn shares_are_averaged_and_stay_shares() {
        let text = Metrics::read(TEXT).unwrap();
        assert_eq!(text.share("kv"), Some(0.375));
        assert_eq!(text.share_of("kv", "e=\"1\""), Some(0.25));
        assert_eq!(text.share("big"), None);
        assert_eq!(text.share("absent"), None);
    }
}
