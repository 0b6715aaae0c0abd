// Builds and updates the page: a tree of plain objects is compared with the one before, and only differences touch
// the document, so that focus, selection and scroll positions stay. Texts are only ever text nodes, never markup.

const SVG = 'http://www.w3.org/2000/svg';
const PROPERTIES = new Set(['value', 'checked', 'disabled', 'hidden', 'open', 'selected']);

/** A node: a tag name (or an element that keeps itself), its attributes, its children. `key` names it among siblings. */
export function h(tag, attributes, ...children) {
  const { key, ...rest } = attributes ?? {};
  return { tag, key, attributes: rest, children: children.flat(Infinity) };
}

/** Makes the children of `host` what `nodes` say. */
export function render(host, ...nodes) {
  host.shown = reconcile(host, host.shown ?? new Map(), nodes.flat(Infinity));
}

function reconcile(parent, before, nodes) {
  const after = new Map();
  nodes.forEach((node, index) => {
    if (node === null || node === undefined || node === false || node === '') return;
    const wanted = typeof node === 'object' ? node : { tag: '#text', text: String(node) };
    const name = wanted.key ?? `${index}:${typeof wanted.tag === 'string' ? wanted.tag : 'own'}`;
    after.set(name, fit(before.get(name), wanted, parent));
    before.delete(name);
  });
  for (const gone of before.values()) gone.element.remove();
  let place = parent.firstChild;
  for (const { element } of after.values()) {
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
  }
  return after;
}

/** The record of a node on the page: the one that was there, brought up to date, or a new one. */
function fit(old, node, parent) {
  if (node.tag === '#text') return fitText(old, node);
  const isSame = old && old.tag === node.tag;
  const record = isSame ? old : { tag: node.tag, element: create(node.tag, parent), attributes: {}, children: new Map() };
  if (old && !isSame) old.element.remove();
  // Children first: the value of a select is one of its options.
  if (typeof node.tag === 'string') record.children = reconcile(record.element, record.children, node.children);
  update(record, node.attributes);
  return record;
}

function fitText(old, { text }) {
  if (old?.tag !== '#text') {
    old?.element.remove();
    return { tag: '#text', text, element: document.createTextNode(text) };
  }
  if (old.text !== text) {
    old.element.data = text;
    old.text = text;
  }
  return old;
}

function create(tag, parent) {
  if (typeof tag !== 'string') return tag;
  const isDrawn = tag === 'svg' || (parent.namespaceURI === SVG && parent.tagName !== 'foreignObject');
  return isDrawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
}

function update(record, attributes) {
  const { element } = record;
  for (const name of Object.keys(record.attributes)) {
    if (!(name in attributes)) set(element, name, null);
  }
  for (const [name, value] of Object.entries(attributes)) {
    // What a person typed or chose is compared with the element, not with what was said before.
    const shown = PROPERTIES.has(name) ? element[name] : record.attributes[name];
    if (shown !== value) set(element, name, value);
  }
  record.attributes = attributes;
}

function set(element, name, value) {
  if (name.startsWith('on')) element[name] = value;
  else if (PROPERTIES.has(name)) element[name] = value ?? false;
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? '' : value);
}
