'use strict';

const gate = require('./gate.js');
const keyStore = require('./key-store.js');
const usageMeter = require('./usage-meter.js');
const rateLimiter = require('./rate-limiter.js');
const quotaTracker = require('./quota-tracker.js');
const teamManager = require('./team-manager.js');
const defaultConfig = require('./default-config.js');

// Read-only accessors in this form, so that ES modules can import the names.
Object.defineProperty(exports, '__esModule', { value: true });
Object.defineProperty(exports, 'Gate', { enumerable: true, get: function () { return gate.Gate; } });
Object.defineProperty(exports, 'KeyStore', { enumerable: true, get: function () { return keyStore.KeyStore; } });
Object.defineProperty(exports, 'UsageMeter', { enumerable: true, get: function () { return usageMeter.UsageMeter; } });
Object.defineProperty(exports, 'RateLimiter', { enumerable: true, get: function () { return rateLimiter.RateLimiter; } });
Object.defineProperty(exports, 'QuotaTracker', { enumerable: true, get: function () { return quotaTracker.QuotaTracker; } });
Object.defineProperty(exports, 'TeamManager', { enumerable: true, get: function () { return teamManager.TeamManager; } });
Object.defineProperty(exports, 'DEFAULT_CONFIG', { enumerable: true, get: function () { return defaultConfig.DEFAULT_CONFIG; } });
