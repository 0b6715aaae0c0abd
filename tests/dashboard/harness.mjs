// What the dashboard's tests share: named checks, waiting for what the page shows, and watching for what it must not do.

import { launch } from './browser.mjs';

/** How long something may take to appear, in milliseconds: a busy machine is slow, a broken page never gets there. */
export const PATIENCE_MS = 60_000;

let failures = 0;

/** Notes a check; with `detail` where it failed. */
export function check(name, isRight, detail = '') {
  console.log(`${isRight ? 'ok  ' : 'FAIL'} ${name}${isRight ? '' : `: ${typeof detail === 'string' ? detail : JSON.stringify(detail)}`}`);
  if (!isRight) failures += 1;
}

/** Runs tests, `{ name: async (context) => … }`, each with a page of its own; ends the program with how they went. */
export async function main(tests, { open, browser: more = [], only }) {
  const browser = await launch(more);
  for (const [name, test] of Object.entries(tests).filter(([name]) => !only || name.includes(only))) {
    const context = await open(browser);
    try {
      await test(context);
      check(`${name}: nothing was said on the console`, context.complaints.length === 0, context.complaints);
    } catch (error) {
      check(name, false, error.stack);
    }
    await context.close();
  }
  await browser.close();
  console.log(failures ? `${failures} failed` : 'all passed');
  process.exit(failures ? 1 : 0);
}

/** A page whose complaints are kept; `expected` ones are those that the test makes on purpose. */
export async function newPage(browser, options = {}, expected = /^$/) {
  const context = await browser.newContext({ viewport: { width: 1_280, height: 800 }, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const complaints = [];
  const page = await context.newPage();
  const note = (text) => { if (!expected.test(text)) complaints.push(text); };
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) note(message.text()); });
  page.on('pageerror', (error) => note(error.stack ?? String(error)));
  return { context, page, complaints };
}

/** Waits until the page's header has this word. */
export const headline = (page, word) => page.getByRole('heading', { level: 1, name: word, exact: true }).waitFor();

/** Waits until a condition holds; true or false in the end. */
export async function within(condition, limit = PATIENCE_MS) {
  const end = Date.now() + limit;
  while (Date.now() < end) {
    if (await condition()) return true;
    await new Promise((done) => { setTimeout(done, 50); });
  }
  return false;
}
