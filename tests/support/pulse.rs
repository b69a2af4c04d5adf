//! A private PulseAudio: no card, no system, no other user of it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use facetty::io::clock;

/// Names the server's folder to the process in which the test itself runs.
const FOLDER: &str = "FACETTY_TEST_SOUND";
/// For all that is waited for; a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `body` in a process of its own, whose environment knows a private sound server only. `test` is
/// the name of the test that calls this.
pub fn with_private_server(test: &str, body: impl FnOnce(Server)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return body(Server::start(Path::new(&folder)));
    }
    for program in ["pulseaudio", "paplay", "parec"] {
        let found = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if found.is_err() {
            eprintln!("skipped: {program} is not installed (packages pulseaudio, pulseaudio-utils)");
            return;
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    std::fs::create_dir(&run).expect("a folder in it");
    let alsa = folder.path().join("asound.conf");
    std::fs::write(&alsa, "pcm.!default { type null }\n").expect("a file in it");
    let status = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, folder.path())
        .env("HOME", folder.path())
        .env("XDG_RUNTIME_DIR", &run)
        .env("PULSE_RUNTIME_PATH", &run)
        .env("PULSE_STATE_PATH", folder.path())
        .env("PULSE_COOKIE", folder.path().join("cookie"))
        .env("PULSE_SERVER", format!("unix:{}/native", run.display()))
        .env("ALSA_CONFIG_PATH", &alsa)
        .status()
        .expect("this program can be started");
    assert!(status.success(), "see above");
}

/// The running server. Two people can be at it: each has a microphone `mic-a`, `mic-b`, which hears
/// what is played to `feed-a`, `feed-b`, and a speaker `speaker-a`, `speaker-b`.
pub struct Server {
    folder: PathBuf,
    process: Child,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut script = format!(
            "load-module module-native-protocol-unix socket={}/run/native auth-anonymous=1\n",
            folder.display()
        );
        for who in ["a", "b"] {
            for sink in ["speaker", "feed"] {
                script += &format!(
                    "load-module module-null-sink sink_name={sink}-{who} rate=48000 norewinds=1 \
                     sink_properties=device.description={sink}-of-{who}\n"
                );
            }
            script += &format!(
                "load-module module-remap-source source_name=mic-{who} master=feed-{who}.monitor \
                 source_properties=device.description=mic-of-{who}\n"
            );
        }
        let file = folder.join("default.pa");
        std::fs::write(&file, script).expect("a file in it");
        let mut process = Command::new("pulseaudio")
            .args(["-n", "-F"])
            .arg(&file)
            .args([
                "--daemonize=no",
                "--exit-idle-time=-1",
                "--use-pid-file=no",
                "--realtime=no",
                "--high-priority=no",
                "--log-target=stderr",
                "--log-level=info",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a sound server");
        let mut log = BufReader::new(process.stderr.take().expect("it was piped"));
        let mut said = String::new();
        while !said.contains("startup complete") {
            let before = said.len();
            log.read_line(&mut said).expect("its log");
            assert!(said.len() > before, "the sound server ended: {said}");
        }
        // Its clients do not wait for a socket; on its very first start it is late with that.
        let deadline = clock::now() + PATIENCE;
        while UnixStream::connect(folder.join("run/native")).is_err() {
            let ended = process.try_wait().expect("a child");
            assert!(ended.is_none(), "the sound server ended, {ended:?}: {said}");
            assert!(clock::now() < deadline, "nobody listens at its socket: {said}");
            std::thread::yield_now();
        }
        // Read on, so that it is never held up by a full pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self {
            folder: folder.into(),
            process,
        }
    }

    /// Kills the server at once.
    pub fn kill(mut self) -> Killed {
        self.stop();
        Killed(self.folder.clone())
    }

    /// The server hangs: it answers nobody, and keeps its connections.
    pub fn hang(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// It goes on.
    pub fn wake(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Plays `wav` to `sink` until the guard is dropped or the file ends.
    pub fn play(&self, wav: &Path, sink: &str) -> Helper {
        let child = Command::new("paplay")
            .arg(format!("--device={sink}"))
            .arg("--latency-msec=20")
            .arg(wav)
            .stdin(Stdio::null())
            .spawn()
            .expect("a player");
        Helper(child)
    }

    /// Changes what the server has.
    pub fn change(&self, how: &[&str]) {
        let status = Command::new("pactl").args(how).stdout(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "pactl {how:?}");
    }

    /// What `sink` plays, 48 kHz mono.
    pub fn listen(&self, sink: &str) -> Listener {
        let mut child = Command::new("parec")
            .arg(format!("--device={sink}.monitor"))
            .args(["--raw", "--rate=48000", "--channels=1", "--format=float32le"])
            .arg("--latency-msec=10")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a recorder");
        let mut out = child.stdout.take().expect("it was piped");
        let (sender, blocks) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 480 * 4];
            while out.read_exact(&mut bytes).is_ok() {
                let block: Vec<f32> = bytes
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect();
                if sender.send(block).is_err() {
                    return;
                }
            }
        });
        Listener {
            _helper: Helper(child),
            blocks,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A server that was killed.
pub struct Killed(PathBuf);

impl Killed {
    /// Starts it again.
    pub fn restart(self) -> Server {
        Server::start(&self.0)
    }
}

/// A program that runs until this is dropped.
pub struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What somebody hears.
pub struct Listener {
    _helper: Helper,
    blocks: Receiver<Vec<f32>>,
}

impl Listener {
    /// The next 10 ms.
    pub fn block(&self) -> Vec<f32> {
        match self.blocks.recv_timeout(PATIENCE) {
            Ok(block) => block,
            Err(RecvTimeoutError::Timeout) => panic!("nothing came from the sound server"),
            Err(RecvTimeoutError::Disconnected) => panic!("the recorder ended"),
        }
    }
}

/// A file of a minute of a tone at −12 dBFS.
pub fn tone(folder: &Path, pitch: f32) -> PathBuf {
    let path = folder.join(format!("{pitch}.wav"));
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&path, spec).expect("a file");
    for i in 0..60 * 48_000 {
        let angle = f64::from(pitch) * f64::from(i) / 48_000.0 * std::f64::consts::TAU;
        // Four swells a second: what never changes is noise to who suppresses noise.
        let swell = 0.5 - 0.5 * (f64::from(i) / 12_000.0 * std::f64::consts::TAU).cos();
        wav.write_sample((angle.sin() * swell * 16_384.0) as i16)
            .expect("a sample");
    }
    wav.finalize().expect("a whole file");
    path
}

/// The amplitude of a pitch in a sound.
pub fn strength(sound: &[f32], pitch: f32) -> f32 {
    let (mut re, mut im) = (0.0, 0.0);
    for (i, sample) in sound.iter().enumerate() {
        let angle = std::f32::consts::TAU * pitch * i as f32 / 48_000.0;
        re += sample * angle.cos();
        im += sample * angle.sin();
    }
    2.0 * (re * re + im * im).sqrt() / sound.len() as f32
}
