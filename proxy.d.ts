/** The stdio proxy alone: the same class as the package's own. */
export { McpProxy } from './index.js';
