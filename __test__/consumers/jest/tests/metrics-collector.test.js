'use strict';

const { MetricsCollector } = require('paygate-mcp');

test('counts and prints', () => {
  const metrics = new MetricsCollector();
  metrics.recordToolCall('search', true, 5);
  expect(metrics.getCounter('paygate_tool_calls_total', { tool: 'search', status: 'allowed' })).toBe(1);
  const supplier = jest.fn(() => 7);
  metrics.registerGauge('mine', 'My own.', supplier);
  const page = metrics.serialize();
  expect(page).toContain('paygate_tool_calls_total{status="allowed",tool="search"} 1');
  expect(page).toContain('\nmine 7\n');
  expect(supplier).toHaveBeenCalled();
});
