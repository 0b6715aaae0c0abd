// The sections: one is shown, arrows move between them, and the address remembers it.

import { h } from './dom.js';
import { change, state } from './store.js';
import { text, words } from './strings.js';

const NAMES = Object.keys(words.tab);

/** Shows the section of the address, now and when it changes. */
export function followAddress() {
  const take = () => {
    const name = location.hash.slice(1);
    if (NAMES.includes(name)) change({ tab: name });
    reveal();
  };
  addEventListener('hashchange', take);
  take();
}

/** Shows a section. */
export function show(name) {
  history.replaceState(null, '', `#${name}`);
  change({ tab: name });
  scrollTo({ top: 0 });
  reveal();
}

/** On a phone the row is wider than the screen. */
function reveal() {
  requestAnimationFrame(() => document.getElementById(`tab-${state.tab}`)?.scrollIntoView({ block: 'nearest', inline: 'center' }));
}

/** The row of tabs; `marks` gives a number of things to look at to some. */
export function tabs(marks) {
  const buttons = NAMES.map((name) => {
    const isShown = name === state.tab;
    const attributes = {
      key: name,
      id: `tab-${name}`,
      type: 'button',
      role: 'tab',
      'aria-selected': String(isShown),
      'aria-controls': 'panel',
      tabIndex: isShown ? 0 : -1,
      onclick: () => show(name),
    };
    return h('button', attributes, words.tab[name], marks[name] ? h('span', { class: 'mark' }, marks[name]) : null);
  });
  return h('div', { class: 'tabs', role: 'tablist', 'aria-label': text.tabs, onkeydown: move }, buttons);
}

function move(event) {
  const at = NAMES.indexOf(state.tab);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: NAMES.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const name = NAMES[(to + NAMES.length) % NAMES.length];
  show(name);
  document.getElementById(`tab-${name}`).focus();
}
