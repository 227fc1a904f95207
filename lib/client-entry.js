'use strict';

// `paygate-mcp/client`: the client alone, the same as the package's own. It needs nothing native.

const client = require('./client.js');

Object.defineProperty(exports, '__esModule', { value: true });
Object.defineProperty(exports, 'PayGateClient', { enumerable: true, get: function () { return client.PayGateClient; } });
Object.defineProperty(exports, 'PayGateError', { enumerable: true, get: function () { return client.PayGateError; } });
