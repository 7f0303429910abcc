//! Sessions as programs meet them: real sockets, hostile clients, and what killed programs leave.
#![cfg(all(unix, feature = "session"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aqe_core::session::{
    Failed, MAX_CLIENTS, Request, Running, Session, SessionError, SessionServer, Status,
};
use aqe_core::state::StateFolder;
use tempfile::TempDir;

/// A project with a state folder, which may be far down.
struct Project {
    _root: TempDir,
    state: StateFolder,
}

impl Project {
    fn new() -> Self {
        Self::below("")
    }

    fn below(path: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(path)).unwrap();
        let state = StateFolder::at(root.path().join(path).join(".aqe"));
        Self { _root: root, state }
    }

    /// Serves a status that says how often it was asked for.
    fn serve(&self) -> SessionServer {
        let asked = AtomicU64::new(0);
        SessionServer::start(&self.state, move || {
            let mut status = Status::default();
            status.done = asked.fetch_add(1, Ordering::Relaxed) + 1;
            status
        })
        .unwrap()
    }

    fn only(&self) -> Session {
        let sessions = Session::find(&self.state).unwrap();
        assert_eq!(sessions.len(), 1);
        sessions[0].clone()
    }

    /// The names of the files in the folder, besides that for git.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.state.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != ".gitignore").collect();
        names.sort();
        names
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }
}

