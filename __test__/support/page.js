'use strict';

// Just enough of a browser for the script of the admin page: elements by id, text, children, events.

const vm = require('node:vm');

class Element {
  constructor(tag) {
    Object.assign(this, { tag, children: [], listeners: {}, attributes: {}, style: {}, own: '' });
    Object.assign(this, { value: '', className: '', hidden: false, open: false });
  }

  get textContent() {
    return this.own + this.children.map((child) => child.textContent).join('');
  }

  set textContent(text) {
    this.own = String(text);
    this.children = [];
  }

  get lastElementChild() {
    return this.children.at(-1);
  }

  append(...children) {
    for (const child of children) this.insertBefore(child, null);
  }

  insertBefore(child, next) {
    child.remove();
    child.parent = this;
    this.children.splice(next === null ? this.children.length : this.children.indexOf(next), 0, child);
  }

  replaceChildren(...children) {
    this.children = [];
    this.append(...children);
  }

  remove() {
    const siblings = this.parent?.children ?? [];
    if (siblings.includes(this)) siblings.splice(siblings.indexOf(this), 1);
  }

  setAttribute(name, value) {
    this.attributes[name] = value;
  }

  addEventListener(type, listener) {
    this.listeners[type] = listener;
  }

  fire(type) {
    this.listeners[type]?.({ preventDefault() {} });
  }

  focus() {
    this.page.activeElement = this;
  }

  showModal() {
    this.open = true;
  }

  close() {
    this.open = false;
  }
}

/** Runs the script of a page at a path. `fetch` is asked for everything. */
function open(html, { path, fetch, storage = new Map() }) {
  const byId = new Map();
  const page = { activeElement: undefined, hidden: false };
  const made = (tag) => Object.assign(new Element(tag), { page });
  for (const [, tag, before, id, after] of html.matchAll(/<(\w+)([^<>]*) id="([\w-]+)"([^<>]*)>/g)) {
    const element = made(tag);
    element.hidden = /\bhidden\b/.test(before + after);
    element.value = /value="([^"]*)"/.exec(before + after)?.[1] ?? '';
    byId.set(id, element);
  }
  byId.get('namespace').append(made('option'));
  const [, script] = /<script>([^]*)<\/script>/.exec(html);
  const document = {
    getElementById: (id) => byId.get(id) ?? null,
    createElement: made,
    addEventListener() {},
    get hidden() {
      return page.hidden;
    },
  };
  const sessionStorage = {
    getItem: (name) => storage.get(name) ?? null,
    setItem: (name, value) => storage.set(name, value),
    removeItem: (name) => storage.delete(name),
  };
  const ticks = [];
  const setInterval = (tick) => ticks.push(tick);
  const browser = { document, sessionStorage, fetch, setInterval, location: { pathname: path }, Headers, URLSearchParams, navigator: {} };
  vm.runInNewContext(script, browser, { filename: 'dashboard.html' });
  return { byId: (id) => byId.get(id), page, storage, tick: () => ticks.forEach((tick) => tick()) };
}

module.exports = { open };
