'use strict';

// `paygate-mcp/proxy`: the one class, the same as the package's own.

const mcpProxy = require('./mcp-proxy.js');

Object.defineProperty(exports, '__esModule', { value: true });
Object.defineProperty(exports, 'McpProxy', { enumerable: true, get: function () { return mcpProxy.McpProxy; } });
