'use strict';

const { text } = require('./arguments.js');
const { native, call } = require('./native.js');

function getDashboardHtml(serverName) {
  return call(native.dashboardHtml, text(serverName, 'serverName'));
}

module.exports = { getDashboardHtml };
