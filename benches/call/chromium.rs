//! The same call between two pages of a Chromium, where one is installed, for comparison.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::people::cpu_seconds;
use crate::support::program::DEADLINE;

const PAGE: &str = include_str!("chromium.html");
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// What two pages gave.
pub struct Two {
    /// `Chromium 140…`.
    pub version: String,
    /// Of the received picture at the end.
    pub size: String,
    /// From before a frame is drawn to its being read out of the remote video, each in milliseconds.
    pub latencies: Vec<f64>,
    /// From the callee page's script to its first remote picture.
    pub first_ms: f64,
    /// Cores, all processes of the browser.
    pub cpu: f64,
    /// Memory of all its processes, shared pages counted once.
    pub pss_mb: f64,
}

/// Runs a call of about this long; an error says why there was none.
pub fn measure(watch: Duration) -> Result<Two, String> {
    let (name, version) = NAMES
        .iter()
        .find_map(|name| Some((name, Command::new(name).arg("--version").output().ok()?)))
        .map(|(name, out)| (name, String::from_utf8_lossy(&out.stdout).trim().to_owned()))
        .ok_or("Chromium is not installed")?;
    let profile = tempfile::tempdir().map_err(|e| e.to_string())?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let (waiting, waits) = channel();
    let (result, results) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (waiting, result) = (waiting.clone(), result.clone());
            thread::spawn(move || serve(stream, &waiting, &result));
        }
    });

    let child = Command::new(name)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--mute-audio",
        ])
        .args([
            "--disable-popup-blocking",
            "--autoplay-policy=no-user-gesture-required",
        ])
        .args([
            "--disable-background-timer-throttling",
            "--disable-renderer-backgrounding",
        ])
        .args([
            "--disable-backgrounding-occluded-windows",
            "--disable-features=WebRtcHideLocalIpsWithMdns",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://{address}/"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("{name} does not start: {e}"))?;
    let browser = Browser(child);
    let go: Sender<()> = waits
        .recv_timeout(DEADLINE)
        .map_err(|_| "the page was not opened")?;
    pause(Duration::from_secs(8));
    let before = browser.cpu_seconds();
    pause(watch);
    let cpu = (browser.cpu_seconds() - before) / watch.as_secs_f64();
    let pss_mb = browser.pss_mb();
    let _ = go.send(());
    let mut pages = Vec::new();
    while pages.len() < 2 {
        pages.push(
            results
                .recv_timeout(DEADLINE)
                .map_err(|_| "the pages told no result")?,
        );
    }
    pages.sort_by_key(|page: &Value| page["caller"].as_bool());
    let [callee, caller] = &pages[..] else {
        return Err("not two pages".into());
    };

    let sent = caller["sent"].as_array().ok_or("no frames were sent")?;
    let seen = callee["seen"].as_array().ok_or("no frames were seen")?;
    // As for our own: not the first seconds, and each frame once.
    let from = sent.len().saturating_sub((watch.as_secs_f64() * 30.0) as usize);
    let mut at = HashMap::new();
    for pair in seen {
        if let (Some(n), Some(time)) = (pair[0].as_u64(), pair[1].as_f64()) {
            at.entry(n as usize).or_insert(time);
        }
    }
    let latencies: Vec<f64> = (from..sent.len())
        .filter_map(|n| Some(at.get(&n)? - sent[n].as_f64()?))
        .filter(|age| (0.0..5000.0).contains(age))
        .collect();
    if latencies.is_empty() {
        return Err("no frame could be read out of the remote video".into());
    }
    Ok(Two {
        version,
        size: format!("{}x{}", callee["width"], callee["height"]),
        latencies,
        first_ms: callee["first"].as_f64().unwrap_or(f64::NAN) - callee["began"].as_f64().unwrap_or(f64::NAN),
        cpu,
        pss_mb,
    })
}

/// One request: the page, a wait for the end of the measurement, or a page's result.
fn serve(mut stream: TcpStream, waiting: &Sender<Sender<()>>, result: &Sender<Value>) {
    let Ok(clone) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(clone);
    let mut line = String::new();
    let mut length = 0;
    let mut request = String::new();
    while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
        if request.is_empty() {
            request.clone_from(&line);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let mut answer = "";
    match request.split(' ').nth(1) {
        Some("/" | "/callee") => answer = PAGE,
        Some("/wait") => {
            let (go, gone) = channel();
            let _ = waiting.send(go);
            let _ = gone.recv();
        }
        Some("/result") => {
            if let Ok(value) = serde_json::from_slice(&body) {
                let _ = result.send(value);
            }
        }
        _ => (),
    }
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    );
}

fn pause(duration: Duration) {
    let (_never, nothing): (Sender<()>, Receiver<()>) = channel();
    let _ = nothing.recv_timeout(duration);
}

/// The browser; its processes are the descendants of the one that was started.
struct Browser(Child);

impl Browser {
    fn pids(&self) -> Vec<u32> {
        let mut found = vec![self.0.id()];
        let mut next = 0;
        while let Some(&pid) = found.get(next) {
            for task in std::fs::read_dir(format!("/proc/{pid}/task"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
                found.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
            }
            next += 1;
        }
        found
    }

    fn cpu_seconds(&self) -> f64 {
        self.pids()
            .into_iter()
            .map(cpu_seconds)
            .filter(|s| s.is_finite())
            .sum()
    }

    fn pss_mb(&self) -> f64 {
        let of = |pid| {
            let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let kb = |l: &str| {
                l.strip_prefix("Pss:")?
                    .trim()
                    .strip_suffix(" kB")?
                    .parse::<f64>()
                    .ok()
            };
            rollup.lines().find_map(kb).unwrap_or(0.0) / 1000.0
        };
        self.pids().into_iter().map(of).sum()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
