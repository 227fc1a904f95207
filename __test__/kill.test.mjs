// A few rounds of the torture in __test__/torture/kill.mjs; `npm run torture` runs as many as you like.
import test from 'node:test';
import { killRounds } from './torture/kill.mjs';
import { temporaryFolder } from './support/gateway.mjs';

test('what was answered is paid for after kill -9', async t => {
  await killRounds(temporaryFolder(t), 5);
});

test('with refunds on, what was cut off is given back and what was answered is not', async t => {
  await killRounds(temporaryFolder(t), 5, { refunds: true });
});
