// What the page knows, in one place, and who wants to hear of changes.

/** How far the page came. `session`: loading, ready, signedout, forbidden; `link`: live, stale, polling. */
export const state = {
  session: 'loading',
  sessionNote: null,
  link: 'loading',
  seenAt: null,
  retryAt: null,
  status: null,
  device: null,
  deviceProblem: null,
  dns: null,
  settings: null,
  events: [],
  tab: 'connection',
  busy: null,
  problem: null,
};

/** Latest events that are kept. */
const MOST_EVENTS = 200;

const listeners = new Set();
let isScheduled = false;

/** Calls `listener` after changes, once a frame at most; nothing is drawn while nobody can see it. */
export function subscribe(listener) {
  listeners.add(listener);
}

/** Changes what the page knows. */
export function change(part) {
  Object.assign(state, part);
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    for (const listener of listeners) listener();
  });
}

/** Adds an event; one that comes twice, after a new connection, is the same. */
export function addEvent(event) {
  if (state.events.some((known) => known.id === event.id)) return;
  const events = [...state.events, event].sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  change({ events: events.slice(0, MOST_EVENTS) });
}
