//! One connection for one attempt: everything that happens on it has to be done by one deadline, and every line
//! that comes has a longest length. A receiver that sends a byte a minute, or lines without end, costs no more.
//!
//! It is std and rustls and nothing else, because HTTP clients write addresses and headers into the log at their
//! most talkative levels, and those may be secret.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// A connection, plain or TLS.
pub(crate) struct Connection {
    stream: Stream,
    /// What was read beyond the last line.
    buffer: Vec<u8>,
}

enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
    /// Between the two.
    None,
}

impl Connection {
    /// Connects by `deadline`. The system's resolver keeps its own time, which is not part of it.
    pub(crate) fn open(host: &str, port: u16, deadline: Instant) -> io::Result<Self> {
        let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        for address in addresses {
            // Each address has its part, so that one that swallows packets does not use up all the time.
            match TcpStream::connect_timeout(&address, remaining(deadline)? / left) {
                Ok(socket) => {
                    let stream = Stream::Plain(Timed { socket, deadline });
                    let buffer = Vec::new();
                    return Ok(Self { stream, buffer });
                }
                Err(error) => failure = error,
            }
            left -= 1;
        }
        Err(failure)
    }

    /// Goes on in TLS with the server `host`.
    pub(crate) fn start_tls(&mut self, config: &Arc<ClientConfig>, host: &str) -> io::Result<()> {
        if !self.buffer.is_empty() {
            // Whoever sits on the line could put answers here that would count as protected.
            return Err(io::Error::other("something came before TLS began"));
        }
        let Stream::Plain(mut timed) = std::mem::replace(&mut self.stream, Stream::None) else {
            return Err(io::Error::from(io::ErrorKind::NotConnected));
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut timed)?;
        }
        self.stream = Stream::Tls(Box::new(StreamOwned::new(tls, timed)));
        Ok(())
    }

    /// Our address on this connection.
    pub(crate) fn local_ip(&self) -> Option<IpAddr> {
        let timed = match &self.stream {
            Stream::Plain(timed) => timed,
            Stream::Tls(tls) => &tls.sock,
            Stream::None => return None,
        };
        timed.socket.local_addr().ok().map(|address| address.ip())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream()?;
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Reads a line of at most `max` bytes, and gives it without its line break.
    pub(crate) fn line(&mut self, max: usize) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer[searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let mut line: Vec<u8> = self.buffer.drain(..=searched + at).collect();
                while line
                    .last()
                    .is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
                {
                    line.pop();
                }
                return Ok(line);
            }
            searched = self.buffer.len();
            if searched > max {
                return Err(too_much());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 1024];
        let read = self.stream()?.read(&mut chunk)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(())
    }

    fn stream(&mut self) -> io::Result<&mut dyn ReadWrite> {
        match &mut self.stream {
            Stream::Plain(timed) => Ok(timed),
            Stream::Tls(tls) => Ok(tls),
            Stream::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// The error for answers without end.
pub(crate) fn too_much() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// A socket whose reads and writes end at the deadline.
struct Timed {
    socket: TcpStream,
    deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket
            .set_read_timeout(Some(remaining(self.deadline)?))?;
        self.socket.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket
            .set_write_timeout(Some(remaining(self.deadline)?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// What is left until `deadline`; never zero, which would mean no timeout at all.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}
