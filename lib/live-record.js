'use strict';

// Live records: what a key store or a team manager hands out looks like a plain object and is a window on the books.
// Reading a field asks the books, writing one changes them at once. Lists and tags inside are windows too; a quota is
// the caller's own object, which is compared with what the books have before each decision that it counts in.

const { inspect } = require('node:util');
const { json, number, readable, written } = require('./arguments.js');
const { shared, call, JSON_TEXT } = require('./native.js');

const NUMBER = 1;
const QUOTA = 2;
const OTHER = 3;

/**
 * What kind of record it is: the fields the books know, in their order, and the native functions over them.
 * `kinds` has one of the constants above for each field.
 */
class RecordType {
  constructor({ fields, numbers, nested, show, read, write, writeNumber }) {
    this.fields = new Map(fields.map((name, index) => [name, index]));
    this.kinds = fields.map((name) =>
      numbers.includes(name) ? NUMBER : name === 'quota' ? QUOTA : OTHER,
    );
    this.nested = nested;
    /** The fields of a record that has no others. */
    this.blank = Object.fromEntries(fields.map((name) => [name, undefined]));
    this.show = show;
    this.read = read;
    this.write = write;
    this.writeNumber = writeNumber;
  }
}

/** What the records of one store share. */
class RecordOwner {
  constructor(type, handle) {
    this.type = type;
    this.handle = handle;
    /** Counts the changes of lists and tags that did not come through a window. */
    this.epoch = 0;
    /** Whether other threads change lists and tags too, so that each reading asks the books. */
    this.served = false;
    /** Quotas that callers hold, by what their record is found by. */
    this.quotas = new Map();
    /** Records with objects in fields of the caller's own. */
    this.withOwnObjects = new Set();
    /** Quotas that were read in this turn of the event loop. */
    this.justRead = new Set();
  }

  /** Tells the books of a quota that its holder has changed. */
  pushQuota(name) {
    const held = this.quotas.get(name);
    if (held !== undefined) held.push();
  }

  /** As `pushQuota`, of all quotas. */
  pushQuotas() {
    for (const held of this.quotas.values()) held.push();
  }

  /** Looks at a quota again when its reader is done, for decisions on other threads. */
  pushSoon(held) {
    if (this.justRead.size === 0) {
      queueMicrotask(() => {
        const justRead = [...this.justRead];
        this.justRead.clear();
        for (const read of justRead) read.tryPush();
      });
    }
    this.justRead.add(held);
  }

  /** Tells the books of everything that callers may have changed unseen, before the books are written. */
  pushAll() {
    this.pushQuotas();
    for (const record of this.withOwnObjects) record.pushOwnObjects();
  }
}

/** A quota object in a caller's hands, and its limits as the books have them. */
class HeldQuota {
  constructor(record, quota) {
    this.record = record;
    this.quota = quota;
    this.remember();
  }

  remember() {
    const { dailyCallLimit, monthlyCallLimit, dailyCreditLimit, monthlyCreditLimit } = this.quota;
    this.dailyCallLimit = dailyCallLimit;
    this.monthlyCallLimit = monthlyCallLimit;
    this.dailyCreditLimit = dailyCreditLimit;
    this.monthlyCreditLimit = monthlyCreditLimit;
  }

  /** As `push`; what cannot be read throws where the quota is next asked for. */
  tryPush() {
    try {
      this.push();
    } catch {
      // Nobody called: there is nobody to throw at.
    }
  }

  push() {
    const { quota } = this;
    // Another object, or another record, may have taken its place meanwhile.
    if (this.record.owner.quotas.get(this.record.name) !== this) return;
    if (
      Object.is(quota.dailyCallLimit, this.dailyCallLimit) &&
      Object.is(quota.monthlyCallLimit, this.monthlyCallLimit) &&
      Object.is(quota.dailyCreditLimit, this.dailyCreditLimit) &&
      Object.is(quota.monthlyCreditLimit, this.monthlyCreditLimit)
    ) {
      return;
    }
    this.remember();
    this.record.write('quota', quota);
  }
}

