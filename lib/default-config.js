'use strict';

const DEFAULT_CONFIG = {
  name: 'PayGate MCP Server',
  serverCommand: '',
  serverArgs: [],
  port: 3402,
  defaultCreditsPerCall: 1,
  toolPricing: {},
  globalRateLimitPerMin: 60,
  freeMethods: [
    'initialize',
    'initialized',
    'ping',
    'notifications/initialized',
    'tools/list',
    'resources/list',
    'prompts/list',
  ],
  shadowMode: false,
  webhookUrl: null,
  webhookSecret: null,
  webhookMaxRetries: 5,
  refundOnFailure: false,
};

module.exports = { DEFAULT_CONFIG };
