//! A real Chromium without a window, driven by its own chromedriver (W3C WebDriver over HTTP). Each one
//! has its own port, profile and devices that are not real: a camera that shows a clock and a Pac-Man and
//! beeps each half second, and a screen. `plain.test` is this machine, by a name to which a browser gives no
//! devices without TLS; certificates are not checked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use facetty::io::clock;
use facetty::media::frame::I420;
use facetty::units::Size;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::program::DEADLINE;

/// How often a page is looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// Remembers each connection of the page, so that its figures can be read.
const SPY: &str = "
    window.connections = [];
    const Real = RTCPeerConnection;
    window.RTCPeerConnection = class extends Real {
        constructor(...args) { super(...args); window.connections.push(this); }
    };
    window.wrong = [];
    addEventListener('error', (e) => window.wrong.push(`${e.message} (${e.filename}:${e.lineno})`));
    addEventListener('unhandledrejection', (e) => window.wrong.push(`unhandled: ${e.reason}`));
    addEventListener('securitypolicyviolation', (e) => window.wrong.push(`policy: ${e.violatedDirective} ${e.blockedURI}`));
";

/// A browser with one page; ends when dropped.
pub struct Browser {
    driver: Child,
    address: String,
    session: String,
    _profile: TempDir,
    /// Console messages that are meant to come.
    expected: Vec<&'static str>,
    checked: std::cell::Cell<bool>,
}

/// What a browser is started with.
#[derive(Clone, Copy, Default)]
pub struct Setup {
    /// The person refuses camera and microphone.
    pub refuse: bool,
    /// Width and height of the window, and whether it is a phone's.
    pub window: Option<(u32, u32, bool)>,
    /// In light colours.
    pub light: bool,
    /// No camera and no microphone at all.
    pub bare: bool,
}

impl Browser {
    /// With devices that may be used.
    pub fn start() -> Self {
        Self::start_with(Setup::default())
    }

