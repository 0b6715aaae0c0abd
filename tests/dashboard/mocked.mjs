// The page in every state, against a service that is none: `node mocked.mjs [PART OF A TEST'S NAME]`.

import fs from 'node:fs';
import { violations } from './browser.mjs';
import { check, headline, main, newPage, within } from './harness.mjs';
import { serve } from './mock.mjs';
import { states } from './states.mjs';

const TABS = ['connection', 'applications', 'device', 'logs', 'troubleshooting'];

/** A small phone, just below the width at which tables become cards, and a wide screen. */
const WIDTHS = [320, 700, 2_000];

/** What a state's first paint may take on a busy machine, in milliseconds; the bar is 300 on an idle one. */
const MOST_PAINT_MS = 1_500;

const HEADLINES = {
  connected: ['Connected and secure', 'Disconnect', 'circle'],
  warnings: ['Connected with warnings', 'Disconnect', 'path'],
  connecting: ['Connecting', 'Cancel', 'rect'],
  lost: ['Not connected', 'Reconnect', 'rect'],
  blocked: ['Security issues', 'Fix this', 'rect'],
  disconnected: ['Disconnected', 'Connect', 'circle'],
  empty: ['Not connected', null, 'rect'],
  many: ['Connected and secure', 'Disconnect', 'circle'],
};

