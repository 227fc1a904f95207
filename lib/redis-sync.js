'use strict';

// Redis has the keys of several gates; each gate's store is a copy of them. What is money in this is decided by native
// code and by scripts that run in Redis; here stands who is asked when.

const { callable, json, members, number, text, wrong, written } = require('./arguments.js');
const { native, call } = require('./native.js');
const { PARTS, print } = require('./key-store.js');
const { RedisSubscriber } = require('./redis-subscriber.js');

const INTERVAL_MS = 5000;
/** The longest time that Node's timers take. */
const INTERVAL_MS_MAX = 2 ** 31 - 1;
const WINDOW_MS = 60_000;
const CREDITS_MAX = Number.MAX_SAFE_INTEGER;
/** Keys that are read in one go. */
const KEYS_AT_A_TIME = 200;

// What became of a change in the copy; crates/node/src/redis_sync.rs has the same list.
const MADE = 0;
const STALE = 2;

// What a pull answers where it gives no place.
const NO_RECORD = -2;

// What the scripts answer; crates/redis/scripts/ has them.
const DONE = 1;
const NO_SUCH_KEY = -1;
const SUM_TOO_LARGE = -2;

/** Names of everything in Redis, and the scripts. */
let names;

/** Own to the package: what a synchronisation is made of. */
const SYNC = Symbol('sync');

class RedisSync {
  constructor(redis, store, syncIntervalMs = INTERVAL_MS) {
    if (typeof redis !== 'object' || redis === null) throw wrong('redis', 'a RedisClient', redis);
    if (store?.[PARTS] === undefined) throw wrong('store', 'a KeyStore', store);
    names ??= JSON.parse(call(native.syncNames));
    this.instanceId = call(native.syncInstance);
    Object.defineProperty(this, SYNC, {
      value: {
        redis,
        store,
        intervalMs: Math.min(number(syncIntervalMs, 'syncIntervalMs'), INTERVAL_MS_MAX),
        handle: call(native.syncNew, store[PARTS].handle),
        /** What Redis is still to be told, by key: whether all fields, and whether that it is revoked. */
        unsaved: new Map(),
        timer: undefined,
        loading: false,
        subscriber: undefined,
        subscriberOptions: undefined,
        destroyed: false,
      },
    });
  }

  get isConnected() {
    return this[SYNC].redis.isConnected;
  }

  get isPubSubActive() {
    return this[SYNC].subscriber?.isSubscribed ?? false;
  }

  async init(subscriberOpts) {
    const sync = this[SYNC];
    sync.destroyed = false;
    await ask(sync.redis, 'connect');
    await ask(sync.redis, 'ping');
    console.log('[paygate:redis] Connected to Redis');
    await load(this);
    if (sync.destroyed) return;
    clearInterval(sync.timer);
    sync.timer = setInterval(() => refresh(this), sync.intervalMs);
    sync.subscriberOptions = subscriberOpts;
    if (subscriberOpts) await listenToOthers(this);
  }

  async destroy() {
    const sync = this[SYNC];
    sync.destroyed = true;
    clearInterval(sync.timer);
    sync.timer = undefined;
    await sync.subscriber?.disconnect();
    sync.subscriber = undefined;
    await ask(sync.redis, 'disconnect');
  }

  async saveKey(record) {
    await saving(this, 'Save key', record, async () => {
      await save(this, record);
      await this.publishEvent({ type: 'key_updated', key: record.key });
    });
  }

  async saveAll() {
    for (const record of [...this[SYNC].store.keys.values()]) {
      if (!(await saving(this, 'SaveAll', record, () => save(this, record)))) return;
    }
  }

  async atomicDeduct(apiKey, amount) {
    const { redis, handle, unsaved } = this[SYNC];
    const key = text(apiKey, 'apiKey');
    const credits = number(amount, 'amount');
    call(native.syncAmount, credits);
    const deduction = call(native.syncBegin, handle, key, credits);
    let answer;
    try {
      answer = await redis.evalLua(names.deduct, 1, names.record + key, String(credits), new Date().toISOString());
    } catch (error) {
      complain('Atomic deduct', error);
      const isHereAlone = certainlyNotDone(error);
      const made = change(this, native.syncSettle, deduction, isHereAlone ? 1 : 0) === MADE;
      if (made && isHereAlone) remember(unsaved, key, {});
      return made;
    }
    if (answer !== DONE) {
      call(native.syncAbandon, handle, deduction);
      return false;
    }
    if (change(this, native.syncSettle, deduction, 0) === STALE) await reread(this, key);
    await publishNumbers(this, key, names.sharedNumbers);
    return true;
  }

