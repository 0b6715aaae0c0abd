// Troubleshooting: what was refused and what would change it, warnings, what happened, and a report to copy.

import { h } from './dom.js';
import { ago, count } from './format.js';
import { refusals, split } from './model.js';
import { badge, copyButton, note, rich, section, sentence, shape, table, timeOf } from './parts.js';
import { report } from './report.js';
import { state } from './store.js';
import { text, words } from './strings.js';

/** Refusals and events that are shown. */
const MOST = 30;

const COLOURS = { debug: 'gray', info: 'green', warn: 'yellow', error: 'red' };

/** The section. */
export function troubleshooting(now) {
  const { status, events } = state;
  return [
    refused(refusals(status, events).slice(0, MOST), now),
    status.warnings.length ? section(text.warnings, status.warnings.map(warning)) : null,
    reported(now),
    happened(events.filter(({ kind }) => !kind.startsWith('access.')).slice(0, MOST), now),
    counters(status.drops),
    status.not_effective.length ? section(text.notEffective, h('p', { class: 'muted wrap' }, status.not_effective.map((key) => [h('code', { key }, key), ' ']))) : null,
  ];
}

function refused(list, now) {
  if (list.length === 0) return section(text.refusals, note('empty', text.refusalsNoneTitle, text.refusalsNone));
  const cards = list.map(({ id, at, application, destination, reason, text: why }) => h('article', { key: id, class: 'card refusal' },
    h('header', null, shape('red'), h('h3', null, [application, destination].filter(Boolean).join(' · ')), timeOf(at, ago(at, now))),
    h('p', null, sentence(why)),
    h('p', { class: 'remedy' }, h('span', { class: 'label' }, text.wouldChange), h('span', null, words.remedy[reason] ?? text.noReason))));
  return section(text.refusals, h('div', { class: 'refusals' }, cards));
}

function warning(whole) {
  const [said, hint] = split(whole);
  return h('div', { key: whole, class: 'note warn' }, h('p', null, sentence(said)), hint ? h('p', { class: 'hint' }, rich(text.hint(hint))) : null);
}

function reported(now) {
  const content = report(state, now);
  return section(text.report,
    h('p', { class: 'muted' }, text.reportAbout),
    h('pre', { class: 'report', id: 'report', tabIndex: 0, role: 'region', 'aria-label': text.report }, content),
    copyButton(() => content, text.reportCopy, null, 'primary'));
}

function happened(events, now) {
  const rows = events.map(({ id, at, severity, message }) => h('li', { key: id }, badge(COLOURS[severity], sentence(message)), timeOf(at, ago(at, now))));
  return section(text.happened, rows.length ? h('ul', { class: 'events' }, rows) : h('p', { class: 'muted' }, text.happenedNone));
}

function counters(drops) {
  const names = Object.keys(drops);
  if (names.length === 0) return null;
  return section(text.counters, h('details', null,
    h('summary', null, text.packetsInAll(count(names.reduce((sum, name) => sum + drops[name], 0)))),
    table(text.counters, [text.reasonCode, text.packets], names.map((name) => ({ key: name, cells: [h('code', null, name), count(drops[name])] })), 'plain')));
}
