'use strict';

const { json, text } = require('./arguments.js');
const { native, call, promised, listen, unlisten, hold, release } = require('./native.js');
const { connectionOptions } = require('./redis-url.js');

// Kinds of what is told; crates/node/src/redis_client.rs has the same list.
const MESSAGE = 0;

/** Own to the package: the connection of a subscriber, and who hears. */
const LINK = Symbol('link');

class RedisSubscriber {
  constructor(opts) {
    Object.defineProperty(this, LINK, { value: new Link(json(connectionOptions(opts), 'opts')) });
  }

  get isConnected() {
    return this[LINK].asks(native.subscriberConnected);
  }

  get isSubscribed() {
    return this[LINK].asks(native.subscriberSubscribed);
  }

  async connect() {
    await this[LINK].open();
  }

  async subscribe(channel, handler) {
    this[LINK].subscribe(text(channel, 'channel'), handler);
  }

  async disconnect() {
    this[LINK].close();
  }
}

/** One connection at a time. While it is subscribed on, it keeps the process alive, as a socket does. */
class Link {
  constructor(options) {
    this.options = options;
    this.handler = undefined;
    /** The connection: its native handle, what it tells, and whether it keeps the process alive. */
    this.present = undefined;
  }

  asks(question) {
    return this.present !== undefined && call(question, this.present.handle);
  }

  async open() {
    this.present ??= this.begin();
    const { present } = this;
    try {
      await promised(native.subscriberConnect, present.handle);
    } catch (error) {
      this.end(present);
      throw error;
    }
  }

  begin() {
    const present = { handle: undefined, target: undefined, holds: false };
    present.target = listen((kind, told) => {
      if (kind === MESSAGE) this.hear(...JSON.parse(told));
      else this.end(present);
    });
    present.handle = call(native.subscriberNew, this.options, present.target);
    return present;
  }

  subscribe(channel, handler) {
    this.handler = handler;
    const { present } = this;
    if (present === undefined) throw new Error('Not connected');
    call(native.subscriberSubscribe, present.handle, channel);
    if (present.holds) return;
    present.holds = true;
    hold();
  }

  hear(channel, message) {
    try {
      this.handler(channel, message);
    } catch {
      // A handler's mistake is not to end the others' messages.
    }
  }

  close() {
    if (this.present === undefined) return;
    const { handle } = this.present;
    this.end(this.present);
    call(native.subscriberDisconnect, handle);
  }

  /** A connection is no longer; another may have taken its place. */
  end(ended) {
    unlisten(ended.target);
    if (ended.holds) release();
    ended.holds = false;
    if (this.present === ended) this.present = undefined;
  }
}

module.exports = { RedisSubscriber };
