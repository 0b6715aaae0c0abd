//! The answer of a tunnel's server, made fit for clients: real addresses become virtual ones, and nothing else changes.

mod chain;
mod service;
mod splice;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::name::Name;
use crate::resolver::Mapping;
use crate::virtual_pool::{PoolError, VirtualPool};
use crate::wire::{CLASS_IN, Malformed, Message, Record, Section, be16, flag, put16, read_name, rtype};
use crate::zones::{Granted, Zones};
use chain::Chain;

/// Mappings that may wait for the caller. Each assignment waits once per policy, so more means nobody takes them.
const MAX_MAPPINGS: usize = 2 * 65_536;

/// What the records of an answer are judged by.
pub(crate) struct Scope<'a> {
    pub(crate) zones: &'a Zones,
    /// The gateway through which the answer came.
    pub(crate) gateway: u32,
    /// The name asked for, in wire format and lower case.
    pub(crate) name: &'a [u8],
    /// What grants the name asked for; `None` if it is only resolved there.
    pub(crate) grant: Option<Granted>,
}

/// Where virtual addresses come from, and where word of them goes.
pub(crate) struct Assigner<'a> {
    pub(crate) pool: &'a mut VirtualPool,
    pub(crate) mappings: &'a mut VecDeque<Mapping>,
    /// Seconds of wall time.
    pub(crate) wall: u64,
    /// Address records left out so far.
    pub(crate) withheld: u64,
}

/// Why an answer cannot be made fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RewriteError {
    Malformed,
    Pool(PoolError),
}

/// What happens to one record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Edit {
    Keep,
    Remove,
    /// Its data is replaced by this.
    Data(Vec<u8>),
}

/// Whose records an owner's are.
enum Owner {
    /// They are mapped for this grant, under this name.
    Mapped(Granted, Arc<str>),
    /// They are none of ours: passed on.
    Foreign,
    /// They belong to another gateway's network, of which this server knows nothing: left out.
    Elsewhere,
}

/// Makes an answer fit for clients. `None`: its bytes can be passed on as they are.
///
/// A and AAAA records are mapped when a CNAME chain of the answer leads to them from a granted name, or when a rule
/// grants their owner; their signatures, the AD bit and the address hints of HTTPS and SVCB records go.
pub(crate) fn rewrite(
    message: &Message<'_>,
    scope: &Scope<'_>,
    assigner: &mut Assigner<'_>,
) -> Result<Option<Vec<u8>>, RewriteError> {
    let edits = plan(message, scope, assigner)?;
    if edits.iter().all(|edit| *edit == Edit::Keep) {
        return Ok(None);
    }
    let in_place = |(edit, record): (&Edit, &Record)| match edit {
        Edit::Keep => true,
        Edit::Remove => false,
        Edit::Data(data) => data.len() == record.data.len(),
    };
    let mut bytes = if edits.iter().zip(&message.records).all(in_place) {
        patch(message, &edits)
    } else {
        splice::splice(message, &edits)?
    };
    put16(&mut bytes, 2, message.flags() & !flag::AUTHENTIC);
    Ok(Some(bytes))
}

fn plan(
    message: &Message<'_>,
    scope: &Scope<'_>,
    assigner: &mut Assigner<'_>,
) -> Result<Vec<Edit>, RewriteError> {
    let chain = Chain::read(message, scope.name)?;
    let mut edits = Vec::with_capacity(message.records.len());
    for record in &message.records {
        let edit = match record.rtype {
            _ if record.class != CLASS_IN || record.section == Section::Authority => Edit::Keep,
            rtype::A | rtype::AAAA => edit_address(message, record, scope, &chain, assigner)?,
            rtype::HTTPS | rtype::SVCB => edit_service(message, record, scope, &chain)?,
            _ => Edit::Keep,
        };
        edits.push(edit);
    }
    remove_stale_signatures(message, scope, &chain, &mut edits)?;
    Ok(edits)
}

fn edit_address(
    message: &Message<'_>,
    record: &Record,
    scope: &Scope<'_>,
    chain: &Chain,
    assigner: &mut Assigner<'_>,
) -> Result<Edit, RewriteError> {
    let (granted, name) = match owner_of(message, record, scope, chain)? {
        Owner::Foreign => return Ok(Edit::Keep),
        Owner::Elsewhere => return Ok(assigner.withhold()),
        Owner::Mapped(granted, name) => (granted, name),
    };
    let real = address_of(message, record)?;
    if !assigner.pool.may_map(real) || !scope.zones.reaches(granted.gateway, real) {
        return Ok(assigner.withhold());
    }
    Ok(match assigner.assign(granted, &name, real, record.ttl)? {
        IpAddr::V4(address) => Edit::Data(address.octets().to_vec()),
        IpAddr::V6(address) => Edit::Data(address.octets().to_vec()),
    })
}

