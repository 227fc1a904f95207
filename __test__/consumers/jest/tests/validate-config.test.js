'use strict';

const { DEFAULT_CONFIG, formatDiagnostics, validateConfig } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

test('findings are plain objects', () => {
  expect(validateConfig({ ...DEFAULT_CONFIG, serverCommand: 'node' })).toStrictEqual([]);
  const findings = validateConfig({ serverCommand: 'node', port: NaN, shadowMode: true });
  expect(findings).toStrictEqual([
    { level: 'error', field: 'port', message: 'Invalid port NaN. Must be 0–65535.' },
    { level: 'warning', field: 'shadowMode', message: 'Shadow mode is enabled. Payment will not be enforced.' },
  ]);
  expectPlain(findings);
  expect(formatDiagnostics(findings)).toMatch(/^✗ 1 error/);
  expect(() => validateConfig(null)).toThrow(TypeError);
});
