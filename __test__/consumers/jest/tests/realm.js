'use strict';

// What every test file asks of what it is given: it is this file's own, not made elsewhere.

/** That a value is a plain object of this realm, all the way down. */
function expectPlain(value) {
  if (Array.isArray(value)) {
    expect(value instanceof Array).toBe(true);
    value.forEach(expectPlain);
  } else if (typeof value === 'object' && value !== null) {
    expect(value instanceof Object).toBe(true);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    Object.values(value).forEach(expectPlain);
  }
}

/** What a function throws. */
function thrown(act) {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

module.exports = { expectPlain, thrown };
