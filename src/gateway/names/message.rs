//! DNS messages: read, answered from our own knowledge, or passed on without what would lead around the gateway.

use std::net::IpAddr;

use hickory_resolver::proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::svcb::{SVCB, SvcParamKey};
use hickory_resolver::proto::rr::rdata::{A, AAAA, PTR};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::gateway::upstream::DATAGRAM;

/// What a UDP client without EDNS takes, in bytes (RFC 1035 section 4.2.1).
const PLAIN: u16 = 512;

/// A query; `None` for what is none, which is not answered.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    let message = Message::from_vec(bytes).ok()?;
    (message.metadata.message_type == MessageType::Query).then_some(message)
}

/// The only question of a query, or the code it is refused with.
pub(super) fn question(query: &Message) -> Result<&Query, ResponseCode> {
    if query.metadata.op_code != OpCode::Query {
        return Err(ResponseCode::NotImp);
    }
    match query.queries.as_slice() {
        [question] if question.query_class == DNSClass::IN => Ok(question),
        [_] => Err(ResponseCode::Refused),
        [] | [..] => Err(ResponseCode::FormErr),
    }
}

/// A name in lower case, without the dot at its end.
pub(super) fn text(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').map(str::to_owned).unwrap_or(text)
}

/// The address whose name is asked for.
pub(super) fn reverse(question: &Query) -> Option<IpAddr> {
    let network = question.name.parse_arpa_name().ok()?;
    let width = if network.addr().is_ipv4() { 32 } else { 128 };
    (question.query_type == RecordType::PTR && network.prefix_len() == width).then(|| network.addr())
}

/// An answer without records.
pub(super) fn reply(query: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&query.metadata);
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = code;
    reply.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(DATAGRAM);
        reply.set_edns(edns);
    }
    reply
}

/// The real addresses of an answer, of the family that was asked for.
pub(super) fn addresses(query: &Message, found: &Message) -> Vec<IpAddr> {
    let is_ipv6 = query.queries.iter().any(|question| question.query_type == RecordType::AAAA);
    let records = found.answers.iter().filter(|record| record.dns_class == DNSClass::IN);
    records
        .filter_map(|record| record.data.ip_addr())
        .filter(|address| address.is_ipv6() == is_ipv6)
        .collect()
}

/// How long an answer may be believed: as long as the briefest of its records.
pub(super) fn ttl(found: &Message) -> u32 {
    found.answers.iter().map(|record| record.ttl).min().unwrap_or(0)
}

/// The name's only address.
pub(super) fn with_address(query: &Message, address: IpAddr, ttl: u32) -> Message {
    let data = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    with_record(query, ttl, data)
}

/// The address's only name.
pub(super) fn with_name(query: &Message, name: &str, ttl: u32) -> Message {
    match Name::from_ascii(format!("{name}.")) {
        Ok(name) => with_record(query, ttl, RData::PTR(PTR(name))),
        Err(_) => reply(query, ResponseCode::NXDomain),
    }
}

/// That there is no such name, or no such record, and for how long that may be believed (RFC 2308 section 5).
pub(super) fn without_answer(query: &Message, found: &Message) -> Message {
    let mut reply = reply(query, found.metadata.response_code);
    let proof = found.authorities.iter().filter(|record| record.record_type() == RecordType::SOA);
    reply.add_authorities(proof.cloned());
    reply
}

/// Records of other types as they came; addresses and hints at addresses would lead nowhere and are left out, and so
/// are signatures, which no longer fit.
pub(super) fn pass_on(query: &Message, found: Message) -> Message {
    let mut reply = without_answer(query, &found);
    reply.add_answers(found.answers.into_iter().filter_map(fit_record));
    reply
}

/// The message's bytes; over UDP one that is too long only says that it is.
pub(super) fn fit(query: &Message, answer: &Message, limit: Option<usize>) -> Option<Vec<u8>> {
    let bytes = answer.to_vec().ok()?;
    let Some(limit) = limit else { return Some(bytes) };
    let asked = query.edns.as_ref().map_or(PLAIN, Edns::max_payload).clamp(PLAIN, DATAGRAM);
    if bytes.len() <= limit.min(usize::from(asked)) {
        return Some(bytes);
    }
    answer.truncate().to_vec().ok()
}

fn with_record(query: &Message, ttl: u32, data: RData) -> Message {
    let mut reply = reply(query, ResponseCode::NoError);
    if let Some(question) = query.queries.first() {
        reply.add_answer(Record::from_rdata(question.name.clone(), ttl, data));
    }
    reply
}

fn fit_record(mut record: Record) -> Option<Record> {
    if [RecordType::A, RecordType::AAAA, RecordType::RRSIG].contains(&record.record_type()) {
        return None;
    }
    if let RData::HTTPS(service) = &mut record.data {
        strip_hints(&mut service.0)?;
    }
    if let RData::SVCB(service) = &mut record.data {
        strip_hints(service)?;
    }
    Some(record)
}

/// `None`: the record says that clients must know the hints (RFC 9460 section 8).
fn strip_hints(service: &mut SVCB) -> Option<()> {
    use hickory_resolver::proto::rr::rdata::svcb::SvcParamValue::Mandatory;
    let is_hint = |key: &SvcParamKey| [SvcParamKey::Ipv4Hint, SvcParamKey::Ipv6Hint].contains(key);
    let wants_hints = |value: &_| matches!(value, Mandatory(keys) if keys.0.iter().any(is_hint));
    if service.svc_params.iter().any(|(_, value)| wants_hints(value)) {
        return None;
    }
    service.svc_params.retain(|(key, _)| !is_hint(key));
    Some(())
}
