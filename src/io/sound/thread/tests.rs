//! The audio thread's turns, in simulated time, over the rings of devices.

use std::sync::mpsc::sync_channel;

use tokio::sync::mpsc;

use super::*;
use crate::io::sound::ports::{Report, Source};
use crate::media::audio::{RATE, VoiceDecoder};
use crate::media::jitter::VoicePacket;
use crate::signal::message::PeerId;

/// An audio thread with a microphone of 48 kHz and nobody who runs it.
struct Desk {
    thread: AudioThread,
    source: Source,
    told: mpsc::Receiver<SoundEvent>,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        let (_commands, received) = sync_channel(1);
        let (events, told) = mpsc::channel(1_024);
        let config = SoundConfig {
            mic: MicSource::Auto,
            speaker: SpeakerSink::None,
            mic_on: true,
            echo_cancelled: true,
        };
        let quit = Arc::new(AtomicBool::new(false));
        let mut thread =
            AudioThread::new(config, None, None, received, events, quit).expect("no file is needed");
        let (capture, source) = Capture::new(RATE);
        thread.take_report(
            Direction::Capture,
            Report::Microphone(Box::new(capture), String::new()),
        );
        thread.obey(SoundCommand::AddPeer(
            PeerId::try_from("b".to_owned()).expect("a good name"),
        ));
        Self {
            now: thread.due,
            thread,
            source,
            told,
        }
    }

    /// So much time passes while a microphone captures a sine of this pitch.
    fn capture(&mut self, ms: u64, pitch: f32) {
        for i in 0..ms * u64::from(RATE) / 1_000 {
            let angle = i as f32 * pitch / RATE as f32 * std::f32::consts::TAU;
            // What the ring has no room for is lost, as it is to a device.
            let _ = self.source.ring.push(0.3 * angle.sin());
        }
        self.now += Duration::from_millis(ms);
    }

    /// Likewise, with a turn after each 10 ms.
    fn run(&mut self, ms: u64, pitch: f32) {
        for _ in 0..ms / 10 {
            self.capture(10, pitch);
            self.thread.turn(self.now);
        }
    }

    /// The packets since the last time, with their media times.
    fn packets(&mut self) -> Vec<(u64, Vec<u8>)> {
        let mut packets = Vec::new();
        while let Ok(event) = self.told.try_recv() {
            if let SoundEvent::Voice { time, data, .. } = event {
                packets.push((time, data));
            }
        }
        packets
    }
}

/// How loud the pitch is in what the packets hold.
fn strength(packets: &[(u64, Vec<u8>)], pitch: f32) -> f32 {
    let mut decoder = VoiceDecoder::new().expect("a decoder");
    let mut frame = [0.0; crate::media::audio::FRAME];
    let mut most = 0.0_f32;
    for (_, packet) in packets {
        decoder.decode(packet, &mut frame).expect("a packet");
        let (mut re, mut im) = (0.0, 0.0);
        for (i, sample) in frame.iter().enumerate() {
            let angle = i as f32 * pitch / RATE as f32 * std::f32::consts::TAU;
            re += sample * angle.cos();
            im += sample * angle.sin();
        }
        most = most.max(2.0 * (re * re + im * im).sqrt() / frame.len() as f32);
    }
    most
}

#[test]
fn what_was_captured_while_muted_is_never_sent() {
    let (secret, open) = (1_000.0, 500.0);
    // However much waits in the device and in its ring when the microphone is turned on.
    for waiting in [0, 10, 20, 35, 60, 150] {
        let mut desk = Desk::new();
        desk.run(2_000, 0.0);
        desk.thread.obey(SoundCommand::Mic(false));
        desk.packets();
        desk.run(1_000, secret);
        assert_eq!(desk.packets().len(), 0, "it is off");
        desk.capture(waiting, secret);
        desk.thread.obey(SoundCommand::Mic(true));
        desk.thread.turn(desk.now);
        desk.run(200, 0.0);
        let leaked = strength(&desk.packets(), secret);
        assert!(
            leaked < 0.001,
            "{waiting} ms waited: {leaked} of what was said while muted"
        );
        desk.run(400, open);
        let heard = strength(&desk.packets(), open);
        assert!(heard > 0.02, "{waiting} ms: {heard}");
    }
}

