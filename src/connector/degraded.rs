//! What the system does not do for us, in words: everything works without it, at a higher cost.

use platform::tun::Offloads;
use platform::udp::{BUFFER_SIZE, UdpFacts};

use super::Setup;
use super::engine::Device;

/// Linux reports twice the room that a socket has for datagrams (socket(7)).
const REPORTED_TWICE: usize = 2;

/// What the device lacks, or that offload is off altogether.
pub(super) fn of_device(device: &Device, setup: &Setup) -> Option<String> {
    let is_wanted = setup.config.tunneling.offload.value;
    match device {
        Device::Tun(tun) => of_tun(tun.offloads(), is_wanted),
        Device::Stack(_) => (!is_wanted).then(off),
    }
}

/// What the sockets toward gateways lack; nothing of offload where it is not wanted.
pub(super) fn of_sockets(sockets: &[UdpFacts], is_offload_wanted: bool) -> Vec<String> {
    let any = |lacks: fn(&UdpFacts) -> bool| sockets.iter().any(lacks);
    let mut notes = Vec::new();
    if is_offload_wanted && any(|socket| socket.segmentation_halted) {
        notes.push(
            "the system refused a batch of datagrams toward a gateway, and each is sent by itself since: uploads cost \
             more until the network changes; hint: switch the link's checksum offload on (`ethtool -K LINK tx on`), \
             and see whether IPsec is on the way"
                .to_owned(),
        );
    } else if is_offload_wanted && any(|socket| socket.max_gso_segments == 1) {
        notes.push(
            "no batches of datagrams toward gateways (Linux 4.18 has them): uploads cost more".to_owned(),
        );
    }
    if is_offload_wanted && any(|socket| socket.gro_segments == 1) {
        notes.push("no joined datagrams from gateways (Linux 5.0 has them): downloads cost more".to_owned());
    }
    notes.extend(small_buffer(sockets.iter().map(|socket| socket.receive_buffer), "receive", "rmem_max"));
    notes.extend(small_buffer(sockets.iter().map(|socket| socket.send_buffer), "send", "wmem_max"));
    notes
}

fn of_tun(offloads: Offloads, is_wanted: bool) -> Option<String> {
    if !is_wanted {
        return Some(off());
    }
    match (offloads.tcp_segmentation, offloads.udp_segmentation) {
        (true, true) => None,
        (true, false) => Some("no UDP offload on the TUN (Linux 6.2 has it): UDP costs more".to_owned()),
        (false, _) => Some("no offload on the TUN: everything costs more".to_owned()),
    }
}

fn off() -> String {
    "offload is off, as `tunneling.offload` says: everything costs more".to_owned()
}

/// The smallest of these buffers, if it is smaller than what was asked for.
fn small_buffer(given: impl Iterator<Item = usize>, kind: &str, limit: &str) -> Option<String> {
    let room = given.min()? / REPORTED_TWICE;
    (room < BUFFER_SIZE).then(|| {
        format!(
            "sockets toward gateways have a {kind} buffer of {} KiB instead of {}: bursts are lost sooner; hint: \
             `sysctl -w net.core.{limit}={BUFFER_SIZE}` as root, and reconnect",
            room / 1024,
            BUFFER_SIZE / 1024
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: UdpFacts = UdpFacts {
        max_gso_segments: 64,
        gro_segments: 64,
        segmentation_halted: false,
        receive_buffer: BUFFER_SIZE * REPORTED_TWICE,
        send_buffer: BUFFER_SIZE * REPORTED_TWICE,
        dropped_datagrams: 0,
        too_long_datagrams: 0,
    };

    #[test]
    fn each_thing_that_a_tun_lacks_is_said() {
        let offloads = |tcp_segmentation, udp_segmentation| Offloads {
            vnet_header: tcp_segmentation,
            tcp_segmentation,
            udp_segmentation,
        };
        assert_eq!(of_tun(offloads(true, true), true), None);
        assert!(of_tun(offloads(true, false), true).unwrap().contains("no UDP offload"));
        assert!(of_tun(offloads(false, false), true).unwrap().contains("no offload"));
        assert!(of_tun(offloads(false, false), false).unwrap().contains("`tunneling.offload`"));
    }

    #[test]
    fn each_thing_that_a_socket_lacks_is_said_once_with_what_to_do() {
        assert!(of_sockets(&[WHOLE, WHOLE], true).is_empty());
        let small = UdpFacts { receive_buffer: 425_984, ..WHOLE };
        let notes = of_sockets(&[WHOLE, small, small], true);
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0].contains("208 KiB instead of 7168") && notes[0].contains("net.core.rmem_max=7340032")
        );
        let notes = of_sockets(&[UdpFacts { send_buffer: 425_984, ..WHOLE }], true);
        assert!(notes[0].contains("net.core.wmem_max=7340032"));
        let halted = UdpFacts { segmentation_halted: true, max_gso_segments: 1, ..WHOLE };
        let notes = of_sockets(&[halted, WHOLE], true);
        assert!(notes.len() == 1 && notes[0].contains("checksum offload"), "{notes:?}");
        let old = UdpFacts { gro_segments: 1, max_gso_segments: 1, ..WHOLE };
        let notes = of_sockets(&[old, old], true);
        assert!(notes.len() == 2 && notes[0].contains("uploads") && notes[1].contains("downloads"));
        assert!(of_sockets(&[old], false).is_empty(), "nobody wants it");
    }
}
