// Logs: level, filter, following with a pause while the person reads, copying, downloading.

import { read, send } from './api.js';
import { h } from './dom.js';
import { exactTime, instant } from './format.js';
import { copyButton, note } from './parts.js';
import { change } from './store.js';
import { text, words } from './strings.js';

/** Lines that are kept on the page, as the service keeps: older ones are in its file. */
const MOST_LINES = 2_000;

/** Lines that are asked for at first. */
const FIRST_LINES = 500;

/** How near the end counts as reading the end, in pixels. */
const NEAR = 24;

/** A scroll so soon after a wheel, finger, pointer or key was meant; others come from lines that arrive, in milliseconds. */
const MEANT_MS = 1_000;

/** Wait before a broken stream is tried again, in milliseconds. */
const AGAIN_MS = 2_000;

const LEVELS = Object.keys(words.level);
const view = { level: 'info', base: 'info', recorded: null, filter: '', isFollowing: true, missed: 0, isBroken: false, problem: null };
let lines = [];
let arrived = [];
let stream = null;
let again = null;
let meantAt = 0;

const list = document.createElement('div');
list.className = 'lines';
list.id = 'lines';
list.tabIndex = 0;
list.setAttribute('role', 'log');
// Following aloud would read without end: the person reads by moving through it.
list.setAttribute('aria-live', 'off');
list.setAttribute('aria-label', text.log);
list.addEventListener('scroll', onScroll);
for (const intent of ['wheel', 'touchmove', 'pointerdown', 'keydown']) list.addEventListener(intent, () => { meantAt = Date.now(); }, { passive: true });

/** The section; the stream runs while it is shown. */
export function logs() {
  const shown = visible();
  return h('div', { class: 'logs' },
    tools(shown),
    view.problem ? note('bad', null, view.problem.message) : null,
    rank(view.recorded) > rank(view.base) ? note('warn', null, text.levelRaised(words.level[view.recorded], words.level[view.base])) : null,
    view.isBroken ? note('warn', null, text.logBroken) : null,
    h('div', { class: 'frame' },
      h(list, { key: 'lines' }),
      shown.length === 0 ? note('empty', text.logEmptyTitle, view.filter ? text.logNoMatch : text.logEmpty) : null,
      view.missed > 0 ? h('button', { type: 'button', class: 'jump', onclick: () => follow(true) }, text.newLines(view.missed)) : null));
}

/** Begins to follow when the section is shown, and ends when it is left. */
export function attend(isShown) {
  if (isShown && !stream && again === null) {
    open();
    askLevel();
  }
  if (!isShown && (stream || again !== null)) close();
}

function tools(shown) {
  const level = h('select', { id: 'level', value: view.level, onchange: (event) => choose(event.target.value) },
    LEVELS.map((level) => h('option', { key: level, value: level }, words.level[level])));
  return h('div', { class: 'tools' },
    h('label', null, h('span', { class: 'label' }, text.level), level),
    h('input', { type: 'search', id: 'filter', value: view.filter, placeholder: text.filterHint, 'aria-label': text.filter, autocomplete: 'off', spellcheck: 'false', oninput: (event) => { view.filter = event.target.value; redraw(); } }),
    h('button', { type: 'button', id: 'follow', 'aria-pressed': String(view.isFollowing), onclick: () => follow(!view.isFollowing) }, text.follow),
    copyButton(() => shown.map(plain).join('\n'), text.copyLines, null, ''),
    h('a', { class: 'button', id: 'download', href: `/api/v1/logs?download=1&level=${view.level}`, download: '' }, text.download),
    h('span', { class: 'muted count' }, text.linesShown(shown.length)));
}

const visible = () => (view.filter === '' ? lines : lines.filter(matches));

const matches = ({ message, target }) => `${target} ${message}`.toLowerCase().includes(view.filter.trim().toLowerCase());

const rank = (level) => LEVELS.indexOf(level);

/** What is to be seen must be recorded, and costs the service something: a lesser choice takes that back. */
async function choose(level) {
  view.level = level;
  view.problem = null;
  const recorded = rank(level) > rank(view.base) ? level : view.base;
  if (recorded !== (view.recorded ?? view.base)) {
    await send('PUT', 'logs/level', { level: recorded }).then(() => { view.recorded = recorded; }, (problem) => { view.problem = problem; });
  }
  close();
  open();
}

/** The stream begins with the latest lines, then goes on with each new one. */
function open() {
  stream = new EventSource(`/api/v1/logs?level=${view.level}&limit=${FIRST_LINES}`);
  stream.onopen = () => {
    lines = [];
    view.isBroken = false;
    redraw();
  };
  stream.addEventListener('log', (message) => add(JSON.parse(message.data)));
  stream.onerror = () => {
    close();
    view.isBroken = true;
    again = setTimeout(() => { again = null; open(); }, AGAIN_MS);
    change({});
  };
}

/** Somebody may have raised the level before. */
async function askLevel() {
  const { level } = await read('logs?limit=1').catch(() => ({}));
  if (level) Object.assign(view, { recorded: level, base: view.recorded === null ? level : view.base });
  change({});
}

function close() {
  stream?.close();
  stream = null;
  clearTimeout(again);
  again = null;
}

/** Lines come in bursts: they are put on the page once a frame. */
function add(line) {
  arrived.push(line);
  if (arrived.length === 1) requestAnimationFrame(showArrived);
}

function showArrived() {
  lines = [...lines, ...arrived].slice(-MOST_LINES);
  const fresh = arrived.filter(matches);
  arrived = [];
  list.append(...fresh.map(element));
  while (list.children.length > MOST_LINES) list.firstChild.remove();
  if (view.isFollowing) toEnd();
  else view.missed += fresh.length;
  change({});
}

function redraw() {
  list.replaceChildren(...visible().map(element));
  if (view.isFollowing) toEnd();
  change({});
}

function follow(isFollowing) {
  Object.assign(view, { isFollowing, missed: isFollowing ? 0 : view.missed });
  if (isFollowing) toEnd();
  change({});
}

function toEnd() {
  requestAnimationFrame(() => { list.scrollTop = list.scrollHeight; });
}

/** Who scrolls up reads: new lines wait until the end is reached again. */
function onScroll() {
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR;
  if (isAtEnd !== view.isFollowing && Date.now() - meantAt < MEANT_MS) follow(isAtEnd);
}

function element(line) {
  const row = document.createElement('div');
  row.className = `line ${line.level}`;
  const cells = [['time', exactTime(line.at)], ['span', line.level.toUpperCase()], ['span', line.message]].map(([tag, content]) => {
    const cell = document.createElement(tag);
    cell.textContent = content;
    return cell;
  });
  cells[0].title = instant(line.at);
  cells[0].dateTime = line.at;
  cells[2].title = line.target;
  row.append(...cells);
  return row;
}

const plain = ({ at, level, target, message }) => `${at} ${level.toUpperCase()} ${target}: ${message}`;
