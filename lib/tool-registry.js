'use strict';

const { array, members, text } = require('./arguments.js');

/** The code of the JSON-RPC error that asks for payment. */
const PAYMENT_ERROR_CODE = -32402;

/** Own to the package: what a registry is made of. */
const REGISTRY = Symbol('registry');

/** Names of tools that a script has set: the array itself. */
class OwnTools {
  constructor() {
    this.names = [];
  }

  get() {
    return this.names;
  }

  set(names) {
    this.names = names;
  }
}

class ToolRegistry {
  constructor(config, hasOAuth) {
    start(this, members(config, 'config'), hasOAuth, new OwnTools());
  }

  setDiscoveredTools(toolNames) {
    this[REGISTRY].tools.set(toolNames);
  }

  getServerMetadata() {
    const { config, hasOAuth, tools } = this[REGISTRY];
    return {
      specVersion: '2007-draft',
      serverName: config.name,
      billingModel: 'credits',
      defaultCreditsPerCall: config.defaultCreditsPerCall,
      globalRateLimitPerMin: config.globalRateLimitPerMin,
      shadowMode: config.shadowMode,
      authMethods: hasOAuth ? ['X-API-Key', 'Bearer (OAuth 2.1)'] : ['X-API-Key'],
      oauthSupported: hasOAuth,
      paymentErrorCode: PAYMENT_ERROR_CODE,
      pricingEndpoint: '/pricing',
      globalQuota: config.globalQuota || null,
      toolCount: members(tools.get(), 'toolNames').length,
    };
  }

  getToolPricing(toolName) {
    const { config } = this[REGISTRY];
    const terms = termsOf(config, text(toolName, 'toolName'));
    const creditsPerKbInput = terms?.creditsPerKbInput ?? 0;
    return {
      name: toolName,
      creditsPerCall: terms?.creditsPerCall ?? config.defaultCreditsPerCall,
      creditsPerKbInput,
      rateLimitPerMin: terms?.rateLimitPerMin ?? 0,
      pricingModel: creditsPerKbInput > 0 ? 'dynamic' : 'flat',
    };
  }

  getFullPricing() {
    const { tools } = this[REGISTRY];
    const names = array(tools.get(), 'toolNames');
    return { server: this.getServerMetadata(), tools: names.map((name) => this.getToolPricing(name)) };
  }

  injectPricingIntoToolsList(tools) {
    this.setDiscoveredTools(array(tools, 'tools').map((tool, i) => members(tool, `tools[${i}]`).name));
    return tools.map((tool) => ({ ...tool, _pricing: this.getToolPricing(tool.name) }));
  }

  buildPaymentRequired(toolName, creditsNeeded, creditsAvailable) {
    return {
      tool: toolName,
      creditsNeeded,
      creditsAvailable,
      pricing: this.getToolPricing(toolName),
      topUpEndpoint: '/topup',
      balanceEndpoint: '/balance',
      pricingEndpoint: '/pricing',
    };
  }
}

function start(registry, config, hasOAuth, tools) {
  Object.defineProperty(registry, REGISTRY, { value: { config, hasOAuth, tools } });
  return registry;
}

/** The entry of the price list; what every object inherits is none. */
function termsOf({ toolPricing }, name) {
  return toolPricing && Object.hasOwn(toolPricing, name) ? toolPricing[name] : undefined;
}

/** A registry over tools that something else discovers: `tools` has `get()`, the names, and `set(names)`. */
function toolRegistryOf(config, hasOAuth, tools) {
  return start(Object.create(ToolRegistry.prototype), config, hasOAuth, tools);
}

module.exports = { ToolRegistry, toolRegistryOf };