  async atomicTopup(apiKey, amount) {
    const { unsaved } = this[SYNC];
    const key = text(apiKey, 'apiKey');
    const credits = call(native.syncFloor, number(amount, 'amount'));
    if (credits === 0) return false;
    let answer;
    try {
      answer = await topUp(this, key, credits);
    } catch (error) {
      complain('Atomic topup', error);
      const isHereAlone = certainlyNotDone(error);
      const made = change(this, native.syncTopUp, key, credits, isHereAlone ? 1 : 0) === MADE;
      if (made && isHereAlone) remember(unsaved, key, {});
      return made;
    }
    if (answer === SUM_TOO_LARGE) throw new RangeError(`amount is too large: the sum would be more than ${CREDITS_MAX} credits`);
    if (answer !== DONE) return false;
    if (change(this, native.syncTopUp, key, credits, 0) === STALE) await reread(this, key);
    await publishNumbers(this, key, ['credits']);
    return true;
  }

  async revokeKey(apiKey) {
    const { redis, store, unsaved } = this[SYNC];
    const key = text(apiKey, 'apiKey');
    const revoked = store.revokeKey(key);
    try {
      await redis.hset(names.record + key, 'active', '0');
    } catch (error) {
      complain('Revoke', error);
      if (revoked) remember(unsaved, key, { isRevoked: true });
      return revoked;
    }
    await this.publishEvent({ type: 'key_revoked', key });
    return revoked;
  }

  async publishEvent(event) {
    try {
      await this[SYNC].redis.publish(names.events, written({ ...event, instanceId: this.instanceId }, 'event'));
    } catch (error) {
      complain('Publish', error);
    }
  }

  async recordUsage(event) {
    const { redis } = this[SYNC];
    try {
      // An entry that is no JSON would spoil the whole list.
      const entry = json(event, 'event');
      if (entry === undefined) throw wrong('event', 'an object', event);
      await Promise.all([
        redis.rpush(names.usage, entry),
        redis.ltrim(names.usage, -names.usageMax, -1),
      ]);
    } catch (error) {
      complain('Usage record', error);
    }
  }

  async getUsageEvents(since) {
    try {
      const events = (await this[SYNC].redis.lrange(names.usage, 0, -1)).map((event) => JSON.parse(event));
      return since ? events.filter((event) => event.timestamp >= since) : events;
    } catch (error) {
      complain('Usage get', error);
      return [];
    }
  }

  async getUsageCount() {
    try {
      return await this[SYNC].redis.llen(names.usage);
    } catch {
      return 0;
    }
  }

  async checkRateLimit(key, maxCalls, windowMs = WINDOW_MS) {
    const [name, most] = [names.rate + text(key, 'key'), number(maxCalls, 'maxCalls')];
    // What is no number is no limit either.
    if (!(most > 0)) return { allowed: true, remaining: Infinity, resetInMs: 0 };
    const window = Math.floor(number(windowMs, 'windowMs'));
    const now = Date.now();
    try {
      const given = [now, window, most].map(String);
      const answer = await this[SYNC].redis.evalLua(names.rateCheck, 1, name, ...given);
      const [isCounted, count, oldest] = answer;
      return isCounted === DONE
        ? { allowed: true, remaining: most - count, resetInMs: window }
        : { allowed: false, remaining: 0, resetInMs: Math.max(0, oldest + window - now) };
    } catch (error) {
      complain('Rate check', error);
      return { allowed: true, remaining: most - 1, resetInMs: window };
    }
  }
}

/** Calls a method of the client, which is anything that has it. */
function ask(redis, method) {
  return callable(redis[method], `redis.${method}`).call(redis);
}

function complain(what, error) {
  console.error(`[paygate:redis] ${what} error: ${messageOf(error)}`);
}

function messageOf(error) {
  return error instanceof Error ? error.message : String(error?.message ?? error);
}

/** Whether Redis has surely not done what failed: it was not reached, or it refused. */
function certainlyNotDone(error) {
  return typeof error?.code === 'string' && error.code !== 'ERR_REDIS_UNANSWERED';
}

/** Calls a native function that changes the store, and prints what the store has to tell. */
function change(owner, run, ...given) {
  const { handle, store } = owner[SYNC];
  const answer = call(run, handle, ...given);
  print(store[PARTS].handle);
  return answer;
}

// ── Loading ──────────────────────────────────────────────────────────────────

/** Follows what others did, and what was missed. */
async function refresh(owner) {
  const sync = owner[SYNC];
  if (sync.loading) return;
  await load(owner);
  if (sync.subscriberOptions && !sync.destroyed && !owner.isPubSubActive) await listenToOthers(owner);
}

