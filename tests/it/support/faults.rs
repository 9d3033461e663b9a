//! Faults from outside: system calls that fail (strace), a disk that is full (a small file system), a wall clock that
//! jumps (libfaketime).
//!
//! A test whose tool is missing is skipped with a message on stderr; in CI (`CI` is set) it fails.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Gateway, SOON, eventually};

/// Reports a skipped test; fails in CI.
pub(crate) fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
    assert!(std::env::var_os("CI").is_none(), "in CI this must run: {why}");
}

/// Returns a number from the environment, for longer runs by hand.
pub(crate) fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// strace attached to a gateway: system calls on some files fail until it is detached.
#[derive(Debug)]
pub(crate) struct Fault {
    strace: Child,
    log: PathBuf,
}

impl Fault {
    /// Attaches strace with `inject`, such as `fdatasync,fsync:error=EIO:when=3+3`, for these files only. `None` when
    /// strace does not work here.
    pub(crate) fn attach(gateway: &Gateway, inject: &str, files: &[PathBuf]) -> Option<Self> {
        Self::attach_and_trace(gateway, inject, "fdatasync", files)
    }

    /// Attaches strace as [`Self::attach`] does, and also records the calls `more`.
    pub(crate) fn attach_and_trace(gateway: &Gateway, inject: &str, more: &str, files: &[PathBuf]) -> Option<Self> {
        let log = gateway.folder().join("strace.log");
        let mut command = Command::new("strace");
        command.arg("-f").arg("-o").arg(&log).arg("-e").arg(format!("inject={inject}"));
        command.arg("-e").arg(format!("trace={},{more}", inject.split(':').next().unwrap()));
        for file in files {
            command.arg("-P").arg(file);
        }
        command.arg("-p").arg(gateway.pid().to_string()).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut strace) = command.spawn() else {
            skipped("strace is not installed (script/setup test)");
            return None;
        };
        let mut said = BufReader::new(strace.stderr.take().unwrap());
        loop {
            let mut line = String::new();
            if said.read_line(&mut line).unwrap_or(0) == 0 {
                drop(strace.wait());
                skipped("strace may not attach to a process here");
                return None;
            }
            if line.contains("attached") {
                break;
            }
        }
        // strace must not block on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Some(Self { strace, log })
    }

    /// Counts the calls that failed by injection so far.
    pub(crate) fn injected(&self) -> usize {
        std::fs::read_to_string(&self.log).unwrap_or_default().matches("(INJECTED)").count()
    }

    /// Counts the successful calls of `fdatasync`, which commits events, so far.
    pub(crate) fn synced(&self) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let is_done = |line: &&str| line.contains("fdatasync") && line.trim_end().ends_with("= 0");
        log.lines().filter(is_done).count()
    }

    /// Checks whether this range was written again and then synced after the first injected failure.
    pub(crate) fn is_written_again(&self, range: std::ops::Range<usize>) -> bool {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let mut after = log.lines().skip_while(|line| !line.contains("(INJECTED)")).skip(1);
        // pwrite64(9, "…"..., 65536, 0) = 65536
        let part = |line: &str| {
            let (call, written) = line.split_once(") = ")?;
            let (_, offset) = call.split_once("pwrite64(")?.1.rsplit_once(", ")?;
            let (offset, written) = (offset.parse::<usize>().ok()?, written.trim().parse::<usize>().ok()?);
            Some(offset..offset + written)
        };
        let mut covered = range.start;
        let mut covers = |line: &str| {
            if let Some(part) = part(line).filter(|part| part.contains(&covered)) {
                covered = part.end;
            }
            covered >= range.end
        };
        let is_synced = |line: &str| line.contains("sync(") && line.trim_end().ends_with("= 0");
        after.any(&mut covers) && after.any(is_synced)
    }

    /// Detaches strace, and returns the number of injected failures; the gateway goes on.
    pub(crate) fn end(mut self) -> usize {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.strace.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        eventually("strace lets go", SOON, || self.strace.try_wait().unwrap());
        self.injected()
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        drop(self.strace.kill());
        drop(self.strace.wait());
    }
}

/// A small file system, unmounted when dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts an ext4 image of `mib` MiB at `at`, or a tmpfs where there is no loop device. `None` when mounting is not
    /// allowed here.
    pub(crate) fn mount(at: &Path, mib: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let image = at.with_extension("img");
        let run = |program: &str, args: &[&str]| {
            let done = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
            done.is_ok_and(|status| status.success())
        };
        let (image, folder) = (image.to_str().unwrap(), at.to_str().unwrap());
        std::fs::File::create(image).unwrap().set_len(u64::from(mib) * 1024 * 1024).unwrap();
        let is_ext4 = run("mkfs.ext4", &["-q", "-F", image]) && run("mount", &["-o", "loop", image, folder]);
        let size = format!("size={mib}m");
        if is_ext4 || run("mount", &["-t", "tmpfs", "-o", &size, "hookgate-it", folder]) {
            eprintln!("a disk of {mib} MiB: {}", if is_ext4 { "ext4" } else { "tmpfs" });
            return Some(Self { at: at.to_owned() });
        }
        skipped("a small disk needs root and the right to mount");
        None
    }

    /// Fills the disk to the last byte, and returns the file to remove.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.at.join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        let block = vec![0x5a; 64 * 1024];
        while file.write_all(&block).is_ok() {}
        drop(file.sync_all());
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.at).status());
    }
}

/// A wall clock for a gateway, by libfaketime; the monotonic clock runs on.
#[derive(Debug)]
pub(crate) struct WallClock {
    library: PathBuf,
    file: PathBuf,
}

impl WallClock {
    /// Creates a clock; `None` when libfaketime is not installed.
    pub(crate) fn in_folder(folder: &Path) -> Option<Self> {
        let found = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let library =
            found.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
        let Some(library) = library else {
            skipped("libfaketime is not installed (script/setup test)");
            return None;
        };
        let clock = Self { library, file: folder.join("clock") };
        clock.jump("+0");
        Some(clock)
    }

    /// Sets the offset from the true time, such as `+1d` or `-1h`.
    pub(crate) fn jump(&self, by: &str) {
        // The file is replaced by a rename, so that no process reads half of it.
        let next = self.file.with_extension("next");
        std::fs::write(&next, by).unwrap();
        std::fs::rename(next, &self.file).unwrap();
    }

    /// Returns the environment for a process under this clock.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        vec![
            ("LD_PRELOAD".into(), text(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE".into(), text(&self.file)),
            ("FAKETIME_NO_CACHE".into(), "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()),
        ]
    }
}
