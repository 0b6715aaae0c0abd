// The header: state as word and shape, one sentence of cause, the one button that fits; it is always there.

import { send } from './api.js';
import { h } from './dom.js';
import { ago } from './format.js';
import { look, showStatus } from './live.js';
import { overall } from './model.js';
import { rich, sentence, shape } from './parts.js';
import { change, state } from './store.js';
import { text } from './strings.js';
import { show } from './tabs.js';

/** What each action's button says, whether it is the thing to do now, and what it does. */
const ACTIONS = {
  connect: [text.connect, 'primary', () => command('connect')],
  disconnect: [text.disconnect, '', () => command('disconnect')],
  cancel: [text.cancel, '', () => command('disconnect')],
  reconnect: [text.reconnect, 'primary', () => command('disconnect', 'connect')],
  fix: [text.fix, 'primary', () => show('device')],
  retry: [text.retryNow, 'primary', look],
};

/** The bar above everything. */
export function bar() {
  return h('div', { class: 'bar' },
    h('span', { class: 'brand' }, h('img', { src: '/icon.svg', alt: '', width: 20, height: 20 }), text.product, state.status ? h('span', { class: 'label' }, state.status.version) : null),
    state.session === 'ready' ? h('button', { type: 'button', class: 'quiet', onclick: () => import('./settings.js').then(({ openSettings }) => openSettings()) }, text.settings) : null);
}

/** State, cause and action. */
export function header(now) {
  const seen = overall(state, now);
  return h('div', { class: `state ${seen.colour}` },
    h('div', { class: 'emblem' }, shape(seen.colour)),
    h('div', { class: 'said', role: 'status' },
      h('h1', null, seen.word),
      seen.cause ? h('p', { key: 'cause' }, sentence(seen.cause)) : null,
      seen.hint ? h('p', { key: 'hint', class: 'hint' }, rich(text.hint(seen.hint))) : null),
    state.link === 'stale' ? stale(now) : null,
    seen.action ? button(seen.action) : null);
}

/** What failed last of what the person asked for. */
export function problem() {
  if (!state.problem) return null;
  const { message, hint } = state.problem;
  return h('div', { class: 'note bad', role: 'alert' },
    h('p', null, rich(text.commandFailed(message))),
    hint ? h('p', null, rich(text.hint(hint))) : null,
    h('button', { type: 'button', class: 'quiet', onclick: () => change({ problem: null }) }, text.dismiss));
}

function stale(now) {
  const seconds = Math.ceil(((state.retryAt ?? 0) - now) / 1_000);
  const wait = seconds > 0 ? text.tryingIn(seconds) : text.tryingNow;
  const seen = state.seenAt ? text.lastSeen(ago(new Date(state.seenAt), now), wait) : text.neverSeen(wait);
  return h('div', { class: 'stale' }, h('p', null, seen), h('p', { class: 'hint' }, rich(text.startService)));
}

function button(action) {
  const [label, kind, act] = ACTIONS[action];
  const isBusy = state.busy === 'command';
  return h('button', { type: 'button', id: 'action', class: kind, 'aria-disabled': isBusy ? 'true' : null, onclick: () => isBusy || act() }, isBusy ? text.working : label);
}

/** Sends commands, one after the other; their answer is the status. */
async function command(...names) {
  change({ busy: 'command', problem: null });
  try {
    for (const name of names) showStatus(await send('POST', name));
  } catch (error) {
    change({ problem: error });
  }
  change({ busy: null });
}
