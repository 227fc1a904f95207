// npm run torture -- --rounds N: kills the gate under load N times (100 unless told otherwise) and checks its books.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { killRounds } from './kill.mjs';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '100' }, refunds: { type: 'boolean', default: false } } });
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'paygate-torture-'));
try {
  const seen = await killRounds(folder, Number(values.rounds), {
    refunds: values.refunds,
    report: (round, { acknowledged, inDoubt }) => {
      if (round % 10 === 0) console.log(`${round} rounds: ${acknowledged} calls answered, ${inDoubt} cut off, every law held`);
    },
  });
  console.log(seen);
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}
