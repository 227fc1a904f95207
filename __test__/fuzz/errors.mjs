// Which errors are good ones: those that say which argument is wrong, and not what the engine calls it.

const GENERIC = [
  /^Cannot /,
  / is not (?:a function|iterable|defined|a constructor|an object|extensible|valid JSON)/,
  /^Converting circular/,
  /^Do not know how/,
  /^Maximum call stack/,
  /^Invalid (?:string length|array length|typed array length|time value)/,
  /^Unexpected (?:token|end|non-whitespace)/,
  /^The "[^"]*" (?:argument|property)/,
  /^(?:undefined|null) /,
  /^an argument/,
  /\bundefined must be\b/,
  /^'\w+' on proxy/,
  /^Class constructor/,
  /^Method .* called on incompatible/,
  /^Reduce of empty/,
];

/** What 2.9.0 says, word for word, and programs may go by. */
const OF_2_9_0 = [
  ['KeyStore#setTags', 'Cannot convert undefined or null to object'],
  ['TeamManager#fromJSON', '.for is not iterable'],
  ['OAuthProvider#exchangeCode', 'The "data" argument must be of type string or an instance of Buffer, TypedArray, or DataView. Received undefined'],
  ['AnalyticsEngine#report', 'Invalid time value'],
];

/** What is wrong with an error; undefined when nothing is. */
export function fault(what, error) {
  if (!(error instanceof Error)) return 'is no Error';
  if (error.message === '') return 'has no message';
  if (/internal error|ERR_PAYGATE_PANIC/.test(`${error.code} ${error.message}`)) return 'is a bug of ours';
  const isOld = OF_2_9_0.some(([method, message]) => what.endsWith(method) && message === error.message);
  return !isOld && GENERIC.some((words) => words.test(error.message)) ? 'names no argument' : undefined;
}
