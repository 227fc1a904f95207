//! A server on a free port, in front of a real child process.
//!
//! - `child`: the wrapped server, scripted by the names of its tools;
//! - `gateway`: a running server and a client that speaks plain HTTP;
//! - `calls`: tool calls and batches, what they cost and how they end;
//! - `backends`: remote servers, and several servers under prefixes;
//! - `messages`: what is no call: free methods, lists, notifications, what is no message at all;
//! - `sessions`: how sessions begin and end, by the rules of either era;
//! - `streams`: what a client listens on;
//! - `oauth`: clients, approvals and tokens over HTTP, and who is sent to get one;
//! - `keys`: making keys, listing them, topping them up, reading a balance;
//! - `keys_changed`: changing what keys may do, replacing them, revoking them, and who is told;
//! - `http`: methods, headers, bodies, origins, the admin key, slow and rude clients;
//! - `books`: what survives a restart, and what is not served when it cannot be written;
//! - `history`: what reports and rules for alerts know after a restart;
//! - `drain`: the end of a server;
//! - `teams`: budgets that keys share, who is in them, who is told;
//! - `payments`: what Stripe tells, and payments without a key;
//! - `deliveries`: what a server tells the receiver of webhooks, and what it tells of that;
//! - `reports`: status, usage, the audit log, analytics, alerts, prices, metrics, the dashboard;
//! - `webhooks`: events on their way to receivers of every kind.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

mod backends;
mod books;
mod calls;
mod child;
mod deliveries;
mod drain;
mod gateway;
mod history;
mod http;
mod keys;
mod keys_changed;
mod messages;
mod oauth;
mod payments;
mod reports;
mod sessions;
mod streams;
mod teams;
mod webhooks;
