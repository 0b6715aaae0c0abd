//! What the headers of WireGuard's messages tell (paper, section 5.4).

/// Length of an initiation in bytes. boringtun writes one into any buffer that it is given: it must hold at least this.
pub(super) const INITIATION_LENGTH: usize = 148;
/// Length of a cookie reply in bytes.
pub(super) const COOKIE_LENGTH: usize = 64;
pub(super) const INITIATION: u8 = 1;
pub(super) const RESPONSE: u8 = 2;
pub(super) const COOKIE: u8 = 3;
pub(super) const DATA: u8 = 4;

/// The receiver index of a datagram's header, which names the peer in its upper 24 bits; `None` for an initiation.
pub fn peer_index(datagram: &[u8]) -> Option<u32> {
    receiver(datagram).map(|index| index >> 8)
}

/// Whose number it bears, as its receiver gave it out for a session or a handshake.
pub(super) fn receiver(datagram: &[u8]) -> Option<u32> {
    match (datagram.first()?, datagram.len()) {
        (&RESPONSE, 92) => index(datagram, 8),
        (&COOKIE, COOKIE_LENGTH) | (&DATA, 32..) => index(datagram, 4),
        _ => None,
    }
}

/// The number that the sender of a handshake message gave out for the session.
pub(super) fn sender(handshake: &[u8]) -> Option<u32> {
    index(handshake, 4)
}

/// Whether it carries a packet or is a keepalive: that it is authentic proves who sent it, and that it was sent now.
pub fn is_data(datagram: &[u8]) -> bool {
    datagram.first() == Some(&DATA)
}

/// Whether it may answer an initiation.
pub fn is_response(datagram: &[u8]) -> bool {
    datagram.first() == Some(&RESPONSE)
}

pub(super) fn is_initiation(datagram: &[u8]) -> bool {
    datagram.len() == INITIATION_LENGTH && datagram[0] == INITIATION
}

fn index(datagram: &[u8], at: usize) -> Option<u32> {
    let index: [u8; 4] = datagram.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receiver_indices_name_the_peer() {
        let mut datagram = vec![0; 40];
        datagram[0] = DATA;
        datagram[4..8].copy_from_slice(&((7u32 << 8) + 3).to_le_bytes());
        assert_eq!((peer_index(&datagram), receiver(&datagram)), (Some(7), Some((7 << 8) + 3)));
        assert_eq!(peer_index(&[INITIATION; INITIATION_LENGTH]), None);
        assert_eq!(peer_index(&[]), None);
    }
}
