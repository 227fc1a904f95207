'use strict';

const { ToolRegistry, DEFAULT_CONFIG } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

test('prices are plain and follow the configuration', () => {
  const config = { ...DEFAULT_CONFIG, toolPricing: { a: { creditsPerCall: 5 } } };
  const registry = new ToolRegistry(config, false);
  const price = { name: 'a', creditsPerCall: 5, creditsPerKbInput: 0, rateLimitPerMin: 0, pricingModel: 'flat' };
  expect(registry.getToolPricing('a')).toStrictEqual(price);
  config.toolPricing.a.creditsPerCall = 7;
  expect(registry.getToolPricing('a')).toStrictEqual({ ...price, creditsPerCall: 7 });
  const tool = { name: 'a', description: 'd' };
  const [priced] = registry.injectPricingIntoToolsList([tool]);
  expect(priced).toStrictEqual({ name: 'a', description: 'd', _pricing: { ...price, creditsPerCall: 7 } });
  expect(tool).toStrictEqual({ name: 'a', description: 'd' });
  expectPlain(registry.getFullPricing());
});