function put(object, name, value) {
  // `__proto__` is a field like any other.
  Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
}

// util.inspect looks at a Proxy's target; this makes it see the present values.
const INSPECT = {
  value() {
    return { ...this };
  },
  enumerable: false,
  configurable: true,
  writable: true,
};

/** The window on one record, and the handler of its Proxy. */
class LiveRecord {
  /** `place` is where the books have the record, `name` what it is found by. */
  constructor(owner, place, name) {
    this.owner = owner;
    this.place = place;
    this.name = name;
    /** False once another record took the place: the last values stay. */
    this.attached = true;
    this.windows = new Map();
    this.removed = null;
    this.ownTexts = null;
    this.target = null;
    this.made = null;
  }

  /** The object that is handed out; always the same. */
  get proxy() {
    return (this.made ??= new Proxy(this.fill(), this));
  }

  /** Makes the target. It has the record's fields in their order; what the books know is read when it is asked for. */
  fill() {
    const { type, handle } = this.owner;
    const shown = call(type.show, handle, this.place);
    const target = (this.target = shown === undefined ? { ...type.blank } : {});
    Object.defineProperty(target, inspect.custom, INSPECT);
    if (shown === undefined) return target;
    const [names, own] = JSON.parse(shown);
    for (const name of names) {
      put(target, name, own[name]);
      if (!type.fields.has(name)) this.watchOwn(name, own[name], json(own[name], name));
    }
    for (const name of type.fields.keys()) {
      if (!Object.hasOwn(target, name)) this.remove(name);
    }
    return target;
  }

  remove(name) {
    (this.removed ??= new Set()).add(name);
  }

  // ── The books ──────────────────────────────────────────────────────────────

  ask(field) {
    shared[JSON_TEXT] = 0;
    return this.owner.type.read(this.owner.handle, this.place, field);
  }

  read(name, field) {
    if (this.removed !== null && this.removed.has(name)) return undefined;
    const kind = this.owner.type.kinds[field];
    if (kind === NUMBER) return this.owner.type.read(this.owner.handle, this.place, field);
    if (kind === QUOTA) return this.readQuota(field);
    const value = this.ask(field);
    return shared[JSON_TEXT] === 0 ? value : this.window(name, value);
  }

  write(name, value) {
    const { type, handle } = this.owner;
    const given = json(value, name);
    if (given === undefined) call(type.write, handle, this.place, name);
    else call(type.write, handle, this.place, name, given);
  }

  assign(name, value) {
    const { type, handle } = this.owner;
    const field = type.fields.get(name);
    if (field === undefined) {
      this.noteOwn(name, value);
      put(this.target, name, value);
      return;
    }
    const kind = type.kinds[field];
    if (kind === NUMBER) call(type.writeNumber, handle, this.place, name, number(value, name));
    else if (kind === QUOTA) this.assignQuota(value);
    else if (value !== this.windows.get(name)?.proxy) {
      this.write(name, value);
      this.windows.get(name)?.leave(this);
    }
    this.bringBack(name);
  }

  /** Shows a field that may have been removed. */
  bringBack(name) {
    if (this.removed !== null && this.removed.delete(name)) put(this.target, name, undefined);
  }

  // ── Lists and tags ─────────────────────────────────────────────────────────

  /** The window on a list or tags, whose present content is the given JSON text. */
  window(name, content) {
    const known = this.windows.get(name);
    if (known !== undefined && known.refill(content)) return known.proxy;
    const window = new LiveObject(this, name, JSON.parse(content), content);
    this.windows.set(name, window);
    return window.proxy;
  }

  /** As `window`, for content that was read with the rest of a record. */
  nested(name, values) {
    let window = this.windows.get(name);
    if (window === undefined) {
      window = new LiveObject(this, name, values);
      this.windows.set(name, window);
    }
    window.refresh();
    return window.proxy;
  }

  // ── Quotas ─────────────────────────────────────────────────────────────────

  readQuota(field) {
    const { quotas } = this.owner;
    const held = quotas.get(this.name);
    if (held !== undefined) {
      held.push();
      this.owner.pushSoon(held);
      return held.quota;
    }
    const value = this.ask(field);
    return shared[JSON_TEXT] === 0 ? value : this.quota(JSON.parse(value));
  }

