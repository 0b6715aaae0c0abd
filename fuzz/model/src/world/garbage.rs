//! Frames of the device that are no sound packets for anybody: nothing may come of them.

use super::{World, device_address};
use crate::payload::{From, frame, tagged};
use crate::reference::is_virtual;
use crate::spec::ip;
use crate::transition::Choice;
use crate::wire::{Packet, SYN, Segment};

impl World {
    pub(super) fn garbage_out(&mut self, choice: Choice) {
        let target = self.reference.mappings.keys().find(|address| address.is_ipv4()).copied();
        let target = target.unwrap_or_else(|| ip("100.64.0.99"));
        assert!(is_virtual(target));
        let payload = tagged(From::Stranger, 0, 60);
        let udp = Packet::udp((device_address(false), 999), (target, 5_000), &payload);
        let syn = Segment { source: 998, destination: 80, flags: SYN, ..Segment::default() };
        let tcp = Packet::tcp(device_address(false), target, syn, &[]);
        let mut bytes = frame(if choice[1].is_multiple_of(2) { &udp } else { &tcp }, false, None);
        match choice[0] % 10 {
            0 => bytes = (0..choice[2]).map(|_| self.random.next() as u8).map(|byte| byte & 0x3f).collect(),
            1 => bytes.truncate(usize::from(choice[2]) % (bytes.len() - 1)),
            2 => bytes[10] = 0x41,
            3 => bytes[12] = 0xff,
            4 if choice[1].is_multiple_of(2) => bytes[35] = 4,
            4 => bytes[42] = 0x10,
            5 => bytes[..10].copy_from_slice(&[0, 1, 0, 0, 9, 0, 0, 0, 0, 0]),
            6 => bytes[..10].copy_from_slice(&[1, 0, 0, 0, 0, 0, 12, 0, 4, 0]),
            7 => bytes[1] = 77,
            8 => bytes[19] = 99,
            _ => {
                bytes =
                    frame(&Packet::new(device_address(false), ip("198.51.100.1"), 17, udp.body), false, None)
            }
        }
        let frames = self.hand_in_raw(&bytes);
        assert_eq!(frames, Vec::<Vec<u8>>::new(), "an answer to what is no packet: {bytes:?}");
    }
}
