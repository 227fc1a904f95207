'use strict';

// Writing event streams to a Node `ServerResponse`.

const { text, wrong, written } = require('./arguments.js');

const HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  Connection: 'keep-alive',
  'X-Accel-Buffering': 'no',
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Expose-Headers': 'Mcp-Session-Id',
};

function writeSseHeaders(res, extraHeaders) {
  streamOf(res, 'writeHead');
  const headers = new Map(Object.entries(HEADERS).map((header) => [header[0].toLowerCase(), header]));
  for (const header of Object.entries(extraHeaders ?? {})) {
    const known = header[0].toLowerCase();
    // Node would send a header twice that is named twice in different case.
    if (headers.has(known) && headers.get(known)[0] !== header[0]) headers.delete(known);
    headers.set(known, header);
  }
  res.writeHead(200, Object.fromEntries(headers.values()));
}

function writeSseEvent(res, data, eventType) {
  writeEventText(streamOf(res, 'write'), written(data, 'data'), eventType);
}

/** As `writeSseEvent`, of data that is JSON text already. */
function writeEventText(res, data, eventType) {
  if (eventType) {
    const type = text(eventType, 'eventType');
    if (/[\r\n]/.test(type)) throw new TypeError('eventType must not contain line breaks');
    res.write(`event: ${type}\n`);
  }
  res.write(`data: ${data}\n\n`);
}

function writeSseKeepAlive(res) {
  streamOf(res, 'write').write(': keepalive\n\n');
}

/** A response that has at least the given method. */
function streamOf(res, method) {
  if (typeof res?.[method] !== 'function') throw wrong('res', 'a ServerResponse', res);
  return res;
}

module.exports = { writeSseHeaders, writeSseEvent, writeSseKeepAlive, writeEventText, streamOf };
