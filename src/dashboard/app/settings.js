// Settings that a person may change, in a dialog; what the administrator set is shown and stays.

import { read, send } from './api.js';
import { h, render } from './dom.js';
import { note, rich } from './parts.js';
import { change, state } from './store.js';
import { text, words } from './strings.js';

const dialog = document.createElement('dialog');
dialog.id = 'settings';
dialog.setAttribute('aria-labelledby', 'settings-title');
document.body.append(dialog);
const view = { problem: null, note: '' };

/** Shows the dialog with what is in force now. */
export async function openSettings() {
  Object.assign(view, { problem: null, note: '' });
  draw();
  dialog.showModal();
  await read('settings').then((settings) => change({ settings }), (problem) => { view.problem = problem; });
  draw();
}

function draw() {
  render(dialog,
    h('header', null,
      h('h2', { id: 'settings-title' }, text.settings),
      h('button', { type: 'button', class: 'quiet', onclick: () => dialog.close() }, text.close)),
    h('p', { class: 'muted' }, text.settingsAbout),
    view.problem ? note('bad', state.settings ? null : text.settingsUnavailable, rich(view.problem.message)) : null,
    state.settings ? Object.keys(words.setting).filter((name) => name in state.settings.settings).map(row) : null,
    h('p', { class: 'muted', role: 'status' }, view.note));
}

function row(name) {
  const { settings, managed } = state.settings;
  const [title, about] = words.setting[name];
  const isManaged = managed.includes(name);
  const attributes = { id: `setting-${name}`, disabled: isManaged, 'aria-describedby': `about-${name}` };
  const control = name === 'log_level'
    ? h('select', { ...attributes, value: settings[name], onchange: (event) => save(name, event.target.value) },
      Object.keys(words.level).map((level) => h('option', { key: level, value: level }, words.level[level])))
    : h('input', { ...attributes, type: 'checkbox', role: 'switch', checked: settings[name], onchange: (event) => save(name, event.target.checked) });
  return h('div', { key: name, class: 'setting' },
    h('div', null,
      h('label', { for: `setting-${name}` }, title),
      h('p', { class: 'muted', id: `about-${name}` }, isManaged ? text.managed : about)),
    control);
}

async function save(name, value) {
  Object.assign(view, { problem: null, note: '' });
  try {
    const settings = await send('PUT', 'settings', { [name]: value });
    change({ settings: settings ?? await read('settings') });
    view.note = text.saved;
  } catch (problem) {
    view.problem = problem;
  }
  draw();
}
