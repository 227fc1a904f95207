// Answers what JavaScript makes of the inputs given on standard input. Numbers are answered as text, negative zero
// with its sign, and texts without the half of a surrogate pair that a cut can leave at their end.

import { readFileSync } from 'node:fs'

const number = (value) => (Object.is(value, -0) ? '-0' : String(value))
const bits = (hex) => new DataView(new BigUint64Array([BigInt('0x' + hex)]).buffer).getFloat64(0, true)
const whole = (text) => text.replace(/[\ud800-\udbff]$/, '')

const answers = {
  dates: (text) => Date.parse(text),
  instants: (ms) => new Date(ms).toISOString(),
  toNumber: (text) => number(Number(text)),
  leadingInteger: (text) => number(parseInt(text, 10)),
  printed: (hex) => String(bits(hex)),
  jsonToNumber: (value) => number(Number(value)),
  jsonToText: (value) => String(value),
  trimmed: (text) => text.trim(),
  cut: (text) => Array.from({ length: text.length + 2 }, (_, units) => whole(text.slice(0, units))),
  lowered: (text) => text.toLowerCase().replace(/[^a-z0-9-]/g, '').slice(0, 50) || 'default',
  properties: (names) => Object.keys(Object.fromEntries(names.map((name) => [name, 0]))),
  sizes: (json) => Buffer.byteLength(JSON.stringify(JSON.parse(json))),
}

const questions = JSON.parse(readFileSync(0, 'utf8'))
const answered = Object.entries(questions).map(([kind, inputs]) => [kind, inputs.map((input) => answers[kind](input))])
process.stdout.write(JSON.stringify(Object.fromEntries(answered)))
