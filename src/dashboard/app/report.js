// The report for the IT team as plain text: what a colleague needs to see, without secrets and without other traffic.

import { accessOf, refusals } from './model.js';
import { instant } from './format.js';
import { words } from './strings.js';

/** Events and refusals that are told. */
const MOST = 20;

/** The text; `now` in milliseconds. */
export function report({ status, device, events }, now) {
  const w = words.report;
  const broken = status.applications
    .map((application) => [application, accessOf(application, status, now)])
    .filter(([, access]) => access.kind !== 'available');
  return [
    `OpenZTNA Client Connector`,
    line(w.made, instant(now)),
    line(w.version, status.version),
    line(w.state, `${status.state} (${status.colour}), ${status.since}`),
    line(w.message, status.message),
    line(w.hint, status.hint),
    line(w.system, device?.system && Object.values(device.system).filter((value) => value !== device.system.hostname).join(' ')),
    list(w.device, (device?.checks ?? []).map(({ title, state, seen, reason }) => `${title}: ${state}${seen ? `: ${seen}` : ''}${reason ? ` (${reason})` : ''}`)),
    list(w.gateways, status.gateways.map(gateway)),
    line(w.allApplications, status.applications.length),
    list(w.applications, broken.slice(0, MOST).map(([{ name }, { reason }]) => `${name}: ${reason ?? ''}`)),
    list(w.refusals, refusals(status, events).slice(0, MOST).map(({ at, application, destination, text }) => [at, application, destination, text].filter(Boolean).join(' · '))),
    line(w.dns, `${status.dns.mode} (${status.dns.state})${status.dns.note ? `: ${status.dns.note}` : ''}`),
    list(w.changes, status.system_changes),
    list(w.warnings, status.warnings),
    list(w.events, events.slice(0, MOST).map(({ at, kind, message }) => `${at} ${kind}: ${message}`)),
  ].filter((part) => part !== null).join('\n');
}

function gateway({ name, state, endpoint, last_proven_at: at, last_round_trip_ms: time, error }) {
  const proven = at ? `${at}${time === null ? '' : ` (${time.toFixed(1)} ms)`}` : null;
  return [`${name}: ${state}`, endpoint, proven, error].filter(Boolean).join(' · ');
}

const line = (label, value) => (value === null || value === undefined ? null : `${label}: ${value}`);

function list(label, items) {
  return items.length === 0 ? `${label}: ${words.report.none}` : [`${label}:`, ...items.map((item) => `  - ${item}`)].join('\n');
}