const tests = {
  async 'each state has its word, its shape and its button'({ mock, page }) {
    for (const [state, [word, button, shape]] of Object.entries(HEADLINES)) {
      mock.show(state);
      await page.goto(mock.address);
      await headline(page, word);
      const drawn = await page.locator('.emblem svg > *').evaluate((element) => element.tagName);
      const action = page.locator('#action');
      check(`${state}: shape and button`, drawn === shape && (button === null ? await action.count() === 0 : await action.textContent() === button), drawn);
      check(`${state}: the title of the browser's tab`, (await page.title()) === `${word} · OpenZTNA`);
    }
  },

  async 'no tab of any state is hard to use for anybody'({ mock, browser }) {
    for (const colorScheme of ['light', 'dark']) {
      for (const state of Object.keys(states).filter((name) => !['gone', 'many'].includes(name))) {
        mock.show(state);
        const { page, context } = await newPage(browser, { colorScheme, reducedMotion: 'reduce' });
        const tabs = ['connected', 'blocked', 'warnings'].includes(state) ? TABS : state === 'empty' ? TABS.slice(0, 3) : TABS.slice(0, 1);
        for (const tab of tabs) {
          await page.goto(`${mock.address}/#${tab}`);
          await page.getByRole('heading', { level: 1 }).waitFor();
          const found = await violations(page);
          check(`${colorScheme} ${state} ${tab}: accessibility`, found.length === 0, found);
        }
        await context.close();
      }
    }
  },

  async 'nothing is wider than the screen, from 320 to 2,000 pixels'({ mock, page }) {
    for (const state of ['blocked', 'warnings']) {
      mock.show(state);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 800 });
        for (const tab of TABS) {
          await page.goto(`${mock.address}/#${tab}`);
          await page.getByRole('heading', { level: 1 }).waitFor();
          const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          check(`${state} ${tab} at ${width}`, excess <= 0, excess);
        }
      }
    }
  },

  async 'arrows move between tabs, and the skip link leads past them'({ mock, page }) {
    await page.goto(mock.address);
    await headline(page, 'Connected and secure');
    await page.keyboard.press('Tab');
    check('the first stop is the skip link', await page.evaluate(() => document.activeElement.className) === 'skip');
    await page.keyboard.press('Enter');
    check('it leads to the content', await page.evaluate(() => document.activeElement.id) === 'panel');
    await page.getByRole('tab', { name: 'Connection' }).focus();
    await page.keyboard.press('ArrowRight');
    await page.getByRole('searchbox', { name: 'Search applications' }).waitFor();
    await page.keyboard.press('End');
    await page.getByRole('heading', { name: 'Last refusals' }).waitFor();
    check('the focus goes along', await page.evaluate(() => document.activeElement.id) === 'tab-troubleshooting');
    check('the address remembers', page.url().endsWith('#troubleshooting'));
    await page.keyboard.press('ArrowRight');
    check('and around', await within(async () => await page.getByRole('tab', { selected: true }).textContent() === 'Connection'));
    const ring = await page.getByRole('tab', { name: 'Connection' }).evaluate((element) => getComputedStyle(element).outlineStyle);
    check('the focus can be seen', ring === 'solid', ring);
  },

  async 'what a person types and holds survives the figures that change'({ mock, page }) {
    await page.goto(`${mock.address}/#applications`);
    const search = page.getByRole('searchbox');
    await search.pressSequentially('wik', { delay: 700 });
    check('the search stays', await search.inputValue() === 'wik' && await search.evaluate((element) => element === document.activeElement));
    check('it filters', await page.getByRole('row').count() === 2);
    await search.fill('no such name');
    await page.getByText('Nothing matches').waitFor();
    await page.getByRole('button', { name: 'Clear search' }).click();
    await page.getByText('Showing 6 of 6 applications').waitFor();
  },

  async 'the button disconnects and connects, with the header that no form can send'({ mock, page }) {
    await page.goto(mock.address);
    await page.getByRole('button', { name: 'Disconnect', exact: true }).click();
    await headline(page, 'Disconnected');
    await page.getByRole('button', { name: 'Connect', exact: true }).click();
    await headline(page, 'Connected and secure');
    const steering = mock.requests.filter(({ method }) => method === 'POST');
    check('both were sent', steering.map(({ path }) => path).join() === '/api/v1/disconnect,/api/v1/connect', steering);
    check('with the header', steering.every(({ headers }) => headers['x-openztna'] === 'dashboard'));
    check('the focus stays on the button', await page.evaluate(() => document.activeElement.id) === 'action');
  },

  async 'a service that is gone is said, what was last known stays, and it comes back'({ mock, page, complaints }) {
    await page.goto(mock.address);
    await headline(page, 'Connected and secure');
    mock.show('gone');
    await headline(page, 'The service does not answer');
    await page.getByText(/Last seen .* ago\. Trying again/).waitFor();
    check('what was known is there', await page.getByRole('heading', { name: 'hq' }).isVisible());
    const found = await violations(page);
    check('and can be read', found.length === 0, found);
    const icon = await page.locator('#favicon').getAttribute('href');
    check('the icon is gray', decodeURIComponent(icon).includes('#7a828e'));
    mock.show('warnings');
    await headline(page, 'Connected with warnings');
    check('the broken requests were the only complaints', complaints.every((text) => /Failed to load resource|ERR_/.test(text)), complaints);
    complaints.length = 0;
  },

  async 'who is not signed in is told how, and a code signs in once'({ mock, page, complaints }) {
    mock.show('signedout');
    await page.goto(mock.address);
    await headline(page, 'Open the dashboard from your session');
    check('the command is there', await page.getByText('openztna-client-connector dashboard').isVisible());
    await page.goto('about:blank');
    await page.goto(`${mock.address}/#code=wrong`);
    await page.getByText('That link was used before').waitFor();
    check('the code is not in the address', !page.url().includes('code'), page.url());
    await page.goto('about:blank');
    await page.goto(`${mock.address}/#code=right`);
    await headline(page, 'Connected and secure');
    check('nor when it was right', !page.url().includes('code'), page.url());
    mock.show('forbidden');
    await headline(page, 'This user may not steer the connector');
    check('the refusals were the only complaints', complaints.every((text) => /40[13]|ERR_INCOMPLETE/.test(text)), complaints);
    complaints.length = 0;
  },

  async 'five thousand applications are shown and searched at once'({ mock, page }) {
    mock.show('many');
    await page.goto(`${mock.address}/#applications`);
    await page.getByText('Showing 100 of 5,000 applications').waitFor();
    await page.getByRole('button', { name: 'Show 100 more' }).click();
    await page.getByText('Showing 200 of 5,000').waitFor();
    const started = Date.now();
    await page.getByRole('searchbox').fill('service-4999');
    await page.getByText('service-4999', { exact: true }).waitFor();
    console.log(`     a search among 5,000 took ${Date.now() - started} ms`);
    check('one row is left', await page.getByRole('row').count() === 2);
    await page.getByRole('searchbox').fill('');
    await page.getByRole('button', { name: 'Blocked 100' }).click();
    await page.getByText('Showing 100 of 100 that match').waitFor();
    check('with the reason', await page.getByText('Disk encryption is off').first().isVisible());
  },

  async 'the log has level, filter, following, copying and the exact instant'({ mock, page, context }) {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.goto(`${mock.address}/#logs`);
    const lines = page.locator('#lines .line');
    check('lines come', await within(async () => await lines.count() > 41));
    const title = await lines.first().locator('time').getAttribute('title');
    check('the exact instant is there', /^\d{4}-\d\d-\d\dT.*\.\d{3}Z$/.test(title), title);
    await page.locator('#lines').hover();
    await page.mouse.wheel(0, -4_000);
    await page.getByRole('button', { name: /new lines? below/ }).waitFor();
    check('reading pauses', await page.locator('#follow').getAttribute('aria-pressed') === 'false');
    await page.getByRole('button', { name: /new lines? below/ }).click();
    check('and the end is followed again', await page.locator('#follow').getAttribute('aria-pressed') === 'true');
    await page.locator('#filter').fill('read again');
    check('the filter', await within(async () => (await lines.allTextContents()).every((line) => line.includes('read again'))));
    await page.getByRole('button', { name: 'Copy lines' }).click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    check('what is shown is copied', copied.split('\n').every((line) => line.includes('read again')), copied);
    await page.locator('#level').selectOption('debug');
    await page.getByText('The service records Debug lines now').waitFor();
    const level = mock.requests.find(({ path }) => path === '/api/v1/logs/level');
    check('the service is told to record them', level?.method === 'PUT' && level.body === '{"level":"debug"}', level);
    const [download] = await Promise.all([page.waitForEvent('download'), page.locator('#download').click()]);
    check('the log can be kept', fs.readFileSync(await download.path(), 'utf8') === 'a line\n');
  },

  async 'a failed check says how to fix it, and checking again shows the result'({ mock, page }) {
    mock.show('blocked');
    await page.goto(mock.address);
    await page.getByRole('button', { name: 'Fix this' }).click();
    const firewall = page.locator('[data-check=firewall]');
    await firewall.getByText('How to fix it').waitFor();
    check('steps', await firewall.getByRole('listitem').count() === 3);
    check('what is urgent comes first', await page.locator('.check').first().getAttribute('data-check') === 'firewall');
    await page.getByRole('button', { name: 'Re-assess Device' }).click();
    await page.getByRole('progressbar').waitFor();
    await headline(page, 'Connected and secure');
    await page.getByRole('heading', { name: 'This device meets all requirements' }).waitFor();
    check('it is said aloud', await within(async () => await page.locator('#announcer').textContent() === 'Checked: all 5 checks passed'));
  },

  async 'an assessment that takes longer than an answer may is waited for'({ mock, page, complaints }) {
    mock.show('blocked', (now) => ({ ...now, isSlow: true }));
    await page.goto(`${mock.address}/#device`);
    await page.getByRole('button', { name: 'Re-assess Device' }).click();
    await page.getByRole('heading', { name: 'This device meets all requirements' }).waitFor();
    check('it is said aloud', await within(async () => await page.locator('#announcer').textContent() === 'Checked: all 5 checks passed'));
    check('nobody is told of a failure', await page.getByRole('alert').count() === 0);
    check('the late answer was the only complaint', complaints.every((text) => /504/.test(text)), complaints);
    complaints.length = 0;
  },

  async 'refusals say what would change them, and the report is what is copied'({ mock, page, context }) {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    mock.show('warnings');
    await page.goto(`${mock.address}/#troubleshooting`);
    const refusal = page.locator('.refusal').first();
    await refusal.waitFor();
    check('where to and what would help', /tcp\/8080 at git\.corp[^]*Use a port that the application allows/.test(await refusal.textContent()));
    check('once', await page.locator('.refusal').count() === 1);
    const shown = await page.locator('#report').textContent();
    await page.getByRole('button', { name: 'Copy report' }).click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    const steady = (text) => text.replace(/^Made: .*$/m, '').replace(/hq: connected .*/, '');
    check('the report', steady(copied) === steady(shown) && shown.includes('finance: lost'), copied);
    check('no key is in it', !copied.includes('K9jRw6QX'));
  },

  async 'settings are changed, and the administrator’s stay'({ mock, page, complaints }) {
    await page.goto(mock.address);
    await page.getByRole('button', { name: 'Settings' }).click();
    const dialog = page.getByRole('dialog', { name: 'Settings' });
    await dialog.getByRole('switch', { name: 'HTTP proxy' }).click();
    await dialog.getByText('Saved').waitFor();
    check('it was sent', mock.requests.some(({ method, body }) => method === 'PUT' && body === '{"http_proxy":false}'));
    check('managed', await dialog.getByRole('switch', { name: 'SOCKS proxy' }).isDisabled());
    const found = await violations(page);
    check('the dialog is for everybody', found.length === 0, found);
    await page.keyboard.press('Escape');
    check('it closes', await within(async () => !(await dialog.isVisible())));
    complaints.length = 0;
  },

  async 'texts from elsewhere are texts'({ mock, page }) {
    const hostile = '<img src=x onerror=alert(1)>`"\'<script>';
    mock.show('warnings', (now) => {
      now.status.applications[0].name = hostile;
      Object.assign(now.status.applications[1], { url: 'javascript:alert(1)', hosts: [hostile, 'a.example'] });
      now.status.message = hostile;
      now.status.warnings.push(hostile);
      now.status.gateways[0].name = hostile;
      return now;
    });
    for (const tab of TABS) {
      await page.goto(`${mock.address}/#${tab}`);
      await page.getByRole('heading', { level: 1 }).waitFor();
      const planted = await page.evaluate(() => document.querySelectorAll('#app img[src=x], #app script, #app a[href^="javascript"]').length);
      check(`${tab}: nothing was planted`, planted === 0);
    }
    check('it is shown as it is', (await page.locator('.said').textContent()).includes('<img src=x onerror=alert(1)>'));
  },

  async 'the first paint is quick and the page is small'({ mock, browser }) {
    const times = [];
    let weight = 0;
    for (let round = 0; round < 5; round += 1) {
      const { page, context } = await newPage(browser);
      await page.goto(mock.address);
      await page.locator('.summary').waitFor();
      const { paint, useful } = await page.evaluate(() => ({
        paint: performance.getEntriesByName('first-contentful-paint')[0].startTime,
        useful: performance.getEntriesByName('useful')[0].startTime,
      }));
      times.push([paint, useful]);
      weight = await page.evaluate(() => performance.getEntries().reduce((sum, { encodedBodySize, name }) => sum + (name.includes('/api/') ? 0 : encodedBodySize ?? 0), 0));
      await context.close();
    }
    const median = (place) => times.map((each) => each[place]).sort((a, b) => a - b)[2];
    console.log(`     first paint ${median(0).toFixed(0)} ms, state shown ${median(1).toFixed(0)} ms (medians of 5); ${weight} octets`);
    check('the paint', median(1) < MOST_PAINT_MS, times);
    check('the weight', weight > 10_000 && weight < 150 * 1_024, weight);
  },
};

await main(tests, {
  only: process.argv[2],
  async open(browser) {
    const mock = await serve();
    const opened = await newPage(browser);
    return { mock, browser, ...opened, async close() { await opened.context.close(); mock.close(); } };
  },
});
