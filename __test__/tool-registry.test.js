'use strict';

// Prices as they are told.

const assert = require('node:assert/strict');
const test = require('node:test');
const { example, DEFAULT_CONFIG, ToolRegistry } = require('./support/example.js');
const { toolRegistryOf } = require('../lib/tool-registry.js');

const PRICES = { a: { creditsPerCall: 5, creditsPerKbInput: 2, rateLimitPerMin: 9 }, z: { creditsPerCall: 0 }, partial: { rateLimitPerMin: 3, creditsPerCall: null } };

const registry = (config, hasOAuth = false) => new ToolRegistry({ ...DEFAULT_CONFIG, toolPricing: PRICES, ...config }, hasOAuth);

example(
  'prices of tools',
  () => ['a', 'z', 'partial', 'none', 'toString', '__proto__', ''].map((name) => registry().getToolPricing(name)),
  '[{"name":"a","creditsPerCall":5,"creditsPerKbInput":2,"rateLimitPerMin":9,"pricingModel":"dynamic"},{"name":"z","creditsPerCall":0,"creditsPerKbInput":0,"rateLimitPerMin":0,"pricingModel":"flat"},{"name":"partial","creditsPerCall":1,"creditsPerKbInput":0,"rateLimitPerMin":3,"pricingModel":"flat"},{"name":"none","creditsPerCall":1,"creditsPerKbInput":0,"rateLimitPerMin":0,"pricingModel":"flat"},{"name":"toString","creditsPerCall":1,"creditsPerKbInput":0,"rateLimitPerMin":0,"pricingModel":"flat"},{"name":"__proto__","creditsPerCall":1,"creditsPerKbInput":0,"rateLimitPerMin":0,"pricingModel":"flat"},{"name":"","creditsPerCall":1,"creditsPerKbInput":0,"rateLimitPerMin":0,"pricingModel":"flat"}]',
);

example(
  'the metadata of a server with default settings',
  () => new ToolRegistry(DEFAULT_CONFIG, false).getServerMetadata(),
  '{"specVersion":"2007-draft","serverName":"PayGate MCP Server","billingModel":"credits","defaultCreditsPerCall":1,"globalRateLimitPerMin":60,"shadowMode":false,"authMethods":["X-API-Key"],"oauthSupported":false,"paymentErrorCode":-32402,"pricingEndpoint":"/pricing","globalQuota":null,"toolCount":0}',
);

example(
  'a list with prices',
  () => {
    const r = registry();
    const tools = [{ name: 'a', _pricing: 'old', description: 'd' }, { name: 'b' }];
    return [r.injectPricingIntoToolsList(tools), tools, r.getServerMetadata().toolCount, r.getFullPricing().tools.map(({ name }) => name), r.injectPricingIntoToolsList([]), r.getFullPricing().tools];
  },
  '[[{"name":"a","_pricing":{"name":"a","creditsPerCall":5,"creditsPerKbInput":2,"rateLimitPerMin":9,"pricingModel":"dynamic"},"description":"d"},{"name":"b","_pricing":{"name":"b","creditsPerCall":1,"creditsPerKbInput":0,"rateLimitPerMin":0,"pricingModel":"flat"}}],[{"name":"a","_pricing":"old","description":"d"},{"name":"b"}],2,["a","b"],[],[]]',
);

example(
  'what a client that cannot pay is told',
  () => registry().buildPaymentRequired('a', 7, 2),
  '{"tool":"a","creditsNeeded":7,"creditsAvailable":2,"pricing":{"name":"a","creditsPerCall":5,"creditsPerKbInput":2,"rateLimitPerMin":9,"pricingModel":"dynamic"},"topUpEndpoint":"/topup","balanceEndpoint":"/balance","pricingEndpoint":"/pricing"}',
);

test('later changes of the configuration and of the list show', () => {
  const config = { ...DEFAULT_CONFIG, toolPricing: {} };
  const r = new ToolRegistry(config, true);
  const names = ['x'];
  r.setDiscoveredTools(names);
  names.push('y');
  config.toolPricing.y = { creditsPerCall: 4 };
  config.defaultCreditsPerCall = 2;
  config.globalQuota = { dailyCallLimit: 1, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 };
  const { server, tools } = r.getFullPricing();
  assert.deepEqual(tools.map(({ name, creditsPerCall }) => [name, creditsPerCall]), [['x', 2], ['y', 4]]);
  assert.deepEqual([server.toolCount, server.authMethods, server.globalQuota], [2, ['X-API-Key', 'Bearer (OAuth 2.1)'], config.globalQuota]);
  delete config.toolPricing;
  assert.equal(r.getToolPricing('y').creditsPerCall, 2);
});

test('a registry can go by tools that something else discovers', () => {
  let known = ['x'];
  const r = toolRegistryOf({ ...DEFAULT_CONFIG }, false, { get: () => known, set: (names) => (known = names) });
  assert.ok(r instanceof ToolRegistry);
  assert.equal(r.getServerMetadata().toolCount, 1);
  r.setDiscoveredTools(['y', 'z']);
  assert.deepEqual(known, ['y', 'z']);
  assert.deepEqual(r.getFullPricing().tools.map(({ name }) => name), ['y', 'z']);
});

test('a list that is none is an error of the caller', () => {
  assert.throws(() => registry().injectPricingIntoToolsList([null]), TypeError);
  assert.throws(() => registry().injectPricingIntoToolsList('tools'), TypeError);
  class Mine extends ToolRegistry {}
  assert.equal(new Mine(DEFAULT_CONFIG, false).getToolPricing('x').creditsPerCall, 1);
});
