// Keeps the page live: signs in with the code of the address, follows the events of the service, and notices its end.

import { read, send } from './api.js';
import { addEvent, change, state } from './store.js';
import { record } from './history.js';

/** First and longest wait before the service is asked again, in milliseconds. */
const RETRY_MS = [500, 5_000];

/** How often a page that nobody sees asks instead of following, so that it holds no connection, in milliseconds. */
const HIDDEN_MS = 5_000;

/** How often the names in use are asked for while they are shown, in milliseconds: no event tells of them. */
const NAMES_MS = 10_000;

/** A stream without a word for so long is dead: the service sends a comment each 15 s, and an answer is quick. */
const SILENCE_MS = 40_000;

let stream = null;
let timer = null;
let retry = RETRY_MS[0];
let heardAt = 0;

/** Signs in if the address has a code, and follows the service from then on. */
export async function start() {
  const code = takeCode();
  if (code) await signIn(code);
  document.addEventListener('visibilitychange', () => look());
  setInterval(() => state.link === 'live' && state.tab === 'connection' && !document.hidden && askNames(), NAMES_MS);
  setInterval(watchSilence, 1_000);
  await look();
}

/** Asks at once, and follows again if that works. */
export async function look() {
  clearTimeout(timer);
  stop();
  try {
    // The stream tells all this as well; asking first tells *why* when it cannot be had.
    showStatus(await read('status'));
  } catch (error) {
    return failed(error);
  }
  if (document.hidden) {
    change({ session: 'ready', link: 'live' });
    timer = setTimeout(look, HIDDEN_MS);
    return;
  }
  change({ session: 'ready', retryAt: null });
  askDevice();
  askNames();
  follow();
}


/** Takes a status that an answer brought. */
export function showStatus(status) {
  record(status, Date.now());
  change({ status, seenAt: Date.now(), link: state.link === 'loading' ? 'live' : state.link });
}

function optional(path, take, fail = () => {}) {
  read(path).then(take, fail);
}

/** The code of the address, taken out of it so that it is neither copied nor kept in the history. */
function takeCode() {
  const code = /^#code=(.+)$/.exec(location.hash)?.[1];
  if (code) history.replaceState(null, '', location.pathname);
  return code && decodeURIComponent(code);
}

async function signIn(code) {
  try {
    await send('POST', 'session', { code });
  } catch (error) {
    change({ sessionNote: error.status === 0 ? null : 'usedCode' });
  }
}

function follow() {
  stream = new EventSource('/api/v1/events');
  const heard = (take) => (message) => {
    heardAt = Date.now();
    take(JSON.parse(message.data));
  };
  stream.onopen = () => {
    heardAt = Date.now();
    retry = RETRY_MS[0];
    change({ link: 'live', retryAt: null });
  };
  stream.addEventListener('status', heard(showStatus));
  stream.addEventListener('device', heard((device) => change({ device, deviceProblem: null })));
  stream.addEventListener('event', heard(happened));
  // The browser's own repetition neither waits longer each time nor knows why: ours asks first.
  stream.onerror = () => {
    stop();
    again(read('status').then(showStatus));
  };
}

/** What the device looks like is told by its own event, or asked for when another says that it changed. */
function happened(event) {
  addEvent(event);
  if (event.kind.startsWith('posture.')) askDevice();
}

const askDevice = () => optional('device', (device) => change({ device, deviceProblem: null }), (problem) => change({ deviceProblem: problem }));
const askNames = () => optional('dns', (dns) => change({ dns }));

function stop() {
  stream?.close();
  stream = null;
}

/** After the stream broke: while the service still answers, its answers are shown, and the stream is tried again. */
function again(asked) {
  asked.then(() => schedule('polling'), failed);
}

function failed(error) {
  stop();
  if (error.status === 401) return change({ session: 'signedout', link: 'loading', status: null, device: null });
  if (error.status === 403) return change({ session: 'forbidden', problem: error });
  // A service that answers, but with an error, is said so; one that is silent shows in the header.
  change({ session: 'ready', problem: error.status === 0 ? state.problem : error });
  schedule('stale');
}

function schedule(link) {
  clearTimeout(timer);
  timer = setTimeout(look, retry);
  change({ link, retryAt: Date.now() + retry });
  retry = Math.min(retry * 2, RETRY_MS[1]);
}

/** A computer that slept, or a service that hangs, breaks no connection: silence is looked at as well. */
function watchSilence() {
  if (!stream || Date.now() - heardAt < SILENCE_MS) return;
  heardAt = Date.now();
  look();
}
