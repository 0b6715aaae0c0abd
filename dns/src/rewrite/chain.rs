//! The names that an answer leads to from the name asked for, through CNAME records (RFC 1034 §3.6.2).

use crate::wire::{CLASS_IN, Malformed, Message, Section, WireName, read_name, rtype};

/// Names of a chain that are followed; resolvers give up after 8 to 17.
const MAX_LENGTH: usize = 32;

/// The name asked for and all that it is an alias of, in lower case.
pub(super) struct Chain {
    names: Vec<WireName>,
}

impl Chain {
    /// Follows the CNAME records of an answer, in whatever order they stand.
    pub(super) fn read(message: &Message<'_>, name: &[u8]) -> Result<Self, Malformed> {
        let mut links = Vec::new();
        for record in message.section(Section::Answer) {
            if record.rtype == rtype::CNAME && record.class == CLASS_IN {
                let owner = read_name(message.bytes, record.owner)?.to_lowercase();
                let within = &message.bytes[..record.data.end];
                let target = read_name(within, record.data.start)?.to_lowercase();
                links.push((owner, target));
            }
        }
        let mut names = vec![read_name(name, 0)?];
        while let Some((_, target)) = links
            .iter()
            .find(|(owner, target)| names.last().is_some_and(|last| last == owner) && !names.contains(target))
        {
            names.push(*target);
            if names.len() == MAX_LENGTH {
                break;
            }
        }
        Ok(Self { names })
    }

    pub(super) fn contains(&self, name: &WireName) -> bool {
        self.names.contains(name)
    }
}
