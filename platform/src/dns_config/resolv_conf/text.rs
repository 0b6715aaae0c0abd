//! The text of a resolv.conf: which servers it lists, and what it becomes and was (resolv.conf(5)).

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// First line of a file of ours.
const HEADER: &str = "# Written by openztna-client-connector: the servers below come back when it ends.\n";

/// Before each line of the former file that we took out of force.
const FORMER: &str = "#openztna: ";

/// Before the search line that is ours: the lines that it stands for are taken out of force.
const OUR_SEARCH: &str = "#openztna: added to the search list, behind your own:\n";

/// Characters of a search list that every C library takes: musl ignores a line that is longer than 254 with `search `
/// (its `resolvconf.c`), glibc before 2.26 what is behind 256. The number of domains has had no limit in glibc since 2.26
/// (2017); before, those behind the sixth were ignored.
const MOST_SEARCH_CHARACTERS: usize = 247;

/// The port of DNS (RFC 1035, 4.2).
const PORT: u16 = 53;

/// The servers that a resolv.conf lists, in order; lines that are no addresses are skipped.
///
/// IPv6 scopes (`fe80::1%eth0`, `%2`) become the scope id of the address.
pub fn name_servers(text: &str) -> Vec<SocketAddr> {
    text.lines().filter_map(value_of_name_server).filter_map(server).collect()
}

/// The text with our resolvers alone in force; every other line stays as it is, in its place.
///
/// With a `search` list, that stands in the place of the text's own.
pub(super) fn rewrite(original: &str, resolvers: &[IpAddr], search: Option<&[String]>) -> String {
    let mut text = HEADER.to_owned();
    for resolver in resolvers {
        text.push_str(&format!("nameserver {resolver}\n"));
    }
    if let Some(search) = search {
        text.push_str(&format!("{OUR_SEARCH}search {}\n", search.join(" ")));
    }
    for line in original.split_inclusive('\n') {
        let is_replaced = search.is_some() && value_of_search(line).is_some();
        if value_of_name_server(line).is_some() || is_replaced {
            text.push_str(FORMER);
        }
        text.push_str(line);
    }
    text
}

/// What the text was before [`rewrite`]; `None` if it is none of ours.
pub(in crate::dns_config) fn recover(text: &str) -> Option<String> {
    let rest = text.strip_prefix(HEADER)?;
    let mut lines = rest.split_inclusive('\n').filter(|line| value_of_name_server(line).is_none()).peekable();
    if lines.next_if_eq(&OUR_SEARCH).is_some() {
        lines.next();
    }
    Some(lines.map(|line| line.strip_prefix(FORMER).unwrap_or(line)).collect())
}

/// A search list, longer than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dns_config) struct Extended {
    /// All of it; `None` if nothing is to be added.
    pub(in crate::dns_config) list: Option<Vec<String>>,
    /// What found no room.
    pub(in crate::dns_config) left_out: Vec<String>,
}

/// The text's search list with `added` behind it, each only if it is new and every C library still takes the line.
/// Without a list of its own the text means `implied`, the domain of the host's name.
pub(in crate::dns_config) fn extend_search(
    original: &str,
    implied: Option<&str>,
    added: &[String],
) -> Extended {
    let own = original.lines().filter_map(value_of_search).next_back();
    let mut list: Vec<String> =
        own.or(implied).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let before = list.len();
    let mut left_out = Vec::new();
    for domain in added {
        if list.iter().any(|known| normal(known).eq_ignore_ascii_case(normal(domain))) {
            continue;
        }
        let length: usize = list.iter().map(|known| known.len() + 1).sum();
        let has_room = length + domain.len() <= MOST_SEARCH_CHARACTERS;
        if has_room { list.push(domain.clone()) } else { left_out.push(domain.clone()) }
    }
    Extended { list: (list.len() > before).then_some(list), left_out }
}

/// The text's search list.
pub(in crate::dns_config) fn search_list(text: &str) -> Vec<String> {
    let own = text.lines().filter_map(value_of_search).next_back();
    own.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// The domain of the host's name, which is the search list where there is no other (resolv.conf(5)).
pub(in crate::dns_config) fn implied_domain() -> Option<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    host.split_once('.').map(|(_, domain)| domain.to_owned())
}

/// Whether one of our resolvers is in force in the text.
pub(in crate::dns_config) fn lists_any(text: &str, resolvers: &[IpAddr]) -> bool {
    name_servers(text).iter().any(|server| resolvers.contains(&server.ip()))
}

/// The text with `servers` in the place of our resolvers; one that does not list us stays as it is.
pub(in crate::dns_config) fn replace_servers(
    text: &str,
    resolvers: &[IpAddr],
    servers: &[SocketAddr],
) -> String {
    let is_ours = |line: &str| {
        value_of_name_server(line).and_then(server).is_some_and(|server| resolvers.contains(&server.ip()))
    };
    let mut replaced = String::new();
    let mut left: Vec<String> = servers.iter().map(line_of_server).collect();
    left.retain(|line| !text.split_inclusive('\n').any(|other| other == line));
    for line in text.split_inclusive('\n') {
        if is_ours(line) {
            replaced.extend(left.drain(..));
        } else {
            replaced.push_str(line);
        }
    }
    replaced
}

