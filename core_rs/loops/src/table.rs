//! `Form::Table`: the ends of all elements as little-endian u32, counted from the table's end; then the elements.

/// # Errors
/// Elements of 4 GiB or more together.
pub fn pack<'a>(
    elements: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
) -> Result<Vec<u8>, TooLarge> {
    let bytes: usize = elements.clone().map(<[u8]>::len).sum();
    u32::try_from(bytes).map_err(|_| TooLarge)?;
    let mut packed = Vec::with_capacity(elements.len() * 4 + bytes);
    let mut end = 0u32;
    for element in elements.clone() {
        end += element.len() as u32;
        packed.extend_from_slice(&end.to_le_bytes());
    }
    elements.for_each(|element| packed.extend_from_slice(element));
    Ok(packed)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// `count + 1` offsets into `payload`, or `None` where the table is not one of `count` elements.
pub fn ends(payload: &[u8], count: usize) -> Option<Vec<usize>> {
    let start = count
        .checked_mul(4)
        .filter(|start| *start <= payload.len())?;
    let mut offsets = Vec::with_capacity(count + 1);
    offsets.push(start);
    let mut last = start;
    for end in payload[..start].chunks_exact(4) {
        let end = start + u32::from_le_bytes([end[0], end[1], end[2], end[3]]) as usize;
        if end < last || end > payload.len() {
            return None;
        }
        offsets.push(end);
        last = end;
    }
    (last == payload.len()).then_some(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gives_back_its_elements() {
        let elements: [&[u8]; 4] = [b"one", b"", b"three", b"4"];
        let packed = pack(elements.iter().copied()).unwrap();
        let ends = ends(&packed, 4).unwrap();
        let back: Vec<&[u8]> = ends
            .windows(2)
            .map(|pair| &packed[pair[0]..pair[1]])
            .collect();
        assert_eq!(back, elements);
    }

    #[test]
    fn an_empty_table_has_one_offset() {
        assert_eq!(ends(&[], 0), Some(vec![0]));
    }

    #[test]
    fn a_table_that_lies_is_refused() {
        let packed = pack([b"abc".as_slice(), b"de"].into_iter()).unwrap();
        assert_eq!(ends(&packed, 3), None, "wrong count");
        assert_eq!(ends(&packed[..packed.len() - 1], 2), None, "cut");
        assert_eq!(ends(&packed, usize::MAX), None, "overflow");
        assert_eq!(
            ends(&[9, 0, 0, 0, 1, 0, 0, 0, 1], 2),
            None,
            "ends that fall"
        );
    }
}
