//! A receiver of `POST` that does what the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(u16),
    Raw(Vec<u8>),
    /// These bytes again and again until the other side goes away.
    Endless(&'static [u8], &'static [u8]),
    /// No word, and the connection stays open.
    Stall,
    /// No word, and the connection ends.
    Close,
}

pub(crate) struct Hook {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    stop: AtomicBool,
    requests: Mutex<Vec<Request>>,
    came: Condvar,
}

impl Hook {
    /// Answers each request by `script`, which sees it and its number from 0.
    pub(crate) fn new(script: impl FnMut(&Request, usize) -> Answer + Send + 'static) -> Self {
        Self::begin(None, script)
    }

    pub(crate) fn tls(config: ServerConfig) -> Self {
        Self::begin(Some(Arc::new(config)), |_, _| Answer::Status(200))
    }

    pub(crate) fn good() -> Self {
        Self::new(|_, _| Answer::Status(200))
    }

    fn begin(
        tls: Option<Arc<ServerConfig>>,
        mut script: impl FnMut(&Request, usize) -> Answer + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            requests: Mutex::default(),
            came: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut stalled = Vec::new();
            for stream in listener.incoming() {
                if theirs.stop.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                stream
                    .set_read_timeout(Some(Duration::from_secs(30)))
                    .unwrap();
                match &tls {
                    Some(config) => {
                        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                        serve(StreamOwned::new(connection, stream), &theirs, &mut script);
                    }
                    None => stalled.extend(serve(stream, &theirs, &mut script)),
                }
            }
        });
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits for the n-th request.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Request> {
        let requests = self.shared.requests.lock().unwrap();
        let wait = Duration::from_secs(60);
        let short = |requests: &mut Vec<Request>| requests.len() < count;
        let (requests, time) = self
            .shared
            .came
            .wait_timeout_while(requests, wait, short)
            .unwrap();
        assert!(!time.timed_out(), "only {} requests came", requests.len());
        requests.clone()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread, which looks at `stop` for each connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            assert!(
                result.is_ok() || std::thread::panicking(),
                "the receiver failed"
            );
        }
    }
}

/// Serves one connection, and hands it back if it is to stay open.
fn serve<S: Read + Write>(
    stream: S,
    shared: &Shared,
    script: &mut impl FnMut(&Request, usize) -> Answer,
) -> Option<S> {
    let mut reader = BufReader::new(stream);
    let request = read(&mut reader)?;
    let number = {
        let mut requests = shared.requests.lock().unwrap();
        requests.push(request.clone());
        requests.len() - 1
    };
    let answer = script(&request, number);
    shared.came.notify_all();
    let mut stream = reader.into_inner();
    // Whoever asked may be gone, or be killed on purpose.
    let _ = match answer {
        Answer::Status(status) => {
            let text = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
            stream
                .write_all(text.as_bytes())
                .and_then(|()| stream.flush())
        }
        Answer::Raw(bytes) => stream.write_all(&bytes),
        Answer::Endless(first, again) => {
            let mut result = stream.write_all(first);
            while result.is_ok() {
                result = stream.write_all(again);
            }
            result
        }
        Answer::Stall => return Some(stream),
        Answer::Close => Ok(()),
    };
    None
}

/// A request, or nothing if the other side gave up on the way.
fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 {
            return None;
        }
        if header == "\r\n" {
            break;
        }
        let (name, value) = header.trim_end().split_once(": ")?;
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut request = Request {
        line: line.trim_end().to_owned(),
        headers,
        body: Vec::new(),
    };
    let length = request.header("content-length")?.parse().ok()?;
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}
