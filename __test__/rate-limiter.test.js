'use strict';

// Rolling windows.

const { inspect } = require('node:util');
const { example, RateLimiter } = require('./support/example.js');

example(
  'a limit of 2 per minute',
  ({ tick }) => {
    const rl = new RateLimiter(2);
    const out = [rl.check('k')];
    rl.record('k');
    tick(10000);
    out.push(rl.check('k'));
    rl.record('k');
    tick(20000);
    out.push(rl.check('k'), rl.getCurrentCount('k'));
    tick(29999);
    out.push(rl.check('k'));
    tick(1);
    out.push(rl.check('k'), rl.getCurrentCount('k'));
    return out;
  },
  '[{"allowed":true,"remaining":1,"resetInMs":60000},{"allowed":true,"remaining":0,"resetInMs":50000},{"allowed":false,"reason":"rate_limited: 2 calls/min exceeded","remaining":0,"resetInMs":30000},2,{"allowed":false,"reason":"rate_limited: 2 calls/min exceeded","remaining":0,"resetInMs":1},{"allowed":true,"remaining":0,"resetInMs":10000},1]',
);

example(
  'custom limits share the window; no limit at all',
  () => {
    const rl = new RateLimiter(10), free = new RateLimiter(0);
    rl.record('k');
    rl.recordCustom('k');
    free.record('k');
    const afterRecord = free.getCurrentCount('k');
    free.recordCustom('k');
    return inspect([rl.checkCustom('k', 2), rl.checkCustom('k', 0), rl.check('k').remaining, free.check('k'), afterRecord, free.getCurrentCount('k'), free.checkCustom('k', 1)]);
  },
  '"[\\n  {\\n    allowed: false,\\n    reason: \'rate_limited: 2 calls/min exceeded for tool\',\\n    remaining: 0,\\n    resetInMs: 60000\\n  },\\n  { allowed: true, remaining: Infinity, resetInMs: 0 },\\n  7,\\n  { allowed: true, remaining: Infinity, resetInMs: 0 },\\n  0,\\n  1,\\n  {\\n    allowed: false,\\n    reason: \'rate_limited: 1 calls/min exceeded for tool\',\\n    remaining: 0,\\n    resetInMs: 60000\\n  }\\n]"',
);

example(
  'odd limits',
  () => {
    const nan = new RateLimiter(NaN), neg = new RateLimiter(-5), f = new RateLimiter(0);
    const frac = [f.checkCustom('q', 1.5), (f.recordCustom('q'), f.checkCustom('q', 1.5)), (f.recordCustom('q'), f.checkCustom('q', 1.5))];
    return inspect([nan.check('a'), neg.check('a'), frac]);
  },
  '"[\\n  { allowed: true, remaining: NaN, resetInMs: 60000 },\\n  { allowed: true, remaining: Infinity, resetInMs: 0 },\\n  [\\n    { allowed: true, remaining: 0.5, resetInMs: 60000 },\\n    { allowed: true, remaining: -0.5, resetInMs: 60000 },\\n    {\\n      allowed: false,\\n      reason: \'rate_limited: 1.5 calls/min exceeded for tool\',\\n      remaining: 0,\\n      resetInMs: 60000\\n    }\\n  ]\\n]"',
);
