//! Unix sockets, where there are any.

#[cfg(unix)]
pub(super) use self::unix::{Stream, connect};

#[cfg(not(unix))]
pub(super) use self::other::{Stream, connect};

#[cfg(unix)]
pub(super) use self::unix::is_of_this_user;

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::time::Duration;

    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect as join, socket};

    use crate::session::SessionError;

    pub(in crate::session) type Stream = UnixStream;

    /// Connects, and waits no longer than `patience` for it or for any later read or write.
    pub(in crate::session) fn connect(
        path: &Path,
        patience: Duration,
    ) -> Result<Stream, SessionError> {
        let open = || -> io::Result<Stream> {
            let address = SocketAddrUnix::new(path)?;
            let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
            rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
            // A program that is stopped takes nobody in, and once its list of those who wait is full, connecting blocks.
            set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
            set_socket_timeout(&socket, Timeout::Recv, Some(patience))?;
            join(&socket, &address)?;
            Ok(socket.into())
        };
        let stream = open().map_err(|source| SessionError::Io {
            action: "connect to",
            path: path.to_owned(),
            source,
        })?;
        match is_of_this_user(&stream) {
            Ok(true) => Ok(stream),
            Ok(false) => Err(SessionError::Foreign {
                path: path.to_owned(),
            }),
            Err(source) => Err(SessionError::Io {
                action: "ask who serves",
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Whether the process at the other end runs as the same user as this one.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(in crate::session) fn is_of_this_user(stream: &Stream) -> io::Result<bool> {
        let peer = rustix::net::sockopt::socket_peercred(stream)?;
        Ok(peer.uid == rustix::process::geteuid())
    }

    /// Elsewhere the permissions of the socket and its folder stand for it.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(in crate::session) fn is_of_this_user(_: &Stream) -> io::Result<bool> {
        Ok(true)
    }
}

#[cfg(not(unix))]
mod other {
    use std::io::{self, Read, Write};
    use std::path::Path;
    use std::time::Duration;

    use crate::session::SessionError;

    /// There is no such thing.
    #[derive(Debug)]
    pub(in crate::session) enum Stream {}

    impl Stream {
        pub(in crate::session) fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
            match *self {}
        }
    }

    impl Read for Stream {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            match *self {}
        }
    }

    impl Write for Stream {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            match *self {}
        }

        fn flush(&mut self) -> io::Result<()> {
            match *self {}
        }
    }

    pub(in crate::session) fn connect(_: &Path, _: Duration) -> Result<Stream, SessionError> {
        Err(SessionError::Unsupported)
    }
}