async function load(owner) {
  const sync = owner[SYNC];
  sync.loading = true;
  try {
    const members = (await sync.redis.command('SMEMBERS', names.keys)) ?? [];
    if (members.length === 0) await push(owner);
    else await pull(owner, members);
  } catch (error) {
    // Who has destroyed it knows that it is no longer connected.
    if (!sync.destroyed) complain('Load', error);
  } finally {
    sync.loading = false;
  }
}

/** Writes all keys of the store. */
async function push(owner) {
  const { redis, store, unsaved } = owner[SYNC];
  const records = [...store.keys.values()];
  if (records.length === 0) return;
  for (const record of records) {
    await writeWhole(owner, record.key, plain(record));
    await redis.command('SADD', names.keys, record.key);
    unsaved.delete(record.key);
  }
  console.log(`[paygate:redis] Pushed ${records.length} local key(s) to Redis`);
}

/** Takes over all records, after Redis was told what it could not be told before. A bad one keeps no other back. */
async function pull(owner, members) {
  await saveUnsaved(owner);
  let loaded = 0;
  for (let at = 0; at < members.length; at += KEYS_AT_A_TIME) {
    const failures = new Map();
    // Taken over as each arrives: what was deducted meanwhile comes in its turn.
    const reading = members.slice(at, at + KEYS_AT_A_TIME).map(async (key) => {
      try {
        if (takeOver(owner, await owner[SYNC].redis.hgetall(names.record + key))) loaded += 1;
      } catch (error) {
        failures.set(messageOf(error), error);
      }
    });
    await Promise.all(reading);
    if (owner[SYNC].destroyed) return;
    for (const failure of failures.values()) complain('Load', failure);
  }
  if (loaded > 0) console.log(`[paygate:redis] Synced ${loaded} key(s) from Redis`);
}

/** Tells Redis what it could not be told when it happened. */
async function saveUnsaved(owner) {
  const { store, unsaved } = owner[SYNC];
  for (const [key, { isWhole, isRevoked }] of [...unsaved]) {
    unsaved.delete(key);
    const record = store.getKeyRaw(key);
    if (record === null) continue;
    try {
      if (isWhole) await save(owner, record);
      else await saveChanges(owner, record, isRevoked ? ['active', '0'] : []);
    } catch (error) {
      if (certainlyNotDone(error)) remember(unsaved, key, { isWhole, isRevoked });
      throw error;
    }
    await owner.publishEvent({ type: isRevoked ? 'key_revoked' : 'key_updated', key });
  }
}

/** Notes that Redis is to be told of a key. */
function remember(unsaved, key, { isWhole = false, isRevoked = false }) {
  const known = unsaved.get(key);
  unsaved.set(key, { isWhole: isWhole || known?.isWhole === true, isRevoked: isRevoked || known?.isRevoked === true });
}

/** Takes a hash over into the store. False for one that is no record. */
function takeOver(owner, hash) {
  const { handle, store } = owner[SYNC];
  if (!hash?.key) return false;
  const { handle: books, owner: records, records: windows } = store[PARTS];
  const key = text(hash.key, 'hash.key');
  records.pushQuota(key);
  windows[call(native.storeFind, books, key)]?.settle();
  const place = call(native.syncPull, handle, texts(hash));
  if (place >= 0) {
    // The record is another one, as if it had been imported: objects in callers' hands stay what they were.
    windows[place]?.detach();
    windows[place] = undefined;
  }
  return place !== NO_RECORD;
}

function texts(hash) {
  const fields = Object.entries(hash ?? {}).map(([field, value]) => [field, text(value, `hash.${field}`)]);
  return json(Object.fromEntries(fields), 'hash');
}

/** Reads one key anew. */
async function reread(owner, key) {
  try {
    takeOver(owner, await owner[SYNC].redis.hgetall(names.record + key));
  } catch (error) {
    complain('Single key refresh', error);
  }
}

// ── Saving ───────────────────────────────────────────────────────────────────

/** A record as JSON text. */
function plain(record) {
  return json({ ...record }, 'record');
}

/** All fields and their texts, but for the numbers that others change as well. */
function labelsOf(given) {
  const fields = JSON.parse(call(native.syncEncode, given));
  const labels = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (!names.sharedNumbers.includes(fields[i])) labels.push(fields[i], fields[i + 1]);
  }
  return labels;
}

/** Runs a save. A failure is told, and made good later if the store has the key. */
async function saving(owner, what, record, run) {
  const { store, unsaved } = owner[SYNC];
  try {
    await run();
    return true;
  } catch (error) {
    complain(what, error);
    if (typeof record?.key === 'string' && store.getKeyRaw(record.key) !== null) {
      remember(unsaved, record.key, { isWhole: true });
    }
    return false;
  }
}

