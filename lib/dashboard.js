'use strict';

const { native, call, text } = require('./native.js');

function getDashboardHtml(serverName) {
  return call(native.dashboardHtml, text(serverName));
}

module.exports = { getDashboardHtml };
