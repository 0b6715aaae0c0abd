// The page: puts header, tabs and the shown section together, and draws them when something changed.

import { connection } from './connection.js';
import { h, render } from './dom.js';
import { paint } from './favicon.js';
import { bar, header, problem } from './header.js';
import { sample } from './history.js';
import { look, start } from './live.js';
import { overall } from './model.js';
import { badge, copyable, note, rich } from './parts.js';
import { change, state, subscribe } from './store.js';
import { text } from './strings.js';
import { followAddress, tabs } from './tabs.js';

/** The sections that are here; the others come when the state is shown, which is what a person waits for. */
const sections = { connection };
let attend = () => {};
const app = document.getElementById('app');

const announcer = document.createElement('div');
announcer.id = 'announcer';
announcer.className = 'only-heard';
announcer.setAttribute('role', 'status');
document.body.append(announcer);

function draw() {
  const now = Date.now();
  const seen = overall(state, now);
  document.title = state.session === 'ready' ? text.title(seen.word) : text.product;
  paint(seen.colour);
  attend(state.session === 'ready' && state.tab === 'logs' && state.link !== 'stale' && !document.hidden);
  render(app, state.session === 'ready' || state.session === 'loading' ? page(now) : [h('header', { class: 'top' }, bar()), outside()]);
  markUseful();
}

/** When the state is on the page for the first time: noted for measurements, and the rest is loaded. */
function markUseful() {
  if (!state.status || performance.getEntriesByName('useful').length > 0) return;
  performance.mark('useful');
  loadOthers();
}

async function loadOthers() {
  const [{ applications }, { device }, log, { troubleshooting }] = await Promise.all([
    import('./applications.js'), import('./device.js'), import('./logs.js'), import('./troubleshooting.js'),
  ]);
  Object.assign(sections, { applications, device, logs: log.logs, troubleshooting });
  attend = log.attend;
  change({});
}

function page(now) {
  return [
    h('a', { key: 'skip', class: 'skip', href: '#panel', onclick: skip }, text.skip),
    h('header', { key: 'top', class: 'top' }, bar(), header(now)),
    h('nav', { key: 'tabs', class: 'nav' }, tabs(marks()), reminder(now)),
    h('main', { key: 'main', class: state.link === 'stale' ? 'was' : '' },
      problem(),
      h('div', { key: 'panel', id: 'panel', role: 'tabpanel', tabIndex: -1, 'aria-labelledby': `tab-${state.tab}` },
        state.link === 'stale' && state.status ? h('p', { key: 'was', class: 'muted' }, text.staleNote) : null,
        state.status ? h('div', { key: state.tab, class: 'section' }, sections[state.tab]?.(now) ?? skeleton()) : skeleton())),
  ];
}

/** Numbers beside the names of sections: what failed there. */
function marks() {
  const failed = state.device?.checks?.filter((check) => check.required && check.state !== 'passed').length ?? 0;
  return { device: failed, troubleshooting: state.status?.warnings.length ?? 0 };
}

/** The state again beside the tabs, for who scrolled the header away; a screen reader has it in the header. */
function reminder(now) {
  const { colour, word } = overall(state, now);
  return h('div', { class: 'reminder', 'aria-hidden': 'true' }, badge(colour, word));
}

function skeleton() {
  if (state.link === 'stale') return null;
  return h('div', { key: 'skeleton', class: 'skeleton', 'aria-busy': 'true' }, h('div'), h('div'), h('div'), h('p', { class: 'only-heard' }, text.loading));
}

/** For who is not signed in, or may not. */
function outside() {
  if (state.session === 'forbidden') {
    return h('main', { class: 'outside' }, h('h1', null, text.forbiddenTitle), h('p', null, rich(text.forbidden)), h('p', { class: 'muted' }, rich(state.problem?.message)), again());
  }
  return h('main', { class: 'outside' },
    h('h1', null, text.signedOutTitle),
    state.sessionNote ? note('warn', null, text[state.sessionNote]) : null,
    h('p', null, text.signedOut),
    copyable(text.signedOutCommand),
    h('p', { class: 'muted' }, text.signedOutWhy),
    again());
}

const again = () => h('button', { type: 'button', onclick: look }, text.retry);

function skip(event) {
  event.preventDefault();
  document.getElementById('panel').focus();
}

/** How far the header may be scrolled until the reminder shows, in pixels: the bar, and most of the state. */
const SCROLLED = 112;

addEventListener('scroll', () => document.documentElement.classList.toggle('scrolled', scrollY > SCROLLED), { passive: true });
// What the document shows until now is the same frame, without a state.
app.replaceChildren();
subscribe(draw);
followAddress();
draw();
// Figures and times move by themselves; in a page that nobody sees nothing is drawn.
setInterval(() => {
  sample(state.link !== 'stale', Date.now());
  if (document.hidden) paint(overall(state, Date.now()).colour);
  else change({});
}, 1_000);
start();
