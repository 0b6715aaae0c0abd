//! Names inside messages: reading through compression pointers without ever looping (RFC 1035 §4.1.4).

use super::Malformed;
use crate::name::{MAX_LABEL, MAX_NAME};

/// The two high bits of a length byte that make it a pointer (RFC 1035 §4.1.4).
const POINTER: u8 = 0xc0;

/// A name in wire format, without pointers, on the stack.
#[derive(Clone, Copy)]
pub(crate) struct WireName {
    bytes: [u8; MAX_NAME],
    length: u8,
}

impl WireName {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Makes letters small. Length bytes are below 64 and so are never taken for letters.
    pub(crate) fn to_lowercase(mut self) -> Self {
        self.bytes[..usize::from(self.length)].make_ascii_lowercase();
        self
    }

    fn push(&mut self, part: &[u8]) -> Result<(), Malformed> {
        let start = usize::from(self.length);
        let room = self.bytes.get_mut(start..start + part.len()).ok_or(Malformed)?;
        room.copy_from_slice(part);
        self.length += part.len() as u8;
        Ok(())
    }
}

impl PartialEq for WireName {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

/// Reads the name at an offset, following pointers. Spelling is kept.
///
/// Each pointer must point before the place where the labels it ends began, so reading always comes to an end.
pub(crate) fn read_name(message: &[u8], at: usize) -> Result<WireName, Malformed> {
    let mut name = WireName { bytes: [0; MAX_NAME], length: 0 };
    let (mut at, mut began) = (at, at);
    loop {
        let length = *message.get(at).ok_or(Malformed)?;
        if length & POINTER == POINTER {
            let target = pointer_target(message, at)?;
            if target >= began {
                return Err(Malformed);
            }
            (at, began) = (target, target);
            continue;
        }
        let end = label_end(at, length)?;
        name.push(message.get(at..end).ok_or(Malformed)?)?;
        if length == 0 {
            return Ok(name);
        }
        at = end;
    }
}

/// Finds where the name at an offset ends, without following its pointer.
pub(crate) fn skip_name(message: &[u8], at: usize) -> Result<usize, Malformed> {
    let began = at;
    let mut at = at;
    loop {
        let length = *message.get(at).ok_or(Malformed)?;
        if length & POINTER == POINTER {
            return if pointer_target(message, at)? < began { Ok(at + 2) } else { Err(Malformed) };
        }
        at = label_end(at, length)?;
        if at - began > MAX_NAME {
            return Err(Malformed);
        }
        if length == 0 {
            return Ok(at);
        }
    }
}

fn pointer_target(message: &[u8], at: usize) -> Result<usize, Malformed> {
    let pointer = super::be16(message, at).ok_or(Malformed)?;
    Ok(usize::from(pointer & 0x3fff))
}

fn label_end(at: usize, length: u8) -> Result<usize, Malformed> {
    let length = usize::from(length);
    if length > MAX_LABEL {
        return Err(Malformed);
    }
    Ok(at + 1 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_through_pointers_in_its_own_spelling() {
        let message = b"\x03COM\x00\x04corp\xc0\x00\x04wiki\xc0\x05";
        let name = read_name(message, 12).unwrap_or_else(|_| panic!("the name is well formed"));
        assert_eq!(name.as_bytes(), b"\x04wiki\x04corp\x03COM\x00");
        assert_eq!(name.to_lowercase().as_bytes(), b"\x04wiki\x04corp\x03com\x00");
        assert!(matches!(skip_name(message, 12), Ok(19)));
    }

    #[test]
    fn loops_forward_pointers_and_long_names_are_malformed() {
        let itself = b"\xc0\x00";
        let forward = b"\xc0\x02\x00";
        let loop_of_two = b"\x01a\xc0\x04\x01b\xc0\x00";
        let reserved = b"\x41a\x00";
        for message in [&itself[..], forward, loop_of_two, reserved, b"\x05ab", b"\xc0", b""] {
            assert!(read_name(message, 0).is_err(), "{message:?} was read as a name");
        }
        let long: Vec<u8> = std::iter::repeat_n(b"\x01a", 128).flatten().copied().chain([0]).collect();
        assert!(read_name(&long, 0).is_err());
        assert!(skip_name(&long, 0).is_err());
    }
}
