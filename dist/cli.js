#!/usr/bin/env node
'use strict';

// The command where 2.9.0 had it, for configurations that name this file.

require('../lib/program.js').run(process.argv.slice(2));
