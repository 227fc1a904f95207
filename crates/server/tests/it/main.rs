//! A server on a free port, in front of a real child process.
//!
//! - `child`: the wrapped server, scripted by the names of its tools;
//! - `gateway`: a running server and a client that speaks plain HTTP;
//! - `calls`: tool calls and batches, what they cost and how they end;
//! - `backends`: remote servers, and several servers under prefixes;
//! - `messages`: what is no call: free methods, lists, notifications, what is no message at all;
//! - `sessions`: how sessions begin and end, by the rules of either era;
//! - `keys`: making keys, listing them, topping them up, reading a balance;
//! - `http`: methods, headers, bodies, origins, the admin key, slow and rude clients;
//! - `books`: what survives a restart, and what is not served when it cannot be written;
//! - `drain`: the end of a server;
//! - `webhooks`: events on their way to receivers of every kind.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

mod backends;
mod books;
mod calls;
mod child;
mod drain;
mod gateway;
mod http;
mod keys;
mod messages;
mod sessions;
mod webhooks;
