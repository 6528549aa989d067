//! Many rows in few statements.

/// Rows per statement. Few sizes, so that each statement is parsed once and kept, and so near to each other that few
/// statements write any number of rows: each is a way to SQLite's thread and back.
pub(crate) const SIZES: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

/// Cuts a list into pieces of the sizes in [`SIZES`], each with the place of its size in there.
pub(crate) fn chunks<T>(mut items: &[T]) -> impl Iterator<Item = (usize, &[T])> {
    std::iter::from_fn(move || {
        let size = SIZES.iter().position(|size| *size <= items.len())?;
        let (head, tail) = items.split_at(SIZES[size]);
        items = tail;
        Some((size, head))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_any_length_is_cut_into_few_pieces() {
        for (length, pieces) in [(0, vec![]), (1, vec![1]), (135, vec![64, 64, 4, 2, 1])] {
            let items: Vec<usize> = (0..length).collect();
            let cut: Vec<(usize, &[usize])> = chunks(&items).collect();
            let lengths: Vec<usize> = cut.iter().map(|(_, piece)| piece.len()).collect();
            assert_eq!(lengths, pieces);
            assert!(cut.iter().all(|(size, piece)| SIZES[*size] == piece.len()));
            let all: Vec<usize> = cut.iter().flat_map(|(_, piece)| piece.to_vec()).collect();
            assert_eq!(all, items);
        }
    }
}
