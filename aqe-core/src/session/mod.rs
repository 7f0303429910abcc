//! What a program does at the moment, for a second one of the same user.
//!
//! A program that works on a project serves a session with [`SessionServer`]: a socket in the project's
//! [state folder](crate::state), and a file beside it that says whose it is. Another program finds the sessions that are
//! alive with [`Session::find`], asks for a [`Status`], or has one sent again and again.
//!
//! # Protocol
//!
//! Requests and replies are JSON objects, a line each, with the version of the protocol in `aqe`:
//!
//! ```text
//! > {"aqe":1,"request":"status"}
//! < {"aqe":1,"status":{"pid":4711,"planned":450,…}}
//! > {"aqe":1,"request":"subscribe","interval_ms":1000}
//! < {"aqe":1,"status":{…}}
//! < {"aqe":1,"end":"finished"}
//! > {"aqe":2,"request":"status"}
//! < {"aqe":1,"error":{"kind":"version","message":"…"}}
//! ```
//!
//! Later programs add fields and kinds of requests under the same version, and change none. What a request does not know
//! is passed over.
//!
//! # Who can connect
//!
//! The socket has mode 0600 in a folder that nobody else can write to. On Linux, either end also asks the system who is
//! at the other, and talks to nobody but its own user. There are no sessions on systems without Unix sockets:
//! [`SessionServer::start`] says so, and [`Session::find`] finds none.
//!
//! # Bounds
//!
//! A session has one thread, at most [`MAX_CLIENTS`] clients, requests of at most [`MAX_REQUEST_BYTES`] and at most one
//! reply under way to each client. Who neither reads nor asks for anything is dropped after ten seconds. While nobody is
//! connected, the thread sleeps.

mod client;
#[cfg(unix)]
mod conversation;
mod error;
mod place;
mod protocol;
#[cfg(unix)]
mod server;
#[cfg(not(unix))]
#[path = "server_other.rs"]
mod server;
mod socket;
mod status;

pub use self::client::{Session, Subscription};
pub use self::error::SessionError;
pub use self::protocol::{MAX_REQUEST_BYTES, Refusal, Request, VERSION};
pub use self::server::{MAX_CLIENTS, SessionServer};
pub use self::status::{Failed, Machine, Running, Status};