fn line_of_server(server: &SocketAddr) -> String {
    match server {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("nameserver {}%{}\n", v6.ip(), v6.scope_id()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => format!("nameserver {}\n", server.ip()),
    }
}

/// `corp.` is `corp`.
fn normal(domain: &str) -> &str {
    domain.strip_suffix('.').unwrap_or(domain)
}

/// The list of a line that sets the search list: the last such line counts. `domain` is a list of one.
fn value_of_search(line: &str) -> Option<&str> {
    if let Some(list) = line.strip_prefix("search").filter(|rest| rest.starts_with([' ', '\t'])) {
        return Some(list.trim());
    }
    let domain = line.strip_prefix("domain").filter(|rest| rest.starts_with([' ', '\t']))?;
    Some(domain.split_whitespace().next().unwrap_or_default())
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
        let text = rewrite(original, &resolvers(), None);
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
    fn servers_take_the_place_of_our_resolver() {
        let servers = ["192.0.2.1:53".parse().unwrap(), "[fe80::1%2]:53".parse().unwrap()];
        let text = "# x\nnameserver 100.100.0.1\nsearch a\nnameserver 192.0.2.1\nnameserver 100.100.0.1\n";
        let replaced = replace_servers(text, &resolvers(), &servers);
        assert_eq!(replaced, "# x\nnameserver fe80::1%2\nsearch a\nnameserver 192.0.2.1\n");
        assert!(lists_any(text, &resolvers()) && !lists_any(&replaced, &resolvers()));
        assert_eq!(replace_servers(&replaced, &resolvers(), &[]), replaced);
    }

    #[test]
    fn foreign_file_is_none_of_ours() {
        assert_eq!(recover("nameserver 192.0.2.1\n"), None);
        assert_eq!(recover(""), None);
    }

    fn extended(original: &str, added: &[&str]) -> Option<String> {
        let added: Vec<_> = added.iter().map(|domain| (*domain).to_owned()).collect();
        extend_search(original, Some("host.example"), &added).list.map(|list| list.join(" "))
    }

    #[test]
    fn search_domains_stand_behind_the_users_own_which_stays_in_order() {
        let original = "search old.example\nsearch b.example\ta.example\nnameserver 192.0.2.53\n";
        let added = ["A.example.".to_owned(), "corp.example".to_owned()];
        let list = extend_search(original, None, &added).list.unwrap();
        let text = rewrite(original, &resolvers(), Some(&list));
        assert_eq!(
            text,
            format!(
                "{HEADER}nameserver 100.100.0.1\n{OUR_SEARCH}search b.example a.example corp.example\n\
                 #openztna: search old.example\n#openztna: search b.example\ta.example\n\
                 #openztna: nameserver 192.0.2.53\n"
            )
        );
        assert_eq!(recover(&text).as_deref(), Some(original));
    }

    #[test]
    fn a_domain_line_or_the_hosts_own_domain_is_the_list_where_there_is_no_other() {
        assert_eq!(extended("domain lab.example\n", &["c"]).as_deref(), Some("lab.example c"));
        assert_eq!(extended("search a\ndomain b\n", &["c"]).as_deref(), Some("b c"));
        assert_eq!(extended("searching a\n;search b\n", &["c"]).as_deref(), Some("host.example c"));
        assert_eq!(extended("search .\n", &["c"]).as_deref(), Some(". c"));
        assert_eq!(extend_search("", None, &["c".to_owned()]).list, Some(vec!["c".to_owned()]));
    }

    #[test]
    fn nothing_is_added_that_is_there_or_finds_no_room() {
        assert_eq!(extended("search a B\n", &["b", "A."]), None);
        assert_eq!(extended("search 1 2 3 4 5\n", &["6", "7"]).as_deref(), Some("1 2 3 4 5 6 7"));
        let long = format!("search {}\n", "a".repeat(MOST_SEARCH_CHARACTERS - 2));
        let added = ["bb".to_owned(), "b".to_owned(), "c".to_owned()];
        let extended_long = extend_search(&long, None, &added);
        assert_eq!(extended_long.left_out, ["bb", "c"]);
        assert_eq!(extended_long.list.unwrap().join(" ").len(), MOST_SEARCH_CHARACTERS);
        assert_eq!(extended("search a\n", &[]), None);
    }

    proptest! {
        #[test]
        fn what_it_was_is_always_found_again(
            lines in proptest::collection::vec("(nameserver |search |domain |;|#|\t)?[ -~]{0,12}", 0..8),
            newline in any::<bool>(),
            added in proptest::collection::vec("[a-c]{1,3}", 0..3),
        ) {
            let mut original = lines.join("\n");
            if newline {
                original.push('\n');
            }
            prop_assume!(!original.split('\n').any(|line| line.starts_with(FORMER)));
            let search = extend_search(&original, None, &added).list;
            let text = rewrite(&original, &resolvers(), search.as_deref());
            prop_assert_eq!(name_servers(&text), [SocketAddr::new(resolvers()[0], PORT)]);
            prop_assert_eq!(recover(&text).unwrap(), original);
        }
    }
}
