// A browser that another program steers: one JSON list a line comes in, such as ["click", "Disconnect"]; one line goes
// out for each, `{"value": …}` or `{"error": …}`. It ends with its input.

import http from 'node:http';
import readline from 'node:readline';
import { launch, violations } from './browser.mjs';
import { headline, newPage, PATIENCE_MS, within } from './harness.mjs';

/** How long the statuses of an attack are waited for, in milliseconds. */
const SETTLE_MS = 5_000;

/** Another site, and a name that leads to the device by a DNS record that its owner changed. */
const EVIL = 'evil.example';
const REBOUND = 'rebound.example';

const browser = await launch([`--host-resolver-rules=MAP ${EVIL} 127.0.0.1,MAP ${REBOUND} 127.0.0.1`]);
let opened = await newPage(browser);

const orders = {
  /** A new browser in a theme at a width, with what it shows at an address. */
  async open(url, colorScheme = 'light', width = 1_280, height = 800) {
    await opened.context.close();
    opened = await newPage(browser, { colorScheme, viewport: { width, height } });
    await opened.page.goto(url);
  },
  /** The same browser goes on. */
  theme: (colorScheme) => opened.page.emulateMedia({ colorScheme }),
  size: (width, height) => opened.page.setViewportSize({ width, height }),
  headline: (word) => headline(opened.page, word),
  click: (name) => opened.page.getByRole('button', { name, exact: true }).click(),
  toggle: (name) => opened.page.getByRole('switch', { name }).click(),
  press: (key) => opened.page.keyboard.press(key),
  tab: (name) => opened.page.getByRole('tab', { name }).click(),
  see: (text) => opened.page.getByText(text).first().waitFor(),
  choose: (label, value) => opened.page.getByLabel(label).selectOption(value),
  text: (selector) => opened.page.locator(selector).first().innerText(),
  /** Waits until an element's text has this in it. */
  async has(selector, part, limit = PATIENCE_MS) {
    const found = () => opened.page.locator(selector).allInnerTexts();
    if (!await within(async () => (await found()).some((text) => text.includes(part)), limit)) throw new Error(`${selector}: ${await found()}`);
  },
  address: () => opened.page.url(),
  complaints: () => opened.complaints,
  violations: () => violations(opened.page),
  picture: (path) => opened.page.screenshot({ path, animations: 'disabled' }),
  /** When the state was shown, in milliseconds from the beginning of the visit, and the octets that were loaded. */
  measures: () => opened.page.evaluate(() => ({
    paint: performance.getEntriesByName('first-contentful-paint')[0].startTime,
    useful: performance.getEntriesByName('useful')[0].startTime,
    octets: performance.getEntries().reduce((sum, { name, encodedBodySize }) => sum + (name.includes('/api/') ? 0 : encodedBodySize ?? 0), 0),
  })),
  attack: (kind, target) => attack(kind, new URL(target)),
};

/** What a page of another site tries, while this browser is signed in; how the service answered, as statuses. */
async function attack(kind, target) {
  const site = http.createServer((request, answer) => answer.setHeader('Content-Type', 'text/html').end('<!doctype html><title>another site</title>'));
  await new Promise((ready) => { site.listen(0, '127.0.0.1', ready); });
  const page = await opened.context.newPage();
  const statuses = [];
  page.on('response', (response) => { if (new URL(response.url()).port === target.port) statuses.push(response.status()); });
  const host = kind.startsWith('neighbour') ? '127.0.0.1' : EVIL;
  if (kind === 'rebinding') await page.goto(`http://${REBOUND}:${target.port}${target.pathname}`);
  else await page.goto(`http://${host}:${site.address().port}/`);
  // What the browser keeps from the page, it keeps from the events above as well: the statuses on the wire.
  const wire = await opened.context.newCDPSession(page);
  await wire.send('Network.enable');
  const asked = new Set();
  const answered = [];
  wire.on('Network.requestWillBeSent', ({ requestId, request }) => { if (new URL(request.url).port === target.port) asked.add(requestId); });
  wire.on('Network.responseReceivedExtraInfo', (answer) => answered.push(answer));
  const outcome = kind === 'rebinding' ? await page.content() : await page.evaluate(ATTACKS[kind], target.href);
  // They come beside the page's own events, perhaps a little later.
  await within(() => statuses.length > 0 || answered.some(({ requestId }) => asked.has(requestId)), SETTLE_MS);
  statuses.push(...answered.filter(({ requestId }) => asked.has(requestId)).map(({ statusCode }) => statusCode));
  await page.close();
  site.closeAllConnections();
  site.close();
  return { outcome, statuses };
}

/** These run in the page of the other site; each answers with what it could read. */
const ATTACKS = {
  form: (target) => new Promise((done) => {
    const frame = document.body.appendChild(Object.assign(document.createElement('iframe'), { name: 'sink' }));
    const form = Object.assign(document.createElement('form'), { method: 'POST', action: target, enctype: 'text/plain', target: 'sink' });
    document.body.append(form);
    frame.addEventListener('load', () => setTimeout(() => done('sent'), 500));
    form.submit();
  }),
  simple: (target) => fetch(target, { method: 'POST', mode: 'no-cors', credentials: 'include' }).then(({ type }) => type, () => 'failed'),
  preflighted: (target) => fetch(target, { method: 'POST', credentials: 'include', headers: { 'X-OpenZTNA': 'dashboard' } }).then((answer) => answer.text(), () => 'failed'),
  read: (target) => fetch(target, { credentials: 'include' }).then((answer) => answer.text(), () => 'failed'),
  events: (target) => new Promise((done) => {
    const source = new EventSource(target, { withCredentials: true });
    source.onopen = () => done('opened');
    source.onmessage = () => done('read');
    source.onerror = () => { source.close(); done('failed'); };
  }),
  script: (target) => new Promise((done) => {
    const script = Object.assign(document.createElement('script'), { src: target, onload: () => done('loaded'), onerror: () => done('failed') });
    document.body.append(script);
  }),
  frame: (target) => new Promise((done) => {
    const frame = Object.assign(document.createElement('iframe'), { src: target });
    frame.addEventListener('load', () => {
      // A frame that was refused shows a page of the browser's own, of another origin; ours would be of another one, too:
      // what was refused has no window names of ours to count.
      done(`frames: ${frame.contentWindow.length}`);
    });
    document.body.append(frame);
  }),
};
// A page on another port of the same host is of the same site: the browser sends it our cookie, and only `Origin` tells.
ATTACKS['neighbour simple'] = ATTACKS.simple;
ATTACKS['neighbour preflighted'] = ATTACKS.preflighted;
ATTACKS['neighbour events'] = ATTACKS.events;

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [name, ...rest] = JSON.parse(line);
  const answer = await Promise.resolve().then(() => orders[name](...rest)).then((value) => ({ value: value ?? null }), (error) => ({ error: `${name} ${rest.join(' ')}: ${error.message}` }));
  process.stdout.write(`${JSON.stringify(name === 'picture' && !answer.error ? { value: null } : answer)}\n`);
}
await browser.close();