/// A client without manners.
fn client(session: &Session) -> UnixStream {
    let stream = UnixStream::connect(session.socket()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream
}

fn say(stream: &mut UnixStream, text: &[u8]) -> String {
    stream.write_all(text).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_session_is_for_its_user_alone_and_leaves_nothing() {
    let project = Project::new();
    let server = project.serve();
    assert_eq!(project.files(), ["session.json", "session.sock"]);
    let modes = ["", "session.sock", "session.json"].map(|name| mode(&project.path(name)));
    assert_eq!(modes, [0o700, 0o600, 0o600]);
    let session = project.only();
    assert_eq!(session.pid(), process::id());
    let status = session.status().unwrap();
    assert_eq!((status.pid, status.done), (process::id(), 1));
    assert_eq!(status.started.as_secs(), session.started().as_secs());
    drop(server);
    assert!(project.files().is_empty());
    assert_eq!(Session::find(&project.state).unwrap(), []);
    assert!(matches!(session.status(), Err(SessionError::Lost { .. })));
}

#[test]
fn a_subscriber_is_told_again_and_again_and_when_it_is_over() {
    let project = Project::new();
    let server = project.serve();
    let mut told = project.only().subscribe(Request::MIN_INTERVAL).unwrap();
    for number in 1..=3 {
        assert_eq!(told.next().unwrap().unwrap().done, number);
    }
    drop(server);
    // One that was on its way may come before the last.
    let rest: Vec<u64> = told.map(|status| status.unwrap().done).collect();
    assert!(!rest.is_empty() && rest[0] == 4, "{rest:?}");
}

#[test]
fn whoever_speaks_otherwise_is_told_so() {
    let project = Project::new();
    let _server = project.serve();
    let session = project.only();
    let mut stream = client(&session);
    for (request, kind) in [
        (r#"{"aqe":2,"request":"status"}"#, "version"),
        (r#"{"aqe":1,"request":"shutdown"}"#, "unknown-request"),
        (
            r#"{"aqe":1,"request":"subscribe","interval_ms":0}"#,
            "interval",
        ),
    ] {
        let reply = say(&mut stream, format!("{request}\n").as_bytes());
        assert!(reply.contains(&format!("\"kind\":\"{kind}\"")), "{reply}");
    }
    // It is still listened to.
    let reply = say(&mut stream, Request::Status.line().as_bytes());
    assert!(reply.starts_with(r#"{"aqe":1,"status":{"#), "{reply}");
    let error = session.subscribe(Duration::from_millis(1)).unwrap().next();
    assert!(
        matches!(error, Some(Err(SessionError::Refused(_)))),
        "{error:?}"
    );
}

#[test]
fn garbage_harms_nobody() {
    let project = Project::new();
    let _server = project.serve();
    let session = project.only();
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0; 100_000],
        vec![b'['; 100_000],
        b"\xff\xfe\n".to_vec(),
    ] {
        let mut stream = client(&session);
        // It may be refused before it has come to its end.
        let _ = stream.write_all(&garbage);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        assert!(session.status().is_ok());
    }
    // Half a request, and nobody who waits for the answer.
    let mut half = client(&session);
    half.write_all(b"{\"aqe\"").unwrap();
    let mut deaf = client(&session);
    deaf.write_all(Request::Status.line().as_bytes()).unwrap();
    drop(deaf);
    assert!(session.status().is_ok());
}

#[test]
fn a_hundred_clients_are_served_at_once_and_one_too_many_is_told_so() {
    let project = Project::new();
    let _server = project.serve();
    let session = project.only();
    let mut clients: Vec<UnixStream> = (0..100).map(|_| client(&session)).collect();
    for stream in &mut clients {
        stream.write_all(Request::Status.line().as_bytes()).unwrap();
    }
    for stream in &mut clients {
        let reply = say(stream, b"");
        assert!(reply.contains("\"status\""), "{reply}");
    }
    // Those that say nothing take a place each.
    clients.extend((100..MAX_CLIENTS).map(|_| client(&session)));
    for stream in &mut clients {
        // Who is answered has been let in.
        assert!(say(stream, Request::Status.line().as_bytes()).contains("\"status\""));
    }
    let reply = say(&mut client(&session), b"");
    assert!(reply.contains("\"kind\":\"busy\""), "{reply}");
    assert!(matches!(
        session.status(),
        Err(SessionError::Refused(_)) | Err(SessionError::Lost { .. })
    ));
    drop(clients);
    // They are gone when the server has seen it; until then it is busy.
    while session.status().is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn who_does_not_read_keeps_nobody_waiting() {
    let project = Project::new();
    let server = SessionServer::start(&project.state, longest).unwrap();
    let session = project.only();
    let mut stalled: Vec<UnixStream> = (0..8).map(|_| client(&session)).collect();
    for stream in &mut stalled {
        // More than the system keeps for them.
        stream.set_nonblocking(true).unwrap();
        let request = Request::Status.line();
        while stream.write(request.as_bytes()).is_ok() {}
    }
    for _ in 0..20 {
        assert!(session.status().is_ok());
    }
    drop(server);
    drop(stalled);
}

/// A status as long as can be.
fn longest() -> Status {
    // Each takes six bytes as JSON.
    let name = "\u{1}".repeat(1000);
    let mut status = Status::default();
    status.running = vec![Running::new(&name, Duration::ZERO); Status::MAX_RUNNING];
    status.failures = vec![Failed::new(&name, &name); Status::MAX_FAILURES];
    status
}

#[test]
fn who_reads_late_gets_all_of_it() {
    let project = Project::new();
    let _server = SessionServer::start(&project.state, longest).unwrap();
    let session = project.only();
    let mut stream = client(&session);
    // All at once, so that nothing else comes that would wake the session.
    let requests = Request::Status.line().repeat(20);
    stream.write_all(requests.as_bytes()).unwrap();
    // A session that did not notice that there is room again would try after ten seconds at the latest.
    let limit = Duration::from_secs(6);
    stream.set_read_timeout(Some(limit)).unwrap();
    let mut lines = BufReader::new(stream).lines();
    for _ in 0..20 {
        let line = lines.next().unwrap().unwrap();
        // More than the system keeps for a socket, in all.
        assert!((100_000..200_000).contains(&line.len()), "{}", line.len());
    }
    assert_eq!(session.status().unwrap().running.len(), Status::MAX_RUNNING);
}

#[test]
fn several_sessions_are_alive_at_once() {
    let project = Project::new();
    let servers = [project.serve(), project.serve(), project.serve()];
    let mut sockets: Vec<PathBuf> = Session::find(&project.state)
        .unwrap()
        .iter()
        .map(|session| session.socket().to_owned())
        .collect();
    sockets.sort();
    sockets.dedup();
    assert_eq!(sockets.len(), 3);
    assert_eq!(project.files().len(), 6);
    drop(servers);
    assert!(project.files().is_empty());
}

/// What a killed program leaves: a record that nobody has locked, and a socket on which nobody listens.
fn leave(project: &Project, name: &str, socket: &Path) {
    drop(UnixListener::bind(project.path(&format!("{name}.sock"))).unwrap());
    let record = format!(
        "{{\"aqe\":1,\"pid\":1,\"started_ms\":5,\"socket\":\"{}\"}}\n",
        socket.display()
    );
    fs::write(project.path(&format!("{name}.json")), record).unwrap();
}

#[test]
fn what_killed_programs_have_left_is_replaced_and_cleared_away() {
    let project = Project::new();
    project.state.create().unwrap();
    leave(&project, "session", Path::new("session.sock"));
    leave(&project, "session-77", Path::new("session-77.sock"));
    fs::write(project.path("session-78.json"), "{\"aqe\":").unwrap();
    assert_eq!(Session::find(&project.state).unwrap(), []);
    let server = project.serve();
    assert_eq!(project.files(), ["session.json", "session.sock"]);
    assert!(project.only().status().is_ok());
    drop(server);
    assert!(project.files().is_empty());
}

#[test]
fn a_record_cannot_make_it_remove_anything_else() {
    let project = Project::new();
    project.state.create().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let precious = elsewhere.path().join("session.sock");
    fs::write(&precious, "").unwrap();
    leave(&project, "session-5", &precious);
    let foreign = elsewhere.path().join("other.sock");
    let _listening = UnixListener::bind(&foreign).unwrap();
    leave(&project, "session-6", &foreign);
    leave(&project, "session-7", Path::new("../.aqe/.gitignore"));
    let _server = project.serve();
    assert!(precious.exists() && foreign.exists() && project.path(".gitignore").exists());
    // Nor does anybody take a pipe for a record.
    assert_eq!(Session::find(&project.state).unwrap().len(), 1);
}

#[test]
fn a_socket_with_too_long_a_path_is_elsewhere() {
    let project = Project::below(&"deep/".repeat(40));
    let server = project.serve();
    let session = project.only();
    assert!(!session.socket().starts_with(project.state.path()));
    assert_eq!(mode(session.socket().parent().unwrap()), 0o700);
    assert_eq!(mode(session.socket()), 0o600);
    assert!(session.status().is_ok());
    assert_eq!(project.files(), ["session.json"]);
    drop(server);
    assert!(!session.socket().parent().unwrap().exists());
    assert!(project.files().is_empty());

    // One that was killed there is cleared away like every other.
    let own = session.socket().parent().unwrap();
    fs::create_dir(own).unwrap();
    fs::set_permissions(own, fs::Permissions::from_mode(0o700)).unwrap();
    drop(UnixListener::bind(session.socket()).unwrap());
    let record = format!(
        "{{\"aqe\":1,\"pid\":1,\"started_ms\":5,\"socket\":\"{}\"}}",
        session.socket().display()
    );
    fs::write(project.path("session.json"), record).unwrap();
    let _server = project.serve();
    assert!(!own.exists());
}

#[test]
fn nothing_is_served_in_a_folder_that_others_can_write_to() {
    let project = Project::new();
    project.state.create().unwrap();
    fs::set_permissions(project.state.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = SessionServer::start(&project.state, Status::default).unwrap_err();
    assert!(
        error.to_string().contains("can be written by others"),
        "{error}"
    );
    let error = Session::find(&project.state).unwrap_err();
    assert!(matches!(error, SessionError::State(_)));
}

#[test]
fn a_status_that_panics_ends_its_session_and_no_more() {
    let project = Project::new();
    let server = SessionServer::start(&project.state, || panic!("as it should")).unwrap();
    let session = project.only();
    assert!(matches!(session.status(), Err(SessionError::Lost { .. })));
    drop(server);
    assert!(project.files().is_empty());
    let is_socket = |path: &Path| {
        path.symlink_metadata()
            .is_ok_and(|it| it.file_type().is_socket())
    };
    assert!(!is_socket(session.socket()));
}
