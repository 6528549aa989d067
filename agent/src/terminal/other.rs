//! Other systems: the width is not asked for.

pub(super) fn width() -> Option<usize> {
    None
}
