'use strict';

const { json, members, number, text } = require('./arguments.js');
const { native, shared, call, FIRST, NOTICES } = require('./native.js');
const { RecordType, RecordOwner, LiveRecord } = require('./live-record.js');

const KEY_RECORD = new RecordType({
  fields: [
    'key',
    'name',
    'credits',
    'totalSpent',
    'totalCalls',
    'createdAt',
    'lastUsedAt',
    'active',
    'spendingLimit',
    'allowedTools',
    'deniedTools',
    'expiresAt',
    'quota',
    'tags',
    'ipAllowlist',
    'namespace',
    'quotaDailyCalls',
    'quotaMonthlyCalls',
    'quotaDailyCredits',
    'quotaMonthlyCredits',
    'quotaLastResetDay',
    'quotaLastResetMonth',
  ],
  numbers: [
    'credits',
    'totalSpent',
    'totalCalls',
    'spendingLimit',
    'quotaDailyCalls',
    'quotaMonthlyCalls',
    'quotaDailyCredits',
    'quotaMonthlyCredits',
  ],
  nested: ['allowedTools', 'deniedTools', 'tags', 'ipAllowlist'],
  show: native.storeRecord,
  read: native.storeRead,
  write: native.storeWrite,
  writeNumber: native.storeWriteNumber,
});

/** Most tags that count at creation. */
const TAGS_MAX = 50;

/** Own to the package: what a store is made of, for the gate that owns it. */
const PARTS = Symbol('parts');

/** Tags as pairs of texts, as they count at creation. */
function tagPairs(tags) {
  if (typeof tags !== 'object' || tags === null) return [];
  return Object.entries(tags).slice(0, TAGS_MAX).map(([name, value]) => [name, text(value, `options.tags.${name}`)]);
}

/** Options of a new key as native code takes them. */
function cleaned(options) {
  const { allowedTools, deniedTools, expiresAt, quota, tags, ipAllowlist, namespace } = options ?? {};
  const given = {
    allowedTools,
    deniedTools,
    ipAllowlist,
    tags: tagPairs(tags),
    expiresAt: expiresAt || undefined,
    namespace: typeof namespace === 'string' && namespace !== '' ? namespace : undefined,
    quota,
  };
  return json(given, 'options');
}

class KeyStore {
  constructor(statePath) {
    this.statePath = statePath ? text(statePath, 'statePath') : null;
    const handle = this.statePath === null ? call(native.storeNew) : openFile(this.statePath);
    const owner = new RecordOwner(KEY_RECORD, handle);
    Object.defineProperty(this, PARTS, { value: { handle, owner, records: [] } });
    this.keys = new KeyMap(this);
  }

  createKey(name, initialCredits, options) {
    const { handle } = this[PARTS];
    pushUnseen(this);
    const given = [text(name, 'name'), number(initialCredits, 'initialCredits'), cleaned(options)];
    const place = change(handle, native.storeCreate, ...given);
    return opened(this, place, options);
  }

  importKey(key, name, credits, options) {
    const { handle, records } = this[PARTS];
    pushUnseen(this);
    key = text(key, 'key');
    const given = [text(name, 'name'), number(credits, 'credits'), cleaned(options)];
    const known = records[call(native.storeFind, handle, key)];
    known?.settle();
    const place = change(handle, native.storeImport, key, ...given);
    if (known !== undefined) {
      known.detach();
      records[place] = undefined;
    }
    return opened(this, place, options);
  }

  getKey(key) {
    const place = call(native.storeFind, this[PARTS].handle, text(key, 'key'));
    return place >= 0 && shared[FIRST] === 1 ? recordAt(this, place).proxy : null;
  }

  getKeyRaw(key) {
    const place = call(native.storeFind, this[PARTS].handle, text(key, 'key'));
    return place >= 0 ? recordAt(this, place).proxy : null;
  }

  isExpired(key) {
    return call(native.storeExpired, this[PARTS].handle, text(key, 'key'));
  }

