// The icon of the browser's tab: the shield in the colour of the state.

/** The same in both themes: a browser's tab strip has its own. */
const COLOURS = { green: '#1f8a54', yellow: '#c98a04', red: '#d43d32', gray: '#7a828e' };

let shown = null;

/** Gives the icon this colour of the contract. */
export function paint(colour) {
  if (colour === shown) return;
  shown = colour;
  const drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    + `<path d="M16 2 4 6.5V15c0 7.2 5 12.6 12 15 7-2.4 12-7.8 12-15V6.5z" fill="${COLOURS[colour]}"/>${MARKS[colour]}</svg>`;
  document.getElementById('favicon').href = `data:image/svg+xml,${encodeURIComponent(drawing)}`;
}

const STROKE = 'fill="none" stroke="#fff" stroke-width="3.4" stroke-linecap="round" stroke-linejoin="round"';

/** A mark of its own for each, since some people see no colours. */
const MARKS = {
  green: `<path d="M10.5 16.2l3.9 3.9 7.3-8" ${STROKE}/>`,
  yellow: `<path d="M16 9.5v7.5M16 22.2v.1" ${STROKE}/>`,
  red: `<path d="M11.5 11.5l9 9M20.5 11.5l-9 9" ${STROKE}/>`,
  gray: `<path d="M11 16h10" ${STROKE}/>`,
};
