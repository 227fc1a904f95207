// What does a paid call cost that goes to a tool server which answers at once?
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { once } from 'node:events';
import { CONFIG, RICH, paygate, richGate, root } from './gates.mjs';

const { McpProxy, PayGateClient, PayGateServer } = paygate;

export const title = 'Calls through McpProxy, PayGateServer and PayGateClient, to a child that answers at once';
export const leftOut = 'a network, TLS, event streams; client, gate and child share the machine. A gate that is a process of its own: cargo bench.';

const LANES = 32;

/** The child that answers at once; built by `cargo build --release`. */
export function instantBackend() {
  const target = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target');
  const path = join(target, 'release', 'instant-backend');
  if (!existsSync(path)) throw new Error(`${path} is not there: cargo build --release --package paygate-testkit`);
  return path;
}

export async function prepare() {
  const command = instantBackend();
  const ending = [];
  const rows = [...(await proxied(command, ending)), ...(await served(command, ending))];
  const end = async () => {
    for (const act of ending.reverse()) await act();
  };
  return { rows, end };
}

const answered = ({ result }) => (result?.content[0].text === 'ok' ? 1 : 0);

async function proxied(command, ending) {
  const { gate, key } = richGate();
  const proxy = new McpProxy(gate, command, []);
  await proxy.start();
  ending.push(() => proxy.stop());
  const request = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'search', arguments: { q: 'a' } } };
  const act = () => proxy.handleRequest(request, key);
  const ten = Array.from({ length: 10 }, () => ({ name: 'search' }));
  const tenAnswered = ({ result }) => result.results.filter((one) => one.result !== undefined).length;
  return [
    { what: 'McpProxy.handleRequest(), one at a time', lanes: 1, calls: 1000, act, of: answered },
    { what: `McpProxy.handleRequest(), ${LANES} at a time`, lanes: LANES, calls: 5000, act, of: answered },
    {
      what: 'McpProxy.handleBatchRequest(), batch of 10',
      lanes: 1,
      calls: 200,
      act: () => proxy.handleBatchRequest(ten, 1, key),
      of: tenAnswered,
      each: 10,
    },
  ];
}

async function served(command, ending) {
  const start = async (hooks) => {
    const server = new PayGateServer({ ...CONFIG, serverCommand: command, serverArgs: [], port: 0 });
    Object.assign(server.gate, hooks);
    const { port } = await server.start();
    ending.push(() => server.stop());
    return { port, key: server.gate.store.createKey('bench', RICH).key };
  };
  const plain = await start({});
  const checked = await start({ teamChecker: () => ({ allowed: true }) });
  const hooked = await start({
    teamChecker: () => ({ allowed: true }),
    onCreditsDeducted: () => {},
    onUsageEvent: () => {},
  });
  const over = async ({ port, key }) => {
    const callers = await Promise.all(Array.from({ length: LANES }, () => Caller.to(port, key)));
    ending.push(() => callers.forEach((caller) => caller.close()));
    return (lane) => callers[lane].call();
  };
  const [toPlain, toChecked, toHooked] = [await over(plain), await over(checked), await over(hooked)];
  const clients = Array.from({ length: LANES }, () => new PayGateClient({ url: `http://127.0.0.1:${plain.port}`, apiKey: plain.key }));
  ending.push(() => Promise.all(clients.map((client) => client.close())));
  const throughClient = (lane) => clients[lane].callTool('search', { q: 'a' });
  const content = (result) => (result.content[0].text === 'ok' ? 1 : 0);
  const one = { lanes: 1, calls: 1000, of: answered };
  const several = { lanes: LANES, calls: 5000, of: answered };
  return [
    { ...one, what: 'HTTP, one at a time', act: toPlain },
    { ...one, what: 'HTTP, one at a time, teamChecker', act: toChecked },
    { ...one, what: 'HTTP, one at a time, three hooks', act: toHooked },
    { ...several, what: `HTTP, ${LANES} at a time`, act: toPlain },
    { ...several, what: `HTTP, ${LANES} at a time, teamChecker`, act: toChecked },
    { ...several, what: `HTTP, ${LANES} at a time, three hooks`, act: toHooked },
    { ...one, what: 'PayGateClient.callTool(), one at a time', act: throughClient, of: content },
    { ...several, what: `PayGateClient.callTool(), ${LANES} at a time`, act: throughClient, of: content },
  ];
}

/** The least that speaks HTTP: one connection, one request at a time, always the same. */
export class Caller {
  static async to(port, key) {
    const socket = connect(port, '127.0.0.1').setNoDelay(true);
    await once(socket, 'connect');
    return new Caller(socket, key);
  }

  constructor(socket, key) {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'search', arguments: { q: 'a' } } });
    const headers = `Host: bench\r\nX-API-Key: ${key}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
    this.socket = socket;
    this.request = `POST /mcp HTTP/1.1\r\n${headers}\r\n\r\n${body}`;
    this.received = '';
    socket.setEncoding('latin1').on('data', (piece) => this.hear(piece));
    socket.on('close', () => this.fail?.(new Error('the server closed the connection')));
  }

  call() {
    return new Promise((done, fail) => {
      this.done = done;
      this.fail = fail;
      this.socket.write(this.request);
    });
  }

  hear(piece) {
    this.received += piece;
    const headersEnd = this.received.indexOf('\r\n\r\n');
    if (headersEnd < 0) return;
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(this.received)[1]);
    const end = headersEnd + 4 + length;
    if (this.received.length < end) return;
    const body = this.received.slice(headersEnd + 4, end);
    this.received = this.received.slice(end);
    this.done(JSON.parse(body));
  }

  close() {
    this.fail = undefined;
    this.socket.destroy();
  }
}
