//! A terminal in a folder of its own: a shell that runs one command after the other.
//!
//! The ports that a page names are replaced by free ones, in files and commands, and put back in what is printed.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::root;

/// The ports that pages use; the last one is the admin listener's default.
const PORTS: [&str; 4] = ["8080", "9001", "9002", "8900"];
/// The longest wait for a process in the background to listen.
const START: Duration = Duration::from_secs(20);

pub(crate) struct Session {
    folder: tempfile::TempDir,
    shell: Child,
    printed: BufReader<ChildStdout>,
    ports: Vec<(&'static str, String)>,
    commands: usize,
}

impl Session {
    pub(crate) fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["script", "schemas"] {
            symlink(root().join(name), folder.path().join(name)).unwrap();
        }
        let listeners: Vec<TcpListener> = PORTS.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let free = listeners.iter().map(|listener| listener.local_addr().unwrap().port().to_string());
        let ports = PORTS.into_iter().zip(free).collect();
        let program = Path::new(env!("CARGO_BIN_EXE_hookgate")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(folder.path())
            .env_clear()
            .envs([("PATH", path.as_str()), ("LC_ALL", "C.UTF-8")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let printed = BufReader::new(shell.stdout.take().unwrap());
        Self { folder, shell, printed, ports, commands: 0 }
    }

    fn with_free_ports(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (shown, free)| text.replace(shown, free))
    }

    /// Writes a file; one of the gateway gets an admin listener at a free port.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let mut text = self.with_free_ports(text);
        if text.contains("version: 1\n") {
            // At the end, so that the places of problems are those of the page.
            writeln!(text, "admin: {{listen: \"127.0.0.1:{}\"}}", self.ports.last().unwrap().1).unwrap();
        }
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Runs a command, and returns the lines that it prints.
    pub(crate) fn run(&mut self, line: &str) -> Vec<String> {
        self.commands += 1;
        let output = self.folder.path().join(format!(".output-{}", self.commands));
        let line = self.with_free_ports(line);
        let input = self.shell.stdin.as_mut().unwrap();
        writeln!(input, "{{ {line}\n}} </dev/null >{} 2>&1; echo", output.display()).unwrap();
        let mut end = String::new();
        assert!(self.printed.read_line(&mut end).unwrap() > 0, "the shell ended at: {line}");
        if line.ends_with('&') {
            self.wait_for_listeners(&line);
        }
        let text = std::fs::read_to_string(output).unwrap();
        let text = self.ports.iter().fold(text, |text, (shown, free)| text.replace(free.as_str(), shown));
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until what was started in the background listens: the gateway at its admin port, anything else at those
    /// that it names.
    fn wait_for_listeners(&self, line: &str) {
        let is_gateway = line.starts_with("hookgate run");
        let admin = &self.ports.last().unwrap().1;
        let awaited = self.ports.iter().map(|(_, free)| free);
        let deadline = Instant::now() + START;
        for port in awaited.filter(|free| if is_gateway { *free == admin } else { line.contains(free.as_str()) }) {
            while std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
                assert!(Instant::now() < deadline, "nobody listens after: {line}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The shell leads a group of its own, with all that it started.
        let group = format!("-{}", self.shell.id());
        drop(Command::new("kill").args(["-TERM", "--", &group]).status());
        drop(self.shell.wait());
    }
}
