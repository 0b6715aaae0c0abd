//! UDP batches over `lo`, and what becomes of datagrams that are longer than the link takes.

use std::{
    io::IoSliceMut,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
    time::Duration,
};

use platform::{
    Family,
    socket_protect::FWMARK,
    udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpConfig, UdpEndpoint},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::namespace::{in_namespace, ip};

const LIMIT: Duration = Duration::from_secs(10);

fn pair(family: Family) -> (UdpEndpoint, UdpEndpoint, SocketAddr) {
    let sender = UdpEndpoint::bind(&UdpConfig::new(family, Some(FWMARK))).unwrap();
    let receiver = UdpEndpoint::bind(&UdpConfig::new(family, None)).unwrap();
    let port = receiver.local_address().unwrap().port();
    let address = match family {
        Family::V4 => (Ipv4Addr::LOCALHOST, port).into(),
        Family::V6 => (Ipv6Addr::LOCALHOST, port).into(),
    };
    (sender, receiver, address)
}

/// The datagrams that arrive until `count` bytes are there, and their ECN bits.
fn collect(receiver: &UdpEndpoint, count: usize) -> Vec<(Vec<u8>, Option<EcnCodepoint>)> {
    let mut datagrams = Vec::new();
    let mut received = 0;
    while received < count {
        let mut descriptors = [PollFd::new(receiver, PollFlags::IN)];
        let limit = Timespec::try_from(LIMIT).unwrap();
        assert_eq!(poll(&mut descriptors, Some(&limit)).unwrap(), 1, "{received} of {count} bytes came");
        let mut buffers = vec![vec![0; 65_536]; BATCH_SIZE];
        let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let filled = receiver.recv(&mut slices, &mut metas).unwrap();
        for (buffer, meta) in buffers.iter().zip(&metas).take(filled) {
            received += meta.len;
            let pieces = buffer[..meta.len].chunks(meta.stride.max(1));
            datagrams.extend(pieces.map(|piece| (piece.to_vec(), meta.ecn)));
        }
    }
    datagrams
}

#[test]
fn batch_arrives_as_the_datagrams_it_was_made_of() {
    for family in [Family::V4, Family::V6] {
        in_namespace(move || {
            let (sender, receiver, address) = pair(family);
            assert!(sender.max_gso_segments() > 1 && receiver.gro_segments() > 1);
            let contents: Vec<u8> = (0..5).flat_map(|piece| vec![piece; 1200]).chain(vec![9; 77]).collect();
            sender.send(address, &contents, Some(1200), Some(EcnCodepoint::Ect0)).unwrap();
            let datagrams = collect(&receiver, contents.len());
            assert_eq!(datagrams.len(), 6);
            let ecn: Vec<_> = datagrams.iter().map(|(_, ecn)| *ecn).collect();
            assert_eq!(ecn, [Some(EcnCodepoint::Ect0); 6], "{family:?}");
            assert_eq!(datagrams[5].0, [9; 77]);
            assert!(!sender.facts().segmentation_halted);
        });
    }
}

#[test]
fn socket_is_marked_before_use_and_has_large_buffers() {
    in_namespace(|| {
        let socket = UdpEndpoint::bind(&UdpConfig::new(Family::V4, Some(FWMARK))).unwrap();
        assert_eq!(socket2::SockRef::from(&socket).mark().unwrap(), FWMARK);
        // The kernel reports twice what was asked for (socket(7)).
        assert!(socket.facts().receive_buffer >= 7 << 20, "{:?}", socket.facts());
        assert!(socket.facts().send_buffer >= 7 << 20, "{:?}", socket.facts());
    });
}

#[test]
fn datagrams_longer_than_the_link_are_lost_and_counted_and_others_arrive() {
    for family in [Family::V4, Family::V6] {
        in_namespace(move || {
            ip(&["link", "set", "lo", "mtu", "1300"]);
            let (sender, receiver, address) = pair(family);
            sender.send(address, &[1; 1472], None, None).unwrap();
            // A batch of them cannot be segmented by the kernel: it goes one by one, and only the last fits.
            sender.send(address, &[2; 3944], Some(1472), None).unwrap();
            assert_eq!(sender.facts().too_long_datagrams, 3);
            // What fits goes on in batches.
            sender.send(address, &[3; 3600], Some(1200), None).unwrap();
            let arrived = collect(&receiver, 4600);
            let lengths: Vec<_> = arrived.iter().map(|(bytes, _)| bytes.len()).collect();
            assert_eq!(lengths, [1000, 1200, 1200, 1200], "{family:?}");
        });
    }
}

#[test]
fn port_in_use_is_a_clear_error() {
    in_namespace(|| {
        let first = UdpEndpoint::bind(&UdpConfig::new(Family::V4, None)).unwrap();
        let port = first.local_address().unwrap().port();
        let error = UdpEndpoint::bind(&UdpConfig { port, ..UdpConfig::new(Family::V4, None) }).unwrap_err();
        assert_eq!(error.to_string(), format!("failed to bind UDP socket: `0.0.0.0:{port}`"));
        assert!(error.hint().unwrap().contains("another program"));
    });
}

#[test]
fn a_system_that_refuses_batches_gets_single_datagrams_from_then_on() {
    in_namespace(|| {
        let (sender, receiver, address) = pair(Family::V4);
        assert!(sender.max_gso_segments() > 1);
        // The kernel cuts nothing whose checksum it may not write. Older ones answer EIO for links without checksum
        // offload, and all of them where IPsec is on the way: the same is done then.
        forbid_checksums(&sender);
        for piece in [1, 2] {
            sender.send(address, &[piece; 3000], Some(1200), None).unwrap();
            let arrived = collect(&receiver, 3000);
            let lengths: Vec<_> = arrived.iter().map(|(bytes, _)| bytes.len()).collect();
            assert_eq!(lengths, [1200, 1200, 600]);
            assert!(arrived.iter().all(|(bytes, _)| bytes.iter().all(|byte| *byte == piece)));
            assert!(sender.facts().segmentation_halted && sender.max_gso_segments() == 1);
        }
        assert_eq!((sender.facts().dropped_datagrams, sender.facts().too_long_datagrams), (0, 0));
    });
}

fn forbid_checksums(socket: &UdpEndpoint) {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the descriptor is open for the call, and the pointer and length describe `on`, which outlives it.
    let code = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NO_CHECK,
            (&raw const on).cast(),
            length,
        )
    };
    assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn without_offload_each_datagram_goes_and_comes_by_itself() {
    for family in [Family::V4, Family::V6] {
        in_namespace(move || {
            let receiver =
                UdpEndpoint::bind(&UdpConfig { offload: false, ..UdpConfig::new(family, None) }).unwrap();
            let (sender, _, address) = pair(family);
            let address = SocketAddr::new(address.ip(), receiver.local_address().unwrap().port());
            assert_eq!((receiver.max_gso_segments(), receiver.gro_segments()), (1, 1));
            assert!(!receiver.facts().segmentation_halted);
            sender.send(address, &[7; 3600], Some(1200), None).unwrap();
            let mut buffers = vec![vec![0; 65_536]; BATCH_SIZE];
            let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let filled = receiver.recv(&mut slices, &mut metas).unwrap();
            let lengths: Vec<_> = metas[..filled].iter().map(|meta| meta.len).collect();
            assert_eq!(lengths, [1200; 3], "{family:?}");
            // The other way: a batch that is asked for all the same is cut here.
            let (_, other, address) = pair(family);
            receiver.send(address, &[8; 3000], Some(1200), None).unwrap();
            assert_eq!(collect(&other, 3000).len(), 3);
        });
    }
}