  /** The quota in callers' hands, for one that was read with the rest of a record. */
  quota(values) {
    const { quotas } = this.owner;
    let held = quotas.get(this.name);
    if (held === undefined) {
      held = new HeldQuota(this, values);
      quotas.set(this.name, held);
    }
    this.owner.pushSoon(held);
    return held.quota;
  }

  assignQuota(quota) {
    this.write('quota', quota);
    this.holdQuota(quota);
  }

  /** Takes an object for the quota that the books have already. */
  holdQuota(quota) {
    const isObject = typeof quota === 'object' && quota !== null;
    if (isObject) this.owner.quotas.set(this.name, new HeldQuota(this, quota));
    else this.owner.quotas.delete(this.name);
    if (quota !== undefined) this.bringBack('quota');
  }

  // ── Fields of the caller's own ─────────────────────────────────────────────

  /** Hands a field of the caller's own over, as far as it can be written; objects are looked at again later. */
  noteOwn(name, value) {
    let line;
    try {
      line = written(value, name);
    } catch {
      // What JSON cannot hold stays with the caller.
    }
    const content = line === undefined ? undefined : readable(line, name);
    this.watchOwn(name, value, content);
    const { type, handle } = this.owner;
    if (content === undefined) call(type.write, handle, this.place, name);
    else call(type.write, handle, this.place, name, content);
  }

  /** An object in such a field may be changed by whoever has it. */
  watchOwn(name, value, content) {
    if (typeof value === 'object' && value !== null) {
      (this.ownTexts ??= new Map()).set(name, content);
      this.owner.withOwnObjects.add(this);
    } else {
      this.ownTexts?.delete(name);
    }
  }

  pushOwnObjects() {
    if (this.ownTexts === null) return;
    for (const [name, before] of this.ownTexts) {
      let content;
      try {
        content = json(this.target[name], name);
      } catch {
        continue;
      }
      if (content !== before) this.noteOwn(name, this.target[name]);
    }
  }

  // ── What else happens to records ───────────────────────────────────────────

  /** Brings the object up to date, so that it keeps these values if it is let go. */
  settle() {
    for (const name of Object.keys(this.proxy)) {
      const field = this.owner.type.fields.get(name);
      if (field !== undefined) put(this.target, name, this.read(name, field));
    }
  }

  /** Lets the object go after `settle`: it is an ordinary one from now on. */
  detach() {
    for (const window of this.windows.values()) window.leave(this);
    if (this.owner.quotas.get(this.name)?.record === this) this.owner.quotas.delete(this.name);
    this.owner.withOwnObjects.delete(this);
    this.attached = false;
  }

  /** Shares lists, tags, quota and own fields with the record that takes this one's place. */
  shareWith(heir) {
    for (const name of this.owner.type.nested) {
      this.read(name, this.owner.type.fields.get(name));
      this.windows.get(name)?.join(heir);
    }
    const held = this.owner.quotas.get(this.name);
    if (held !== undefined) heir.holdQuota(held.quota);
    if (this.target === null) return;
    const own = heir.proxy;
    for (const name of Object.keys(this.target)) {
      if (!this.owner.type.fields.has(name)) own[name] = this.target[name];
    }
  }

  // ── The handler ────────────────────────────────────────────────────────────

  get(target, name) {
    if (this.attached) {
      const field = this.owner.type.fields.get(name);
      if (field !== undefined) return this.read(name, field);
    }
    return target[name];
  }

  set(target, name, value, receiver) {
    // An object that inherits from a record gets properties of its own.
    if (receiver !== this.made) return Reflect.set(target, name, value, receiver);
    if (this.attached && typeof name === 'string') this.assign(name, value);
    else put(target, name, value);
    return true;
  }