/** Writes a key: its fields, and what its numbers changed by; the numbers themselves where Redis has no such key. */
async function save(owner, record) {
  const { redis, handle } = owner[SYNC];
  const key = text(members(record, 'record').key, 'record.key');
  const given = plain(record);
  const differences = call(native.syncUnsaved, handle, key, given);
  if (differences === undefined || !(await add(owner, key, differences, labelsOf(given)))) {
    await writeWhole(owner, key, given);
  }
  await redis.command('SADD', names.keys, key);
}

/** Writes what a key's numbers changed by, and some fields. Of a key that never met Redis nothing is known to differ. */
async function saveChanges(owner, record, fields) {
  const { redis, handle } = owner[SYNC];
  const key = text(record.key, 'record.key');
  const differences = call(native.syncUnsaved, handle, key, plain(record));
  if (differences !== undefined && (await add(owner, key, differences, fields))) return;
  call(native.syncNotSaved, handle, key);
  if (fields.length > 0) await redis.hset(names.record + key, ...fields);
}

/** Adds to the numbers of a key and writes fields. False when Redis has no such key. */
async function add(owner, key, differences, fields) {
  const { redis, handle } = owner[SYNC];
  try {
    const script = redis.evalLua(names.save, 1, names.record + key, ...JSON.parse(differences), ...fields);
    return (await script) === DONE;
  } catch (error) {
    if (certainlyNotDone(error)) call(native.syncNotSaved, handle, key, differences);
    throw error;
  }
}

/** Writes a key as the store has it, numbers included. */
async function writeWhole(owner, key, given) {
  const { redis, handle } = owner[SYNC];
  call(native.syncNotSaved, handle, key);
  call(native.syncUnsaved, handle, key, given);
  try {
    await redis.hset(names.record + key, ...JSON.parse(call(native.syncEncode, given)));
  } catch (error) {
    call(native.syncNotSaved, handle, key);
    throw error;
  }
}

/** Has Redis add credits. A key that only the store has is written first. */
async function topUp(owner, key, credits) {
  const { redis, store } = owner[SYNC];
  const ask = () => redis.evalLua(names.topUp, 1, names.record + key, String(credits), String(CREDITS_MAX));
  const answer = await ask();
  const record = answer === NO_SUCH_KEY ? store.getKey(key) : null;
  if (record === null) return answer;
  await writeWhole(owner, key, plain(record));
  await redis.command('SADD', names.keys, key);
  return ask();
}

// ── Telling and hearing ──────────────────────────────────────────────────────

/** Tells the others what the store has now. */
async function publishNumbers(owner, key, fields) {
  const record = owner[SYNC].store.getKeyRaw(key);
  if (record === null) return;
  const data = Object.fromEntries(fields.map((field) => [field, record[field]]));
  await owner.publishEvent({ type: 'credits_changed', key, data });
}

async function listenToOthers(owner) {
  const sync = owner[SYNC];
  try {
    await sync.subscriber?.disconnect();
    const subscriber = new RedisSubscriber(sync.subscriberOptions);
    sync.subscriber = subscriber;
    await subscriber.connect();
    await subscriber.subscribe(names.events, (channel, message) => void hear(owner, message));
    // It may have been destroyed meanwhile.
    if (sync.subscriber !== subscriber) return await subscriber.disconnect();
    console.log(`[paygate:redis] Pub/sub active (instance: ${owner.instanceId.slice(0, 8)})`);
  } catch (error) {
    if (!sync.destroyed) console.error(`[paygate:redis] Pub/sub setup failed: ${messageOf(error)}`);
  }
}

async function hear(owner, message) {
  const event = parsed(message);
  if (typeof event !== 'object' || event === null || event.instanceId === owner.instanceId) return;
  try {
    owner.onPubSubEvent?.(event);
  } catch {
    // What the listener refuses is not followed here either.
    return;
  }
  if (owner[SYNC].destroyed || typeof event.key !== 'string') return;
  await follow(owner, event);
}

function parsed(message) {
  try {
    return JSON.parse(message);
  } catch {
    return undefined;
  }
}

/** Follows what another gate did. Its message is a hint: what counts is what lies in Redis. */
async function follow(owner, { type, key, data }) {
  const { redis, handle, store } = owner[SYNC];
  switch (type) {
    case 'credits_changed':
      if (store.getKeyRaw(key) === null) return;
      try {
        const hash = await redis.hgetall(names.record + key);
        const told = names.sharedNumbers.map((field) => (typeof data?.[field] === 'number' ? data[field] : null));
        call(native.syncNumbers, handle, key, texts(hash), json(told, 'event.data'));
      } catch (error) {
        complain('Single key refresh', error);
      }
      return;
    case 'key_revoked':
      if (store.getKeyRaw(key) !== null) store.revokeKey(key);
      return;
    case 'key_updated':
    case 'key_created':
      await reread(owner, key);
      return;
    default:
  }
}

module.exports = { RedisSync };
