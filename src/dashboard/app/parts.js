// Parts that several sections use: shapes of states, rich text, lists of facts, tables, notes, copying.

import { h } from './dom.js';
import { text } from './strings.js';

/** The shapes of the contract's colours, so that nothing is said by colour alone. */
const SHAPES = {
  green: ['circle', { cx: 8, cy: 8, r: 7 }],
  yellow: ['path', { d: 'M8 1.2 15.4 14.4H.6z' }],
  red: ['rect', { x: 1.5, y: 1.5, width: 13, height: 13, rx: 1.5 }],
  gray: ['circle', { class: 'ring', cx: 8, cy: 8, r: 5.75 }],
};

/** ● ▲ ■ ○ in its colour; it stands beside a word that says the same. */
export function shape(colour) {
  const [tag, attributes] = SHAPES[colour];
  return h('svg', { class: `shape ${colour}`, viewBox: '0 0 16 16', 'aria-hidden': 'true' }, h(tag, attributes));
}

/** A shape with its word. */
export const badge = (colour, word) => h('span', { class: 'badge' }, shape(colour), h('span', null, word));

/** Text with what stands between backticks as code. */
export function rich(sentence) {
  return String(sentence ?? '').split('`').map((part, index) => (index % 2 ? h('code', { key: `c${index}` }, part) : part));
}

/** A sentence of the service, which begins small, as people write it. */
export const sentence = (said) => rich(said.charAt(0).toUpperCase() + said.slice(1));

/** Labels and values; without a value a pair is left out. */
export function facts(pairs) {
  const given = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '');
  return h('dl', { class: 'facts' }, given.map(([label, value]) => h('div', { key: label }, h('dt', null, label), h('dd', null, value))));
}

/** Something that is missing, failed or empty: what it is, why, and what can be done. */
export function note(kind, title, body, action) {
  return h('div', { class: `note ${kind}` }, title && h('h2', null, title), body && h('p', null, body), action);
}

/** A table that becomes cards on a phone. Rows: `{ key, cells }`; roles are said again, since cards are no table to CSS. */
export function table(label, columns, rows, kind = '') {
  const head = columns.map((column) => h('th', { key: column, role: 'columnheader', scope: 'col' }, column));
  const body = rows.map(({ key, cells }) => h('tr', { key, role: 'row' }, cells.map((cell, index) => (
    h('td', { key: columns[index], role: 'cell', 'data-label': columns[index] }, h('div', null, cell))
  ))));
  return h('table', { class: kind, role: 'table', 'aria-label': label },
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, head)),
    h('tbody', { role: 'rowgroup' }, body));
}

/** A heading with what belongs to it. */
export function section(title, ...content) {
  return h('section', { key: title }, h('h2', null, title), content);
}

/** A command or key with a button that copies it. */
export function copyable(value) {
  return h('span', { class: 'copyable' }, h('code', null, value), copyButton(() => value, text.copy, value));
}

/** A button that copies what `content` gives, and says so. */
export function copyButton(content, label, what, kind = 'quiet') {
  return h('button', { type: 'button', class: kind, 'aria-label': what ? `${label}: ${what}` : null, onclick: (event) => copy(event.currentTarget, content(), label) }, label);
}

/** How long a button says that it copied, in milliseconds: long enough to be read. */
const SAID_MS = 1_600;

async function copy(button, content, label) {
  const done = await navigator.clipboard.writeText(content).then(() => true, () => false);
  announce(done ? text.copied : text.copyFailed);
  if (!done) return;
  button.firstChild.data = text.copied;
  setTimeout(() => { button.firstChild.data = label; }, SAID_MS);
}

/** Says something to a screen reader. */
export function announce(sentence) {
  const place = document.getElementById('announcer');
  place.textContent = '';
  requestAnimationFrame(() => { place.textContent = sentence; });
}

/** A time that shows its exact instant when pointed at. */
export const timeOf = (instant, shown) => h('time', { datetime: instant, title: instant }, shown);
