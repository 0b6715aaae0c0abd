//! The text of a resolv.conf: which servers it lists, and what it becomes and was (resolv.conf(5)).

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// First line of a file of ours.
const HEADER: &str = "# Written by openztna-client-connector: the servers below come back when it ends.\n";

/// Before each line of the former file that we took out of force.
const FORMER: &str = "#openztna: ";

/// The port of DNS (RFC 1035, 4.2).
const PORT: u16 = 53;

/// The servers that a resolv.conf lists, in order; lines that are no addresses are skipped.
///
/// IPv6 scopes (`fe80::1%eth0`, `%2`) become the scope id of the address.
pub fn name_servers(text: &str) -> Vec<SocketAddr> {
    text.lines().filter_map(value_of_name_server).filter_map(server).collect()
}

/// The text with our resolvers alone in force; every other line stays as it is, in its place.
pub(super) fn rewrite(original: &str, resolvers: &[IpAddr]) -> String {
    let mut text = HEADER.to_owned();
    for resolver in resolvers {
        text.push_str(&format!("nameserver {resolver}\n"));
    }
    for line in original.split_inclusive('\n') {
        if value_of_name_server(line).is_some() {
            text.push_str(FORMER);
        }
        text.push_str(line);
    }
    text
}

/// What the text was before [`rewrite`]; `None` if it is none of ours.
pub(super) fn recover(text: &str) -> Option<String> {
    let rest = text.strip_prefix(HEADER)?;
    let lines = rest.split_inclusive('\n').filter(|line| value_of_name_server(line).is_none());
    Some(lines.map(|line| line.strip_prefix(FORMER).unwrap_or(line)).collect())
}

/// The keyword must start the line; white space follows.
fn value_of_name_server(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("nameserver")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    rest.split_whitespace().next()
}

fn server(text: &str) -> Option<SocketAddr> {
    let Some((address, scope)) = text.split_once('%') else {
        let address: IpAddr = text.parse().ok()?;
        return Some(SocketAddr::new(address, PORT));
    };
    let address: Ipv6Addr = address.parse().ok()?;
    let scope = scope.parse().ok().or_else(|| link_index(scope))?;
    Some(SocketAddrV6::new(address, PORT, 0, scope).into())
}

fn link_index(name: &str) -> Option<u32> {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).ok()?;
    rustix::net::netdevice::name_to_index(socket, name).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resolvers() -> [IpAddr; 1] {
        ["100.100.0.1".parse().unwrap()]
    }

    #[test]
    fn only_our_resolver_is_in_force_and_all_else_keeps_its_place() {
        let original = "# by dhcp\nsearch corp.example.com lab\nnameserver 192.0.2.53\noptions edns0\nnameserver\t2001:db8::53";
        let text = rewrite(original, &resolvers());
        assert_eq!(
            text,
            format!(
                "{HEADER}nameserver 100.100.0.1\n# by dhcp\nsearch corp.example.com lab\n\
                 #openztna: nameserver 192.0.2.53\noptions edns0\n#openztna: nameserver\t2001:db8::53"
            )
        );
        assert_eq!(name_servers(&text), ["100.100.0.1:53".parse().unwrap()]);
        assert_eq!(recover(&text).as_deref(), Some(original));
    }

    #[test]
    fn servers_are_read_with_scopes_and_garbage_is_skipped() {
        let text = "nameserver 192.0.2.1 # first\nnameserver fe80::1%lo\nnameserver fe80::2%7\nnameserver name\n \
                    nameserver 192.0.2.2\nnameserver192.0.2.3\n;nameserver 192.0.2.4\nnameserver\nnameserver ::1\n";
        let servers = name_servers(text);
        let expected = ["192.0.2.1:53", "[fe80::1%1]:53", "[fe80::2%7]:53", "[::1]:53"];
        assert_eq!(servers, expected.map(|server| server.parse().unwrap()));
    }

    #[test]
    fn foreign_file_is_none_of_ours() {
        assert_eq!(recover("nameserver 192.0.2.1\n"), None);
        assert_eq!(recover(""), None);
    }

    proptest! {
        #[test]
        fn what_it_was_is_always_found_again(
            lines in proptest::collection::vec("(nameserver |search |;|#|\t)?[ -~]{0,12}", 0..8),
            newline in any::<bool>(),
        ) {
            let mut original = lines.join("\n");
            if newline {
                original.push('\n');
            }
            prop_assume!(!original.split('\n').any(|line| line.starts_with(FORMER)));
            let text = rewrite(&original, &resolvers());
            prop_assert_eq!(name_servers(&text), [SocketAddr::new(resolvers()[0], PORT)]);
            prop_assert_eq!(recover(&text).unwrap(), original);
        }
    }
}
