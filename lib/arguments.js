'use strict';

// What a method was given, as the method needs it. Values that JavaScript converts are converted as it does. Others are
// an error that says which argument it is, what it must be and what it is; never what it holds, which may be a secret.
// What a getter, a Proxy or a `toString` of the caller's throws surfaces as it is.

/** Levels of JSON. Native code reads 127, and what is kept stands inside lists and objects of files that it reads. */
const LEVELS_MAX = 100;

// How the engine words that a value has no text, no number, or no form in JSON.
const NO_PRIMITIVE = [
  /^Cannot convert (?:a Symbol value|a BigInt value|object) to /,
  /^(?:(?:number|string|boolean) .*|bigint|symbol|object) is not a function$/,
  /returned for property 'Symbol\(Symbol\.toPrimitive\)'/,
];
const CYCLE = /^Converting circular structure to JSON/;
const BIGINT = /^Do not know how to serialize a BigInt/;
const NO_STACK = /^Maximum call stack size exceeded/;
const NO_ROOM = /^Invalid string length/;

/** A value as text, as JavaScript converts it. */
function text(value, name) {
  return typeof value === 'string' ? value : converted(String, value, name, 'a string');
}

/** A value as a number, as JavaScript's arithmetic converts it. */
function number(value, name) {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') throw wrong(name, 'a number', value);
  return converted(Number, value, name, 'a number');
}

/** What a text can be compared with, as JavaScript compares them. */
function comparable(value, name) {
  converted((given) => '' >= given, value, name, 'a string');
  return value;
}

/** The time that a value is, in milliseconds, as JavaScript's dates read it. */
function time(value, name) {
  return converted((given) => new Date(given).getTime(), value, name, 'a date');
}

function converted(convert, value, name, wanted) {
  try {
    return convert(value);
  } catch (error) {
    throw isConversion(error, value) ? wrong(name, wanted, value) : error;
  }
}

/** Whether JavaScript says that a value cannot be converted, rather than the caller's code that it ran for that. */
function isConversion(error, value) {
  if (error instanceof TypeError) return NO_PRIMITIVE.some((words) => words.test(error.message));
  return error instanceof RangeError && NO_STACK.test(error.message) && nestsDeeper(value, LEVELS_MAX);
}

/** A list of texts. */
function texts(values, name) {
  return Array.from(values, (value, i) => (typeof value === 'string' ? value : text(value, `${name}[${i}]`)));
}

/** What has members: anything but null and undefined. */
function members(value, name) {
  if (value === undefined || value === null) throw wrong(name, 'an object', value);
  return value;
}

/** What can be given members. */
function object(value, name) {
  if (Object(value) !== value) throw wrong(name, 'an object', value);
  return value;
}

function array(value, name) {
  if (!Array.isArray(value)) throw wrong(name, 'an array', value);
  return value;
}

/** The members of anything that can be walked through. */
function list(value, name) {
  if (typeof value?.[Symbol.iterator] !== 'function') throw wrong(name, 'an array', value);
  return [...value];
}

function callable(value, name) {
  if (typeof value !== 'function') throw wrong(name, 'a function', value);
  return value;
}

/** A text that is not converted. */
function string(value, name) {
  if (typeof value !== 'string') throw wrong(name, 'a string', value);
  return value;
}

/** The error for an argument that is not what it must be. */
function wrong(name, wanted, value) {
  return new TypeError(`${name} must be ${wanted}, but is ${kindOf(value)}`);
}

/** What kind of value it is. */
function kindOf(value) {
  return value === null ? 'null' : typeof value;
}

/** A value in a message: numbers as they are, others by their kind. */
function shown(value) {
  return typeof value === 'number' ? String(value) : kindOf(value);
}

/** A value as JSON text, as JavaScript writes it; undefined when it has none. */
function written(value, name) {
  try {
    return JSON.stringify(value);
  } catch (error) {
    throw unwritable(error, value, name);
  }
}

/** The error for a value that `JSON.stringify` threw at; its own where the caller's code threw. */
function unwritable(error, value, name) {
  const { message } = Object(error);
  if (error instanceof TypeError) {
    const why = CYCLE.test(message) ? 'contains itself' : BIGINT.test(message) ? 'contains a bigint' : undefined;
    // The engine's words say where.
    if (why !== undefined) return new TypeError(`${name} must have a form in JSON, but ${why}`, { cause: error });
  }
  if (error instanceof RangeError) {
    if (NO_ROOM.test(message)) return new RangeError(`${name} must fit into a string as JSON, but is longer`);
    if (NO_STACK.test(message) && nestsDeeper(value, LEVELS_MAX)) return tooDeep(name);
  }
  return error;
}

/** A value as JSON text that native code reads; undefined when it has none. */
function json(value, name) {
  const line = written(value, name);
  return line === undefined ? undefined : readable(line, name);
}

const LONE_SURROGATES = /(^|[^\\])((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g;

/** JSON text that native code reads. */
function readable(line, name) {
  if (line.length > 2 * LEVELS_MAX && levelsOf(line) > LEVELS_MAX) throw tooDeep(name);
  return wellFormed(line);
}

/** JSON text as UTF-8 can hold it: half a character becomes U+FFFD. */
function wellFormed(line) {
  if (line.includes('\\ud')) {
    // Neighbours share the character between them, so one pass may leave some.
    for (let before; before !== line; ) {
      before = line;
      line = line.replace(LONE_SURROGATES, '$1$2\\ufffd');
    }
  }
  return line;
}

function tooDeep(name) {
  return new RangeError(`${name} must be nested at most ${LEVELS_MAX} levels deep, but is nested deeper`);
}

/** How deep the objects and lists of a JSON text are nested. */
function levelsOf(line) {
  if (!opensMoreThan(line, LEVELS_MAX)) return 0;
  let [levels, most, quoted] = [0, 0, false];
  for (let at = 0; at < line.length; at += 1) {
    const unit = line[at];
    if (quoted) {
      if (unit === '\\') at += 1;
      else if (unit === '"') quoted = false;
    } else if (unit === '"') {
      quoted = true;
    } else if (unit === '{' || unit === '[') {
      levels += 1;
      if (levels > most) most = levels;
    } else if (unit === '}' || unit === ']') {
      levels -= 1;
    }
  }
  return most;
}

/** Whether a text has so many opening brackets that it may be nested as deep. Far faster than to walk through it. */
function opensMoreThan(line, count) {
  for (const bracket of ['{', '[']) {
    for (let at = line.indexOf(bracket); at !== -1; at = line.indexOf(bracket, at + 1)) {
      count -= 1;
      if (count < 0) return true;
    }
  }
  return false;
}

function nestsDeeper(value, levels) {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((member) => nestsDeeper(member, levels - 1));
}

module.exports = {
  text,
  texts,
  number,
  comparable,
  time,
  members,
  object,
  array,
  list,
  callable,
  string,
  wrong,
  kindOf,
  shown,
  written,
  unwritable,
  json,
  readable,
  wellFormed,
};
