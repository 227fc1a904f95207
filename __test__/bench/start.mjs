// How long does it take until the package is there, and until a server listens?
import { spawnSync } from 'node:child_process';
import { CONFIG, paygate, root } from './gates.mjs';
import { instantBackend } from './servers.mjs';

const { Gate, PayGateServer } = paygate;

export const title = 'Start and stop';
export const leftOut = 'the start of Node itself; a disk whose files are not in memory.';

export async function prepare() {
  const config = { ...CONFIG, serverCommand: instantBackend(), serverArgs: [], port: 0 };
  const whole = `${JSON.stringify(config)})).start().then((it) => { told(); process.exit(it.port > 0 ? 0 : 1); });`;
  const gate = () => {
    const made = new Gate(CONFIG);
    made.destroy();
    return made;
  };
  return {
    rows: [
      { what: 'require, in a process of its own', calls: 1, timed: () => alone(`require(${JSON.stringify(root)}); told();`), budget: 10e6 },
      {
        what: 'require, new PayGateServer and start, likewise',
        calls: 1,
        timed: () => alone(`(new (require(${JSON.stringify(root)}).PayGateServer)(${whole}`),
      },
      { what: 'new Gate, and destroy', calls: 500, act: gate, of: () => 1 },
      { what: 'new PayGateServer, start until it listens', calls: 5, timed: () => cycle(config, 'start'), budget: 15e6 },
      { what: 'PayGateServer.stop()', calls: 5, timed: () => cycle(config, 'stop') },
    ],
  };
}

/** Nanoseconds that a script in a process of its own tells. */
function alone(script) {
  const head = "const begun = process.hrtime.bigint(); const told = () => console.log(Number(process.hrtime.bigint() - begun));";
  const { stdout, stderr, status } = spawnSync(process.execPath, ['-e', `${head} ${script}`], { encoding: 'utf8', timeout: 60_000 });
  if (status !== 0) throw new Error(`a script ended with ${status}: ${stderr}`);
  return Number(stdout);
}

/** Nanoseconds of one half of a server's life. */
async function cycle(config, half) {
  const begun = process.hrtime.bigint();
  const server = new PayGateServer(config);
  await server.start();
  const listening = process.hrtime.bigint();
  await server.stop();
  return Number(half === 'start' ? listening - begun : process.hrtime.bigint() - listening);
}
