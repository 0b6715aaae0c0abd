//! Datagrams on their way to gateways, gathered so that runs of equal size leave in one system call (UDP_SEGMENT).

use std::net::SocketAddr;

/// Room for sealed datagrams in bytes: one TUN super-packet of 64 KiB cut at Linux's least MSS of 48 seals to 190 KiB.
const CAPACITY: usize = 256 * 1024;
/// Room that must be left for one more datagram: the largest IP packet and WireGuard's 32 bytes.
const LARGEST_DATAGRAM: usize = 65_535 + 32;
/// The most that one UDP_SEGMENT call takes in bytes: the UDP length field less the headers of both families.
const LARGEST_RUN: usize = 65_535 - 48;

/// One datagram, or a run of datagrams of equal size (the last may be shorter), to one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Where to.
    pub destination: SocketAddr,
    /// The datagrams one after the other.
    pub contents: &'a [u8],
    /// Size of each datagram in bytes; `None` for a single one.
    pub segment_size: Option<usize>,
}

#[derive(Debug)]
struct Run {
    destination: SocketAddr,
    start: usize,
    end: usize,
    segment: usize,
    count: usize,
    /// A shorter datagram has ended it.
    is_closed: bool,
}

/// The batch.
#[derive(Debug)]
pub struct SendBatch {
    buffer: Vec<u8>,
    used: usize,
    runs: Vec<Run>,
    next: usize,
    most_segments: usize,
}

impl SendBatch {
    /// An empty batch; `most_segments` is what the system takes in one call (1: no segmentation offload).
    pub fn new(most_segments: usize) -> Self {
        Self {
            buffer: vec![0; CAPACITY + LARGEST_DATAGRAM],
            used: 0,
            runs: Vec::with_capacity(64),
            next: 0,
            most_segments,
        }
    }

    /// Where the next datagram is to be written; `None` when the batch must be sent first.
    pub fn spare(&mut self) -> Option<&mut [u8]> {
        if self.used > CAPACITY {
            return None;
        }
        Some(&mut self.buffer[self.used..])
    }

    /// Takes the datagram of `length` bytes that was written to [`Self::spare`].
    pub fn push(&mut self, destination: SocketAddr, length: usize) {
        let start = self.used;
        self.used += length;
        let is_waiting = self.next < self.runs.len(); // else the last run was taken already
        if let Some(run) = self.runs.last_mut().filter(|_| is_waiting)
            && run.destination == destination
            && !run.is_closed
            && run.count < self.most_segments
            && length <= run.segment
            && self.used - run.start <= LARGEST_RUN
        {
            run.end = self.used;
            run.count += 1;
            run.is_closed = length < run.segment;
            return;
        }
        self.runs.push(Run {
            destination,
            start,
            end: self.used,
            segment: length,
            count: 1,
            is_closed: false,
        });
    }

    /// Ends the present run: the system is to judge what comes next by itself. A datagram too long for the link would
    /// have a whole run refused.
    pub fn end_run(&mut self) {
        if let Some(run) = self.runs.last_mut() {
            run.is_closed = true;
        }
    }

    /// The next run to send, in order; after the last one the batch is empty again.
    pub fn pop(&mut self) -> Option<Transmit<'_>> {
        let Some(run) = self.runs.get(self.next) else {
            self.clear();
            return None;
        };
        self.next += 1;
        Some(Transmit {
            destination: run.destination,
            contents: &self.buffer[run.start..run.end],
            segment_size: (run.count > 1).then_some(run.segment),
        })
    }

    /// Gives the last popped run back, to be popped again: the system would not take it now.
    pub fn unpop(&mut self) {
        self.next = self.next.saturating_sub(1);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.next == self.runs.len()
    }

    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        (self.used, self.next) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(lengths: &[usize], most: usize) -> Vec<(usize, Option<usize>)> {
        let mut batch = SendBatch::new(most);
        for length in lengths {
            batch.spare().unwrap()[..*length].fill(1);
            batch.push("192.0.2.1:1".parse().unwrap(), *length);
        }
        let mut runs = Vec::new();
        while let Some(transmit) = batch.pop() {
            runs.push((transmit.contents.len(), transmit.segment_size));
        }
        assert!(batch.is_empty());
        runs
    }

    #[test]
    fn equal_sizes_leave_together_and_a_shorter_one_ends_the_run() {
        assert_eq!(batch(&[100, 100, 60, 100], 64), [(260, Some(100)), (100, None)]);
        assert_eq!(batch(&[60, 100], 64), [(60, None), (100, None)]);
        assert_eq!(batch(&[100, 100, 100], 2), [(200, Some(100)), (100, None)]);
        assert_eq!(batch(&[100, 100], 1), [(100, None), (100, None)]);
        let many = batch(&[1452; 60], 64);
        assert!(many.iter().all(|(length, _)| *length <= LARGEST_RUN) && many.len() == 2);
    }

    #[test]
    fn an_ended_run_takes_no_more() {
        let mut batch = SendBatch::new(64);
        for _ in 0..2 {
            batch.push("192.0.2.1:1".parse().unwrap(), 9);
            batch.end_run();
        }
        assert_eq!(batch.pop().unwrap().contents.len(), 9);
        assert_eq!(batch.pop().unwrap().segment_size, None);
    }

    #[test]
    fn a_run_that_was_taken_takes_no_more() {
        let mut batch = SendBatch::new(64);
        for _ in 0..2 {
            batch.push("192.0.2.1:1".parse().unwrap(), 9);
            assert_eq!(batch.pop().unwrap().contents.len(), 9);
        }
    }

    #[test]
    fn a_run_that_was_not_taken_comes_again() {
        let mut batch = SendBatch::new(64);
        batch.push("192.0.2.1:1".parse().unwrap(), 9);
        assert_eq!(batch.pop().unwrap().contents.len(), 9);
        batch.unpop();
        assert!(!batch.is_empty());
        assert_eq!(batch.pop().unwrap().contents.len(), 9);
        assert!(batch.pop().is_none());
    }
}
