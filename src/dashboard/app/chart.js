// Small charts of the last five minutes, drawn by hand: one line or area a series, no axes; their text says the figures.

import { h } from './dom.js';
import { SPAN } from './history.js';

const WIDTH = 300;
const HEIGHT = 40;
/** Room above and below a line, so that its stroke is not cut. */
const MARGIN = 2;

/**
 * A chart. `series`: `{ kind, values }`, values oldest first with null for a gap; all share one scale whose top is at
 * least `floor`, so that noise is not drawn as mountains.
 */
export function sparkline(label, series, floor) {
  const top = Math.max(floor, ...series.flatMap(({ values }) => values.filter((value) => value !== null)));
  const shapes = series.map(({ kind, values }) => {
    const runs = runsOf(values);
    const line = runs.map((run) => run.map((point) => place(point, top)).join('L')).map((run) => `M${run}`).join('');
    const area = runs.map((run) => closed(run, top)).join('');
    return [
      h('path', { key: `${kind}-area`, class: `area ${kind}`, d: area }),
      h('path', { key: `${kind}-line`, class: `line ${kind}`, d: line }),
    ];
  });
  const attributes = { class: 'sparkline', role: 'img', 'aria-label': label, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none' };
  return h('svg', attributes, h('path', { class: 'base', d: `M0 ${HEIGHT - MARGIN}H${WIDTH}` }), shapes);
}

/** Stretches without a gap; the newest sample stands at the right edge. */
function runsOf(values) {
  const runs = [];
  let run = null;
  values.forEach((value, index) => {
    if (value === null) run = null;
    else if (run) run.push({ x: SPAN - values.length + index, value });
    else runs.push(run = [{ x: SPAN - values.length + index, value }]);
  });
  return runs;
}

function place({ x, value }, top) {
  const y = HEIGHT - MARGIN - (value / top) * (HEIGHT - 2 * MARGIN);
  return `${((x + 1) * WIDTH / SPAN).toFixed(1)} ${y.toFixed(1)}`;
}

function closed(run, top) {
  const x = (point) => ((point.x + 1) * WIDTH / SPAN).toFixed(1);
  const bottom = HEIGHT - MARGIN;
  return `M${x(run[0])} ${bottom}L${run.map((point) => place(point, top)).join('L')}L${x(run.at(-1))} ${bottom}Z`;
}
