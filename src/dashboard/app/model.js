// What the facts mean to a person: the overall state with its cause and what to do, and the state of each application.

import { text, words } from './strings.js';
import { at } from './format.js';

/** Colour, word, cause and the one action of the header. */
export function overall(state, now) {
  const { status, device } = state;
  if (state.link === 'stale') return { colour: 'gray', word: text.serviceGone, action: 'retry' };
  if (!status) return { colour: 'gray', word: text.loading, cause: '', action: null };
  const cause = causeOf(status, device ?? status.device);
  return { colour: status.colour, word: wordOf(status, device ?? status.device), ...cause, action: actionOf(status, device ?? status.device) };
}

function wordOf(status, device) {
  if (status.state === 'connecting') return text.connecting;
  if (status.state === 'blocked' && device?.state === 'unknown') return text.checkingDevice;
  if (status.colour !== 'red') return words.colour[status.colour];
  return status.state === 'blocked' || device?.state === 'failed' ? text.securityIssues : text.notConnected;
}

/** The sentence that matters most, and a hint; further warnings are counted. */
function causeOf(status, device) {
  const isUp = status.state !== 'disconnected';
  if (isUp && device?.state === 'failed' && device.message) return { cause: device.message, hint: null };
  if (status.state === 'connected' && status.colour === 'yellow' && status.warnings.length > 0) {
    const [cause, hint] = split(status.warnings[0]);
    const more = status.warnings.length - 1;
    return { cause: more ? text.andMore(cause, more) : cause, hint };
  }
  return { cause: status.message, hint: status.hint ?? null };
}

function actionOf(status, device) {
  if (status.state === 'disconnected') return 'connect';
  if (status.state === 'blocked' && device?.state === 'unknown') return null;
  if (device?.state === 'failed' || status.state === 'blocked') return 'fix';
  if (status.gateways.length === 0) return null;
  if (status.state === 'failed') return 'reconnect';
  return status.state === 'connecting' ? 'cancel' : 'disconnect';
}

/** A sentence of the service and its hint. */
export function split(sentence) {
  const [said, hint] = sentence.split('; hint: ');
  return [said, hint ?? null];
}

/** `available`, `waiting` or `refused`, with the reason in words. */
export function accessOf(application, status, now) {
  if (status.state === 'disconnected') return { kind: 'waiting', reason: text.becauseDisconnected };
  if (application.state !== 'available') {
    const [word, why] = /^(\w+): (.*)$/s.exec(application.state)?.slice(1) ?? [application.state, ''];
    return { kind: 'refused', word: words.access[word] ?? word, reason: application.reason ?? words.why[why] ?? why };
  }
  const gateway = status.gateways.find(({ name }) => name === application.gateway);
  if (status.state === 'blocked') return { kind: 'refused', word: words.access.blocked, reason: status.message };
  if (!gateway || gateway.state === 'connected') return { kind: 'available', reason: text.throughGateway(application.gateway) };
  return { kind: 'waiting', reason: gatewayReason(gateway, now) };
}

function gatewayReason(gateway, now) {
  if (gateway.state === 'connecting') return text.gatewayConnecting(gateway.name);
  if (!gateway.last_proven_at) return text.gatewayNever(gateway.name);
  return text.gatewaySince(gateway.name, at(gateway.last_proven_at, now));
}

/** How many applications can be used, and how many there are. */
export function countAccess(status, now) {
  const counts = { available: 0, waiting: 0, refused: 0 };
  for (const application of status.applications) counts[accessOf(application, status, now).kind] += 1;
  return counts;
}

/** When an application was last used: now while it has flows, or its latest event that is no refusal. */
export function lastUse(application, events) {
  const used = (event) => ['access.allowed', 'access.ended'].includes(event.kind) && event.fields?.application === application.name;
  return events.find(used)?.at ?? null;
}

/** Refusals, newest first, from events and from what applications remember, each once. */
export function refusals(status, events) {
  const found = events.filter(({ kind }) => kind === 'access.refused').map(({ id, at: when, message, fields = {} }) => ({
    id,
    at: when,
    application: fields.application,
    destination: destinationOf(fields),
    reason: fields.reason,
    text: message,
  }));
  const told = new Set(found.map(({ application }) => application));
  for (const { name, last_refusal: refusal } of status?.applications ?? []) {
    if (refusal && !told.has(name)) found.push({ id: name, application: name, ...refusal });
  }
  return found.sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
}

function destinationOf({ protocol, destination_port: port, destination_host: host, destination_address: address }) {
  const where = host ?? address;
  if (!where) return null;
  return protocol && port ? text.portAt(`${protocol}/${port}`, where) : where;
}
