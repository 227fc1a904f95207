'use strict';

// Writing event streams to a Node `ServerResponse`.

const HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  Connection: 'keep-alive',
  'X-Accel-Buffering': 'no',
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Expose-Headers': 'Mcp-Session-Id',
};

function writeSseHeaders(res, extraHeaders) {
  const headers = { ...HEADERS };
  for (const [name, value] of Object.entries(extraHeaders ?? {})) {
    // Node would send a header twice that is named twice in different case.
    const same = Object.keys(headers).find((known) => known.toLowerCase() === name.toLowerCase());
    if (same !== undefined && same !== name) delete headers[same];
    headers[name] = value;
  }
  res.writeHead(200, headers);
}

function writeSseEvent(res, data, eventType) {
  writeEventText(res, JSON.stringify(data), eventType);
}

/** As `writeSseEvent`, of data that is JSON text already. */
function writeEventText(res, data, eventType) {
  if (eventType) {
    if (/[\r\n]/.test(eventType)) throw new TypeError('eventType must not contain line breaks');
    res.write(`event: ${eventType}\n`);
  }
  res.write(`data: ${data}\n\n`);
}

function writeSseKeepAlive(res) {
  res.write(': keepalive\n\n');
}

module.exports = { writeSseHeaders, writeSseEvent, writeSseKeepAlive, writeEventText };
