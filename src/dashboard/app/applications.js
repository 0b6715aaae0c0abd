// Applications: a list to search, each with its state and the reason for it.

import { h } from './dom.js';
import { ago, count } from './format.js';
import { accessOf, lastUse } from './model.js';
import { badge, note, rich, table, timeOf } from './parts.js';
import { change, state } from './store.js';
import { text, words } from './strings.js';

/** How many more are shown at a time: a long list is searched, not read. */
const PAGE = 100;

const COLOURS = { available: 'green', waiting: 'yellow', refused: 'red' };
const view = { query: '', kind: 'all', shown: PAGE };

/** The section. */
export function applications(now) {
  const { status } = state;
  const all = status.applications.map((application) => ({ application, access: accessOf(application, status, now) }));
  if (all.length === 0) return note('empty', text.noApplicationsTitle, text.noApplications);
  const matching = all.filter(({ application }) => matches(application, view.query));
  const found = matching.filter(({ access }) => view.kind === 'all' || access.kind === view.kind);
  return [
    tools(matching),
    found.length === 0 ? nothing() : [
      table(words.tab.applications, COLUMNS, found.slice(0, view.shown).map((each) => row(each, now)), 'applications'),
      more(found.length, all.length),
    ],
  ];
}

const COLUMNS = [text.application, text.host, text.ports, text.access, text.flows, text.lastUsed];

function set(part) {
  Object.assign(view, { shown: PAGE }, part);
  change({});
}

function matches({ name, description, hosts, ports }, query) {
  const wanted = query.trim().toLowerCase();
  return wanted === '' || [name, description ?? '', ...hosts, ...ports].some((value) => value.toLowerCase().includes(wanted));
}

function tools(matching) {
  const number = (kind) => matching.filter(({ access }) => access.kind === kind).length;
  const kinds = [
    ['all', text.all, matching.length],
    ['available', text.available, number('available')],
    ['waiting', text.waiting, number('waiting')],
    ['refused', words.access.blocked, number('refused')],
  ];
  const shown = kinds.filter(([kind, , count]) => kind === 'all' || kind === 'available' || count > 0 || kind === view.kind);
  return h('div', { class: 'tools' },
    h('input', { type: 'search', id: 'search', value: view.query, placeholder: text.searchHint, 'aria-label': text.search, autocomplete: 'off', spellcheck: 'false', oninput: (event) => set({ query: event.target.value }) }),
    h('div', { class: 'chips', role: 'group', 'aria-label': text.access }, shown.map(([kind, label, number]) => (
      h('button', { key: kind, type: 'button', class: 'chip', 'aria-pressed': String(view.kind === kind), onclick: () => set({ kind }) }, label, ' ', h('span', { class: 'number' }, count(number)))
    ))));
}

function row({ application, access }, now) {
  const { name, description, ports, flows, last_refusal: refusal } = application;
  const used = flows > 0 ? null : lastUse(application, state.events);
  const cells = [
    [h('strong', null, name), description ? h('span', { class: 'under' }, description) : null],
    hosts(application),
    h('span', { class: 'ports' }, ports.join(', ')),
    [
      badge(COLOURS[access.kind], access.word ?? { available: text.available, waiting: text.waiting }[access.kind]),
      access.reason ? h('span', { class: 'under' }, rich(access.reason)) : null,
      refusal ? h('span', { class: 'under' }, text.refusedAgo(refusal.destination?.split(' ')[0] ?? '', ago(refusal.at, now))) : null,
    ],
    h('span', { class: flows ? 'figure' : 'figure muted' }, count(flows)),
    flows > 0 ? text.inUse : used ? timeOf(used, ago(used, now)) : h('span', { class: 'muted' }, text.none),
  ];
  return { key: name, cells };
}

function hosts(application) {
  const { hosts, host_count: number } = application;
  const rest = number - hosts.length;
  return h('span', { class: 'hosts' },
    hosts.map((host) => {
      const address = pageOf(application, host);
      return address
        ? h('a', { key: host, href: address, target: '_blank', rel: 'noreferrer noopener', title: text.opens(application.name) }, host)
        : h('span', { key: host }, host);
    }),
    rest > 0 ? h('span', { key: '…', class: 'muted' }, text.moreHosts(count(rest))) : null);
}

/** Where a browser opens it: what the administrator says, else a name with a web server's port. */
function pageOf({ url, ports, hosts }, host) {
  if (url && host === hosts[0]) return /^https?:\/\//.test(url) ? url : null;
  if (/[*/]/.test(host) || host.includes(':')) return null;
  if (ports.includes('tcp/443')) return `https://${host}/`;
  return ports.includes('tcp/80') ? `http://${host}/` : null;
}

function more(found, all) {
  const shown = Math.min(view.shown, found);
  return h('div', { class: 'more' },
    h('p', { class: 'muted', role: 'status' }, text.showing(shown, found, all)),
    shown < found
      ? h('button', { type: 'button', onclick: () => set({ shown: view.shown + PAGE }) }, text.showMore(Math.min(PAGE, found - shown)))
      : null);
}

function nothing() {
  const clear = h('button', { type: 'button', onclick: () => set({ query: '', kind: 'all' }) }, text.clearSearch);
  return note('empty', text.noMatchTitle, view.query ? text.noMatch(view.query) : null, clear);
}
