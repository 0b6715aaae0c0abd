// Device Security: a card for each check, what was seen, what is required, how to fix it, and checking again.

import { read, send } from './api.js';
import { h } from './dom.js';
import { ago, duration } from './format.js';
import { announce, facts, badge, note, rich, sentence, timeOf } from './parts.js';
import { change, state } from './store.js';
import { text, words } from './strings.js';

const COLOURS = { passed: 'green', failed: 'red', unknown: 'yellow', off: 'gray' };

/** The section. */
export function device(now) {
  const { device } = state;
  if (!device) return missing();
  if (device.state === 'off') return note('empty', text.deviceOffTitle, rich(text.deviceOff));
  const checks = ordered(device.checks);
  const isUrgent = ({ state: found, required }) => required && found !== 'passed';
  return [verdict(device, now), cards('urgent', checks.filter(isUrgent), now), cards('others', checks.filter((check) => !isUrgent(check)), now)];
}

/** Those that the person must look at stand apart, so that short cards do not stretch beside long ones. */
function cards(kind, checks, now) {
  return checks.length === 0 ? null : h('div', { key: kind, class: `checks ${kind}` }, checks.map((check) => card(check, now)));
}

function missing() {
  if (!state.deviceProblem) return h('p', { class: 'muted' }, text.loading);
  return note('empty', text.deviceUnavailable, rich(state.deviceProblem.message));
}

/** What needs the person first: failed, then unknown, required before informative. */
function ordered(checks) {
  const weight = ({ state: found, required }) => ['failed', 'unknown', 'passed'].indexOf(found) + (required ? 0 : 3);
  return [...checks].sort((a, b) => weight(a) - weight(b));
}

function verdict(device, now) {
  const isBusy = device.assessing || state.busy === 'assess';
  const title = { passed: device.message ?? text.devicePassed, failed: text.deviceFailed, unknown: text.deviceUnknown }[device.state];
  const when = device.assessed_at
    ? timeOf(device.assessed_at, text.assessedAgo(ago(device.assessed_at, now), duration(device.interval_s)))
    : text.notChecked;
  const { name, version, kernel } = device.system ?? {};
  return h('div', { class: 'card verdict' },
    h('div', null,
      h('h2', null, badge(COLOURS[device.state], title)),
      device.state === 'failed' && device.message ? h('p', null, rich(device.message)) : null,
      h('p', { class: 'muted' }, isBusy ? text.assessing : when),
      name ? h('p', { class: 'muted' }, [`${name} ${version ?? ''}`.trim(), kernel].filter(Boolean).join(' · ')) : null),
    h('button', { type: 'button', id: 'assess', class: device.state === 'failed' ? 'primary' : '', 'aria-disabled': isBusy ? 'true' : null, onclick: () => isBusy || assess() }, text.assess),
    isBusy ? h('div', { class: 'progress', role: 'progressbar', 'aria-label': text.assessing }) : null);
}

function card(check, now) {
  const { id, title, state: found, required, seen, wanted, reason, fix, checked_at: at, covers } = check;
  const isWrong = found !== 'passed';
  return h('article', { key: id, class: `card check ${isWrong && required ? COLOURS[found] : ''}`, 'data-check': id },
    h('header', null, h('h3', null, title), badge(required || !isWrong ? COLOURS[found] : 'gray', words.check[found])),
    isWrong && reason ? h('p', null, sentence(reason)) : null,
    facts([
      [text.seen, seen && rich(seen)],
      [text.wanted, required && wanted ? rich(wanted) : null],
      [text.covers, required && Array.isArray(covers) ? covers.join(', ') : required && isWrong ? text.coversAll : null],
    ]),
    isWrong && fix ? h('div', { class: 'fix' }, h('h4', null, text.how), steps(fix)) : null,
    h('p', { class: 'muted foot' }, required ? text.required : text.informative, ' · ', at ? timeOf(at, text.checkedAgo(ago(at, now))) : text.notChecked));
}

/** Each line of a fix is a step. */
function steps(fix) {
  const lines = fix.split('\n').filter((line) => line.trim() !== '');
  return lines.length === 1 ? h('p', null, rich(lines[0])) : h('ol', null, lines.map((line) => h('li', { key: line }, rich(line))));
}

/** How often, and how many times, a device is asked for whose assessment takes longer than an answer may. */
const AGAIN_MS = 1_000;
const MOST_TIMES = 120;

/** What comes instead of an answer that was late: the device when it has been looked at. */
async function untilDone(problem) {
  for (let times = 0; problem.status === 504 && times < MOST_TIMES; times += 1) {
    await new Promise((done) => { setTimeout(done, AGAIN_MS); });
    const device = await read('device');
    if (!device.assessing) return device;
  }
  throw problem;
}

async function assess() {
  change({ busy: 'assess', problem: null });
  announce(text.assessing);
  try {
    const device = await send('POST', 'assess').catch(untilDone);
    change({ device });
    const required = device.checks.filter((check) => check.required);
    announce(text.assessedResult(required.filter(({ state: found }) => found !== 'passed').length, required.length));
  } catch (error) {
    change({ problem: error });
  }
  change({ busy: null });
}
