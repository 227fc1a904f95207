'use strict';

// Starts the program, and ends as it ends.

const { spawn } = require('node:child_process');
const { HOW_TO_BUILD, find, platform } = require('./platform.js');

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

function run(args) {
  const program = find('program');
  if (program === undefined) return fail(`paygate-mcp has no program for ${platform}. ${HOW_TO_BUILD}`);
  const child = spawn(program, args, { stdio: 'inherit' });
  for (const signal of SIGNALS) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => fail(`paygate-mcp could not be started: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

module.exports = { run };