  hasCredits(key, amount) {
    return call(native.storeHas, this[PARTS].handle, text(key, 'key'), number(amount, 'amount'));
  }

  deductCredits(key, amount) {
    return mutated(this, native.storeDeduct, key, number(amount, 'amount'));
  }

  addCredits(key, amount) {
    return mutated(this, native.storeGrant, key, number(amount, 'amount'));
  }

  setAcl(key, allowedTools, deniedTools) {
    const allowed = allowedTools === undefined ? undefined : nullable(allowedTools, 'allowedTools');
    const denied = deniedTools === undefined ? undefined : nullable(deniedTools, 'deniedTools');
    const changed = mutated(this, native.storeTools, key, allowed, denied);
    if (changed && allowedTools !== undefined) replaced(this, key, 'allowedTools');
    if (changed && deniedTools !== undefined) replaced(this, key, 'deniedTools');
    return changed;
  }

  setQuota(key, quota) {
    const changed = quota
      ? mutated(this, native.storeQuota, key, nullable(quota, 'quota'))
      : mutated(this, native.storeQuota, key);
    if (changed) recordOf(this, key).holdQuota(quota || undefined);
    return changed;
  }

  setExpiry(key, expiresAt) {
    return mutated(this, native.storeExpiry, key, nullable(expiresAt, 'expiresAt'));
  }

  setTags(key, tags) {
    if (this.getKey(key) === null) return false;
    const pairs = Object.entries(tags).map(([name, value]) => [name, value === null ? null : text(value, `tags.${name}`)]);
    const changed = mutated(this, native.storeTags, key, json(pairs, 'tags'));
    const { owner } = this[PARTS];
    owner.epoch += 1;
    const window = recordOf(this, key).windows.get('tags');
    // A rotated key and its heir have one object for both: what one was given the other has too.
    if (window !== undefined && window.records.length > 1) {
      const record = recordOf(this, key);
      window.epoch = owner.epoch;
      record.read('tags', KEY_RECORD.fields.get('tags'));
      window.changed();
    }
    return changed;
  }

  setIpAllowlist(key, ips) {
    const changed = mutated(this, native.storeAddresses, key, nullable(ips, 'ips'));
    if (changed) replaced(this, key, 'ipAllowlist');
    return changed;
  }

  checkIp(key, ip) {
    return call(native.storePermits, this[PARTS].handle, text(key, 'key'), text(ip, 'ip'));
  }

  revokeKey(key) {
    return mutated(this, native.storeRevoke, key);
  }

  rotateKey(oldKey) {
    const { handle, owner } = this[PARTS];
    pushUnseen(this);
    const key = text(oldKey, 'oldKey');
    owner.pushQuota(key);
    const old = call(native.storeFind, handle, key);
    const place = change(handle, native.storeRotate, key);
    if (place < 0) return null;
    const heir = recordAt(this, place);
    recordAt(this, old).shareWith(heir);
    return heir.proxy;
  }

  listKeys(namespace) {
    return listed(this, { namespace: namespace ? text(namespace, 'namespace') : undefined });
  }

  listKeysByTag(tags, namespace) {
    if (native.storeSize(this[PARTS].handle) === 0) return [];
    const wanted = Object.entries(members(tags, 'tags'));
    // Neither null nor what JSON has no form for is the text of any tag.
    if (wanted.some(([name, value]) => value === null || (value !== undefined && json(value, `tags.${name}`) === undefined))) return [];
    return listed(this, { namespace: namespace ? text(namespace, 'namespace') : undefined, tags: wanted });
  }

  listNamespaces() {
    return JSON.parse(call(native.storeNamespaces, this[PARTS].handle));
  }

  get activeKeyCount() {
    return call(native.storeActive, this[PARTS].handle);
  }

  save() {
    pushUnseen(this);
    change(this[PARTS].handle, native.storeSave);
  }
}

/** Handles of the stores with a state file, while anybody has them. */
const files = new Set();

