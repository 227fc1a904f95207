'use strict';

const { number, string, text, wrong } = require('./arguments.js');
const { native, call } = require('./native.js');
const { KeyStore, PARTS: STORE, print } = require('./key-store.js');

const DEFAULT_TOLERANCE = 300;

/** Own to the package: what a handler is made of. */
const PARTS = Symbol('parts');

class StripeWebhookHandler {
  constructor(store, webhookSecret, toleranceSec = DEFAULT_TOLERANCE) {
    if (!(store instanceof KeyStore)) throw wrong('store', 'a KeyStore', store);
    const tolerance = number(toleranceSec, 'toleranceSec');
    Object.defineProperty(this, PARTS, {
      value: { store, secret: webhookSecret, tolerance, handle: undefined },
    });
  }

  handleWebhook(rawBody, signatureHeader) {
    const { store } = this[PARTS];
    const post = given(rawBody, signatureHeader);
    if (post === undefined) return { success: false, error: 'Invalid signature' };
    const handle = handleOf(this);
    // What callers changed in their hands is written with the next change of any key.
    if (store.statePath !== null) store[STORE].owner.pushAll();
    try {
      return JSON.parse(call(native.stripeHandle, handle, ...post));
    } finally {
      print(store[STORE].handle);
    }
  }

  verifySignature(rawBody, signatureHeader) {
    const post = given(rawBody, signatureHeader);
    return post !== undefined && call(native.stripeVerify, handleOf(this), ...post);
  }
}

/** Body and header as texts; undefined when one of them is missing. */
function given(rawBody, signatureHeader) {
  if (!rawBody || !signatureHeader) return undefined;
  string(signatureHeader, 'signatureHeader');
  return [text(rawBody, 'rawBody'), signatureHeader];
}

/** The native handler. A secret that is none is an error only when something is to be verified with it. */
function handleOf(handler) {
  const parts = handler[PARTS];
  if (parts.handle === undefined) {
    const { store, secret, tolerance } = parts;
    parts.handle = call(native.stripeNew, store[STORE].handle, string(secret, 'webhookSecret'), tolerance);
  }
  return parts.handle;
}

module.exports = { StripeWebhookHandler };
