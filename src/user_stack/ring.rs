//! A bounded ring of bytes that holds memory only while it holds bytes.

use std::sync::Mutex;

use super::bell::lock;

/// Bytes that a ring holds: some milliseconds of a fast path, so that neither side is woken for each packet.
pub(super) const RING: usize = 128 << 10;
/// Empty buffers that are kept for the next ring: 2 MiB.
const MOST_SPARES: usize = 16;

/// Buffers of rings that became empty.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<Vec<Box<[u8]>>>);

impl Spares {
    fn take(&self) -> Box<[u8]> {
        lock(&self.0).pop().unwrap_or_else(|| vec![0; RING].into_boxed_slice())
    }

    fn give(&self, buffer: Box<[u8]>) {
        let mut spares = lock(&self.0);
        if spares.len() < MOST_SPARES {
            spares.push(buffer);
        }
    }
}

/// The ring.
#[derive(Debug, Default)]
pub(super) struct Ring {
    buffer: Option<Box<[u8]>>,
    start: usize,
    length: usize,
}

impl Ring {
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes that it takes.
    pub(super) fn room(&self) -> usize {
        RING - self.length
    }

    /// Takes as much of `bytes` as there is room for; tells how much.
    pub(super) fn write(&mut self, bytes: &[u8], spares: &Spares) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let free = self.free(spares);
            if free.is_empty() {
                break;
            }
            let count = free.len().min(bytes.len() - taken);
            free[..count].copy_from_slice(&bytes[taken..taken + count]);
            self.produce(count);
            taken += count;
        }
        taken
    }

    /// Gives as many bytes as `out` takes; tells how many.
    pub(super) fn read(&mut self, out: &mut [u8], spares: &Spares) -> usize {
        let mut given = 0;
        while given < out.len() && !self.is_empty() {
            let filled = self.filled();
            let count = filled.len().min(out.len() - given);
            out[given..given + count].copy_from_slice(&filled[..count]);
            self.consume(count, spares);
            given += count;
        }
        given
    }

    /// The oldest bytes that lie together.
    pub(super) fn filled(&self) -> &[u8] {
        let Some(buffer) = &self.buffer else { return &[] };
        &buffer[self.start..RING.min(self.start + self.length)]
    }

    /// Forgets the oldest `count` bytes.
    pub(super) fn consume(&mut self, count: usize, spares: &Spares) {
        self.length -= count;
        self.start = (self.start + count) % RING;
        if self.length == 0 {
            self.start = 0;
            if let Some(buffer) = self.buffer.take() {
                spares.give(buffer);
            }
        }
    }

    /// Room that lies together, to be filled from its start; empty when there is none.
    pub(super) fn free(&mut self, spares: &Spares) -> &mut [u8] {
        let end = self.start + self.length;
        let range = match end < RING {
            true => end..RING,
            false => end - RING..self.start,
        };
        if range.is_empty() {
            return &mut [];
        }
        &mut self.buffer.get_or_insert_with(|| spares.take())[range]
    }

    /// The first `count` bytes of [`Self::free`] were filled.
    pub(super) fn produce(&mut self, count: usize) {
        self.length += count;
    }

    /// Gives the buffer back that [`Self::free`] took for nothing.
    pub(super) fn settle(&mut self, spares: &Spares) {
        if self.length == 0 {
            self.consume(0, spares);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_around_the_end() {
        let (mut ring, spares) = (Ring::default(), Spares::default());
        let (mut sent, mut received) = (0_u32, 0_u32);
        let mut out = vec![0; RING];
        for round in 0..200_usize {
            let bytes: Vec<u8> = (0..7_919 * (round % 9)).map(|at| (sent as usize + at) as u8).collect();
            sent += ring.write(&bytes, &spares) as u32;
            let count = ring.read(&mut out[..5_003 * (round % 11)], &spares);
            for byte in &out[..count] {
                assert_eq!(*byte, received as u8);
                received += 1;
            }
        }
        assert!(received > 1 << 20 && sent - received == (RING - ring.room()) as u32);
    }

    #[test]
    fn it_takes_no_more_than_it_holds_and_an_empty_one_holds_no_memory() {
        let (mut ring, spares) = (Ring::default(), Spares::default());
        assert_eq!(ring.write(&vec![1; RING + 9], &spares), RING);
        assert_eq!((ring.room(), ring.write(&[1], &spares)), (0, 0));
        assert_eq!(ring.read(&mut vec![0; 2 * RING], &spares), RING);
        assert!(ring.buffer.is_none() && ring.is_empty());
        assert!(!ring.free(&spares).is_empty());
        ring.settle(&spares);
        assert!(ring.buffer.is_none());
    }
}
