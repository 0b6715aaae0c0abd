// Connection: what can be reached, each gateway with its last proven round trip and throughput, and what was changed.

import { sparkline } from './chart.js';
import { h } from './dom.js';
import { ago, at, bytes, duration, milliseconds, rate } from './format.js';
import { samplesOf } from './history.js';
import { countAccess } from './model.js';
import { badge, copyable, facts, note, rich, section, sentence, table, timeOf } from './parts.js';
import { state } from './store.js';
import { text, words } from './strings.js';
import { show } from './tabs.js';

/** Least tops of the charts' scales: 10 kB/s and 10 ms, below which changes mean nothing to a person. */
const LEAST_RATE = 10_000;
const LEAST_ROUND_TRIP = 10;

const COLOURS = { connected: 'green', connecting: 'yellow', lost: 'red', failed: 'red', disconnected: 'gray' };

/** Names of the virtual addresses that are listed at once. */
const MOST_NAMES = 100;

/** The section. */
export function connection(now) {
  const { status } = state;
  return [
    summary(status, now),
    section(text.gateways, status.gateways.length === 0
      ? note('empty', text.noGatewaysTitle, rich(text.noGateways))
      : [h('p', { class: 'label aside' }, text.fiveMinutes), h('div', { class: 'gateways' }, status.gateways.map((gateway) => card(gateway, now)))]),
    h('div', { class: 'columns' }, h('div', { class: 'stack' }, names(status), status.proxies ? proxies(status.proxies) : null), changes(status)),
  ];
}

/** The three questions' short answers. */
function summary(status, now) {
  const device = state.device ?? status.device;
  const counts = countAccess(status, now);
  const reach = [
    [counts.available, text.reachAvailable], [counts.refused, text.reachRefused], [counts.waiting, text.reachWaiting],
  ].filter(([count]) => count > 0).map(([count, words], index) => words(count, index === 0)).join(', ');
  return h('div', { class: 'summary' },
    fact(text.reachTitle, reach || text.reachNone, 'applications'),
    device ? fact(text.deviceTitle, deviceWords(device), 'device') : null,
    fact(text.sessionTitle, timeOf(status.since, text.since(at(status.since, now), duration((now - Date.parse(status.since)) / 1_000)))));
}

function fact(label, value, tab) {
  const content = [h('span', { class: 'label' }, label), h('span', { class: 'value' }, value)];
  return tab
    ? h('button', { key: label, type: 'button', class: 'fact', onclick: () => show(tab) }, content)
    : h('div', { key: label, class: 'fact' }, content);
}

function deviceWords({ state: found, message }) {
  return message ?? { passed: text.devicePassed, failed: text.deviceFailed, unknown: text.deviceUnknown, off: text.deviceOffTitle }[found];
}

function card(gateway, now) {
  return h('article', { key: gateway.name, class: 'card gateway' },
    h('header', null,
      h('h3', null, gateway.name),
      badge(COLOURS[gateway.state], words.gateway[gateway.state]),
      h('span', { class: 'path' }, text.udpPath(gateway.endpoint))),
    gateway.error ? note('bad', null, sentence(gateway.error)) : null,
    h('div', { class: 'charts' }, roundTrip(gateway, now), throughput(gateway)),
    h('details', null,
      h('summary', null, text.details(gateway.name)),
      details(gateway)));
}

function roundTrip(gateway, now) {
  const values = samplesOf(gateway.name).map((sample) => sample?.roundTrip ?? null);
  const known = values.filter((value) => value !== null);
  const last = gateway.last_round_trip_ms;
  const label = known.length && last !== null ? text.roundTripChart(milliseconds(last), milliseconds(Math.max(...known))) : text.chartEmpty;
  const proven = gateway.last_proven_at
    ? timeOf(gateway.last_proven_at, text.roundTripProven(ago(gateway.last_proven_at, now)))
    : text.roundTripNone;
  return h('div', { class: 'chart' },
    h('p', null, h('span', { class: 'label' }, text.roundTrip), h('strong', null, last === null ? text.none : milliseconds(last)), h('span', { class: 'label' }, proven)),
    sparkline(label, [{ kind: 'round-trip', values }], LEAST_ROUND_TRIP));
}

function throughput(gateway) {
  const samples = samplesOf(gateway.name);
  const values = (name) => samples.map((sample) => sample?.[name] ?? null);
  const [received, sent] = [values('received'), values('sent')];
  const last = samples.at(-1) ?? { received: 0, sent: 0 };
  const peak = Math.max(0, ...received, ...sent);
  const label = samples.length ? text.throughputChart(rate(last.received), rate(last.sent), rate(peak)) : text.chartEmpty;
  return h('div', { class: 'chart' },
    h('p', null,
      h('span', { class: 'label' }, text.throughput),
      h('strong', { class: 'received' }, rate(last.received)), h('span', { class: 'label' }, text.received),
      h('strong', { class: 'sent' }, rate(last.sent)), h('span', { class: 'label' }, text.sent)),
    sparkline(label, [{ kind: 'received', values: received }, { kind: 'sent', values: sent }], LEAST_RATE));
}

function details(gateway) {
  const { path_mtu: size, handshake_age_s: age } = gateway;
  const packet = size && (size.known === 'probed' ? text.packetSizeOf(size.inner, size.outer) : text.packetAssumed);
  return facts([
    [text.path, text.udpPath(gateway.endpoint)],
    [text.otherPaths, gateway.endpoints?.filter((endpoint) => endpoint !== gateway.endpoint).join(', ')],
    [text.keys, age === null ? null : text.keysAge(duration(age))],
    [text.total, text.totalOf(bytes(gateway.bytes_received), bytes(gateway.bytes_sent))],
    [text.packetSize, packet],
    [text.ourKey, copyable(gateway.public_key)],
  ]);
}

function names({ dns, carrier }) {
  const list = state.dns?.names ?? [];
  const rows = list.slice(0, MOST_NAMES).map(({ name, virtual, real, gateway }) => ({ key: `${virtual} ${name}`, cells: [name, virtual, `${real} (${gateway})`] }));
  return section(text.names,
    dns.mode === 'off' ? h('p', { class: 'muted' }, text.dnsOff) : facts([
      [text.dnsMode, text.dnsModeOf(dns.mode, dns.state)],
      [text.resolver, dns.resolver],
      [text.zones, dns.zones],
      [text.otherNames, dns.physical_servers.join(', ')],
      [text.carrier, carrier],
    ]),
    dns.note ? note('warn', null, rich(dns.note)) : null,
    rows.length === 0 ? null : h('details', null,
      h('summary', null, text.virtualNames(state.dns.total ?? list.length)),
      table(text.names, [text.name, text.virtualAddress, text.realAddress], rows, 'plain')));
}

function proxies({ ports, connections, accepted }) {
  const shown = ports.map(({ serves, address, error }) => [serves, address ?? rich(error)]);
  return section(text.proxies, facts(shown), h('p', { class: 'muted' }, text.proxyUse(connections, accepted)));
}

function changes({ system_changes: list }) {
  if (list.length === 0) return section(text.changes, h('p', { class: 'muted' }, text.changesNone));
  return section(text.changes,
    h('ul', { class: 'plain' }, list.map((change) => h('li', { key: change }, sentence(change)))),
    h('p', { class: 'muted' }, text.changesUndo), copyable(text.changesUndoCommand),
    h('p', { class: 'muted' }, text.changesCrash), copyable(text.changesCrashCommand));
}
