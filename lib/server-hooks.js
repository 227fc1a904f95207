'use strict';

// The hooks of a gate whose server runs in this process. Decisions that the script makes run them where they are made
// (lib/gate.js); those that the server makes on threads of its own ask for them here, on the script's thread.

const { native, call, listen, unlisten } = require('./native.js');
const { GATE, askTeam, hookOf } = require('./gate.js');
const { eventOf } = require('./usage-meter.js');

// Which hooks are set; crates/node/src/hooks.rs has the same list.
const HOOKS = { teamChecker: 1, teamRecorder: 2, onCreditsDeducted: 4, onUsageEvent: 8 };

// What is told; crates/node/src/hooks.rs has the same list.
const ASKED = 0;

// Answers to what was asked.
const NO = 0;
const YES = 1;
const THREW = 2;

/** Makes hooks take part in the server's decisions from the moment they are assigned. */
function watchHooks(gate) {
  const assigned = {};
  for (const name of Object.keys(HOOKS)) {
    Object.defineProperty(gate, name, {
      configurable: true,
      enumerable: true,
      get: () => assigned[name],
      set(hook) {
        assigned[name] = hook;
        const set = Object.keys(HOOKS).filter((other) => assigned[other]);
        call(native.hooksSet, gate[GATE].handle, set.reduce((bits, other) => bits | HOOKS[other], 0));
      },
    });
  }
}

/** Answers the server's threads until the function that is returned is called. */
function answerHooks(gate) {
  const { handle } = gate[GATE];
  const target = listen((kind, told) => {
    const asked = JSON.parse(told);
    if (kind === ASKED) {
      const [answer, ...reason] = asksTeam(gate, asked);
      call(native.hooksAnswer, handle, asked.number, answer, ...reason);
    } else {
      tell(gate, asked);
      call(native.hooksAnswer, handle, asked.number, YES);
    }
  });
  call(native.hooksListen, handle, target);
  return () => {
    call(native.hooksListen, handle, 0);
    unlisten(target);
  };
}

/** The answer of `teamChecker`, and its reason. */
function asksTeam(gate, { key, credits }) {
  try {
    if (!gate.teamChecker) return [YES];
    const { allowed, reason } = askTeam(gate, key, credits);
    return allowed ? [YES] : [NO, ...reason];
  } catch (error) {
    console.error('[paygate] gate.teamChecker threw, so a call was refused:', error);
    return [THREW];
  }
}

/** Tells the hooks of what a decision took, and of its events. */
function tell(gate, { key, credits, events }) {
  if (key !== null) {
    run(gate, 'onCreditsDeducted', key, credits);
    run(gate, 'teamRecorder', key, credits);
  }
  for (const row of events) run(gate, 'onUsageEvent', eventOf(row));
}

/** Runs a hook that only hears. The call has been decided: what the hook throws cannot change that. */
function run(gate, name, ...given) {
  try {
    if (gate[name]) hookOf(gate, name).call(gate, ...given);
  } catch (error) {
    console.error(`[paygate] gate.${name} threw:`, error);
  }
}

module.exports = { watchHooks, answerHooks };
