'use strict';

const { getDashboardHtml } = require('paygate-mcp');

test('the page carries the name, as text', () => {
  const page = getDashboardHtml('a <b> & c');
  expect(page).toMatch(/^<!doctype html>/i);
  expect(page).toContain('a &lt;b&gt; &amp; c');
});
