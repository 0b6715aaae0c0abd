//! Bytes of a fuzzer as pieces, each behind its length.

/// The pieces; the length stands in two bytes, the lower first, and the last piece is what is left.
pub fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        bytes = rest;
        Some(piece)
    })
}

/// Puts pieces together, as [`pieces`] takes them apart.
pub fn joined<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend((piece.len() as u16).to_le_bytes());
        bytes.extend(piece);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_comes_apart_and_a_short_end_is_a_piece() {
        let parts: [&[u8]; 3] = [b"one", b"", b"three"];
        let bytes = joined(parts);
        assert_eq!(pieces(&bytes).collect::<Vec<_>>(), parts);
        assert_eq!(pieces(&[9, 0, 1]).collect::<Vec<_>>(), [[1]]);
    }
}