  defineProperty(target, name, descriptor) {
    if (!this.attached || typeof name !== 'string') return Reflect.defineProperty(target, name, descriptor);
    // A field of the books cannot be fixed or computed.
    if (descriptor.get || descriptor.set || descriptor.configurable === false) return false;
    if (!Object.hasOwn(target, name)) put(target, name, undefined);
    if ('value' in descriptor) this.assign(name, descriptor.value);
    if ('enumerable' in descriptor) Reflect.defineProperty(target, name, { enumerable: descriptor.enumerable });
    return true;
  }

  deleteProperty(target, name) {
    if (this.attached && typeof name === 'string' && Object.hasOwn(target, name)) {
      call(this.owner.type.write, this.owner.handle, this.place, name);
      if (this.owner.type.fields.has(name)) this.remove(name);
      if (name === 'quota') this.owner.quotas.delete(this.name);
      this.windows.get(name)?.leave(this);
      this.ownTexts?.delete(name);
    }
    return delete target[name];
  }

  getOwnPropertyDescriptor(target, name) {
    const descriptor = Reflect.getOwnPropertyDescriptor(target, name);
    if (descriptor !== undefined && this.attached) {
      const field = this.owner.type.fields.get(name);
      if (field !== undefined) descriptor.value = this.read(name, field);
    }
    return descriptor;
  }

  preventExtensions() {
    return false;
  }
}

/** The window on a list or tags, which rotated records share, and the handler of its Proxy. */
class LiveObject {
  constructor(record, name, target, content) {
    this.records = [record];
    this.name = name;
    this.target = target;
    this.content = content;
    this.epoch = record.owner.epoch;
    Object.defineProperty(target, inspect.custom, {
      ...INSPECT,
      value() {
        return Array.isArray(this) ? [...this] : { ...this };
      },
    });
    this.proxy = new Proxy(target, this);
  }

  /** Another record has the same object. */
  join(record) {
    this.records.push(record);
    record.windows.set(this.name, this);
  }

  /** The record has another object, or none: this one keeps its values. */
  leave(record) {
    this.refresh();
    this.records = this.records.filter((other) => other !== record);
    if (record.windows.get(this.name) === this) record.windows.delete(this.name);
  }

  /** Takes the content the books have. False when it is of another kind. */
  refill(content) {
    const { target } = this;
    if (content === this.content) return true;
    const values = JSON.parse(content);
    if (Array.isArray(values) !== Array.isArray(target)) return false;
    if (Array.isArray(target)) {
      target.length = 0;
      target.push(...values);
    } else {
      for (const name of Object.keys(target)) delete target[name];
      for (const name of Object.keys(values)) put(target, name, values[name]);
    }
    this.content = content;
    return true;
  }

  refresh() {
    const record = this.records[0];
    if (record === undefined) return;
    const { owner } = record;
    if (this.epoch === owner.epoch && !owner.served) return;
    this.epoch = owner.epoch;
    const value = record.ask(owner.type.fields.get(this.name));
    if (shared[JSON_TEXT] === 1) this.refill(value);
  }

  /** Tells the books of all records that have this object. */
  changed() {
    for (const record of this.records) record.write(this.name, this.target);
    this.content = json(this.target, this.name);
  }

  get(target, name) {
    this.refresh();
    return target[name];
  }

  has(target, name) {
    this.refresh();
    return Reflect.has(target, name);
  }

  ownKeys(target) {
    this.refresh();
    return Reflect.ownKeys(target);
  }

  getOwnPropertyDescriptor(target, name) {
    this.refresh();
    return Reflect.getOwnPropertyDescriptor(target, name);
  }

  set(target, name, value, receiver) {
    if (receiver !== this.proxy) return Reflect.set(target, name, value, receiver);
    this.refresh();
    const done = Reflect.set(target, name, value);
    this.changed();
    return done;
  }

  defineProperty(target, name, descriptor) {
    if (descriptor.configurable === false && name !== 'length') return false;
    this.refresh();
    const done = Reflect.defineProperty(target, name, descriptor);
    this.changed();
    return done;
  }

  deleteProperty(target, name) {
    this.refresh();
    const done = Reflect.deleteProperty(target, name);
    this.changed();
    return done;
  }

  preventExtensions() {
    return false;
  }
}

module.exports = { RecordType, RecordOwner, LiveRecord };
