// Figures and times as people read them, in the language and zone of the browser.

import { text } from './strings.js';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const exactClock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23',
});
const dayAndClock = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });

/** Octets: `1.2 MB`. */
export function bytes(count) {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.5 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** Octets in a second: `1.2 MB/s`. */
export const rate = (perSecond) => `${bytes(perSecond)}/s`;

/** Milliseconds: `8.4 ms`. */
export const milliseconds = (value) => `${value < 100 ? value.toFixed(1) : value.toFixed(0)} ms`;

/** A count with separators: `5,000`. */
export const count = (value) => value.toLocaleString('en');

/** Seconds as their two largest parts: `2 h 5 min`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} min`;
  const [big, small, words] = whole < 86_400 ? [3_600, 60, ['h', 'min']] : [86_400, 3_600, ['d', 'h']];
  const rest = Math.floor((whole % big) / small);
  return `${Math.floor(whole / big)} ${words[0]}${rest ? ` ${rest} ${words[1]}` : ''}`;
}

/** How long ago: `12 s ago`. `now` in milliseconds, so that all of a page agree. */
export function ago(time, now) {
  const seconds = Math.floor((now - Date.parse(time)) / 1_000);
  return seconds < 1 ? text.justNow : text.ago(duration(seconds).split(/(?<=[a-z]) /)[0]);
}

/** The time of day, with the date when it is another day. */
export function at(time, now) {
  const date = new Date(time);
  return date.toDateString() === new Date(now).toDateString() ? clock.format(date) : dayAndClock.format(date);
}

/** The time of day to the millisecond. */
export const exactTime = (time) => exactClock.format(new Date(time));

/** The exact instant, for a tooltip and for reports. */
export const instant = (time) => new Date(time).toISOString();