/// Address hints would lead around the mapping. A record whose parameters cannot be read is left out: clients then
/// do without it.
fn edit_service(
    message: &Message<'_>,
    record: &Record,
    scope: &Scope<'_>,
    chain: &Chain,
) -> Result<Edit, RewriteError> {
    match owner_of(message, record, scope, chain)? {
        Owner::Foreign => Ok(Edit::Keep),
        Owner::Elsewhere => Ok(Edit::Remove),
        Owner::Mapped(_, _) => Ok(service::without_address_hints(message, record)),
    }
}

/// Removes the signatures of address records that are mapped, and of all sets that were changed otherwise.
fn remove_stale_signatures(
    message: &Message<'_>,
    scope: &Scope<'_>,
    chain: &Chain,
    edits: &mut [Edit],
) -> Result<(), RewriteError> {
    let hints_changed = message
        .records
        .iter()
        .zip(edits.iter())
        .any(|(record, edit)| matches!(record.rtype, rtype::HTTPS | rtype::SVCB) && *edit != Edit::Keep);
    for (index, record) in message.records.iter().enumerate() {
        if record.rtype != rtype::RRSIG || record.section == Section::Authority {
            continue;
        }
        let stale = match be16(message.bytes, record.data.start).filter(|_| record.data.len() >= 2) {
            Some(rtype::A | rtype::AAAA) => true,
            Some(rtype::HTTPS | rtype::SVCB) => hints_changed,
            Some(_) | None => false,
        };
        if stale && !matches!(owner_of(message, record, scope, chain)?, Owner::Foreign) {
            edits[index] = Edit::Remove;
        }
    }
    Ok(())
}

fn owner_of(
    message: &Message<'_>,
    record: &Record,
    scope: &Scope<'_>,
    chain: &Chain,
) -> Result<Owner, RewriteError> {
    let owner = read_name(message.bytes, record.owner)?.to_lowercase();
    if let Some(granted) = scope.grant
        && record.section == Section::Answer
        && chain.contains(&owner)
    {
        return Ok(Owner::Mapped(granted, text_of(scope.name)));
    }
    let Some(target) = scope.zones.target(owner.as_bytes()) else { return Ok(Owner::Foreign) };
    let Some(granted) = target.grant else { return Ok(Owner::Foreign) };
    let same_way = target.via == crate::upstream::Via::Gateway(scope.gateway);
    Ok(if same_way { Owner::Mapped(granted, text_of(owner.as_bytes())) } else { Owner::Elsewhere })
}

fn text_of(name: &[u8]) -> Arc<str> {
    Name::from_wire(name).to_string().into()
}

fn address_of(message: &Message<'_>, record: &Record) -> Result<IpAddr, RewriteError> {
    let data = &message.bytes[record.data.clone()];
    let address = if record.rtype == rtype::A {
        <[u8; 4]>::try_from(data).map(|octets| Ipv4Addr::from(octets).into())
    } else {
        <[u8; 16]>::try_from(data).map(|octets| Ipv6Addr::from(octets).into())
    };
    address.map_err(|_| RewriteError::Malformed)
}

fn patch(message: &Message<'_>, edits: &[Edit]) -> Vec<u8> {
    let mut bytes = message.bytes.to_vec();
    for (record, edit) in message.records.iter().zip(edits) {
        if let Edit::Data(data) = edit {
            bytes[record.data.clone()].copy_from_slice(data);
        }
    }
    bytes
}

impl Assigner<'_> {
    fn withhold(&mut self) -> Edit {
        self.withheld += 1;
        Edit::Remove
    }

    fn assign(
        &mut self,
        granted: Granted,
        name: &Arc<str>,
        real: IpAddr,
        ttl: u32,
    ) -> Result<IpAddr, RewriteError> {
        if self.mappings.len() >= MAX_MAPPINGS {
            return Err(RewriteError::Pool(PoolError::Exhausted));
        }
        let assigned = self.pool.assign(granted, name, real, ttl, self.wall).map_err(RewriteError::Pool)?;
        let virtual_address = assigned.virtual_address;
        if assigned.unannounced {
            let (gateway, grant) = (granted.gateway, granted.grant);
            self.mappings.push_back(Mapping { virtual_address, real, gateway, grant, name: name.clone() });
        }
        Ok(virtual_address)
    }
}

impl From<Malformed> for RewriteError {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}