    /// Likewise, set up in this way.
    pub fn start_with(setup: Setup) -> Self {
        let (driver, port) = driver();
        let profile = tempfile::tempdir().expect("there is room for temporary files");
        let address = format!("127.0.0.1:{port}");
        let mut args = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-dev-shm-usage".into(),
            "--no-first-run".into(),
            "--mute-audio".into(),
            "--disable-background-networking".into(),
            "--disable-backgrounding-occluded-windows".into(),
            "--disable-renderer-backgrounding".into(),
            "--allow-loopback-in-peer-connection".into(),
            "--auto-select-desktop-capture-source=Entire screen".into(),
            "--auto-accept-this-tab-capture".into(),
            "--host-resolver-rules=MAP plain.test 127.0.0.1".into(),
            "--disable-features=HttpsUpgrades".into(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if !setup.bare {
            args.push("--use-fake-device-for-media-stream".into());
        }
        args.push(match setup.refuse {
            true => "--deny-permission-prompts".into(),
            false => "--use-fake-ui-for-media-stream".into(),
        });
        let (width, height, phone) = setup.window.unwrap_or((1280, 800, false));
        args.push(format!("--window-size={width},{height}"));
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "unhandledPromptBehavior": "accept",
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": 60_000, "pageLoad": 60_000 },
        }}});
        let mut browser = Self {
            driver,
            address,
            session: String::new(),
            _profile: profile,
            expected: Vec::new(),
            checked: std::cell::Cell::new(false),
        };
        let made = browser.ask("POST", "/session", &capabilities);
        browser.session = made["sessionId"].as_str().expect("a session").to_owned();
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": SPY }));
        if setup.window.is_some() {
            let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": if phone { 2 } else { 1 }, "mobile": phone });
            browser.cdp("Emulation.setDeviceMetricsOverride", &metrics);
        }
        let scheme =
            json!({ "name": "prefers-color-scheme", "value": if setup.light { "light" } else { "dark" } });
        browser.cdp("Emulation.setEmulatedMedia", &json!({ "features": [scheme] }));
        browser
    }

    /// Opens an address.
    pub fn open(&self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url }));
    }

    /// Opens a room and joins it under this name.
    pub fn join(&self, server: &str, room: &str, name: &str) {
        self.open(&format!("{server}/{room}"));
        self.until(
            "the page asks for a name",
            "return document.body.dataset.view === 'join'",
        );
        self.run(
            "document.getElementById('join-name').value = arguments[0]",
            &[name.into()],
        );
        self.click("#join-go");
    }

    /// A click as a person's.
    pub fn click(&self, selector: &str) {
        let found = self.command(
            "POST",
            "/element",
            &json!({ "using": "css selector", "value": selector }),
        );
        let element = found
            .as_object()
            .and_then(|o| o.values().next())
            .and_then(Value::as_str);
        let element = element.unwrap_or_else(|| panic!("no {selector}"));
        self.command("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// Keys as a person's, one after the other, to whatever has the focus.
    pub fn press(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            let key = key.to_string();
            [
                json!({ "type": "keyDown", "value": key }),
                json!({ "type": "keyUp", "value": key }),
            ]
        });
        let strokes: Vec<_> = strokes.collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] });
        self.command("POST", "/actions", &actions);
    }

    /// Runs the body of an asynchronous function, and gives what it returns.
    pub fn run(&self, script: &str, args: &[Value]) -> Value {
        let script = format!("return (async function() {{ {script} }}).apply(null, arguments)");
        self.command(
            "POST",
            "/execute/sync",
            &json!({ "script": script, "args": args }),
        )
    }

    /// Waits until the body of a function returns something that is true, and gives it.
    pub fn until(&self, what: &str, script: &str) -> Value {
        let until = clock::now() + DEADLINE;
        loop {
            let value = self.run(script, &[]);
            let is_true = !matches!(&value, Value::Null | Value::Bool(false))
                && value != json!(0)
                && value != json!("");
            if is_true {
                return value;
            }
            assert!(
                clock::now() < until,
                "not in time: {what}; the page shows:\n{}\nconsole: {:?}",
                self.text(),
                self.console()
            );
            pause(LOOK);
        }
    }

    /// What the page shows, as text.
    pub fn text(&self) -> String {
        let text = self.run("return document.body.innerText", &[]);
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows this text.
    pub fn shows(&self, text: &str) {
        let script = format!("return document.body.innerText.includes({})", json!(text));
        self.until(&format!("{text:?} is shown"), &script);
    }

    /// The figures of all connections that are not closed: an array of arrays of rows.
    pub fn stats(&self) -> Vec<Vec<Value>> {
        let all = self.run(
            "return Promise.all(connections.filter((c) => c.connectionState !== 'closed')
                .map(async (c) => [...(await c.getStats()).values()]))",
            &[],
        );
        serde_json::from_value(all).expect("arrays of rows")
    }

    /// The row of this type and kind through which most went: who changes a codec has two.
    pub fn row(&self, kind: &str, media: &str) -> Value {
        let rows = self.stats().into_iter().flatten();
        let packets = |row: &Value| row["packetsReceived"].as_u64().or(row["packetsSent"].as_u64());
        rows.filter(|row| row["type"] == kind && row["kind"] == media)
            .max_by_key(packets)
            .unwrap_or_default()
    }

    /// Waits until a row of this type and kind fits.
    pub fn row_where(&self, kind: &str, media: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = clock::now() + DEADLINE;
        loop {
            let row = self.row(kind, media);
            if fits(&row) {
                return row;
            }
            assert!(
                clock::now() < until,
                "no {kind} of {media} fits: {row}\n{}",
                self.text()
            );
            pause(LOOK);
        }
    }

    /// The picture that the first remote tile shows now, if there is one.
    pub fn picture(&self) -> Option<I420> {
        let seen = self.run(
            "const video = document.querySelector('.tile:not(.own) video');
             if (!video?.videoWidth) return null;
             const [w, h] = [video.videoWidth & ~1, video.videoHeight & ~1];
             const ink = new OffscreenCanvas(w, h).getContext('2d');
             ink.drawImage(video, 0, 0, w, h);
             const { data } = ink.getImageData(0, 0, w, h);
             let luma = '';
             for (let i = 0; i < data.length; i += 4) {
               const y = 16 + (65.7 * data[i] + 129 * data[i + 1] + 25 * data[i + 2]) / 256;
               luma += Math.round(y).toString(16).padStart(2, '0');
             }
             return [w, h, luma];",
            &[],
        );
        let size = Size::new(seen[0].as_u64()? as u32, seen[1].as_u64()? as u32);
        let luma = data_encoding::HEXLOWER
            .decode(seen[2].as_str()?.as_bytes())
            .ok()?;
        let mut picture = I420::new(size);
        picture.planes_mut()[0].copy_from_slice(&luma);
        Some(picture)
    }

    /// A picture of the page (PNG).
    pub fn screenshot(&self) -> Vec<u8> {
        let shot = self.command("GET", "/screenshot", &Value::Null);
        let text = shot.as_str().expect("a picture");
        data_encoding::BASE64.decode(text.as_bytes()).expect("base64")
    }

    /// A command of the browser's own protocol.
    pub fn cdp(&self, command: &str, params: &Value) -> Value {
        self.command(
            "POST",
            "/goog/cdp/execute",
            &json!({ "cmd": command, "params": params }),
        )
    }

    /// A console message with this in it is meant to come.
    pub fn expect_message(&mut self, part: &'static str) {
        self.expected.push(part);
    }

    /// What the console says does not matter.
    pub fn unchecked(&self) {
        self.checked.set(true);
    }

    /// Fails where the page had an error, or the browser a warning about it.
    pub fn check(&mut self) {
        self.unchecked();
        let wrong = self.run("return window.wrong", &[]);
        assert_eq!(wrong, json!([]), "errors of the page");
        let told = self.console();
        let told: Vec<_> = told
            .iter()
            .filter(|text| !self.expected.iter().any(|part| text.contains(part)))
            .collect();
        assert!(told.is_empty(), "the browser warns: {told:#?}");
    }

    /// Warnings and errors on the console since it was last asked.
    fn console(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().cloned().unwrap_or_default();
        let bad = entries
            .into_iter()
            .filter(|e| e["level"] == "WARNING" || e["level"] == "SEVERE");
        bad.map(|e| e["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = request(&self.address, method, path, body)
            .unwrap_or_else(|error| panic!("chromedriver: {method} {path}: {error}"));
        assert!(status == 200, "chromedriver: {method} {path}: {answer}");
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = request(
            &self.address,
            "DELETE",
            &format!("/session/{}", self.session),
            &Value::Null,
        );
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        if !thread::panicking() {
            assert!(self.checked.get(), "the page's errors were not looked at");
        }
    }
}

fn request(address: &str, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let body = if method == "POST" {
        body.to_string()
    } else {
        String::new()
    };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    let mut length = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut answer = vec![0; length];
    reader.read_exact(&mut answer)?;
    Ok((status, serde_json::from_slice(&answer).unwrap_or_default()))
}

/// A chromedriver and its port. Now and then one ends before it has told its port (perhaps as somebody took it
/// meanwhile); then another one is started.
fn driver() -> (Child, u16) {
    for _ in 0..5 {
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--log-level=SEVERE"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed by .ci/setup test");
        if let Some(port) = port_of(driver.stdout.take().expect("piped above")) {
            return (driver, port);
        }
        let _ = driver.wait();
    }
    panic!("chromedriver ends before it says its port");
}

/// chromedriver says on which port it listens; what it says later is read and forgotten. `None` where it
/// ends before.
fn port_of(stdout: ChildStdout) -> Option<u16> {
    let (found, port) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let port = line
                .split_once("successfully on port ")
                .map(|(_, rest)| rest.trim_end_matches('.').parse());
            if let Some(Ok(port)) = port {
                let _ = found.send(port);
            }
        }
    });
    match port.recv_timeout(DEADLINE) {
        Ok(port) => Some(port),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("chromedriver does not say its port"),
    }
}

/// Waits.
pub fn pause(duration: Duration) {
    let (never, nothing): (_, Receiver<()>) = channel();
    let _ = nothing.recv_timeout(duration);
    drop(never);
}
