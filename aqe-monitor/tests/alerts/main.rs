//! Alerts from the value to the receiver: real sockets, real files, a clock that the test moves.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

mod hook;
mod kill;
mod mail;
mod mail_server;
mod secrets;
mod store;
mod support;
mod tls;
mod webhook;