#[test]
fn media_time_is_that_of_the_clock_over_a_stall() {
    // The thread stands still while the device goes on; the ring keeps half a second.
    for stall in [50, 150, 190, 350, 2_000] {
        let mut desk = Desk::new();
        desk.run(1_000, 300.0);
        desk.packets();
        desk.run(200, 300.0);
        let before = desk.packets().last().expect("it is on").0;
        desk.capture(stall, 300.0);
        desk.thread.turn(desk.now);
        desk.packets();
        desk.run(200, 300.0);
        let after = desk.packets().last().expect("it is on").0;
        let passed = (after - before) as f64 / 48.0;
        let expected = (stall + 200) as f64;
        assert!(
            (passed - expected).abs() <= 25.0,
            "{stall} ms: {passed} for {expected}"
        );
    }
}

#[test]
fn a_device_that_stands_still_leaves_a_gap_of_its_length() {
    let mut desk = Desk::new();
    desk.run(1_000, 300.0);
    let before = desk.packets().last().expect("it is on").0;
    for _ in 0..70 {
        desk.now += Duration::from_millis(10);
        desk.thread.turn(desk.now);
    }
    assert_eq!(desk.packets().len(), 0);
    desk.run(200, 300.0);
    let after = desk.packets().last().expect("it is on").0;
    let passed = (after - before) as f64 / 48.0;
    assert!((passed - 900.0).abs() <= 25.0, "{passed}");
}

#[test]
fn other_rates_are_converted_both_ways() {
    use crate::io::sound::ports::Playback;
    let mut desk = Desk::new();
    let (capture, mut source) = Capture::new(16_000);
    desk.thread.take_report(
        Direction::Capture,
        Report::Microphone(Box::new(capture), String::new()),
    );
    let (playback, mut sink) = Playback::new(44_100);
    desk.thread.take_report(
        Direction::Playback,
        Report::Speaker(Box::new(playback), String::new()),
    );
    let peer = PeerId::try_from("b".to_owned()).expect("a good name");
    let (mut seq, mut heard, mut at) = (0, Vec::new(), 0.0_f32);
    for _ in 0..300 {
        desk.now += Duration::from_millis(10);
        for _ in 0..160 {
            // Four swells a second: what never changes is noise.
            let swell = (at / 4_000.0 * std::f32::consts::PI).sin().abs();
            let angle = at * 700.0 / 16_000.0 * std::f32::consts::TAU;
            source
                .ring
                .push(0.3 * swell * angle.sin())
                .expect("it is read in time");
            at += 1.0;
        }
        sink.shared.turn.store(441, Ordering::Relaxed);
        desk.thread.turn(desk.now);
        for _ in 0..441 {
            let sample = sink.ring.pop().unwrap_or(0.0);
            let _ = sink.played.push(sample);
            heard.push(sample);
        }
        for (time, data) in desk.packets() {
            let packet = VoicePacket {
                seq,
                time,
                data: data.into(),
                arrived: desk.now,
            };
            seq += 1;
            desk.thread.obey(SoundCommand::Packet(peer.clone(), packet));
        }
    }
    let tail = &heard[heard.len() - 44_100..];
    let level = |pitch: f32| {
        let (mut re, mut im) = (0.0, 0.0);
        for (i, sample) in tail.iter().enumerate() {
            let angle = i as f32 * pitch / 44_100.0 * std::f32::consts::TAU;
            re += sample * angle.cos();
            im += sample * angle.sin();
        }
        2.0 * (re * re + im * im).sqrt() / tail.len() as f32
    };
    assert!(level(700.0) > 0.05, "{}", level(700.0));
    assert!(level(643.0) < level(700.0) / 20.0, "{}", level(643.0));
}