/** A value as JSON text; what has no form there counts as null. */
function nullable(value, name) {
  return json(value, name) ?? 'null';
}

/** Opens a store with a state file, which is written for the last time when the process ends. */
function openFile(statePath) {
  const handle = call(native.storeNew, statePath);
  if (files.size === 0) process.on('exit', closeFiles);
  for (const held of files) {
    if (held.deref() === undefined) files.delete(held);
  }
  files.add(new WeakRef(handle));
  print(handle);
  return handle;
}

function closeFiles() {
  for (const held of files) {
    const handle = held.deref();
    if (handle !== undefined) change(handle, native.storeClose);
  }
}

/** What callers changed in their hands reaches the file with the next change of any key. */
function pushUnseen(store) {
  if (store.statePath !== null) store[PARTS].owner.pushAll();
}

/** Calls a native function that writes, and prints what there is to print. */
function change(handle, run, ...given) {
  const answer = call(run, handle, ...given);
  print(handle);
  return answer;
}

/** Prints what a store has to tell of its file. */
function print(handle) {
  if (shared[NOTICES] === 0) return;
  shared[NOTICES] = 0;
  const answers = shared.slice();
  for (const [isGood, line] of JSON.parse(call(native.storeNotices, handle))) {
    if (isGood) console.log(line);
    else console.error(line);
  }
  shared.set(answers);
}

/** The window on the record at a place. */
function recordAt(store, place) {
  const { handle, owner, records } = store[PARTS];
  return (records[place] ??= new LiveRecord(owner, place, native.storeKeyAt(handle, place)));
}

/** The window on the record of a key that is known. */
function recordOf(store, key) {
  return recordAt(store, call(native.storeFind, store[PARTS].handle, text(key, 'key')));
}

function opened(store, place, options) {
  const record = recordAt(store, place);
  if (options?.quota !== undefined) record.holdQuota(options.quota);
  return record.proxy;
}

/** Calls a native method that changes a key, after what callers changed in their hands. */
function mutated(store, run, key, ...given) {
  const { handle, owner } = store[PARTS];
  pushUnseen(store);
  const name = text(key, 'key');
  owner.pushQuota(name);
  return change(handle, run, name, ...given);
}

/** A method gave the record another list: the one in callers' hands is its no longer. */
function replaced(store, key, name) {
  const record = recordOf(store, key);
  record.windows.get(name)?.leave(record);
}

/** Records as they are listed: fresh objects, but the lists, tags and quotas in them are the records' own. */
function listed(store, filter) {
  const { handle, owner } = store[PARTS];
  owner.pushQuotas();
  const rows = JSON.parse(call(native.storeList, handle, json(filter, 'tags')));
  return rows.map(([place, row]) => {
    const record = recordAt(store, place);
    for (const name of KEY_RECORD.nested) {
      if (typeof row[name] === 'object' && row[name] !== null) row[name] = record.nested(name, row[name]);
    }
    if (typeof row.quota === 'object' && row.quota !== null) row.quota = record.quota(row.quota);
    return row;
  });
}

/** The records of a store by key, in order, as a Map shows its entries. */
class KeyMap {
  #store;

  constructor(store) {
    this.#store = store;
  }

  get size() {
    return native.storeSize(this.#store[PARTS].handle);
  }

  has(key) {
    return this.get(key) !== undefined;
  }

  get(key) {
    return this.#store.getKeyRaw(key) ?? undefined;
  }

  *entries() {
    for (let place = 0; place < this.size; place += 1) {
      const record = recordAt(this.#store, place);
      yield [record.name, record.proxy];
    }
  }

  *keys() {
    for (const [key] of this.entries()) yield key;
  }

  *values() {
    for (const [, record] of this.entries()) yield record;
  }

  forEach(visit, receiver) {
    for (const [key, record] of this.entries()) visit.call(receiver, record, key, this);
  }

  [Symbol.iterator]() {
    return this.entries();
  }
}

module.exports = { KeyStore, PARTS, print };
